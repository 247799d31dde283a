use std::{fs, io};

use md_io::extxyz::XyzError;
use proptest::prelude::*;

use super::*;
use crate::fixtures::{CONFIG, config, frames, write};

/// A data set of `lengths[m][t]` frames of trajectory t of molecule m.
fn dataset(lengths: &[Vec<usize>]) -> Dataset {
    let template = &frames(1, 1)[0];
    let mut all = Vec::new();
    for (m, trajectories) in lengths.iter().enumerate() {
        for (t, &n) in trajectories.iter().enumerate() {
            for i in 0..n {
                all.push(LabelledSystem {
                    molecule: format!("m{m}"),
                    trajectory: format!("t{t}"),
                    kind: (i % 3 > 0).then(|| if i % 3 == 1 { "md" } else { "near" }.to_owned()),
                    ..template.clone()
                });
            }
        }
    }
    Dataset { files: Vec::new(), frames: all }
}

proptest! {
    #[test]
    fn split_separates_trajectories_and_covers_molecules(
        lengths in prop::collection::vec(prop::collection::vec(1usize..6, 1..12), 1..5),
        trajectory_fraction in 0.01..0.99,
        max_frames in 1usize..60,
        seed: u64,
    ) {
        let data = dataset(&lengths);
        let validation = ValidationConfig { trajectory_fraction, max_frames, ..ValidationConfig::default() };
        let result = split(&data, &validation, seed);
        if lengths.iter().all(|trajectories| trajectories.len() == 1) {
            prop_assert!(matches!(result, Err(TrainError::NothingToValidate)));
            return Ok(());
        }
        let split_once = result.unwrap();
        let of = |frames: &[usize]| -> BTreeSet<(String, String)> {
            let key = |&f: &usize| (data.frames[f].molecule.clone(), data.frames[f].trajectory.clone());
            frames.iter().map(key).collect()
        };
        let (training, scored) = (of(&split_once.training), of(&split_once.validation));
        prop_assert!(training.is_disjoint(&scored));
        let mut held_out = 0;
        for (m, trajectories) in lengths.iter().enumerate() {
            let record = &split_once.molecules[&format!("m{m}")];
            let n = record.validation_trajectories.len();
            prop_assert_eq!(n + record.training_trajectories, trajectories.len());
            prop_assert!(record.training_trajectories >= 1);
            prop_assert_eq!(n >= 1, trajectories.len() >= 2);
            // Rounded, or the smallest or largest number allowed.
            let exact = trajectory_fraction * trajectories.len() as f64;
            prop_assert!(
                (n as f64 - exact).abs() <= 0.5 || n == 1 || record.training_trajectories == 1 || n == 0
            );
            held_out += record
                .validation_trajectories
                .iter()
                .map(|name| trajectories[name[1..].parse::<usize>().unwrap()])
                .sum::<usize>();
        }
        // All frames of the other trajectories are used for training, once.
        let unique: BTreeSet<_> = split_once.training.iter().collect();
        prop_assert_eq!(unique.len(), split_once.training.len());
        prop_assert_eq!(split_once.training.len() + held_out, data.frames.len());
        prop_assert_eq!(split_once.validation.len(), held_out.min(max_frames));
        let unique: BTreeSet<_> = split_once.validation.iter().collect();
        prop_assert_eq!(unique.len(), split_once.validation.len());
        // The same seed gives the same split; another molecule does not change that of the first.
        prop_assert_eq!(&split(&data, &validation, seed).unwrap(), &split_once);
        let with_another = split(&dataset(&[lengths, vec![vec![2, 2]]].concat()), &validation, seed).unwrap();
        prop_assert_eq!(
            &with_another.molecules["m0"].validation_trajectories,
            &split_once.molecules["m0"].validation_trajectories
        );
    }

    #[test]
    fn shares_are_as_even_as_can_be(available in prop::collection::vec(0usize..30, 1..8), total in 0usize..100) {
        let shares = shares(&available, total);
        prop_assert_eq!(shares.iter().sum::<usize>(), total.min(available.iter().sum()));
        let largest = shares.iter().max().unwrap();
        for (share, available) in std::iter::zip(&shares, &available) {
            prop_assert!(share == available || share + 1 >= *largest, "{:?}", shares);
        }
    }
}

#[test]
fn split_holds_out_every_temperature() {
    let data = dataset(&[vec![1; 30]]);
    let mut sorted: Vec<String> = (0..30).map(|t| format!("t{t}")).collect();
    sorted.sort();
    for seed in 0..20 {
        let split = split(&data, &ValidationConfig::default(), seed).unwrap();
        let held_out = &split.molecules["m0"].validation_trajectories;
        let places: Vec<usize> =
            (0..30).filter(|&place| held_out.contains(&sorted[place])).map(|place| place / 10).collect();
        assert_eq!(places, [0, 1, 2]); // one of each ten
    }
}

#[test]
fn split_leaves_out_frames_of_other_kinds() {
    let data = dataset(&[vec![9; 4]]);
    let kinds = Some(BTreeSet::from(["md".to_owned()]));
    let validation = ValidationConfig { kinds, ..ValidationConfig::default() };
    let split = split(&data, &validation, 1).unwrap();
    assert_eq!((split.training.len(), split.validation.len()), (27, 3));
    assert!(split.validation.iter().all(|&f| data.frames[f].kind.as_deref() == Some("md")));
    let validation = ValidationConfig { kinds: Some(BTreeSet::from(["absent".to_owned()])), ..validation };
    assert!(matches!(super::split(&data, &validation, 1), Err(TrainError::NothingToValidate)));
}

#[test]
fn dataset_reads_plain_and_gzip_with_keys() {
    let folder = tempfile::tempdir().unwrap();
    let expected = frames(2, 5);
    write(folder.path(), &expected);
    let data = Dataset::read(&config(folder.path(), CONFIG)).unwrap();
    assert_eq!(data.frames, expected);
    assert_eq!(data.files.iter().map(|f| (f.frames, f.repeat)).collect::<Vec<_>>(), [(10, 1), (10, 2)]);
    assert_eq!(data.repeated(&[0, 12, 1]), [0, 12, 12, 1]);
    assert_eq!(data.describe(&[12, 0, 4, 10]), "water.extxyz.gz: 1, 5; methane.extxyz: 3, 1");
}

/// Replacements in a valid file, and other files.
#[test]
fn dataset_errors_name_file_and_frame() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &frames(2, 2));
    let path = folder.path().join("methane.extxyz");
    let text = fs::read_to_string(&path).unwrap();
    let config = config(folder.path(), CONFIG);
    let cases = [
        ("trajectory=methane-0", ""),
        ("molecule=methane", ""),
        ("energy=", "energie="),
        ("energy=", "energy=nan other="),
        (":forces:R:3", ":kraft:R:3"),
        ("pbc=\"F F F\"", "pbc=\"T T T\" Lattice=\"9 0 0 0 9 0 0 0 9\""),
    ];
    let mut messages = Vec::new();
    for (good, bad) in cases {
        assert!(text.contains(good), "{good}: {text}");
        fs::write(&path, text.replacen(good, bad, 1)).unwrap();
        messages.push(Dataset::read(&config).unwrap_err().to_string());
    }
    fs::write(&path, "").unwrap();
    let error = Dataset::read(&config).unwrap_err();
    assert!(matches!(&error, TrainError::Xyz(XyzError::NoFrames { path: at }) if *at == path), "{error:?}");
    messages.push(error.to_string());
    fs::copy(folder.path().join("water.extxyz.gz"), &path).unwrap();
    let error = Dataset::read(&config).unwrap_err();
    assert!(matches!(&error, TrainError::RepeatedFile { .. }), "{error:?}");
    messages.push(error.to_string());
    fs::remove_file(&path).unwrap();
    let error = Dataset::read(&config).unwrap_err();
    let TrainError::Io { path: at, source } = &error else { panic!("{error:?}") };
    assert_eq!((at, source.kind()), (&path, io::ErrorKind::NotFound));
    insta::assert_snapshot!(messages.join("\n").replace(&folder.path().display().to_string(), "FOLDER"));
}

#[test]
fn dataset_refuses_labels_that_are_no_forces_in_ev_per_angstrom() {
    for (factor, expected) in [(23.06, "look like kcal/mol/Å"), (-1.0, "look like gradients")] {
        let folder = tempfile::tempdir().unwrap();
        let mut frames = frames(2, 5);
        frames.iter_mut().flat_map(|frame| &mut frame.forces).for_each(|force| *force *= factor);
        write(folder.path(), &frames);
        let error = Dataset::read(&config(folder.path(), CONFIG)).unwrap_err();
        assert!(matches!(&error, TrainError::Labels { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains("water.extxyz.gz: the labels") && message.contains(expected), "{message}");
    }
}
