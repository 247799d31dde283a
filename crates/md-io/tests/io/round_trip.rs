//! Written frames are read back bit for bit.

use md_core::{Cell, Element, Mat3, System, Vec3};
use md_io::extxyz::{FrameReader, FrameToWrite, LabelKeys, LabelledFrame, WriteError, write_frame};
use proptest::prelude::*;

/// Any finite number: of ordinary size, or any bit pattern.
fn finite() -> impl Strategy<Value = f64> {
    prop_oneof![-100.0..100.0f64, prop::num::f64::ANY.prop_filter("finite", |x| x.is_finite())]
}

fn vector() -> impl Strategy<Value = Vec3> {
    [finite(), finite(), finite()].prop_map(Vec3::from)
}

fn system() -> impl Strategy<Value = System> {
    let atoms =
        prop::collection::vec((1..=118i64, [-0.4..0.4f64, -0.4..0.4, -0.4..0.4], 0.5..300.0f64), 1..12);
    let cell = prop::option::of(([finite(), finite(), finite()], any::<[bool; 3]>()));
    (atoms, any::<bool>(), cell).prop_map(|(atoms, isotopes, cell)| {
        let elements = atoms.iter().map(|a| Element::from_atomic_number(a.0).unwrap()).collect();
        let apart = |i: usize, x: [f64; 3]| Vec3::from(x) + Vec3::new(i as f64, 0.0, 1e5);
        let positions = atoms.iter().enumerate().map(|(i, a)| apart(i, a.1)).collect();
        let mut system = System::new(elements, positions).unwrap();
        if isotopes {
            system = system.with_masses_amu(atoms.iter().map(|a| a.2).collect()).unwrap();
        }
        match cell {
            // A cell without periodic directions is not read back.
            Some((shear, periodic)) if periodic != [false; 3] => {
                let [a, b, c] = shear.map(|x| x.clamp(-5.0, 5.0));
                let vectors = Mat3::new(9.0, a, 0.0, b, 50.0, c, 0.25, 0.0, 7.5);
                system.with_cell(Cell::new(vectors, periodic).unwrap())
            }
            _ => system,
        }
    })
}

fn frame() -> impl Strategy<Value = LabelledFrame> {
    system().prop_flat_map(|system| {
        let n = system.n_atoms();
        let vectors = move || prop::option::of(prop::collection::vec(vector(), n));
        let value = prop_oneof!["[ -~]{1,12}", "\\PC{1,8}"];
        let info = prop::collection::btree_map("[a-z_][A-Za-z0-9_-]{0,5}_", value, 0..4);
        (Just(system), prop::option::of(finite()), vectors(), vectors(), info).prop_map(
            |(system, energy_ev, forces, velocities, info)| LabelledFrame {
                system,
                energy_ev,
                forces,
                velocities,
                info,
                other_columns: Vec::new(),
            },
        )
    })
}

fn write(frame: &LabelledFrame) -> Vec<u8> {
    let info: Vec<(&str, String)> = frame.info.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    let mut bytes = Vec::new();
    let to_write = FrameToWrite {
        energy_ev: frame.energy_ev,
        forces: frame.forces.as_deref(),
        velocities: frame.velocities.as_deref(),
        info: &info,
        ..FrameToWrite::from(&frame.system)
    };
    write_frame(&mut bytes, &to_write).unwrap();
    bytes
}

/// The text distinguishes -0 from 0, which `==` does not.
fn bits(frame: &LabelledFrame) -> String {
    format!("{frame:?}")
}

proptest! {
    #[test]
    fn write_frame_round_trips_bitwise(frames in prop::collection::vec(frame(), 1..4)) {
        let bytes: Vec<u8> = frames.iter().flat_map(write).collect();
        let read: Vec<LabelledFrame> =
            FrameReader::new(bytes.as_slice(), "written", LabelKeys::default()).map(Result::unwrap).collect();
        prop_assert_eq!(&read, &frames);
        prop_assert_eq!(read.iter().map(bits).collect::<Vec<_>>(), frames.iter().map(bits).collect::<Vec<_>>());
    }
}

#[test]
fn write_frame_rejects_unreadable_info() {
    let (elements, positions) = ([Element::H; 2], [Vec3::zeros(), Vec3::new(0.74, 0.0, 0.0)]);
    let frame = FrameToWrite { energy_key: "own_energy", ..FrameToWrite::new(&elements, &positions) };
    let mut out = Vec::new();
    for (key, value) in [
        ("", "1"),
        ("two words", "1"),
        ("1st", "1"),
        ("a=b", "1"),
        ("energy", "1"),
        ("own_energy", "1"),
        ("Lattice", "1"),
        ("empty", ""),
        ("lines", "a\nb"),
    ] {
        let info = [(key, value.to_owned())];
        let error = write_frame(&mut out, &FrameToWrite { info: &info, ..frame }).unwrap_err();
        assert!(matches!(error, WriteError::Info { .. }), "{key}={value}");
    }
    for frame in [
        FrameToWrite { positions: &positions[..1], ..frame },
        FrameToWrite { forces: Some(&[]), ..frame },
        FrameToWrite { velocities: Some(&positions[..1]), ..frame },
        FrameToWrite { masses_amu: Some(&[1.0; 3]), ..frame },
    ] {
        let error = write_frame(&mut out, &frame).unwrap_err();
        assert!(matches!(error, WriteError::Length { elements: 2, .. }), "{error}");
    }
    assert!(out.is_empty());
}
