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

/// Results that hold every kind of record, sound and decided.
fn whole() -> Value {
    let mut file = decided();
    let [model, molecule] = ["original", "water"];
    file["comparisons"] = serde_json::json!([{
        "model": model, "molecule": molecule, "trajectories": ["a/one.extxyz", "a/two.extxyz"], "duration_ps": 8.0,
        "distances": [{ "id": "bond_length", "value": 0.001, "floor": 0.001, "unit": "Å" }],
    }]);
    file["attributions"] = serde_json::json!([{
        "model": model, "molecule": molecule, "trigger": "energy drift", "temperature_K": 300.0, "timestep_fs": 0.5,
        "duration_ps": 1.0, "causes": [], "parts": [], "experiments": [], "jumps": 0, "jump_events": [],
    }]);
    file["series"] = serde_json::json!([{
        "id": "energy", "model": model, "molecule": molecule, "of": "r0",
        "x": { "name": "time", "unit": "ps", "values": [0.0] },
        "y": [{ "name": "energy", "unit": "meV/atom", "values": [0.0] }],
    }]);
    file["campaign"]["plan"] = serde_json::json!([{ "model": "control", "runs": 8, "done": true }, { "model": model, "runs": 8, "done": true }]);
    file
}

/// A change of the second results, by the place of the record that it is made to.
type Edit = (&'static str, fn(&mut Value));

#[test]
fn compare_never_finds_no_regression_where_a_record_is_less_or_another() {
    let outcome = |second: &Value| {
        let [a, b] = [&whole(), second].map(results);
        md_report::compare(&a, &b, md_criteria::judge).outcome
    };
    assert_eq!(outcome(&whole()), Outcome::NoRegression);
    // Curves, causes, notes and what the machine can do are no measurements that a check rests on.
    let pictures = ["series", "attributions", "economy", "machine"];
    for (part, records) in whole().as_object().unwrap() {
        let Value::Array(records) = records else { continue };
        for place in 0..records.len() {
            let mut second = whole();
            second[part].as_array_mut().unwrap().remove(place);
            let expected = pictures.contains(&part.as_str());
            assert_eq!(outcome(&second) == Outcome::NoRegression, expected, "{part}[{place}]");
        }
    }
    let edits: [Edit; 26] = [
        ("runs", |r| r["fate"] = "failed".into()),
        ("runs", |r| r["steps_done"] = (r["steps_done"].as_u64().unwrap() / 2).into()),
        ("runs", |r| {
            r["steps_planned"] = 1.into();
            r["steps_done"] = 1.into();
        }),
        ("runs", |r| r["timestep_fs"] = 0.25.into()),
        ("runs", |r| r["temperature_K"] = 299.0.into()),
        ("runs", |r| r["ensemble"] = "langevin".into()),
        ("runs", |r| r["replica"] = 77.into()),
        ("runs", |r| r["seed"] = 7.into()),
        ("runs", |r| r["molecule"] = "benzene".into()),
        ("evaluations", |r| r["sha256"] = "00".into()),
        ("evaluations", |r| r["force"]["n_frames"] = 3.into()),
        ("evaluations", |r| drop(r.as_object_mut().unwrap().remove("force"))),
        ("gates", |r| r["molecule"] = "benzene".into()),
        ("relaxations", |r| r["molecule"] = "benzene".into()),
        ("timesteps", |r| drop(r["rungs"].as_array_mut().unwrap().pop())),
        ("timesteps", |r| r["duration_ps"] = 0.01.into()),
        ("timesteps", |r| r["temperature_K"] = 100.0.into()),
        ("comparisons", |r| r["trajectories"] = serde_json::json!(["a/one.extxyz"])),
        ("comparisons", |r| r["duration_ps"] = 1.0.into()),
        ("shifts", |r| r["molecule"] = "benzene".into()),
        ("survival", |r| r["model"] = "nobody".into()),
        ("molecules", |r| r["structure_sha256"] = "00".into()),
        ("molecules", |r| r["reference_frequencies_per_cm"] = serde_json::json!([1.0])),
        ("models", |r| r["role"] = if r["role"] == "control" { "candidate" } else { "control" }.into()),
        ("models", |r| r["molecules"] = Value::Array(Vec::new())),
        ("criteria", |r| r["max_temperature_K"] = 200.0.into()),
    ];
    for (n, (part, edit)) in edits.into_iter().enumerate() {
        for place in 0..whole()[part].as_array().unwrap().len() {
            let mut second = whole();
            edit(&mut second[part][place]);
            assert_ne!(outcome(&second), Outcome::NoRegression, "edit {n} of {part}[{place}]");
        }
    }
    for key in whole()["criteria"][0]["thresholds"].as_object().unwrap().keys() {
        let bound = whole()["criteria"][0]["thresholds"][key]["value"].as_f64().unwrap();
        let at_least = md_criteria::find(key).is_some_and(|c| c.bound == md_criteria::Bound::AtLeast);
        let looser = if at_least { 0.5 * bound } else { 2.0 * bound };
        let mut second = whole();
        second["criteria"][0]["thresholds"][key]["value"] = looser.into();
        assert!(bound == 0.0 || outcome(&second) != Outcome::NoRegression, "{key}");
        let mut second = whole();
        second["criteria"][0]["thresholds"][key]["bad"] = looser.into();
        assert!(bound == 0.0 || outcome(&second) != Outcome::NoRegression, "bad of {key}");
    }
    for (key, value) in [
        ("finished", Value::from("")),
        ("name", "another".into()),
        ("seed", 9.into()),
        ("shard", "1/2".into()),
        ("only", serde_json::json!(["molecule=water"])),
        (
            "left_out",
            serde_json::json!([{ "model": "original", "molecule": "water", "ensemble": "nve", "temperature_K": 300.0,
                "replicas": [0] }]),
        ),
    ] {
        let mut second = whole();
        second["campaign"][key] = value;
        assert_eq!(outcome(&second), Outcome::NotComparable, "{key}");
    }
    let mut second = whole();
    let failure = serde_json::json!({ "model": "original", "stage": "gates", "reason": "no memory" });
    second["failures"].as_array_mut().unwrap().push(failure);
    assert_ne!(outcome(&second), Outcome::NoRegression, "a new failure");
}

#[cfg(unix)]
#[test]
fn commands_refuse_files_without_end() {
    for command in ["verdict", "report"] {
        let output = mdproof([command, "/dev/zero"]);
        assert_eq!((output.status, output.stdout.as_str()), (2, ""), "{command}");
        assert_eq!(output.stderr, "error: /dev/zero: this is no regular file\n", "{command}");
    }
}
