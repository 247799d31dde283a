//! `results.json`: everything a campaign measured, and the verdicts that follow from it.
//!
//! Units stand in the field names. An absent field was not measured. Fields may be added within a schema version;
//! those here stay. The verdicts can be computed again from this file alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::write_atomically;

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
    /// What could not be measured because something failed.
    #[serde(default)]
    pub failures: Vec<Failure>,
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
    /// End, RFC 3339, UTC.
    pub finished: String,
}

/// The program and the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Threshold by criterion key.
    pub thresholds: BTreeMap<String, Threshold>,
}

/// One threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Threshold {
    /// The bound, in the unit of the criterion.
    pub value: f64,
    /// Where it comes from.
    pub source: ThresholdSource,
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
    /// SHA-256 of the structure file.
    pub structure_sha256: String,
    /// Covalent bonds found in the structure.
    pub bonds: usize,
}

/// What a model is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It is judged.
    Candidate,
    /// A closed-form potential that tests the engine. It gets no verdict.
    Control,
}

/// The answer to 'may this model run production molecular dynamics?'
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every check of the use `production` passed.
    Approved,
    /// Not for production; some named uses hold.
    Restricted,
    /// Some check failed for every use.
    Rejected,
    /// Data are missing, and what was measured does not reject the model.
    Incomplete,
}

impl Verdict {
    /// The verdict in capitals, as printed.
    pub fn label(self) -> &'static str {
        match self {
            Verdict::Approved => "APPROVED",
            Verdict::Restricted => "RESTRICTED",
            Verdict::Rejected => "REJECTED",
            Verdict::Incomplete => "INCOMPLETE",
        }
    }
}

/// A model and what was found about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name in the campaign.
    pub name: String,
    /// Judged, or there to test the engine.
    pub role: Role,
    /// Architecture, such as `painn_student_mlff_distiller`.
    pub architecture: String,
    /// Floating-point format of its runs, `f32` or `f64`.
    pub precision: String,
    /// Number of parameters; absent for closed forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<usize>,
    /// SHA-256 of the weights; absent for closed forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_sha256: Option<String>,
    /// Symbols of the elements it has parameters for.
    pub elements: Vec<String>,
    /// The verdict; absent for a control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The verdict the campaign expects; absent for a control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Verdict>,
    /// Uses whose every check passed.
    pub uses: Vec<String>,
    /// One sentence with the reason.
    pub summary: String,
    /// Conditions under which it was run to the end.
    pub envelope: Envelope,
    /// Every check of every use.
    pub checks: Vec<Check>,
}

/// The conditions of the runs that finished.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Molecules of which every run finished.
    pub molecules: Vec<String>,
    /// Temperatures at which every run finished, K.
    #[serde(rename = "temperatures_K")]
    pub temperatures_k: Vec<f64>,
    /// Longest time step of a finished run, fs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestep_fs: Option<f64>,
    /// Longest finished run, ps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ps: Option<f64>,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Measured and within the threshold.
    Pass,
    /// Measured and beyond the threshold.
    Fail,
    /// Measured, but the uncertainty covers the threshold.
    Undecided,
    /// Not measured; never a pass.
    Skipped,
}

/// One check of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Key of the criterion.
    pub id: String,
    /// The use whose threshold is applied.
    #[serde(rename = "use")]
    pub use_name: String,
    /// Outcome.
    pub status: Status,
    /// Measured value; absent when skipped or not finite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Its standard error, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
    /// The threshold.
    pub threshold: f64,
    /// Unit of value and threshold.
    pub unit: String,
    /// Molecule it was measured on.
    pub molecule: String,
    /// Why it was skipped, or what was measured.
    pub reason: String,
}

/// The relaxation of one molecule with one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relaxation {
    /// Model.
    pub model: String,
    /// Molecule.
    pub molecule: String,
    /// `converged`, `not_converged` or `diverged`.
    pub outcome: String,
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
}

/// A property of the energy surface, measured on one molecule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Which, such as `rotation_energy`.
    pub id: String,
    /// Model.
    pub model: String,
    /// Molecule.
    pub molecule: String,
    /// Measured value; absent when it was not finite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Error of the measurement itself, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
    /// Unit.
    pub unit: String,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunFate {
    /// Every step was done.
    Finished,
    /// The system left the batch; `fate_reason` says why.
    Diverged,
    /// Ended on purpose before its time.
    StoppedEarly,
    /// The program could not run it.
    Failed,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Unique name, also of its random stream.
    pub id: String,
    /// Model.
    pub model: String,
    /// Molecule.
    pub molecule: String,
    /// `nve`.
    pub ensemble: String,
    /// Target of the initial velocities, K.
    #[serde(rename = "temperature_K")]
    pub temperature_k: f64,
    /// Time step, fs.
    pub timestep_fs: f64,
    /// Replica number, from 0.
    pub replica: u32,
    /// Seed of its random stream.
    pub seed: u64,
    /// Steps asked for.
    pub steps_planned: u64,
    /// Steps done.
    pub steps_done: u64,
    /// How it ended.
    pub fate: RunFate,
    /// Why, unless it finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fate_reason: Option<String>,
    /// Conservation of energy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<RunEnergy>,
    /// Kinetic temperature over the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<RunTemperature>,
    /// Conservation of angular momentum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub angular_momentum: Option<RunAngularMomentum>,
    /// Bonds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stability: Option<RunStability>,
    /// Anomalies in the recorded energy series.
    pub anomalies: Vec<String>,
    /// Wall time per step of this run, ms: the batch's time divided by its systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms_per_step: Option<f64>,
}

impl Run {
    /// Time simulated, ps.
    pub fn done_ps(&self) -> f64 {
        self.steps_done as f64 * self.timestep_fs / 1000.0
    }

    /// Time asked for, ps.
    pub fn planned_ps(&self) -> f64 {
        self.steps_planned as f64 * self.timestep_fs / 1000.0
    }
}

/// Energy conservation of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEnergy {
    /// Total energy at step 0, eV.
    #[serde(rename = "initial_eV")]
    pub initial_ev: f64,
    /// End-point drift in percent of the initial total energy. That energy's zero is arbitrary, and so is this
    /// number; it is here because people ask for it. Absent when the initial energy is zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_percent: Option<f64>,
    /// Largest deviation from the initial energy in percent of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_deviation_percent: Option<f64>,
    /// Largest deviation from the initial energy, meV/atom.
    #[serde(rename = "max_deviation_meV_per_atom")]
    pub max_deviation_mev_per_atom: f64,
    /// Least-squares slope, meV/atom/ps.
    #[serde(rename = "drift_meV_per_atom_per_ps", skip_serializing_if = "Option::is_none")]
    pub drift_mev_per_atom_per_ps: Option<f64>,
    /// Standard error of that slope, autocorrelation included, meV/atom/ps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_standard_error: Option<f64>,
    /// Standard deviation of the total energy, meV/atom.
    #[serde(rename = "rms_fluctuation_meV_per_atom")]
    pub rms_fluctuation_mev_per_atom: f64,
    /// 1 - std/|mean| of the total energy. Absent when the mean is zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conservation_ratio: Option<f64>,
    /// Pearson correlation of kinetic and potential energy, -1 in perfect NVE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinetic_potential_correlation: Option<f64>,
}

/// Temperature of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunTemperature {
    /// Mean, K.
    #[serde(rename = "mean_K")]
    pub mean_k: f64,
    /// Standard deviation, K.
    #[serde(rename = "std_K")]
    pub std_k: f64,
    /// Highest, K.
    #[serde(rename = "max_K")]
    pub max_k: f64,
    /// Degrees of freedom it was computed with.
    pub degrees_of_freedom: usize,
}

/// Angular momentum of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunAngularMomentum {
    /// Largest change from the start, ħ.
    pub max_change_hbar: f64,
}

/// Bonds in one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStability {
    /// First time a bond passed the broken ratio, ps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_broken_bond_ps: Option<f64>,
    /// That bond, as `i-j`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_broken_bond: Option<String>,
    /// Largest bond length relative to the given structure; absent without bonds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bond_ratio: Option<f64>,
    /// Largest RMSD from the start after alignment, Å.
    #[serde(rename = "max_rmsd_A")]
    pub max_rmsd_angstrom: f64,
}

/// Errors of a model on labelled frames: what `mdproof evaluate --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Model.
    pub model: String,
    /// Molecule whose reference this is; absent outside a campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub molecule: Option<String>,
    /// The file.
    pub frames: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Frames in it.
    pub n_frames: usize,
    /// Force errors; absent when no frame has forces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<ForceErrors>,
    /// Energy errors; absent when no composition has two frames with energies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<EnergyErrors>,
}

/// Force errors over frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForceErrors {
    /// Frames with forces.
    pub n_frames: usize,
    /// Atoms compared.
    pub n_atoms: usize,
    /// Root mean square over components, eV/Å.
    #[serde(rename = "rmse_eV_per_A")]
    pub rmse_ev_per_angstrom: f64,
    /// Standard error of the RMSE over frames, eV/Å; absent for a single frame.
    #[serde(rename = "rmse_standard_error_eV_per_A", skip_serializing_if = "Option::is_none")]
    pub rmse_standard_error_ev_per_angstrom: Option<f64>,
    /// Mean absolute error over components, eV/Å.
    #[serde(rename = "mae_eV_per_A")]
    pub mae_ev_per_angstrom: f64,
    /// Largest error of one component, eV/Å.
    #[serde(rename = "max_eV_per_A")]
    pub max_ev_per_angstrom: f64,
    /// RMSE of x, y and z, eV/Å.
    #[serde(rename = "rmse_xyz_eV_per_A")]
    pub rmse_xyz_ev_per_angstrom: [f64; 3],
    /// Coefficient of determination; absent when the reference does not vary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r2: Option<f64>,
    /// The same for x, y and z.
    pub r2_xyz: [Option<f64>; 3],
    /// Root mean square of the reference, eV/Å: what predicting zero would score.
    #[serde(rename = "reference_rms_eV_per_A")]
    pub reference_rms_ev_per_angstrom: f64,
    /// Median angle between predicted and reference force, degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub angle_median_deg: Option<f64>,
    /// 95th percentile of that angle, degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub angle_p95_deg: Option<f64>,
    /// Atoms for which one of the two forces has no direction.
    pub n_without_direction: usize,
    /// Mean cosine of that angle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cosine_mean: Option<f64>,
    /// Mean absolute error of the force's magnitude, eV/Å.
    #[serde(rename = "magnitude_mae_eV_per_A")]
    pub magnitude_mae_ev_per_angstrom: f64,
    /// RMSE by element, eV/Å.
    #[serde(rename = "rmse_by_element_eV_per_A")]
    pub rmse_by_element_ev_per_angstrom: BTreeMap<String, f64>,
}

/// Energy errors over frames, a constant shift per composition removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnergyErrors {
    /// Frames compared; a composition with a single frame is left out.
    pub n_frames: usize,
    /// Mean absolute error, meV/atom.
    #[serde(rename = "mae_meV_per_atom")]
    pub mae_mev_per_atom: f64,
    /// Root mean square error, meV/atom.
    #[serde(rename = "rmse_meV_per_atom")]
    pub rmse_mev_per_atom: f64,
    /// Shift removed, eV, by composition such as `H2O`.
    #[serde(rename = "shift_eV")]
    pub shift_ev: BTreeMap<String, f64>,
}

/// Speed of a model on a molecule: `mdproof bench --json` prints an array of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Model.
    pub model: String,
    /// Molecule.
    pub molecule: String,
    /// Atoms of the molecule.
    pub atoms: usize,
    /// Systems evaluated together.
    pub batch: usize,
    /// `cpu`.
    pub device: String,
    /// Which implementation, such as `burn-flex-f32`.
    pub path: String,
    /// Median time of an energy and force call, ms.
    pub ms_per_call_p50: f64,
    /// 99th percentile of the same.
    pub ms_per_call_p99: f64,
    /// Calls timed.
    pub calls: usize,
    /// Median time of an NVE step, ms.
    pub ms_per_step: f64,
    /// NVE steps per second.
    pub steps_per_s: f64,
    /// 100 NVE steps from a cold start (checkpoint loaded from disk first), s.
    pub cold_100_steps_s: f64,
    /// Peak resident memory of the process so far, MiB; absent where the system does not say.
    #[serde(rename = "peak_memory_MiB", skip_serializing_if = "Option::is_none")]
    pub peak_memory_mib: Option<f64>,
    /// Speed relative to the first model of the campaign on the same molecule.
    pub speedup_vs_first: f64,
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
        let io = |source| ResultsError::Io { path: path.to_owned(), source };
        let json = |source| ResultsError::Json { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(io)?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(json)?;
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
