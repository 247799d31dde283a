//! Any bytes as the pickle of a file of `torch.save`, which a checksum would shield. Storages are those of a sound file.
#![no_main]

mod use_of;

use std::io::{Cursor, Read, Write};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use md_model::Checkpoint;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

const SOUND: &[u8] = include_bytes!("../../crates/md-model/tests/data/distiller.pt");

fn stored() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored)
}

/// The file without its pickle, and the name of that.
static REST: LazyLock<(Vec<u8>, String)> = LazyLock::new(|| {
    let mut archive = ZipArchive::new(Cursor::new(SOUND)).unwrap();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let mut pickle = String::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        if entry.name().ends_with("data.pkl") {
            pickle = entry.name().to_owned();
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        zip.start_file(entry.name(), stored()).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    (zip.finish().unwrap().into_inner(), pickle)
});

fuzz_target!(|pickle: &[u8]| {
    let (rest, name) = &*REST;
    let mut zip = ZipWriter::new_append(Cursor::new(rest.clone())).unwrap();
    zip.start_file(name, stored()).unwrap();
    zip.write_all(pickle).unwrap();
    use_of::checkpoint(Checkpoint::from_torch(&zip.finish().unwrap().into_inner()));
});
