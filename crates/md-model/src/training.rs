use std::fmt;

use md_core::{Configuration, Element, Evaluation, PotentialError, Request};

use crate::painn::{self, PainnHyperparameters};
use crate::student::check_elements;
use crate::{CheckpointError, Precision, Weights, burn_engine, native};

/// Where gradients for training are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainingDevice {
    /// On the CPU, in the calling thread.
    Cpu,
    /// On the CPU by burn's tensor operations and tape: slow, and the reference for the others.
    BurnCpu,
    /// On the first CUDA device, by burn's tensor operations and tape.
    #[cfg(feature = "cuda")]
    Cuda,
}

/// What turns predictions into the derivative of a loss with respect to each energy and force component.
pub(crate) type Loss<'a> = Box<dyn FnOnce(&Evaluation) -> Evaluation + 'a>;

/// A network whose weights can be changed and differentiated by.
pub(crate) trait GradientEngine: fmt::Debug + Send + Sync {
    fn set_weights(&mut self, weights: &Weights) -> Result<(), CheckpointError>;

    /// The gradient of the loss; the error is the library's message.
    fn weight_gradient(&self, c: Configuration<'_>, loss: Loss<'_>) -> Result<Weights, String>;
}

/// A network whose weights change: what training needs of it.
///
/// Forces are −∂E/∂x by an analytic backward pass, as in [`crate::Student`]. The gradient of a loss in them with respect to
/// the weights is exact, too: by that pass in dual numbers, or by a tape around it.
#[derive(Debug)]
pub struct TrainableStudent {
    elements: Vec<Element>,
    engine: Box<dyn GradientEngine>,
}

impl TrainableStudent {
    /// The network with these sizes and weights, in f32 for training or in f64 for checks.
    ///
    /// # Errors
    /// Missing, misshapen or superfluous tensors, numbers that are not finite; [`CheckpointError::NoDevice`].
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
    /// As [`TrainableStudent::new`].
    pub fn set_weights(&mut self, weights: &Weights) -> Result<(), CheckpointError> {
        self.engine.set_weights(weights)
    }

    /// The gradient of a scalar loss with respect to every weight.
    ///
    /// `loss` is given energies (eV) and forces (eV/Å) at `c`, computed in one graph, and returns the derivative of the loss
    /// with respect to each energy (1/eV) and force component (Å/eV), in the fields of the same names. May be called
    /// from several threads at once.
    ///
    /// # Errors
    /// What a [`crate::Student`] refuses: unknown elements, cells; or a failure of the library behind it.
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
