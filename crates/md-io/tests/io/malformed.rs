//! Invalid files: each must give a particular message, and no file makes the reader panic.

use md_io::extxyz::{FrameReader, LabelKeys, LabelledFrame, XyzError};
use proptest::prelude::*;

fn read(bytes: &[u8], keys: &LabelKeys) -> Result<Vec<LabelledFrame>, XyzError> {
    FrameReader::new(bytes, "f.xyz", keys.clone()).collect()
}

fn message(bytes: &[u8]) -> String {
    read(bytes, &LabelKeys::default()).unwrap_err().to_string()
}

/// A frame of water with this comment line.
fn water(comment: &str) -> String {
    format!("3\n{comment}\nO 0 0 0.12\nH 0 0.76 -0.48\nH 0 -0.76 -0.48\n")
}

#[test]
fn frame_reader_rejects_bad_comment_lines() {
    let p = "Properties=species:S:1:pos:R:3";
    for (comment, expected) in [
        (format!("{p} energy=low"), "f.xyz:2: found \"low\", expected a finite energy in eV"),
        (format!("{p} energy=nan"), "f.xyz:2: found \"nan\", expected a finite energy in eV"),
        (format!("{p} energy="), "f.xyz:2: found \"\", expected a finite energy in eV"),
        (format!("{p} energy=1 energy=1"), "f.xyz:2: the comment line gives \"energy\" twice: remove one"),
        (format!("{p} {p}"), "f.xyz:2: the comment line gives \"Properties\" twice: remove one"),
        (format!("{p} pbc=\"T T\""), "f.xyz:2: pbc=\"T T\" (expected one or three of T and F)"),
        (format!("{p} pbc=yes"), "f.xyz:2: pbc=\"yes\" (expected one or three of T and F)"),
        (
            format!("{p} pbc=\"F F T\""),
            "f.xyz:2: pbc=\"F F T\" without a Lattice: add Lattice=\"ax ay az bx by bz cx cy cz\" in Å, \
             or set pbc=\"F F F\"",
        ),
        (
            format!("{p} Lattice=\"1 2 3\""),
            "f.xyz:2: Lattice=\"1 2 3\": it has 3 numbers (expected 9 numbers: three lattice vectors in Å, one \
             after the other)",
        ),
        (
            format!("{p} pbc=F Lattice=\"1 0 0 0 x 0 0 0 1\""),
            "f.xyz:2: Lattice=\"1 0 0 0 x 0 0 0 1\": found \"x\", expected a finite number (expected 9 numbers: \
             three lattice vectors in Å, one after the other)",
        ),
        (
            format!("{p} Lattice=\"1 0 0 2 0 0 0 0 1\""),
            "f.xyz:2: Lattice=\"1 0 0 2 0 0 0 0 1\": the lattice vectors are not finite or span no volume \
             (expected 9 numbers: three lattice vectors in Å, one after the other)",
        ),
        (
            format!("{p} name='water"),
            "f.xyz:2: the comment line opens a ' that is never closed (write \\' for the character itself)",
        ),
    ] {
        assert_eq!(message(water(&comment).as_bytes()), expected);
    }
}

#[test]
fn frame_reader_rejects_bad_properties() {
    let usage = "(expected name:type:width triplets, such as species:S:1:pos:R:3)";
    for (value, reason) in [
        ("species:S:1:pos:R", "5 fields are no triplets"),
        ("species:S:1:pos:X:3", "'pos' has the type 'X', not R, I, S or L"),
        ("species:S:1:pos:R:-3", "'pos' has the width '-3', not a number from 1"),
        ("species:S:0:pos:R:3", "'species' has the width '0', not a number from 1"),
        (
            "species:S:1:pos:R:3:a:R:18446744073709551615",
            "'a' has the width '18446744073709551615', not a number from 1",
        ),
        ("species:S:1:pos:R:2", "'pos' is R:2, not R:3"),
        ("species:S:1:pos:R:3:forces:I:3", "'forces' is I:3, not R:3"),
        ("species:S:1:pos:R:3:pos:R:3", "the column 'pos' is declared twice"),
        ("species:S:1:species:S:1:pos:R:3", "the column 'species' is declared twice"),
        ("pos:R:3", "neither 'species' nor 'Z' is declared"),
        ("species:S:1", "'pos' is not declared"),
    ] {
        let expected = format!("f.xyz:2: Properties={value:?}: {reason} {usage}");
        assert_eq!(message(water(&format!("Properties={value}")).as_bytes()), expected);
    }
}

#[test]
fn frame_reader_rejects_bad_atom_lines() {
    let extended = "Properties=species:S:1:pos:R:3";
    for (text, expected) in [
        (water("plain").replace("H 0 0.76", "H 0.76"), "f.xyz:4: found 3 columns, expected at least 4"),
        (water(extended).replace("H 0 0.76", "H 0.76"), "f.xyz:4: found 3 columns, expected 4"),
        (water(extended).replace("H 0 0.76", "H 0 0 0.76"), "f.xyz:4: found 5 columns, expected 4"),
        (water("").replace("0.12", "0.l2"), "f.xyz:3: found \"0.l2\", expected a finite coordinate in Å"),
        (water("").replace("0.12", "inf"), "f.xyz:3: found \"inf\", expected a finite coordinate in Å"),
        (water("").replace("0.12", "1e999"), "f.xyz:3: found \"1e999\", expected a finite coordinate in Å"),
        (
            water("").replace('O', "Ox"),
            "f.xyz:3: 'Ox' is not the symbol of a chemical element (expected one such as H, C or Cl)",
        ),
        (
            water("").replace("H 0 -0.76", "H 0 0.75"),
            "f.xyz:5: atoms 1 and 2 coincide (0.0100 Å apart, less than 0.05 Å): remove one of them or correct \
             its position",
        ),
        (
            water("Properties=Z:I:1:pos:R:3").replace('O', "8").replace('H', "119"),
            "f.xyz:4: 119 is not an atomic number (expected 1 to 118)",
        ),
        (water("Properties=Z:I:1:pos:R:3"), "f.xyz:3: found \"O\", expected an atomic number"),
        (
            "1\nProperties=species:S:1:Z:I:1:pos:R:3\nO 7 0 0 0\n".into(),
            "f.xyz:3: species says O but Z says N",
        ),
        (
            "2\nProperties=species:S:1:pos:R:3:masses:R:1\nH 0 0 0 1\nH 0 0 1 -1\n".into(),
            "f.xyz:4: atom 1 has a mass of -1 amu (expected a positive number)",
        ),
        (
            "1\nProperties=species:S:1:pos:R:3:forces:R:3\nH 0 0 0 0 nan 0\n".into(),
            "f.xyz:3: found \"nan\", expected a finite force in eV/Å",
        ),
    ] {
        assert_eq!(message(text.as_bytes()), expected, "{text}");
    }
    let error = message(b"2\n\nH 0 0 0\nH 0 \xff 1\n");
    assert_eq!(error, "f.xyz:4: byte 5 of the line is not UTF-8: is this a text file?");
}

#[test]
fn frame_reader_rejects_bad_atom_counts() {
    let counted = "where a frame begins (expected the number of atoms alone)";
    for (text, expected) in [
        ("water\n".into(), format!("f.xyz:1: found \"water\" {counted}")),
        ("-1\n\n".into(), format!("f.xyz:1: found \"-1\" {counted}")),
        ("\n\n3 4\n".into(), format!("f.xyz:3: found \"3 4\" {counted}")),
        (water("") + "H 0 0 0\n", format!("f.xyz:6: found \"H 0 0 0\" {counted}")),
        ("0\n\n".into(), "f.xyz:1: the system has no atoms".into()),
    ] {
        assert_eq!(message(text.as_bytes()), expected, "{text}");
    }
    let long = message("x".repeat(1_000_000).as_bytes());
    assert!(long.len() < 200, "the message repeats {} bytes of the file", long.len());
}

#[test]
fn frame_reader_states_missing_lines_of_cut_frame() {
    let text = water("") + &water("");
    let cut: String = text.lines().take(8).map(|line| format!("{line}\n")).collect();
    assert_eq!(
        message(cut.as_bytes()),
        "f.xyz:8: the file ends inside the frame that begins at line 6: expected 5 lines (2 and one per atom), \
         found 3"
    );
    // The declared number of atoms must not be trusted.
    assert!(
        message(b"1000000\n\nH 0 0 0\n").contains("expected 1000002 lines (2 and one per atom), found 3")
    );
    assert!(message(b"1000000\n").ends_with("found 1"));
    for count in ["1000001", "1000000000000000000", "18446744073709551615"] {
        let expected = format!(
            "f.xyz:1: found {count} where a frame begins, expected at most 1000000 atoms: is this the number of atoms of \
             one frame?"
        );
        assert_eq!(message(format!("{count}\n\nH 0 0 0\n").as_bytes()), expected);
    }
    let beyond_u64 = message(b"99999999999999999999999\n\n");
    assert!(beyond_u64.starts_with("f.xyz:1: found \"99999999999999999999999\" where"), "{beyond_u64}");
}

#[test]
fn frame_reader_misses_labels_only_if_required() {
    let keys = LabelKeys { required: true, ..LabelKeys::default() };
    let both = "1\nenergy=1 Properties=species:S:1:pos:R:3:forces:R:3\nH 0 0 0 0 0 0\n";
    assert_eq!(read(both.as_bytes(), &keys).unwrap()[0].energy_ev, Some(1.0));
    for (from, to, expected) in [
        ("energy", "REF_energy", "f.xyz:2: the frame has no energy key \"energy\"; it has REF_energy"),
        ("energy=1", "energy", "f.xyz:2: the frame has no energy key \"energy\"; it has none at all"),
        (
            "forces",
            "REF_forces",
            "f.xyz:2: the frame has no force column \"forces\"; it has species, pos, REF_forces",
        ),
    ] {
        let text = both.replace(from, to);
        assert_eq!(read(text.as_bytes(), &keys).unwrap_err().to_string(), expected);
        read(text.as_bytes(), &LabelKeys::default()).unwrap();
    }
}

#[test]
fn frame_reader_ends_after_an_error() {
    let text = water("").replace('O', "Ox") + &water("");
    let mut frames = FrameReader::new(text.as_bytes(), "f.xyz", LabelKeys::default());
    assert!(frames.next().unwrap().is_err());
    assert!(frames.next().is_none());
}

#[test]
fn frame_reader_accepts_unusual_valid_files() {
    let keys = LabelKeys::default();
    let plain = read(water("").as_bytes(), &keys).unwrap();
    for text in [
        water("").replace('\n', "\r\n"),
        water("") + "\n  \n\n",
        format!("\n{}", water("")),
        water("").trim_end().to_owned(),
        water("").replace("0.12", "0.12 -0.8 charge"),
        water("").replace('H', "h").replace('O', " O"),
        water("Lattice energy minimised, 5' end, pbc off"),
        water("Lattice=\"9 0 0 0 9 0 0 0 9\" pbc=\"F F F\""),
        water("Properties=Z:I:1:pos:R:3").replace('O', "8").replace('H', "1"),
    ] {
        assert_eq!(read(text.as_bytes(), &keys).unwrap(), plain, "{text}");
    }
    // Labels without Properties, and a box without pbc, as in ASE.
    let frame = &read(water("energy = -1 Lattice=[9,0,0,0,9,0,0,0,9]").as_bytes(), &keys).unwrap()[0];
    assert_eq!(frame.energy_ev, Some(-1.0));
    assert_eq!(frame.system.cell().unwrap().periodic(), [true; 3]);
    let any_order = "1\nProperties=tag:I:2:forces:R:3:ok:L:1:pos:R:3:species:S:1\n7 8 1 2 3 T 4 5 6 Cl\n";
    let frame = &read(any_order.as_bytes(), &keys).unwrap()[0];
    assert_eq!(frame.forces.as_ref().unwrap()[0].as_slice(), [1.0, 2.0, 3.0]);
    assert_eq!(frame.system.positions()[0].as_slice(), [4.0, 5.0, 6.0]);
    assert_eq!(frame.system.elements()[0].symbol(), "Cl");
}

/// Pieces that a mutation may insert into a valid file.
const PIECES: [&str; 16] = [
    "\n",
    "\r\n",
    " ",
    "\"",
    "\\",
    "=",
    ":",
    "{",
    "]",
    "-",
    "99999999999",
    "1e999",
    "nan",
    "Properties=",
    "é",
    "T",
];

proptest! {
    #[test]
    fn frame_reader_never_panics_on_arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes, &LabelKeys::default());
    }

    #[test]
    fn frame_reader_never_panics_on_mutated_files(
        file in 0..3usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4usize, 0..PIECES.len()), 1..8),
        required in any::<bool>(),
    ) {
        let files = [
            include_bytes!("../data/ase_labelled.extxyz").as_slice(),
            include_bytes!("../data/ase_periodic.extxyz"),
            include_bytes!("../data/ase_plain.xyz"),
        ];
        let mut bytes = files[file].to_vec();
        for (place, deleted, piece) in edits {
            let start = place.index(bytes.len());
            let end = (start + deleted).min(bytes.len());
            bytes.splice(start..end, PIECES[piece].bytes());
        }
        let keys = LabelKeys { required, ..LabelKeys::default() };
        match read(&bytes, &keys) {
            Ok(frames) => for frame in frames {
                prop_assert!(frame.energy_ev.is_none_or(f64::is_finite));
                prop_assert!(frame.forces.iter().flatten().all(|f| f.iter().all(|x| x.is_finite())));
            },
            Err(error) => prop_assert!(error.to_string().starts_with("f.xyz:"), "{}", error),
        }
    }
}
