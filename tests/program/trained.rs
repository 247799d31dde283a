//! Frames that a model was trained on are not held out.

use std::path::Path;

use crate::bad_input::checkpoint;
use crate::support::{mdproof, repository};

/// Three frames of water with forces.
fn write_frames(path: &Path, first: usize) {
    let frame = |n: usize| {
        let y = 0.7 + 0.01 * n as f64;
        format!(
            "3\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-1.0\nO 0 0 0.12 0 0 0.3\nH 0 {y} -0.48 0 0.2 -0.1\n\
             H 0 -0.76 -0.48 0 -0.2 -0.2\n"
        )
    };
    std::fs::write(path, (first..first + 3).map(frame).collect::<String>()).unwrap();
}

#[test]
fn validate_measures_no_force_errors_on_training_data() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("model")).unwrap();
    checkpoint(&at("model"));
    write_frames(&at("train.extxyz"), 0);
    write_frames(&at("test.extxyz"), 5);
    let sha256 = md_io::files::sha256_file(&at("train.extxyz")).unwrap();
    let record = format!("{{\"data\": [{{\"file\": \"data/train.extxyz\", \"sha256\": \"{sha256}\"}}]}}");
    std::fs::write(at("model/training.json"), record).unwrap();
    let campaign = format!(
        "[campaign]\nname = \"t\"\nseed = 1\n[[model]]\nname = \"m\"\ncheckpoint = \"model\"\n[[molecule]]\nname = \"water\"\n\
         structure = \"{}\"\nreference = [\"train.extxyz\", \"test.extxyz\"]\n[[run]]\nensemble = \"nve\"\n\
         timestep_fs = 0.5\nduration_ps = 0.005\ntemperatures_K = [300]\nreplicas = 1\n",
        repository("data/molecules/water.xyz").canonicalize().unwrap().display()
    );
    let file = at("campaign.toml");
    std::fs::write(&file, campaign).unwrap();
    let expected = "train.extxyz is a file that the model was trained on (data/train.extxyz in its training.json): give frames";

    let doctor = mdproof(["doctor".as_ref(), file.as_os_str()]);
    assert_eq!(doctor.status, 1, "{}{}", doctor.stdout, doctor.stderr);
    assert!(doctor.stdout.contains("train.extxyz is a file that the model"), "{}", doctor.stdout);

    let out = at("out");
    let output = mdproof(["validate".as_ref(), file.as_os_str(), "--out".as_ref(), out.as_os_str()]);
    assert_ne!(output.status, 0, "{}", output.stderr);
    let results = std::fs::read_to_string(out.join("results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_str(&results).unwrap();
    let failures = results["failures"].as_array().unwrap();
    let named = failures.iter().find(|f| f["reason"].as_str().unwrap().contains(expected));
    assert_eq!(named.unwrap()["stage"], "evaluation", "{failures:?}");
    let evaluations = results["evaluations"].as_array().unwrap();
    assert_eq!(evaluations.len(), 1, "{evaluations:?}");
    assert!(evaluations[0]["frames"].as_str().unwrap().ends_with("test.extxyz"));
}
