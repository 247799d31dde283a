//! The labelled data of the repository are complete, unchanged, and split as documented.

use std::collections::{BTreeMap, BTreeSet};

use md_io::extxyz::{self, LabelKeys};
use serde_json::Value;

use crate::support::repository;

fn manifest() -> Vec<Value> {
    let text = std::fs::read_to_string(repository("data/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    manifest["files"].as_array().unwrap().clone()
}

#[test]
fn data_files_match_manifest() {
    let mut listed = BTreeSet::new();
    let mut bytes = 0;
    for file in manifest() {
        let name = file["path"].as_str().unwrap();
        let path = repository("data").join(name);
        assert_eq!(md_io::files::sha256_file(&path).unwrap(), file["sha256"].as_str().unwrap(), "{name}");
        bytes += path.metadata().unwrap().len();
        listed.insert(name.to_owned());
    }
    assert!(bytes < 60 << 20, "{bytes} bytes");
    for folder in ["train", "test", "test/held_out", "dft", "trajectories"] {
        for entry in std::fs::read_dir(repository("data").join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                assert!(listed.contains(&name), "{name} is not in the manifest");
            }
        }
    }
}

/// The training set shares no trajectory with a test set and no molecule with the held-out set, and all frames have
/// forces.
#[test]
fn training_and_test_sets_are_disjoint() {
    let mut trajectories: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut molecules = trajectories.clone();
    for file in manifest() {
        let (path, what) = (file["path"].as_str().unwrap(), file["what"].as_str().unwrap());
        let mut n_frames = 0;
        for frame in extxyz::open(&repository("data").join(path), LabelKeys::default()).unwrap() {
            let frame = frame.unwrap();
            assert!(frame.energy_ev.is_some() && frame.forces.is_some(), "{path}: frame {n_frames}");
            let insert = |all: &mut BTreeMap<String, BTreeSet<String>>, key: &str| {
                all.entry(what.to_owned()).or_default().insert(frame.info[key].clone());
            };
            insert(&mut trajectories, "trajectory");
            insert(&mut molecules, "molecule");
            n_frames += 1;
        }
        assert_eq!(file["n_frames"], n_frames, "{path}");
    }
    let training = &trajectories["train"];
    for (what, others) in &trajectories {
        assert!(what == "train" || training.is_disjoint(others), "{what}");
    }
    assert!(molecules["train"].is_disjoint(&molecules["held_out"]));
    assert_eq!(molecules["train"], molecules["test"]);
    // Labels of another level of theory belong to frames of the test set.
    assert!(trajectories["dft"].is_subset(&trajectories["test"]));
}

/// The range of stiffness that tells units is that of these frames.
#[test]
fn labels_of_the_repository_pull_on_bonds_as_forces_do() {
    let mut n = 0;
    for folder in ["data/train", "data/test", "data/dft"] {
        for entry in std::fs::read_dir(repository(folder)).unwrap() {
            let file = entry.unwrap().path();
            if !file.to_string_lossy().ends_with(".extxyz.gz") {
                continue;
            }
            let frames = extxyz::open(&file, LabelKeys::default()).unwrap();
            let frames: Vec<_> = frames.take(100).map(Result::unwrap).collect();
            let labelled = frames.iter().filter_map(|f| Some((&f.system, f.forces.as_deref()?)));
            let Some(bonds) = md_metrics::bond_forces(labelled) else { continue };
            assert_eq!(bonds.fault(), None, "{}: {bonds:?}", file.display());
            let stiffness = bonds.stiffness_ev_per_angstrom2;
            assert!(
                bonds.correlation < -0.5 && (10.0..80.0).contains(&stiffness),
                "{}: {bonds:?}",
                file.display()
            );
            n += 1;
        }
    }
    assert!(n > 20, "{n}");
}
