//! Campaign and training files with a few faults: each is read, or rejected with one message without delay.
//! Results and progress files with a few faults: each that can be read is judged and reported.

#[path = "../../fuzz/bodies/progress.rs"]
mod progress;
#[path = "../../fuzz/bodies/results.rs"]
mod results;

use std::path::Path;
use std::time::{Duration, Instant};

use md_driver::config::{self, ConfigError};
use md_driver::plan::plan;
use md_testkit::damage::{Edit, damaged, edits, many_cases};
use md_train::TrainingConfig;
use proptest::prelude::*;

use crate::support::repository;

fn text(file: &[u8], edits: &[Edit]) -> String {
    String::from_utf8_lossy(&damaged(file, edits)).into_owned()
}

const CAMPAIGNS: [&[u8]; 3] = [
    include_bytes!("../../configs/m6.toml"),
    include_bytes!("../../configs/check.toml"),
    include_bytes!("../../configs/smoke.toml"),
];

const TRAINING: [&[u8]; 2] =
    [include_bytes!("../../configs/train/demo.toml"), include_bytes!("../../configs/train/original.toml")];

const RESULTS: [&[u8]; 2] = [
    include_bytes!("../../fuzz/seeds/results/few.json"),
    include_bytes!("../../fuzz/seeds/results/smoke.json"),
];

const PROGRESS: &[u8] = include_bytes!("../../fuzz/seeds/progress/two.json");

/// Reads a campaign file and plans its runs. Relative paths start from `path`.
#[expect(clippy::disallowed_methods, reason = "a reader that hangs is as bad as one that panics")]
fn read(text: &str, path: &Path) -> Result<usize, ConfigError> {
    let start = Instant::now();
    let config = config::parse(text, path, &[], &config::Own::default());
    let runs =
        config.map(|config| plan(&config).map_or(0, |groups| groups.iter().map(|g| g.runs.len()).sum()));
    assert!(start.elapsed() < Duration::from_secs(20));
    runs
}

proptest! {
    #![proptest_config(many_cases(4))]

    #[test]
    fn config_parse_reads_or_refuses_damaged_campaign(file in 0..CAMPAIGNS.len(), edits in edits(1..5)) {
        let text = text(CAMPAIGNS[file], &edits);
        match read(&text, &repository("configs/damaged.toml")) {
            Ok(runs) => prop_assert!(runs <= 100_000),
            Err(error) => {
                let message = error.to_string();
                prop_assert!(error.message.chars().count() <= 2001 && message.lines().count() == 1, "{:?}", message);
                prop_assert!(error.line.is_none_or(|line| line <= 1 + text.matches('\n').count()), "{}", message);
            }
        }
    }

    #[test]
    fn training_config_parse_reads_or_refuses_damage(file in 0..TRAINING.len(), edits in edits(1..5)) {
        if let Err(error) = TrainingConfig::parse(&text(TRAINING[file], &edits), "train.toml".as_ref()) {
            prop_assert!(error.to_string().starts_with("train.toml"), "{}", error);
        }
    }
}

proptest! {
    #![proptest_config(many_cases(1))]

    #[test]
    fn judge_and_report_accept_damaged_results(file in 0..RESULTS.len(), edits in edits(0..5)) {
        results::check(&text(RESULTS[file], &edits));
    }

    #[test]
    fn status_accepts_damaged_progress(edits in edits(0..5)) {
        progress::check(&text(PROGRESS, &edits));
    }
}

/// Without sound seeds, the tests above would judge and report nothing.
#[test]
fn results_and_progress_seeds_parse() {
    for seed in RESULTS {
        let text = std::str::from_utf8(seed).unwrap();
        assert!(md_results::Results::parse(text, "results.json".as_ref()).is_ok(), "{text}");
    }
    assert!(serde_json::from_slice::<md_results::progress::CampaignProgress>(PROGRESS).is_ok());
}

/// A megabyte of one kind.
#[test]
fn config_parse_bounds_large_campaign_files() {
    let path = repository("configs/large.toml");
    let head = "[campaign]\nname = 'c'\nseed = 1\n";
    let run = "ensemble = 'nve'\ntimestep_fs = 1\nduration_ps = 1\ntemperatures_K = [1]\nreplicas = 1\n";
    let molecule = "[[molecule]]\nname = 'w'\nstructure = '../data/molecules/water.xyz'\n";
    let many = |n: usize, line: fn(usize) -> String| (0..n).map(line).collect::<String>();
    let models = |n| many(n, |i| format!("[[model]]\nname='m{i}'\nanalytic='control'\n"));
    for (text, expected) in [
        (format!("{head}{}", "x".repeat(1 << 20)), "has more than 1 MiB: is this a campaign file?"),
        (
            format!(
                "{head}{}{molecule}{}",
                models(8_000),
                many(4_000, |i| format!("[[run]]\nmodels=['m{i}', 'n']\n"))
            ),
            "missing field",
        ),
        (
            format!("{head}{}{molecule}{}", models(10_000), format!("[[run]]\n{run}").repeat(5_000)),
            "expected at most 100000 in a campaign",
        ),
        (
            format!("{head}{}{molecule}[[run]]\nmodels = [{}]\n{run}", models(5), "'x',".repeat(90_000)),
            "unknown model 'x'",
        ),
        (
            format!(
                "{head}{}{molecule}[[run]]\n{run}{}",
                models(1),
                many(40_000, |i| format!("[criteria.u{i}]\n"))
            ),
            "there are 40000 uses under criteria (expected at most 100)",
        ),
        (format!("{head}{} = 1\n", "k".repeat(1_000_000)), "unknown key"),
        (format!("{head}{}", many(60_000, |i| format!("k{i} = 1\n"))), "unknown key"),
        (format!("{head}[[model]]\nname = '{}'\n", "n".repeat(1_000_000)), "at most 64 characters"),
        (format!("{head}{}", "[[a.b]]\n[a.b.c]\n".repeat(50_000)), "unknown"),
    ] {
        let error = read(&text, &path).unwrap_err();
        assert!(error.message.contains(expected), "{expected}: {}", error.message);
    }
}
