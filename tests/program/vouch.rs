//! A results file that was damaged, emptied or changed by hand: every command says so, and none approves.

use std::path::Path;

use md_report::compare::Outcome;
use md_results::{Results, Verdict};
use serde_json::Value;

use crate::support::{Output, mdproof, repository};

/// Reads the results of an older version, without digests: a control, a rejected model and an incomplete one.
fn old() -> Value {
    let text = std::fs::read_to_string(repository("tests/cases/campaign/results.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn results(file: &Value) -> Results {
    serde_json::from_value(file.clone()).unwrap()
}

/// Runs every command that reads results on the folder.
fn commands(folder: &Path) -> [(&'static str, Output); 4] {
    let file = folder.join("results.json");
    let run = |all: &[&std::ffi::OsStr]| mdproof(all.iter().copied());
    [
        ("verdict", run(&["verdict".as_ref(), file.as_os_str()])),
        ("report", run(&["report".as_ref(), folder.as_os_str()])),
        ("status", run(&["status".as_ref(), folder.as_os_str()])),
        ("compare", run(&["compare".as_ref(), folder.as_os_str(), folder.as_os_str()])),
    ]
}

#[test]
fn damaged_record_is_named_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results.json");
    results(&old()).write(&file).unwrap();
    let sound = std::fs::read_to_string(&file).unwrap();
    for (command, output) in commands(folder.path()) {
        assert_eq!(output.stderr, "", "{command}");
        assert!(!output.stdout.contains("NOT VERIFIED"), "{command}: {}", output.stdout);
    }
    let changed = sound.replacen("\"steps_done\": 2000", "\"steps_done\": 2001", 1);
    assert_ne!(changed, sound);
    std::fs::write(&file, changed).unwrap();
    for (command, output) in commands(folder.path()) {
        assert_eq!((output.status, output.stdout.as_str()), (2, ""), "{command}");
        let words =
            "damaged: runs[0] control/water/nve/300K/0.5fs/2000steps/r0 at 300 K: its digest does not match";
        assert!(output.stderr.contains(words), "{command}: {}", output.stderr);
    }
}

#[test]
fn every_command_shows_the_verdict_that_follows_from_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = old();
    file["models"][2]["verdict"] = "approved".into();
    file["models"][2]["summary"] = "every check for production passes".into();
    std::fs::write(folder.path().join("results.json"), file.to_string()).unwrap();
    let told = "its stored verdict of tiny is APPROVED, its measurements say INCOMPLETE";
    for (command, output) in commands(folder.path()) {
        assert!(output.stdout.contains(told), "{command}: {}", output.stdout);
        assert!(output.stdout.contains("NOT VERIFIED"), "{command}: {}", output.stdout);
        assert!(
            command == "compare" || !output.stdout.contains("tiny: APPROVED"),
            "{command}: {}",
            output.stdout
        );
    }
    for name in ["report.md", "report.html", "junit.xml"] {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(text.contains(told) && text.contains("NOT VERIFIED"), "{name}");
        assert!(!text.contains("every check for production passes"), "{name}");
    }
}

#[test]
fn removed_runs_are_incomplete_in_every_report() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = old();
    file["runs"] = Value::Array(Vec::new());
    std::fs::write(folder.path().join("results.json"), file.to_string()).unwrap();
    let mut judged = results(&file);
    md_criteria::judge(&mut judged);
    assert_ne!(judged.models[2].verdict, Some(Verdict::Approved));
    for (command, output) in commands(folder.path()) {
        for approval in ["tiny: APPROVED", "every check for production passes"] {
            assert!(!output.stdout.contains(approval), "{command}: {}", output.stdout);
        }
    }
}

#[test]
fn names_and_paths_are_shown_without_control_characters() {
    let folder = tempfile::tempdir().unwrap();
    let odd = folder.path().join("a\u{1b}[31mb");
    std::fs::create_dir(&odd).unwrap();
    let mut file = old();
    file["campaign"]["name"] = "c\u{1b}[2J\u{7}".into();
    file["models"][1]["name"] = "original\u{1b}[2J".into();
    std::fs::write(odd.join("results.json"), file.to_string()).unwrap();
    for (command, output) in commands(&odd) {
        let all = output.stdout + &output.stderr;
        assert!(!all.chars().any(|c| c.is_control() && c != '\n'), "{command}: {all:?}");
    }
}

/// A campaign that was decided: the control, which passes, and a model that is rejected.
fn decided() -> Value {
    let mut file = old();
    for (_, part) in file.as_object_mut().unwrap() {
        if let Some(records) = part.as_array_mut() {
            records.retain(|record| record["model"] != "tiny" && record["name"] != "tiny");
        }
    }
    // Its runs at their temperature, and a barrier that they cross.
    for run in file["runs"].as_array_mut().unwrap() {
        run["temperature"]["mean_K"] = run["temperature_K"].clone();
    }
    for gate in file["gates"].as_array_mut().unwrap().iter_mut().filter(|gate| gate["id"] == "dimer_wall") {
        gate["value"] = 0.3.into();
    }
    file
}

fn outcome(second: &Value) -> Outcome {
    md_report::compare(&results(&decided()), &results(second), md_criteria::judge).outcome
}

#[test]
fn compare_never_finds_no_regression_where_something_is_missing() {
    assert_eq!(outcome(&decided()), Outcome::NoRegression);
    for part in [
        "molecules",
        "models",
        "gates",
        "runs",
        "evaluations",
        "relaxations",
        "shifts",
        "timesteps",
        "criteria",
    ] {
        let n = decided()[part].as_array().unwrap().len();
        assert!(n > 0, "{part}");
        for place in 0..n {
            let mut second = decided();
            let lost = second[part].as_array_mut().unwrap().remove(place);
            assert_ne!(outcome(&second), Outcome::NoRegression, "{part}[{place}]: {lost}");
        }
        let mut second = decided();
        second[part] = Value::Array(Vec::new());
        assert_ne!(outcome(&second), Outcome::NoRegression, "{part}");
    }
    let mut second = decided();
    second["speed"].as_array_mut().unwrap().retain(|row| row["model"] != "original");
    assert_ne!(outcome(&second), Outcome::NoRegression, "speed");
    for key in decided()["criteria"][0]["thresholds"].as_object().unwrap().keys() {
        let mut second = decided();
        second["criteria"][0]["thresholds"].as_object_mut().unwrap().remove(key);
        assert_ne!(outcome(&second), Outcome::NoRegression, "{key}");
    }
    for model in 0..2 {
        let mut second = decided();
        second["models"][model]["molecules"].as_array_mut().unwrap().pop();
        assert_ne!(outcome(&second), Outcome::NoRegression, "a molecule of a model");
    }
    for (key, value) in [("finished", ""), ("name", "another")] {
        let mut second = decided();
        second["campaign"][key] = value.into();
        assert_eq!(outcome(&second), Outcome::NotComparable, "{key}");
    }
    // Checks follow from the records, whatever the file says.
    let mut second = decided();
    second["models"].as_array_mut().unwrap().iter_mut().for_each(|m| m["checks"] = Value::Array(Vec::new()));
    second["gates"] = Value::Array(Vec::new());
    assert_ne!(outcome(&second), Outcome::NoRegression, "checks and gates");
}
