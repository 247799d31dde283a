//! The terminal summary: a line per model and criterion, then the verdicts.

use std::fmt::Write as _;

use comfy_table::{Attribute, Cell, Color, Table, presets};
use md_io::results::{Check, Evaluation, Model, Results, Role, Stage, Status, Verdict};

use crate::config::PRODUCTION;
use crate::criteria;
use crate::verdict::{ENGINE, most_telling, number, with_unit, worst};

/// The dashboard of `results`; escape codes only where `colour` is set.
pub fn render(results: &Results, colour: bool) -> String {
    let mut text = String::new();
    for model in &results.models {
        text.push_str(&model_table(results, model, colour));
        text.push('\n');
    }
    text.push_str(&verdict_lines(results, colour));
    text.push_str(&findings(results));
    text
}

/// What lies behind the verdicts: failure modes with their remedies, survival, the operating envelope, and what
/// was run more or less than planned.
fn findings(results: &Results) -> String {
    let mut text = String::new();
    for model in results.models.iter().filter(|m| m.role == Role::Candidate) {
        let mut lines = Vec::new();
        for mode in &model.failure_modes {
            lines.push(format!("{}: {}", mode.id, mode.finding));
            lines.push(format!("  mend: {}", mode.remedy));
        }
        lines.extend(
            results.evaluations.iter().filter(|e| e.model == model.name).filter_map(error_against_time),
        );
        let of_all = results.survival.iter().find(|s| s.model == model.name && s.molecule.is_none());
        lines.extend(of_all.map(|s| s.statement.clone()));
        lines.extend(envelope(model));
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

/// Force error along the model's own runs.
fn error_against_time(evaluation: &Evaluation) -> Option<String> {
    evaluation.by_time.first()?;
    let mut kelvins: Vec<f64> = evaluation.by_time.iter().map(|b| b.temperature_k).collect();
    kelvins.dedup();
    let rows: Vec<String> = kelvins
        .iter()
        .map(|k| {
            let bins = evaluation.by_time.iter().filter(|b| b.temperature_k == *k);
            let errors: Vec<String> = bins
                .map(|b| format!("{} to {} ps", number(b.rmse_ev_per_angstrom), number(b.to_ps)))
                .collect();
            format!("{k} K {}", errors.join(", "))
        })
        .collect();
    let molecule = evaluation.molecule.as_deref().unwrap_or_default();
    Some(format!("force RMSE (eV/Å) along its own runs of {molecule}: {}", rows.join("; ")))
}

fn envelope(model: &Model) -> Option<String> {
    let envelope = &model.envelope;
    let [fewest, most] = envelope.atoms?;
    envelope.temperatures_k.first()?;
    let kelvins: Vec<String> = envelope.temperatures_k.iter().map(|k| number(*k)).collect();
    let mut parts = vec![
        format!("{} of {fewest} to {most} atoms", envelope.elements.join(" ")),
        format!("{} K", kelvins.join(", ")),
    ];
    parts.extend(envelope.duration_ps.map(|ps| format!("{} ps", number(ps))));
    parts.extend(envelope.timestep_fs.map(|fs| format!("run at {} fs", number(fs))));
    parts.extend(envelope.largest_safe_timestep_fs.map(|fs| format!("safe up to {} fs", number(fs))));
    Some(format!("seen to run: {}", parts.join("; ")))
}

fn model_table(results: &Results, model: &Model, colour: bool) -> String {
    let use_name = match model.role {
        Role::Candidate => PRODUCTION,
        Role::Control => ENGINE,
    };
    if results.failures.iter().any(|f| f.model == model.name && f.stage == Stage::Load) {
        let checks = model.checks.len();
        return format!("{}: all {checks} checks SKIPPED: {}\n", model.name, model.summary);
    }
    let mut table = new_table(colour);
    table.set_header(["criterion", "worst value", "threshold", "status", "where"]);
    for criterion in criteria::ALL {
        let of_criterion = || model.checks.iter().filter(|c| c.id == criterion.key && c.use_name == use_name);
        let Some(check) = most_telling(of_criterion()) else { continue };
        let threshold = format!("{} {}", criterion.bound.sign(), with_unit(check.threshold, &check.unit));
        table.add_row([
            Cell::new(criterion.title),
            Cell::new(value(check)),
            Cell::new(threshold),
            status_cell(check.status),
            Cell::new(place(check, of_criterion().count())),
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
    format!(
        "{} ({}{parameters}, {}), {runs} runs, {kind}\n{device}{table}\n",
        model.name, model.architecture, model.precision
    )
}

/// The value with half the width of its interval.
fn value(check: &Check) -> String {
    match (check.value, check.interval) {
        (Some(value), Some([low, high])) => format!("{} ± {:.1e}", number(value), 0.5 * (high - low)),
        (Some(value), None) => number(value),
        (None, _) => "-".to_owned(),
    }
}

fn place(check: &Check, molecules: usize) -> String {
    if let Some(to_decide) = &check.to_decide {
        return format!("{}: {to_decide}", check.molecule);
    }
    let shown = if check.status == Status::Pass && molecules > 1 {
        format!("{} (worst of {molecules})", check.molecule)
    } else {
        check.molecule.clone()
    };
    if check.reason.is_empty() { shown } else { format!("{shown}: {}", check.reason) }
}

fn verdict_lines(results: &Results, colour: bool) -> String {
    let mut table = new_table(colour);
    table.set_header(["model", "verdict", "expected", "uses that hold", "why"]);
    let mut controls = String::new();
    for model in &results.models {
        let Some(verdict) = model.verdict else {
            let _ = writeln!(controls, "control potential '{}': {}", model.name, model.summary);
            continue;
        };
        table.add_row([
            Cell::new(&model.name),
            coloured(verdict.label(), verdict_colour(verdict)),
            Cell::new(model.expected.map_or("-", Verdict::label)),
            Cell::new(if model.uses.is_empty() { "none".to_owned() } else { model.uses.join(", ") }),
            Cell::new(&model.summary),
        ]);
    }
    if table.row_count() == 0 {
        return format!("{controls}no model was judged: give one with --model NAME=CHECKPOINT\n");
    }
    format!("{table}\n{controls}{}", use_lines(results))
}

/// A line for every further use of the campaign.
fn use_lines(results: &Results) -> String {
    let mut text = String::new();
    for set in results.criteria.iter().filter(|s| s.name != PRODUCTION) {
        for model in results.models.iter().filter(|m| m.role == Role::Candidate) {
            let checks = || model.checks.iter().filter(|c| c.use_name == set.name);
            let bad = checks().filter(|c| c.status != Status::Pass).count();
            let status = status_label(worst(checks()));
            let _ = writeln!(
                text,
                "use {} / {}: {status} ({bad} of {} checks do not pass)",
                set.name,
                model.name,
                checks().count()
            );
        }
    }
    text
}

fn new_table(colour: bool) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
        table.set_width(140);
    }
    table
}

fn status_label(status: Status) -> &'static str {
    match status {
        Status::Pass => "PASS",
        Status::Fail => "FAIL",
        Status::Undecided => "UNDECIDED",
        Status::Skipped => "SKIPPED",
    }
}

fn status_cell(status: Status) -> Cell {
    let colour = match status {
        Status::Pass => Color::Green,
        Status::Fail => Color::Red,
        Status::Undecided | Status::Skipped => Color::Yellow,
    };
    coloured(status_label(status), colour)
}

fn verdict_colour(verdict: Verdict) -> Color {
    match verdict {
        Verdict::Approved => Color::Green,
        Verdict::Rejected => Color::Red,
        Verdict::Restricted | Verdict::Incomplete => Color::Yellow,
    }
}

fn coloured(text: &str, colour: Color) -> Cell {
    Cell::new(text).fg(colour).add_attribute(Attribute::Bold)
}
