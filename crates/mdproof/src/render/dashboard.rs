//! Summary for the terminal: a line per model and criterion, then the verdicts.

use std::fmt::Write as _;

use comfy_table::{Cell, Color};
use md_report::{
    chance, criterion_lines, envelope, error_against_time, notices, place, threshold, use_lines, value,
};
use md_results::{Expectation, Model, Results, Role, Stage, Status, Verdict, first_use};

use super::{coloured, new_table};

/// Formats the dashboard of `results`; escape codes only if `colour` is set.
pub fn render(results: &Results, colour: bool) -> String {
    let mut text: String = notices(results).into_iter().map(|line| line + "\n\n").collect();
    for model in &results.models {
        text.push_str(&model_table(results, model, colour));
        text.push('\n');
    }
    text.push_str(&verdict_lines(results, colour));
    text.push_str(&findings(results));
    text
}

/// Formats the reasons for the verdicts: failure modes with suggested fixes, survival, the operating envelope, and
/// deviations from the plan.
fn findings(results: &Results) -> String {
    let mut text = String::new();
    for model in results.models.iter().filter(|m| m.role == Role::Candidate) {
        let mut lines = Vec::new();
        for mode in &model.failure_modes {
            lines.push(format!("{}: {}", mode.id, mode.finding));
            lines.push(format!("  suggested fix: {}", mode.remedy));
        }
        lines.extend(
            results.evaluations.iter().filter(|e| e.model == model.name).filter_map(error_against_time),
        );
        let of_all = results.survival.iter().find(|s| s.model == model.name && s.molecule.is_none());
        lines.extend(of_all.map(|s| s.statement.clone()));
        lines.extend(envelope(model));
        lines.extend(chance(model));
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{}", model.name);
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        }
    }
    if !results.economy.is_empty() {
        text.push('\n');
    }
    for line in &results.economy {
        let _ = writeln!(text, "{line}");
    }
    text
}

fn model_table(results: &Results, model: &Model, colour: bool) -> String {
    let use_name = first_use(model);
    if !results.is_measured(&model.name) {
        return format!("{}: {}\n", model.name, model.summary);
    }
    if results.failures.iter().any(|f| f.model == model.name && f.stage == Stage::Load) {
        let checks = model.checks.len();
        return format!("{}: all {checks} checks SKIPPED: {}\n", model.name, model.summary);
    }
    let mut table = new_table(colour);
    table.set_header(["criterion", "worst value", "threshold", "status", "where"]);
    let definitions = md_criteria::definitions();
    for line in criterion_lines(&definitions, model, use_name) {
        table.add_row([
            Cell::new(line.title),
            Cell::new(value(line.check)),
            Cell::new(threshold(line.check)),
            status_cell(line.check.status),
            Cell::new(place(line.check, line.n_molecules)),
        ]);
    }
    let parameters = model.parameters.map_or(String::new(), |n| format!(", {n} parameters"));
    let kind = match model.role {
        Role::Candidate => format!("for {use_name}"),
        Role::Control => "control: tests the engine, approves no model".to_owned(),
    };
    let runs = results.runs.iter().filter(|r| r.model == model.name).count();
    let device = match (&model.device, &model.device_note) {
        (Some(device), Some(note)) => format!("computed on the {device}: {note}\n"),
        _ => String::new(),
    };
    let assumed: String = model.assumptions.iter().map(|text| format!("assumed: {text}\n")).collect();
    format!(
        "{} ({}{parameters}, {}), {runs} runs, {kind}\n{device}{assumed}{table}\n",
        model.name, model.architecture, model.precision
    )
}

fn verdict_lines(results: &Results, colour: bool) -> String {
    let mut table = new_table(colour);
    table.set_header(["model", "verdict", "expected", "approved uses", "why"]);
    let mut controls = String::new();
    for model in &results.models {
        let Some(verdict) = model.verdict else {
            let _ = writeln!(controls, "control potential '{}': {}", model.name, model.summary);
            continue;
        };
        table.add_row([
            Cell::new(&model.name),
            coloured(verdict.label(), verdict_colour(verdict)),
            Cell::new(model.expected.as_ref().map_or("-", Expectation::label)),
            Cell::new(if model.uses.is_empty() { "none".to_owned() } else { model.uses.join(", ") }),
            Cell::new(&model.summary),
        ]);
    }
    if table.row_count() == 0 {
        return format!("{controls}no model was judged: give one with --model NAME=CHECKPOINT\n");
    }
    let uses: String = use_lines(results).into_iter().map(|line| line + "\n").collect();
    format!("{table}\n{controls}{uses}")
}

fn status_cell(status: Status) -> Cell {
    let colour = match status {
        Status::NotApplicable => Color::Grey,
        Status::Pass => Color::Green,
        Status::Fail => Color::Red,
        Status::Undecided | Status::Skipped => Color::Yellow,
    };
    coloured(status.label(), colour)
}

fn verdict_colour(verdict: Verdict) -> Color {
    match verdict {
        Verdict::Approved => Color::Green,
        Verdict::Rejected => Color::Red,
        Verdict::Restricted | Verdict::Incomplete => Color::Yellow,
    }
}
