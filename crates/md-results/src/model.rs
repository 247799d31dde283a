use serde::{Deserialize, Serialize};

/// Role of a model in a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A model that is judged.
    Candidate,
    /// A closed-form potential that tests the engine. It receives no verdict.
    Control,
}

/// Verdict on the question 'may this model run production molecular dynamics?'
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every check of the use `production` passed.
    Approved,
    /// Not approved for production, but for some other use.
    Restricted,
    /// Every use has a failed check.
    Rejected,
    /// Data are missing, and the existing measurements do not reject the model.
    Incomplete,
}

impl Verdict {
    /// All verdicts.
    pub const ALL: [Verdict; 4] =
        [Verdict::Approved, Verdict::Restricted, Verdict::Rejected, Verdict::Incomplete];

    /// Returns the verdict in capitals, as printed.
    pub fn label(self) -> &'static str {
        match self {
            Verdict::Approved => "APPROVED",
            Verdict::Restricted => "RESTRICTED",
            Verdict::Rejected => "REJECTED",
            Verdict::Incomplete => "INCOMPLETE",
        }
    }
}

/// What a campaign expects of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Expectation {
    /// This verdict.
    Verdict(Verdict),
    /// That it passes this use, whatever its verdict.
    Use {
        /// Name of the use.
        #[serde(rename = "use")]
        name: String,
    },
}

impl Expectation {
    /// Returns the expected verdict or use, as printed.
    pub fn label(&self) -> &str {
        match self {
            Expectation::Verdict(verdict) => verdict.label(),
            Expectation::Use { name } => name,
        }
    }
}

impl From<Verdict> for Expectation {
    fn from(verdict: Verdict) -> Self {
        Expectation::Verdict(verdict)
    }
}

/// A model and its findings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Name in the campaign.
    pub name: String,
    /// Role: a candidate is judged, a control tests the engine.
    pub role: Role,
    /// Architecture, such as `painn_student_mlff_distiller`.
    pub architecture: String,
    /// Floating-point format of its runs, `f32` or `f64`.
    pub precision: String,
    /// Device of its runs, `cpu` or `cuda`; absent for models other than networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Requested device: `cpu`, `cuda`, `wgpu` or `auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_requested: Option<String>,
    /// Reason why the requested device was not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_note: Option<String>,
    /// Number of parameters; absent for closed forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<usize>,
    /// SHA-256 of the weights; absent for closed forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_sha256: Option<String>,
    /// Significant bits of the weights (24 for f32, 11 if all were rounded to f16); absent for closed forms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_bits: Option<u32>,
    /// What its files do not state and was assumed in loading it, and what of them was not used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assumptions: Vec<String>,
    /// Symbols of the elements that the model has parameters for.
    pub elements: Vec<String>,
    /// Molecules that the campaign runs with the model and judges it on.
    pub molecules: Vec<String>,
    /// The verdict; absent for a control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What the campaign file expects; absent for a control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expectation>,
    /// Uses for which every check passed.
    pub uses: Vec<String>,
    /// Upper bound of the probability that the verdict is wrong by the scatter of the samples behind its checks, all of them
    /// together; absent where nothing was decided.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::nan::read")]
    pub chance: Option<f64>,
    /// Reason for the verdict in one sentence.
    pub summary: String,
    /// Defects of the model with suggested fixes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure_modes: Vec<FailureMode>,
    /// Conditions covered by finished runs.
    pub envelope: Envelope,
    /// All checks of all uses.
    pub checks: Vec<Check>,
}

/// A defect of a model, in words and numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailureMode {
    /// Identifier, such as `orientation`.
    pub id: String,
    /// Description with the numbers that show the defect.
    pub finding: String,
    /// Suggested fix.
    pub remedy: String,
}

/// Conditions covered by the finished runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// Molecules for which every run finished.
    pub molecules: Vec<String>,
    /// Temperatures, by their names, at which every run finished and some had that mean temperature, K.
    #[serde(rename = "temperatures_K", deserialize_with = "crate::nan::read")]
    pub temperatures_k: Vec<f64>,
    /// Lowest and highest mean temperature of those runs at each of `temperatures_k`, K.
    #[serde(
        rename = "measured_K",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "crate::nan::read"
    )]
    pub measured_k: Vec<[f64; 2]>,
    /// Shortest time step of the longest runs of each molecule and temperature, fs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestep_fs: Option<f64>,
    /// Shortest of the longest runs of each molecule and temperature, ps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ps: Option<f64>,
    /// Elements of the molecules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub elements: Vec<String>,
    /// Smallest and largest number of atoms of the molecules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub atoms: Option<[usize; 2]>,
    /// Largest time step that was safe on every molecule tested, fs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub largest_safe_timestep_fs: Option<f64>,
    /// How often each molecule may fail at its hottest temperature.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failure_bounds: Vec<FailureBound>,
}

/// How often a molecule may fail at its hottest temperature, by the runs that were at that temperature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FailureBound {
    /// Name of the molecule.
    pub molecule: String,
    /// Hottest temperature, by its name, K.
    #[serde(rename = "temperature_K", deserialize_with = "crate::nan::read")]
    pub temperature_k: f64,
    /// Time until failure or end, summed over the runs, ps.
    #[serde(deserialize_with = "crate::nan::read")]
    pub observed_ps: f64,
    /// Number of runs in which a bond broke or that diverged.
    pub failures: usize,
    /// Upper bound of the failure rate, one-sided at 95 %, 1/ns.
    #[serde(deserialize_with = "crate::nan::read")]
    pub rate_upper_per_ns: f64,
}

impl FailureBound {
    /// Returns the time that half of all runs survive at that bound or longer, ns: `ln 2 / rate`.
    pub fn half_life_ns(&self) -> f64 {
        std::f64::consts::LN_2 / self.rate_upper_per_ns
    }
}

/// Outcome of a check, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// There is nothing to measure, for the given `reason`: neither a pass nor a skip.
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

/// Additional data that would decide a check or narrow its interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidableBy {
    /// Runs that differ only in their random numbers.
    Replicas,
    /// Longer runs.
    Duration,
    /// Labelled frames.
    Frames,
    /// None: the value is computed once, to the accuracy of the computation.
    Computation,
}

impl DecidableBy {
    /// Returns the noun of the additional data, to follow a number.
    pub fn noun(self) -> &'static str {
        match self {
            DecidableBy::Replicas => "replicas",
            DecidableBy::Duration => "times the duration",
            DecidableBy::Frames => "frames",
            DecidableBy::Computation => "computation",
        }
    }
}

impl Model {
    /// Whether the model is what the campaign expects of it; a control, of which nothing is expected, is not.
    pub fn is_as_expected(&self) -> bool {
        match &self.expected {
            Some(Expectation::Verdict(verdict)) => self.verdict == Some(*verdict),
            Some(Expectation::Use { name }) => self.uses.contains(name),
            None => false,
        }
    }
}

impl Status {
    /// Whether the status prevents an approval: anything but a pass or a check that is not applicable.
    pub fn is_open_or_bad(self) -> bool {
        !matches!(self, Status::Pass | Status::NotApplicable)
    }

    /// Returns the status in capitals, as printed.
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
    /// Returns the relation between value and threshold, `<=` or `>=`.
    pub fn sign(&self) -> &'static str {
        if self.at_least { ">=" } else { "<=" }
    }
}

/// One check of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Key of the criterion.
    pub id: String,
    /// Use that sets the threshold.
    #[serde(rename = "use")]
    pub use_name: String,
    /// Outcome.
    pub status: Status,
    /// Measured value; absent when skipped or not finite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// Standard error of the value, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standard_error: Option<f64>,
    /// Probability that the true value is on the other side of the threshold, by Student's t; absent where the check is
    /// undecided or its value has no statistical error.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::nan::read")]
    pub chance: Option<f64>,
    /// 95 % interval of the value, where its uncertainty is known.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::nan::read")]
    pub interval: Option<[f64; 2]>,
    /// The threshold.
    #[serde(deserialize_with = "crate::nan::read")]
    pub threshold: f64,
    /// Whether the value must reach the threshold; otherwise it must not exceed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
    /// Unit of value and threshold.
    pub unit: String,
    /// Molecule of the measurement.
    pub molecule: String,
    /// Reason for a skip, or description of the measurement.
    pub reason: String,
    /// Additional data that would decide an undecided check, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_decide: Option<String>,
    /// Additional data that would decide the check, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decidable_by: Option<DecidableBy>,
}
