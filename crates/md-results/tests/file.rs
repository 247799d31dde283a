//! `results.json` and `progress.json` on disk, and the queries of results.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use md_results::progress::CampaignProgress;
use md_results::{
    CauseKind, DecidableBy, DistanceId, Ensemble, Evaluation, Performance, RelaxationOutcome, Results,
    ResultsError, SeriesId, Status, Verdict, number, read_json, with_unit, write_json,
};
use serde_json::json;

/// Results of a small campaign: the control on water, with gates, runs, speed and curves.
fn smoke() -> Results {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/results/smoke.json");
    let mut results = Results::read(&file).unwrap();
    // It is of an older version, without digests.
    results.remarks.clear();
    results
}

#[test]
fn results_round_trip_through_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results.json");
    let results = smoke();
    results.write(&file).unwrap();
    assert_eq!(Results::read(&file).unwrap(), results);
    let performance = folder.path().join("performance.json");
    write_json(&performance, &Performance::from_results(&results)).unwrap();
    assert_eq!(read_json::<Performance>(&performance).unwrap(), Performance::from_results(&results));
    assert_eq!(Performance::from_results(&results).speed, results.speed);
}

#[test]
fn progress_round_trips_through_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("progress.json");
    let seed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/progress/two.json");
    let progress = CampaignProgress::read(&seed).unwrap();
    progress.write(&file).unwrap();
    assert_eq!(CampaignProgress::read(&file).unwrap(), progress);
}

#[test]
fn unreadable_results_are_errors_that_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results.json");
    let read = || Results::read(&file).unwrap_err();
    assert!(matches!(read(), ResultsError::Io { path, .. } if path == file));
    std::fs::write(&file, "{").unwrap();
    assert!(matches!(read(), ResultsError::Json { path, .. } if path == file));
    assert!(matches!(CampaignProgress::read(&file), Err(ResultsError::Json { .. })));
    std::fs::write(&file, r#"{"schema_version": 99}"#).unwrap();
    assert!(matches!(read(), ResultsError::Schema { found: 99, .. }));
    let nowhere = folder.path().join("missing/results.json");
    assert!(matches!(smoke().write(&nowhere), Err(ResultsError::Io { path, .. }) if path == nowhere));
}

#[test]
fn reproducible_ignores_times_machine_verdicts_and_order() {
    let results = smoke();
    let mut other = results.clone();
    other.campaign.finished = "later".to_owned();
    other.provenance.cpu = Some("another".to_owned());
    other.speed.clear();
    other.models[0].summary = "another".to_owned();
    other.models[0].checks.clear();
    other.gates.reverse();
    other.series.reverse();
    other.runs.iter_mut().for_each(|run| run.ms_per_step = Some(1e3));
    assert_ne!(other, results);
    assert_eq!(other.reproducible(), results.reproducible());
    other.gates[0].value = other.gates[0].value.map(|value| value + 1e-12);
    assert_ne!(other.reproducible(), results.reproducible());
}

#[test]
fn is_measured_tells_models_that_an_interrupted_campaign_reached() {
    let mut results = smoke();
    let reached: Vec<String> = results.models.iter().map(|m| m.name.clone()).collect();
    let mut later = results.models[0].clone();
    later.name = "later".to_owned();
    results.models.push(later);
    assert!(results.is_measured("later"), "a finished campaign has measured all that it planned");
    results.campaign.finished.clear();
    assert!(!results.is_measured("later"));
    let measured: Vec<&str> = results.measured_models().map(|m| m.name.as_str()).collect();
    assert_eq!(measured, reached);
}

#[test]
fn names_of_typed_ids_are_those_of_the_file() {
    let text = |value: serde_json::Value| value.as_str().unwrap().to_owned();
    for (kind, name, words) in [
        (CauseKind::TimeStep, "time_step", "time step"),
        (CauseKind::Precision, "precision", "precision"),
        (CauseKind::Discontinuity, "discontinuity", "discontinuity"),
        (CauseKind::NotAGradient, "not_a_gradient", "not a gradient"),
        (CauseKind::Noise, "noise", "noise"),
        (CauseKind::BrokenBond, "broken_bond", "broken bond"),
        (CauseKind::Engine, "engine", "engine"),
    ] {
        assert_eq!((text(json!(kind)).as_str(), kind.words()), (name, words));
    }
    for (outcome, name, words) in [
        (RelaxationOutcome::Converged, "converged", "converged"),
        (RelaxationOutcome::NotConverged, "not_converged", "not converged"),
        (RelaxationOutcome::Diverged, "diverged", "diverged"),
    ] {
        assert_eq!((text(json!(outcome)).as_str(), outcome.words()), (name, words));
    }
    for (id, name, words, unit) in [
        (DistanceId::BondLength, "bond_length", "bond length", "Å"),
        (DistanceId::PairDistance, "pair_distance", "pair distance", "Å"),
        (DistanceId::Spectrum, "spectrum", "spectrum", "1/cm"),
    ] {
        assert_eq!((text(json!(id)).as_str(), id.words(), id.unit()), (name, words, unit));
    }
    for name in ["nve", "langevin", "a_thermostat_of_a_later_version"] {
        let ensemble: Ensemble = serde_json::from_value(json!(name)).unwrap();
        assert_eq!(ensemble == Ensemble::Nve, name == "nve");
        assert_eq!((text(json!(ensemble)), ensemble.to_string()), (name.to_owned(), name.to_owned()));
    }
    for name in ["energy", "rotation_scan", "a_curve_of_a_later_version"] {
        let id: SeriesId = serde_json::from_value(json!(name)).unwrap();
        assert_eq!(matches!(id, SeriesId::Other(_)), name.starts_with("a_"));
        assert_eq!((text(json!(id)), id.to_string()), (name.to_owned(), name.to_owned()));
    }
}

#[test]
fn labels_and_nouns_are_those_of_reports() {
    let verdicts = [Verdict::Approved, Verdict::Restricted, Verdict::Rejected, Verdict::Incomplete];
    assert_eq!(verdicts.map(Verdict::label), ["APPROVED", "RESTRICTED", "REJECTED", "INCOMPLETE"]);
    let needs = [DecidableBy::Replicas, DecidableBy::Duration, DecidableBy::Frames, DecidableBy::Computation];
    assert_eq!(needs.map(DecidableBy::noun), ["replicas", "times the duration", "frames", "computation"]);
    for (status, label, is_open_or_bad) in [
        (Status::Pass, "PASS", false),
        (Status::NotApplicable, "NOT APPLICABLE", false),
        (Status::Undecided, "UNDECIDED", true),
        (Status::Skipped, "SKIPPED", true),
        (Status::Fail, "FAIL", true),
    ] {
        assert_eq!((status.label(), status.is_open_or_bad()), (label, is_open_or_bad));
    }
    assert_eq!(
        (number(0.123_456), with_unit(2.5, "eV"), with_unit(2.5, "")),
        ("0.1235".to_owned(), "2.5 eV".to_owned(), "2.5".to_owned())
    );
}

#[test]
fn evaluation_states_which_frames_count() {
    let evaluation = |n_repeated: usize, n_without_forces: usize| -> Evaluation {
        serde_json::from_value(json!({
            "model": "m", "molecule": "water", "frames": "water.extxyz", "sha256": "", "n_frames": 24,
            "n_repeated": n_repeated, "n_without_forces": n_without_forces,
        }))
        .unwrap()
    };
    assert_eq!(evaluation(0, 0).counted_frames(), "0 of 24", "no frame has forces");
    assert_eq!(evaluation(0, 0).left_out("; "), "");
    assert_eq!(evaluation(2, 0).left_out("; "), "; 2 of 24 frames repeat others");
    assert_eq!(
        evaluation(2, 1).left_out(", "),
        ", 2 of 24 frames repeat others, 1 of 24 frames has no forces"
    );
    assert!(evaluation(0, 3).left_out("").ends_with("3 of 24 frames have no forces"));
    assert_eq!([1, 2].map(md_results::frames), ["1 frame", "2 frames"]);
}
