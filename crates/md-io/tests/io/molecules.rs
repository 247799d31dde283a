//! The structures in `data/molecules`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use md_core::{System, bonds};
use md_io::extxyz::{LabelKeys, LabelledFrame, read_frames};

fn molecules() -> BTreeMap<String, LabelledFrame> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../data/molecules");
    let mut molecules = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "xyz") {
            let mut frames = read_frames(&path, &LabelKeys::default()).unwrap();
            assert_eq!(frames.len(), 1, "{}", path.display());
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            molecules.insert(name, frames.remove(0));
        }
    }
    molecules
}

/// Formula in the Hill order: carbon, hydrogen, then alphabetical.
fn hill_formula(system: &System) -> String {
    let mut counts = BTreeMap::new();
    for element in system.elements() {
        *counts.entry(element.symbol()).or_insert(0) += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|&(symbol, _)| match symbol {
        "C" => (0, symbol),
        "H" => (1, symbol),
        _ => (2, symbol),
    });
    counts.into_iter().map(|(s, n)| if n == 1 { s.to_owned() } else { format!("{s}{n}") }).collect()
}

/// Number of bonded components.
fn n_components(system: &System, bonds: &[bonds::Bond]) -> usize {
    let mut group: Vec<usize> = (0..system.n_atoms()).collect();
    for bond in bonds {
        let (kept, gone) = (group[bond.i], group[bond.j]);
        group.iter_mut().filter(|g| **g == gone).for_each(|g| *g = kept);
    }
    group.sort_unstable();
    group.dedup();
    group.len()
}

#[test]
fn molecule_files_match_their_metadata() {
    let molecules = molecules();
    assert!(molecules.len() >= 12, "{:?}", molecules.keys());
    for (name, molecule) in &molecules {
        let info = |key: &str| molecule.info[key].as_str();
        let system = &molecule.system;
        assert_eq!(info("name"), name);
        assert_eq!(info("formula"), hill_formula(system), "{name}");
        assert_eq!(info("charge"), "0", "{name}");
        assert!(!info("smiles").is_empty() && info("method").contains("GFN2-xTB"), "{name}");
        assert_eq!(system.cell(), None, "{name}");
        let found = bonds::find(system, bonds::DEFAULT_SCALE);
        assert_eq!(info("bonds"), found.len().to_string(), "{name}");
        assert_eq!(n_components(system, &found), 1, "{name}");
        assert_eq!(info("smiles").matches(['C', 'c', 'N', 'n', 'O', 'o']).count(), n_heavy(system), "{name}");
    }
}

fn n_heavy(system: &System) -> usize {
    system.elements().iter().filter(|e| e.symbol() != "H").count()
}

/// Sizes from the formulas in PubChem. C5H11NO2, sometimes printed for alanine, is valine.
#[test]
fn molecule_sizes_match_pubchem_formulas() {
    let molecules = molecules();
    for (name, formula, n_atoms) in [
        ("water", "H2O", 3),
        ("methane", "CH4", 5),
        ("alanine", "C3H7NO2", 13),
        ("valine", "C5H11NO2", 19),
        ("aspirin", "C9H8O4", 21),
        ("benzocaine", "C9H11NO2", 23),
        ("caffeine", "C8H10N4O2", 24),
        ("ibuprofen", "C13H18O2", 33),
        ("nicotine", "C10H14N2", 26),
        ("paracetamol", "C8H9NO2", 20),
        ("phenacetin", "C10H13NO2", 26),
        ("salicylic_acid", "C7H6O3", 16),
    ] {
        let system = &molecules[name].system;
        assert_eq!((hill_formula(system).as_str(), system.n_atoms()), (formula, n_atoms));
    }
}

#[test]
fn molecule_geometries_match_experiment() {
    let molecules = molecules();
    let lengths = |name: &str| -> Vec<f64> {
        bonds::find(&molecules[name].system, bonds::DEFAULT_SCALE).iter().map(|b| b.length_angstrom).collect()
    };
    // Experiment (r_e): O-H 0.958 Å and 104.5°, C-H 1.087 Å.
    assert!(lengths("water").iter().all(|r| (0.95..0.97).contains(r)));
    assert!(lengths("methane").iter().all(|r| (1.08..1.10).contains(r)));
    let x = molecules["water"].system.positions();
    let degrees = (x[1] - x[0]).angle(&(x[2] - x[0])).to_degrees();
    assert!((102.0..109.0).contains(&degrees), "{degrees}");
}

/// The CORN rule: viewed with the hydrogen of the α carbon towards the viewer, CO, R and N are clockwise in L.
#[test]
fn molecule_amino_acids_are_l_enantiomers() {
    let molecules = molecules();
    for (name, alpha, side_chain, nitrogen, carboxyl) in [("alanine", 1, 0, 2, 3), ("valine", 3, 1, 4, 5)] {
        let x = molecules[name].system.positions();
        let [r, n, co] = [side_chain, nitrogen, carboxyl].map(|i: usize| x[i] - x[alpha]);
        assert!(co.cross(&r).dot(&n) > 0.0, "{name}");
    }
}
