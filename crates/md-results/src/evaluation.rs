use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Errors of a model on labelled frames: what `mdproof evaluate --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Name of the model.
    pub model: String,
    /// Molecule that the reference data describe; absent outside a campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub molecule: Option<String>,
    /// Path of the file of frames.
    pub frames: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Number of frames in the file.
    pub n_frames: usize,
    /// Number of frames without forces.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_without_forces: usize,
    /// Number of labelled frames left out because they repeat the geometry of an earlier one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_repeated: usize,
    /// Force errors; absent when no frame has forces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<ForceErrors>,
    /// Energy errors; absent when no composition has two frames with energies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<EnergyErrors>,
    /// Force error against simulation time, for frames of the model's own runs that were labelled afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_time: Vec<TimeBin>,
}

pub(crate) fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Performance {
    /// Returns the performance measurements of a campaign.
    pub fn from_results(results: &crate::Results) -> Self {
        let of_models = results.models.iter().map(|m| (m.name.clone(), m.assumptions.clone()));
        Performance {
            machine: results.machine.clone(),
            speed: results.speed.clone(),
            assumptions: of_models.filter(|(_, assumed)| !assumed.is_empty()).collect(),
        }
    }
}

impl Evaluation {
    /// Returns the number of frames used for the force errors, with the total where they differ: `23 of 24`.
    pub fn counted_frames(&self) -> String {
        match self.force.as_ref().map_or(0, |f| f.n_frames) {
            n if n == self.n_frames => n.to_string(),
            n => format!("{n} of {}", self.n_frames),
        }
    }
}

/// Force error of the frames within one interval of simulation time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeBin {
    /// Temperature of the runs, K.
    #[serde(rename = "temperature_K", deserialize_with = "crate::nan::read")]
    pub temperature_k: f64,
    /// Start of the interval, ps.
    #[serde(deserialize_with = "crate::nan::read")]
    pub from_ps: f64,
    /// End of the interval, ps.
    #[serde(deserialize_with = "crate::nan::read")]
    pub to_ps: f64,
    /// Number of frames.
    pub n_frames: usize,
    /// Root mean square force error over components, eV/Å.
    #[serde(rename = "rmse_eV_per_A", deserialize_with = "crate::nan::read")]
    pub rmse_ev_per_angstrom: f64,
}

/// Force errors over frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForceErrors {
    /// Number of distinct geometries with forces.
    pub n_frames: usize,
    /// Number of these frames that a reference file before this one of the same molecule has, too.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_in_earlier_files: usize,
    /// Number of atoms compared.
    pub n_atoms: usize,
    /// Root mean square over components, eV/Å.
    #[serde(rename = "rmse_eV_per_A", deserialize_with = "crate::nan::read")]
    pub rmse_ev_per_angstrom: f64,
    /// Standard error of the RMSE over frames, eV/Å; absent for a single frame.
    #[serde(
        rename = "rmse_standard_error_eV_per_A",
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "crate::nan::read"
    )]
    pub rmse_standard_error_ev_per_angstrom: Option<f64>,
    /// Mean absolute error over components, eV/Å.
    #[serde(rename = "mae_eV_per_A", deserialize_with = "crate::nan::read")]
    pub mae_ev_per_angstrom: f64,
    /// Largest length of the error of one atom's force, eV/Å.
    #[serde(rename = "max_eV_per_A", deserialize_with = "crate::nan::read")]
    pub max_ev_per_angstrom: f64,
    /// RMSE of the x, y and z components, eV/Å.
    #[serde(rename = "rmse_xyz_eV_per_A", deserialize_with = "crate::nan::read")]
    pub rmse_xyz_ev_per_angstrom: [f64; 3],
    /// Coefficient of determination; absent when the reference does not vary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r2: Option<f64>,
    /// Coefficients of determination of the x, y and z components.
    pub r2_xyz: [Option<f64>; 3],
    /// Root mean square of the reference, eV/Å: the error of a prediction of zero.
    #[serde(rename = "reference_rms_eV_per_A", deserialize_with = "crate::nan::read")]
    pub reference_rms_ev_per_angstrom: f64,
    /// RMSE as a part of `reference_rms`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::nan::read")]
    pub relative_rmse: Option<f64>,
    /// Standard error of `relative_rmse`, from the scatter between frames; absent for a single frame.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::nan::read")]
    pub relative_rmse_standard_error: Option<f64>,
    /// Median angle between predicted and reference force, degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub angle_median_deg: Option<f64>,
    /// 95th percentile of that angle, degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub angle_p95_deg: Option<f64>,
    /// Number of atoms for which either force is zero and has no direction.
    pub n_without_direction: usize,
    /// Number of these atoms whose reference force is not zero: the model misses the force.
    pub n_missed_direction: usize,
    /// Mean cosine of that angle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cosine_mean: Option<f64>,
    /// Slope of predicted against reference force components, fitted through the origin; 1 if both have the same unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slope: Option<f64>,
    /// Standard error of that slope, from the scatter between frames; absent for a single frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slope_standard_error: Option<f64>,
    /// RMSE that remains after the reference is scaled by that slope, eV/Å.
    #[serde(rename = "rmse_scaled_eV_per_A", default, skip_serializing_if = "Option::is_none")]
    pub rmse_scaled_ev_per_angstrom: Option<f64>,
    /// Mean absolute error of the force's magnitude, eV/Å.
    #[serde(rename = "magnitude_mae_eV_per_A", deserialize_with = "crate::nan::read")]
    pub magnitude_mae_ev_per_angstrom: f64,
    /// RMSE by element, eV/Å.
    #[serde(rename = "rmse_by_element_eV_per_A", deserialize_with = "crate::nan::read")]
    pub rmse_by_element_ev_per_angstrom: BTreeMap<String, f64>,
}

/// Energy errors over frames, after removal of a constant shift per composition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnergyErrors {
    /// Number of frames compared; a composition with a single frame is left out.
    pub n_frames: usize,
    /// Number of these frames that a reference file before this one of the same molecule has, too.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_in_earlier_files: usize,
    /// Mean absolute error, meV/atom.
    #[serde(rename = "mae_meV_per_atom", deserialize_with = "crate::nan::read")]
    pub mae_mev_per_atom: f64,
    /// Root mean square error, meV/atom.
    #[serde(rename = "rmse_meV_per_atom", deserialize_with = "crate::nan::read")]
    pub rmse_mev_per_atom: f64,
    /// Standard error of the RMSE over frames, meV/atom.
    #[serde(
        rename = "rmse_standard_error_meV_per_atom",
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "crate::nan::read"
    )]
    pub rmse_standard_error_mev_per_atom: Option<f64>,
    /// Root mean square deviation of the reference from its mean, meV/atom: the RMSE of a constant.
    #[serde(
        rename = "reference_spread_meV_per_atom",
        skip_serializing_if = "Option::is_none",
        default,
        deserialize_with = "crate::nan::read"
    )]
    pub reference_spread_mev_per_atom: Option<f64>,
    /// Spearman's rank correlation with the reference; absent where either does not vary.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::nan::read")]
    pub rank_correlation: Option<f64>,
    /// Shift removed, eV, by composition such as `H2O`.
    #[serde(rename = "shift_eV", deserialize_with = "crate::nan::read")]
    pub shift_ev: BTreeMap<String, f64>,
}

/// Speed of a model on a molecule: `mdproof bench --json` prints an array of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Name of the model.
    pub model: String,
    /// Name of the molecule.
    pub molecule: String,
    /// Number of atoms of the molecule.
    pub atoms: usize,
    /// Number of systems evaluated together.
    pub batch: usize,
    /// Device, such as `cpu`.
    pub device: String,
    /// Number of threads available: the systems of a batch are distributed over them, a single system is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Implementation, such as `burn-flex-f32`.
    pub path: String,
    /// Median time of an energy and force call, ms.
    #[serde(deserialize_with = "crate::nan::read")]
    pub ms_per_call_p50: f64,
    /// 99th percentile of the time of a call, ms.
    #[serde(deserialize_with = "crate::nan::read")]
    pub ms_per_call_p99: f64,
    /// Number of calls timed.
    pub calls: usize,
    /// Median time of an NVE step, ms.
    #[serde(deserialize_with = "crate::nan::read")]
    pub ms_per_step: f64,
    /// NVE steps per second of the whole batch.
    #[serde(deserialize_with = "crate::nan::read")]
    pub steps_per_s: f64,
    /// NVE steps per second, summed over the molecules: `steps_per_s` times the batch size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub molecule_steps_per_s: Option<f64>,
    /// Simulated time per day, summed over the molecules, at a time step of 0.5 fs, ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ns_per_day: Option<f64>,
    /// Floating-point operations per call, 10⁹: the minimum that the architecture requires, independent of the
    /// implementation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gflop_per_call: Option<f64>,
    /// Floating-point rate of a call, 10⁹ operations per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gflop_per_s: Option<f64>,
    /// Floating-point rate as a fraction of the machine's matrix product rate, for as many threads and this precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction_of_gemm_rate: Option<f64>,
    /// Time of 100 NVE steps from a cold start (including the loading of the checkpoint from disk), s.
    #[serde(deserialize_with = "crate::nan::read")]
    pub cold_100_steps_s: f64,
    /// Peak resident memory of the process so far, MiB; absent where the operating system does not report it.
    #[serde(rename = "peak_memory_MiB", skip_serializing_if = "Option::is_none")]
    pub peak_memory_mib: Option<f64>,
    /// Speed relative to the first model of the campaign for the same molecule, batch size and device.
    #[serde(deserialize_with = "crate::nan::read")]
    pub speedup_vs_first: f64,
}

/// Peak performance of the CPU, measured in the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Number of concurrent threads.
    pub threads: usize,
    /// Rate of matrix products in single precision, GFLOP/s over all threads.
    #[serde(deserialize_with = "crate::nan::read")]
    pub gemm_f32_gflop_per_s: f64,
    /// Rate of matrix products in double precision, GFLOP/s over all threads.
    #[serde(deserialize_with = "crate::nan::read")]
    pub gemm_f64_gflop_per_s: f64,
    /// Memory bandwidth, GB/s over all threads (STREAM triad).
    #[serde(deserialize_with = "crate::nan::read")]
    pub memory_gb_per_s: f64,
}

/// Contents of `md_performance_results.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Performance {
    /// Peak performance with one thread and with all threads.
    pub machine: Vec<Machine>,
    /// All speed measurements.
    pub speed: Vec<Speed>,
    /// Values that were assumed because the checkpoint does not state them, by model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub assumptions: BTreeMap<String, Vec<String>>,
}

impl Evaluation {
    /// Returns how many frames were left out and why, preceded by `separator`; empty where none was left out.
    pub fn left_out(&self, separator: &str) -> String {
        let mut text = String::new();
        if self.n_repeated > 0 {
            text += &format!("{separator}{} of {} repeat others", self.n_repeated, frames(self.n_frames));
        }
        if self.n_without_forces > 0 {
            let have = if self.n_without_forces == 1 { "has" } else { "have" };
            text += &format!(
                "{separator}{} of {} {have} no forces",
                self.n_without_forces,
                frames(self.n_frames)
            );
        }
        text
    }
}

/// Formats a number of frames: `1 frame`, `2 frames`.
pub fn frames(n: usize) -> String {
    if n == 1 { "1 frame".to_owned() } else { format!("{n} frames") }
}
