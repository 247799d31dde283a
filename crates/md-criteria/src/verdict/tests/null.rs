//! A number that was not finite, which a file has as null, never makes a check pass.

use md_results::ResultsError;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

const CAMPAIGN: &str = include_str!("../../../../../tests/cases/campaign/results.json");

/// Fields of conditions: no campaign writes null for them, and a file that has it is refused.
const CONDITIONS: [&str; 9] = [
    "temperature_K",
    "ramp_to_K",
    "timestep_fs",
    "first_broken_bond_ps",
    "largest_safe_fs",
    "max_temperature_K",
    "time_ns",
    "value",
    "bad",
];

/// Returns the evidence of a flawless model as a file, with measurements of every kind.
fn file() -> Value {
    let mut results = sound();
    for key in [
        "max_deviation_percent",
        "max_deviation_meV_per_atom",
        "energy_rmse_meV_per_atom",
        "distribution_shift",
    ] {
        let threshold = Threshold::new(10.0, ThresholdSource::Campaign);
        results.criteria[0].thresholds.insert(key.to_owned(), threshold);
    }
    for (n, run) in results.runs.iter_mut().enumerate() {
        run.id = format!("r{n}");
    }
    serde_json::to_value(&results).unwrap()
}

fn read(file: &Value) -> Result<Results, ResultsError> {
    Results::parse(&file.to_string(), "results.json".as_ref())
}

/// Returns the statuses of all checks after `file` was judged, by model, use, criterion and molecule.
fn statuses(mut results: Results) -> BTreeMap<[String; 4], Status> {
    judge(&mut results);
    let of = |m: &Model| {
        let key = |c: &Check| [m.name.clone(), c.use_name.clone(), c.id.clone(), c.molecule.clone()];
        m.checks.iter().map(|c| (key(c), c.status)).collect::<Vec<_>>()
    };
    results.models.iter().flat_map(of).collect()
}

/// Paths of the numbers that may be other than finite.
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

fn without(file: &Value, path: &str) -> Value {
    let mut file = file.clone();
    *file.pointer_mut(path).unwrap() = Value::Null;
    file
}

/// Returns checks that pass now and did not before.
fn turned(before: &BTreeMap<[String; 4], Status>, after: &BTreeMap<[String; 4], Status>) -> Vec<[String; 4]> {
    let passes = |(key, status): &(&[String; 4], &Status)| {
        **status == Status::Pass && before.get(*key) != Some(&Status::Pass)
    };
    after.iter().filter(passes).map(|(key, _)| key.clone()).collect()
}

/// Names the number at the end of `path`, without its place in a list.
fn field(path: &str) -> &str {
    path.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap_or(path)
}

#[test]
fn every_number_that_a_check_rests_on_fails_closed_as_null() {
    let file = file();
    let before = statuses(read(&file).unwrap());
    let mut paths = Vec::new();
    numbers(&file, "", &mut paths);
    let mut idle = Vec::new();
    for path in paths {
        match read(&without(&file, &path)) {
            Ok(results) => {
                let after = statuses(results);
                assert_eq!(turned(&before, &after), [[""; 4]; 0], "{path}");
                if after == before && !idle.contains(&field(&path).to_owned()) {
                    idle.push(field(&path).to_owned());
                }
            }
            Err(ResultsError::Damaged { faults, .. }) => {
                assert!(CONDITIONS.contains(&field(&path)), "{path}: {faults:?}");
            }
            Err(error) => assert_eq!(error.to_string(), "", "{path}"),
        }
    }
    idle.sort();
    assert_eq!(idle, IDLE, "numbers that no check rests on");
}

/// Numbers on which no check rests here: the error of a drift serves a single run alone, the temperature is that of the
/// ladder of time steps, the value that of a gate without a threshold.
const IDLE: [&str; 28] = [
    "angle_median_deg",
    "angle_p95_deg",
    "conservation_ratio",
    "cosine_mean",
    "drift_degrees_of_freedom",
    "drift_standard_error",
    "duration_ps",
    "initial_eV",
    "kinetic_potential_correlation",
    "mae_eV_per_A",
    "mae_meV_per_atom",
    "magnitude_mae_eV_per_A",
    "max_K",
    "max_rmsd_A",
    "mean_standard_error_K",
    "ms_per_call_p50",
    "ms_per_call_p99",
    "r2",
    "r2_xyz",
    "rank_correlation",
    "rms_fluctuation_meV_per_atom",
    "rmse_scaled_eV_per_A",
    "rmse_xyz_eV_per_A",
    "speedup_vs_first",
    "std_K",
    "steps_per_s",
    "temperature_K",
    "value",
];

proptest! {
    #[test]
    fn null_for_a_number_of_a_campaign_turns_no_check_into_a_pass(pick: prop::sample::Index) {
        let file: Value = serde_json::from_str(CAMPAIGN).unwrap();
        let mut paths = Vec::new();
        for part in ["criteria", "runs", "gates", "evaluations", "speed", "shifts", "timesteps", "relaxations"] {
            numbers(&file[part], &format!("/{part}"), &mut paths);
        }
        let path = pick.get(&paths);
        match read(&without(&file, path)) {
            Ok(results) => {
                let found = turned(&statuses(read(&file).unwrap()), &statuses(results));
                prop_assert!(found.is_empty(), "{}: {:?}", path, found);
            }
            Err(ResultsError::Damaged { .. }) => prop_assert!(CONDITIONS.contains(&field(path)) || field(path) == "standard_error"),
            Err(error) => prop_assert!(false, "{}: {}", path, error),
        }
    }
}

#[test]
fn criterion_that_does_not_exist_is_skipped_and_approves_nothing() {
    let mut results = sound();
    let threshold = Threshold::new(1.0, ThresholdSource::Campaign);
    results.criteria[0].thresholds.insert("stable_pss".to_owned(), threshold);
    judge(&mut results);
    let model = &results.models[0];
    let check = model.checks.iter().find(|c| c.id == "stable_pss").unwrap();
    assert_eq!((check.status, model.verdict), (Status::Skipped, Some(Verdict::Incomplete)));
    assert!(check.reason.starts_with("there is no criterion 'stable_pss'"), "{}", check.reason);
}
