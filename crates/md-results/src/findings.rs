use serde::{Deserialize, Serialize};

/// Failures of several runs, as survival statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Survival {
    /// Model.
    pub model: String,
    /// Molecule; absent for all molecules of the model together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub molecule: Option<String>,
    /// Runs.
    pub runs: usize,
    /// Runs in which a bond broke or that diverged.
    pub failures: usize,
    /// Time of all runs until failure or end, ps.
    pub observed_ps: f64,
    /// Earliest failure, ps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_failure_ps: Option<f64>,
    /// Failures per observed time, 1/ns.
    pub rate_per_ns: f64,
    /// Bound that the failure rate stays below, one-sided at 95 %, 1/ns.
    pub rate_upper_per_ns: f64,
    /// Kaplan-Meier estimate: time (ps), surviving fraction, and its 95 % bounds.
    pub curve: Vec<[f64; 4]>,
    /// The same in words.
    pub statement: String,
}

/// Dynamics of a model against a reference trajectory that it follows from the first frame on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Model.
    pub model: String,
    /// Molecule.
    pub molecule: String,
    /// Files with the reference trajectories.
    pub trajectories: Vec<String>,
    /// Time compared, ps, all trajectories together.
    pub duration_ps: f64,
    /// The distances.
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
    /// Its name in words.
    pub fn words(self) -> &'static str {
        match self {
            DistanceId::BondLength => "bond length",
            DistanceId::PairDistance => "pair distance",
            DistanceId::Spectrum => "spectrum",
        }
    }

    /// Unit of the distance.
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
    /// The distributions.
    pub id: DistanceId,
    /// The distance, in `unit`.
    pub value: f64,
    /// Distance between halves of the reference itself: what finite sampling alone makes.
    pub floor: f64,
    /// Unit.
    pub unit: String,
}

/// How far the frames that a model visits lie from its reference frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// Model.
    pub model: String,
    /// Molecule.
    pub molecule: String,
    /// Visited frames.
    pub n_visited: usize,
    /// Reference frames.
    pub n_reference: usize,
    /// Distance of a visited frame to the nearest reference frame, over the median distance of a reference
    /// frame to the nearest other: median over visited frames.
    pub median_ratio: f64,
    /// The largest of these ratios.
    pub max_ratio: f64,
    /// Fraction of visited frames farther than 95 % of the reference frames are from each other.
    pub fraction_beyond: f64,
}

/// Why energy was not conserved in one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// Model.
    pub model: String,
    /// Molecule.
    pub molecule: String,
    /// Temperature of the initial velocities, K.
    #[serde(rename = "temperature_K")]
    pub temperature_k: f64,
    /// Time step of the campaign, fs.
    pub timestep_fs: f64,
    /// Time that was taken apart, ps.
    pub duration_ps: f64,
    /// What asked for it, in words.
    pub trigger: String,
    /// The causes, largest share first.
    pub causes: Vec<Cause>,
    /// The parts that the change of the total energy is the sum of.
    pub parts: Vec<EnergyPart>,
    /// The same run under other conditions.
    pub experiments: Vec<Experiment>,
    /// Jumps of the energy surface that were met, all of them.
    pub jumps: u64,
    /// The first of them: time (ps) and size (eV).
    pub jump_events: Vec<[f64; 2]>,
}

/// The causes of a loss of energy conservation that are told apart.
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
    /// Its name in words.
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

/// One cause of a loss of energy conservation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// Which.
    pub kind: CauseKind,
    /// Its share, 0 to 1; absent where there is nothing to share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// The numbers.
    pub evidence: String,
    /// What would fix it.
    pub remedy: String,
}

/// A part of the change of the total energy. What is not a number is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnergyPart {
    /// Which.
    pub name: String,
    /// From the first to the last step, eV.
    #[serde(rename = "net_eV", skip_serializing_if = "Option::is_none")]
    pub net_ev: Option<f64>,
    /// Least-squares slope, meV/atom/ps.
    #[serde(rename = "slope_meV_per_atom_per_ps", skip_serializing_if = "Option::is_none")]
    pub slope_mev_per_atom_per_ps: Option<f64>,
    /// Standard deviation about that line, meV/atom.
    #[serde(rename = "rms_meV_per_atom", skip_serializing_if = "Option::is_none")]
    pub rms_mev_per_atom: Option<f64>,
}

/// One experiment of an attribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experiment {
    /// What was changed.
    pub name: String,
    /// Time step, fs.
    pub timestep_fs: f64,
    /// Least-squares drift, meV/atom/ps; absent where the run was too short.
    #[serde(rename = "drift_meV_per_atom_per_ps", skip_serializing_if = "Option::is_none")]
    pub drift_mev_per_atom_per_ps: Option<f64>,
    /// Its standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_standard_error: Option<f64>,
    /// Standard deviation of the total energy, meV/atom.
    #[serde(rename = "rms_fluctuation_meV_per_atom", skip_serializing_if = "Option::is_none")]
    pub rms_fluctuation_mev_per_atom: Option<f64>,
    /// How it diverged, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diverged: Option<String>,
}

/// The same short run with longer and longer time steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimestepLadder {
    /// Model.
    pub model: String,
    /// Molecule.
    pub molecule: String,
    /// Temperature of the initial velocities, K.
    #[serde(rename = "temperature_K")]
    pub temperature_k: f64,
    /// Duration of each rung, ps.
    pub duration_ps: f64,
    /// Integrator, where it is not velocity Verlet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrator: Option<String>,
    /// The rungs, shortest step first.
    pub rungs: Vec<TimestepRung>,
    /// Longest step up to which every rung is safe, fs; absent when the shortest is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest_safe_fs: Option<f64>,
}

/// One rung of a [`TimestepLadder`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimestepRung {
    /// Time step, fs.
    pub timestep_fs: f64,
    /// Least-squares drift, meV/atom/ps; absent when it diverged early.
    #[serde(rename = "drift_meV_per_atom_per_ps", skip_serializing_if = "Option::is_none")]
    pub drift_mev_per_atom_per_ps: Option<f64>,
    /// Standard deviation of the total over that of the kinetic energy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fluctuation_ratio: Option<f64>,
    /// How it diverged, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diverged: Option<String>,
    /// Whether it conserves energy well enough.
    pub safe: bool,
}
