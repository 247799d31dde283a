//! Networks in tensor operations of burn: the only module that uses burn, which changes much between versions.
//!
//! The code is generic over the backend; the backward passes are explicit, so that no tape is needed. With `Autodiff`
//! around the whole of PaiNN, losses in forces are differentiated with respect to the weights (`training`); a stored
//! transposed weight would not contribute.

mod distiller;
mod message;
mod ops;
mod painn;
mod training;

use burn::backend::Flex;

use crate::distiller::DistillerHyperparameters;
use crate::painn::PainnHyperparameters;
use crate::student::Network;
use crate::training::GradientEngine;
use crate::{CheckpointError, Precision, Weights};

/// Creates the distiller form on the CPU.
pub(crate) fn distiller(
    h: &DistillerHyperparameters,
    weights: &Weights,
    precision: Precision,
) -> Result<Box<dyn Network>, CheckpointError> {
    Ok(Box::new(distiller::Distiller::<Flex>::new(h, weights, precision)?))
}

/// Creates PaiNN on the CPU.
pub(crate) fn painn(
    h: &PainnHyperparameters,
    weights: &Weights,
    precision: Precision,
) -> Result<Box<dyn Network>, CheckpointError> {
    Ok(Box::new(painn::PainnNetwork::<Flex>::new(h, weights, precision)?))
}

/// Creates PaiNN for training on the CPU.
pub(crate) fn painn_gradient(
    h: &PainnHyperparameters,
    weights: &Weights,
    precision: Precision,
) -> Result<Box<dyn GradientEngine>, CheckpointError> {
    Ok(Box::new(training::PainnGradient::<Flex>::new(h, weights, precision)?))
}

/// Creates PaiNN for training on the first CUDA device.
#[cfg(feature = "cuda")]
pub(crate) fn painn_gradient_on_cuda(
    h: &PainnHyperparameters,
    weights: &Weights,
    precision: Precision,
) -> Result<Box<dyn GradientEngine>, CheckpointError> {
    crate::device::cuda::require_device()?;
    Ok(Box::new(training::PainnGradient::<burn::backend::Cuda>::new(h, weights, precision)?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use md_core::{Batch, Configuration, Element, System, Vec3};
    use rand::SeedableRng;

    use super::*;
    use crate::Architecture;
    use crate::student::Systems;

    /// One of the systems has no pairs.
    #[test]
    fn burn_engine_batch_equals_systems_alone() {
        let molecule = |shift: f64| {
            let x = [[0.0, 0.0, 0.0], [0.96 + shift, 0.0, 0.0], [-0.24, 0.93, shift]];
            System::new(vec![Element::O, Element::H, Element::H], x.map(Vec3::from).to_vec()).unwrap()
        };
        let atom = System::new(vec![Element::O], vec![Vec3::zeros()]).unwrap();
        let systems = [molecule(0.0), atom, molecule(0.1), molecule(0.3)];
        let (batch, positions) = (Batch::new(&systems), Batch::gather_positions(&systems));
        let c = Configuration { batch: &batch, positions: &positions };

        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let distiller_sizes = DistillerHyperparameters {
            hidden_dim: 8,
            num_interactions: 2,
            num_rbf: 5,
            cutoff: 4.0,
            max_z: 10,
            learnable_rbf: false,
        };
        let painn_sizes = PainnHyperparameters {
            hidden_dim: 8,
            num_interactions: 2,
            num_rbf: 5,
            cutoff: 4.0,
            reference_energies_ev: BTreeMap::from([("H".to_owned(), -1.0), ("O".to_owned(), -5.0)]),
        };
        for architecture in [Architecture::Distiller(distiller_sizes), Architecture::Painn(painn_sizes)] {
            let weights = architecture.untrained(&mut rng);
            let network = architecture.build_reference(&weights, Precision::F64).unwrap();
            let evaluate = |systems: &Systems<'_>| {
                let n = systems.ranges().count();
                let (mut energies, mut forces) = (vec![0.0; n], vec![Vec3::zeros(); systems.positions.len()]);
                network.evaluate(systems, &mut energies, Some(&mut forces)).unwrap();
                (energies, forces)
            };
            let (energies, forces) = evaluate(&Systems::new(c, 0..4));
            assert!(forces.iter().any(|f| f.norm() > 1e-3), "{forces:?}");
            for (s, atoms) in batch.ranges().enumerate() {
                let (alone, forces_alone) = evaluate(&Systems::new(c, s..s + 1));
                assert!((alone[0] - energies[s]).abs() < 1e-11, "{s}: {alone:?}, {energies:?}");
                for (a, b) in forces_alone.iter().zip(&forces[atoms]) {
                    assert!((a - b).norm() < 1e-11, "{s}: {a} {b}");
                }
            }
        }
    }
}
