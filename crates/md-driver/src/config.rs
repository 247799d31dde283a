//! The campaign file: strict TOML, checked completely before anything runs.

mod code;
mod criteria;
mod file;
mod names;
mod own;
mod reader;
mod runs;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use md_core::StepError;
use md_dynamics::{IntegratorKind, ThermostatKind};
use md_io::trajectory::Compression;
use md_model::Precision;
use md_results::{CriteriaSet, Expectation};
use serde::{Deserialize, Serialize};

use names::is_name;
pub use own::{MakeIntegrator, MakePotential, Own, OwnIntegrator, OwnPotential};
use reader::Reader;

/// An error in a campaign file, with its location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// Path of the file.
    pub file: PathBuf,
    /// Line, from 1; `None` if the error concerns the whole file.
    pub line: Option<usize>,
    /// Value found, expectation and suggested fix.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.message),
            None => write!(f, "{}: {}", self.file.display(), self.message),
        }
    }
}

/// A validated campaign. Paths are resolved against the folder of the campaign file.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Name of the campaign.
    pub name: String,
    /// Seed of all random streams.
    pub seed: u64,
    /// Text of the file.
    pub text: String,
    /// SHA-256 of the text.
    pub sha256: String,
    /// Models, at least one.
    pub models: Vec<ModelConfig>,
    /// Molecules, at least one.
    pub molecules: Vec<MoleculeConfig>,
    /// Grids of runs.
    pub runs: Vec<RunConfig>,
    /// Limits at which a run is stopped.
    pub limits: LimitsConfig,
    /// Conditions for deviating from the planned amount of work.
    pub adaptive: AdaptiveConfig,
    /// Number of frames stored of every run, for inspection and labelling.
    pub frames_per_run: usize,
    /// Criteria by use, including defaults.
    pub criteria: Vec<CriteriaSet>,
    /// SHA-256 of all of it as the file was read; empty where it is built in code.
    as_read: String,
}

impl Config {
    /// Selects the device of all models, if one is given.
    pub fn use_device(&mut self, device: Option<Device>) {
        for model in &mut self.models {
            model.device = device.unwrap_or(model.device);
        }
    }

    /// Returns the campaign without the given molecules.
    #[must_use]
    pub fn without_molecules(&self, without: &[usize]) -> Self {
        let left: Vec<usize> = (0..self.molecules.len()).filter(|m| !without.contains(m)).collect();
        let mut config = self.clone();
        config.molecules = left.iter().map(|&m| self.molecules[m].clone()).collect();
        for run in &mut config.runs {
            run.molecules =
                run.molecules.iter().filter_map(|m| left.iter().position(|kept| kept == m)).collect();
        }
        config.runs.retain(|run| !run.molecules.is_empty());
        config
    }
}

/// One model of a campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Name.
    pub name: String,
    /// Source of the model.
    pub source: ModelSource,
    /// Floating-point format of its runs.
    pub precision: Precision,
    /// Implementation used for its runs.
    pub implementation: Implementation,
    /// Device used for its runs.
    pub device: Device,
    /// Expected verdict.
    pub expect: Expectation,
}

/// Device of a network, for networks with [`Implementation::Fast`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// On the CPU.
    #[default]
    Cpu,
    /// The first CUDA device; without one, the CPU with a warning.
    Cuda,
    /// The device that wgpu finds (a GPU through Vulkan, Metal or Direct3D); without one, the CPU with a warning.
    Wgpu,
    /// The first CUDA device, if there is one.
    Auto,
}

impl Device {
    /// All devices.
    pub const ALL: [Device; 4] = [Device::Cpu, Device::Cuda, Device::Wgpu, Device::Auto];

    /// Returns the name used in the campaign file, on the command line and in the results.
    pub fn name(self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Cuda => "cuda",
            Device::Wgpu => "wgpu",
            Device::Auto => "auto",
        }
    }

    /// Returns the description for `--help`.
    pub fn meaning(self) -> &'static str {
        match self {
            Device::Cpu => "the CPU",
            Device::Cuda => "the first CUDA device; the CPU, with a warning, where there is none",
            Device::Wgpu => {
                "what wgpu finds (Vulkan, Metal, Direct3D); the CPU, with a warning, where there is none"
            }
            Device::Auto => "the first CUDA device if there is one, else the CPU",
        }
    }
}

/// Implementation of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Implementation {
    /// The fastest available: filters from splines in f32, from their networks in f64.
    #[default]
    Fast,
    /// The same loops with filters always from splines.
    Tabulated,
    /// The same loops with filters always from their networks.
    Exact,
    /// Tensor operations of burn: slow and simple, the reference for the others.
    Plain,
}

impl Implementation {
    /// All implementations.
    pub const ALL: [Implementation; 4] =
        [Implementation::Fast, Implementation::Tabulated, Implementation::Exact, Implementation::Plain];

    /// Returns the name used in the campaign file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Implementation::Fast => "fast",
            Implementation::Tabulated => "tabulated",
            Implementation::Exact => "exact",
            Implementation::Plain => "plain",
        }
    }

    /// Returns the description for `--help`.
    pub fn meaning(self) -> &'static str {
        match self {
            Implementation::Fast => {
                "the fastest there is: filters from splines in f32, by their networks in f64"
            }
            Implementation::Tabulated => "the same loops with filters from splines",
            Implementation::Exact => "the same loops with filters by their networks",
            Implementation::Plain => {
                "tensor operations of burn, slow and simple: the reference of the others"
            }
        }
    }
}

/// Source of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// A checkpoint on disk.
    Checkpoint(PathBuf),
    /// The closed-form control potential, which tests the engine and is not judged.
    Control,
    /// A potential supplied by the calling program.
    Own(OwnPotential),
    /// None: the campaign names the model, and `--model NAME=CHECKPOINT` supplies its checkpoint.
    NotGiven,
}

/// One molecule of a campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct MoleculeConfig {
    /// Name.
    pub name: String,
    /// Extended XYZ file; its first frame is the starting structure.
    pub structure: PathBuf,
    /// Extended XYZ files with energies and forces that were not used in training.
    pub references: Vec<PathBuf>,
    /// Extended XYZ files with one NVE trajectory of the reference each, including velocities. The model starts from
    /// their first frames.
    pub trajectories: Vec<PathBuf>,
    /// Number of molecules that the structure has on purpose, if it is said. Otherwise pieces without contact are an error.
    pub fragments: Option<usize>,
    /// Reference harmonic frequencies, 1/cm, ascending; empty if not given.
    pub frequencies_per_cm: Vec<f64>,
}

/// A grid of runs: models × molecules × temperatures × replicas.
#[derive(Debug, Clone, PartialEq)]
pub struct RunConfig {
    /// Indices of the models; in a campaign built in code, an empty list selects all.
    pub models: Vec<usize>,
    /// Indices of the molecules; in a campaign built in code, an empty list selects all.
    pub molecules: Vec<usize>,
    /// Ensemble.
    pub ensemble: Ensemble,
    /// Integrator of runs at constant energy.
    pub integrator: Integrator,
    /// Final temperature of a linear thermostat ramp, K.
    pub ramp_to_k: Option<f64>,
    /// Number of steps with a Langevin thermostat before an NVE run; 0 for none.
    pub equilibration_steps: u64,
    /// Time step, fs.
    pub timestep_fs: f64,
    /// Number of steps of every run.
    pub steps: u64,
    /// Targets of the initial velocities, K.
    pub temperatures_k: Vec<f64>,
    /// Number of runs per model, molecule and temperature.
    pub replicas: u32,
    /// Whether each molecule is relaxed with the model first.
    pub relax: bool,
    /// Whether initial velocities are scaled to the exact temperature.
    pub exact_temperature: bool,
    /// Number of steps between two records of energies, bonds and temperature. Limits are checked at every step.
    pub record_stride: u64,
    /// Number of steps between two frames of a trajectory; `None` writes no trajectory.
    pub trajectory_stride: Option<u64>,
    /// Compression of trajectories.
    pub trajectory_compression: Compression,
}

/// Ensemble sampled by the dynamics of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ensemble {
    /// Constant energy, with the [`Integrator`] of the runs.
    Nve,
    /// Constant temperature, with a thermostat.
    Thermostat(ThermostatKind),
}

impl Ensemble {
    /// Returns the name used in the campaign file and in the results.
    pub fn name(self) -> &'static str {
        match self {
            Ensemble::Nve => "nve",
            Ensemble::Thermostat(kind) => kind.name(),
        }
    }

    /// As results have it.
    pub(crate) fn record(self) -> md_results::Ensemble {
        self.name().to_owned().into()
    }
}

/// Integrator of runs at constant energy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Integrator {
    /// An integrator of `md_dynamics`.
    Kind(IntegratorKind),
    /// An integrator supplied by the calling program.
    Own(OwnIntegrator),
}

impl Integrator {
    /// Creates an integrator of the calling program; `make` returns it for a time step in fs. It must have no state
    /// beyond its time step, so that a resumed run can continue with a new instance.
    pub fn own(
        name: &str,
        make: impl Fn(f64) -> Result<Box<dyn md_core::Integrator>, StepError> + Send + Sync + 'static,
    ) -> Self {
        Integrator::Own(OwnIntegrator { name: name.to_owned(), make: Arc::new(make) })
    }

    /// Returns the name used in the campaign file and in the results.
    pub fn name(&self) -> &str {
        match self {
            Integrator::Kind(kind) => kind.name(),
            Integrator::Own(own) => &own.name,
        }
    }

    /// Returns the name for the results, or `None` for the default integrator.
    pub(crate) fn name_unless_default(&self) -> Option<String> {
        (!self.is_default()).then(|| self.name().to_owned())
    }

    /// Whether this is the default integrator.
    pub fn is_default(&self) -> bool {
        *self == Integrator::default()
    }

    /// Creates the integrator for a time step in fs.
    ///
    /// # Errors
    /// The integrator rejects the time step.
    pub fn build(&self, timestep_fs: f64) -> Result<Box<dyn md_core::Integrator>, StepError> {
        match self {
            Integrator::Kind(kind) => Ok(Box::new(kind.build(timestep_fs)?)),
            Integrator::Own(own) => (own.make)(timestep_fs),
        }
    }
}

impl Default for Integrator {
    fn default() -> Self {
        Integrator::Kind(IntegratorKind::DEFAULT)
    }
}

/// Conditions for running less or more than planned.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptiveConfig {
    /// Duration of the runs of a model that failed every use before its dynamics, ps.
    #[serde(alias = "hopeless_ps")]
    pub early_stop_ps: f64,
    /// Largest number of replicas added for each molecule and temperature while a check is undecided.
    #[serde(alias = "extra_replicas")]
    pub max_extra_replicas: u32,
    /// Largest total simulated time of the added replicas of a model, ps.
    pub budget_ps: f64,
}

impl Default for AdaptiveConfig {
    fn default() -> Self {
        AdaptiveConfig { early_stop_ps: 1.0, max_extra_replicas: 0, budget_ps: 100.0 }
    }
}

/// Limits beyond which a run counts as diverged.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Largest bond length relative to that in the structure file.
    pub bond_ratio: f64,
    /// The highest allowed kinetic temperature is this factor times the target plus 1000 K, and more for small
    /// molecules: [`LimitsConfig::max_temperature_k`].
    pub temperature_factor: f64,
    /// Relative length beyond which a bond counts as broken.
    pub broken_bond_ratio: f64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        LimitsConfig { bond_ratio: 2.0, temperature_factor: 10.0, broken_bond_ratio: 1.5 }
    }
}

/// Probability that a thermal fluctuation in a sound run exceeds the limit in one sample; a campaign has 10⁸ samples.
const NEVER_BY_CHANCE: f64 = 1e-12;

impl LimitsConfig {
    /// Returns the highest temperature allowed in a run at `target_k` of a molecule with n `degrees_of_freedom`, K: the
    /// larger of `1000 K + factor T` and `T (2n + 2 √(2n t) + 2t) / n` with `t = ln 10¹²`.
    ///
    /// The second value is one that a sound molecule does not exceed by chance. The energy of n harmonic vibrations,
    /// kinetic and potential, is `k_B T / 2` times χ² with 2n degrees of freedom, which exceeds `2n + 2 √(2n t) + 2t`
    /// with a probability of at most `exp(-t)`; at some moment all of it is kinetic, with a temperature of `2 K / n
    /// k_B`. With a factor of 10 at 300 K the first value is 4000 K, and the second 21,600 K for N₂ (n = 1), 8,700 K
    /// for water (3), 3,900 K for methane (9). Each start at constant energy, and each independent sample of a
    /// thermostat, is one trial.
    ///
    /// Source of the bound: B. Laurent, P. Massart, Ann. Statist. 28, 1302 (2000), lemma 1.
    pub fn max_temperature_k(&self, target_k: f64, degrees_of_freedom: usize) -> f64 {
        let usual_k = 1000.0 + self.temperature_factor * target_k;
        let n = degrees_of_freedom as f64;
        let t = -NEVER_BY_CHANCE.ln();
        if degrees_of_freedom == 0 {
            return usual_k; // one atom, which is at rest
        }
        usual_k.max(target_k * (2.0 * n + 2.0 * (2.0 * n * t).sqrt() + 2.0 * t) / n)
    }
}

/// A model given as `NAME=CHECKPOINT` on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelArgument {
    /// Name of the model, which replaces an existing model of that name or is added.
    pub name: String,
    /// Checkpoint, relative to the current folder.
    pub checkpoint: PathBuf,
}

impl ModelArgument {
    /// Returns the configuration of the model in a campaign.
    pub fn config(
        &self,
        precision: Precision,
        implementation: Implementation,
        device: Device,
    ) -> ModelConfig {
        let source = ModelSource::Checkpoint(self.checkpoint.clone());
        ModelConfig { precision, implementation, device, ..ModelConfig::new(&self.name, source) }
    }
}

impl std::str::FromStr for ModelArgument {
    type Err = String;

    fn from_str(argument: &str) -> Result<Self, String> {
        match argument.split_once('=') {
            Some((name, path)) if is_name(name) && !path.is_empty() => {
                Ok(ModelArgument { name: name.to_owned(), checkpoint: PathBuf::from(path) })
            }
            _ => Err("expected NAME=CHECKPOINT, such as tiny=checkpoints/tiny".to_owned()),
        }
    }
}

/// Reads and validates the campaign file at `path`. `extra` models and the potentials of `own` are added, or replace
/// the models of the same name.
///
/// # Errors
/// The first error, with its line.
pub fn load(path: &Path, extra: &[ModelArgument], own: &Own) -> Result<Config, ConfigError> {
    let error = |message| ConfigError { file: path.to_owned(), line: None, message };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|source| error(format!("cannot be read: {source}")))?;
    if bytes.len() > MOST_BYTES {
        return Err(error(TOO_LARGE.to_owned()));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| error("cannot be read: it is not UTF-8 text: is this a campaign file?".to_owned()))?;
    parse(&text, path, extra, own)
}

/// Maximum size of a campaign file, bytes.
const MOST_BYTES: usize = 1 << 20;
const TOO_LARGE: &str = "has more than 1 MiB: is this a campaign file?";

/// Parses the campaign in `text` as if it were the contents of `path`; otherwise as [`load`].
///
/// # Errors
/// The first error, with its line.
pub fn parse(text: &str, path: &Path, extra: &[ModelArgument], own: &Own) -> Result<Config, ConfigError> {
    let reader = Reader { path, text, own };
    if text.len() > MOST_BYTES { Err(reader.error(None, TOO_LARGE)) } else { reader.read(extra) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_temperature_exceeds_fluctuations_of_small_molecules() {
        let limits = LimitsConfig::default();
        let at = |n| limits.max_temperature_k(300.0, n);
        assert_eq!((at(0), at(9), at(60)), (4000.0, 4000.0, 4000.0));
        for (n, expected_k) in [(1, 21_639.0), (3, 8701.4), (4, 6975.1)] {
            assert!((at(n) - expected_k).abs() < 1.0, "{n}: {} K", at(n));
        }
        // Energy for n = 1 at constant energy: χ² with 2 degrees exceeds x with a probability of exp(-x/2).
        let passes = (-0.5 * at(1) / 300.0).exp();
        assert!(passes < 1e-12, "{passes:e}");
        assert!((-0.5 * 4000.0 / 300.0_f64).exp() > 1e-3, "which 4000 K is not");
        // A smaller factor does not lower the limit into the range of thermal fluctuations.
        let strict = LimitsConfig { temperature_factor: 1.0, ..limits };
        assert_eq!(strict.max_temperature_k(300.0, 1), at(1));
        assert_eq!(limits.max_temperature_k(0.0, 1), 1000.0);
    }
}
