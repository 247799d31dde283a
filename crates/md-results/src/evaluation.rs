use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
    /// Those of them that have no forces.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_without_forces: usize,
    /// Labelled frames left out since their geometry is that of an earlier one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_repeated: usize,
    /// Force errors; absent when no frame has forces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<ForceErrors>,
    /// Energy errors; absent when no composition has two frames with energies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub energy: Option<EnergyErrors>,
    /// For frames of the model's own runs, labelled afterwards: force error against time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_time: Vec<TimeBin>,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Performance {
    /// What a campaign measured of it.
    pub fn from_results(results: &crate::Results) -> Self {
        Performance { machine: results.machine.clone(), speed: results.speed.clone() }
    }
}

impl Evaluation {
    /// Frames that the force errors are of, and of how many where not all count: `23 of 24`.
    pub fn counted_frames(&self) -> String {
        match self.force.as_ref().map_or(0, |f| f.n_frames) {
            n if n == self.n_frames => n.to_string(),
            n => format!("{n} of {}", self.n_frames),
        }
    }
}

/// Force error of the frames within a span of time of the runs they come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimeBin {
    /// Temperature of these runs, K.
    #[serde(rename = "temperature_K")]
    pub temperature_k: f64,
    /// Begin of the span, ps.
    pub from_ps: f64,
    /// End of the span, ps.
    pub to_ps: f64,
    /// Frames.
    pub n_frames: usize,
    /// Root mean square force error over components, eV/Å.
    #[serde(rename = "rmse_eV_per_A")]
    pub rmse_ev_per_angstrom: f64,
}

/// Force errors over frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForceErrors {
    /// Frames with forces, each geometry once.
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
    /// Those of them whose reference force has one: the model misses it.
    pub n_missed_direction: usize,
    /// Mean cosine of that angle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cosine_mean: Option<f64>,
    /// Slope of predicted over reference force components, a line through the origin: 1 for the same unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slope: Option<f64>,
    /// Standard error of that slope, from the scatter between frames; absent for a single frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slope_standard_error: Option<f64>,
    /// RMSE that is left when the reference is scaled by that slope, eV/Å.
    #[serde(rename = "rmse_scaled_eV_per_A", default, skip_serializing_if = "Option::is_none")]
    pub rmse_scaled_ev_per_angstrom: Option<f64>,
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
    /// Threads that could take part: systems of a batch are spread over them, one system is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
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
    /// NVE steps per second, of the whole batch at once.
    pub steps_per_s: f64,
    /// NVE steps of a molecule per second: `steps_per_s` times the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub molecule_steps_per_s: Option<f64>,
    /// Dynamics of a molecule that these make in a day at a time step of 0.5 fs, ns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ns_per_day: Option<f64>,
    /// Floating-point operations of a call, 10⁹: the least that the architecture asks for, however it is computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gflop_per_call: Option<f64>,
    /// The same per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gflop_per_s: Option<f64>,
    /// The same as a fraction of the machine's rate in products of matrices, for as many threads and this precision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fraction_of_gemm_rate: Option<f64>,
    /// 100 NVE steps from a cold start (checkpoint loaded from disk first), s.
    pub cold_100_steps_s: f64,
    /// Peak resident memory of the process so far, MiB; absent where the system does not say.
    #[serde(rename = "peak_memory_MiB", skip_serializing_if = "Option::is_none")]
    pub peak_memory_mib: Option<f64>,
    /// Speed relative to the first model of the campaign on the same molecule, in the same batch on the same device.
    pub speedup_vs_first: f64,
}

/// What the CPU can do at most, measured in the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Threads that worked at the same time.
    pub threads: usize,
    /// Products of matrices in single precision, GFLOP/s over all threads.
    pub gemm_f32_gflop_per_s: f64,
    /// The same in double precision.
    pub gemm_f64_gflop_per_s: f64,
    /// Memory bandwidth, GB/s over all threads (STREAM triad).
    pub memory_gb_per_s: f64,
}

/// `md_performance_results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Performance {
    /// One thread, and all of them.
    pub machine: Vec<Machine>,
    /// Every measurement.
    pub speed: Vec<Speed>,
}

impl Evaluation {
    /// How many frames were left out, and why; empty where none was. Begins with `separator`.
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

/// `1 frame`, `2 frames`.
pub fn frames(n: usize) -> String {
    if n == 1 { "1 frame".to_owned() } else { format!("{n} frames") }
}
