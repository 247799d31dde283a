//! Reference labels: invalid ones are rejected, and too few decide nothing.

use std::path::{Path, PathBuf};

use md_core::{State, Vec3};
use md_io::extxyz::{self, FrameToWrite, LabelKeys, LabelledFrame};
use md_model::{Checkpoint, Precision, Student};
use md_results::{Results, Stage, Status, Verdict};

use crate::support::{Output, mdproof, repository};

/// Returns frames of water with the labels of a reference program.
fn water(n: usize) -> Vec<LabelledFrame> {
    let file = repository("data/dft/water.extxyz.gz");
    extxyz::open(&file, LabelKeys::default()).unwrap().take(n).map(Result::unwrap).collect()
}

fn write(path: &Path, frames: &[LabelledFrame]) {
    let mut text = Vec::new();
    for frame in frames {
        let to_write = FrameToWrite {
            energy_ev: frame.energy_ev,
            forces: frame.forces.as_deref(),
            ..FrameToWrite::from(&frame.system)
        };
        extxyz::write_frame(&mut text, &to_write).unwrap();
    }
    std::fs::write(path, text).unwrap();
}

fn with_forces(
    frames: &[LabelledFrame],
    forces: impl Fn(&LabelledFrame) -> Option<Vec<Vec3>>,
) -> Vec<LabelledFrame> {
    frames.iter().map(|frame| LabelledFrame { forces: forces(frame), ..frame.clone() }).collect()
}

fn times(factor: f64) -> impl Fn(&LabelledFrame) -> Option<Vec<Vec3>> {
    move |frame| frame.forces.as_ref().map(|forces| forces.iter().map(|f| factor * f).collect())
}

fn checkpoint() -> PathBuf {
    repository("data/checkpoints/ultra-tiny").canonicalize().unwrap()
}

/// Returns the forces of the network.
fn own_forces(precision: Precision) -> impl Fn(&LabelledFrame) -> Option<Vec<Vec3>> {
    let checkpoint = Checkpoint::load(checkpoint()).unwrap();
    move |frame| {
        let mut student = Student::new(&checkpoint, precision).unwrap();
        let state = State::at_rest(std::slice::from_ref(&frame.system), &mut student).unwrap();
        Some(state.evaluation().forces.clone())
    }
}

/// Creates a short campaign on water in `folder`, with `water.extxyz` as reference.
fn campaign(folder: &Path) -> PathBuf {
    let text = format!(
        r#"
            campaign = {{ name = "labels", seed = 1 }}
            molecule = [{{ name = "water", structure = {:?}, reference = "water.extxyz" }}]
            [[model]]
            name = "student"
            checkpoint = {:?}
            [[run]]
            ensemble = "nve"
            timestep_fs = 0.5
            duration_ps = 0.005
            temperatures_K = [300]
            replicas = 1
            relax = false
        "#,
        repository("data/molecules/water.xyz").canonicalize().unwrap(),
        checkpoint(),
    );
    let file = folder.join("labels.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn validate(config: &Path, out: &Path, more: &[&str]) -> Output {
    let mut arguments = vec!["validate".into(), config.into(), "--out".into(), out.as_os_str().to_owned()];
    arguments.extend(more.iter().map(Into::into));
    mdproof(arguments)
}

/// Returns status and reason of the check of the force error, the verdict, and the results.
fn judged(out: &Path) -> (Status, String, Option<Verdict>, Results) {
    let results = Results::read(&out.join("results.json")).unwrap();
    let model = &results.models[0];
    let check = model.checks.iter().find(|c| c.id == "force_rmse_ev_per_angstrom").unwrap();
    (check.status, check.reason.clone(), model.verdict, results)
}

#[test]
fn validate_refuses_reference_without_labels() {
    let folder = tempfile::tempdir().unwrap();
    let config = campaign(folder.path());
    let (reference, out) = (folder.path().join("water.extxyz"), folder.path().join("out"));
    let frames = water(20);
    let mut methane_third = frames.clone();
    methane_third.insert(
        3,
        extxyz::read_frames(&repository("data/molecules/methane.xyz"), &LabelKeys::default())
            .unwrap()
            .remove(0),
    );
    let mut infinite = with_forces(&frames, times(1.0));
    infinite[2].forces.as_mut().unwrap()[1].y = f64::INFINITY;
    let own = "the labels are the model's own forces: label the frames with a reference program first";
    for (frames, expected) in [
        (with_forces(&frames, |_| None), "no forces (expected a column forces:R:3 in Properties)"),
        (with_forces(&frames, times(0.0)), "all forces are zero: these are no labels"),
        (infinite, "found \"inf\", expected a finite force"),
        (methane_third, "frame 3 is CH4, the structure is H2O"),
        (with_forces(&frames, own_forces(Precision::F64)), own),
        (with_forces(&frames, own_forces(Precision::F32)), own),
        (with_forces(&frames, times(-1.0)), "the labels look like gradients (minus the forces)"),
        (
            with_forces(&frames, times(1.0 / 0.043_364)),
            "the labels look like kcal/mol/Å: stretched bonds pull back by",
        ),
    ] {
        write(&reference, &frames);
        let output = validate(&config, &out, &[]);
        assert_eq!(output.status, 2, "{expected}: {}", output.stdout);
        assert!(output.stderr.contains(expected), "{expected}: {}", output.stderr);
        assert!(output.stderr.contains("water.extxyz"), "{}", output.stderr);
        assert!(!out.exists(), "{expected}: nothing is written");
        let doctor = mdproof(["doctor".as_ref(), config.as_os_str(), "--json".as_ref()]);
        assert_eq!(doctor.status, 1, "{expected}: {}", doctor.stdout);
        assert!(doctor.stdout.contains(&expected.replace('"', "\\\"")), "{expected}: {}", doctor.stdout);
    }
}

#[test]
fn validate_keep_going_skips_own_forces_as_labels() {
    let folder = tempfile::tempdir().unwrap();
    let config = campaign(folder.path());
    let out = folder.path().join("out");
    write(&folder.path().join("water.extxyz"), &with_forces(&water(20), own_forces(Precision::F64)));
    let output = validate(&config, &out, &["--keep-going"]);
    assert_ne!(output.status, 0, "{}", output.stdout);
    let (status, reason, _, results) = judged(&out);
    assert_eq!(status, Status::Skipped);
    assert!(reason.contains("the model's own forces"), "{reason}");
    assert!(results.failures.iter().all(|f| f.stage == Stage::Evaluation), "{:?}", results.failures);
}

#[test]
fn validate_counts_repeated_geometries_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = campaign(folder.path());
    let reference = folder.path().join("water.extxyz");
    let [one, two]: [LabelledFrame; 2] = water(2).try_into().unwrap();
    let unlabelled = with_forces(&water(24)[1..], |_| None);

    // Ten copies, and one more after a translation and an exchange of the hydrogens.
    let mut moved = one.clone();
    let mut positions: Vec<Vec3> =
        one.system.positions().iter().map(|x| x + Vec3::new(1.0, -2.0, 0.5)).collect();
    let elements = one.system.elements();
    let hydrogens: Vec<usize> = (0..3).filter(|&i| elements[i].symbol() == "H").collect();
    positions.swap(hydrogens[0], hydrogens[1]);
    moved.forces.as_mut().unwrap().swap(hydrogens[0], hydrogens[1]);
    moved.system = moved.system.with_positions(positions).unwrap();
    write(&reference, &[vec![one.clone(); 10], vec![moved]].concat());
    let (output, out) = (validate(&config, &folder.path().join("one"), &[]), folder.path().join("one"));
    assert_ne!(output.status, 0, "{}", output.stdout);
    let (status, reason, verdict, results) = judged(&out);
    assert_eq!((status, results.evaluations[0].n_repeated), (Status::Skipped, 10), "{reason}");
    assert_ne!(verdict, Some(Verdict::Approved));
    let expected = "1 of 11 frames of water.extxyz; 10 of 11 frames repeat others: too few for an uncertainty: give more";
    assert_eq!(reason, expected);
    let evaluated = mdproof(["evaluate".into(), checkpoint(), reference.clone()]);
    assert!(evaluated.stdout.contains("11 frames, 10 of them repeat others"), "{}", evaluated.stdout);

    // One labelled frame of 24.
    write(&reference, &[vec![one.clone()], unlabelled.clone()].concat());
    let out = folder.path().join("most");
    validate(&config, &out, &[]);
    let (status, reason, ..) = judged(&out);
    assert_eq!(status, Status::Skipped);
    assert!(
        reason.ends_with("; 23 of 24 frames have no forces: too few for an uncertainty: give more"),
        "{reason}"
    );

    // Two distinct frames count, even behind one without labels; the message has all numbers.
    write(&reference, &[unlabelled[..1].to_vec(), vec![one.clone(), two, one]].concat());
    let out = folder.path().join("two");
    validate(&config, &out, &[]);
    let (status, reason, _, results) = judged(&out);
    assert_eq!(results.evaluations[0].force.as_ref().unwrap().n_frames, 2);
    assert_ne!(status, Status::Skipped);
    let expected = "2 of 4 frames of water.extxyz; 1 of 4 frames repeat others; 1 of 4 frames has no forces";
    assert_eq!(reason, expected);
}

/// Runs `mdproof evaluate` on a file with this text.
fn evaluate(folder: &Path, text: &str, more: &[&str]) -> Output {
    let file = folder.join("water.extxyz");
    std::fs::write(&file, text).unwrap();
    let mut arguments = vec!["evaluate".into(), checkpoint().into_os_string(), file.into_os_string()];
    arguments.extend(more.iter().map(Into::into));
    mdproof(arguments)
}

fn text_of(frames: &[LabelledFrame]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("frames.extxyz");
    write(&file, frames);
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn evaluate_counts_frames_without_forces() {
    let folder = tempfile::tempdir().unwrap();
    let frames = water(3);
    let unlabelled = with_forces(&frames[..1], |_| None);
    let text = text_of(&[&unlabelled, &frames[1..]].concat());
    let output = evaluate(folder.path(), &text, &[]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert!(output.stdout.contains("3 frames; 2 of 3 frames have forces\n"), "{}", output.stdout);
    assert!(!output.stdout.contains("warning"), "{}", output.stdout);
}

#[test]
fn evaluate_refuses_what_validate_refuses_as_labels() {
    let folder = tempfile::tempdir().unwrap();
    let frames = water(20);
    for (frames, expected) in [
        (with_forces(&frames, times(0.0)), "all forces are zero: these are no labels"),
        (with_forces(&frames, times(-1.0)), "the labels look like gradients (minus the forces)"),
    ] {
        let output = evaluate(folder.path(), &text_of(&frames), &[]);
        assert_eq!(output.status, 2, "{expected}: {}", output.stdout);
        assert!(output.stderr.contains(&format!("water.extxyz: {expected}")), "{}", output.stderr);
        assert!(output.stdout.is_empty(), "{}", output.stdout);
    }
    for precision in [Precision::F64, Precision::F32] {
        let output = evaluate(folder.path(), &text_of(&with_forces(&frames, own_forces(precision))), &[]);
        assert_eq!(output.status, 0, "{}", output.stderr);
        assert!(
            output.stdout.contains("warning: the labels are the model's own forces"),
            "{}",
            output.stdout
        );
    }
}

#[test]
fn evaluate_keeps_charges_apart_and_names_training_frames() {
    let folder = tempfile::tempdir().unwrap();
    let charged = text_of(&water(3)).replacen("Properties=", "charge=-1 Properties=", 1);
    let charged = charged.replace("\nProperties=", "\ncharge=0 Properties=");
    let output = evaluate(folder.path(), &charged, &[]);
    assert_eq!(output.status, 2, "{}", output.stdout);
    assert!(output.stderr.contains("frame 0 has charge=-1, frame 1 charge=0"), "{}", output.stderr);

    let data = repository("data");
    let train = data.join("train/water.extxyz.gz");
    let output =
        mdproof(["evaluate".into(), data.join("checkpoints/tiny").into_os_string(), train.into_os_string()]);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let expected = "is a file that the model was trained on";
    assert!(output.stdout.contains("warning: ") && output.stdout.contains(expected), "{}", output.stdout);
}

#[test]
fn evaluate_warns_of_other_units() {
    let folder = tempfile::tempdir().unwrap();
    for (unit, ev_per_angstrom) in [("kcal/mol/Å", 0.043_364), ("Hartree/bohr", 51.422)] {
        let text = text_of(&with_forces(&water(20), times(1.0 / ev_per_angstrom)));
        let expected = format!("its labels look like {unit}");
        for format in [&[][..], &["--json"], &["--markdown"]] {
            let output = evaluate(folder.path(), &text, format);
            assert_eq!(output.status, 0, "{}", output.stderr);
            assert!(output.stdout.contains(&expected), "{format:?}: {}", output.stdout);
            assert!(output.stdout.to_lowercase().contains("warning"), "{format:?}: {}", output.stdout);
        }
    }
}

#[test]
fn evaluate_names_keys_that_no_frame_has() {
    let folder = tempfile::tempdir().unwrap();
    let sound = text_of(&water(3));
    let renamed = |energy: &str, forces: &str| {
        let text =
            sound.replace("energy=", &format!("{energy}=")).replace(":forces:", &format!(":{forces}:"));
        assert!(text.contains(&format!("{energy}=")) && text.contains(&format!(":{forces}:")), "{text}");
        text
    };
    for (text, options, expected) in [
        (
            sound.clone(),
            &["--forces-key", "nope"][..],
            "water.extxyz: no frame has the force column 'nope' (the file has the columns forces, pos, species): \
             it has a column forces: give --forces-key forces",
        ),
        (
            sound.clone(),
            &["--energy-key", "nope"],
            "water.extxyz: no frame has the energy key 'nope' (the file has the keys energy): it has a key energy: give \
             --energy-key energy",
        ),
        (
            renamed("Energy", "force"),
            &[],
            "it has a key Energy: give --energy-key Energy; it has a column force: give --forces-key force",
        ),
    ] {
        let output = evaluate(folder.path(), &text, options);
        assert_eq!(output.status, 2, "{expected}: {}", output.stdout);
        assert!(output.stderr.contains(expected), "{expected}: {}", output.stderr);
    }
    for (text, expected) in [
        (renamed("energy", "force"), "it has a column force: give --forces-key force"),
        (renamed("Energy", "forces"), "it has a key Energy: give --energy-key Energy"),
    ] {
        let output = evaluate(folder.path(), &text, &[]);
        assert_eq!(output.status, 0, "{}", output.stderr);
        assert!(output.stdout.contains(expected), "{expected}: {}", output.stdout);
    }
    let output = evaluate(
        folder.path(),
        &renamed("Energy", "force"),
        &["--energy-key", "Energy", "--forces-key", "force"],
    );
    assert_eq!(output.status, 0, "{}", output.stderr);
    assert!(output.stdout.contains("one shift per composition"), "{}", output.stdout);
}
