//! Errors on validation frames.

use std::collections::BTreeMap;

use md_core::units::MEV_PER_EV;
use md_core::{Configuration, Evaluation, Potential, Request};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::data::Dataset;

/// Errors over all validation frames, and by molecule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidationErrors {
    /// Errors over all molecules.
    #[serde(flatten)]
    pub all: Errors,
    /// Errors by name of the molecule.
    pub molecules: BTreeMap<String, Errors>,
}

/// Errors over some frames.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// Number of frames.
    pub frames: usize,
    /// Root mean square over all force components, eV/Å.
    pub force_rmse_ev_per_angstrom: f64,
    /// Root mean square error of the energy per atom after removal of its mean over each molecule, meV.
    pub energy_rmse_mev_per_atom: f64,
}

#[derive(Default)]
struct Sums {
    squared_force_error: f64,
    components: usize,
    /// ΔE/N of each frame, meV.
    energy_errors: Vec<f64>,
}

/// Computes the errors of `potential` on some frames of `data`. `step` is for the message.
///
/// # Errors
/// Errors of the potential, and non-finite predictions.
pub fn validate(
    potential: &mut dyn Potential,
    data: &Dataset,
    frames: &[usize],
    step: u64,
) -> Result<ValidationErrors, TrainError> {
    let (batch, positions) = data.batch(frames);
    let mut answer = Evaluation::default();
    potential.evaluate(
        Configuration { batch: &batch, positions: &positions },
        Request::FORCES,
        &mut answer,
    )?;
    let mut by_molecule: BTreeMap<&str, Sums> = BTreeMap::new();
    for (s, label) in frames.iter().map(|&f| &data.frames[f]).enumerate() {
        let forces = &answer.forces[batch.range(s)];
        let squared: f64 = std::iter::zip(forces, &label.forces).map(|(f, l)| (f - l).norm_squared()).sum();
        let energy_error = answer.energies[s] - label.energy_ev;
        if !(squared.is_finite() && energy_error.is_finite()) {
            let file = data.files[label.file].file.clone();
            return Err(TrainError::ValidationNotFinite { step, file, frame: label.number });
        }
        let sums = by_molecule.entry(&label.molecule).or_default();
        sums.squared_force_error += squared;
        sums.components += 3 * forces.len();
        sums.energy_errors.push(MEV_PER_EV * energy_error / forces.len() as f64);
    }
    let mut all = Sums::default();
    let mut molecules = BTreeMap::new();
    for (molecule, mut sums) in by_molecule {
        let mean = sums.energy_errors.iter().sum::<f64>() / sums.energy_errors.len() as f64;
        sums.energy_errors.iter_mut().for_each(|e| *e -= mean);
        molecules.insert(molecule.to_owned(), sums.errors());
        all.squared_force_error += sums.squared_force_error;
        all.components += sums.components;
        all.energy_errors.extend(sums.energy_errors);
    }
    Ok(ValidationErrors { all: all.errors(), molecules })
}

impl Sums {
    fn errors(&self) -> Errors {
        let n = self.energy_errors.len();
        Errors {
            frames: n,
            force_rmse_ev_per_angstrom: (self.squared_force_error / self.components as f64).sqrt(),
            energy_rmse_mev_per_atom: (self.energy_errors.iter().map(|e| e * e).sum::<f64>() / n as f64)
                .sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use md_core::{Batch, PotentialError, Vec3};

    use super::*;
    use crate::fixtures;

    /// A potential with known errors for any positions.
    struct Wrong {
        /// Energy of each system, eV.
        energies: Vec<f64>,
        /// Force on the atoms of each system, eV/Å.
        forces: Vec<Vec3>,
    }

    impl Potential for Wrong {
        fn name(&self) -> &str {
            "wrong"
        }

        fn check(&self, _: &Batch, _: Request) -> Result<(), PotentialError> {
            Ok(())
        }

        fn evaluate(
            &mut self,
            c: Configuration<'_>,
            request: Request,
            out: &mut Evaluation,
        ) -> Result<(), PotentialError> {
            out.reset(c.batch, request);
            out.energies.clone_from(&self.energies);
            for (force, range) in std::iter::zip(&self.forces, c.batch.ranges()) {
                out.forces[range].fill(*force);
            }
            Ok(())
        }
    }

    /// Two waters and two methanes with labels of zero.
    fn data() -> Dataset {
        let mut frames = fixtures::frames(1, 2);
        for frame in &mut frames {
            frame.energy_ev = 0.0;
            frame.forces.fill(Vec3::zeros());
        }
        let file =
            |name: &str| crate::DataFile { file: name.into(), sha256: String::new(), frames: 2, repeat: 1 };
        Dataset { files: vec![file("water"), file("methane")], frames }
    }

    #[test]
    fn validate_errors_match_hand_values() {
        let x = |length| Vec3::new(length, 0.0, 0.0);
        let mut wrong =
            Wrong { energies: vec![0.0, 0.6, -3.0, -4.0], forces: vec![x(3.0), x(0.0), x(1.0), x(1.0)] };
        let found = validate(&mut wrong, &data(), &[0, 1, 2, 3], 0).unwrap();
        let (water, methane) = (found.molecules["water"], found.molecules["methane"]);
        // 0 and 200 meV per atom are ±100 about their mean; so are -600 and -800.
        assert!((water.energy_rmse_mev_per_atom - 100.0).abs() < 1e-9);
        assert!((methane.energy_rmse_mev_per_atom - 100.0).abs() < 1e-9);
        assert!((found.all.energy_rmse_mev_per_atom - 100.0).abs() < 1e-9);
        // Water: 3 atoms of 9 (eV/Å)² in 18 components; methane: 10 of 1 in 30; together 37 in 48.
        assert!((water.force_rmse_ev_per_angstrom - 1.5f64.sqrt()).abs() < 1e-15);
        assert!((methane.force_rmse_ev_per_angstrom - (1.0f64 / 3.0).sqrt()).abs() < 1e-15);
        assert!((found.all.force_rmse_ev_per_angstrom - (37.0f64 / 48.0).sqrt()).abs() < 1e-15);
        assert_eq!((found.all.frames, water.frames), (4, 2));
    }

    #[test]
    fn validate_names_frame_of_non_finite_answer() {
        for (energy, force) in [(f64::NAN, 0.0), (0.0, f64::INFINITY)] {
            let mut wrong = Wrong {
                energies: vec![0.0, 0.0, 0.0, energy],
                forces: vec![Vec3::zeros(), Vec3::zeros(), Vec3::zeros(), Vec3::repeat(force)],
            };
            let error = validate(&mut wrong, &data(), &[0, 1, 2, 3], 17).unwrap_err().to_string();
            assert!(
                error.starts_with("validation after step 17: energy or forces of frame 2 of methane"),
                "{error}"
            );
        }
    }
}
