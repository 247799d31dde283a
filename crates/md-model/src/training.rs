use std::fmt;

use md_core::{Configuration, Element, Evaluation, PotentialError, Request};

use crate::painn::{self, PainnHyperparameters};
use crate::student::check_elements;
use crate::{CheckpointError, Precision, Weights, burn_engine, native};

/// The device on which gradients for training are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingDevice {
    /// The CPU, in the calling thread.
    Cpu,
    /// The CPU with tensor operations and the tape of burn: slow, and the reference for the others.
    BurnCpu,
    /// The first CUDA device, with tensor operations and the tape of burn.
    #[cfg(feature = "cuda")]
    Cuda,
}

/// A function from predictions to the derivative of a loss with respect to each energy and force component.
pub(crate) type Loss<'a> = Box<dyn FnOnce(&Evaluation) -> Evaluation + 'a>;

/// A network with variable weights and gradients with respect to them.
pub(crate) trait GradientEngine: fmt::Debug + Send + Sync {
    fn set_weights(&mut self, weights: &Weights) -> Result<(), CheckpointError>;

    /// Computes the gradient of the loss; the error is the message of the library.
    fn weight_gradient(&self, c: Configuration<'_>, loss: Loss<'_>) -> Result<Weights, String>;
}

/// A network with variable weights, for training.
///
/// Forces are −∂E/∂x by an analytic backward pass, as in [`crate::Student`]. The gradient with respect to the weights
/// of a loss in the forces is exact, too: by that pass in dual numbers, or by a tape around it.
#[derive(Debug)]
pub struct TrainableStudent {
    elements: Vec<Element>,
    engine: Box<dyn GradientEngine>,
}

impl TrainableStudent {
    /// Creates the network with these sizes and weights, in f32 for training or in f64 for checks.
    ///
    /// # Errors
    /// Missing, misshapen or unexpected tensors, non-finite numbers; [`CheckpointError::NoDevice`].
    pub fn new(
        h: &PainnHyperparameters,
        weights: &Weights,
        device: TrainingDevice,
        precision: Precision,
    ) -> Result<Self, CheckpointError> {
        Ok(TrainableStudent {
            elements: h.elements(),
            engine: match device {
                TrainingDevice::Cpu => native::gradient_engine(h, weights, precision)?,
                TrainingDevice::BurnCpu => burn_engine::painn_gradient(h, weights, precision)?,
                #[cfg(feature = "cuda")]
                TrainingDevice::Cuda => burn_engine::painn_gradient_on_cuda(h, weights, precision)?,
            },
        })
    }

    /// Replaces all weights.
    ///
    /// # Errors
    /// See [`TrainableStudent::new`].
    pub fn set_weights(&mut self, weights: &Weights) -> Result<(), CheckpointError> {
        self.engine.set_weights(weights)
    }

    /// Computes the gradient of a scalar loss with respect to every weight.
    ///
    /// `loss` receives energies (eV) and forces (eV/Å) at `c`, computed in one graph, and returns the derivative of the
    /// loss with respect to each energy (1/eV) and force component (Å/eV), in the fields of the same names. This
    /// function may be called from several threads at once.
    ///
    /// # Errors
    /// Configurations that a [`crate::Student`] does not support (unknown elements, cells), or a failure of the
    /// library.
    pub fn weight_gradient(
        &self,
        c: Configuration<'_>,
        loss: impl FnOnce(&Evaluation) -> Evaluation,
    ) -> Result<Weights, PotentialError> {
        check_elements(painn::MODEL_TYPE, &self.elements, c.batch, Request::FORCES)?;
        c.check_length()?;
        self.engine
            .weight_gradient(c, Box::new(loss))
            .map_err(|message| PotentialError::Backend { potential: painn::MODEL_TYPE.to_owned(), message })
    }
}
