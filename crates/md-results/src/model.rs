use serde::{Deserialize, Serialize};

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
    /// `cpu` or `cuda`: where its runs were computed. Absent for what is no network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The device that was asked for: `cpu`, `cuda`, `wgpu` or `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_requested: Option<String>,
    /// Why they were not computed on the device that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_note: Option<String>,
    /// Number of parameters; absent for closed forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<usize>,
    /// SHA-256 of the weights; absent for closed forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_sha256: Option<String>,
    /// Significant bits of its weights (24 for f32, 11 where all were rounded to f16); absent for closed forms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_bits: Option<u32>,
    /// Symbols of the elements it has parameters for.
    pub elements: Vec<String>,
    /// Molecules that the campaign asks it to run: those it is judged on.
    pub molecules: Vec<String>,
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
    /// What is wrong with it, and what would fix it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure_modes: Vec<FailureMode>,
    /// Conditions under which it was run to the end.
    pub envelope: Envelope,
    /// Every check of every use.
    pub checks: Vec<Check>,
}

/// One thing that is wrong with a model, in words and numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailureMode {
    /// What kind, such as `orientation`.
    pub id: String,
    /// What is wrong, with the numbers it shows in.
    pub finding: String,
    /// What would fix it.
    pub remedy: String,
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
    /// Elements of these molecules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elements: Vec<String>,
    /// Fewest and most atoms of these molecules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub atoms: Option<[usize; 2]>,
    /// Longest time step that was safe on every molecule it was tried on, fs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_safe_timestep_fs: Option<f64>,
}

/// How a check ended, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is nothing to measure, and `reason` says why: neither a pass nor a skip.
    NotApplicable,
    /// Measured and within the threshold.
    Pass,
    /// Measured, but the uncertainty covers the threshold.
    Undecided,
    /// Not measured; never a pass.
    Skipped,
    /// Measured and beyond the threshold.
    Fail,
}

/// More of what would decide a check, or shrink its interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidableBy {
    /// Runs that differ in their random numbers alone.
    Replicas,
    /// Longer runs.
    Duration,
    /// Labelled frames.
    Frames,
    /// Nothing that a campaign could add: the value is computed once and for all, to an error of the computation.
    Computation,
}

impl DecidableBy {
    /// What there would be more of, after a number.
    pub fn noun(self) -> &'static str {
        match self {
            DecidableBy::Replicas => "replicas",
            DecidableBy::Duration => "times the duration",
            DecidableBy::Frames => "frames",
            DecidableBy::Computation => "computation",
        }
    }
}

impl Status {
    /// Whether a check that ended so speaks against an approval: everything but a pass, and what is not applicable.
    pub fn is_open_or_bad(self) -> bool {
        !matches!(self, Status::Pass | Status::NotApplicable)
    }

    /// The status in capitals, as printed.
    pub fn label(self) -> &'static str {
        match self {
            Status::NotApplicable => "NOT APPLICABLE",
            Status::Pass => "PASS",
            Status::Fail => "FAIL",
            Status::Undecided => "UNDECIDED",
            Status::Skipped => "SKIPPED",
        }
    }
}

impl Check {
    /// `<=` or `>=`: the value stands before it, the threshold after it.
    pub fn sign(&self) -> &'static str {
        if self.at_least { ">=" } else { "<=" }
    }
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
    /// 95 % interval of the value, where its uncertainty is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// The threshold.
    pub threshold: f64,
    /// Whether the value must reach the threshold; otherwise it must not exceed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
    /// Unit of value and threshold.
    pub unit: String,
    /// Molecule it was measured on.
    pub molecule: String,
    /// Why it was skipped, or what was measured.
    pub reason: String,
    /// What would decide an undecided check, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_decide: Option<String>,
    /// The same for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decidable_by: Option<DecidableBy>,
}
