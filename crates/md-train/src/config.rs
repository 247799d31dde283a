//! The training configuration: strict TOML with all defaults.

mod checks;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::TrainError;
use checks::{
    at_least_one, batch_size, decay, files, name, not_negative, optional_at_least_one, optional_positive,
    positive, repeats, share,
};

/// Configuration of a training run: the content of `configs/train/*.toml`.
///
/// ```toml
/// name = "tiny"
/// seed = 1
///
/// [student]
/// hidden_dim = 48
/// num_interactions = 3
/// num_rbf = 16
/// cutoff_angstrom = 5.0
///
/// [[data]]
/// frames = ["../../data/train/water.extxyz.gz"]
///
/// [optimiser]
/// steps = 20000
/// ```
///
/// Everything else has a default. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Name of the student.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// Seed of the initial weights, of the split and of the order of frames.
    pub seed: u64,
    /// Checkpoint with the same sizes. Training starts with its weights, elements and reference energies instead of
    /// random weights and fitted energies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_from: Option<PathBuf>,
    /// Sizes of the network.
    pub student: StudentConfig,
    /// Files of labelled frames, at least one.
    pub data: Vec<DataConfig>,
    /// Held-out frames and validation.
    #[serde(default)]
    pub validation: ValidationConfig,
    /// The loss function.
    #[serde(default)]
    pub loss: LossConfig,
    /// The optimiser.
    pub optimiser: OptimiserConfig,
    /// Output intervals.
    #[serde(default)]
    pub output: OutputConfig,
    /// Base of relative paths: the folder of the file.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// Sizes of the student: PaiNN, see [`md_model::PainnHyperparameters`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentConfig {
    /// Width of the features.
    #[serde(deserialize_with = "at_least_one")]
    pub hidden_dim: u32,
    /// Number of interactions.
    #[serde(deserialize_with = "at_least_one")]
    pub num_interactions: u32,
    /// Number of radial basis functions.
    #[serde(deserialize_with = "at_least_one")]
    pub num_rbf: u32,
    /// Cutoff distance, Å.
    #[serde(deserialize_with = "positive")]
    pub cutoff_angstrom: f64,
}

/// Files of labelled frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Extended XYZ, plain or gzip, with `energy` (eV), `forces` (eV/Å) and the keys `molecule` and `trajectory`.
    #[serde(deserialize_with = "files")]
    pub frames: Vec<PathBuf>,
    /// Number of times that each of these frames occurs in an epoch. Default 1.
    #[serde(default = "one", deserialize_with = "repeats")]
    pub repeat: u32,
}

fn one() -> u32 {
    1
}

/// Held-out frames and validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValidationConfig {
    /// Fraction of the trajectories of each molecule that is held out, at least one if there are two or more. Default
    /// 0.1.
    #[serde(deserialize_with = "share")]
    pub trajectory_fraction: f64,
    /// Validate only on held-out frames whose key `kind` is one of these (the others are not used for training either).
    /// By default all are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<BTreeSet<String>>,
    /// Steps between validations. Default 500.
    #[serde(deserialize_with = "at_least_one")]
    pub every_steps: u64,
    /// Maximum number of validation frames, distributed over the molecules. Default 500.
    #[serde(deserialize_with = "at_least_one")]
    pub max_frames: usize,
    /// Number of validations without improvement after which training stops early. By default it does not.
    #[serde(deserialize_with = "optional_at_least_one", skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
}

impl Default for ValidationConfig {
    fn default() -> Self {
        ValidationConfig {
            trajectory_fraction: 0.1,
            kinds: None,
            every_steps: 500,
            max_frames: 500,
            patience: None,
        }
    }
}

/// The loss function; the formula is in [`crate::loss`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// Weight of the force errors, (Å/eV)². Default 1.
    #[serde(deserialize_with = "positive")]
    pub force_weight: f64,
    /// Weight of the energy errors, 1/eV². Default 0.1.
    #[serde(deserialize_with = "not_negative")]
    pub energy_weight: f64,
    /// Length of a force error (eV/Å) above which it counts linearly instead of quadratically. By default all count
    /// quadratically.
    #[serde(deserialize_with = "optional_positive", skip_serializing_if = "Option::is_none")]
    pub huber_ev_per_angstrom: Option<f64>,
}

impl Default for LossConfig {
    fn default() -> Self {
        LossConfig { force_weight: 1.0, energy_weight: 0.1, huber_ev_per_angstrom: None }
    }
}

/// AdamW and its schedule. The learning rate rises linearly during the warm-up and then decays as a cosine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserConfig {
    /// Number of steps.
    #[serde(deserialize_with = "checks::steps")]
    pub steps: u64,
    /// Number of systems in a batch. Default 8.
    #[serde(default = "defaults::batch_size", deserialize_with = "batch_size")]
    pub batch_size: usize,
    /// Learning rate after the warm-up. Default 10⁻³.
    #[serde(default = "defaults::learning_rate", deserialize_with = "positive")]
    pub learning_rate: f64,
    /// Learning rate of the last step. Default 10⁻⁶.
    #[serde(default = "defaults::final_learning_rate", deserialize_with = "positive")]
    pub final_learning_rate: f64,
    /// Number of warm-up steps, less than `steps`. Default 0.
    #[serde(default)]
    pub warm_up_steps: u64,
    /// Decoupled weight decay, in units of 1/(learning rate × step); not applied to biases or embeddings. Default 0.
    #[serde(default, deserialize_with = "not_negative")]
    pub weight_decay: f64,
    /// Decay of the mean of the gradients. Default 0.9.
    #[serde(default = "defaults::beta1", deserialize_with = "decay")]
    pub beta1: f64,
    /// Decay of the mean of the squared gradients. Default 0.999.
    #[serde(default = "defaults::beta2", deserialize_with = "decay")]
    pub beta2: f64,
    /// Term added to the root of the mean squared gradient. Default 10⁻⁸.
    #[serde(default = "defaults::epsilon", deserialize_with = "positive")]
    pub epsilon: f64,
    /// Maximum norm of the gradient over all weights; longer gradients are scaled down to it. Default 10.
    #[serde(default = "defaults::max_gradient_norm", deserialize_with = "positive")]
    pub max_gradient_norm: f64,
    /// Decay of the moving average of the weights, which is validated and saved; after t steps it is
    /// min(ema_decay, (1 + t)/(10 + t)). Default 0.999.
    #[serde(default = "defaults::ema_decay", deserialize_with = "decay")]
    pub ema_decay: f64,
}

mod defaults {
    pub(super) fn batch_size() -> usize {
        8
    }
    pub(super) fn learning_rate() -> f64 {
        1e-3
    }
    pub(super) fn final_learning_rate() -> f64 {
        1e-6
    }
    pub(super) fn beta1() -> f64 {
        0.9
    }
    pub(super) fn beta2() -> f64 {
        0.999
    }
    pub(super) fn epsilon() -> f64 {
        1e-8
    }
    pub(super) fn max_gradient_norm() -> f64 {
        10.0
    }
    pub(super) fn ema_decay() -> f64 {
        0.999
    }
}

/// Output intervals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// Steps between lines of `metrics.jsonl`, each a mean over these steps. Default 50.
    #[serde(deserialize_with = "at_least_one")]
    pub log_every_steps: u64,
    /// Steps between writes of the state from which a run resumes. Default 500.
    #[serde(deserialize_with = "at_least_one")]
    pub checkpoint_every_steps: u64,
}

impl Default for OutputConfig {
    fn default() -> Self {
        OutputConfig { log_every_steps: 50, checkpoint_every_steps: 500 }
    }
}

/// Returns the first `most` characters of `text`, without those that could control a terminal.
fn shown(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Maximum size of a training file, bytes.
const MOST_BYTES: usize = 1 << 20;

impl TrainingConfig {
    /// Reads and checks the file at `path`. Data files are not read.
    ///
    /// # Errors
    /// [`TrainError::Config`]: the first error, with its line if it has one.
    pub fn load(path: &Path) -> Result<Self, TrainError> {
        let error = |message| TrainError::Config { file: path.to_owned(), line: None, message };
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MOST_BYTES as u64 + 1).read_to_string(&mut text))
            .map_err(|source| error(format!("cannot be read: {source}")))?;
        if text.len() > MOST_BYTES {
            return Err(error("has more than 1 MiB: is this a training file?".to_owned()));
        }
        Self::parse(&text, path)
    }

    /// Parses the configuration `text` as the content of the file `path`.
    ///
    /// # Errors
    /// [`TrainError::Config`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, TrainError> {
        let error = |line, message| TrainError::Config { file: path.to_owned(), line, message };
        let mut config: Self = toml::from_str(text).map_err(|e| {
            let line = e.span().map(|span| 1 + text.bytes().take(span.start).filter(|&b| b == b'\n').count());
            let source = line.and_then(|n| text.lines().nth(n - 1)).unwrap_or("").trim();
            error(line, format!("{} (in `{}`)", shown(e.message(), 1000), shown(source, 200)))
        })?;
        config.folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let o = &config.optimiser;
        if config.data.is_empty() {
            return Err(error(
                None,
                "there is no [[data]] (expected at least one, with `frames`)".to_owned(),
            ));
        }
        if o.warm_up_steps >= o.steps {
            let message = format!(
                "optimiser.warm_up_steps = {} (expected less than optimiser.steps = {})",
                o.warm_up_steps, o.steps
            );
            return Err(error(None, message));
        }
        if o.final_learning_rate > o.learning_rate {
            let message = format!(
                "optimiser.final_learning_rate = {:e} (expected at most optimiser.learning_rate = {:e})",
                o.final_learning_rate, o.learning_rate
            );
            return Err(error(None, message));
        }
        Ok(config)
    }

    /// Resolves a path of this configuration against its folder.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }
}

#[cfg(test)]
mod tests;
