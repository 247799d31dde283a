//! Files written by ASE 3.29.0 (`tests/data/make_golden.py` contains the numbers).

use std::path::PathBuf;

use md_core::{Element, Mat3, Vec3};
use md_io::extxyz::{LabelKeys, LabelledFrame, open, read_frames, read_system};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn read(name: &str, energy: &str, forces: &str) -> Vec<LabelledFrame> {
    let keys = LabelKeys { energy: energy.into(), forces: forces.into(), ..LabelKeys::default() };
    read_frames(&path(name), &keys).unwrap()
}

fn water_positions() -> [Vec3; 3] {
    [Vec3::new(0.0, 0.0, 0.119262), Vec3::new(0.0, 0.763239, -0.477047), Vec3::new(0.0, -0.763239, -0.477047)]
}

#[test]
fn read_frames_has_labels_and_info_of_ase_file() {
    let frames = read("ase_labelled.extxyz", "energy", "forces");
    assert_eq!(frames.len(), 2);
    let water = &frames[0];
    assert_eq!(water.system.elements(), [Element::O, Element::H, Element::H]);
    assert_eq!(water.system.positions(), water_positions());
    assert_eq!(water.system.cell(), None);
    assert_eq!(water.energy_ev, Some(-2061.43215678));
    let forces =
        [Vec3::new(0.0, 0.0, 0.25), Vec3::new(0.0, 0.12345678, -0.125), Vec3::new(0.0, -0.12345678, -0.125)];
    assert_eq!(water.forces.as_deref(), Some(&forces[..]));
    let info: Vec<_> = water.info.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        info,
        [
            ("config_type", "single"),
            ("converged", "T"),
            ("dipole", "0.0 0.0 0.4"),
            ("matrix", "_JSON [[0, 1], [2, 3]]"),
            ("name", "water, relaxed"),
            ("nested", r#"_JSON {"a": [1, 2]}"#),
            ("quote", r#"the "best" one"#),
            ("step", "3"),
            ("stress", "0.1 0.0 0.0 0.0 0.2 0.0 0.0 0.0 0.3"),
        ]
    );
    assert_eq!(frames[1].system.positions()[1], Vec3::new(0.1, 0.743239, -0.47704699));
    assert_eq!((frames[1].energy_ev, &frames[1].forces), (Some(-2060.5), &None));
}

#[test]
fn read_frames_has_cell_masses_and_named_labels() {
    let slab = &read("ase_periodic.extxyz", "REF_energy", "REF_forces")[0];
    let symbols: Vec<&str> = slab.system.elements().iter().map(|e| e.symbol()).collect();
    assert_eq!(symbols, ["Cu", "O", "H", "Cl"]);
    assert_eq!(slab.system.masses_amu(), [63.546, 15.999, 2.01410178, 34.96885268]);
    let cell = slab.system.cell().unwrap();
    assert_eq!(*cell.vectors(), Mat3::new(5.1, 0.0, 0.0, 0.25, 6.2, 0.0, -1.5, 0.75, 12.0));
    assert_eq!(cell.periodic(), [true, true, false]);
    assert_eq!(slab.energy_ev, Some(-12.25));
    assert_eq!(slab.forces.as_ref().unwrap()[3], Vec3::new(0.0, -1.5, 0.0));
    assert_eq!(slab.velocities.as_ref().unwrap()[3], Vec3::new(0.0, 0.0, 0.00000003));
    assert_eq!(slab.system.positions()[3], Vec3::new(3.0, 3.0, -4.5));

    let unnamed = &read("ase_periodic.extxyz", "energy", "forces")[0];
    assert_eq!((unnamed.energy_ev, &unnamed.forces), (None, &None));
    assert_eq!(unnamed.info["REF_energy"], "-12.25");

    let crystal = read_system(&path("ase_crystal.extxyz")).unwrap();
    assert_eq!(crystal.cell().unwrap().periodic(), [true; 3]);
    assert_eq!(*crystal.cell().unwrap().vectors(), Mat3::identity() * 5.64);
}

#[test]
fn read_system_reads_plain_xyz() {
    let system = read_system(&path("ase_plain.xyz")).unwrap();
    assert_eq!(system.positions(), water_positions());
}

#[test]
fn open_names_missing_or_empty_file() {
    let absent = path("absent.xyz");
    let error = open(&absent, LabelKeys::default()).unwrap_err().to_string();
    assert!(error.starts_with("cannot open ") && error.contains("absent.xyz"), "{error}");

    let empty = tempfile::NamedTempFile::new().unwrap();
    for error in
        [read_system(empty.path()).map(drop), read_frames(empty.path(), &LabelKeys::default()).map(drop)]
    {
        assert!(error.unwrap_err().to_string().contains("holds no frame"));
    }
}
