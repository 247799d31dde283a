use md_results::{CriteriaSet, Failure, FailureMode, Role, Stage, Threshold, ThresholdSource};
use serde_json::json;

use super::*;
use crate::fixtures;

const NOW: &str = "2026-01-01T01:05:03Z";

const DEFINITIONS: [Definition; 3] = [
    define(METRICS[0], "least-squares energy drift", "meV/atom/ps"),
    define(METRICS[1], "force RMSE", "eV/Å"),
    define("kink", "kink of the energy", "eV/Å"),
];

const fn define(key: &'static str, title: &'static str, unit: &'static str) -> Definition {
    Definition { key, title, definition: "", unit, source: "" }
}

fn stage(name: &str, done: u64, total: u64, over: bool) -> StageProgress {
    StageProgress { name: name.to_owned(), done, total, over, elapsed_s: 60.0, note: String::new() }
}

/// Creates the progress of three models: finished, running and not started.
fn progress() -> CampaignProgress {
    let model = |name: &str, done, stages| ModelProgress { name: name.to_owned(), done, stages };
    let mut runs = stage("24 runs", 6, 24, false);
    runs.note = "largest drift 0.02".to_owned();
    CampaignProgress {
        campaign: "demo".to_owned(),
        pid: 42,
        started: "2026-01-01T00:00:00Z".to_owned(),
        updated: "2026-01-01T01:05:00Z".to_owned(),
        finished: false,
        stopped: None,
        resume: None,
        runs: None,
        models: vec![
            model("big", true, vec![stage("physics gates", 4, 4, true)]),
            model("tiny", false, vec![stage("physics gates", 4, 4, true), runs, stage("speed", 3, 0, false)]),
            model("last", false, Vec::new()),
        ],
    }
}

fn measured() -> Results {
    let checks = json!([
        fixtures::check(METRICS[0], "pass", Some(0.02), 1.0),
        fixtures::check(METRICS[1], "undecided", Some(0.21), 0.2),
    ]);
    let mut big = fixtures::model("big", checks);
    big.checks[1].interval = Some([0.15, 0.27]);
    big.checks[1].to_decide = Some("about 3 more replicas would decide".to_owned());
    big.verdict = Some(Verdict::Incomplete);
    big.summary = "force RMSE is undecided".to_owned();
    let mut results = fixtures::results(vec![big]);
    let thresholds =
        DEFINITIONS.iter().map(|d| (d.key.to_owned(), Threshold::new(1.0, ThresholdSource::Default)));
    let thresholds = thresholds.collect();
    results.criteria = vec![CriteriaSet::new(PRODUCTION, thresholds)];
    results
}

fn at_work(alive: bool) -> CampaignStatus {
    status(Some(&progress()), Some(&measured()), &DEFINITIONS, NOW, alive)
}

fn finished(edit: impl Fn(&mut Results)) -> CampaignStatus {
    let mut results = measured();
    edit(&mut results);
    status(None, Some(&results), &DEFINITIONS, NOW, false)
}

#[test]
fn status_of_running_campaign_shows_progress() {
    let status = at_work(true);
    assert_eq!(status.state, State::Running);
    assert_eq!(
        status.models.iter().map(|m| m.state).collect::<Vec<_>>(),
        [State::Finished, State::Running, State::Absent]
    );
    let text = text(&status);
    for line in [
        "demo: running, 1 of 3 models measured, 1h 5m 3s since 2026-01-01T00:00:00Z, last written 3s ago",
        "big: INCOMPLETE: force RMSE is undecided",
        "  physics gates: [####################] 100 %, 4 of 4, over after 1m",
        "  24 runs: [#####---------------] 25 %, 6 of 24, 3m left: largest drift 0.02",
        "  speed: 3 done",
        "last: not begun",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
    assert_eq!(status.next[0], "wait for tiny, last");
}

#[test]
fn progress_bar_is_full_only_at_100_percent() {
    let mut progress = progress();
    progress.models[1].stages = vec![stage("runs", 999, 1000, false)];
    let text = text(&status(Some(&progress), None, &[], NOW, true));
    assert!(text.contains("[###################-] 99 %, 999 of 1000"), "{text}");
}

#[test]
fn status_without_process_is_stopped() {
    let status = at_work(false);
    assert_eq!((status.state, status.models[1].state), (State::Stopped, State::Stopped));
    assert_eq!(status.models[1].stages[1].remaining_s, None);
    assert_eq!(status.elapsed_s, Some(3900.0), "until it was last seen");
    let words =
        "the campaign was stopped before its end: process 42 is gone, last seen 2026-01-01T01:05:00Z, 3s ago";
    assert_eq!(status.blockers[0], Blocker { kind: BlockerKind::Stopped, words: words.to_owned() });
    let next = "continue the campaign with: the same command and --resume (tiny, last are not measured)";
    assert_eq!(status.next[0], next);
    let mut over = progress();
    over.finished = true;
    assert_eq!(super::status(Some(&over), None, &[], NOW, false).state, State::Finished);
    assert_eq!(super::status(Some(&over), None, &[], NOW, true).state, State::Finished);
}

#[test]
fn status_of_interrupted_campaign_says_why_how_far_and_how_to_go_on() {
    let mut progress = progress();
    progress.stopped = Some("interrupted by a signal".to_owned());
    progress.resume = Some("mdproof validate c.toml --out out --resume".to_owned());
    progress.runs = Some([6, 24]);
    let status = status(Some(&progress), Some(&measured()), &DEFINITIONS, NOW, false);
    let words =
        "the campaign was stopped before its end, 2026-01-01T01:05:00Z, 3s ago: interrupted by a signal";
    assert_eq!(status.blockers[0], Blocker { kind: BlockerKind::Stopped, words: words.to_owned() });
    let command = "mdproof validate c.toml --out out --resume";
    assert_eq!(
        status.next[0],
        format!("continue the campaign with: {command} (tiny, last are not measured)")
    );
    assert!(text(&status).starts_with("demo: stopped, 1 of 3 models measured, 6 of 24 runs made, "));
    let [text, standup] = [text(&status), standup(&status).unwrap()];
    assert!([&text, &standup].iter().all(|t| t.contains(command) && t.contains("interrupted by a signal")));
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!((&json["resume"], &json["runs"]), (&json!(command), &json!([6, 24])));
    // Once it runs again, what was is no news.
    let again = super::status(Some(&progress), None, &DEFINITIONS, NOW, true);
    assert_eq!((again.stopped, again.resume), (None, None));
}

#[test]
fn status_criteria_are_pending_until_measured() {
    let status = at_work(true);
    let told: Vec<_> = status.models[0]
        .criteria
        .iter()
        .map(|c| (c.title.as_str(), c.value.as_deref(), c.target.as_deref(), c.status))
        .collect();
    let expected = [
        ("least-squares energy drift", Some("0.02"), Some("<= 1 eV"), Some(md_results::Status::Pass)),
        ("force RMSE", Some("0.21 ± 6.0e-2"), Some("<= 0.2 eV"), Some(md_results::Status::Undecided)),
    ];
    assert_eq!(told, expected);
    let pending: Vec<_> = status.models[2]
        .criteria
        .iter()
        .map(|c| (c.title.as_str(), c.value.as_deref(), c.target.as_deref()))
        .collect();
    let expected = [
        ("least-squares energy drift", None, Some("<= 1 eV")),
        ("force RMSE", None, Some("<= 0.2 eV")),
        ("kink of the energy", None, Some("1 eV/Å")),
    ];
    assert_eq!(pending, expected);
    assert_eq!(text(&status).matches(" pending ").count(), 6);
    let unknown = super::status(Some(&progress()), None, &DEFINITIONS, NOW, true);
    assert!(unknown.models.iter().all(|m| m.criteria.len() == 3 && m.criteria[0].target.is_none()));
}

#[test]
fn status_omits_criteria_without_threshold() {
    let mut results = measured();
    results.criteria[0].thresholds.remove("kink");
    let status = status(Some(&progress()), Some(&results), &DEFINITIONS, NOW, true);
    assert_eq!(status.models[2].criteria.len(), 2);
}

#[test]
fn status_blockers_have_reasons() {
    assert!(finished(|_| ()).blockers.is_empty());
    let status = finished(|r| {
        r.runs = vec![
            fixtures::run("big", 0, "diverged", Some("the bond 0-2 stretched")),
            fixtures::run("big", 1, "diverged", Some("later")),
            fixtures::run("big", 2, "failed", None),
            fixtures::run("big", 3, "stopped_early", Some("hopeless")),
            fixtures::run("big", 4, "finished", None),
        ];
        let failure = |model: &str, stage| Failure {
            model: model.to_owned(),
            molecule: None,
            stage,
            reason: "no such file".to_owned(),
        };
        r.failures = vec![failure("big", Stage::Evaluation), failure("lost", Stage::Load)];
        let mut checks = [fixtures::check(METRICS[1], "skipped", None, 0.2)];
        checks[0]["reason"] = json!("no reference");
        r.models.push(fixtures::model("tiny", json!(checks)));
        let mut control =
            fixtures::model("control", json!([fixtures::check("kink", "fail", Some(1.0), 0.1)]));
        control.role = Role::Control;
        control.summary = "THE ENGINE FAILS".to_owned();
        control.checks[0].use_name = "engine".to_owned();
        r.models.push(control);
    });
    let told: Vec<_> = status.blockers.iter().map(|b| (b.kind, b.words.as_str())).collect();
    let expected = [
        (BlockerKind::Engine, "control potential 'control': THE ENGINE FAILS"),
        (BlockerKind::Checkpoint, "lost: checkpoint: no such file"),
        (BlockerKind::Stage, "big: force errors: no such file"),
        (BlockerKind::Runs, "big on water: 2 of 5 runs diverged, such as at 300 K: the bond 0-2 stretched"),
        (
            BlockerKind::Runs,
            "big on water: 1 of 5 runs could not be made, such as at 300 K: no reason is known",
        ),
        (BlockerKind::Skipped, "tiny: force RMSE SKIPPED: no reference"),
    ];
    assert_eq!(told, expected);
    let text = text(&status);
    assert!(expected.iter().all(|(_, words)| text.contains(words)), "{text}");
}

#[test]
fn status_ignores_results_of_other_campaign() {
    let edits: [fn(&mut Results); 2] = [
        |r| r.campaign.name = "older".to_owned(),
        |r| r.campaign.finished = "2025-12-31T23:59:59Z".to_owned(),
    ];
    for edit in edits {
        let mut results = measured();
        edit(&mut results);
        let status = status(Some(&progress()), Some(&results), &DEFINITIONS, NOW, true);
        assert_eq!(status.blockers[0].kind, BlockerKind::OtherCampaign);
        let words =
            format!("the results are of another campaign: {} of 2026-01-01T00:00:00Z", results.campaign.name);
        assert_eq!(status.blockers[0].words, words);
        assert!(status.models.iter().all(|m| m.verdict.is_none()));
    }
}

#[test]
fn status_next_lists_remedies_and_deciding_runs() {
    let mode = FailureMode {
        id: "accuracy".to_owned(),
        finding: "far off".to_owned(),
        remedy: "more data".to_owned(),
    };
    let status = finished(|r| r.models[0].failure_modes = vec![mode.clone()]);
    assert_eq!(
        status.next,
        ["big: accuracy: more data", "big: force RMSE on water: about 3 more replicas would decide"]
    );
    let approved = finished(|r| {
        r.models[0].verdict = Some(Verdict::Approved);
        r.models[0].checks.pop();
    });
    assert!(approved.next.is_empty());
    assert!(
        standup(&approved).unwrap().contains("## Next\n\n- nothing\n"),
        "{}",
        standup(&approved).unwrap()
    );
}

#[test]
fn standup_has_five_headings_with_items() {
    let text = standup(&at_work(true)).unwrap();
    let headings: Vec<&str> = text.lines().filter(|l| l.starts_with("## ")).collect();
    assert_eq!(headings, ["## Completed", "## Plan", "## Blockers", "## Metrics", "## Next"]);
    for part in [
        "## Completed\n\n- big: INCOMPLETE: force RMSE is undecided\n- tiny: physics gates, 1m\n",
        "## Plan\n\n- tiny: 24 runs: \\[#####---------------] 25 %, 6 of 24, 3m left: largest drift 0.02\n",
        "- last: not begun\n",
        "## Blockers\n\n- none\n",
        "| model | least-squares energy drift (eV) | force RMSE (eV)       | inference_ms_per_step |\n",
        "| big   | 0.02 (water)                    | 0.21 ± 6.0e-2 (water) | not measured          |\n",
        "## Next\n\n- wait for tiny, last\n",
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
}

#[test]
fn status_without_campaign_is_absent() {
    let status = status(None, None, &DEFINITIONS, NOW, false);
    assert_eq!(
        (status.state, status.next.as_slice()),
        (State::Absent, ["run a campaign".to_owned()].as_slice())
    );
    assert!(text(&status).starts_with("no campaign: nothing was run here\n"));
}

#[test]
fn status_round_trips_through_json() {
    let status = at_work(true);
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["state"], "running");
    assert_eq!(json["models"][1]["stages"][1]["fraction"], 0.25);
    assert_eq!(serde_json::from_value::<CampaignStatus>(json).unwrap(), status);
}

#[test]
fn status_elapsed_is_none_when_clock_went_back() {
    let mut progress = progress();
    progress.started = "2027-01-01T00:00:00Z".to_owned(); // a year after it was last seen
    let status = status(Some(&progress), None, &[], NOW, true);
    assert_eq!(status.elapsed_s, None);
    assert!(!text(&status).is_empty());
}
