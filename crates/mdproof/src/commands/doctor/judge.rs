//! Derives statuses and advice from readings.

mod campaign;
mod gpu;
#[cfg(test)]
mod tests;

use md_results::number;
use serde::Serialize;

use super::readings::{Called, Cpu, Disk, Forces, Memory, Readings};

/// Memory of the whole program for a campaign of small molecules, with a margin, MiB.
const LITTLE_MEMORY_MIB: f64 = 1024.0;

/// Disk space for results and some trajectories, MiB.
const LITTLE_DISK_MIB: f64 = 1024.0;

/// Disk space for the results of a small campaign without trajectories, MiB.
const NO_DISK_MIB: f64 = 20.0;

const MIB_PER_GIB: f64 = 1024.0;

/// Status of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    Ok,
    /// A campaign runs, but more slowly or with fewer features than possible.
    Warning,
    /// A campaign fails, or its results are not reliable.
    Problem,
}

impl Status {
    pub(super) fn label(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::Warning => "WARNING",
            Status::Problem => "PROBLEM",
        }
    }
}

/// Result of one check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Item {
    pub(super) subject: String,
    pub(super) found: String,
    pub(super) status: Status,
    /// Suggested fix, unless the status is OK.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
}

impl Item {
    fn ok(subject: &str, found: impl Into<String>) -> Self {
        Item { subject: subject.to_owned(), found: found.into(), status: Status::Ok, advice: None }
    }

    fn warning(subject: &str, found: impl Into<String>, advice: &str) -> Self {
        Item { status: Status::Warning, advice: Some(advice.to_owned()), ..Item::ok(subject, found) }
    }

    fn problem(subject: &str, found: impl Into<String>, advice: &str) -> Self {
        Item { status: Status::Problem, ..Item::warning(subject, found, advice) }
    }
}

/// Returns the worst status of all items.
pub(super) fn worst(items: &[Item]) -> Status {
    items.iter().map(|item| item.status).max().unwrap_or(Status::Ok)
}

/// Returns an item for each reading.
pub(super) fn judge(readings: &Readings) -> Vec<Item> {
    let mut items = vec![cpu(&readings.cpu), memory(readings.memory.as_ref()), disk(readings.disk.as_ref())];
    items.extend(gpu::judge(&readings.nvidia, readings.build));
    items.extend(readings.campaign.iter().flat_map(campaign::judge));
    items.extend(forces(&readings.forces));
    items
}

fn cpu(cpu: &Cpu) -> Item {
    let model = cpu.model.as_deref().unwrap_or("model unknown");
    let found = |vectors: &str| format!("{model}; {} threads; {vectors}", cpu.threads);
    match cpu.vector_instructions.as_slice() {
        [] => Item::warning(
            "CPU",
            found("no vector instructions of those that inference is compiled for"),
            "run on a CPU with AVX2, AVX-512 or NEON: this one is several times slower",
        ),
        known => Item::ok("CPU", found(&known.join(", "))),
    }
}

fn memory(memory: Option<&Memory>) -> Item {
    let Some(memory) = memory else {
        return Item::warning("memory", "the operating system does not say", "see that 1 GiB is free");
    };
    let found = format!("{} of {} available", gib(memory.available_mib), gib(memory.total_mib));
    if memory.available_mib < LITTLE_MEMORY_MIB {
        return Item::warning("memory", found, "close other programs: below 1 GiB a campaign may be ended");
    }
    Item::ok("memory", found)
}

fn disk(disk: Option<&Disk>) -> Item {
    let Some(disk) = disk else {
        return Item::warning(
            "disk",
            "the file system of the output folder was not found",
            "see that there is 1 GiB for results and trajectories",
        );
    };
    let found = format!("{} of {} free at {}", gib(disk.free_mib), gib(disk.total_mib), disk.folder);
    let advice = "make room, or choose another folder with --out";
    match disk.free_mib {
        free if free < NO_DISK_MIB => Item::problem("disk", found, advice),
        free if free < LITTLE_DISK_MIB => Item::warning("disk", found, advice),
        _ => Item::ok("disk", found),
    }
}

fn forces(forces: &Forces) -> Vec<Item> {
    let of =
        Item::ok("forces of", format!("{}, on {} ({} atoms)", forces.network, forces.molecule, forces.atoms));
    let limit = md_criteria::find("equivalence_force_ev_per_angstrom").and_then(|c| c.default);
    let limit = limit.unwrap_or_default();
    let calls = forces.devices.iter().map(|calls| {
        let subject = format!("forces on {}", calls.device);
        match &calls.outcome {
            Called::Measured { calls_per_s, force_difference_ev_per_angstrom: difference, implementation } => {
                let found = format!(
                    "{calls_per_s:.0} calls per second ({implementation}); {} eV/Å from the reference implementation",
                    number(*difference)
                );
                if *difference <= limit {
                    Item::ok(&subject, found)
                } else {
                    let advice = format!(
                        "trust no number of this device: up to {} eV/Å are allowed; update its driver, or use another",
                        number(limit)
                    );
                    Item::problem(&subject, found, &advice)
                }
            }
            Called::Absent(reason) => Item::ok(&subject, format!("not available: {reason}")),
            Called::Failed(error) => {
                Item::problem(&subject, error, "use another device (--device) until this is fixed")
            }
        }
    });
    std::iter::once(of).chain(calls).collect()
}

fn gib(mib: f64) -> String {
    format!("{:.1} GiB", mib / MIB_PER_GIB)
}
