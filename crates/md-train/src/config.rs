//! The training configuration: strict TOML, every default written down here.

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

/// A training run: what `configs/train/*.toml` hold.
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
/// All else has a default. Unknown keys are errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Name of the student.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// Seed of weights, split and order.
    pub seed: u64,
    /// Checkpoint of the same sizes whose weights, elements and reference energies training starts with, instead of
    /// random weights and fitted energies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_from: Option<PathBuf>,
    /// Sizes of the network.
    pub student: StudentConfig,
    /// Labelled frames, at least one file.
    pub data: Vec<DataConfig>,
    /// What is held out, and how often it is looked at.
    #[serde(default)]
    pub validation: ValidationConfig,
    /// What is minimised.
    #[serde(default)]
    pub loss: LossConfig,
    /// How it is minimised.
    pub optimiser: OptimiserConfig,
    /// What is written when.
    #[serde(default)]
    pub output: OutputConfig,
    /// Folder that relative paths are relative to: that of the file.
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
    /// Distance up to which atoms interact, Å.
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
    /// How many times an epoch has each of these frames. Default 1.
    #[serde(default = "one", deserialize_with = "repeats")]
    pub repeat: u32,
}

fn one() -> u32 {
    1
}

/// What is held out for validation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ValidationConfig {
    /// Share of the trajectories of each molecule that is held out, at least one where there are two or more.
    /// Default 0.1.
    #[serde(deserialize_with = "share")]
    pub trajectory_fraction: f64,
    /// Of the held-out frames only those whose key `kind` is one of these are validated on (the others are not
    /// trained on either). Without it, all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinds: Option<BTreeSet<String>>,
    /// Steps between validations. Default 500.
    #[serde(deserialize_with = "at_least_one")]
    pub every_steps: u64,
    /// Most frames validated on, spread over the molecules. Default 500.
    #[serde(deserialize_with = "at_least_one")]
    pub max_frames: usize,
    /// Training stops early after so many validations without improvement. Without it, it does not.
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

/// What is minimised; the formula is at [`crate::loss`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// Weight of the force errors, (Å/eV)². Default 1.
    #[serde(deserialize_with = "positive")]
    pub force_weight: f64,
    /// Weight of the energy errors, 1/eV². Default 0.1.
    #[serde(deserialize_with = "not_negative")]
    pub energy_weight: f64,
    /// Length of a force error (eV/Å) from which on it counts linearly rather than squared. Without it, all count
    /// squared.
    #[serde(deserialize_with = "optional_positive", skip_serializing_if = "Option::is_none")]
    pub huber_ev_per_angstrom: Option<f64>,
}

impl Default for LossConfig {
    fn default() -> Self {
        LossConfig { force_weight: 1.0, energy_weight: 0.1, huber_ev_per_angstrom: None }
    }
}

/// AdamW and its schedule. The learning rate rises linearly over the warm-up and falls as a cosine after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserConfig {
    /// Number of steps.
    #[serde(deserialize_with = "checks::steps")]
    pub steps: u64,
    /// Systems in a batch. Default 8.
    #[serde(default = "defaults::batch_size", deserialize_with = "batch_size")]
    pub batch_size: usize,
    /// Learning rate after the warm-up. Default 10⁻³.
    #[serde(default = "defaults::learning_rate", deserialize_with = "positive")]
    pub learning_rate: f64,
    /// Learning rate of the last step. Default 10⁻⁶.
    #[serde(default = "defaults::final_learning_rate", deserialize_with = "positive")]
    pub final_learning_rate: f64,
    /// Steps of the warm-up, fewer than `steps`. Default 0.
    #[serde(default)]
    pub warm_up_steps: u64,
    /// Decoupled weight decay, in units of 1/(learning rate × step); not on biases or embeddings. Default 0.
    #[serde(default, deserialize_with = "not_negative")]
    pub weight_decay: f64,
    /// Decay of the mean of gradients. Default 0.9.
    #[serde(default = "defaults::beta1", deserialize_with = "decay")]
    pub beta1: f64,
    /// Decay of the mean of squared gradients. Default 0.999.
    #[serde(default = "defaults::beta2", deserialize_with = "decay")]
    pub beta2: f64,
    /// Added to the root of the mean squared gradient. Default 10⁻⁸.
    #[serde(default = "defaults::epsilon", deserialize_with = "positive")]
    pub epsilon: f64,
    /// Gradients longer than this, over all weights, are scaled down to it. Default 10.
    #[serde(default = "defaults::max_gradient_norm", deserialize_with = "positive")]
    pub max_gradient_norm: f64,
    /// Decay of the moving average of the weights, which is what is validated and saved; after t steps it is
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

/// What is written when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputConfig {
    /// Steps between lines of `metrics.jsonl`, each a mean over them. Default 50.
    #[serde(deserialize_with = "at_least_one")]
    pub log_every_steps: u64,
    /// Steps between writes of the state that a run resumes from. Default 500.
    #[serde(deserialize_with = "at_least_one")]
    pub checkpoint_every_steps: u64,
}

impl Default for OutputConfig {
    fn default() -> Self {
        OutputConfig { log_every_steps: 50, checkpoint_every_steps: 500 }
    }
}

/// The first `most` characters of `text`, without those that could steer a terminal.
fn shown(text: &str, most: usize) -> String {
    text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Most bytes of a training file.
const MOST_BYTES: usize = 1 << 20;

impl TrainingConfig {
    /// Reads and checks the file at `path`. Data files are not looked at.
    ///
    /// # Errors
    /// [`TrainError::Config`]: the first thing that is wrong, with its line where it has one.
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

    /// The configuration `text`, as if it stood in the file `path`.
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

    /// A path of this configuration, resolved against its folder.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }
}

#[cfg(test)]
mod tests;
