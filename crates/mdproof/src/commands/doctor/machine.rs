//! Readings of CPU, memory and disk.

use std::path::Path;

use md_driver::provenance::provenance;
use sysinfo::{DiskRefreshKind, Disks, MemoryRefreshKind, RefreshKind, System};

use super::readings::{Cpu, Disk, Memory};

const BYTES_PER_MIB: f64 = 1024.0 * 1024.0;

pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / BYTES_PER_MIB
}

pub(super) fn cpu() -> Cpu {
    let process = provenance();
    Cpu { model: process.cpu, threads: process.threads, vector_instructions: vector_instructions() }
}

#[cfg(target_arch = "x86_64")]
fn vector_instructions() -> Vec<&'static str> {
    let (avx2, avx512) =
        (std::arch::is_x86_feature_detected!("avx2"), std::arch::is_x86_feature_detected!("avx512f"));
    [("AVX2", avx2), ("AVX-512", avx512)].into_iter().filter_map(|(name, has)| has.then_some(name)).collect()
}

#[cfg(target_arch = "aarch64")]
fn vector_instructions() -> Vec<&'static str> {
    vec!["NEON"]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn vector_instructions() -> Vec<&'static str> {
    Vec::new()
}

pub(super) fn memory() -> Option<Memory> {
    let only_ram = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(only_ram).ok()?;
    let (mut total, mut available) = (system.total_memory(), system.available_memory());
    if let Some(limits) = system.cgroup_limits() {
        total = total.min(limits.total_memory);
        available = available.min(limits.free_memory);
    }
    (total > 0).then(|| Memory { total_mib: mib(total), available_mib: mib(available) })
}

/// Reads the file system that contains `folder`, or would contain it.
pub(super) fn disk(folder: &Path) -> Option<Disk> {
    let absolute = std::path::absolute(folder).ok()?;
    let existing = absolute.ancestors().find_map(|path| path.canonicalize().ok())?;
    let disks = Disks::new_with_refreshed_list_specifics(DiskRefreshKind::nothing().with_storage()).ok()?;
    let holds = |disk: &&sysinfo::Disk| existing.starts_with(disk.mount_point());
    let depth = |disk: &&sysinfo::Disk| disk.mount_point().components().count();
    let disk = disks.iter().filter(holds).max_by_key(depth)?;
    Some(Disk {
        folder: folder.display().to_string(),
        total_mib: mib(disk.total_space()),
        free_mib: mib(disk.available_space()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_disk_are_readable() {
        let memory = memory().unwrap();
        assert!(memory.available_mib > 0.0 && memory.available_mib <= memory.total_mib, "{memory:?}");
        let folder = tempfile::tempdir().unwrap();
        let there = disk(folder.path()).unwrap();
        let not_yet = disk(&folder.path().join("of/results")).unwrap();
        assert!(there.free_mib <= there.total_mib && there.total_mib > 0.0, "{there:?}");
        assert_eq!(there.total_mib, not_yet.total_mib);
    }
}
