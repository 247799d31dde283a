//! A results file vouches for itself: damage is named, numbers that were not finite are read, what cannot be is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use md_results::{Results, ResultsError};
use proptest::prelude::*;
use serde_json::{Value, json};

const SEED: &str = include_str!("../../../fuzz/seeds/results/smoke.json");

const CAMPAIGN: &str = include_str!("../../../tests/cases/campaign/results.json");

/// Results of an older version, without digests.
fn old() -> Results {
    parse(&serde_json::from_str(SEED).unwrap()).unwrap()
}

fn parse(file: &Value) -> Result<Results, ResultsError> {
    Results::parse(&file.to_string(), Path::new("results.json"))
}

fn written(results: &Results) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results.json");
    results.write(&file).unwrap();
    serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap()
}

/// Returns the faults of a file after a change to it.
fn damage(file: &Value, change: impl FnOnce(&mut Value)) -> String {
    let mut file = file.clone();
    change(&mut file);
    let Err(ResultsError::Damaged { faults, .. }) = parse(&file) else { return "none".to_owned() };
    faults.join("\n")
}

/// A change to a file.
type Edit<'a> = &'a dyn Fn(&mut Value);

fn list<'a>(file: &'a mut Value, part: &str) -> &'a mut Vec<Value> {
    file[part].as_array_mut().unwrap()
}

#[test]
fn old_file_is_read_and_said_to_be_unverified() {
    for text in [SEED, CAMPAIGN] {
        let mut results = Results::parse(text, Path::new("results.json")).unwrap();
        assert!(
            matches!(results.remarks.as_slice(), [one] if one.starts_with("NOT VERIFIED")),
            "{:?}",
            results.remarks
        );
        let again = parse(&written(&results)).unwrap();
        assert_eq!(again.remarks, [""; 0], "what is written has digests");
        results.remarks.clear();
        assert_eq!(again, results);
    }
}

#[test]
fn order_of_keys_and_derived_parts_are_not_vouched_for() {
    let mut file = written(&old());
    file["models"][1]["summary"] = "another".into();
    file["models"][1]["checks"] = json!([]);
    file["models"][1].as_object_mut().unwrap().remove("verdict");
    let mut reversed = serde_json::Map::new();
    for (key, value) in file.as_object().unwrap().iter().rev() {
        reversed.insert(key.clone(), value.clone());
    }
    assert!(parse(&Value::Object(reversed)).is_ok());
}

#[test]
fn damage_is_named_with_its_record() {
    let file = &written(&old());
    let run = old().runs[2].id.clone();
    let cases: [(Edit<'_>, String); 12] = [
        (
            &|f| f["runs"][2]["steps_done"] = 199.into(),
            format!("runs[2] {run} at 300 K: its digest does not match"),
        ),
        (&|f| _ = list(f, "runs").remove(2), format!("runs: {run} at 300 K: missing")),
        (&|f| f["runs"] = json!([]), format!("{run} at 300 K: missing")),
        (
            &|f| {
                let run = f["runs"][2].clone();
                list(f, "runs").push(run);
            },
            format!("runs[3] {run} at 300 K: it is there twice"),
        ),
        (&|f| list(f, "runs").swap(0, 2), "runs: the order of its records".to_owned()),
        (
            &|f| {
                let digest = f["digests"]["runs"][2].clone();
                list(f, "runs").pop();
                list(&mut f["digests"], "runs").retain(|d| *d != digest);
            },
            "digests: its digest does not match".to_owned(),
        ),
        (
            &|f| _ = f.as_object_mut().unwrap().remove("gates"),
            "gates: this part of the file is missing".to_owned(),
        ),
        (&|f| f["campaign"]["seed"] = 8.into(), "campaign: its digest".to_owned()),
        (&|f| f["economy"] = json!(["nothing was left out"]), "economy[0]: it was added".to_owned()),
        (&|f| f["models"][0]["name"] = "another".into(), "models[0] another: it was added".to_owned()),
        (&|f| f["another"] = 1.into(), "another: it has no digest".to_owned()),
        (&|f| f["digests"] = 1.into(), "digests: an object was expected".to_owned()),
    ];
    for (change, words) in cases {
        let faults = damage(file, change);
        assert!(faults.contains(&words), "{words} is not in {faults}");
    }
    for change in ["lost", "misspelt"] {
        let faults = damage(file, |f| {
            let thresholds = f["criteria"][0]["thresholds"].as_object_mut().unwrap();
            let key = thresholds.keys().next().unwrap().clone();
            let threshold = thresholds.remove(&key).unwrap();
            if change == "misspelt" {
                thresholds.insert(key.to_uppercase(), threshold);
            }
        });
        assert!(faults.contains("criteria[0] production: its digest does not match"), "{faults}");
    }
    let mut file = file.clone();
    file["runs"][0]["seed"] = 0.into();
    let message = parse(&file).unwrap_err().to_string();
    assert!(message.starts_with("results.json: damaged: runs[0] control/water/"), "{message}");
    assert!(
        message.ends_with("take the file from a copy, or measure again with mdproof validate"),
        "{message}"
    );
}

#[test]
fn what_cannot_be_is_refused_without_digests() {
    let file: &Value = &serde_json::from_str(CAMPAIGN).unwrap();
    let cases: [(Edit<'_>, &str); 17] = [
        (
            &|f| f["evaluations"][0]["force"]["rmse_eV_per_A"] = json!(-0.01),
            "evaluations[0] original on water: rmse_eV_per_A is -0.01",
        ),
        (
            &|f| f["evaluations"][0]["force"]["rmse_standard_error_eV_per_A"] = json!(-1.0),
            "rmse_standard_error_eV_per_A is -1",
        ),
        (
            &|f| f["evaluations"][0]["force"]["slope_standard_error"] = json!(-1.0),
            "slope_standard_error is -1",
        ),
        (&|f| f["runs"][3]["energy"]["drift_standard_error"] = json!(-1.0), "runs[3] control/methane"),
        (&|f| f["gates"][0]["value"] = json!(-1.0), "gates[0] "),
        (&|f| f["gates"][0]["standard_error"] = json!(null), "standard_error is not a number"),
        (&|f| f["speed"][0]["ms_per_step"] = json!(-1.0), "speed[0] "),
        (&|f| f["shifts"][0]["median_ratio"] = json!(-1.0), "shifts[0] "),
        (&|f| f["runs"][1]["id"] = f["runs"][0]["id"].clone(), "it is there twice"),
        (&|f| f["runs"][1]["replica"] = 0.into(), "another run has the same conditions"),
        (&|f| f["runs"][0]["temperature_K"] = json!(null), "temperature_K is not a number"),
        (&|f| f["runs"][0]["timestep_fs"] = json!(0.0), "timestep_fs is 0, a number above 0 was expected"),
        (&|f| f["runs"][0]["steps_done"] = 1.into(), "finished with 1 of 2000 steps cannot be"),
        (&|f| f["runs"][0]["model"] = "nobody".into(), "its model 'nobody' is not among"),
        (&|f| f["models"][1]["name"] = f["models"][2]["name"].clone(), "models 'tiny': it is there twice"),
        (&|f| f["molecules"] = json!([]), "its molecule 'water' is not among the molecules"),
        (
            &|f| f["criteria"][0]["thresholds"]["stable_ps"]["value"] = json!(null),
            "criteria production: its threshold stable_ps is not a number",
        ),
    ];
    for (change, words) in cases {
        let faults = damage(file, change);
        assert!(faults.contains(words), "{words} is not in {faults}");
    }
}

#[test]
fn text_has_no_control_characters() {
    let mut file: Value = serde_json::from_str(SEED).unwrap();
    file["campaign"]["name"] = "a\u{1b}[2J\u{7}b".into();
    assert_eq!(parse(&file).unwrap().campaign.name, "a[2Jb");
}

/// Paths of all numbers of a file.
fn numbers(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(n) if n.is_f64() => found.push(path.to_owned()),
        Value::Array(all) => {
            all.iter().enumerate().for_each(|(n, below)| numbers(below, &format!("{path}/{n}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(key, below)| numbers(below, &format!("{path}/{key}"), found));
        }
        _ => {}
    }
}

proptest! {
    /// A number that was not finite is written as null: it is read, or its record is named where no campaign has it.
    #[test]
    fn null_for_a_number_is_read(of_seed: bool, pick: prop::sample::Index) {
        let mut file: Value = serde_json::from_str(if of_seed { SEED } else { CAMPAIGN }).unwrap();
        let mut paths = Vec::new();
        numbers(&file, "", &mut paths);
        let path = pick.get(&paths);
        *file.pointer_mut(path).unwrap() = Value::Null;
        match parse(&file) {
            Ok(results) => prop_assert!(parse(&written(&results)).is_ok(), "{}", path),
            Err(ResultsError::Damaged { faults, .. }) => {
                let conditions =
                    ["temperature_K", "timestep_fs", "largest_safe_fs", "standard_error", "value", "bad", "max_temperature_K", "time_ns"];
                let is_condition = conditions.iter().any(|key| path.ends_with(&format!("/{key}")));
                let is_value_of_gate = path.starts_with("/gates") && path.ends_with("/value");
                prop_assert!(is_condition && !is_value_of_gate, "{}: {:?}", path, faults);
            }
            Err(error) => prop_assert!(false, "{}: {}", path, error),
        }
    }
}
