use serde::{Deserialize, Serialize};

/// Survival statistics of several runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Survival {
    /// Name of the model.
    pub model: String,
    /// Name of the molecule; absent for the statistics over all molecules of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub molecule: Option<String>,
    /// Number of runs.
    pub runs: usize,
    /// Number of runs in which a bond broke or that diverged.
    pub failures: usize,
    /// Time until failure or end, summed over the runs, ps.
    #[serde(deserialize_with = "crate::nan::read")]
    pub observed_ps: f64,
    /// Time of the earliest failure, ps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failure_ps: Option<f64>,
    /// Failures per observed time, 1/ns.
    #[serde(deserialize_with = "crate::nan::read")]
    pub rate_per_ns: f64,
    /// Upper bound of the failure rate, one-sided at 95 %, 1/ns.
    #[serde(deserialize_with = "crate::nan::read")]
    pub rate_upper_per_ns: f64,
    /// Kaplan-Meier estimate: time (ps), surviving fraction, and its 95 % bounds.
    #[serde(deserialize_with = "crate::nan::read")]
    pub curve: Vec<[f64; 4]>,
    /// The statistics in words.
    pub statement: String,
}

/// Comparison of a model's dynamics with reference trajectories, started from their first frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of the model.
    pub model: String,
    /// Name of the molecule.
    pub molecule: String,
    /// Files of the reference trajectories.
    pub trajectories: Vec<String>,
    /// Time compared, summed over the trajectories, ps.
    #[serde(deserialize_with = "crate::nan::read")]
    pub duration_ps: f64,
    /// Distances between the distributions.
    pub distances: Vec<Distance>,
}

/// Distributions of a trajectory that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DistanceId {
    /// Lengths of bonds, Å.
    BondLength,
    /// Distances of all pairs of atoms, Å.
    PairDistance,
    /// The velocity power spectrum over the wavenumber, 1/cm.
    Spectrum,
}

impl DistanceId {
    /// Returns the name in words.
    pub fn words(self) -> &'static str {
        match self {
            DistanceId::BondLength => "bond length",
            DistanceId::PairDistance => "pair distance",
            DistanceId::Spectrum => "spectrum",
        }
    }

    /// Returns the unit of the distance.
    pub fn unit(self) -> &'static str {
        match self {
            DistanceId::BondLength | DistanceId::PairDistance => "Å",
            DistanceId::Spectrum => "1/cm",
        }
    }
}

/// A Wasserstein distance between two distributions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    /// Quantity that is distributed.
    pub id: DistanceId,
    /// The distance, in `unit`.
    #[serde(deserialize_with = "crate::nan::read")]
    pub value: f64,
    /// Distance between the two halves of the reference itself: the effect of finite sampling alone.
    #[serde(deserialize_with = "crate::nan::read")]
    pub floor: f64,
    /// Unit of `value` and `floor`.
    pub unit: String,
}

/// Distance of the frames visited by a model from its reference frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// Name of the model.
    pub model: String,
    /// Name of the molecule.
    pub molecule: String,
    /// Number of visited frames.
    pub n_visited: usize,
    /// Number of reference frames.
    pub n_reference: usize,
    /// Distance of a visited frame to the nearest reference frame, divided by the median distance of a reference
    /// frame to its nearest neighbour: median over visited frames.
    #[serde(deserialize_with = "crate::nan::read")]
    pub median_ratio: f64,
    /// Largest of these ratios.
    #[serde(deserialize_with = "crate::nan::read")]
    pub max_ratio: f64,
    /// Fraction of visited frames whose distance exceeds the 95th percentile of those between reference frames.
    #[serde(deserialize_with = "crate::nan::read")]
    pub fraction_beyond: f64,
}

/// Atoms of a molecule, and of the frames that a model visited, that known frames do not cover.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Name of the model.
    pub model: String,
    /// Name of the molecule.
    pub molecule: String,
    /// Number of frames that the model was trained on, of all molecules; absent where they are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_training: Option<usize>,
    /// Number of reference frames of the molecule.
    pub n_reference: usize,
    /// Number of visited frames.
    pub n_visited: usize,
    /// Atoms with something that neither the training frames nor the reference frames have.
    pub uncovered: Vec<UncoveredAtom>,
    /// Atoms with something that the training frames do not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untrained: Vec<UncoveredAtom>,
}

/// An atom with something that is in none of the known frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UncoveredAtom {
    /// Index of the atom.
    pub atom: usize,
    /// What it is, such as `C bonded to N, O, O`.
    pub what: String,
    /// Number of visited frames that have it; 0 for the structure.
    pub frames: usize,
}

/// Attribution of the energy drift of one run to its causes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// Name of the model.
    pub model: String,
    /// Name of the molecule.
    pub molecule: String,
    /// Temperature of the initial velocities, K.
    #[serde(rename = "temperature_K", deserialize_with = "crate::nan::read")]
    pub temperature_k: f64,
    /// Time step of the campaign, fs.
    #[serde(deserialize_with = "crate::nan::read")]
    pub timestep_fs: f64,
    /// Duration of the analysed run, ps.
    #[serde(deserialize_with = "crate::nan::read")]
    pub duration_ps: f64,
    /// Observation that triggered the analysis, in words.
    pub trigger: String,
    /// The causes, largest share first.
    pub causes: Vec<Cause>,
    /// Parts whose sum is the change of the total energy.
    pub parts: Vec<EnergyPart>,
    /// Repetitions of the run under other conditions.
    pub experiments: Vec<Experiment>,
    /// Number of discontinuities of the energy surface that the run crossed.
    pub jumps: u64,
    /// First of these discontinuities: time (ps) and size (eV).
    #[serde(deserialize_with = "crate::nan::read")]
    pub jump_events: Vec<[f64; 2]>,
}

/// Kind of a cause of an energy drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CauseKind {
    /// The time step is too long for the integrator.
    TimeStep,
    /// The floating-point format of the run is too coarse.
    Precision,
    /// The energy or its slope jumps, as at a cutoff that is not smooth.
    Discontinuity,
    /// The force is not the gradient of the energy.
    NotAGradient,
    /// Energy and forces at the same positions differ from call to call.
    Noise,
    /// A bond broke or the geometry became invalid: the rest of the run does not simulate the molecule.
    BrokenBond,
    /// The integrator is wrong.
    Engine,
}

impl CauseKind {
    /// Returns the name in words.
    pub fn words(self) -> &'static str {
        match self {
            CauseKind::TimeStep => "time step",
            CauseKind::Precision => "precision",
            CauseKind::Discontinuity => "discontinuity",
            CauseKind::NotAGradient => "not a gradient",
            CauseKind::Noise => "noise",
            CauseKind::BrokenBond => "broken bond",
            CauseKind::Engine => "engine",
        }
    }
}

/// One cause of an energy drift.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// Kind.
    pub kind: CauseKind,
    /// Fraction of the drift due to this cause, 0 to 1; absent where there is no drift to attribute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Numbers that support the attribution.
    pub evidence: String,
    /// Suggested fix.
    pub remedy: String,
}

/// A part of the change of the total energy. Non-finite values are absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnergyPart {
    /// Name of the part.
    pub name: String,
    /// Change from the first to the last step, eV.
    #[serde(rename = "net_eV", skip_serializing_if = "Option::is_none")]
    pub net_ev: Option<f64>,
    /// Least-squares slope, meV/atom/ps.
    #[serde(rename = "slope_meV_per_atom_per_ps", skip_serializing_if = "Option::is_none")]
    pub slope_mev_per_atom_per_ps: Option<f64>,
    /// Standard deviation about that line, meV/atom.
    #[serde(rename = "rms_meV_per_atom", skip_serializing_if = "Option::is_none")]
    pub rms_mev_per_atom: Option<f64>,
}

/// One repetition of the run in an attribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// Changed condition.
    pub name: String,
    /// Time step, fs.
    #[serde(deserialize_with = "crate::nan::read")]
    pub timestep_fs: f64,
    /// Least-squares drift, meV/atom/ps; absent where the run was too short.
    #[serde(rename = "drift_meV_per_atom_per_ps", skip_serializing_if = "Option::is_none")]
    pub drift_mev_per_atom_per_ps: Option<f64>,
    /// Standard error of the drift, meV/atom/ps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_standard_error: Option<f64>,
    /// Standard deviation of the total energy, meV/atom.
    #[serde(rename = "rms_fluctuation_meV_per_atom", skip_serializing_if = "Option::is_none")]
    pub rms_fluctuation_mev_per_atom: Option<f64>,
    /// How the run diverged, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diverged: Option<String>,
}

/// Short runs that differ only in their time step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimestepLadder {
    /// Name of the model.
    pub model: String,
    /// Name of the molecule.
    pub molecule: String,
    /// Temperature of the initial velocities, K.
    #[serde(rename = "temperature_K", deserialize_with = "crate::nan::read")]
    pub temperature_k: f64,
    /// Duration of each run, ps.
    #[serde(deserialize_with = "crate::nan::read")]
    pub duration_ps: f64,
    /// Integrator, where it is not velocity Verlet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrator: Option<String>,
    /// The runs, in the order of increasing time step.
    pub rungs: Vec<TimestepRung>,
    /// Largest time step up to which every run is safe, fs; absent when the smallest is not.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "crate::nan::read")]
    pub largest_safe_fs: Option<f64>,
}

/// One time step of a [`TimestepLadder`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimestepRung {
    /// Time step, fs.
    #[serde(deserialize_with = "crate::nan::read")]
    pub timestep_fs: f64,
    /// Least-squares drift, meV/atom/ps; absent when the run diverged early.
    #[serde(rename = "drift_meV_per_atom_per_ps", skip_serializing_if = "Option::is_none")]
    pub drift_mev_per_atom_per_ps: Option<f64>,
    /// Standard deviation of the total energy divided by that of the kinetic energy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fluctuation_ratio: Option<f64>,
    /// How the run diverged, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diverged: Option<String>,
    /// Whether energy is conserved well enough at this time step.
    pub safe: bool,
}
