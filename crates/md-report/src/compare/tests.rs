use md_results::{CriteriaSet, Expectation, Threshold, ThresholdSource};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::fixtures;

mod gate;

/// Creates a check with a value, an optional standard error, and a threshold.
fn check(id: &str, value: f64, error: Option<f64>, threshold: f64) -> Value {
    let mut check = fixtures::check(id, "pass", Some(value), threshold);
    check["standard_error"] = json!(error);
    check["interval"] = json!(error.map(|e| [value - 1.96 * e, value + 1.96 * e]));
    check
}

fn campaign() -> Results {
    let mut control = fixtures::model("control", json!([check("drift", 1e-9, None, 1.0)]));
    control.role = Role::Control;
    control.verdict = None;
    let checks = json!([
        check("rmse", 0.1, Some(0.003), 0.2),
        check("wall", 1.0, None, 2.0),
        check("kink", 1e-12, None, 1e-3),
        check("stable", 10.0, None, 10.0),
    ]);
    let mut tiny = fixtures::model("tiny", checks);
    tiny.checks[3].at_least = true;
    let mut screening = tiny.checks[0].clone();
    screening.use_name = "screening".to_owned();
    screening.threshold = 0.5;
    tiny.checks.push(screening);
    let mut results = fixtures::results(vec![control, tiny, fixtures::model("big", json!([]))]);
    results.speed = vec![fixtures::speed("tiny", "water", 0.2), fixtures::speed("tiny", "methane", 0.4)];
    results
}

/// Returns the campaign with molecules, gates, relaxations and runs.
fn measured() -> Results {
    let mut results = campaign();
    results.molecules = serde_json::from_value(json!([
        { "name": "water", "atoms": 3, "structure_sha256": "aa", "bonds": 2 },
        { "name": "methane", "atoms": 5, "structure_sha256": "bb", "bonds": 4 },
    ]))
    .unwrap();
    for model in ["control", "tiny", "big"] {
        for (id, value) in [("kink", 1e-7), ("rotation_energy", 1e-16)] {
            let gate =
                json!({ "id": id, "model": model, "molecule": "water", "value": value, "unit": "eV/Å" });
            results.gates.push(serde_json::from_value(gate).unwrap());
        }
        for replica in 0..2 {
            let mut run = fixtures::run(model, replica, "finished", None);
            run.steps_done = run.steps_planned;
            results.runs.push(run);
        }
        let relaxation = json!({ "model": model, "molecule": "water", "outcome": "converged", "steps": 9 });
        results.relaxations.push(serde_json::from_value(relaxation).unwrap());
    }
    results
}

/// Compares results without judging them again.
fn compare(a: &Results, b: &Results) -> Changes {
    super::compare(a, b, |_| ())
}

/// Returns the changes after `edit` of the campaign. Apart from models and conditions there must be none.
fn planted(edit: impl Fn(&mut Results)) -> Changes {
    let mut edited = campaign();
    edit(&mut edited);
    compare(&campaign(), &edited)
}

fn tiny(changes: &Changes) -> &ModelChanges {
    changes.models.iter().find(|m| m.before == "tiny").unwrap()
}

/// Asserts that there are no changes other than those of `tiny` that `take` removes.
fn nothing_else(mut changes: Changes, take: impl Fn(&mut ModelChanges)) {
    changes.models.iter_mut().filter(|m| m.before == "tiny").for_each(take);
    assert!(changes.is_empty(), "{changes:?}");
    assert!(changes.conditions.is_empty(), "{changes:?}");
}

#[test]
fn compare_of_equal_results_is_empty_and_identical() {
    let changes = planted(|_| ());
    assert!(changes.is_empty() && !changes.regression && changes.identical, "{changes:?}");
    assert_eq!(changes.models.len(), 3);
    let tiny = tiny(&changes);
    assert_eq!((tiny.compared, tiny.compared_with_uncertainty), (4, 1), "each once, whatever uses it serves");
    assert_eq!((tiny.same_weights, tiny.speeds.len()), (Some(true), 2));
    for text in [text(&changes), markdown(&changes).unwrap(), html(&changes).unwrap()] {
        assert!(text.contains("no change") && !text.contains("REGRESSION"), "{text}");
    }
}

#[test]
fn compare_identical_ignores_times_but_not_one_bit() {
    let slower = planted(|r| {
        r.campaign.started = "2026-02-01T00:00:00Z".to_owned();
        r.provenance.threads = 99;
        r.speed.iter_mut().for_each(|s| s.ms_per_step *= 2.0);
        r.runs.iter_mut().for_each(|run| run.ms_per_step = Some(1e3));
        r.models.iter_mut().for_each(|m| m.summary += " on another day");
    });
    assert!(slower.identical);
    let mut before = campaign();
    before.runs.push(fixtures::run("tiny", 0, "finished", None));
    let mut after = before.clone();
    assert!(compare(&before, &after).identical);
    after.runs[0].temperature_k = f64::from_bits(after.runs[0].temperature_k.to_bits() ^ 1);
    let other = compare(&before, &after);
    assert!(!other.identical);
    insta::assert_snapshot!(format!("{}\n{}", text(&slower), text(&other)));
}

#[test]
fn compare_reports_worse_verdict_as_regression() {
    let changes = planted(|r| {
        r.models[1].verdict = Some(Verdict::Restricted);
        r.models[1].summary = "holds for screening".to_owned();
    });
    assert!(changes.regression);
    insta::assert_snapshot!(text(&changes));
    nothing_else(changes, |m| m.verdict = None);

    let mut worse = campaign();
    worse.models[1].verdict = Some(Verdict::Incomplete);
    let better = compare(&worse, &campaign());
    assert!(!better.regression);
    assert_eq!(tiny(&better).verdict.as_ref().map(|v| v.direction), Some(Direction::Better));
}

#[test]
fn compare_orders_approved_restricted_rejected() {
    let order = [Verdict::Approved, Verdict::Restricted, Verdict::Rejected];
    for pair in order.windows(2) {
        let [before, after] = [0, 1].map(|n| {
            let mut results = campaign();
            results.models[1].verdict = Some(pair[n]);
            results
        });
        assert_eq!(compare(&before, &after).outcome, Outcome::Regression, "{pair:?}");
        assert_eq!(compare(&after, &before).outcome, Outcome::NoRegression, "{pair:?}");
    }
}

#[test]
fn compare_with_incomplete_verdict_is_not_comparable() {
    for before in [Verdict::Approved, Verdict::Restricted, Verdict::Rejected, Verdict::Incomplete] {
        let [mut a, mut b] = [campaign(), campaign()];
        a.models[1].verdict = Some(before);
        b.models[1].verdict = Some(Verdict::Incomplete);
        b.models[1].summary = "no reference".to_owned();
        let changes = compare(&a, &b);
        assert_eq!(changes.outcome, Outcome::NotComparable, "{before:?}");
        assert_eq!(changes.reasons, ["tiny is INCOMPLETE in the second: no reference"]);
    }
    // A use of one's own that is decided is what the campaign asked for.
    let mut decided = campaign();
    let tiny = &mut decided.models[1];
    tiny.verdict = Some(Verdict::Incomplete);
    tiny.expected = Some(Expectation::Use { name: "quick".to_owned() });
    tiny.uses = vec!["quick".to_owned()];
    assert_eq!(compare(&decided, &decided).outcome, Outcome::NoRegression);
    decided.models[1].uses.clear();
    assert_eq!(compare(&decided, &decided).outcome, Outcome::NotComparable);
    let mut unsure = campaign();
    unsure.models[0].checks[0].status = Status::Undecided;
    assert_eq!(compare(&unsure, &unsure).outcome, Outcome::NotComparable, "the control decides nothing");
}

#[test]
fn compare_reports_pass_to_fail_as_regression_for_any_use() {
    let changes = planted(|r| r.models[1].checks[4].status = Status::Fail);
    assert!(changes.regression && changes.outcome == Outcome::Regression);
    let flip = &tiny(&changes).flips[0];
    assert_eq!((flip.key.use_name.as_str(), flip.direction), ("screening", Direction::Worse));
    nothing_else(changes, |m| m.flips.clear());

    let mut failed = campaign();
    failed.models[1].checks[4].status = Status::Fail;
    let mut skipped = campaign();
    skipped.models[1].checks[4].status = Status::Skipped;
    let changes = compare(&skipped, &failed);
    assert_eq!(tiny(&changes).flips[0].direction, Direction::Worse);
    assert!(!changes.regression, "it had not passed");
}

#[test]
fn compare_with_pass_to_undecided_is_not_comparable() {
    for status in [Status::Undecided, Status::Skipped] {
        let changes = planted(|r| r.models[1].checks[4].status = status);
        assert_eq!(changes.outcome, Outcome::NotComparable, "{status:?}");
        let reason = format!(
            "tiny: checks that passed and are not decided in the second: rmse on water (screening): {}",
            status.label()
        );
        assert_eq!(changes.reasons, [reason]);
        nothing_else(changes, |m| m.flips.clear());
    }
}

#[test]
fn compare_with_newly_not_applicable_check_is_not_comparable() {
    let not_applicable = |r: &mut Results| {
        let check = &mut r.models[1].checks[4];
        (check.status, check.value, check.interval, check.standard_error) =
            (Status::NotApplicable, None, None, None);
    };
    for before in [Status::Pass, Status::Fail] {
        let [mut a, mut b] = [campaign(), campaign()];
        a.models[1].checks[4].status = before;
        not_applicable(&mut b);
        let changes = compare(&a, &b);
        assert_eq!(changes.outcome, Outcome::NotComparable, "{before:?}: {:?}", changes.reasons);
        assert!(tiny(&changes).flips.is_empty(), "{before:?}");
        assert_eq!(tiny(&changes).only_before.checks.len(), 1, "{before:?}");
        assert!(tiny(&compare(&b, &a)).flips.is_empty(), "the other way round");
    }
    let mut both = campaign();
    not_applicable(&mut both);
    assert!(tiny(&compare(&both, &both)).only_before.checks.is_empty());
}

#[test]
fn measurement_change_must_exceed_both_uncertainties() {
    let rmse = |value: f64| {
        move |r: &mut Results| {
            for n in [0, 4] {
                let check = &mut r.models[1].checks[n];
                check.value = Some(value);
                check.interval = None;
            }
        }
    };
    // 1.96 sqrt(2) 0.003 = 0.0083
    assert!(planted(rmse(0.108)).is_empty());
    let changes = planted(rmse(0.109));
    assert!(changes.regression);
    let change = &tiny(&changes).measurements[0];
    assert_eq!(change.uses, ["production", "screening"], "one measurement, two uses");
    assert_eq!((change.direction, change.uncertainty_known), (Direction::Worse, true));
    let sentence = "rmse on water (production, screening): \
                    0.1 ± 5.9e-3 -> 0.109 (s.e. 3.0e-3) eV: worse by 8 %, more than the uncertainty";
    for text in [text(&changes), markdown(&changes).unwrap(), html(&changes).unwrap()] {
        let shown = text.replace("&gt;", ">");
        assert!(shown.contains("REGRESSION: tiny (1)") && shown.contains(sentence), "{text}");
    }
    nothing_else(changes, |m| m.measurements.clear());
    insta::assert_snapshot!(text(&planted(rmse(0.3))));

    let changes = planted(rmse(0.09));
    assert_eq!(tiny(&changes).measurements[0].direction, Direction::Better);
    assert!(!changes.regression);
}

#[test]
fn measurement_change_uses_interval_wider_than_normal() {
    let wide = |r: &mut Results| {
        for n in [0, 4] {
            let check = &mut r.models[1].checks[n];
            check.value = Some(0.12);
            check.interval = Some([0.05, 0.19]);
        }
    };
    assert!(planted(wide).is_empty());
}

#[test]
fn worse_measurement_of_other_use_is_no_regression() {
    let mut before = campaign();
    before.models[1].checks.remove(0);
    let mut after = before.clone();
    after.models[1].checks[3].value = Some(0.15);
    after.models[1].checks[3].interval = None;
    let changes = compare(&before, &after);
    assert_eq!(tiny(&changes).measurements[0].uses, ["screening"]);
    assert!(!changes.regression);
}

#[test]
fn measurement_without_uncertainty_changes_beyond_ten_percent() {
    assert!(planted(|r| r.models[1].checks[1].value = Some(1.1)).is_empty());
    let changes = planted(|r| r.models[1].checks[1].value = Some(1.2));
    let change = &tiny(&changes).measurements[0];
    assert_eq!((change.direction, change.uncertainty_known), (Direction::Worse, false));
    assert!(!changes.regression, "it may be chance");
    insta::assert_snapshot!(text(&changes));
    nothing_else(changes, |m| m.measurements.clear());

    let changes = planted(|r| r.models[1].checks[3].value = Some(20.0));
    assert_eq!(tiny(&changes).measurements[0].direction, Direction::Better, "the more the better");
}

#[test]
fn measurement_far_below_threshold_is_unchanged() {
    assert!(planted(|r| r.models[1].checks[2].value = Some(9e-6)).is_empty());
    assert!(!planted(|r| r.models[1].checks[2].value = Some(2e-5)).is_empty());
}

#[test]
fn compare_lists_checks_and_models_of_one_side() {
    let changes = planted(|r| {
        r.models[1].checks.remove(1);
    });
    let only = &tiny(&changes).only_before;
    assert_eq!(only.checks.iter().map(|k| k.id.as_str()).collect::<Vec<_>>(), ["wall"]);
    assert!(!changes.regression);
    assert_eq!(changes.outcome, Outcome::NotComparable);
    assert_eq!(changes.reasons, ["tiny: checks not measured in the second: wall on water (production)"]);
    let without_check = text(&changes);
    nothing_else(changes, |m| m.only_before = OneSided::default());

    let changes = planted(|r| r.models[1].checks[1].value = None);
    let only: Vec<_> = tiny(&changes).only_before.checks.iter().map(|k| k.id.as_str()).collect();
    assert_eq!(only, ["wall"], "it was not measured any more");
    nothing_else(changes, |m| m.only_before = OneSided::default());

    let changes = planted(|r| r.models[1].molecules = vec!["water".to_owned()]);
    assert_eq!(tiny(&changes).only_before.molecules, ["methane"]);
    let changes = planted(|r| {
        r.models[1].checks.pop();
    });
    assert_eq!(tiny(&changes).only_before.uses, ["screening"]);

    let changes = planted(|r| r.models[2].name = "bigger".to_owned());
    assert_eq!((changes.models_only_before.len(), changes.models_only_after.len()), (1, 1));
    assert_eq!(changes.reasons, ["models missing in the second: big"]);
    insta::assert_snapshot!(format!("{without_check}\n{}", text(&changes)));
}

#[test]
fn compare_matches_sole_candidates_despite_names() {
    let mut before = campaign();
    before.models.pop();
    let mut after = before.clone();
    after.models[1].name = "tiny-2".to_owned();
    after.speed.iter_mut().for_each(|s| s.model = "tiny-2".to_owned());
    let changes = compare(&before, &after);
    assert_eq!(changes.models[1].after, "tiny-2");
    assert!(changes.models_only_after.is_empty());
    insta::assert_snapshot!(text(&changes));
}

#[test]
fn compare_speeds_requires_same_machine_and_device() {
    let faster = |r: &mut Results| r.speed[0].ms_per_step = 0.1;
    let changes = planted(faster);
    let speeds = &tiny(&changes).speeds;
    assert_eq!((speeds[0].ratio, speeds[0].direction), (2.0, Some(Direction::Better)));
    assert_eq!(speeds[1].direction, None);
    let faster_text = text(&changes);
    nothing_else(changes, |m| m.speeds.clear());

    let changes = planted(|r| {
        faster(r);
        r.provenance.cpu = None;
    });
    assert!(tiny(&changes).speeds.is_empty());
    insta::assert_snapshot!(format!("{faster_text}\n{}", text(&changes)));
    let changes = planted(|r| r.speed[0].device = "cuda".to_owned());
    let why = tiny(&changes).speeds_not_comparable.as_deref();
    assert_eq!(why, Some("speeds are not comparable: measured on cpu and on cuda"));
}

#[test]
fn compare_reports_conditions_without_change() {
    let with_threshold = |value: f64| {
        move |r: &mut Results| {
            let thresholds = [("rmse".to_owned(), Threshold::new(value, ThresholdSource::Campaign))];
            let thresholds = thresholds.into_iter().collect();
            r.criteria = vec![CriteriaSet::new("production", thresholds)];
        }
    };
    let (mut before, mut after) = (campaign(), campaign());
    with_threshold(0.2)(&mut before);
    with_threshold(0.3)(&mut after);
    after.provenance.git_commit = None;
    let changes = compare(&before, &after);
    assert!(changes.is_empty());
    let told: Vec<_> = changes.conditions.iter().map(|c| (c.what.as_str(), c.after.as_str())).collect();
    assert_eq!(told, [("commit", "unknown"), ("threshold of rmse for production", "0.3")]);
    insta::assert_snapshot!(text(&changes));
    // A looser threshold must not pass the release gate; a tighter one may.
    assert_eq!(changes.outcome, Outcome::NotComparable);
    assert_eq!(changes.reasons, ["looser thresholds for production in the second: rmse (0.2 -> 0.3)"]);
    assert_eq!(compare(&after, &before).outcome, Outcome::NoRegression);
}

#[test]
fn changes_round_trip_through_json() {
    let changes = planted(|r| {
        r.models[1].checks[0].value = Some(0.19);
        r.models[1].checks[1].status = Status::Fail;
        r.models[1].verdict = Some(Verdict::Rejected);
    });
    let json = serde_json::to_string(&changes).unwrap();
    assert_eq!(serde_json::from_str::<Changes>(&json).unwrap(), changes);
}

#[test]
fn compare_text_merges_flip_and_worse_measurement() {
    let changes = planted(|r| {
        let check = &mut r.models[1].checks[0];
        (check.value, check.interval, check.status) = (Some(0.4), None, Status::Fail);
    });
    insta::assert_snapshot!(text(&changes));
    assert_eq!(tiny(&changes).measurements.len(), 1);
}

fn status() -> impl Strategy<Value = Status> {
    prop::sample::select(vec![
        Status::Pass,
        Status::Fail,
        Status::Undecided,
        Status::Skipped,
        Status::NotApplicable,
    ])
}

/// Generates the campaign with other values, errors, outcomes and speeds; some checks without a value, some left out.
fn campaigns() -> impl Strategy<Value = Results> {
    let value = prop::option::of(prop_oneof![-1.0..1.0, 1e-9..1e-3, Just(0.0)]);
    let error = prop::option::of(0.0..0.1);
    let checks = prop::collection::vec((value, error, status(), prop::bool::weighted(0.9)), 5);
    let verdict = prop::sample::select(vec![
        Verdict::Approved,
        Verdict::Restricted,
        Verdict::Rejected,
        Verdict::Incomplete,
    ]);
    (checks, verdict, 0.1..0.5).prop_map(|(checks, verdict, ms)| {
        let mut results = campaign();
        let model = &mut results.models[1];
        model.verdict = Some(verdict);
        for (check, (value, error, status, _)) in model.checks.iter_mut().zip(&checks) {
            (check.value, check.standard_error, check.status) = (*value, *error, *status);
            check.interval = None;
        }
        let mut keep = checks.iter().map(|c| c.3);
        model.checks.retain(|_| keep.next().unwrap_or(true));
        results.speed[0].ms_per_step = ms;
        results
    })
}

fn mirrored(direction: Direction) -> Direction {
    match direction {
        Direction::Better => Direction::Worse,
        Direction::Worse => Direction::Better,
    }
}

proptest! {
    #[test]
    fn compare_of_results_with_themselves_is_identical(a in campaigns()) {
        let changes = compare(&a, &a);
        prop_assert!(changes.is_empty() && !changes.regression && changes.conditions.is_empty());
    }

    #[test]
    fn compare_swapped_mirrors_directions(a in campaigns(), b in campaigns()) {
        let (there, back) = (compare(&a, &b), compare(&b, &a));
        let (there, back) = (tiny(&there), tiny(&back));
        prop_assert_eq!(
            there.verdict.as_ref().map(|v| v.direction),
            back.verdict.as_ref().map(|v| mirrored(v.direction))
        );
        let flips = |m: &ModelChanges, turn: fn(Direction) -> Direction| {
            m.flips.iter().map(|f| (f.key.clone(), turn(f.direction))).collect::<Vec<_>>()
        };
        prop_assert_eq!(flips(there, |d| d), flips(back, mirrored));
        let changes = |m: &ModelChanges, turn: fn(Direction) -> Direction| {
            let all = m.measurements.iter();
            all.map(|c| (c.id.clone(), c.uses.clone(), turn(c.direction), c.uncertainty_known)).collect::<Vec<_>>()
        };
        prop_assert_eq!(changes(there, |d| d), changes(back, mirrored));
        let speeds = |m: &ModelChanges, turn: fn(Direction) -> Direction| {
            m.speeds.iter().map(|s| s.direction.map(turn)).collect::<Vec<_>>()
        };
        prop_assert_eq!(speeds(there, |d| d), speeds(back, mirrored));
        prop_assert_eq!(&there.only_before, &back.only_after);
        prop_assert_eq!(&there.only_after, &back.only_before);
        prop_assert_eq!(there.compared, back.compared);
    }

    #[test]
    fn compare_with_removed_record_is_not_comparable(kind in 0..6_usize, n in any::<prop::sample::Index>()) {
        let before = measured();
        prop_assert_eq!(compare(&before, &before).outcome, Outcome::NoRegression);
        let mut after = before.clone();
        match kind {
            0 => drop(after.models.remove(n.index(3))),
            1 => drop(after.molecules.remove(n.index(2))),
            2 => drop(after.models[1].checks.remove(n.index(5))),
            3 => drop(after.runs.remove(n.index(6))),
            4 => drop(after.gates.remove(n.index(6))),
            _ => drop(after.relaxations.remove(n.index(3))),
        }
        let changes = compare(&before, &after);
        prop_assert_eq!(changes.outcome, Outcome::NotComparable);
        prop_assert!(!changes.reasons.is_empty());
    }
}
