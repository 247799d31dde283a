//! Campaigns with a sound model that ask too little for production.

use std::path::{Path, PathBuf};

use md_driver::config::{Config, RunConfig};
use md_io::extxyz::{FrameToWrite, LabelKeys, LabelledFrame, read_frames, write_frame};
use md_results::{Threshold, ThresholdSource, Verdict};

use super::{enough, held_out, repository, run, student, table, tiny, verdict};

/// Changes a campaign; files go into the folder.
type Change = fn(&mut Config, &Path);

/// What is too little, and the campaign that asks for it.
const TOO_LITTLE: [(&str, Change); 17] = [
    ("one temperature", |c, _| c.runs[0].temperatures_k = vec![300.0]),
    ("two temperatures that are one", |c, _| c.runs[0].temperatures_k = vec![300.0, 310.0]),
    ("cold", |c, _| c.runs[0].temperatures_k = vec![10.0, 100.0]),
    ("one replica", |c, _| c.runs[0].replicas = 1),
    ("runs of 1 ps", |c, _| c.runs[0] = RunConfig::nve(0.5, 1.0, &[100.0, 300.0], 2)),
    ("runs over the safe step", |c, _| c.runs[0] = RunConfig::nve(2.0, 10.0, &[100.0, 300.0], 2)),
    ("velocities of 300 K at the minimum", |c, _| c.runs[0].relax = false),
    ("no labels", |c, _| c.molecules[0].references.clear()),
    ("one labelled frame", |c, folder| with_frames(c, folder, |frames| frames.truncate(1))),
    ("one frame a hundred times", |c, folder| {
        with_frames(c, folder, |frames| *frames = vec![frames[0].clone(); 100]);
    }),
    ("five labelled frames", |c, folder| with_frames(c, folder, |frames| frames.truncate(5))),
    ("labels without energies", |c, folder| {
        with_frames(c, folder, |frames| frames.iter_mut().for_each(|frame| frame.energy_ev = None));
    }),
    ("labels without forces", |c, folder| {
        with_frames(c, folder, |frames| frames.iter_mut().for_each(|frame| frame.forces = None));
    }),
    ("labels that are gradients", |c, folder| {
        with_frames(c, folder, |frames| {
            frames.iter_mut().flat_map(|frame| frame.forces.iter_mut().flatten()).for_each(|f| *f = -*f);
        });
    }),
    ("labels of another molecule", |c, _| c.molecules[0].references = held_out("methane")),
    ("frames of the training", |c, _| {
        c.molecules[0].references = vec![repository("data/train/water.extxyz.gz")];
    }),
    ("a bar of 1e300", |c, _| {
        let waiver = Threshold::new(1e300, ThresholdSource::Campaign);
        c.criteria[0].thresholds.insert("force_rmse_ev_per_angstrom".to_owned(), waiver);
    }),
];

/// Gives water the labelled frames of its test after `change`.
fn with_frames(config: &mut Config, folder: &Path, change: fn(&mut Vec<LabelledFrame>)) {
    let mut frames = read_frames(&held_out("water")[0], &LabelKeys::default()).unwrap();
    change(&mut frames);
    let path = folder.join("water.extxyz");
    let mut text = Vec::new();
    for frame in &frames {
        write_frame(
            &mut text,
            &FrameToWrite {
                energy_ev: frame.energy_ev,
                forces: frame.forces.as_deref(),
                ..FrameToWrite::new(frame.system.elements(), frame.system.positions())
            },
        )
        .unwrap();
    }
    std::fs::write(&path, text).unwrap();
    config.molecules[0].references = vec![path];
}

/// Runs those of the campaigns whose names are `chosen`, checks that none approves, and returns a table.
fn campaigns(chosen: impl Fn(&str) -> bool) -> String {
    let mut rows = Vec::new();
    for (name, change) in TOO_LITTLE.into_iter().filter(|(name, _)| chosen(name)) {
        let folder = tempfile::tempdir().unwrap();
        let mut config = enough();
        config.molecules.truncate(1);
        config.models.push(student(tiny()));
        change(&mut config, folder.path());
        let (verdict, why) = verdict(&run(config));
        assert_ne!(verdict, Some(Verdict::Approved), "{name}");
        assert_ne!(verdict, Some(Verdict::Rejected), "{name}: the model is blamed: {why}");
        let label = verdict.map_or("an error", Verdict::label);
        let here = format!("{}/", folder.path().display());
        rows.push(vec![name.to_owned(), label.to_owned(), shortened(&why.replace(&here, ""))]);
    }
    assert!(!rows.is_empty());
    table(&rows)
}

fn shortened(text: &str) -> String {
    let root: PathBuf = repository("");
    text.replace(&format!("{}", root.display()), "").chars().take(150).collect()
}

#[test]
fn campaigns_that_ask_too_little_approve_nothing() {
    let part = [
        "one temperature",
        "one replica",
        "one frame a hundred times",
        "frames of the training",
        "a bar of 1e300",
    ];
    campaigns(|name| part.contains(&name));
}

#[test]
#[ignore = "minutes: cargo xtask acceptance"]
fn all_campaigns_that_ask_too_little_approve_nothing() {
    let table = campaigns(|_| true);
    println!("\nCampaigns that ask too little\n\n{table}");
}
