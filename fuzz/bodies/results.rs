//! Any text as `results.json`: judged, reported, compared with itself.

use md_results::{Performance, Results};
use mdproof::render::dashboard;

pub fn check(text: &str) {
    let Ok(mut results) = Results::parse(text, "results.json".as_ref()) else { return };
    let definitions = md_criteria::definitions();
    for _ in ["as it is", "judged again"] {
        let _ = dashboard::render(&results, true);
        let _ = md_report::html(&results, &definitions, &[]);
        let _ = md_report::markdown(&results, &definitions);
        let _ = md_report::junit(&results, &definitions);
        let _ = md_report::performance(&Performance::from_results(&results));
        let status = md_report::status(None, Some(&results), &definitions, "2026-01-01T00:00:00Z", false);
        let _ = md_report::status::text(&status);
        let _ = md_report::status::standup(&status);
        let changes = md_report::compare(&results, &results, md_criteria::judge);
        let _ = md_report::compare::text(&changes);
        let _ = md_report::compare::html(&changes);
        let _ = md_criteria::outcome(&results);
        md_criteria::judge(&mut results);
    }
}
