//! Snapshots of all text output: `cargo xtask snapshots` rewrites them, and the diff shows the changes.
//!
//! The outputs derive from `cases/campaign`, written by a campaign (configs/check.toml with two students, on two
//! molecules, without curves), so that they do not depend on the machine.

use std::ffi::OsString;
use std::path::Path;

use insta::assert_snapshot;

use crate::support::{mdproof, repository};

const COMMANDS: [&str; 11] = [
    "validate", "evaluate", "bench", "merge", "verdict", "frames", "report", "compare", "status", "train",
    "doctor",
];

/// Returns exit status and output of the program, with the paths of this machine replaced.
fn said(arguments: &[&str], hide: &[(&Path, &str)]) -> String {
    let output = mdproof(arguments.iter().map(OsString::from));
    let mut text = format!("exit status {}\n{}", output.status, output.stdout);
    if !output.stderr.is_empty() {
        text += &format!("--- stderr\n{}", output.stderr);
    }
    let repository = repository("").canonicalize().unwrap();
    for (path, name) in hide.iter().copied().chain([(repository.as_path(), "REPOSITORY")]) {
        text = text.replace(&path.display().to_string(), name);
    }
    text
}

/// Copies the campaign and applies `change` to its results.
fn campaign(change: impl FnOnce(&mut serde_json::Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = repository("tests/cases/campaign");
    std::fs::copy(from.join("progress.json"), folder.path().join("progress.json")).unwrap();
    let text = std::fs::read_to_string(from.join("results.json")).unwrap();
    let mut results = serde_json::from_str(&text).unwrap();
    change(&mut results);
    std::fs::write(folder.path().join("results.json"), results.to_string()).unwrap();
    folder
}

/// Copies the campaign, applies `change` and judges the results, as `mdproof validate` does.
fn judged(change: impl FnOnce(&mut serde_json::Value)) -> tempfile::TempDir {
    let folder = campaign(change);
    let file = folder.path().join("results.json");
    let mut results = md_results::Results::read(&file).unwrap();
    md_criteria::judge(&mut results);
    results.write(&file).unwrap();
    folder
}

#[test]
fn help() {
    let mut text = said(&["--help"], &[]);
    for command in COMMANDS {
        text += &format!("\n=== mdproof {command} --help\n{}", said(&[command, "--help"], &[]));
    }
    assert_snapshot!(text);
}

#[test]
fn bad_campaigns() {
    let folder = repository("tests/cases/bad");
    let mut cases: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|e| e == "toml"));
    cases.sort();
    let out = tempfile::tempdir().unwrap();
    let mut text = String::new();
    for case in &cases {
        let (case, out) = (case.to_str().unwrap(), out.path().to_str().unwrap());
        text += &said(&["validate", case, "--out", out], &[(&folder, "bad")]);
    }
    assert_snapshot!(text);
}

#[test]
fn bad_arguments() {
    let lines = [
        &["validate", "no-such-file.toml"][..],
        &["validate", "x.toml", "--model", "tiny"],
        &["validate", "x.toml", "--only", "colour=red"],
        &["validate", "../configs/smoke.toml", "--only", "molecule=nope"],
        &["validate", "../configs/smoke.toml", "--model", "a=x", "--model", "a=y"],
        &["validate", "x.toml", "--device", "tpu"],
        &["validate", "x.toml", "--shard", "3/2"],
        &["validate", "x.toml", "--save-every", "soon"],
        &["evaluate", "no-such-checkpoint", "frames.xyz"],
        &["bench", "--model", "m=x", "y.xyz", "--implementation", "magic"],
        &["bench", "--model", "m=x", "--model", "m=y", "y.xyz"],
        &["verdict", "no-such-results.json"],
        &["report", "no-such-folder"],
        &["status", "."],
        &["frames", "no-such-folder", "--out", "f.xyz"],
        &["frobnicate"],
    ];
    let text: Vec<String> =
        lines.iter().map(|line| format!("$ mdproof {}\n{}", line.join(" "), said(line, &[]))).collect();
    assert_snapshot!(text.join("\n"));
}

#[test]
fn dashboard() {
    let folder = judged(|_| ());
    let file = folder.path().join("results.json");
    let of_file = said(&["verdict", file.to_str().unwrap()], &[(folder.path(), "FOLDER")]);
    let of_folder = said(&["verdict", folder.path().to_str().unwrap()], &[(folder.path(), "FOLDER")]);
    assert_eq!(of_folder, of_file);
    assert_snapshot!(of_file);
}

#[test]
fn dashboard_of_an_unfinished_campaign() {
    let folder = judged(|results| {
        results["campaign"]["finished"] = "".into();
        for part in ["runs", "gates", "evaluations", "relaxations", "timesteps", "speed", "survival"] {
            let of_tiny = |row: &serde_json::Value| row["model"] == "tiny";
            results[part].as_array_mut().unwrap().retain(|row| !of_tiny(row));
        }
    });
    let file = folder.path().join("results.json");
    assert_snapshot!(said(&["verdict", file.to_str().unwrap()], &[(folder.path(), "FOLDER")]));
}

#[test]
fn reports() {
    let folder = judged(|_| ());
    let path = folder.path().to_str().unwrap();
    assert_snapshot!("report", said(&["report", path], &[(folder.path(), "FOLDER")]));
    for name in ["report.md", "junit.xml"] {
        assert_snapshot!(name, std::fs::read_to_string(folder.path().join(name)).unwrap());
    }
}

#[test]
fn status() {
    let folder = judged(|_| ());
    for format in ["text", "standup", "json"] {
        let path = folder.path().to_str().unwrap();
        let text = said(&["status", path, "--format", format], &[(folder.path(), "FOLDER")]);
        // The time since the last update depends on the current time.
        let text = text.lines().filter(|line| !line.contains("\"silent_s\"")).collect::<Vec<_>>().join("\n");
        assert_snapshot!(format!("status.{format}"), text);
    }
}

#[test]
fn compare() {
    let before = judged(|_| ());
    // A release with worse energy conservation and forces on water.
    let after = judged(|results| {
        for run in results["runs"].as_array_mut().unwrap() {
            if run["model"] == "tiny" && run["molecule"] == "water" {
                let drift = run["energy"]["drift_meV_per_atom_per_ps"].as_f64().unwrap();
                run["energy"]["drift_meV_per_atom_per_ps"] = (drift + 25.0).into();
            }
        }
    });
    let names = [(before.path(), "BEFORE"), (after.path(), "AFTER")];
    let [a, b] = names.map(|(path, _)| path.to_str().unwrap());
    assert_snapshot!("compare.same", said(&["compare", a, a], &names));
    for format in ["text", "markdown", "json"] {
        assert_snapshot!(format!("compare.{format}"), said(&["compare", a, b, "--format", format], &names));
    }
}
