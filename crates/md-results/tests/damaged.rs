//! Injects faults into valid records and asserts that the reader returns either records or a single error message.

use md_results::Results;
use md_results::progress::CampaignProgress;
use md_testkit::damage::{damaged, edits, many_cases};
use proptest::prelude::*;

proptest! {
    #![proptest_config(many_cases(8))]

    #[test]
    fn results_parse_reads_or_refuses_damaged_json(edits in edits(1..6)) {
        let results = r#"{"schema_version": 1, "campaign": {"name": "c", "config_sha256": "", "seed": 1, "started": "",
            "finished": ""}, "provenance": {"mdproof_version": "0", "threads": 1, "device_requested": "cpu",
            "device_used": "cpu"}, "criteria": [{"use": "production", "thresholds": {"k": {"value": 1.0, "source":
            "default"}}}], "molecules": [{"name": "water", "atoms": 3, "structure_sha256": "", "bonds": 2}],
            "models": [], "relaxations": [], "gates": [{"id": "kink", "model": "m", "molecule": "water", "value": 1e-3,
            "unit": "eV"}], "runs": [], "evaluations": [], "speed": []}"#;
        Results::parse(results, "results.json".as_ref()).unwrap();
        let text = String::from_utf8_lossy(&damaged(results.as_bytes(), &edits)).into_owned();
        if let Err(error) = Results::parse(&text, "results.json".as_ref()) {
            prop_assert!(error.to_string().starts_with("results.json: "), "{}", error);
        }
        let progress = r#"{"campaign": "c", "pid": 1, "started": "", "updated": "", "finished": false, "models":
            [{"name": "m", "done": false, "stages": [{"name": "runs", "done": 3, "total": 9, "over": false,
            "elapsed_s": 1.5}]}]}"#;
        let text = String::from_utf8_lossy(&damaged(progress.as_bytes(), &edits)).into_owned();
        if let Ok(progress) = serde_json::from_str::<CampaignProgress>(&text) {
            progress.models.iter().flat_map(|m| &m.stages).for_each(|stage| _ = stage.remaining_s());
        }
    }
}
