//! What was seen, not judged.

use serde::Serialize;

/// Everything that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Readings {
    pub(super) cpu: Cpu,
    /// `None` where the operating system does not say.
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
    /// Threads that a batch is spread over.
    pub(super) threads: usize,
    /// Of the vector instructions that inference is compiled for, those that the CPU has.
    pub(super) vector_instructions: Vec<&'static str>,
}

/// Of the machine, or of the container where that has less.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Memory {
    pub(super) total_mib: f64,
    pub(super) available_mib: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Disk {
    /// The output folder.
    pub(super) folder: String,
    pub(super) total_mib: f64,
    pub(super) free_mib: f64,
}

/// NVIDIA's driver and what it sees.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "driver", rename_all = "snake_case")]
pub(super) enum Nvidia {
    /// None is installed, or none is loaded.
    Absent { reason: String },
    /// There is one that does not answer.
    Broken { error: String },
    Present {
        version: String,
        /// Newest version of CUDA that it can serve.
        cuda: Option<String>,
        gpus: Vec<Gpu>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Gpu {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) memory: GpuMemory,
    /// Those that hold memory.
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
    /// `None` where the driver does not say.
    pub(super) memory_mib: Option<f64>,
}

/// What this program was built for.
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
    /// With line, where it is about one.
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Model {
    pub(super) name: String,
    pub(super) outcome: Loading,
}

/// What came of loading a model for the molecules that it is to run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Loading {
    /// The closed-form control.
    Control,
    /// The campaign names it, no checkpoint was given.
    NotGiven,
    Loaded {
        architecture: String,
        parameters: usize,
        precision: String,
        /// Where it is computed.
        device: String,
        /// Why not where it was asked to be.
        device_refused: Option<String>,
    },
    Failed(String),
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Molecule {
    pub(super) name: String,
    /// Number of atoms, or why the molecule cannot be used.
    pub(super) atoms: Reading,
    pub(super) files: Vec<DataFile>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct DataFile {
    pub(super) path: String,
    pub(super) kind: Kind,
    /// Number of frames from the first to the last, or what is wrong with one.
    pub(super) frames: Reading,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Structure,
    Reference,
    Trajectory,
}

/// A count, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reading {
    Count(usize),
    Failed(String),
}

/// Calls of a network for energy and forces on every device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Forces {
    /// What was called.
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
    /// There is no such device, or the program was built without it.
    Absent(String),
    Failed(String),
}
