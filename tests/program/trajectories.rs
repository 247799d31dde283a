//! Reference trajectories are checked before anything is run.

use std::path::{Path, PathBuf};

use md_core::Vec3;
use md_io::extxyz::{self, FrameToWrite, LabelKeys, LabelledFrame};

use crate::support::{Output, mdproof, repository};

/// A frame as it is changed: its number, time, frame.
type Change = fn(usize, &mut f64, &mut LabelledFrame);

/// Writes 64 frames of the reference trajectory of a molecule, changed, and a campaign with it.
fn campaign(folder: &Path, molecule: &str, change: Change) -> PathBuf {
    let source = repository(&format!("data/trajectories/{molecule}_nve_300K_0.extxyz.gz"));
    let mut text = Vec::new();
    for (n, frame) in extxyz::open(&source, LabelKeys::default()).unwrap().take(64).enumerate() {
        let mut frame = frame.unwrap();
        let mut time_fs = frame.info["time_fs"].parse().unwrap();
        change(n, &mut time_fs, &mut frame);
        let info = [("time_fs", time_fs.to_string())];
        let written = FrameToWrite {
            velocities: frame.velocities.as_deref(),
            info: &info,
            ..FrameToWrite::from(&frame.system)
        };
        extxyz::write_frame(&mut text, &written).unwrap();
    }
    std::fs::write(folder.join("reference.extxyz"), text).unwrap();
    let structure = repository(&format!("data/molecules/{molecule}.xyz"));
    let file = folder.join("campaign.toml");
    let text = format!(
        "[campaign]\nname = \"t\"\nseed = 1\n[[model]]\nname = \"c\"\nanalytic = \"control\"\n[[molecule]]\nname = \"m\"\n\
         structure = \"{}\"\ntrajectory = \"reference.extxyz\"\n[[run]]\nensemble = \"nve\"\ntimestep_fs = 0.5\n\
         duration_ps = 0.005\ntemperatures_K = [300]\nreplicas = 1\n",
        structure.display()
    );
    std::fs::write(&file, text).unwrap();
    file
}

fn scale(frame: &mut LabelledFrame, factor: f64) {
    frame.velocities.iter_mut().flatten().for_each(|v| *v *= factor);
}

fn with_positions(frame: &mut LabelledFrame, change: impl FnOnce(&mut Vec<Vec3>)) {
    let mut positions = frame.system.positions().to_vec();
    change(&mut positions);
    frame.system = frame.system.clone().with_positions(positions).unwrap();
}

fn validate(file: &Path) -> Output {
    let out = file.with_file_name("out");
    mdproof(["validate".as_ref(), file.as_os_str(), "--out".as_ref(), out.as_os_str()])
}

#[test]
fn validate_rejects_wrong_trajectories_before_any_run() {
    let cases: [(&str, Change, &str); 15] = [
        ("water", |_, _, f| scale(f, 10.180_505), "reference.extxyz: the velocities are 10.2"),
        ("methane", |_, _, f| scale(f, 10.180_505), "are the velocities in ASE's unit"),
        ("water", |_, _, f| scale(f, 1000.0), "are the velocities in Å/ps?"),
        ("water", |_, _, f| scale(f, -1.0), "of the other sign"),
        ("water", |_, _, f| scale(f, 0.0), "all velocities are zero"),
        ("water", |_, _, f| f.velocities = None, "frame 0 has no velocities"),
        ("water", |_, time, _| *time /= 1000.0, "is the time in ps?"),
        ("water", |_, time, _| *time /= 4.0, "the velocities or the times are in another unit"),
        (
            "water",
            |_, time, _| *time = 0.0,
            "frame 1 is at time_fs=0, the one before at 0: times must increase",
        ),
        ("water", |_, time, _| *time = -*time, "times must increase"),
        ("water", |n, time, _| *time += 0.1 * (n % 2) as f64, "the spectrum needs frames at even times"),
        ("water", |n, time, _| *time = if n == 9 { f64::NAN } else { *time }, "frame 9 has time_fs=\"NaN\""),
        (
            "methane",
            |_, _, f| {
                let masses = f.system.masses_amu().to_vec();
                f.velocities.iter_mut().flatten().zip(masses).for_each(|(v, mass)| *v *= mass);
            },
            "the column 'velocities' holds momenta",
        ),
        (
            "methane",
            |n, _, f| {
                with_positions(f, |x| {
                    if n % 2 == 1 {
                        x.swap(1, 2)
                    }
                })
            },
            "moves by 1.",
        ),
        (
            "water",
            |_, _, f| with_positions(f, |x| x.iter_mut().for_each(|x| *x /= 0.529_177)),
            "are not in Å",
        ),
    ];
    for (n, (molecule, change, expected)) in cases.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let file = campaign(folder.path(), molecule, change);
        let output = validate(&file);
        assert_eq!(output.status, 2, "{n}: {}", output.stderr);
        assert!(output.stderr.contains(expected), "{n}: {}", output.stderr);
        assert!(output.stderr.contains("reference.extxyz"), "{n}: {}", output.stderr);
        assert!(!folder.path().join("out/results.json").exists(), "{n}");
    }
}

#[test]
fn doctor_names_wrong_trajectory() {
    let folder = tempfile::tempdir().unwrap();
    let file = campaign(folder.path(), "water", |_, _, f| scale(f, 10.180_505));
    let output = mdproof(["doctor".as_ref(), file.as_os_str()]);
    assert_eq!(output.status, 1, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("ASE's unit"), "{}", output.stdout);
}
