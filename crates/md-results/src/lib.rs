//! `results.json`: everything a campaign measured, and the verdicts that follow from it.
//!
//! Field names include the units. An absent field was not measured. Fields may be added within a schema version, but
//! the existing ones remain. The verdicts can be recomputed from this file alone, and its digests tell damage to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod checks;
mod digest;
mod evaluation;
mod file;
mod findings;
mod gate;
mod model;
mod nan;
mod number;
mod output;
mod plain;
pub mod progress;
mod run;
mod series;
mod sound;

pub use checks::{Definition, ENGINE, PRODUCTION, first_use, most_telling, title, worst};
pub use evaluation::{EnergyErrors, Evaluation, ForceErrors, Machine, Performance, Speed, TimeBin, frames};
pub use file::{ResultsError, read_json, write_json};
pub use findings::{
    Attribution, Cause, CauseKind, Comparison, Coverage, Distance, DistanceId, EnergyPart, Experiment, Shift,
    Survival, TimestepLadder, TimestepRung, UncoveredAtom,
};
pub use gate::{Counts, Gate, GateId};
pub use model::{
    Check, DecidableBy, Envelope, Expectation, FailureBound, FailureMode, Model, Role, Status, Verdict,
};
pub use number::{number, with_unit};
pub use output::OutputFile;
pub use plain::plain;
pub use run::{Ensemble, Run, RunEnergy, RunFate, RunMomentum, RunStability, RunTemperature, RunThermal};
pub use series::{Column, Series, SeriesId};

/// Name of the file in the output folder of a campaign.
pub const FILE: &str = "results.json";

/// Name of the file of visited frames beside it, for inspection and labelling (extended XYZ).
pub const FRAMES_FILE: &str = "frames.extxyz";

/// Replaces the molecule's name for properties of element pairs, which need no molecule.
pub const ELEMENT_PAIRS: &str = "element pairs";

/// Replaces the molecule's name for what is said of all checks of a use together.
pub const ALL_CHECKS: &str = "all checks";

/// Schema version that this crate reads and writes.
pub const SCHEMA_VERSION: u32 = 1;

/// Contents of `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Identity of the campaign.
    pub campaign: Campaign,
    /// Program and machine of the campaign.
    pub provenance: Provenance,
    /// Thresholds by use, from the campaign file and the defaults.
    pub criteria: Vec<CriteriaSet>,
    /// Molecules of the campaign, in its order.
    pub molecules: Vec<Molecule>,
    /// Models with their verdicts and checks.
    pub models: Vec<Model>,
    /// Geometry relaxations before the runs.
    pub relaxations: Vec<Relaxation>,
    /// Physics gates: properties of the energy surface.
    pub gates: Vec<Gate>,
    /// Dynamics, one entry per run.
    pub runs: Vec<Run>,
    /// Errors against labelled frames.
    pub evaluations: Vec<Evaluation>,
    /// Inference speed.
    pub speed: Vec<Speed>,
    /// Peak performance of the CPU with one thread and with all threads.
    #[serde(default)]
    pub machine: Vec<Machine>,
    /// Survival statistics of the runs.
    #[serde(default)]
    pub survival: Vec<Survival>,
    /// Dynamics against reference trajectories.
    #[serde(default)]
    pub comparisons: Vec<Comparison>,
    /// Distances of visited frames from the reference frames.
    #[serde(default)]
    pub shifts: Vec<Shift>,
    /// Atoms that known frames do not cover.
    #[serde(default)]
    pub coverages: Vec<Coverage>,
    /// Causes of energy drift.
    #[serde(default)]
    pub attributions: Vec<Attribution>,
    /// Safe time steps.
    #[serde(default)]
    pub timesteps: Vec<TimestepLadder>,
    /// Deviations from the planned amount of work, with their reasons.
    #[serde(default)]
    pub economy: Vec<String>,
    /// Stages that failed, whose measurements are missing.
    #[serde(default)]
    pub failures: Vec<Failure>,
    /// Data for plots.
    #[serde(default)]
    pub series: Vec<Series>,
    /// Frames and trajectories beside this file, as they were written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<OutputFile>,
    /// What was noticed when the file was read, for every report: that nothing vouches for it, that it contradicts itself.
    /// It is not part of the file.
    #[serde(skip)]
    pub remarks: Vec<String>,
}

/// A stage that failed for one model (and molecule). Its measurements are missing, which is never a pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Model.
    pub model: String,
    /// Molecule; absent when all molecules are affected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub molecule: Option<String>,
    /// Stage that failed.
    pub stage: Stage,
    /// Error message.
    pub reason: String,
}

/// The stages of a campaign that measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Loading of the checkpoint.
    Load,
    /// Physics gates.
    Gates,
    /// Geometry relaxation; dynamics requires it.
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
    /// Atoms and distances that known frames do not cover.
    Coverage,
    /// Causes of energy drift.
    Attribution,
    /// Safe time steps.
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
    /// End, RFC 3339, UTC; empty while the campaign is unfinished.
    #[serde(default)]
    pub finished: String,
    /// Selection of the plan (`--only`), such as `molecule=water`; empty for the whole campaign.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Shard of the plan (`--shard`), such as `1/4`; absent for the whole plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// Runs of the campaign file that `--only` or `--shard` left out, for the models in these results.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Work planned for each model, and whether it is done; empty in the files of older versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plan: Vec<Planned>,
    /// Command that continues the campaign while it is unfinished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<String>,
    /// What ends a run; absent in the files of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RunLimits>,
}

/// What ends a run: a geometry that is no longer that of the molecule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RunLimits {
    /// Largest length of a bond as a multiple of its reference length.
    #[serde(deserialize_with = "crate::nan::read")]
    pub bond_ratio: f64,
    /// Largest kinetic temperature as a multiple of that of its name.
    #[serde(deserialize_with = "crate::nan::read")]
    pub temperature_factor: f64,
    /// Length of a bond, as a multiple of its reference length, above which it counts as broken.
    #[serde(deserialize_with = "crate::nan::read")]
    pub broken_bond_ratio: f64,
}

/// Work that is planned for one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Planned {
    /// Model.
    pub model: String,
    /// Number of runs; replicas that are added while checks are undecided come on top.
    pub runs: usize,
    /// Whether all its measurements are made.
    pub done: bool,
}

impl Campaign {
    /// Whether all requested measurements are complete. A campaign that was killed or interrupted is not finished.
    pub fn is_finished(&self) -> bool {
        !self.finished.is_empty()
    }

    /// Whether the campaign is finished and not a shard of another. Only such a campaign has an outcome.
    pub fn is_whole(&self) -> bool {
        self.is_finished() && self.shard.is_none()
    }
}

/// Runs of one model on one molecule under one condition that `--only` or `--shard` left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Model.
    pub model: String,
    /// Molecule.
    pub molecule: String,
    /// Ensemble of the runs.
    pub ensemble: Ensemble,
    /// Temperature of the initial velocities, K.
    #[serde(rename = "temperature_K", deserialize_with = "crate::nan::read")]
    pub temperature_k: f64,
    /// Replica numbers, in ascending order.
    pub replicas: Vec<u32>,
}

/// Version of the program and description of the machine.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of mdproof.
    pub mdproof_version: String,
    /// Commit of the build, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// CPU model, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Threads used.
    pub threads: usize,
    /// Requested device.
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
    /// Highest temperature of the use, K; hotter runs are ignored.
    #[serde(
        rename = "max_temperature_K",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::nan::read"
    )]
    pub max_temperature_k: Option<f64>,
    /// Time of dynamics for which a model is approved, ns: barriers that are crossed in it are in reach. A file of an older
    /// version has none.
    #[serde(default = "default_time_ns", deserialize_with = "crate::nan::read")]
    pub time_ns: f64,
    /// Thresholds by criterion key.
    pub thresholds: BTreeMap<String, Threshold>,
}

/// Default of [`CriteriaSet::time_ns`]: runs of a microsecond are made with force fields that are this fast.
pub const DEFAULT_TIME_NS: f64 = 1000.0;

fn default_time_ns() -> f64 {
    DEFAULT_TIME_NS
}

impl CriteriaSet {
    /// Creates the set of a use at any temperature, for the default time.
    pub fn new(name: &str, thresholds: BTreeMap<String, Threshold>) -> Self {
        CriteriaSet { name: name.to_owned(), max_temperature_k: None, time_ns: DEFAULT_TIME_NS, thresholds }
    }
}

/// One threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// Bound in the unit of the criterion: values on its good side pass.
    #[serde(deserialize_with = "crate::nan::read")]
    pub value: f64,
    /// Values on the bad side of this bound fail, and values between the two bounds are undecided; equal to `value`
    /// where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<f64>,
    /// Origin of the threshold.
    pub source: ThresholdSource,
}

impl Threshold {
    /// Creates a threshold whose two bounds coincide.
    pub fn new(value: f64, source: ThresholdSource) -> Self {
        Threshold { value, bad: None, source }
    }
}

/// Origin of a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdSource {
    /// The campaign file.
    Campaign,
    /// The default of the program, used where the campaign file has none.
    Default,
}

/// Molecule of the campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Molecule {
    /// Name of the molecule.
    pub name: String,
    /// Number of atoms.
    pub atoms: usize,
    /// Symbols of its elements, without repetition.
    #[serde(default)]
    pub elements: Vec<String>,
    /// SHA-256 of the structure file.
    pub structure_sha256: String,
    /// Covalent bonds found in the structure.
    pub bonds: usize,
    /// Reference frequencies of the campaign file, 1/cm; empty where none are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::nan::read")]
    pub reference_frequencies_per_cm: Vec<f64>,
    /// Number of reference trajectories of the campaign.
    #[serde(default, skip_serializing_if = "evaluation::is_zero")]
    pub reference_trajectories: usize,
}

/// Outcome of a relaxation.
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
    /// Returns the name in words.
    pub fn words(self) -> &'static str {
        match self {
            RelaxationOutcome::Converged => "converged",
            RelaxationOutcome::NotConverged => "not converged",
            RelaxationOutcome::Diverged => "diverged",
        }
    }
}

/// Relaxation of one molecule with one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relaxation {
    /// Model.
    pub model: String,
    /// Molecule.
    pub molecule: String,
    /// Outcome.
    pub outcome: RelaxationOutcome,
    /// Reason, unless the relaxation converged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Number of steps taken.
    pub steps: u64,
    /// Largest remaining force, eV/Å.
    #[serde(rename = "max_force_eV_per_A", skip_serializing_if = "Option::is_none")]
    pub max_force_ev_per_angstrom: Option<f64>,
    /// RMSD between the relaxed and the given structure after alignment, Å.
    #[serde(rename = "rmsd_A", skip_serializing_if = "Option::is_none")]
    pub rmsd_angstrom: Option<f64>,
    /// Longest relaxed bond relative to its length in the given structure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bond_ratio: Option<f64>,
    /// Largest difference of a relaxed bond from its length in the given structure, Å.
    #[serde(rename = "max_bond_error_A", default, skip_serializing_if = "Option::is_none")]
    pub max_bond_error_angstrom: Option<f64>,
    /// Energy by which the minimum where runs start lies below this one, eV; absent if it is this one.
    #[serde(
        rename = "descent_eV",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::nan::read"
    )]
    pub descent_ev: Option<f64>,
    /// Harmonic frequencies at the relaxed geometry, 1/cm, ascending; imaginary ones are negative.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::nan::read")]
    pub frequencies_per_cm: Vec<f64>,
    /// Reference frequencies of the campaign file, 1/cm.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "crate::nan::read")]
    pub reference_frequencies_per_cm: Vec<f64>,
}

impl Results {
    /// Whether the model was measured to its end. An interrupted campaign lists models that it has not reached, and one
    /// that it was at. Nor are all runs of a model there whose records were lost. A file without a plan, of an older version, has every measurement of a model or none.
    pub fn is_measured(&self, model: &str) -> bool {
        if let Some(planned) = self.campaign.plan.iter().find(|planned| planned.model == model) {
            let made = || self.runs.iter().filter(|r| r.model == model).count();
            let failed = || self.failures.iter().any(|f| f.model == model);
            return planned.done && (made() >= planned.runs || failed());
        }
        self.campaign.is_finished()
            || self.gates.iter().any(|g| g.model == model)
            || self.runs.iter().any(|r| r.model == model)
            || self.failures.iter().any(|f| f.model == model)
    }

    /// Returns the models for which [`Results::is_measured`] holds.
    pub fn measured_models(&self) -> impl Iterator<Item = &Model> {
        self.models.iter().filter(|m| self.is_measured(&m.name))
    }

    /// Returns the number of runs made, and of those planned; `None` if the file has no plan.
    pub fn progress(&self) -> Option<[usize; 2]> {
        let planned: usize = self.campaign.plan.iter().map(|planned| planned.runs).sum();
        (planned > 0).then_some([self.runs.len(), planned.max(self.runs.len())])
    }

    /// Returns the results that the inputs of a campaign determine: the measurements without times, machine and
    /// verdicts (which follow from the rest). They are bit-identical for one program on CPUs of one kind, whether or
    /// not the campaign was interrupted and resumed.
    #[must_use]
    pub fn reproducible(&self) -> Self {
        let mut results = self.clone();
        results.campaign.started.clear();
        results.campaign.finished.clear();
        results.campaign.resume = None;
        // Compressed trajectories have other bytes after an interruption, with the same frames.
        results.files.clear();
        results.provenance = Provenance::default();
        results.speed.clear();
        results.machine.clear();
        results.remarks.clear();
        results.runs.iter_mut().for_each(|run| run.ms_per_step = None);
        // The order of the measurements carries no information.
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
