//! Analytic potentials with one planted fault that a validator must find and identify.
//!
//! ```
//! use md_core::{Element, System, Vec3};
//! use md_probe::analytic::LennardJones;
//! use md_testkit::defects::{Defect, Defective};
//!
//! let argon = System::new(vec![Element::AR; 2], vec![Vec3::zeros(), Vec3::new(3.5, 0.0, 0.0)])?;
//! let sound = LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 };
//! let mut scaled = Defective::new(sound, Defect::ScaledForce { factor: 1.001 });
//! let error = md_probe::force_gradient(&mut scaled, &argon, 1e-3)?;
//! assert!(error.max_ev_per_angstrom > 1e-6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use md_core::{
    Batch, Configuration, Element, Evaluation, Mat3, Potential, PotentialError, Request, Vec3,
    require_open_boundaries,
};
use md_probe::random::SplitMix64;

/// A fault of a potential.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Defect {
    /// Forces, but not energies, times `factor`: the force is not the gradient.
    ScaledForce {
        /// 1 is correct.
        factor: f64,
    },
    /// Energies and forces times `factor`: consistent, but in the wrong unit.
    Units {
        /// 1 is correct.
        factor: f64,
    },
    /// `E(M x)` with the matrix M, and its exact gradient: the energy depends on the orientation.
    Mixing {
        /// M; the identity is correct.
        matrix: Mat3,
    },
    /// Adds `-jump (2 - r / cutoff)` for every pair within the cutoff and nothing beyond: energy and force jump at the
    /// cutoff.
    Truncated {
        /// Jump of the energy of a pair, eV.
        jump_ev: f64,
        /// Distance of the jump, Å.
        cutoff_angstrom: f64,
    },
    /// Adds a normal random number to every force component, different in every call.
    Noise {
        /// Standard deviation, eV/Å.
        sigma_ev_per_angstrom: f64,
    },
    /// Adds `-depth exp(-((r - centre) / width)²)` for every pair: a spurious minimum in every dimer curve.
    Hole {
        /// Depth, eV.
        depth_ev: f64,
        /// Position, Å.
        centre_angstrom: f64,
        /// Width, Å.
        width_angstrom: f64,
    },
    /// Adds `-depth (1 - z²)³`, z from -1 at `from` to 1 at `to`, for every pair of two elements, and nothing elsewhere: a
    /// well that no molecule feels until the two are that far apart.
    Well {
        /// The two elements.
        elements: [Element; 2],
        /// Depth, eV.
        depth_ev: f64,
        /// Shortest distance at which the well is felt, Å.
        from_angstrom: f64,
        /// Longest distance, Å.
        to_angstrom: f64,
    },
    /// Energies and forces rounded to `bits` significant bits (f32 has 24, f16 has 11).
    Rounded {
        /// Significant bits, 1 to 53.
        bits: u32,
    },
    /// Adds `strength |Σ (x_j - x_0)|`, j over all atoms but the first: a kink when the first atom is at the centroid.
    Kink {
        /// Slope, eV/Å.
        strength_ev_per_angstrom: f64,
    },
    /// Adds `strength z × (x - c)` to the force on every atom, c the centroid: the force is not a gradient.
    Swirl {
        /// Strength, eV/Å².
        strength_ev_per_angstrom2: f64,
    },
    /// Adds a constant to the energy of every system, which violates size consistency.
    Offset {
        /// The constant, eV.
        energy_ev: f64,
    },
}

/// A potential with a [`Defect`]. Open boundaries, no stress.
#[derive(Debug, Clone)]
pub struct Defective<P> {
    inner: P,
    defect: Defect,
    name: String,
    noise: SplitMix64,
}

impl<P: Potential> Defective<P> {
    /// Creates `inner` with `defect`.
    pub fn new(inner: P, defect: Defect) -> Self {
        let name = format!("defective {}", inner.name());
        Defective { inner, defect, name, noise: SplitMix64::new(1) }
    }
}

impl<P: Potential> Potential for Defective<P> {
    fn name(&self) -> &str {
        &self.name
    }

    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
        require_open_boundaries(&self.name, batch, request)?;
        self.inner.check(batch, request)
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        self.check(c.batch, request)?;
        c.check_length()?;
        if let Defect::Mixing { matrix } = self.defect {
            let mixed: Vec<Vec3> = c.positions.iter().map(|x| matrix * x).collect();
            self.inner.evaluate(Configuration { positions: &mixed, ..c }, request, out)?;
            out.forces.iter_mut().for_each(|f| *f = matrix.transpose() * *f);
            return Ok(());
        }
        self.inner.evaluate(c, request, out)?;
        match self.defect {
            Defect::Mixing { .. } => {}
            Defect::ScaledForce { factor } => out.forces.iter_mut().for_each(|f| *f *= factor),
            Defect::Units { factor } => {
                out.energies.iter_mut().for_each(|e| *e *= factor);
                out.forces.iter_mut().for_each(|f| *f *= factor);
            }
            Defect::Noise { sigma_ev_per_angstrom } => {
                for f in &mut out.forces {
                    *f += Vec3::from_fn(|_, _| sigma_ev_per_angstrom * self.noise.normal());
                }
            }
            Defect::Rounded { bits } => {
                out.energies.iter_mut().for_each(|e| *e = rounded(*e, bits));
                out.forces.iter_mut().for_each(|f| *f = f.map(|x| rounded(x, bits)));
            }
            Defect::Truncated { jump_ev, cutoff_angstrom } => add_pairs(c, out, |_, r| {
                if r < cutoff_angstrom {
                    (-jump_ev * (2.0 - r / cutoff_angstrom), jump_ev / cutoff_angstrom)
                } else {
                    (0.0, 0.0)
                }
            }),
            Defect::Hole { depth_ev, centre_angstrom, width_angstrom } => add_pairs(c, out, |_, r| {
                let z = (r - centre_angstrom) / width_angstrom;
                let energy = -depth_ev * (-z * z).exp();
                (energy, -2.0 * z / width_angstrom * energy)
            }),
            Defect::Well { elements: [a, b], depth_ev, from_angstrom, to_angstrom } => {
                add_pairs(c, out, |pair, r| {
                    let half = 0.5 * (to_angstrom - from_angstrom);
                    let z = (r - from_angstrom) / half - 1.0;
                    if z.abs() >= 1.0 || (pair != [a, b] && pair != [b, a]) {
                        return (0.0, 0.0);
                    }
                    let rest = 1.0 - z * z;
                    (-depth_ev * rest.powi(3), 6.0 * depth_ev * z * rest.powi(2) / half)
                });
            }
            Defect::Kink { strength_ev_per_angstrom } => add_kink(c, out, strength_ev_per_angstrom),
            Defect::Swirl { strength_ev_per_angstrom2 } => add_swirl(c, out, strength_ev_per_angstrom2),
            Defect::Offset { energy_ev } => out.energies.iter_mut().for_each(|e| *e += energy_ev),
        }
        Ok(())
    }
}

/// Rounds `x` to `bits` significant bits, ties to even.
fn rounded(x: f64, bits: u32) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let unit = (x.abs().log2().floor() + 1.0 - f64::from(bits)).exp2();
    (x / unit).round_ties_even() * unit
}

/// Adds a pair term with energy (eV) and slope (eV/Å) given by `term(elements, r)` at a distance r (Å).
fn add_pairs(c: Configuration<'_>, out: &mut Evaluation, term: impl Fn([Element; 2], f64) -> (f64, f64)) {
    let elements = c.batch.elements();
    for (s, atoms) in c.batch.ranges().enumerate() {
        for i in atoms.clone() {
            for j in i + 1..atoms.end {
                let d = c.positions[j] - c.positions[i];
                let r = d.norm();
                let (energy, slope) = term([elements[i], elements[j]], r);
                out.energies[s] += energy;
                if !out.forces.is_empty() {
                    let force = d * (slope / r);
                    out.forces[i] += force;
                    out.forces[j] -= force;
                }
            }
        }
    }
}

fn add_swirl(c: Configuration<'_>, out: &mut Evaluation, strength: f64) {
    if out.forces.is_empty() {
        return;
    }
    for atoms in c.batch.ranges() {
        let positions = &c.positions[atoms.clone()];
        let centroid = positions.iter().sum::<Vec3>() / positions.len() as f64;
        for (f, x) in out.forces[atoms].iter_mut().zip(positions) {
            *f += Vec3::z().cross(&(x - centroid)) * strength;
        }
    }
}

fn add_kink(c: Configuration<'_>, out: &mut Evaluation, strength: f64) {
    for (s, atoms) in c.batch.ranges().enumerate() {
        let first = c.positions[atoms.start];
        let sum: Vec3 = c.positions[atoms.clone()].iter().map(|x| x - first).sum();
        let length = sum.norm();
        out.energies[s] += strength * length;
        if out.forces.is_empty() || length == 0.0 {
            continue;
        }
        let pull = sum * (strength / length);
        out.forces[atoms.start] += pull * (atoms.len() - 1) as f64;
        for f in &mut out.forces[atoms.start + 1..atoms.end] {
            *f -= pull;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use md_core::System;
    use md_probe::analytic::LennardJones;

    fn argon() -> System {
        let positions =
            vec![Vec3::zeros(), Vec3::new(3.8, 0.1, 0.0), Vec3::new(1.0, 3.6, 0.4), Vec3::new(0.3, 1.0, 3.9)];
        System::new(vec![Element::AR; 4], positions).unwrap()
    }

    fn defective(defect: Defect) -> Defective<LennardJones> {
        Defective::new(LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 }, defect)
    }

    #[test]
    fn consistent_defects_keep_exact_gradient() {
        let matrix = Mat3::new(1.0, 0.1, 0.0, 0.0, 1.0, 0.2, 0.05, 0.0, 1.0);
        for defect in [
            Defect::Units { factor: 1.01 },
            Defect::Mixing { matrix },
            Defect::Truncated { jump_ev: 0.1, cutoff_angstrom: 5.0 },
            Defect::Hole { depth_ev: 0.3, centre_angstrom: 3.7, width_angstrom: 0.3 },
            Defect::Well {
                elements: [Element::AR, Element::AR],
                depth_ev: 0.3,
                from_angstrom: 3.7,
                to_angstrom: 4.1,
            },
            Defect::Kink { strength_ev_per_angstrom: 0.1 },
            Defect::Offset { energy_ev: 1.0 },
        ] {
            let error = md_probe::force_gradient(&mut defective(defect), &argon(), 1e-4).unwrap();
            assert!(error.max_ev_per_angstrom < 1e-9, "{defect:?}: {error:?}");
        }
    }

    #[test]
    fn force_defects_break_gradient() {
        for defect in [
            Defect::ScaledForce { factor: 1.001 },
            Defect::Noise { sigma_ev_per_angstrom: 1e-3 },
            Defect::Rounded { bits: 11 },
            Defect::Swirl { strength_ev_per_angstrom2: 1e-3 },
        ] {
            let error = md_probe::force_gradient(&mut defective(defect), &argon(), 1e-4).unwrap();
            assert!(error.max_ev_per_angstrom > 1e-6, "{defect:?}: {error:?}");
        }
    }

    #[test]
    fn rounded_matches_float_formats() {
        for x in [1.0, -0.1, 1234.567, 3e-4, -6.02e4] {
            assert_eq!(rounded(x, 24), f64::from(x as f32));
            assert_eq!(rounded(x, 53), x);
        }
        assert_eq!(rounded(0.1, 11), 0.0999755859375, "numpy.float16(0.1)");
        assert_eq!(rounded(0.0, 11), 0.0);
    }
}
