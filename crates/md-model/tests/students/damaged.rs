//! Valid checkpoints with a few faults: reading gives a usable checkpoint or exactly one message.

use std::io::{Cursor, Read, Write};
use std::time::{Duration, Instant};

use md_core::{Batch, Configuration, Evaluation, Potential, Request, System, Vec3};
use md_model::{
    Architecture, Checkpoint, CheckpointError, DistillerHyperparameters, PainnHyperparameters, Precision,
    Student,
};
use md_testkit::damage::{damaged, edits, many_cases};
use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

const TORCH: &[u8] = include_bytes!("../data/distiller.pt");

/// Returns `model.safetensors` and `config.json` of two small networks.
fn folders() -> Vec<[Vec<u8>; 2]> {
    let distiller = DistillerHyperparameters {
        hidden_dim: 4,
        num_interactions: 1,
        num_rbf: 3,
        cutoff: 4.0,
        max_z: 8,
        learnable_rbf: false,
    };
    let painn = PainnHyperparameters {
        hidden_dim: 5,
        num_interactions: 1,
        num_rbf: 3,
        cutoff: 4.0,
        reference_energies_ev: [("H".to_owned(), -13.6), ("O".to_owned(), -2040.0)].into(),
    };
    [Architecture::Distiller(distiller), Architecture::Painn(painn)]
        .iter()
        .map(|architecture| {
            let folder = tempfile::tempdir().unwrap();
            Checkpoint::untrained(architecture, 3).unwrap().save(&folder).unwrap();
            ["model.safetensors", "config.json"].map(|name| std::fs::read(folder.path().join(name)).unwrap())
        })
        .collect()
}

/// Reads, and computes forces if that succeeds.
#[expect(clippy::disallowed_methods, reason = "a reader that hangs is as bad as one that panics")]
fn check(read: impl FnOnce() -> Result<Checkpoint, CheckpointError>) -> Result<(), TestCaseError> {
    let start = Instant::now();
    match read() {
        Ok(checkpoint) => {
            let elements: Vec<_> = checkpoint.elements().iter().copied().cycle().take(3).collect();
            let positions = (0..3).map(|i| Vec3::new(0.9 * f64::from(i), 0.2, 0.1)).collect();
            let system = [System::new(elements, positions).unwrap()];
            let (batch, positions) = (Batch::new(&system), Batch::gather_positions(&system));
            if let Ok(mut student) = Student::new(&checkpoint, Precision::F32) {
                let configuration = Configuration { batch: &batch, positions: &positions };
                let _ = student.evaluate(configuration, Request::FORCES, &mut Evaluation::default());
            }
        }
        Err(error) => {
            let message = error.to_string();
            prop_assert!(message.len() < 3000 && !message.contains('\u{1b}'), "{:?}", message);
        }
    }
    prop_assert!(start.elapsed() < Duration::from_secs(20));
    Ok(())
}

/// Returns the entry `name` of the PyTorch file.
fn entry(name: &str) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(TORCH)).unwrap();
    let mut bytes = Vec::new();
    archive.by_name(name).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// Returns the PyTorch file with another pickle and a valid checksum.
fn with_pickle(pickle: &[u8]) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(TORCH)).unwrap();
    let names: Vec<String> = archive.file_names().map(str::to_owned).collect();
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for name in names {
        let mut bytes = Vec::new();
        archive.by_name(&name).unwrap().read_to_end(&mut bytes).unwrap();
        zip.start_file(&name, stored).unwrap();
        zip.write_all(if name.ends_with("data.pkl") { pickle } else { &bytes }).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

proptest! {
    #![proptest_config(many_cases(4))]

    #[test]
    fn torch_reads_or_refuses_damaged_file(edits in edits(1..4)) {
        let bytes = damaged(TORCH, &edits);
        check(|| Checkpoint::from_torch(&bytes))?;
    }

    #[test]
    fn torch_reads_or_refuses_damaged_pickle(edits in edits(1..4)) {
        let name = ZipArchive::new(Cursor::new(TORCH)).unwrap().file_names().find(|n| n.ends_with("data.pkl")).unwrap().to_owned();
        let bytes = with_pickle(&damaged(&entry(&name), &edits));
        check(|| Checkpoint::from_torch(&bytes))?;
    }
}

proptest! {
    #[test]
    fn safetensors_reads_or_refuses_damaged_folder(weights in edits(1..4), config in edits(1..4)) {
        for [sound, json] in folders() {
            check(|| Checkpoint::from_safetensors(&damaged(&sound, &weights), &json))?;
            check(|| Checkpoint::from_safetensors(&sound, &damaged(&json, &config)))?;
            // Damage in the header only: the descriptions of the tensors.
            let length = 8 + u64::from_le_bytes(*sound.first_chunk().unwrap()) as usize;
            let header = damaged(&sound[8..length], &weights);
            let bytes = [&(header.len() as u64).to_le_bytes(), &header[..], &sound[length..]].concat();
            check(|| Checkpoint::from_safetensors(&bytes, &json))?;
        }
    }
}
