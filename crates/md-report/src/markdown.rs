//! Report for a pull request or an issue.

use md_results::{Definition, FailureMode, Model, Results, Role, Status, Verdict, first_use, number, title};

use crate::ReportError;
use crate::checks::{criterion_lines, place, threshold, value};
use crate::document::{Document, Words};
use crate::side_by_side::{SideBySide, candidates, side_by_side};
use crate::words::{chance, envelope, error_against_time, failure, notices, skipped, use_lines};

/// Returns `report.md`: verdicts with reasons, a comparison of the models, every criterion with its worst check,
/// defects with suggested fixes, missing measurements, and the machine. It is GitHub-flavoured Markdown whose tables
/// are aligned as plain text.
///
/// # Errors
/// [`ReportError::Template`], which no records should cause.
pub fn markdown(results: &Results, definitions: &[Definition]) -> Result<String, ReportError> {
    let mut report = Document::new(format!("mdproof: {}", results.campaign.name));
    notices(results).into_iter().for_each(|line| report.paragraph(line));
    verdicts(&mut report, results);
    models_side_by_side(&mut report, results);
    for model in &results.models {
        one_model(&mut report, results, model, definitions);
    }
    gaps(&mut report, results, definitions);
    provenance(&mut report, results);
    report.markdown()
}

fn verdicts(report: &mut Document, results: &Results) {
    report.heading("Verdicts");
    if results.models.iter().all(|m| m.role == Role::Control) {
        report.paragraph("no model was judged");
    }
    report.list(results.models.iter().map(verdict));
    let uses = use_lines(results);
    if !uses.is_empty() {
        report.subheading("Other uses");
    }
    report.list(uses);
}

/// Describes the verdict on a model and its reason.
fn verdict(model: &Model) -> String {
    let Some(verdict) = model.verdict else {
        return format!("control potential '{}': {}", model.name, model.summary);
    };
    let expected = match &model.expected {
        Some(expected) if !model.is_as_expected() => format!(" (expected {})", expected.label()),
        _ => String::new(),
    };
    format!("{}: {}{expected}: {}", model.name, verdict.label(), model.summary)
}

/// Appends size, speed, memory and verdict of the models.
fn models_side_by_side(report: &mut Document, results: &Results) {
    let Some(first) = candidates(results).next() else { return };
    report.heading("Models");
    let header =
        ["Model", "Parameters", "Compression", "Inference ms/step", "Speedup", "Memory MiB", "Verdict"];
    report.table(
        header,
        side_by_side(results).map(|SideBySide { model, compression, speed }| {
            [
                model.name.as_str().into(),
                known(model.parameters.map(|n| n.to_string())),
                known(compression.map(times)),
                known(speed.map(|s| format!("{} ({})", number(s.ms_per_step), s.molecule))),
                known(speed.map(|s| times(s.speedup_vs_first))),
                known(speed.and_then(|s| s.peak_memory_mib).map(|mib| format!("{mib:.0}"))),
                model.verdict.map_or("-".into(), Verdict::into),
            ]
        }),
    );
    report.paragraph(format!(
        "Compression and speedup are relative to {}; a step of NVE, of the largest molecule that was timed, one at \
         a time; memory is the peak of the process so far.",
        first.name
    ));
}

fn times(ratio: f64) -> String {
    format!("{}x", number(ratio))
}

fn known(text: Option<String>) -> Words {
    text.unwrap_or_else(|| "-".to_owned()).into()
}

fn one_model(report: &mut Document, results: &Results, model: &Model, definitions: &[Definition]) {
    let use_name = first_use(model);
    report.heading(model.name.as_str());
    let parameters = model.parameters.map_or(String::new(), |n| format!(", {n} parameters"));
    let runs = results.runs.iter().filter(|r| r.model == model.name).count();
    let kind = match model.role {
        Role::Candidate => format!("for {use_name}"),
        Role::Control => "control: tests the engine, approves no model".to_owned(),
    };
    report.paragraph(format!("{}{parameters}, {}, {runs} runs, {kind}", model.architecture, model.precision));
    if let (Some(device), Some(note)) = (&model.device, &model.device_note) {
        report.paragraph(format!("computed on the {device}: {note}"));
    }
    for text in &model.assumptions {
        report.paragraph(format!("assumed: {text}"));
    }
    if !results.is_measured(&model.name) {
        return;
    }
    let lines = criterion_lines(definitions, model, use_name);
    if lines.is_empty() {
        report.paragraph(format!("no check was made for {use_name}"));
    }
    report.table(
        ["Criterion", "Worst value", "Threshold", "Status", "Where"],
        lines.iter().map(|line| {
            let check = line.check;
            [
                line.title.into(),
                value(check).into(),
                threshold(check).into(),
                check.status.into(),
                place(check, line.n_molecules).into(),
            ]
        }),
    );
    if !model.failure_modes.is_empty() {
        report.subheading("What is wrong, and what would fix it");
    }
    let mode = |m: &FailureMode| format!("{}: {}; suggested fix: {}", m.id, m.finding, m.remedy);
    report.list(model.failure_modes.iter().map(mode));
    let evaluations = results.evaluations.iter().filter(|e| e.model == model.name);
    let mut lines: Vec<String> = evaluations.filter_map(error_against_time).collect();
    // All molecules together, then each of them.
    let survival = || results.survival.iter().filter(|s| s.model == model.name);
    lines.extend(survival().filter(|s| s.molecule.is_none()).map(|s| s.statement.clone()));
    lines.extend(
        survival().filter_map(|s| s.molecule.as_ref().map(|molecule| format!("{molecule}: {}", s.statement))),
    );
    lines.extend(envelope(model));
    lines.extend(chance(model));
    if !lines.is_empty() {
        report.subheading("What was seen");
    }
    report.list(lines);
}

fn gaps(report: &mut Document, results: &Results, definitions: &[Definition]) {
    let mut lines: Vec<String> = results.failures.iter().map(failure).collect();
    for model in results.measured_models() {
        let checks = model.checks.iter().filter(|c| c.use_name == first_use(model));
        let of_model = |line| format!("{}: {line}", model.name);
        lines.extend(skipped(checks, |key| title(definitions, key)).into_iter().map(of_model));
    }
    report.heading("What could not be measured");
    if lines.is_empty() {
        report.paragraph("Nothing: every check was made.");
    }
    report.list(lines);
    if !results.economy.is_empty() {
        report.heading("Less or more than planned");
        report.list(results.economy.iter().map(String::as_str));
    }
}

fn provenance(report: &mut Document, results: &Results) {
    report.heading("Provenance");
    let (campaign, provenance) = (&results.campaign, &results.provenance);
    let unknown = || "unknown".to_owned();
    let mut rows = vec![
        ("mdproof", provenance.mdproof_version.clone()),
        ("commit", provenance.git_commit.clone().unwrap_or_else(unknown)),
        ("campaign file, SHA-256", campaign.config_sha256.clone()),
        ("seed", campaign.seed.to_string()),
        ("started", campaign.started.clone()),
        ("finished", campaign.finished.clone()),
        ("CPU", provenance.cpu.clone().unwrap_or_else(unknown)),
        ("threads", provenance.threads.to_string()),
        ("device", format!("{} (asked for: {})", provenance.device_used, provenance.device_requested)),
    ];
    if !campaign.only.is_empty() {
        rows.push(("only", campaign.only.join(", ")));
    }
    report.table(["What", "Value"], rows.into_iter().map(|(what, value)| [what.into(), value.into()]));
    let weights = |m: &Model| Some([m.name.as_str().into(), m.checkpoint_sha256.clone()?.into()]);
    report.table(["Model", "Weights, SHA-256"], results.models.iter().filter_map(weights));
    let open = |s: &Status| results.models.iter().flat_map(|m| &m.checks).filter(|c| c.status == *s).count();
    let counts = [Status::Pass, Status::Fail, Status::Undecided, Status::Skipped, Status::NotApplicable];
    let shown = counts.iter().filter(|s| **s != Status::NotApplicable || open(s) > 0);
    let counts: Vec<String> = shown.map(|s| format!("{} {}", open(s), s.label())).collect();
    report.paragraph(format!("Checks of all models and uses: {}.", counts.join(", ")));
}

#[cfg(test)]
mod tests {
    use md_results::{Failure, Stage};
    use serde_json::json;

    use super::*;
    use crate::fixtures;

    fn campaign() -> Results {
        let mut small = fixtures::model(
            "small|er",
            json!([
                fixtures::check("kink", "pass", Some(1e-9), 1e-3),
                fixtures::check("rmse", "fail", Some(0.3), 0.2),
                fixtures::check("wall", "skipped", None, 2.0),
            ]),
        );
        small.parameters = Some(250);
        small.verdict = Some(Verdict::Rejected);
        small.summary = "rmse is 0.3 on water".to_owned();
        small.failure_modes = vec![FailureMode {
            id: "accuracy".to_owned(),
            finding: "forces differ".to_owned(),
            remedy: "more data".to_owned(),
        }];
        let mut results = fixtures::results(vec![fixtures::model("big", json!([])), small]);
        results.speed = vec![fixtures::speed("big", "water", 0.2), fixtures::speed("small|er", "water", 0.1)];
        results.speed.push(fixtures::speed("small|er", "an atom", 0.01));
        results.speed[2].atoms = 1;
        results.failures = vec![Failure {
            model: "big".to_owned(),
            molecule: None,
            stage: Stage::Evaluation,
            reason: "no such file: <b>".to_owned(),
        }];
        results.survival = serde_json::from_value(json!([{
            "model": "big", "runs": 8, "failures": 0, "observed_ps": 8.0, "rate_per_ns": 0.0,
            "rate_upper_per_ns": 374.0, "curve": [], "statement": "no failure in 8 runs",
        }]))
        .unwrap();
        results
    }

    #[test]
    fn markdown_report_lists_not_applicable_with_reason() {
        let mut check = fixtures::check("equivalence", "not_applicable", None, 0.2);
        check["reason"] = json!("one implementation");
        let results = fixtures::results(vec![fixtures::model("own", json!([check]))]);
        let text = markdown(&results, &[]).unwrap();
        for line in [
            "- own: equivalence NOT APPLICABLE: one implementation",
            "Checks of all models and uses: 0 PASS, 0 FAIL, 0 UNDECIDED, 0 SKIPPED, 1 NOT APPLICABLE.",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    #[test]
    fn markdown_report_has_verdicts_checks_and_gaps() {
        let definitions =
            [Definition { key: "kink", title: "kink of the energy", definition: "", unit: "eV", source: "" }];
        let text = markdown(&campaign(), &definitions).unwrap();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn markdown_report_aligns_tables() {
        let text = markdown(&campaign(), &[]).unwrap();
        let mut tables = 0;
        for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
            let widths: Vec<usize> = table.trim_end().lines().map(|l| l.chars().count()).collect();
            assert!(widths.iter().all(|w| *w == widths[0]), "{table}");
            tables += 1;
        }
        assert_eq!(tables, 4, "{text}");
    }

    #[test]
    fn markdown_report_without_gaps_says_every_check_was_made() {
        let text = |models| markdown(&fixtures::results(models), &[]).unwrap();
        let of_one = text(vec![fixtures::model("big", json!([]))]);
        insta::assert_snapshot!(format!("{of_one}\n{}", text(Vec::new())));
    }
}
