use md_results::number;
use std::collections::BTreeSet;

use super::{
    Changes, CheckKey, Difference, Direction, Flip, MeasurementChange, ModelChanges, OneSided, Outcome,
    SpeedChange, VerdictChange,
};
use crate::ReportError;
use crate::checks::{place, threshold, value};
use crate::document::{Document, Tone, Words};

/// Formats the changes for a terminal, without colours.
pub fn text(changes: &Changes) -> String {
    document(changes).text()
}

/// Formats the changes for a pull request, in GitHub-flavoured Markdown.
///
/// # Errors
/// [`ReportError::Template`], which no records should cause.
pub fn markdown(changes: &Changes) -> Result<String, ReportError> {
    document(changes).markdown()
}

/// Formats the changes as a self-contained page that follows the light or dark theme of the reader's system.
///
/// # Errors
/// [`ReportError::Template`], which no records should cause.
pub fn html(changes: &Changes) -> Result<String, ReportError> {
    document(changes).html()
}

/// Creates the document that all formats render.
fn document(changes: &Changes) -> Document {
    let mut page = Document::new(headline(changes));
    page.list(changes.reasons.iter().map(|text| Words { text: text.clone(), tone: Tone::Bad }));
    let (before, after) = (&changes.before, &changes.after);
    page.paragraph(format!(
        "{} of {} -> {} of {}",
        before.campaign, before.started, after.campaign, after.started
    ));
    if changes.identical {
        page.paragraph("what was measured is the same, bit for bit, but for times");
    } else {
        page.heading("measurements that differ, whether or not a check shows it");
        let mut lines: Vec<String> = changes.differences.iter().map(difference_line).collect();
        if lines.is_empty() {
            lines.push("none: only names, conditions or the order of records differ".to_owned());
        }
        page.list(lines);
    }
    for model in &changes.models {
        one_model(&mut page, model);
    }
    let alone =
        |names: &[String], which| names.iter().map(|n| format!("{n}: in the {which} alone")).collect();
    let mut models: Vec<String> = alone(&changes.models_only_before, "first");
    models.extend::<Vec<String>>(alone(&changes.models_only_after, "second"));
    if !models.is_empty() {
        page.heading("models without a counterpart");
    }
    page.list(models);
    if !changes.conditions.is_empty() {
        page.heading("what else differs");
    }
    let row = |c: &super::Condition| [c.what.clone().into(), c.before.clone().into(), c.after.clone().into()];
    page.table(["what", "before", "after"], changes.conditions.iter().map(row));
    page
}

/// Returns the outcome and the first reason.
fn headline(changes: &Changes) -> String {
    let because = |what: &str| {
        let more = match changes.reasons.len() {
            0 | 1 => String::new(),
            n => format!(" (and {} more)", n - 1),
        };
        format!("{what}: {}{more}", changes.reasons.first().map_or("", String::as_str))
    };
    match changes.outcome {
        Outcome::Regression => {
            let worse = changes.models.iter().map(|m| (m.after.as_str(), regressions(m).len()));
            let names: Vec<String> =
                worse.filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} ({n})")).collect();
            format!("REGRESSION: {}", names.join(", "))
        }
        Outcome::NotComparable => because("NOT COMPARABLE"),
        Outcome::NoRegression if changes.is_empty() && changes.identical => "no change".to_owned(),
        Outcome::NoRegression => "no regression".to_owned(),
    }
}

fn difference_line(difference: &Difference) -> String {
    let Difference { kind, n_compared, differing, only_before, only_after, largest } = difference;
    let mut parts = Vec::new();
    if *differing > 0 {
        parts.push(format!("{differing} of {n_compared} {kind} differ"));
        parts.extend(largest.iter().map(|words| format!("largest: {words}")));
    }
    for (n, which) in [(only_before, "first"), (only_after, "second")] {
        if *n > 0 {
            parts.push(format!("{kind} in the {which} alone: {n}"));
        }
    }
    parts.join(", ")
}

/// Returns the regressions of all models.
pub(super) fn all_regressions(models: &[ModelChanges]) -> Vec<String> {
    let of_model = |m: &ModelChanges| {
        regressions(m).into_iter().map(|line| format!("{}: {line}", m.after)).collect::<Vec<_>>()
    };
    models.iter().flat_map(of_model).collect()
}

/// Returns the regressions of one model, each once.
fn regressions(model: &ModelChanges) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(model.verdict.iter().filter(|v| v.is_regression()).map(verdict_line));
    let flips = || model.flips.iter().filter(|f| f.is_regression());
    lines.extend(flips().map(flip_line));
    let told: BTreeSet<(&str, &str)> =
        flips().map(|f| (f.key.id.as_str(), f.key.molecule.as_str())).collect();
    let is_told = |m: &MeasurementChange| told.contains(&(m.id.as_str(), m.after.molecule.as_str()));
    let measurements = model.measurements.iter().filter(|m| m.is_regression() && !is_told(m));
    lines.extend(measurements.map(measurement_line));
    lines
}

fn one_model(page: &mut Document, model: &ModelChanges) {
    page.heading(if model.before == model.after {
        model.after.clone()
    } else {
        format!("{} -> {}", model.before, model.after)
    });
    let mut lines: Vec<Words> = Vec::new();
    lines.extend(
        model.same_weights.map(|same| if same { "the same weights" } else { "other weights" }.into()),
    );
    let other_verdict = model.verdict.iter().filter(|v| !v.is_regression());
    lines.extend(other_verdict.map(|v| toned(verdict_line(v), v.direction)));
    if model.is_empty() {
        lines.push("no check changed".into());
    }
    page.list(lines);
    let other_flips: Vec<&Flip> = model.flips.iter().filter(|f| !f.is_regression()).collect();
    if !other_flips.is_empty() {
        page.subheading("checks that ended otherwise, without a regression");
    }
    page.list(other_flips.iter().map(|flip| toned(flip_line(flip), flip.direction)));
    if !model.measurements.is_empty() {
        page.subheading("measurements that changed");
    }
    page.table(
        ["criterion", "molecule", "uses", "before", "after", "threshold", "change"],
        model.measurements.iter().map(|m| {
            [
                m.id.as_str().into(),
                m.after.molecule.as_str().into(),
                m.uses.join(", ").into(),
                value(&m.before).into(),
                value(&m.after).into(),
                threshold(&m.after).into(),
                toned(change_words(m), m.direction),
            ]
        }),
    );
    page.list([format!(
        "{} measurements compared, {} of them with a known uncertainty: of these one in 20 changes by chance",
        model.compared, model.compared_with_uncertainty
    )]);
    if !model.speeds.is_empty() {
        page.subheading("speed");
    }
    page.table(
        ["molecule", "batch", "threads", "before, ms/step", "after, ms/step", "change"],
        model.speeds.iter().map(|speed| {
            let words = speed_words(speed);
            [
                speed.molecule.as_str().into(),
                speed.batch.to_string().into(),
                speed.threads.map_or("-".to_owned(), |n| n.to_string()).into(),
                number(speed.before_ms_per_step).into(),
                number(speed.after_ms_per_step).into(),
                speed.direction.map_or(words.as_str().into(), |d| toned(words.clone(), d)),
            ]
        }),
    );
    let mut lines: Vec<String> = model.speeds_not_comparable.iter().cloned().collect();
    lines.extend(only(&model.only_before, "first"));
    lines.extend(only(&model.only_after, "second"));
    page.list(lines);
}

fn toned(text: String, direction: Direction) -> Words {
    let tone = match direction {
        Direction::Better => Tone::Good,
        Direction::Worse => Tone::Bad,
    };
    Words { text, tone }
}

fn verdict_line(change: &VerdictChange) -> String {
    let (before, after) = (change.before.label(), change.after.label());
    format!("verdict {before} -> {after} ({}): {}", change.direction.label(), change.reason)
}

fn flip_line(flip: &Flip) -> String {
    let (before, after) = (&flip.before, &flip.after);
    let asked = if before.threshold == after.threshold {
        threshold(after)
    } else {
        format!("{} -> {}", threshold(before), threshold(after))
    };
    format!(
        "{} ({}): {} -> {} ({}): {} -> {}, {asked} asked, {}",
        flip.key.id,
        flip.key.use_name,
        before.status.label(),
        after.status.label(),
        flip.direction.label(),
        value(before),
        value(after),
        place(after, 1)
    )
}

fn measurement_line(change: &MeasurementChange) -> String {
    format!(
        "{} on {} ({}): {} -> {} {}: {}",
        change.id,
        change.after.molecule,
        change.uses.join(", "),
        value(&change.before),
        value(&change.after),
        change.after.unit,
        change_words(change)
    )
}

/// Describes the direction and size of a change, and whether it may be due to chance.
fn change_words(change: &MeasurementChange) -> String {
    let certainty =
        if change.uncertainty_known { "more than the uncertainty" } else { "no uncertainty known" };
    let by = match (change.before.value, change.after.value) {
        (Some(a), Some(b)) if a * b > 0.0 && change.relative > 0.5 => {
            format!("a factor of {}", number((a / b).max(b / a)))
        }
        _ => format!("{:.0} %", 100.0 * change.relative),
    };
    format!("{} by {by}, {certainty}", change.direction.label())
}

fn speed_words(speed: &SpeedChange) -> String {
    match speed.direction {
        Some(Direction::Better) => format!("{} times as fast", number(speed.ratio)),
        Some(Direction::Worse) => format!("{} times as slow", number(1.0 / speed.ratio)),
        None => "as fast".to_owned(),
    }
}

/// Lists what only one of the results has, with the checks of one criterion in one line.
fn only(alone: &OneSided, which: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut list = |what: &str, names: &[String]| {
        if !names.is_empty() {
            lines.push(format!("in the {which} alone: {what} {}", names.join(", ")));
        }
    };
    list("the molecules", &alone.molecules);
    list("the uses", &alone.uses);
    let mut criteria: Vec<(&str, Vec<&CheckKey>)> = Vec::new();
    for key in &alone.checks {
        match criteria.iter_mut().find(|(id, _)| *id == key.id) {
            Some((_, keys)) => keys.push(key),
            None => criteria.push((&key.id, vec![key])),
        }
    }
    for (id, keys) in criteria {
        let distinct = |of: fn(&CheckKey) -> &str| {
            let mut seen = BTreeSet::new();
            let names = keys.iter().map(|k| of(k)).filter(|name| seen.insert(*name));
            names.collect::<Vec<_>>().join(", ")
        };
        let (molecules, uses) = (distinct(|k| &k.molecule), distinct(|k| &k.use_name));
        lines.push(format!("measured in the {which} alone: {id} on {molecules} ({uses})"));
    }
    lines
}
