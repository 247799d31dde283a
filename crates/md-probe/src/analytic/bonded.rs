use md_core::{Batch, Configuration, Evaluation, Potential, PotentialError, Request, Vec3};

use super::pair::pair;
use super::{check_each, evaluate_each, require_atoms};

/// One harmonic bond: `E = ½ k (r - r₀)²`. Atoms are counted from 0 within the system.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HarmonicBond {
    /// The bonded atoms.
    pub atoms: [usize; 2],
    /// Force constant k, eV/Å².
    pub stiffness_ev_per_angstrom2: f64,
    /// Equilibrium length r₀, Å.
    pub r0_angstrom: f64,
}

/// One harmonic angle: `E = ½ k (θ - θ₀)²`. Atoms are counted from 0 within the system.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HarmonicAngle {
    /// An end, the vertex, the other end.
    pub atoms: [usize; 3],
    /// Force constant k, eV/rad².
    pub stiffness_ev_per_rad2: f64,
    /// Equilibrium angle θ₀, rad, 0 to π.
    pub theta0_rad: f64,
}

impl HarmonicBond {
    /// Adds the forces (eV/Å) of this bond and returns its energy (eV).
    pub(super) fn apply(&self, positions: &[Vec3], forces: &mut [Vec3]) -> f64 {
        let [i, j] = self.atoms;
        pair(positions, forces, i, j, |r| {
            let (k, stretch) = (self.stiffness_ev_per_angstrom2, r - self.r0_angstrom);
            (0.5 * k * stretch * stretch, k * stretch)
        })
    }
}

impl HarmonicAngle {
    /// Adds the forces (eV/Å) of this angle and returns its energy (eV).
    pub(super) fn apply(&self, positions: &[Vec3], forces: &mut [Vec3]) -> f64 {
        let [i, vertex, j] = self.atoms;
        let (a, b) = (positions[i] - positions[vertex], positions[j] - positions[vertex]);
        let normal = a.cross(&b);
        let sine = normal.norm(); // |a| |b| sin θ
        let bend = sine.atan2(a.dot(&b)) - self.theta0_rad;
        let slope = self.stiffness_ev_per_rad2 * bend; // dE/dθ
        if sine != 0.0 {
            // dθ/da = a × n / a², dθ/db = n × b / b², with n the unit normal.
            let normal = normal / sine;
            let force_i = normal.cross(&a) * (slope / a.norm_squared());
            let force_j = b.cross(&normal) * (slope / b.norm_squared());
            forces[i] += force_i;
            forces[j] += force_j;
            forces[vertex] -= force_i + force_j;
        }
        0.5 * slope * bend
    }
}

/// Harmonic bonds, `E = Σ ½ k (r - r₀)²`, with the same list for every system of the batch.
///
/// ```
/// use md_core::*;
/// use md_probe::analytic::{HarmonicBond, HarmonicBonds};
///
/// let mut spring = HarmonicBonds(vec![HarmonicBond {
///     atoms: [0, 1],
///     stiffness_ev_per_angstrom2: 25.0,
///     r0_angstrom: 0.96,
/// }]);
/// let oh = System::new(vec![Element::O, Element::H], vec![Vec3::zeros(), Vec3::new(1.06, 0.0, 0.0)])?;
/// let state = State::at_rest(&[oh], &mut spring)?;
/// assert!((state.potential_energy_ev(0) - 0.125).abs() < 1e-14);
/// assert!((state.evaluation().forces[1].x - -2.5).abs() < 1e-13); // eV/Å
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct HarmonicBonds(pub Vec<HarmonicBond>);

/// Harmonic angles, `E = Σ ½ k (θ - θ₀)²`, with the same list for every system of the batch.
///
/// θ is computed as `atan2(|a × b|, a · b)`, which is accurate for all angles. On a straight line (θ = π) with θ₀ = π
/// the force goes to zero smoothly. With θ₀ < π the energy has a cusp there: the force tends to `k (π - θ₀)` over each
/// arm, in a direction that jumps; exactly on the line it is set to zero, the mean over directions. A run that crosses
/// the cusp does not conserve energy.
///
/// ```
/// use md_core::*;
/// use md_probe::analytic::{HarmonicAngle, HarmonicAngles};
///
/// let mut hinge = HarmonicAngles(vec![HarmonicAngle {
///     atoms: [1, 0, 2],
///     stiffness_ev_per_rad2: 4.0,
///     theta0_rad: std::f64::consts::PI,
/// }]);
/// let right_angle = vec![Vec3::zeros(), Vec3::new(1.0, 0.0, 0.0), Vec3::new(0.0, 2.0, 0.0)];
/// let water = System::new(vec![Element::O, Element::H, Element::H], right_angle)?;
/// let state = State::at_rest(&[water], &mut hinge)?;
/// // ½ 4 (π/2)² = π²/2; the force on an arm of 1 Å is 4 π/2 = 2π eV/Å.
/// assert!((state.potential_energy_ev(0) - 4.934802200544679).abs() < 1e-14);
/// assert!((state.evaluation().forces[1].y - -6.283185307179586).abs() < 1e-14);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct HarmonicAngles(pub Vec<HarmonicAngle>);

impl Potential for HarmonicBonds {
    fn name(&self) -> &str {
        "harmonic bonds"
    }

    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
        check_each(self.name(), batch, request, |elements| {
            require_atoms(self.0.iter().flat_map(|bond| bond.atoms), elements)
        })
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        self.check(c.batch, request)?;
        evaluate_each(c, request, out, |_, positions, forces| {
            self.0.iter().map(|bond| bond.apply(positions, forces)).sum()
        })
    }
}

impl Potential for HarmonicAngles {
    fn name(&self) -> &str {
        "harmonic angles"
    }

    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
        check_each(self.name(), batch, request, |elements| {
            require_atoms(self.0.iter().flat_map(|angle| angle.atoms), elements)
        })
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        self.check(c.batch, request)?;
        evaluate_each(c, request, out, |_, positions, forces| {
            self.0.iter().map(|angle| angle.apply(positions, forces)).sum()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analytic::LennardJones;
    use md_core::{Element, State, System};
    use std::f64::consts::PI;

    fn hinge(theta_rad: f64, theta0_rad: f64) -> State {
        let arm = Vec3::new(1.5 * theta_rad.cos(), 1.5 * theta_rad.sin(), 0.0);
        let positions = vec![Vec3::new(1.2, 0.0, 0.0), Vec3::zeros(), arm];
        let system = System::new(vec![Element::C; 3], positions).unwrap();
        let angle = HarmonicAngle { atoms: [0, 1, 2], stiffness_ev_per_rad2: 3.0, theta0_rad };
        State::at_rest(&[system], &mut HarmonicAngles(vec![angle])).unwrap()
    }

    #[test]
    fn harmonic_angle_at_180_degrees_bends_linearly() {
        for bend in [1e-3, 1e-6, 1e-9, 1e-12] {
            let force = hinge(PI - bend, PI).evaluation().forces[0];
            let expected = 3.0 * bend / 1.2;
            // θ itself is accurate to about 2 ulp of π.
            assert!((force.norm() - expected).abs() < 4e-15, "{bend}: {} vs {expected}", force.norm());
        }
        assert!(hinge(PI, PI).evaluation().forces.iter().all(|f| f.norm() < 1e-15));
    }

    #[test]
    fn harmonic_angle_is_finite_at_and_near_180_degrees() {
        let theta0 = 2.0;
        for theta in [PI, PI - 1e-12, PI - 1e-6, 0.0, 1e-12] {
            let state = hinge(theta, theta0);
            assert!((state.potential_energy_ev(0) - 1.5 * (theta - theta0).powi(2)).abs() < 1e-13);
            let limit = 3.0 * (theta - theta0).abs() / 1.2 + 1e-12;
            assert!(state.evaluation().forces[0].norm() <= limit);
        }
    }

    #[test]
    fn analytic_potentials_never_panic_on_coincident_atoms() {
        let line = (0..3).map(|i| Vec3::repeat(f64::from(i))).collect();
        let system = System::new(vec![Element::C; 3], line).unwrap();
        let angle = HarmonicAngle { atoms: [0, 1, 2], stiffness_ev_per_rad2: 3.0, theta0_rad: 2.0 };
        let bond = HarmonicBond { atoms: [0, 1], stiffness_ev_per_angstrom2: 2.0, r0_angstrom: 1.0 };
        let lennard_jones = LennardJones { epsilon_ev: 1.0, sigma_angstrom: 1.0 };
        let energy_together = |mut potential: Box<dyn Potential>| {
            let mut state = State::at_rest(std::slice::from_ref(&system), &mut potential).unwrap();
            state.positions_mut().fill(Vec3::zeros());
            state.evaluate(&mut potential).unwrap();
            state.potential_energy_ev(0)
        };
        assert_eq!(energy_together(Box::new(HarmonicBonds(vec![bond]))), 1.0);
        assert_eq!(energy_together(Box::new(HarmonicAngles(vec![angle]))), 6.0, "atan2(0, 0) is 0");
        assert_eq!(energy_together(Box::new(lennard_jones)), f64::INFINITY);
    }
}
