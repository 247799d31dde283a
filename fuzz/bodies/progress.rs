//! Any text as `progress.json`, and the report of `mdproof status` on it.

use md_results::progress::CampaignProgress;

pub fn check(text: &str) {
    let Ok(progress) = serde_json::from_str::<CampaignProgress>(text) else { return };
    for alive in [false, true] {
        let status = md_report::status(Some(&progress), None, &[], "2026-01-01T00:00:00Z", alive);
        let _ = md_report::status::text(&status);
        let _ = md_report::status::standup(&status);
    }
}
