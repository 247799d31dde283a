//! The loss function.
//!
//! For a batch of B systems with N atoms in total, N_s in system s, and the errors ΔE (eV) and ΔF (eV/Å) of the
//! student,
//!
//! ```text
//! L = w_F (1/N) Σ_atoms ρ(|ΔF|)  +  w_E (1/B) Σ_systems ½ ΔE²/N_s
//!
//! ρ(x) = δ² (√(1 + x²/δ²) − 1)      pseudo-Huber: ½x² below δ (eV/Å), δ|x| above; ½x² without δ
//! ```
//!
//! with w_F in (Å/eV)² and w_E in 1/eV², so that L is dimensionless. If the energy errors of atoms are independent, ΔE
//! grows as √N_s: the division gives small and large molecules the same weight.

use md_core::{Evaluation, Vec3};

use crate::LossConfig;
use crate::data::LabelledSystem;

/// Size of the whole batch, by which the parts are normalised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSize {
    /// Number of systems B.
    pub systems: usize,
    /// Number of atoms N.
    pub atoms: usize,
}

/// Contribution of some systems to the loss of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LossPart {
    /// Contribution to L.
    pub loss: f64,
    /// Σ |ΔF|², (eV/Å)².
    pub squared_force_error: f64,
}

impl LossPart {
    /// Adds another part.
    pub fn add(&mut self, other: LossPart) {
        self.loss += other.loss;
        self.squared_force_error += other.squared_force_error;
    }
}

/// Computes the loss of some systems of a batch from the predictions of the student, and its derivative with respect to
/// each energy (1/eV) and force component (Å/eV), in the fields of an evaluation.
pub fn loss(
    config: &LossConfig,
    batch: BatchSize,
    labels: &[&LabelledSystem],
    answer: &Evaluation,
) -> (LossPart, Evaluation) {
    let per_system = config.energy_weight / batch.systems as f64;
    let per_atom = config.force_weight / batch.atoms as f64;
    let mut part = LossPart::default();
    let mut slope = Evaluation { energies: Vec::new(), forces: Vec::new(), stresses: None };
    for (label, energy) in std::iter::zip(labels, &answer.energies) {
        let error = energy - label.energy_ev;
        let n = label.forces.len() as f64;
        part.loss += per_system * 0.5 * error * error / n;
        slope.energies.push(per_system * error / n);
    }
    for (label, force) in std::iter::zip(labels.iter().flat_map(|l| &l.forces), &answer.forces) {
        let error = force - label;
        let squared = error.norm_squared();
        let (rho, derivative) = rho(squared, error, config.huber_ev_per_angstrom);
        part.loss += per_atom * rho;
        part.squared_force_error += squared;
        slope.forces.push(per_atom * derivative);
    }
    (part, slope)
}

/// Computes ρ of an error whose squared length is `squared`, and its gradient.
fn rho(squared: f64, error: Vec3, huber: Option<f64>) -> (f64, Vec3) {
    match huber {
        None => (0.5 * squared, error),
        Some(delta) => {
            let root = (1.0 + squared / (delta * delta)).sqrt();
            // δ² (root - 1), without cancellation.
            (squared / (root + 1.0), error / root)
        }
    }
}

#[cfg(test)]
mod tests {
    use md_core::{Element, System};

    use super::*;

    fn labelled(energy_ev: f64, forces: Vec<Vec3>) -> LabelledSystem {
        let positions = (0..forces.len()).map(|i| Vec3::new(i as f64, 0.0, 0.0)).collect();
        LabelledSystem {
            system: System::new(vec![Element::H; forces.len()], positions).unwrap(),
            energy_ev,
            forces,
            molecule: "h".to_owned(),
            trajectory: "0".to_owned(),
            kind: None,
            file: 0,
            number: 1,
        }
    }

    const SQUARE: LossConfig =
        LossConfig { force_weight: 2.0, energy_weight: 0.5, huber_ev_per_angstrom: None };

    #[test]
    fn loss_of_batch_matches_hand_values() {
        let labels = [labelled(1.0, vec![Vec3::zeros()]), labelled(-2.0, vec![Vec3::zeros(); 4])];
        let mut forces = vec![Vec3::zeros(); 5];
        forces[0] = Vec3::new(3.0, 0.0, 4.0);
        forces[4] = Vec3::new(0.0, -1.0, 0.0);
        let answer = Evaluation { energies: vec![3.0, 0.0], forces, stresses: None };
        let size = BatchSize { systems: 2, atoms: 5 };
        let (part, slope) = loss(&SQUARE, size, &[&labels[0], &labels[1]], &answer);
        // 2/5 (25 + 1)/2 + 0.5/2 (½ 2²/1 + ½ 2²/4) = 5.2 + 0.625
        assert!((part.loss - 5.825).abs() < 1e-15);
        assert_eq!(part.squared_force_error, 26.0);
        assert_eq!(slope.energies, [0.5, 0.125]);
        assert!((slope.forces[0] - Vec3::new(1.2, 0.0, 1.6)).norm() < 1e-15);
    }

    #[test]
    fn loss_slope_matches_finite_differences() {
        let labels = [
            labelled(-1.0, vec![Vec3::new(0.3, -0.2, 0.9), Vec3::new(1.0, 2.0, -3.0)]),
            labelled(4.0, vec![Vec3::new(-0.7, 0.1, 0.0)]),
        ];
        let labels = [&labels[0], &labels[1]];
        let answer = Evaluation {
            energies: vec![0.5, 3.7],
            forces: vec![Vec3::new(0.2, 0.2, 0.2), Vec3::new(-4.0, 1.0, 1.0), Vec3::new(-0.6, 0.1, 0.1)],
            stresses: None,
        };
        let size = BatchSize { systems: 5, atoms: 11 };
        for huber_ev_per_angstrom in [None, Some(0.5)] {
            let config = LossConfig { huber_ev_per_angstrom, ..SQUARE };
            let value = |answer: &Evaluation| loss(&config, size, &labels, answer).0.loss;
            let slope = loss(&config, size, &labels, &answer).1;
            let h = 1e-5;
            let check = |change: &dyn Fn(&mut Evaluation, f64), slope: f64| {
                let at = |h| {
                    let mut moved = answer.clone();
                    change(&mut moved, h);
                    value(&moved)
                };
                let difference = (at(h) - at(-h)) / (2.0 * h);
                assert!((difference - slope).abs() < 1e-10, "{difference} {slope}");
            };
            for s in 0..2 {
                check(&|e, h| e.energies[s] += h, slope.energies[s]);
            }
            for (atom, axis) in (0..3).flat_map(|atom| (0..3).map(move |axis| (atom, axis))) {
                check(&|e, h| e.forces[atom][axis] += h, slope.forces[atom][axis]);
            }
        }
    }

    #[test]
    fn huber_is_quadratic_below_delta_and_linear_above() {
        let value = |x: f64| rho(x * x, Vec3::new(x, 0.0, 0.0), Some(0.1)).0;
        assert!((value(1e-9) / 0.5e-18 - 1.0).abs() < 1e-12);
        assert!((value(1000.0) - 0.1 * (1000.0 - 0.1)).abs() < 1e-5);
    }
}
