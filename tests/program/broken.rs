//! Broken data files and checkpoints: each gives its one message and exit status 2.
//!
//! Text files are in `cases/broken`, with their messages in `MESSAGES`. Binary files are derived here from valid ones.

use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use crate::bad_input::checkpoint;
use crate::support::{mdproof, repository};

/// Asserts that `mdproof evaluate CHECKPOINT FRAMES` prints this message and nothing else.
fn assert_refused(checkpoint: &Path, frames: &Path, expected: &str) {
    let output = mdproof(["evaluate".as_ref(), checkpoint.as_os_str(), frames.as_os_str()]);
    assert_eq!(output.status, 2, "{expected}: {}{}", output.stdout, output.stderr);
    assert_eq!(output.stderr, format!("error: {expected}\n"));
    assert!(output.stdout.is_empty(), "{}", output.stdout);
}

/// Creates a folder with a valid checkpoint.
fn sound() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(folder.path());
    folder
}

fn water() -> PathBuf {
    repository("data/molecules/water.xyz")
}

#[test]
fn evaluate_refuses_broken_frames() {
    let checkpoint = sound();
    let folder = repository("tests/cases/broken");
    let messages = std::fs::read_to_string(folder.join("MESSAGES")).unwrap();
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(messages.lines().count(), files - 1, "each file has its message");
    for line in messages.lines() {
        let (name, message) = line.split_once(' ').unwrap();
        let file = folder.join(name);
        assert_refused(checkpoint.path(), &file, &format!("{}{message}", file.display()));
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn evaluate_refuses_broken_gzip_frames() {
    let checkpoint = sound();
    let frame = "1\nProperties=species:S:1:pos:R:3 energy=-1.0\nH 0.0 0.0 0.0\n";
    let whole = gzip(frame.repeat(1000).as_bytes());
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let file = checkpoint.path().join("frames.extxyz.gz");
    for (bytes, expected) in [
        (whole[..whole.len() / 2].to_vec(), "cannot read on: the gzip stream is truncated or corrupt ("),
        (
            flipped(whole.len() - 6),
            "cannot read on: the gzip stream is truncated or corrupt (corrupt gzip stream does not have a matching \
             checksum): copy or make the file again",
        ),
        (
            [whole.clone(), b"and a text".to_vec()].concat(),
            "cannot read on: the gzip stream is truncated or corrupt (invalid gzip header): copy or make the file again",
        ),
        (
            gzip(frame.repeat(100_000).as_bytes()),
            "cannot read on: the gzip stream inflates to more than 50 times its length, as no frames do: decompress it \
             (gunzip) and look at what it holds",
        ),
        (
            gzip(&vec![0; 8 << 20]),
            "cannot read on: the gzip stream inflates to more than 50 times its length, as no frames do: decompress it \
             (gunzip) and look at what it holds",
        ),
        (gzip(&gzip(frame.as_bytes())), "byte 2 of the line is not UTF-8: is this a text file?"),
        (gzip(b""), "holds no frame"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let output = mdproof(["evaluate".as_ref(), checkpoint.path().as_os_str(), file.as_os_str()]);
        assert_eq!(output.status, 2);
        let start = format!("error: {}", file.display());
        assert!(
            output.stderr.starts_with(&start) && output.stderr.contains(expected),
            "{expected}: {}",
            output.stderr
        );
    }
}

#[test]
fn evaluate_refuses_broken_checkpoints() {
    let folder = sound();
    let (weights, config) = (folder.path().join("model.safetensors"), folder.path().join("config.json"));
    let (sound, json) = (std::fs::read(&weights).unwrap(), std::fs::read_to_string(&config).unwrap());
    let name = folder.path().file_name().unwrap().to_string_lossy().into_owned();
    let refused = |file: &Path, expected: &str| {
        let expected = format!("model '{name}': checkpoint {}: {expected}", file.display());
        assert_refused(folder.path(), &water(), &expected);
    };
    let header = 8 + u64::from_le_bytes(*sound.first_chunk().unwrap()) as usize;
    let edited = |from: &str, to: &str| {
        let text = std::str::from_utf8(&sound[8..header]).unwrap();
        assert!(text.contains(from), "{text}");
        let text = text.replacen(from, to, 1);
        [&(text.len() as u64).to_le_bytes(), text.as_bytes(), &sound[header..]].concat()
    };
    let mut not_finite = sound.clone();
    not_finite[header..header + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    for (bytes, expected) in [
        (vec![], "not a sound safetensors file: header too small"),
        (
            sound[..sound.len() - 4].to_vec(),
            "not a sound safetensors file: incomplete metadata, file not fully covered",
        ),
        ([&[0xff; 8], &sound[8..]].concat(), "not a sound safetensors file: header too large"),
        (edited("[21,16]", "[21,17]"), "not a sound safetensors file: "),
        (edited("[21,16]", "[18446744073709551615,16]"), "not a sound safetensors file: "),
        (edited("\"F32\"", "\"I32\""), "holds I32, expected one of F16, BF16, F32, F64"),
        (
            edited("embedding.weight", "embedding.weights"),
            "tensor embedding.weight is missing (expected shape [21, 16])",
        ),
        (not_finite, "holds NaN at index 0 (row-major), expected finite weights"),
    ] {
        std::fs::write(&weights, bytes).unwrap();
        let output = mdproof(["evaluate".as_ref(), folder.path().as_os_str(), water().as_os_str()]);
        assert_eq!(output.status, 2, "{expected}");
        assert!(
            output.stderr.contains(expected) && output.stderr.lines().count() == 1,
            "{expected}: {}",
            output.stderr
        );
    }
    std::fs::write(&weights, &sound).unwrap();
    for (from, to, expected) in [
        (
            "\"cutoff\": 5.0",
            "\"cutoff\": -5.0",
            "the configuration says cutoff = -5, expected a positive number of Å, at most 100",
        ),
        (
            "\"cutoff\": 5.0",
            "\"cutoff\": 1e9",
            "the configuration says cutoff = 1000000000, expected a positive number of Å, at most 100",
        ),
        (
            "\"num_interactions\": 2",
            "\"num_interactions\": 4000000000",
            "the configuration says num_interactions = 4000000000, expected 1 to 1000",
        ),
        (
            "\"num_interactions\": 2",
            "\"num_interactions\": 3",
            &format!(
                "num_interactions is 3 in {}, but 2 in {}: one of them describes another network than these weights, or was \
                 changed after training",
                config.display(),
                weights.display()
            ),
        ),
        (
            "\"hidden_dim\": 16",
            "\"hidden_dim\": 4000000000",
            "the configuration says hidden_dim = 4000000000, expected 4 to 65536",
        ),
        (
            "\"num_rbf\": 8",
            "\"num_rbf\": 4000000000",
            "the configuration says num_rbf = 4000000000, expected 1 to 1024",
        ),
    ] {
        assert!(json.contains(from), "{json}");
        std::fs::write(&config, json.replace(from, to)).unwrap();
        refused(&weights, expected);
    }
    std::fs::write(&config, format!("{json}{}", " ".repeat(2 << 20))).unwrap();
    refused(
        &config,
        "has more than 1048576 bytes, which no file of a student has: is it that of this model?",
    );
    std::fs::write(&config, "[".repeat(100_000)).unwrap();
    refused(&config, "the configuration cannot be read: recursion limit exceeded at line 1 column 128");
    std::fs::write(&config, format!("{{\"a\":{}", "[".repeat(100_000))).unwrap();
    refused(&config, "the configuration cannot be read: recursion limit exceeded at line 1 column 132");
    std::fs::remove_file(&config).unwrap();
    refused(&config, "cannot be read: No such file or directory (os error 2)");
}

#[test]
#[cfg(unix)]
fn evaluate_refuses_device_file_as_checkpoint() {
    let expected = "is neither a folder nor a file (expected a folder, a .safetensors file or a .pt file)";
    assert_refused(
        "/dev/zero".as_ref(),
        &water(),
        &format!("model 'zero': checkpoint /dev/zero: {expected}"),
    );
}

/// Repacks the entries of the PyTorch file of md-model's tests after `change`.
fn torch(method: CompressionMethod, change: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let file = std::fs::File::open(repository("crates/md-model/tests/data/distiller.pt")).unwrap();
    let mut archive = ZipArchive::new(file).unwrap();
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).unwrap();
        let name = entry.name().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        zip.start_file(&name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(&change(&name, bytes)).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn evaluate_refuses_broken_torch_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("best.pt");
    let stored = CompressionMethod::Stored;
    let pickle = |with: &'static [u8]| {
        torch(stored, move |name, bytes| if name.ends_with("data.pkl") { with.to_vec() } else { bytes })
    };
    let whole = torch(stored, |_, bytes| bytes);
    let mut twice = ZipWriter::new_append(Cursor::new(whole.clone())).unwrap();
    twice.start_file("other/data.pkl", SimpleFileOptions::default()).unwrap();
    let deep = torch(stored, |name, bytes| {
        if name.ends_with("data.pkl") {
            [vec![b']'; 500_000], vec![b'a'; 499_999], vec![b'.']].concat()
        } else {
            bytes
        }
    });
    for (bytes, expected) in [
        (
            b"\x80\x02}.".to_vec(),
            "is a bare pickle: load it in Python and save it again with torch.save of PyTorch 1.6 or later",
        ),
        (whole[..whole.len() / 2].to_vec(), "not a sound zip file: "),
        ([&whole[..], &b"PK\x05\x06".repeat(100)].concat(), "the zip file has 101 ends, expected 1"),
        (
            torch(CompressionMethod::Deflated, |_, bytes| [bytes, vec![0; 10 << 20]].concat()),
            "is compressed or encrypted, which torch.save never does",
        ),
        (
            twice.finish().unwrap().into_inner(),
            "has 2 entries named */data.pkl, expected 1: it was not written by torch.save",
        ),
        (
            pickle(b"\x80\x02cos\nsystem\nX\x0b\0\0\0touch owned\x85R."),
            "the pickle refers to the Python object 'os.system' (byte 2), which is not in the list of harmless ones and is \
             not executed; if the file is trustworthy, save its model_state_dict and config alone",
        ),
        (
            pickle(b"\x80\x02}\x81."),
            "the pickle has the instruction 0x81 at byte 3, which checkpoints do not use",
        ),
        (pickle(b"\x80\x02X\xff\xff\xff\xffabc"), "the pickle ends within the instruction at byte 2"),
        (
            pickle(b"\x80\x02h\x05."),
            "the pickle is damaged at byte 2: a value is recalled that was never stored",
        ),
        (
            pickle(b"\x80\x02]."),
            "the file holds no dictionary with model_state_dict, a dictionary of tensors: save it with \
             torch.save({'model_state_dict': model.state_dict(), 'config': {...}}, path)",
        ),
        (deep, "the file holds no dictionary with model_state_dict"),
        (
            torch(
                stored,
                |name, bytes| if name.contains("/data/") { bytes[..bytes.len() / 2].to_vec() } else { bytes },
            ),
            "is no tensor in a form that is understood: it reaches beyond its storage of ",
        ),
        (
            torch(stored, |name, bytes| if name.ends_with("byteorder") { b"big".to_vec() } else { bytes }),
            "the file has the byte order 'big', expected 'little'",
        ),
    ] {
        std::fs::write(&file, bytes).unwrap();
        let output = mdproof(["evaluate".as_ref(), file.as_os_str(), water().as_os_str()]);
        assert_eq!(output.status, 2, "{expected}");
        let start = format!("error: model 'best': checkpoint {}: ", file.display());
        let whole = output.stderr.starts_with(&start) && output.stderr.lines().count() == 1;
        assert!(whole && output.stderr.contains(expected), "{expected}: {}", output.stderr);
    }
    assert!(!Path::new("owned").exists());
}
