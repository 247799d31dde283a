//! Valid files with a few faults: the reader returns frames or exactly one message.

use std::io::{Cursor, Read, Write};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use md_io::extxyz::{self, FrameReader, FrameToWrite, LabelKeys, LabelledFrame, XyzError, write_frame};
use md_testkit::damage::{damaged, edits, many_cases};
use proptest::prelude::*;

/// Reads as the program does, gzip or not.
#[expect(clippy::disallowed_methods, reason = "a reader that hangs is as bad as one that panics")]
fn read(bytes: impl Read + Send) -> Result<Vec<LabelledFrame>, XyzError> {
    let start = Instant::now();
    let bytes = std::io::BufReader::new(bytes);
    let frames = extxyz::from_reader(bytes, "f.xyz", LabelKeys::default()).unwrap().collect();
    assert!(start.elapsed() < Duration::from_secs(20));
    frames
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const FILES: [&[u8]; 5] = [
    include_bytes!("../data/ase_labelled.extxyz"),
    include_bytes!("../data/ase_periodic.extxyz"),
    include_bytes!("../data/ase_crystal.extxyz"),
    include_bytes!("../data/ase_plain.xyz"),
    include_bytes!("../../../../data/molecules/alanine.xyz"),
];

/// Checks that valid frames are written and read back, and that a message names the file and quotes little of it.
fn check(outcome: Result<Vec<LabelledFrame>, XyzError>) -> Result<(), TestCaseError> {
    let frames = match outcome {
        Ok(frames) => frames,
        Err(error) => {
            let message = error.to_string();
            prop_assert!(message.starts_with("f.xyz:") && message.len() < 1000, "{}", message);
            prop_assert!(!message.contains('\u{1b}'), "{:?}", message);
            return Ok(());
        }
    };
    for frame in frames {
        let written = FrameToWrite {
            energy_ev: frame.energy_ev,
            forces: frame.forces.as_deref(),
            velocities: frame.velocities.as_deref(),
            ..FrameToWrite::from(&frame.system)
        };
        let mut text = Vec::new();
        write_frame(&mut text, &written).unwrap();
        let again = FrameReader::new(&text[..], "again", LabelKeys::default()).next().unwrap().unwrap();
        prop_assert_eq!(
            LabelledFrame { info: frame.info.clone(), other_columns: frame.other_columns.clone(), ..again },
            frame
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(many_cases(8))]

    #[test]
    fn extxyz_reads_or_refuses_damaged_frame(file in 0..FILES.len(), edits in edits(1..6)) {
        check(read(Cursor::new(damaged(FILES[file], &edits))))?;
    }

    #[test]
    fn gzip_reads_or_refuses_damaged_frame(file in 0..FILES.len(), edits in edits(1..6)) {
        check(read(Cursor::new(gzip(&damaged(FILES[file], &edits)))))?;
    }

    #[test]
    fn gzip_reads_or_refuses_damaged_stream(file in 0..FILES.len(), edits in edits(1..6)) {
        check(read(Cursor::new(damaged(&gzip(FILES[file]), &edits))))?;
    }

}

/// An endless repetition of these bytes.
struct Endless {
    line: &'static [u8],
    at: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for byte in &mut *buffer {
            *byte = self.line[self.at % self.line.len()];
            self.at += 1;
        }
        Ok(buffer.len())
    }
}

#[test]
fn extxyz_refuses_endless_line() {
    let endless = |line| read(Endless { line, at: 0 }).unwrap_err().to_string();
    assert_eq!(endless(b"x"), "f.xyz:1: the line is longer than 4 MiB: is this an extended XYZ file?");
    assert_eq!(endless(b"\0"), "f.xyz:1: the line is longer than 4 MiB: is this an extended XYZ file?");
    let head = Cursor::new(b"2\n\nH 0 0 0\n".to_vec()).chain(Endless { line: b"1 ", at: 0 });
    assert_eq!(
        read(head).unwrap_err().to_string(),
        "f.xyz:4: the line is longer than 4 MiB: is this an extended XYZ file?"
    );
}

/// A million bytes of repeated pieces, with the expected message.
#[test]
fn extxyz_comment_of_repeated_pieces_is_fast() {
    for (piece, expected) in [
        ("a=1 ", None),
        ("a ", None),
        ("{", None),
        ("Properties={", Some("opens a } that is never closed")),
        ("\\", None),
        ("Properties=a ", Some("gives \"Properties\" twice")),
        ("Properties=species:S:1:pos:R:3:", Some("fields are no triplets")),
        ("é=", None),
    ] {
        let comment = piece.repeat(1_000_000 / piece.len());
        let text = format!("1\n{comment}\nH 0 0 0\n");
        let outcome = read(Cursor::new(text.into_bytes()));
        match (outcome, expected) {
            (Ok(frames), None) => assert_eq!(frames.len(), 1),
            (Err(error), Some(expected)) => {
                let message = error.to_string();
                assert!(message.contains(expected) && message.len() < 500, "{message}");
            }
            (outcome, _) => panic!("{piece}: {outcome:?}"),
        }
    }
}
