//! Random damage of files, for tests of readers: faults of disks, editors and malicious authors.

use std::ops::Range;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// One modification of a file. Numbers are taken modulo the valid range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    /// Kind of edit.
    pub kind: u8,
    /// Position of the edit.
    pub offset: u32,
    /// Length of the edit.
    pub length: u16,
    /// Source position or replacement.
    pub operand: u32,
}

/// Strategy for `n` edits of any kind.
pub fn edits(n: Range<usize>) -> impl Strategy<Value = Vec<Edit>> {
    let edit = any::<(u8, u32, u16, u32)>();
    let edit = edit.prop_map(|(kind, offset, length, operand)| Edit { kind, offset, length, operand });
    prop::collection::vec(edit, n)
}

/// Seed of the damage unless `PROPTEST_RNG_SEED` is set: a failure is reproducible on every machine.
const SEED: u64 = 1;

/// Returns a configuration with `times` the default number of cases: reading a damaged file takes some microseconds.
pub fn many_cases(times: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    let rng_seed = match usual.rng_seed {
        RngSeed::Random => RngSeed::Fixed(SEED),
        given => given,
    };
    ProptestConfig { cases: times * usual.cases, rng_seed, ..usual }
}

/// Replacements for counts, sizes and energies.
const NUMBERS: [&str; 16] = [
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483647",
    "4294967296",
    "1000000000",
    "9223372036854775807",
    "18446744073709551615",
    "1000000000000000000000",
    "1e999",
    "-1e-320",
    "nan",
    "inf",
    "0.05",
];

/// Syntax elements of all formats.
const PIECES: [&str; 20] = [
    "\n",
    "\r\n",
    " ",
    "\"",
    "\\",
    "=",
    ":",
    ",",
    ".",
    "[",
    "]",
    "{",
    "}",
    "(",
    "\0",
    "é",
    "null",
    "true",
    "Properties=",
    "\u{1b}[31m",
];

/// Openings of nested structures in TOML, JSON, pickles and comment lines.
const OPENING: [&str; 8] = ["[", "{", "(", "]", "a.", "[[", "{\"a\":", "\""];

/// Bytes of the largest and smallest numbers.
const EXTREMES: [[u8; 8]; 4] =
    [[0xff; 8], [0; 8], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], [0, 0, 0, 0, 0, 0, 0, 0x80]];

/// Applies all `edits` to `file` in order. It grows by a few thousand bytes per edit at most.
///
/// ```
/// use md_testkit::damage::{Edit, damaged};
/// let number = Edit { kind: 6, offset: 2, length: 0, operand: 1 };
/// assert_eq!(damaged(b"n = 30\n", &[number]), b"n = -1\n");
/// ```
pub fn damaged(file: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = file.to_vec();
    for edit in edits {
        apply(&mut bytes, edit);
    }
    bytes
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit) {
    let places = bytes.len() + 1;
    let (at, with) = (edit.offset as usize % places, edit.operand as usize);
    let length = usize::from(edit.length);
    let end = (at + length % 64).min(bytes.len());
    let insert = |bytes: &mut Vec<u8>, piece: Vec<u8>| drop(bytes.splice(at..at, piece));
    match edit.kind % 10 {
        0 => flip(bytes, at, with),
        1 => drop(bytes.drain(at..end)),
        2 => bytes.truncate(at),
        3 => insert(bytes, PIECES[with % PIECES.len()].into()),
        // Copies a part of the file to another position.
        4 => {
            let from = with % places;
            let part = bytes[from..(from + length % 512).min(bytes.len())].to_vec();
            insert(bytes, part);
        }
        5 => {
            let extreme = EXTREMES[with % EXTREMES.len()];
            let width = [2, 4, 8][length % 3].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&extreme[8 - width..]);
        }
        6 => replace_number(bytes, at, NUMBERS[with % NUMBERS.len()]),
        // Repeats a line, such as a key or a table.
        7 => {
            let start = bytes[..at].iter().rposition(|&b| b == b'\n').map_or(0, |n| n + 1);
            let stop = bytes[at..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| at + n + 1);
            let line = bytes[start..stop].repeat(1 + with % 3);
            if line.len() < 4096 {
                bytes.splice(start..start, line);
            }
        }
        8 => insert(bytes, OPENING[with % OPENING.len()].repeat(length % 3000).into()),
        _ => {
            let most = length % 300;
            insert(bytes, vec![with as u8; most]);
        }
    }
}

fn flip(bytes: &mut [u8], at: usize, with: usize) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << (with % 8);
    }
}

/// Replaces the first number at or after `at`.
fn replace_number(bytes: &mut Vec<u8>, at: usize, number: &str) {
    let Some(start) = bytes[at..].iter().position(u8::is_ascii_digit).map(|n| at + n) else { return };
    let of_number = |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b'e');
    let stop = bytes[start..].iter().position(|b| !of_number(b)).map_or(bytes.len(), |n| start + n);
    bytes.splice(start..stop, number.bytes());
}
