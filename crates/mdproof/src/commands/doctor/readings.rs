//! Readings without judgement.

use serde::Serialize;

/// All readings.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Readings {
    pub(super) cpu: Cpu,
    /// `None` if the operating system does not report it.
    pub(super) memory: Option<Memory>,
    /// `None` where the file system of the output folder was not found.
    pub(super) disk: Option<Disk>,
    pub(super) nvidia: Nvidia,
    pub(super) build: Build,
    /// `None` without a campaign file.
    pub(super) campaign: Option<Campaign>,
    pub(super) forces: Forces,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Cpu {
    pub(super) model: Option<String>,
    /// Number of threads that a batch is distributed over.
    pub(super) threads: usize,
    /// Vector instructions of the CPU that inference is compiled for.
    pub(super) vector_instructions: Vec<&'static str>,
}

/// Memory of the machine, or of the container if that has less.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Memory {
    pub(super) total_mib: f64,
    pub(super) available_mib: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Disk {
    /// Path of the output folder.
    pub(super) folder: String,
    pub(super) total_mib: f64,
    pub(super) free_mib: f64,
}

/// NVIDIA driver and its GPUs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "driver", rename_all = "snake_case")]
pub(super) enum Nvidia {
    /// No driver is installed or loaded.
    Absent { reason: String },
    /// The driver does not respond.
    Broken { error: String },
    Present {
        version: String,
        /// Newest supported version of CUDA.
        cuda: Option<String>,
        gpus: Vec<Gpu>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Gpu {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) memory: GpuMemory,
    /// Processes that hold memory.
    pub(super) processes: Vec<GpuProcess>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum GpuMemory {
    Known { total_mib: f64, free_mib: f64 },
    Unknown { error: String },
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct GpuProcess {
    pub(super) pid: u32,
    /// `None` for a process of another container.
    pub(super) name: Option<String>,
    /// `None` if the driver does not report it.
    pub(super) memory_mib: Option<f64>,
}

/// Devices that this program was built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Build {
    pub(super) cuda: bool,
    pub(super) wgpu: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Campaign {
    pub(super) file: String,
    pub(super) plan: Plan,
    pub(super) models: Vec<Model>,
    pub(super) molecules: Vec<Molecule>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Plan {
    Runs(usize),
    /// Error, with its line if it concerns one.
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) outcome: Loading,
}

/// Outcome of loading a model for its molecules.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Loading {
    /// The closed-form control.
    Control,
    /// The campaign names the model, but no checkpoint was given.
    NotGiven,
    Loaded {
        architecture: String,
        parameters: usize,
        precision: String,
        /// Device of the model.
        device: String,
        /// Reason why the requested device is not used.
        device_refused: Option<String>,
        /// What was assumed in loading the model.
        assumptions: Vec<String>,
    },
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Molecule {
    pub(super) name: String,
    /// Number of atoms, or an error if the molecule cannot be used.
    pub(super) atoms: Reading,
    pub(super) files: Vec<DataFile>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct DataFile {
    pub(super) path: String,
    pub(super) kind: Kind,
    /// Number of frames in the file, or the error in one of them.
    pub(super) frames: Reading,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Structure,
    Reference,
    Trajectory,
}

/// A count, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reading {
    Count(usize),
    Failed(String),
}

/// Calls of a network for energy and forces on every device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Forces {
    /// Description of the network.
    pub(super) network: String,
    pub(super) molecule: String,
    pub(super) atoms: usize,
    pub(super) devices: Vec<Calls>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Calls {
    /// `cpu`, `cuda` or `wgpu`.
    pub(super) device: &'static str,
    pub(super) outcome: Called,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Called {
    Measured {
        /// Calls on one molecule per second: 1000 / the median time of a call in ms.
        calls_per_s: f64,
        /// Largest difference of a force from the reference implementation in f64, eV/Å.
        force_difference_ev_per_angstrom: f64,
        implementation: String,
    },
    /// The device does not exist, or the program was built without it.
    Absent(String),
    Failed(String),
}
