//! Networks in burn tensor operations: the only module that knows burn, which changes much between versions.
//!
//! The code is generic over the backend; the backward passes are written out, so that no tape is needed and the
//! whole can stand inside `Autodiff` when forces are trained on. For that reason no transposed weight is stored.

mod distiller;
mod message;
mod ops;

use burn::backend::Flex;

use crate::distiller::DistillerHyperparameters;
use crate::student::Network;
use crate::{CheckpointError, Precision, Weights};

/// The distiller form on the CPU.
pub(crate) fn distiller(
    h: &DistillerHyperparameters,
    weights: &Weights,
    precision: Precision,
) -> Result<Box<dyn Network>, CheckpointError> {
    Ok(Box::new(distiller::Distiller::<Flex>::new(h, weights, precision)?))
}
