use md_core::units::EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2;
use md_core::{Batch, Configuration, Evaluation, Potential, PotentialError, Request, Vec3};

use super::{check_each, evaluate_each};

/// Independent isotropic harmonic oscillators, `E = Σ ½ k |x - c|²`, with a motion known in closed form.
///
/// Atom `i` of every system is bound to centre `i`, so every system must have as many atoms as there are centres.
///
/// ```
/// use md_core::*;
/// use md_probe::analytic::HarmonicWell;
///
/// let mut well = HarmonicWell { stiffness_ev_per_angstrom2: 3.0, centres: vec![Vec3::zeros()] };
/// let atom = System::new(vec![Element::AR], vec![Vec3::new(0.2, 0.0, 0.0)])?;
/// let state = State::at_rest(&[atom], &mut well)?;
/// assert!((state.potential_energy_ev(0) - 0.06).abs() < 1e-15);
/// // A quarter of a period after its release the oscillator passes its centre.
/// let quarter_fs = 0.25 * std::f64::consts::TAU / well.angular_frequency_per_fs(Element::AR.mass_amu());
/// let (x, v) = well.trajectory(0, Element::AR.mass_amu(), state.positions()[0], Vec3::zeros(), quarter_fs);
/// assert!(x.norm() < 1e-16 && v.x < 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct HarmonicWell {
    /// Force constant k, eV/Å².
    pub stiffness_ev_per_angstrom2: f64,
    /// Centre of the well of each atom, Å.
    pub centres: Vec<Vec3>,
}

impl HarmonicWell {
    /// Returns the angular frequency `ω = sqrt(k/m)` of an atom of `mass_amu`, rad/fs.
    pub fn angular_frequency_per_fs(&self, mass_amu: f64) -> f64 {
        (self.stiffness_ev_per_angstrom2 * EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2 / mass_amu).sqrt()
    }

    /// Returns position (Å) and velocity (Å/fs) of an atom of `mass_amu` in well `atom`, `time_fs` after `x0` and `v0`:
    /// `x = c + (x₀ - c) cos ωt + v₀/ω sin ωt`. Panics if there is no such well.
    pub fn trajectory(&self, atom: usize, mass_amu: f64, x0: Vec3, v0: Vec3, time_fs: f64) -> (Vec3, Vec3) {
        let omega = self.angular_frequency_per_fs(mass_amu);
        let (sin, cos) = (omega * time_fs).sin_cos();
        let from_centre = x0 - self.centres[atom];
        let x = self.centres[atom] + from_centre * cos + v0 * (sin / omega);
        (x, v0 * cos - from_centre * (omega * sin))
    }
}

impl Potential for HarmonicWell {
    fn name(&self) -> &str {
        "harmonic well"
    }

    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
        let expected = self.centres.len();
        check_each(self.name(), batch, request, |elements| match elements.len() {
            found if found == expected => Ok(()),
            found => Err(format!("it has {found} atoms, but there are {expected} wells")),
        })
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        self.check(c.batch, request)?;
        let k = self.stiffness_ev_per_angstrom2;
        evaluate_each(c, request, out, |_, positions, forces| {
            let mut energy = 0.0;
            for ((x, centre), force) in positions.iter().zip(&self.centres).zip(forces) {
                let displacement = x - centre;
                energy += 0.5 * k * displacement.norm_squared();
                *force -= displacement * k;
            }
            energy
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// m d²x/dt² = F, by central differences of the trajectory in time.
    #[test]
    fn harmonic_well_trajectory_obeys_newton() {
        let well = HarmonicWell { stiffness_ev_per_angstrom2: 2.5, centres: vec![Vec3::new(0.1, -0.2, 0.3)] };
        let (mass, x0, v0) = (12.011, Vec3::new(0.3, 0.1, 0.2), Vec3::new(0.01, -0.02, 0.005));
        let at = |t: f64| well.trajectory(0, mass, x0, v0, t);
        let (t, h) = (7.3, 0.01);
        let ((before, _), (x, v), (after, _)) = (at(t - h), at(t), at(t + h));
        assert!(((after - before) / (2.0 * h) - v).norm() < 1e-6);
        let acceleration = (after - x * 2.0 + before) / (h * h);
        let force = -(x - well.centres[0]) * well.stiffness_ev_per_angstrom2;
        assert!((acceleration - force * (EV_PER_ANGSTROM_AMU_IN_ANGSTROM_PER_FS2 / mass)).norm() < 1e-8);
        assert!((at(0.0).0 - x0).norm() < 1e-16 && at(0.0).1 == v0);
    }
}
