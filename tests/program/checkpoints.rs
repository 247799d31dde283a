//! The judged network is the deployed one; otherwise none is judged.

use std::fs;
use std::path::{Path, PathBuf};

use md_core::State;
use md_io::extxyz::{self, FrameToWrite};
use md_model::{Checkpoint, Precision, Student};
use md_results::Results;
use serde_json::{Value, json};

use crate::support::{Output, mdproof, repository};

fn evaluate(checkpoint: &Path, frames: &Path) -> Output {
    mdproof(["evaluate".as_ref(), checkpoint.as_os_str(), frames.as_os_str(), "--json".as_ref()])
}

fn edit(file: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    change(&mut value);
    fs::write(file, value.to_string()).unwrap();
}

#[test]
fn evaluate_refuses_contradictory_student_files() {
    let folder = tempfile::tempdir().unwrap();
    let sound = repository("data/checkpoints/ultra-tiny");
    let frames = repository("data/test/water_300K.extxyz.gz");
    let [weights, config, record] =
        ["model.safetensors", "config.json", "training.json"].map(|name| folder.path().join(name));
    let restore = || {
        for file in [&weights, &config, &record] {
            fs::copy(sound.join(file.file_name().unwrap()), file).unwrap();
        }
    };
    restore();
    assert_eq!(evaluate(folder.path(), &frames).status, 0);
    edit(&config, |c| c["elements"] = json!(["H", "O"]));
    assert_eq!(evaluate(folder.path(), &frames).status, 0, "fewer elements than were trained");

    let refused = |expected: &str| {
        let output = evaluate(folder.path(), &frames);
        assert_eq!(output.status, 2);
        assert!(output.stderr.contains(expected), "'{expected}' in '{}'", output.stderr);
        restore();
    };
    let [config_at, record_at] = [&config, &record].map(|file| file.display());
    edit(&config, |c| c["cutoff"] = json!(4.98));
    refused(&format!("cutoff is 4.98 in {config_at}, but 5.0 in {record_at}"));
    edit(&config, |c| c["elements"] = json!(["H", "O", "S"]));
    refused(&format!(
        "elements is [\"H\",\"O\",\"S\"] in {config_at}, but [\"C\",\"H\",\"N\",\"O\"] in {record_at}"
    ));
    edit(&config, |c| c["reference_energies_ev"]["O"] = json!(-2040.5));
    refused(&format!(
        "reference_energies_ev.O is -2040.5 in {config_at}, but -165.46385429317698 in {record_at}"
    ));
    fs::copy(repository("data/checkpoints/tiny/training.json"), &record).unwrap();
    refused(&format!(
        "{record_at}, but {} has af3f10f6729b76a3c7fe29eef818de403eff9beb7487ee50a58c6f2e40f73d61: these \
                      are the weights of another training",
        weights.display()
    ));
}

/// Writes frames of water labelled by the network of `checkpoint`.
fn labelled_by(checkpoint: &Path, to: &Path) {
    let mut student = Student::new(&Checkpoint::load(checkpoint).unwrap(), Precision::F64).unwrap();
    let water = extxyz::read_system(&repository("data/molecules/water.xyz")).unwrap();
    let mut file = Vec::new();
    for stretch in [1.0, 1.05] {
        let positions = water.positions().iter().map(|x| x * stretch).collect();
        let water = water.clone().with_positions(positions).unwrap();
        let state = State::at_rest(std::slice::from_ref(&water), &mut student).unwrap();
        let mut frame = FrameToWrite::new(water.elements(), state.positions());
        frame.energy_ev = Some(state.potential_energy_ev(0));
        frame.forces = Some(&state.evaluation().forces);
        extxyz::write_frame(&mut file, &frame).unwrap();
    }
    fs::write(to, file).unwrap();
}

/// Copies `averaged.pt`, which has the weights of the last step and their average (make_torch_fixture.py).
fn averaged(folder: &Path) -> [PathBuf; 3] {
    fs::copy(repository("crates/md-model/tests/data/averaged.pt"), folder.join("averaged.pt")).unwrap();
    ["", "#model_state_dict", "#ema_state_dict"].map(|set| folder.join(format!("averaged.pt{set}")))
}

#[test]
fn evaluate_uses_named_weights_of_torch_file() {
    let folder = tempfile::tempdir().unwrap();
    let [unnamed, raw, average] = averaged(folder.path());
    let frames = folder.path().join("frames.extxyz");
    labelled_by(&average, &frames);
    let output = evaluate(&unnamed, &frames);
    assert_eq!(output.status, 2);
    let expected = "averaged.pt: the file holds several sets of weights, model_state_dict, ema_state_dict: which of them is \
                    deployed? Name it after the file, such as FILE#ema_state_dict";
    assert!(output.stderr.contains(expected), "{}", output.stderr);
    let rmse = |checkpoint: &Path| {
        let output = evaluate(checkpoint, &frames);
        assert_eq!(output.status, 0, "{}", output.stderr);
        let evaluation: Value = serde_json::from_str(&output.stdout).unwrap();
        evaluation["force"]["rmse_eV_per_A"].as_f64().unwrap()
    };
    assert!(rmse(&average) < 1e-9, "{}", rmse(&average));
    assert!(rmse(&raw) > 1e-6, "{}", rmse(&raw));
}

/// Writes a campaign of one femtosecond with the average in `averaged.pt`.
fn short_campaign(folder: &Path) -> PathBuf {
    let config = folder.join("short.toml");
    let water = repository("data/molecules/water.xyz").canonicalize().unwrap();
    let text = format!(
        r#"
            campaign = {{ name = "short", seed = 1 }}
            molecule = [{{ name = "water", structure = {water:?} }}]
            [[model]]
            name = "student"
            checkpoint = "averaged.pt#ema_state_dict"
            [[run]]
            ensemble = "nve"
            timestep_fs = 0.5
            duration_ps = 0.001
            temperatures_K = [300]
            replicas = 1
            relax = false
        "#
    );
    fs::write(&config, text).unwrap();
    config
}

/// Who reads the results must know which network was judged.
#[test]
fn assumptions_are_in_results_and_reports() {
    let folder = tempfile::tempdir().unwrap();
    averaged(folder.path());
    let config = short_campaign(folder.path());
    let out = folder.path().join("out");
    let output = mdproof(["validate", config.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let results = Results::read(&out.join("results.json")).unwrap_or_else(|_| panic!("{}", output.stderr));
    let assumptions = results.models[0].assumptions.clone();
    for part in
        ["'ema_state_dict' was chosen", "'model_type' is in no", "'elements' is in no", "no training.json"]
    {
        assert_eq!(
            assumptions.iter().filter(|text| text.contains(part)).count(),
            1,
            "{part}: {assumptions:?}"
        );
    }
    let report = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    let frames = folder.path().join("frames.extxyz");
    let [_, raw, average] = averaged(folder.path());
    labelled_by(&raw, &frames);
    let evaluated = mdproof(["evaluate".as_ref(), average.as_os_str(), frames.as_os_str()]).stdout;
    for text in [output.stdout, report("report.md"), report("report.html"), evaluated] {
        assert!(text.contains("assumed: of several sets of weights in the file, "), "{text}");
        assert!(text.contains("assumed: no training.json names the frames"), "{text}");
    }
}

#[test]
fn resume_refuses_other_named_weights() {
    let folder = tempfile::tempdir().unwrap();
    let [_, raw, average] = averaged(folder.path());
    let config = short_campaign(folder.path());
    let out = folder.path().join("out");
    let validate = |more: &[&str]| {
        let always = ["validate", config.to_str().unwrap(), "--out", out.to_str().unwrap()];
        mdproof(always.iter().chain(more).copied())
    };
    let output = validate(&[]);
    let results = Results::read(&out.join("results.json")).unwrap_or_else(|_| panic!("{}", output.stderr));
    let [raw_sha256, average_sha256] =
        [&raw, &average].map(|path| Checkpoint::load(path).unwrap().sha256().to_owned());
    assert_eq!(results.models[0].checkpoint_sha256.as_ref(), Some(&average_sha256));
    assert_ne!(average_sha256, raw_sha256);

    // A campaign is resumed neither with other weights of the same file nor with another configuration.
    let model = format!("student={}", raw.display());
    let output = validate(&["--model", &model, "--resume"]);
    assert_eq!(output.status, 2);
    let expected = "checkpoint of 'student' (averaged.pt#model_state_dict): was none, is";
    assert!(output.stderr.contains(expected), "{}", output.stderr);
    for name in ["config.json", "training.json"] {
        let beside = folder.path().join(name);
        fs::write(&beside, "{}").unwrap();
        let output = validate(&["--resume"]);
        assert_eq!(output.status, 2);
        let expected = format!("checkpoint of 'student' ({name}): was none, is");
        assert!(output.stderr.contains(&expected), "{}", output.stderr);
        fs::remove_file(beside).unwrap();
    }
}
