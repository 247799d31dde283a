//! Networks in burn tensor operations: the only module that knows burn, which changes much between versions.
//!
//! The code is generic over the backend; the backward passes are written out, so that no tape is needed. With
//! `Autodiff` around the whole of PaiNN, losses in forces are differentiated by the weights (`training`); a transposed
//! weight that is stored would be missed there.

#[cfg(feature = "cuda")]
mod cuda;
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

const IMPLEMENTATION: &str = "burn-flex";

/// The distiller form on the CPU.
pub(crate) fn distiller(
    h: &DistillerHyperparameters,
    weights: &Weights,
    precision: Precision,
) -> Result<Box<dyn Network>, CheckpointError> {
    Ok(Box::new(distiller::Distiller::<Flex>::new(h, weights, precision)?))
}

/// PaiNN on the CPU.
pub(crate) fn painn(
    h: &PainnHyperparameters,
    weights: &Weights,
    precision: Precision,
) -> Result<Box<dyn Network>, CheckpointError> {
    Ok(Box::new(painn::PainnNetwork::<Flex>::new(h, weights, precision)?))
}

/// PaiNN for training on the CPU.
pub(crate) fn painn_gradient(
    h: &PainnHyperparameters,
    weights: &Weights,
    precision: Precision,
) -> Result<Box<dyn GradientEngine>, CheckpointError> {
    Ok(Box::new(training::PainnGradient::<Flex>::new(h, weights, precision)?))
}

/// PaiNN for training on the first CUDA device.
#[cfg(feature = "cuda")]
pub(crate) fn painn_gradient_on_cuda(
    h: &PainnHyperparameters,
    weights: &Weights,
    precision: Precision,
) -> Result<Box<dyn GradientEngine>, CheckpointError> {
    cuda::require_device()?;
    Ok(Box::new(training::PainnGradient::<burn::backend::Cuda>::new(h, weights, precision)?))
}
