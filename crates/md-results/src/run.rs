use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunFate {
    /// All steps were completed.
    Finished,
    /// The system was removed from the batch; `fate_reason` gives the reason.
    Diverged,
    /// The run was stopped on purpose before its planned end.
    StoppedEarly,
    /// The program failed to run it.
    Failed,
}

/// Ensemble that the dynamics of a run samples, by its name in the campaign file and in `results.json`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Ensemble {
    /// `nve`: constant energy.
    Nve,
    /// Constant temperature by the thermostat of this name, such as `langevin`.
    Thermostat(String),
}

impl Ensemble {
    /// Returns the name in `results.json`.
    pub fn name(&self) -> &str {
        match self {
            Ensemble::Nve => "nve",
            Ensemble::Thermostat(name) => name,
        }
    }
}

impl From<String> for Ensemble {
    fn from(name: String) -> Self {
        if name == Ensemble::Nve.name() { Ensemble::Nve } else { Ensemble::Thermostat(name) }
    }
}

impl From<Ensemble> for String {
    fn from(ensemble: Ensemble) -> Self {
        ensemble.name().to_owned()
    }
}

impl fmt::Display for Ensemble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One molecular dynamics run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Unique name, which also selects the random stream.
    pub id: String,
    /// Model.
    pub model: String,
    /// Molecule.
    pub molecule: String,
    /// Ensemble.
    pub ensemble: Ensemble,
    /// Temperature that its energy was set for, K; without relaxation, that of its initial velocities.
    #[serde(rename = "temperature_K", deserialize_with = "crate::nan::read")]
    pub temperature_k: f64,
    /// Final temperature of the thermostat for a ramp, K.
    #[serde(
        rename = "ramp_to_K",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::nan::read"
    )]
    pub ramp_to_k: Option<f64>,
    /// Whether the run started from the model's own minimum; otherwise from the given structure.
    #[serde(default = "yes")]
    pub relaxed: bool,
    /// Duration of the equilibration with a thermostat before the run, ps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub equilibrated_ps: Option<f64>,
    /// Time step, fs.
    #[serde(deserialize_with = "crate::nan::read")]
    pub timestep_fs: f64,
    /// Integrator at constant energy, where it is not velocity Verlet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrator: Option<String>,
    /// Replica number, from 0.
    pub replica: u32,
    /// Seed of its random stream.
    pub seed: u64,
    /// Number of planned steps.
    pub steps_planned: u64,
    /// Number of completed steps.
    pub steps_done: u64,
    /// Outcome.
    pub fate: RunFate,
    /// Reason, unless the run finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fate_reason: Option<String>,
    /// Energy conservation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<RunEnergy>,
    /// Kinetic temperature over the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<RunTemperature>,
    /// Conservation of linear and angular momentum.
    #[serde(rename = "angular_momentum", skip_serializing_if = "Option::is_none")]
    pub momentum: Option<RunMomentum>,
    /// Velocity distribution, for runs with a thermostat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thermal: Option<RunThermal>,
    /// Integrity of the bonds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stability: Option<RunStability>,
    /// Measurements without a field of their own, by name, which ends with the unit, if any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "crate::nan::read")]
    pub measured: BTreeMap<String, f64>,
    /// Anomalies in the recorded energy series.
    pub anomalies: Vec<String>,
    /// Wall time per step of this run, ms: the time of the batch divided by its number of systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms_per_step: Option<f64>,
}

fn yes() -> bool {
    true
}

impl Run {
    /// Whether the run is at constant energy.
    pub fn is_nve(&self) -> bool {
        self.ensemble == Ensemble::Nve
    }

    /// Returns the simulated time, ps.
    pub fn done_ps(&self) -> f64 {
        self.steps_done as f64 * self.timestep_fs / 1000.0
    }

    /// Returns the planned time, ps.
    pub fn planned_ps(&self) -> f64 {
        self.steps_planned as f64 * self.timestep_fs / 1000.0
    }
}

/// Energy conservation of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEnergy {
    /// Conserved quantity of the integrator (in NVE the total energy) at step 0, eV.
    #[serde(rename = "initial_eV", deserialize_with = "crate::nan::read")]
    pub initial_ev: f64,
    /// End-point drift in percent of the initial total energy. The zero of that energy is arbitrary, and so is this
    /// number; it is included because users ask for it. Absent when the initial energy is zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_percent: Option<f64>,
    /// Largest deviation from the initial energy in percent of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_deviation_percent: Option<f64>,
    /// Largest deviation from the initial energy, meV/atom.
    #[serde(rename = "max_deviation_meV_per_atom", deserialize_with = "crate::nan::read")]
    pub max_deviation_mev_per_atom: f64,
    /// Least-squares slope, meV/atom/ps.
    #[serde(rename = "drift_meV_per_atom_per_ps", skip_serializing_if = "Option::is_none")]
    pub drift_mev_per_atom_per_ps: Option<f64>,
    /// Standard error of that slope, autocorrelation included, meV/atom/ps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_standard_error: Option<f64>,
    /// Degrees of freedom of that standard error: number of independent residuals minus two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift_degrees_of_freedom: Option<f64>,
    /// Largest jump or spike between two samples, meV/atom; 0 if there is none.
    #[serde(rename = "max_jump_meV_per_atom", default, skip_serializing_if = "Option::is_none")]
    pub max_jump_mev_per_atom: Option<f64>,
    /// Standard deviation of the total energy, meV/atom.
    #[serde(rename = "rms_fluctuation_meV_per_atom", deserialize_with = "crate::nan::read")]
    pub rms_fluctuation_mev_per_atom: f64,
    /// 1 - std/|mean| of the total energy. Absent when the mean is zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conservation_ratio: Option<f64>,
    /// Pearson correlation of kinetic and potential energy; -1 in exact NVE dynamics.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinetic_potential_correlation: Option<f64>,
}

/// Kinetic temperature of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunTemperature {
    /// Mean, K.
    #[serde(rename = "mean_K", deserialize_with = "crate::nan::read")]
    pub mean_k: f64,
    /// Standard error of the mean, autocorrelation included, K; absent for a run too short to have one.
    #[serde(
        rename = "mean_standard_error_K",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::nan::read"
    )]
    pub mean_standard_error_k: Option<f64>,
    /// Standard deviation, K.
    #[serde(rename = "std_K", deserialize_with = "crate::nan::read")]
    pub std_k: f64,
    /// Highest, K.
    #[serde(rename = "max_K", deserialize_with = "crate::nan::read")]
    pub max_k: f64,
    /// Number of degrees of freedom used.
    pub degrees_of_freedom: usize,
}

/// Linear and angular momentum of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunMomentum {
    /// Largest change of the angular momentum from the start, ħ.
    #[serde(deserialize_with = "crate::nan::read")]
    pub max_change_hbar: f64,
    /// Largest speed of the centre of mass, Å/ps.
    #[serde(rename = "max_drift_A_per_ps", default, deserialize_with = "crate::nan::read")]
    pub max_drift_angstrom_per_ps: f64,
}

/// Comparison of the velocity distribution with that expected at the temperature of a thermostat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunThermal {
    /// Relative deviation of the mean kinetic temperature from the target, percent.
    #[serde(deserialize_with = "crate::nan::read")]
    pub temperature_error_percent: f64,
    /// Standard error of that deviation, autocorrelation included.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "crate::nan::read")]
    pub temperature_standard_error_percent: Option<f64>,
    /// Probability of a kinetic energy distribution at least as unlikely as this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kinetic_energy_p: Option<f64>,
    /// Probability of kinetic energies of atoms at least as unequal as these, corrected for the number of atoms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equipartition_p: Option<f64>,
    /// Largest deviation of an atom's kinetic energy from its expected fraction, percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equipartition_worst_percent: Option<f64>,
}

/// Integrity of the bonds in one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStability {
    /// Time at which a bond first exceeded the ratio of a broken bond, ps.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "crate::nan::read")]
    pub first_broken_bond_ps: Option<f64>,
    /// That bond, as `i-j`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_broken_bond: Option<String>,
    /// Largest bond length relative to the given structure; absent without bonds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_bond_ratio: Option<f64>,
    /// Largest RMSD from the start after alignment, Å.
    #[serde(rename = "max_rmsd_A", deserialize_with = "crate::nan::read")]
    pub max_rmsd_angstrom: f64,
}
