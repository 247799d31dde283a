//! Tests `mdproof doctor` on this machine and on campaigns.

use std::path::{Path, PathBuf};

use crate::support::{mdproof, repository};

/// Creates a campaign in `folder` with one model and one molecule with reference data.
fn campaign(folder: &Path, checkpoint: &Path, reference: &Path) -> PathBuf {
    let text = format!(
        r#"
        [campaign]
        name = "ready"
        seed = 1
        [[model]]
        name = "m"
        checkpoint = "{}"
        [[molecule]]
        name = "water"
        structure = "{}"
        reference = "{}"
        [[run]]
        ensemble = "nve"
        timestep_fs = 0.5
        duration_ps = 0.01
        temperatures_K = [300]
        replicas = 2
        "#,
        checkpoint.display(),
        repository("data/molecules/water.xyz").display(),
        reference.display()
    );
    let file = folder.join("ready.toml");
    std::fs::write(&file, text).unwrap();
    file
}

/// Writes two frames of water with forces, followed by `rest` of a third.
fn reference(folder: &Path, rest: &str) -> PathBuf {
    let frame = "3\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-1.0\n\
                 O 0 0 0 0.1 0.1 0\nH 0.96 0 0 -0.1 0 0\nH -0.24 0.93 0 0 -0.1 0\n";
    let file = folder.join("water.extxyz");
    std::fs::write(&file, format!("{frame}{frame}{rest}")).unwrap();
    file
}

#[test]
fn doctor_finds_no_problem_in_smoke_campaign() {
    let smoke = repository("configs/smoke.toml");
    let output = mdproof(["doctor".as_ref(), smoke.as_os_str()]);
    assert_eq!(output.status, 0, "{}{}", output.stdout, output.stderr);
    for expected in [
        "CPU",
        "memory",
        "disk",
        "NVIDIA driver",
        "6 runs",
        "model control",
        "molecule water",
        "untrained",
        "calls per second (native-f32)",
        "no problem",
    ] {
        assert!(output.stdout.contains(expected), "{expected}: {}", output.stdout);
    }
}

#[test]
fn doctor_loads_checkpoint_and_frames_and_computes_forces() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = repository("data/checkpoints/ultra-tiny").canonicalize().unwrap();
    let file = campaign(folder.path(), &checkpoint, &reference(folder.path(), ""));
    let output = mdproof(["doctor".as_ref(), file.as_os_str(), "--json".as_ref()]);
    assert_eq!(output.status, 0, "{}{}", output.stdout, output.stderr);
    let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    let campaign = &report["readings"]["campaign"];
    assert_eq!(campaign["plan"]["runs"], 2);
    assert_eq!(campaign["models"][0]["outcome"]["loaded"]["parameters"], 21289);
    assert_eq!(campaign["molecules"][0]["files"][1]["frames"]["count"], 2);
    let forces = &report["readings"]["forces"];
    assert_eq!((&forces["molecule"], &forces["atoms"]), (&"water".into(), &3.into()));
    assert!(forces["network"].as_str().unwrap().starts_with("the campaign's 'm' (painn, 21289 parameters"));
    let cpu = &forces["devices"][0]["outcome"]["measured"];
    assert!(cpu["calls_per_s"].as_f64().unwrap() > 1.0, "{cpu}");
    assert!(cpu["force_difference_ev_per_angstrom"].as_f64().unwrap() < 1e-3, "{cpu}");
    for item in report["items"].as_array().unwrap() {
        assert_eq!(item["status"] == "ok", item.get("advice").is_none(), "{item}");
    }
}

#[test]
fn doctor_names_every_fault_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let cut_off = "3\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-1.0\nO 0 0 0 0 0 0\n";
    let damaged = folder.path().join("damaged.safetensors");
    std::fs::write(&damaged, "not a checkpoint").unwrap();
    let file = campaign(folder.path(), &damaged, &reference(folder.path(), cut_off));
    let output = mdproof(["doctor".as_ref(), file.as_os_str(), "--json".as_ref()]);
    assert_eq!(output.status, 1, "{}{}", output.stdout, output.stderr);
    let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["status"], "problem");
    let items = report["items"].as_array().unwrap();
    let problems: Vec<&serde_json::Value> = items.iter().filter(|item| item["status"] == "problem").collect();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert_eq!(problems[0]["subject"], "model m");
    assert!(problems[0]["found"].as_str().unwrap().contains("damaged.safetensors"), "{}", problems[0]);
    assert!(problems[1]["subject"].as_str().unwrap().ends_with("water.extxyz"), "{}", problems[1]);
    assert!(problems.iter().all(|problem| problem["advice"].is_string()), "{problems:#?}");
}

#[test]
fn doctor_bad_campaign_is_problem_missing_file_bad_usage() {
    let bad = repository("tests/cases/bad/missing-structure.toml");
    let output = mdproof(["doctor".as_ref(), bad.as_os_str()]);
    assert_eq!(output.status, 1, "{}{}", output.stdout, output.stderr);
    assert!(output.stdout.contains("PROBLEM") && output.stdout.contains("1 problem"), "{}", output.stdout);
    assert!(output.stdout.contains("there is no file"), "{}", output.stdout);
    for (arguments, expected) in [
        (vec!["doctor", "no-such-file.toml"], "no-such-file.toml"),
        (vec!["doctor", "--model", "m=checkpoint"], "CONFIG"),
        (vec!["doctor", "--colour"], "--colour"),
    ] {
        let output = mdproof(&arguments);
        assert_eq!(output.status, 2, "{arguments:?}");
        assert!(output.stderr.contains(expected), "{arguments:?}: {}", output.stderr);
    }
}
