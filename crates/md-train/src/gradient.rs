//! The gradient of a batch, computed in parts.

use md_core::Configuration;
use md_model::{TrainableStudent, TrainingDevice};
use rayon::prelude::*;

use crate::data::{Dataset, LabelledSystem};
use crate::layout::flatten;
use crate::loss::{BatchSize, LossPart, loss};
use crate::{LossConfig, TrainError};

/// Number of atoms in a part of a batch on the CPU: enough for efficient matrix products, few enough to use every core.
const CHUNK_ATOMS: usize = 40;

pub(crate) struct BatchGradient {
    pub(crate) part: LossPart,
    /// Derivative of the loss with respect to every weight.
    pub(crate) gradient: Vec<f64>,
    pub(crate) atoms: usize,
}

/// Computes the gradient of the loss over the batch `frames`.
///
/// The parts depend only on the batch and are summed in its order: the result is the same for any number of threads.
pub(crate) fn batch_gradient(
    student: &TrainableStudent,
    device: TrainingDevice,
    data: &Dataset,
    frames: &[usize],
    config: &LossConfig,
) -> Result<BatchGradient, TrainError> {
    let n_atoms = |frame: usize| data.frames[frame].forces.len();
    let size = BatchSize { systems: frames.len(), atoms: frames.iter().map(|&f| n_atoms(f)).sum() };
    let chunk_atoms = match device {
        TrainingDevice::Cpu | TrainingDevice::BurnCpu => CHUNK_ATOMS,
        // A GPU needs the whole batch at once.
        #[cfg(feature = "cuda")]
        TrainingDevice::Cuda => size.atoms,
    };
    let parts: Vec<_> = chunks(frames, n_atoms, chunk_atoms)
        .into_par_iter()
        .map(|chunk| {
            let labels: Vec<&LabelledSystem> = chunk.iter().map(|&f| &data.frames[f]).collect();
            let (batch, positions) = data.batch(chunk);
            let mut part = LossPart::default();
            let gradient = student.weight_gradient(
                Configuration { batch: &batch, positions: &positions },
                |answer| {
                    let (value, slope) = loss(config, size, &labels, answer);
                    part = value;
                    slope
                },
            )?;
            Ok((part, flatten(&gradient)))
        })
        .collect::<Result<_, TrainError>>()?;
    let mut total = BatchGradient { part: LossPart::default(), gradient: Vec::new(), atoms: size.atoms };
    for (part, gradient) in parts {
        total.part.add(part);
        total.gradient.resize(gradient.len(), 0.0);
        std::iter::zip(&mut total.gradient, gradient).for_each(|(sum, g)| *sum += g);
    }
    Ok(total)
}

/// Divides a batch into parts of at least `chunk_atoms` atoms.
fn chunks(frames: &[usize], n_atoms: impl Fn(usize) -> usize, chunk_atoms: usize) -> Vec<&[usize]> {
    let mut gathered = 0;
    frames
        .split_inclusive(|&frame| {
            gathered += n_atoms(frame);
            let full = gathered >= chunk_atoms;
            if full {
                gathered = 0;
            }
            full
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use md_core::{Evaluation, Potential, Request};
    use md_model::{Architecture, Checkpoint, PainnHyperparameters, Precision, Student};

    use super::*;
    use crate::fixtures;
    use crate::layout::Layout;

    #[test]
    fn gradient_matches_finite_differences_of_loss() {
        let all = fixtures::frames(1, 12);
        let data = Dataset { files: Vec::new(), frames: all };
        let batch: Vec<usize> = (0..24).step_by(2).collect(); // 48 atoms: two parts
        let h = PainnHyperparameters {
            hidden_dim: 4,
            num_interactions: 2,
            num_rbf: 3,
            cutoff: 3.0,
            reference_energies_ev: crate::reference_energies(&data.frames),
        };
        let config =
            LossConfig { energy_weight: 0.5, huber_ev_per_angstrom: Some(2.0), ..LossConfig::default() };
        let checkpoint = Checkpoint::untrained(&Architecture::Painn(h.clone()), 5).unwrap();
        let layout = Layout::from_weights(checkpoint.weights());
        let weights = flatten(checkpoint.weights());
        let [found, by_tape] = [TrainingDevice::Cpu, TrainingDevice::BurnCpu].map(|device| {
            let student = TrainableStudent::new(&h, checkpoint.weights(), device, Precision::F64).unwrap();
            batch_gradient(&student, device, &data, &batch, &config).unwrap()
        });

        let labels: Vec<&LabelledSystem> = batch.iter().map(|&f| &data.frames[f]).collect();
        let (systems, positions) = data.batch(&batch);
        let value = |weights: &[f64]| {
            let moved = checkpoint.with_weights(layout.weights(weights)).unwrap();
            let mut student = Student::new(&moved, Precision::F64).unwrap();
            let mut answer = Evaluation::default();
            let configuration = Configuration { batch: &systems, positions: &positions };
            student.evaluate(configuration, Request::FORCES, &mut answer).unwrap();
            loss(&config, BatchSize { systems: 12, atoms: 48 }, &labels, &answer).0.loss
        };
        assert!((found.part.loss / value(&weights) - 1.0).abs() < 1e-12);
        let h = 1e-5;
        let scale = found.gradient.iter().fold(0.0, |max: f64, g| max.max(g.abs()));
        for (a, b) in std::iter::zip(&found.gradient, &by_tape.gradient) {
            assert!((a - b).abs() < 1e-10 * scale, "{a} {b}");
        }
        for i in (0..weights.len()).step_by(11) {
            let at = |h: f64| {
                let mut moved = weights.clone();
                moved[i] += h;
                value(&moved)
            };
            let difference = (at(h) - at(-h)) / (2.0 * h);
            let error = (difference - found.gradient[i]).abs();
            assert!(error < 1e-7 * scale, "weight {i}: {difference} {}", found.gradient[i]);
        }
    }

    #[test]
    fn chunks_keep_whole_systems() {
        let atoms = [21, 3, 3, 13, 33, 50, 3];
        let cut = chunks(&[0, 1, 2, 3, 4, 5, 6], |f| atoms[f], 40);
        assert_eq!(cut, [&[0, 1, 2, 3][..], &[4, 5], &[6]]);
        assert_eq!(chunks(&[0, 1, 2, 3], |f| atoms[f], 1000).len(), 1);
    }
}
