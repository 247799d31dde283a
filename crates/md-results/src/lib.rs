//! `results.json`: everything a campaign measured, and the verdicts that follow from it.
//!
//! Units stand in the field names. An absent field was not measured. Fields may be added within a schema version;
//! those here stay. The verdicts can be computed again from this file alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use md_io::files::write_atomically;

mod checks;
mod evaluation;
mod findings;
mod gate;
mod model;
mod number;
pub mod progress;
mod run;
mod series;

pub use checks::{Definition, ENGINE, PRODUCTION, first_use, most_telling, title, worst};
pub use evaluation::{EnergyErrors, Evaluation, ForceErrors, Machine, Performance, Speed, TimeBin, frames};
pub use findings::{
    Attribution, Cause, CauseKind, Comparison, Distance, DistanceId, EnergyPart, Experiment, Shift, Survival,
    TimestepLadder, TimestepRung,
};
pub use gate::{Counts, Gate, GateId};
pub use model::{Check, DecidableBy, Envelope, FailureMode, Model, Role, Status, Verdict};
pub use number::{number, with_unit};
pub use run::{Ensemble, Run, RunEnergy, RunFate, RunMomentum, RunStability, RunTemperature, RunThermal};
pub use series::{Column, Series, SeriesId};

/// Name of the file in the output folder of a campaign.
pub const FILE: &str = "results.json";

/// Name of the file beside it with frames that models visited, to look at and to label (extended XYZ).
pub const FRAMES_FILE: &str = "frames.extxyz";

/// Stands for a molecule where pairs of elements were looked at, which need no molecule.
pub const ELEMENT_PAIRS: &str = "element pairs";

/// The schema this crate writes and reads.
pub const SCHEMA_VERSION: u32 = 1;

/// A whole `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Which campaign this is.
    pub campaign: Campaign,
    /// What it ran on.
    pub provenance: Provenance,
    /// Thresholds by use, as the campaign file gave them, defaults filled in.
    pub criteria: Vec<CriteriaSet>,
    /// Names of the molecules of the campaign, in its order.
    pub molecules: Vec<Molecule>,
    /// The models, with verdict and checks.
    pub models: Vec<Model>,
    /// Geometry relaxations before the runs.
    pub relaxations: Vec<Relaxation>,
    /// Physics gates: properties of the energy surface itself.
    pub gates: Vec<Gate>,
    /// Dynamics, one row per run.
    pub runs: Vec<Run>,
    /// Errors against labelled frames.
    pub evaluations: Vec<Evaluation>,
    /// Inference speed.
    pub speed: Vec<Speed>,
    /// What the CPU can do at most: one thread, and all of them.
    #[serde(default)]
    pub machine: Vec<Machine>,
    /// Failures of the runs as survival statistics.
    #[serde(default)]
    pub survival: Vec<Survival>,
    /// Dynamics against reference trajectories.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
    /// How far visited frames lie from the reference frames.
    #[serde(default)]
    pub shifts: Vec<Shift>,
    /// Why energy was not conserved.
    #[serde(default)]
    pub attributions: Vec<Attribution>,
    /// Time steps that are safe.
    #[serde(default)]
    pub timesteps: Vec<TimestepLadder>,
    /// What was done less or more of than planned, and why.
    #[serde(default)]
    pub economy: Vec<String>,
    /// What could not be measured because something failed.
    #[serde(default)]
    pub failures: Vec<Failure>,
    /// Numbers to be drawn.
    #[serde(default)]
    pub series: Vec<Series>,
}

/// A stage that failed for one model (and molecule). What it would have measured is missing, which is never a pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Model.
    pub model: String,
    /// Molecule; absent when it concerns all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub molecule: Option<String>,
    /// Which stage.
    pub stage: Stage,
    /// What happened.
    pub reason: String,
}

/// The stages of a campaign that measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The checkpoint.
    Load,
    /// Physics gates.
    Gates,
    /// Relaxation, without which there are no runs.
    Relaxation,
    /// Errors against labelled frames.
    Evaluation,
    /// Inference speed.
    Speed,
    /// Stability of the minimum.
    Minimum,
    /// Dynamics against reference trajectories.
    Comparison,
    /// Distance of visited frames from the reference frames.
    Shift,
    /// Why energy was not conserved.
    Attribution,
    /// Time steps that are safe.
    Timesteps,
}

/// Identity of a campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// Its name.
    pub name: String,
    /// SHA-256 of the campaign file.
    pub config_sha256: String,
    /// Seed of all random streams.
    pub seed: u64,
    /// Start, RFC 3339, UTC.
    pub started: String,
    /// End, RFC 3339, UTC; empty until then: a campaign that was stopped has none.
    #[serde(default)]
    pub finished: String,
    /// What the plan was restricted to (`--only`), such as `molecule=water`; empty for the whole campaign.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// The shard of the plan that was run (`--shard`), such as `1/4`; absent for the whole plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Runs that the campaign file asks for and that `--only` or `--shard` left out, of the models in these results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

impl Campaign {
    /// Whether everything that was asked for has been measured. A campaign that was killed or interrupted is not at its
    /// end.
    pub fn is_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    /// Whether it is finished and no shard of another: only then it has an outcome.
    pub fn is_whole(&self) -> bool {
        self.is_finished() && self.shard.is_none()
    }
}

/// Runs of one model on one molecule under one condition that were not asked for this time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Model.
    pub model: String,
    /// Molecule.
    pub molecule: String,
    /// Ensemble.
    pub ensemble: Ensemble,
    /// Temperature of the initial velocities, K.
    #[serde(rename = "temperature_K")]
    pub temperature_k: f64,
    /// Which replicas, in ascending order.
    pub replicas: Vec<u32>,
}

/// The program and the machine.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of mdproof.
    pub mdproof_version: String,
    /// Commit it was built from, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// CPU model, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Threads used.
    pub threads: usize,
    /// Device asked for.
    pub device_requested: String,
    /// Device used.
    pub device_used: String,
}

/// The thresholds of one use, such as `production`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CriteriaSet {
    /// Name of the use.
    #[serde(rename = "use")]
    pub name: String,
    /// The use is for temperatures up to this, K: hotter runs do not count.
    #[serde(rename = "max_temperature_K", default, skip_serializing_if = "Option::is_none")]
    pub max_temperature_k: Option<f64>,
    /// Threshold by criterion key.
    pub thresholds: BTreeMap<String, Threshold>,
}

/// One threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The bound, in the unit of the criterion: what is on its good side passes.
    pub value: f64,
    /// What is on the bad side of this fails, and what is between is undecided; the bound itself where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<f64>,
    /// Where it comes from.
    pub source: ThresholdSource,
}

impl Threshold {
    /// A bound without a zone of doubt.
    pub fn new(value: f64, source: ThresholdSource) -> Self {
        Threshold { value, bad: None, source }
    }
}

/// Who set a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdSource {
    /// The campaign file.
    Campaign,
    /// The program, because the campaign file said nothing.
    Default,
}

/// A molecule of the campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Molecule {
    /// Name.
    pub name: String,
    /// Number of atoms.
    pub atoms: usize,
    /// Symbols of its elements, each once.
    #[serde(default)]
    pub elements: Vec<String>,
    /// SHA-256 of the structure file.
    pub structure_sha256: String,
    /// Covalent bonds found in the structure.
    pub bonds: usize,
    /// Reference frequencies of the campaign file, 1/cm; empty where it gives none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_frequencies_per_cm: Vec<f64>,
}

/// How a relaxation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelaxationOutcome {
    /// The largest force is below the limit.
    Converged,
    /// The steps ran out.
    NotConverged,
    /// Energy, forces or geometry became invalid.
    Diverged,
}

impl RelaxationOutcome {
    /// Its name in words.
    pub fn words(self) -> &'static str {
        match self {
            RelaxationOutcome::Converged => "converged",
            RelaxationOutcome::NotConverged => "not converged",
            RelaxationOutcome::Diverged => "diverged",
        }
    }
}

/// The relaxation of one molecule with one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relaxation {
    /// Model.
    pub model: String,
    /// Molecule.
    pub molecule: String,
    /// How it ended.
    pub outcome: RelaxationOutcome,
    /// Why, unless it converged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Steps taken.
    pub steps: u64,
    /// Largest force left, eV/Å.
    #[serde(rename = "max_force_eV_per_A", skip_serializing_if = "Option::is_none")]
    pub max_force_ev_per_angstrom: Option<f64>,
    /// RMSD of the relaxed from the given structure after alignment, Å.
    #[serde(rename = "rmsd_A", skip_serializing_if = "Option::is_none")]
    pub rmsd_angstrom: Option<f64>,
    /// Longest relaxed bond relative to its length in the given structure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bond_ratio: Option<f64>,
    /// Largest difference of a relaxed bond from its length in the given structure, Å.
    #[serde(rename = "max_bond_error_A", default, skip_serializing_if = "Option::is_none")]
    pub max_bond_error_angstrom: Option<f64>,
    /// Harmonic frequencies at the relaxed geometry, 1/cm, ascending; imaginary ones are negative.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frequencies_per_cm: Vec<f64>,
    /// Reference frequencies of the campaign file, 1/cm.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reference_frequencies_per_cm: Vec<f64>,
}

/// Why a results file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not a results file of this schema.
    #[error("{}: not a results file of schema {SCHEMA_VERSION}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column.
        source: serde_json::Error,
    },
    /// Written by another version.
    #[error("{}: schema {found} (this program reads {SCHEMA_VERSION}): use the version of mdproof that wrote it", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: u64,
    },
}

impl Results {
    /// Reads a results file.
    ///
    /// # Errors
    /// [`ResultsError`] names the file.
    pub fn read(path: &Path) -> Result<Self, ResultsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ResultsError::Io { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// The results `text`, as if they stood in the file `path`.
    ///
    /// # Errors
    /// [`ResultsError`] names the file.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ResultsError> {
        let json = |source| ResultsError::Json { path: path.to_owned(), source };
        let value: serde_json::Value = serde_json::from_str(text).map_err(json)?;
        if let Some(found) = value.get("schema_version").and_then(serde_json::Value::as_u64)
            && found != u64::from(SCHEMA_VERSION)
        {
            return Err(ResultsError::Schema { path: path.to_owned(), found });
        }
        serde_json::from_value(value).map_err(json)
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`ResultsError`] names the file.
    pub fn write(&self, path: &Path) -> Result<(), ResultsError> {
        write_json(path, self)
    }

    /// Whether anything was measured of a model, or tried in vain. A campaign that was stopped names models that it has
    /// not come to.
    pub fn is_measured(&self, model: &str) -> bool {
        self.campaign.is_finished()
            || self.gates.iter().any(|g| g.model == model)
            || self.runs.iter().any(|r| r.model == model)
            || self.failures.iter().any(|f| f.model == model)
    }

    /// The models of which [`Results::is_measured`].
    pub fn measured_models(&self) -> impl Iterator<Item = &Model> {
        self.models.iter().filter(|m| self.is_measured(&m.name))
    }

    /// What the inputs of a campaign determine: measurements without times, without the machine, and without verdicts,
    /// which follow from the rest. One program makes the same of one campaign, bit for bit, on CPUs of one
    /// kind, in one go or in several.
    #[must_use]
    pub fn reproducible(&self) -> Self {
        let mut results = self.clone();
        results.campaign.started.clear();
        results.campaign.finished.clear();
        results.provenance = Provenance::default();
        results.speed.clear();
        results.machine.clear();
        results.runs.iter_mut().for_each(|run| run.ms_per_step = None);
        // In which order things were measured is no measurement.
        results.gates.sort_by(|a, b| (&a.model, &a.molecule, a.id).cmp(&(&b.model, &b.molecule, b.id)));
        results.series.sort_by(|a, b| {
            (&a.model, &a.molecule, &a.id, &a.subject).cmp(&(&b.model, &b.molecule, &b.id, &b.subject))
        });
        for model in &mut results.models {
            model.verdict = None;
            model.uses.clear();
            model.checks.clear();
            model.failure_modes.clear();
            model.summary.clear();
            model.envelope = Envelope::default();
        }
        results
    }
}

/// Reads any JSON file that [`write_json`] wrote.
///
/// # Errors
/// [`ResultsError`] names the file.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ResultsError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ResultsError::Io { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|source| ResultsError::Json { path: path.to_owned(), source })
}

/// Writes any part of the results (such as the array `speed`) as a JSON file, whole or not at all.
///
/// # Errors
/// [`ResultsError`] names the file.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ResultsError> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|source| ResultsError::Json { path: path.to_owned(), source })?;
    text.push('\n');
    write_atomically(path, text.as_bytes())
        .map_err(|source| ResultsError::Io { path: path.to_owned(), source })
}
