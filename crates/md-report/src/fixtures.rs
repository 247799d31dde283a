//! Records for tests.

use md_results::{Model, Results, Run};
use serde_json::{Value, json};

/// Creates an approved candidate with the given checks.
pub(crate) fn model(name: &str, checks: Value) -> Model {
    let mut model = json!({
        "name": name, "role": "candidate", "architecture": "painn", "precision": "f32", "device": "cpu",
        "parameters": 1000, "checkpoint_sha256": "00", "elements": ["H", "O"], "molecules": ["water", "methane"],
        "verdict": "approved", "expected": "approved", "uses": ["production"],
        "summary": "every check for production passes",
        "envelope": { "molecules": [], "temperatures_K": [] },
    });
    model["checks"] = checks;
    serde_json::from_value(model).unwrap()
}

/// Creates a check for production on water.
pub(crate) fn check(id: &str, status: &str, value: Option<f64>, threshold: f64) -> Value {
    json!({
        "id": id, "use": "production", "status": status, "value": value, "threshold": threshold, "unit": "eV",
        "molecule": "water", "reason": "the structure",
    })
}

/// Creates the results of a campaign with the given models.
pub(crate) fn results(models: Vec<Model>) -> Results {
    let mut results: Results = serde_json::from_value(json!({
        "schema_version": 1,
        "campaign": {
            "name": "demo", "config_sha256": "c0ffee", "seed": 1, "started": "2026-01-01T00:00:00Z",
            "finished": "2026-01-01T00:05:00Z",
        },
        "provenance": {
            "mdproof_version": "0.1.0", "git_commit": "abc123", "cpu": "a CPU", "threads": 2,
            "device_requested": "cpu", "device_used": "cpu",
        },
        "criteria": [], "molecules": [], "models": [], "relaxations": [], "gates": [], "runs": [],
        "evaluations": [], "speed": [],
    }))
    .unwrap();
    results.models = models;
    results
}

/// Creates a run of a model on water at 300 K with the given outcome.
pub(crate) fn run(model: &str, replica: u32, fate: &str, reason: Option<&str>) -> Run {
    serde_json::from_value(json!({
        "id": format!("{model}/water/{replica}"), "model": model, "molecule": "water", "ensemble": "nve",
        "temperature_K": 300.0, "timestep_fs": 0.5, "replica": replica, "seed": 1, "steps_planned": 100,
        "steps_done": 40, "fate": fate, "fate_reason": reason, "anomalies": [],
    }))
    .unwrap()
}

/// Creates the speed of a model on a molecule of three atoms.
pub(crate) fn speed(model: &str, molecule: &str, ms: f64) -> md_results::Speed {
    serde_json::from_value(json!({
        "model": model, "molecule": molecule, "atoms": 3, "batch": 1, "device": "cpu", "threads": 1,
        "path": "native-f32", "ms_per_call_p50": ms, "ms_per_call_p99": ms, "calls": 100, "ms_per_step": ms,
        "steps_per_s": 1e3 / ms, "cold_100_steps_s": 0.1, "peak_memory_MiB": 50.0, "speedup_vs_first": 2.0,
    }))
    .unwrap()
}
