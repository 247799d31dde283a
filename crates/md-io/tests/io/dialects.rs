//! What other programs write: the specification of libAtoms, Fortran, editors, LAMMPS.

use md_core::{Element, Vec3};
use md_io::extxyz::{FrameReader, LabelKeys, LabelledFrame, XyzError};

fn read(text: &str) -> Result<LabelledFrame, XyzError> {
    FrameReader::new(text.as_bytes(), "f.xyz", LabelKeys::default()).next().unwrap()
}

/// A frame of hydrogen chloride.
fn frame(comment: &str, first: &str) -> Result<LabelledFrame, XyzError> {
    read(&format!("2\n{comment}\n{first}\nH 0 0 1.27\n"))
}

#[test]
fn frame_reader_reads_lists_of_lists() {
    let p = "Properties=species:S:1:pos:R:3";
    for lattice in [
        "Lattice=[[20, 0, 0], [0, 21, 0], [0, 0, 22]]",
        "Lattice=[[20,0,0],[0,21,0],[0,0,22]]",
        "Lattice=\"[20, 0, 0, 0, 21, 0, 0, 0, 22]\"",
        "Lattice=\"[[20, 0, 0], [0, 21, 0], [0, 0, 22]]\"",
        "Lattice=[20 0 0 0 21 0 0 0 22]",
        "Lattice={20 0 0 0 21 0 0 0 22}",
    ] {
        let periodic = frame(&format!("{p} {lattice} energy=-3"), "Cl 0 0 0").unwrap();
        let cell = periodic.system.cell().unwrap();
        assert_eq!(cell.vectors().diagonal(), Vec3::new(20.0, 21.0, 22.0), "{lattice}");
        assert_eq!((cell.periodic(), periodic.energy_ev), ([true; 3], Some(-3.0)), "{lattice}");
        for pbc in
            ["pbc=[F, F, F]", "pbc=\"F F F\"", "pbc=\"[F, F, F]\"", "pbc=F", "pbc=[False, False, False]"]
        {
            let open = frame(&format!("{p} {pbc} {lattice}"), "Cl 0 0 0").unwrap();
            assert_eq!(open.system.cell(), None, "{lattice} {pbc}");
        }
    }
}

#[test]
fn frame_reader_reads_properties_in_lower_case() {
    let forces = "properties=species:S:1:pos:R:3:forces:R:3:force:R:3:tag:I:1";
    let text = format!("1\n{forces}\nCl 0 0 0 1 2 3 4 5 6 7\n");
    let frame = read(&text).unwrap();
    assert_eq!(frame.forces, Some(vec![Vec3::new(1.0, 2.0, 3.0)]));
    assert_eq!(frame.other_columns, ["force", "tag"]);
}

#[test]
fn frame_reader_reads_fortran_exponents() {
    let found = frame("energy=-1.5D+01", "Cl 1.0d-1 2D0 -.3D+00").unwrap();
    assert_eq!((found.energy_ev, found.system.positions()[0]), (Some(-15.0), Vec3::new(0.1, 2.0, -0.3)));
    for bad in ["d", "1D", "nanD0", "1DD0", "D5"] {
        frame("", &format!("Cl {bad} 0 0")).unwrap_err();
    }
}

#[test]
fn frame_reader_reads_atomic_numbers_as_species() {
    for comment in ["", "Properties=species:S:1:pos:R:3"] {
        assert_eq!(
            frame(comment, "17 0 0 0").unwrap().system.elements()[0],
            Element::from_atomic_number(17).unwrap()
        );
    }
    for bad in ["0", "300", "-1", "1.0"] {
        frame("", &format!("{bad} 0 0 0")).unwrap_err();
    }
    let types = frame("Atoms. Timestep: 0", "2 0 0 0").unwrap_err().to_string();
    assert_eq!(
        types,
        "f.xyz:3: found the atom type 2 of LAMMPS, expected an element (write the dump with `dump_modify ID element C H ...`)"
    );
    assert_eq!(
        frame("Atoms. Timestep: 0", "Cl 0 0 0").unwrap().system.elements()[0],
        Element::from_atomic_number(17).unwrap()
    );
}

#[test]
fn frame_reader_uses_mass_and_masses() {
    for name in ["mass", "masses"] {
        let text = format!("1\nProperties=species:S:1:pos:R:3:{name}:R:1\nH 0 0 0 2.014\n");
        assert_eq!(read(&text).unwrap().system.masses_amu(), [2.014]);
    }
    let both = "1\nProperties=species:S:1:pos:R:3:mass:R:1:masses:R:1\nH 0 0 0 2 2\n";
    let message = read(both).unwrap_err().to_string();
    assert!(message.contains("both 'mass' and 'masses' are declared"), "{message}");
}

#[test]
fn frame_reader_skips_byte_order_mark() {
    assert_eq!(read("\u{feff}1\n\nH 0 0 0\n").unwrap().system.n_atoms(), 1);
    read("1\n\n\u{feff}H 0 0 0\n").unwrap_err();
}
