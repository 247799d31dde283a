//! Tests when the release gate blocks a release, and its reasons.

use super::*;

/// Returns the changes after `edit` of [`measured`].
fn edited(edit: impl FnOnce(&mut Results)) -> Changes {
    let mut results = measured();
    edit(&mut results);
    compare(&measured(), &results)
}

#[test]
fn compare_names_reasons_for_not_comparable_first() {
    type Edit = fn(&mut Results);
    let cases: [(Edit, &str); 17] = [
        (|r| r.campaign.finished.clear(), "the second is unfinished"),
        (|r| r.campaign.name = "another".to_owned(), "other campaigns: demo and another"),
        (|r| r.campaign.seed = 2, "other seeds: 1 and 2"),
        (|r| r.campaign.shard = Some("1/4".to_owned()), "the second is the shard 1/4"),
        (|r| r.campaign.only = vec!["replica=0".to_owned()], "the second was restricted to replica=0"),
        (
            |r| {
                let left = json!([{ "model": "tiny", "molecule": "water", "ensemble": "nve",
                    "temperature_K": 500.0, "replicas": [0, 1] }]);
                r.campaign.left_out = serde_json::from_value(left).unwrap();
            },
            "runs left out of the second: tiny: nve of water at 500 K, replica 0; tiny: nve of water at 500 K, replica 1",
        ),
        (|r| r.molecules[1].structure_sha256 = "cc".to_owned(), "other structures of the same name: methane"),
        (|r| r.molecules.truncate(1), "molecules missing in the second: methane"),
        (|r| r.models[1].molecules.truncate(1), "tiny: molecules missing in the second: methane"),
        (|r| r.models.truncate(2), "models missing in the second: big"),
        (|r| r.models[0].role = Role::Candidate, "control has another role in the second"),
        (|r| r.models.truncate(1), "the second has no candidate"),
        (|r| r.models[2].verdict = None, "big is INCOMPLETE in the second"),
        (|r| drop(r.gates.remove(2)), "tiny: gates missing in the second: kink on water"),
        (
            |r| drop(r.runs.remove(3)),
            "tiny: runs missing in the second: nve of water at 300 K, 0.5 fs, replica 1",
        ),
        (
            |r| r.runs[3].steps_done = 50,
            "tiny: runs shorter in the second: nve of water at 300 K, 0.5 fs, replica 1 (0.05 -> 0.025 ps)",
        ),
        (
            |r| {
                let failure = json!({ "model": "tiny", "stage": "gates", "reason": "no memory" });
                r.failures.push(serde_json::from_value(failure).unwrap());
            },
            "failed in the second: tiny: physics gates: no memory",
        ),
    ];
    for (edit, reason) in cases {
        let changes = edited(edit);
        assert_eq!(changes.outcome, Outcome::NotComparable, "{reason}");
        assert!(changes.reasons.iter().any(|r| r.starts_with(reason)), "{reason}: {:?}", changes.reasons);
        let first = format!("NOT COMPARABLE: {}", changes.reasons[0]);
        assert!(text(&changes).starts_with(&first), "{}", text(&changes));
        assert!(markdown(&changes).unwrap().starts_with("# NOT COMPARABLE: "));
        assert!(html(&changes).unwrap().contains("<h1>NOT COMPARABLE: "));
        let json = serde_json::to_string(&changes).unwrap();
        assert!(json.starts_with("{\"outcome\":\"not_comparable\",\"reasons\":[\""), "{json}");
    }
}

#[test]
fn compare_accepts_new_models_and_diverged_runs_in_second() {
    let more = edited(|r| {
        let mut model = fixtures::model("huge", json!([]));
        model.molecules = vec!["water".to_owned()];
        r.models.push(model);
        r.runs.push(fixtures::run("huge", 0, "finished", None));
        let mut run = fixtures::run("tiny", 2, "finished", None);
        run.steps_done = 100;
        r.runs.push(run);
    });
    assert_eq!((more.outcome, more.reasons.len()), (Outcome::NoRegression, 0), "{:?}", more.reasons);
    insta::assert_snapshot!(text(&more));
    let diverged = edited(|r| {
        r.runs[2].steps_done = 10;
        r.runs[2].fate = md_results::RunFate::Diverged;
    });
    assert_eq!(diverged.outcome, Outcome::NoRegression, "a check shows it: {:?}", diverged.reasons);
}

#[test]
fn compare_regression_outranks_not_comparable() {
    let changes = edited(|r| {
        r.models[1].checks[0].status = Status::Fail;
        r.models.truncate(2);
        r.campaign.finished.clear();
    });
    assert_eq!(changes.outcome, Outcome::Regression);
    assert!(changes.reasons[0].starts_with("tiny: rmse (production): PASS -> FAIL"), "{:?}", changes.reasons);
    assert!(changes.reasons.iter().any(|r| r == "models missing in the second: big"));
    assert!(text(&changes).starts_with("REGRESSION: tiny (1)"), "{}", text(&changes));
}

#[test]
fn compare_lists_differing_records_without_checks() {
    let drift = |value: f64| {
        let energy = json!({ "initial_eV": 1.0, "max_deviation_meV_per_atom": 0.1,
            "rms_fluctuation_meV_per_atom": 0.1, "drift_meV_per_atom_per_ps": value, "n_anomalies": 0 });
        serde_json::from_value(energy).unwrap()
    };
    let mut before = measured();
    before.runs[2].energy = drift(0.01);
    let mut after = before.clone();
    after.gates[0].value = Some(1e-3);
    after.gates[3].value = Some(3e-13);
    after.runs[2].energy = drift(3.0);
    let changes = compare(&before, &after);
    assert_eq!((changes.outcome, changes.identical), (Outcome::NoRegression, false));
    for text in [text(&changes), markdown(&changes).unwrap(), html(&changes).unwrap()] {
        let shown = text.replace("&gt;", ">");
        for line in [
            "2 of 6 gates differ, largest: control: kink on water 1e-7 -> 0.001 eV",
            "1 of 6 runs differ, largest: tiny: nve of water at 300 K, 0.5 fs, replica 0 \
             energy.drift_meV_per_atom_per_ps 0.01 -> 3",
        ] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
        assert!(!shown.contains("no change") && shown.contains("no regression"), "{shown}");
    }
    let kinds: Vec<_> =
        changes.differences.iter().map(|d| (d.kind.as_str(), d.differing, d.n_compared)).collect();
    assert_eq!(kinds, [("gates", 2, 6), ("runs", 1, 6)]);
}

#[test]
fn compare_ignores_rename_of_sole_candidate() {
    let mut before = measured();
    before.models.truncate(2);
    let mut after = before.clone();
    let rename = |name: &mut String| {
        if name == "tiny" {
            *name = "tiny-2".to_owned();
        }
    };
    after.models.iter_mut().for_each(|m| rename(&mut m.name));
    after.gates.iter_mut().for_each(|g| rename(&mut g.model));
    after.runs.iter_mut().for_each(|r| {
        rename(&mut r.model);
        r.id = r.id.replace("tiny/", "tiny-2/");
    });
    after.relaxations.iter_mut().for_each(|r| rename(&mut r.model));
    after.speed.iter_mut().for_each(|s| rename(&mut s.model));
    let changes = compare(&before, &after);
    assert_eq!(changes.outcome, Outcome::NoRegression, "{:?}", changes.reasons);
    assert!(changes.differences.is_empty(), "{:?}", changes.differences);
}

#[test]
fn compare_with_claims_against_measurements_not_comparable() {
    // Derives the verdicts of the campaign from its measurements, whatever a file claims.
    let judge = |r: &mut Results| {
        for (model, judged) in r.models.iter_mut().zip(campaign().models) {
            (model.verdict, model.checks) = (judged.verdict, judged.checks);
        }
    };
    let compare = |edit: fn(&mut Results)| {
        let mut claimed = campaign();
        edit(&mut claimed);
        crate::compare::compare(&campaign(), &claimed, judge)
    };
    let changes = compare(|r| r.models[1].verdict = Some(Verdict::Rejected));
    assert_eq!(changes.outcome, Outcome::NotComparable);
    assert_eq!(
        changes.reasons,
        ["AFTER: its stored verdict of tiny is REJECTED, its measurements say APPROVED: \
          changed by hand, or written by another version"]
    );
    for edit in [
        (|r| r.models[1].checks[1].value = Some(1.5)) as fn(&mut Results),
        |r| r.models[1].checks[1].status = Status::Fail,
        |r| r.models[1].checks[1].threshold = 3.0,
        |r| r.models[1].checks[1].id = "a check of another version".to_owned(),
    ] {
        let changes = compare(edit);
        assert_eq!(changes.outcome, Outcome::NotComparable);
        assert!(
            changes.reasons[0].starts_with("AFTER: 1 of 5 stored checks of tiny are not"),
            "{:?}",
            changes.reasons
        );
        assert!(tiny(&changes).is_empty(), "what follows from the measurements is compared");
    }
    // An older version made fewer checks, which is no claim.
    assert_eq!(compare(|r| r.models[1].checks.truncate(2)).outcome, Outcome::NoRegression);
}

#[test]
fn compare_text_stays_short_for_ten_thousand_runs() {
    let mut before = measured();
    for replica in 2..10_000 {
        before.runs.push(fixtures::run("tiny", replica, "diverged", Some("hot")));
        let mut check = before.models[1].checks[1].clone();
        check.molecule = format!("molecule {replica}");
        before.models[1].checks.push(check);
    }
    let mut after = before.clone();
    after.runs.iter_mut().for_each(|run| run.steps_done += 1);
    let changes = compare(&before, &after);
    assert_eq!(changes.differences[0].differing, before.runs.len());
    assert!(text(&changes).len() < 10_000);
}
