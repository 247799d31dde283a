//! The inputs of a run: reading, checks and identification.

use md_model::{Architecture, Checkpoint, PainnHyperparameters};

use crate::data::{Dataset, Split, split};
use crate::reference::reference_energies;
use crate::state::Origin;
use crate::{StudentConfig, TrainError, TrainingConfig};

/// A network to be trained.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    pub(crate) hyperparameters: PainnHyperparameters,
    /// The network with its initial weights.
    pub(crate) checkpoint: Checkpoint,
}

#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) data: Dataset,
    pub(crate) split: Split,
    /// The network of `start_from`.
    pub(crate) start: Option<Network>,
    pub(crate) origin: Origin,
}

impl Inputs {
    pub(crate) fn read(config: &TrainingConfig) -> Result<Self, TrainError> {
        let data = Dataset::read(config)?;
        let split = split(&data, &config.validation, config.seed)?;
        let start = config
            .start_from
            .as_ref()
            .map(|path| {
                let path = config.resolve(path);
                let checkpoint = Checkpoint::load(&path)?;
                fitting(checkpoint, &config.student, &data)
                    .map_err(|problem| TrainError::StartFrom { path, problem })
            })
            .transpose()?;
        let origin = Origin {
            config: serde_json::to_value(config)?,
            data: data.files.clone(),
            start_from: start.as_ref().map(|network| network.checkpoint.sha256().to_owned()),
        };
        Ok(Inputs { data, split, start, origin })
    }

    /// Returns the sizes of the configuration with reference energies fitted to the training frames.
    pub(crate) fn fitted_hyperparameters(&self, student: &StudentConfig) -> PainnHyperparameters {
        PainnHyperparameters {
            hidden_dim: student.hidden_dim,
            num_interactions: student.num_interactions,
            num_rbf: student.num_rbf,
            cutoff: student.cutoff_angstrom,
            reference_energies_ev: reference_energies(
                self.split.training.iter().map(|&f| &self.data.frames[f]),
            ),
        }
    }
}

impl Network {
    /// Creates the network with random weights.
    pub(crate) fn untrained(hyperparameters: PainnHyperparameters, seed: u64) -> Result<Self, TrainError> {
        let checkpoint = Checkpoint::untrained(&Architecture::Painn(hyperparameters.clone()), seed)?;
        Ok(Network { hyperparameters, checkpoint })
    }
}

/// Returns the network of a checkpoint if it has the sizes of the configuration and supports every element of the data.
fn fitting(checkpoint: Checkpoint, sizes: &StudentConfig, data: &Dataset) -> Result<Network, String> {
    let Architecture::Painn(hyperparameters) = checkpoint.architecture().clone() else {
        return Err(format!(
            "it is a '{}', and only a 'painn' is trained",
            checkpoint.architecture().model_type()
        ));
    };
    let h = &hyperparameters;
    let found = StudentConfig {
        hidden_dim: h.hidden_dim,
        num_interactions: h.num_interactions,
        num_rbf: h.num_rbf,
        cutoff_angstrom: h.cutoff,
    };
    let keys = |sizes: &StudentConfig| {
        let StudentConfig { hidden_dim, num_interactions, num_rbf, cutoff_angstrom } = *sizes;
        [
            ("hidden_dim", f64::from(hidden_dim)),
            ("num_interactions", f64::from(num_interactions)),
            ("num_rbf", f64::from(num_rbf)),
            ("cutoff_angstrom", cutoff_angstrom),
        ]
    };
    for ((key, own), (_, asked)) in keys(&found).into_iter().zip(keys(sizes)) {
        if own != asked {
            return Err(format!("its {key} is {own}, and [student] says {asked}"));
        }
    }
    let known = checkpoint.elements();
    let unknown = data.frames.iter().flat_map(|f| f.system.elements()).find(|e| !known.contains(e));
    match unknown {
        Some(element) => Err(format!("it does not know the element {element} of the data")),
        None => Ok(Network { hyperparameters, checkpoint }),
    }
}
