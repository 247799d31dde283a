//! Tables of criteria: one row per criterion, with one row per molecule below it.

use std::collections::BTreeSet;

use md_results::{
    Check, CriteriaSet, Definition, Model, PRODUCTION, Results, Role, ThresholdSource, most_telling, title,
    with_unit, worst,
};
use serde::Serialize;

use super::budget::Budget;
use crate::checks::{place, threshold, value};

/// A use that the reader can select.
#[derive(Debug, Serialize)]
pub(super) struct Use<'a> {
    name: &'a str,
    selected: bool,
}

/// Checks of a model for one use.
#[derive(Debug, Serialize)]
pub(super) struct CriteriaTable<'a> {
    model: &'a str,
    /// The use.
    use_name: &'a str,
    /// Whether the table is always shown: a control has no selectable uses.
    always: bool,
    /// Whether its use is selected initially.
    selected: bool,
    status: &'static str,
    /// Number of checks that do not pass, and total number.
    bad: usize,
    #[serde(rename = "of")]
    n_checks: usize,
    max_temperature: Option<String>,
    time: Option<String>,
    rows: Vec<Row<'a>>,
}

/// One criterion.
#[derive(Debug, Serialize)]
struct Row<'a> {
    key: &'a str,
    title: &'a str,
    definition: Option<&'a str>,
    unit: &'a str,
    source: Option<&'a str>,
    set_by: Option<&'static str>,
    /// Bad bound: values between the good and the bad bound are undecided.
    bad: Option<String>,
    most_telling: Line<'a>,
    lines: Vec<Line<'a>>,
    /// Number of checks without a line.
    left_out: usize,
}

/// One check.
#[derive(Debug, Serialize)]
struct Line<'a> {
    molecule: &'a str,
    value: String,
    /// Sort key.
    raw: Option<f64>,
    threshold: String,
    limit: f64,
    status: &'static str,
    place: String,
}

/// Returns the uses of a campaign, with `production` selected if it is among them.
pub(super) fn uses(results: &Results) -> Vec<Use<'_>> {
    let first = first_use(results);
    let uses = results.criteria.iter();
    uses.map(|set| Use { name: &set.name, selected: Some(set.name.as_str()) == first }).collect()
}

fn first_use(results: &Results) -> Option<&str> {
    let mut names = results.criteria.iter().map(|s| s.name.as_str());
    names.clone().find(|n| *n == PRODUCTION).or_else(|| names.next())
}

/// Creates the tables of all models and uses.
pub(super) fn tables<'a>(
    results: &'a Results,
    definitions: &'a [Definition],
    budget: &Budget<'_>,
) -> Vec<CriteriaTable<'a>> {
    let first = first_use(results);
    let mut tables = Vec::new();
    for model in budget.models(results) {
        let of_model: BTreeSet<&str> = model.checks.iter().map(|c| c.use_name.as_str()).collect();
        let known = results.criteria.iter().map(|s| s.name.as_str()).filter(|n| of_model.contains(n));
        let others = of_model.iter().copied().filter(|n| results.criteria.iter().all(|s| s.name != *n));
        for use_name in known.chain(others) {
            let set = results.criteria.iter().find(|s| s.name == use_name);
            let always = model.role == Role::Control || set.is_none();
            let selected = always || Some(use_name) == first;
            tables.push(table(model, use_name, set, definitions, budget, always, selected));
        }
    }
    tables
}

fn table<'a>(
    model: &'a Model,
    use_name: &'a str,
    set: Option<&'a CriteriaSet>,
    definitions: &'a [Definition],
    budget: &Budget<'_>,
    always: bool,
    selected: bool,
) -> CriteriaTable<'a> {
    let checks: Vec<&Check> = model.checks.iter().filter(|c| c.use_name == use_name).collect();
    let mut keys: Vec<&str> = Vec::new();
    for check in &checks {
        if !keys.contains(&check.id.as_str()) {
            keys.push(&check.id);
        }
    }
    // The order is that of the definitions; criteria without one come last, in the order of the records.
    keys.sort_by_key(|k| definitions.iter().position(|d| d.key == *k).unwrap_or(usize::MAX));
    let rows = keys.iter().filter_map(|key| row(key, &checks, set, definitions, budget)).collect();
    CriteriaTable {
        model: &model.name,
        use_name,
        always,
        selected,
        status: worst(checks.iter().copied()).label(),
        bad: checks.iter().filter(|c| c.status.is_open_or_bad()).count(),
        n_checks: checks.len(),
        max_temperature: set.and_then(|s| s.max_temperature_k).map(|k| with_unit(k, "K")),
        time: set.map(|s| with_unit(s.time_ns, "ns")),
        rows,
    }
}

fn row<'a>(
    key: &'a str,
    checks: &[&'a Check],
    set: Option<&'a CriteriaSet>,
    definitions: &'a [Definition],
    budget: &Budget<'_>,
) -> Option<Row<'a>> {
    let of_criterion: Vec<&'a Check> = checks.iter().copied().filter(|c| c.id == key).collect();
    let n = of_criterion.len();
    let telling = most_telling(of_criterion.iter().copied())?;
    let shown = budget.lines(&of_criterion);
    let definition = definitions.iter().find(|d| d.key == key);
    let asked = set.and_then(|s| s.thresholds.get(key));
    Some(Row {
        key,
        title: title(definitions, key),
        definition: definition.map(|d| d.definition),
        unit: &telling.unit,
        source: definition.map(|d| d.source),
        set_by: asked.map(|t| match t.source {
            ThresholdSource::Campaign => "the campaign file",
            ThresholdSource::Default => "the default of the program",
        }),
        bad: asked.and_then(|t| t.bad).map(|bad| with_unit(bad, &telling.unit)),
        most_telling: line(telling, n),
        left_out: n - shown.len(),
        lines: shown.into_iter().map(|c| line(c, 1)).collect(),
    })
}

fn line(check: &Check, n_molecules: usize) -> Line<'_> {
    Line {
        molecule: &check.molecule,
        value: value(check),
        raw: check.value,
        threshold: threshold(check),
        limit: check.threshold,
        status: check.status.label(),
        place: place(check, n_molecules),
    }
}
