//! Runs: energy, temperature, bonds and survival.

use std::collections::BTreeMap;

use md_results::{PRODUCTION, Run, RunFate, Series, SeriesId, Stage, number, with_unit};
use serde_json::{Value, json};

use super::figure::{Axis, Figure, Figures, bars, colour, line, with};
use super::items::{Item, Pair, Table};
use super::trajectories::{broke, ended};

/// Key of the criterion that bounds the drift.
const DRIFT: &str = "energy_drift_meV_per_atom_per_ps";
const ENERGY: &str = "meV/atom";
/// Stages that must succeed before a run.
const BEFORE: [Stage; 1] = [Stage::Relaxation];

fn runs<'a>(pair: Pair<'a>) -> impl Iterator<Item = &'a Run> + Clone {
    pair.records.runs.iter().copied()
}

/// Whether a run diverged or a bond broke.
pub(super) fn any_broke(pair: Pair<'_>) -> bool {
    runs(pair).any(broke)
}

/// Shows the runs of a pair.
pub(super) fn items(pair: Pair<'_>, figures: &mut Figures) -> Vec<Item> {
    let labelled = labels(pair);
    let Chosen { runs: listed, note: not_listed } = chosen(&labelled, pair.share.runs, "listed");
    let drawn = chosen(&labelled, pair.share.curves, "drawn");
    let mut items = vec![
        energy(pair, &drawn, figures),
        drift(pair, &listed, &not_listed, figures),
        of_runs(pair, &drawn, figures, SeriesId::Temperature, "kinetic temperature", "K", temperature),
        of_runs(pair, &drawn, figures, SeriesId::Energy, "kinetic and potential energy", ENERGY, balance),
        survival(pair, figures),
    ];
    let title = if not_listed.is_empty() { "every run" } else { "runs" };
    items.push(Item::table(title, table(&listed), &pair.why(&BEFORE, "no runs")).noted(not_listed));
    items
}

/// A run with its label in figures and tables.
#[derive(Debug, Clone)]
struct Labelled<'a> {
    run: &'a Run,
    label: String,
}

/// Labels the runs of a pair by temperature, replica and any other distinguishing conditions.
fn labels(pair: Pair<'_>) -> Vec<Labelled<'_>> {
    let differ = |of: fn(&Run) -> f64| runs(pair).any(|r| Some(of(r)) != runs(pair).next().map(of));
    let differing = (differ(|r| r.timestep_fs), differ(Run::planned_ps));
    let mut alike: BTreeMap<String, usize> = BTreeMap::new();
    let mut labelled: Vec<Labelled<'_>> =
        runs(pair).map(|run| Labelled { run, label: words(run, differing) }).collect();
    for short in labelled.iter().map(|l| &l.label) {
        *alike.entry(short.clone()).or_default() += 1;
    }
    for Labelled { run, label } in &mut labelled {
        if alike.get(label.as_str()).is_some_and(|n| *n > 1) {
            *label = format!("{label} ({})", run.id);
        }
    }
    labelled
}

/// Describes a run; `differing` states whether time steps and durations differ among the runs of the pair.
fn words(run: &Run, differing: (bool, bool)) -> String {
    let mut words = vec![match run.ramp_to_k {
        Some(k) => format!("{} to {}", with_unit(run.temperature_k, "K"), with_unit(k, "K")),
        None => with_unit(run.temperature_k, "K"),
    }];
    words.extend(run.integrator.clone());
    if !run.is_nve() {
        words.push(run.ensemble.to_string());
    }
    if differing.0 {
        words.push(format!("steps of {}", with_unit(run.timestep_fs, "fs")));
    }
    if differing.1 {
        words.push(with_unit(run.planned_ps(), "ps"));
    }
    if !run.relaxed {
        words.push("as given".to_owned());
    }
    words.push(format!("replica {}", run.replica));
    if run.fate == RunFate::Diverged {
        words.push("diverged".to_owned());
    }
    words.join(", ")
}

/// Runs that are shown, in their order.
struct Chosen<'a> {
    runs: Vec<&'a Labelled<'a>>,
    /// Number of runs left out, in words; empty if all are shown.
    note: String,
}

/// Selects at most `most` runs: those that broke, then those with the largest change of energy.
fn chosen<'a>(labelled: &'a [Labelled<'a>], most: usize, how: &str) -> Chosen<'a> {
    let change = |l: &Labelled<'_>| l.run.energy.as_ref().map_or(0.0, |e| e.max_deviation_mev_per_atom);
    let mut order: Vec<usize> = (0..labelled.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (&labelled[a], &labelled[b]);
        broke(b.run).cmp(&broke(a.run)).then_with(|| change(b).total_cmp(&change(a)))
    });
    order.truncate(most);
    order.sort_unstable();
    let note = if labelled.len() > most {
        format!(
            "{most} of {} runs are {how}: those that broke, then those whose energy changed most; results.json has all",
            labelled.len()
        )
    } else {
        String::new()
    };
    Chosen { runs: order.into_iter().map(|k| &labelled[k]).collect(), note }
}

/// Returns the bound of the drift, preferably that of production.
fn drift_bound(pair: Pair<'_>) -> Option<(f64, &str)> {
    let sets = &pair.results.criteria;
    let set = sets.iter().find(|s| s.name == PRODUCTION).or_else(|| sets.first())?;
    Some((set.thresholds.get(DRIFT)?.value, set.name.as_str()))
}

/// Shows the change of the conserved energy of each run with its least-squares line and the band allowed by the bound.
fn energy(pair: Pair<'_>, drawn: &Chosen<'_>, figures: &mut Figures) -> Item {
    let title = "energy against time";
    let mut figure = new(pair, title, "change of energy", ENERGY);
    let mut longest = 0.0_f64;
    let mut range = [0.0_f64; 2];
    for (n, (Labelled { run, label }, series)) in with_series(pair, drawn, SeriesId::Energy).enumerate() {
        let (x, Some(y)) = (&series.x.values, series.y.first()) else { continue };
        figure.push(group(line(label, x, &y.values, colour(n)), n));
        range = y.values.iter().fold(range, |[low, high], e| [low.min(*e), high.max(*e)]);
        let slope = run.energy.as_ref().and_then(|e| e.drift_mev_per_atom_per_ps);
        if let (Some(slope), Some(first), Some(last)) = (slope, x.first(), x.last()) {
            longest = longest.max(*last);
            let at = |t: f64| mean(&y.values) + slope * (t - mean(x));
            let name = format!("fit: {}", with_unit(slope, "meV/atom/ps"));
            let fit = group(line(&name, &[*first, *last], &[at(*first), at(*last)], colour(n)), n);
            figure.push(with(fit, "line", json!({ "color": colour(n), "dash": "dash", "width": 2 })));
        }
    }
    if figure.data.is_empty() {
        return none(pair, title);
    }
    let mut note = "dashed: least-squares fit by the recorded drift".to_owned();
    if let Some((bound, use_name)) = drift_bound(pair) {
        figure.data.insert(0, band(longest, bound));
        let [low, high] = range;
        // A band much wider than the curves would flatten them.
        if bound * longest > 3.0 * low.abs().max(high) && high > low {
            let margin = 0.1 * (high - low);
            figure.range("yaxis", [low - margin, high + margin]);
        }
        note = format!("{note}; shaded: at most {} for {use_name}", with_unit(bound, "meV/atom/ps"));
    }
    if !drawn.note.is_empty() {
        note = format!("{note}; {}", drawn.note);
    }
    Item::figure(figures, figure, note)
}

/// Creates the band allowed by a drift of at most `bound` up to `longest`.
fn band(longest: f64, bound: f64) -> Value {
    json!({
        "type": "scatter", "mode": "lines", "name": "allowed drift", "fill": "toself",
        "x": [0.0, longest, longest, 0.0], "y": [0.0, bound * longest, -bound * longest, 0.0],
        "line": { "width": 0 }, "fillcolor": "rgba(0,158,115,0.15)", "hoverinfo": "skip",
    })
}

fn drift(pair: Pair<'_>, listed: &[&Labelled<'_>], not_listed: &str, figures: &mut Figures) -> Item {
    let title = "drift by replica";
    let measured: Vec<(String, Option<f64>, Option<f64>)> = listed
        .iter()
        .filter_map(|Labelled { run, label }| {
            let energy = run.energy.as_ref()?;
            let slope = energy.drift_mev_per_atom_per_ps?;
            Some((label.clone(), Some(slope), energy.drift_standard_error))
        })
        .collect();
    if measured.is_empty() {
        return Item::missing(title, pair.why(&BEFORE, "no run was long enough"));
    }
    let (names, rest): (Vec<String>, Vec<_>) = measured.into_iter().map(|(n, s, e)| (n, (s, e))).unzip();
    let (slopes, errors): (Vec<_>, Vec<_>) = rest.into_iter().unzip();
    let mut figure =
        Figure::new(&pair.name(), title, Axis::names(""), Axis::linear("least-squares drift", "meV/atom/ps"));
    figure.push(bars("drift", &names, &slopes, &errors, colour(0)));
    let mut note = "error bars: one standard error, autocorrelation included".to_owned();
    if let Some((bound, use_name)) = drift_bound(pair) {
        let largest = slopes.iter().flatten().fold(0.0_f64, |a, x| a.max(x.abs()));
        // A bound far above all bars would make them invisible.
        if bound <= 10.0 * largest {
            figure.level(bound, use_name);
            figure.level(-bound, "");
        }
        note = format!("{note}; at most {} for {use_name}", with_unit(bound, "meV/atom/ps"));
    }
    if !not_listed.is_empty() {
        note = format!("{note}; {not_listed}");
    }
    Item::figure(figures, figure, note)
}

/// Creates a figure of all runs with series of one kind.
fn of_runs(
    pair: Pair<'_>,
    drawn: &Chosen<'_>,
    figures: &mut Figures,
    id: SeriesId,
    title: &str,
    unit: &str,
    traces: impl Fn(&str, usize, &Series) -> Vec<Value>,
) -> Item {
    let y = if unit == ENERGY { "change of energy" } else { "temperature" };
    let mut figure = new(pair, title, y, unit);
    for (n, (run, series)) in with_series(pair, drawn, id).enumerate() {
        figure.data.extend(traces(&run.label, n, series));
    }
    if figure.data.is_empty() {
        none(pair, title)
    } else {
        Item::figure(figures, figure, drawn.note.as_str())
    }
}

fn temperature(label: &str, n: usize, series: &Series) -> Vec<Value> {
    let columns = series.y.iter();
    columns.map(|y| line(label, &series.x.values, &y.values, colour(n))).collect()
}

/// Shows kinetic and potential energy of the first run; the legend activates the others.
fn balance(label: &str, n: usize, series: &Series) -> Vec<Value> {
    let parts = series.y.iter().skip(1).enumerate();
    parts
        .map(|(part, y)| {
            let name = format!("{}: {}", y.name, label);
            let trace = line(&name, &series.x.values, &y.values, colour(2 * n + part));
            with(group(trace, n), "visible", if n == 0 { json!(true) } else { json!("legendonly") })
        })
        .collect()
}

fn survival(pair: Pair<'_>, figures: &mut Figures) -> Item {
    let title = "runs that survive";
    let Some(survival) = pair.records.survival.first() else {
        return Item::missing(title, pair.why(&BEFORE, "no runs"));
    };
    if survival.curve.is_empty() {
        return Item::missing(title, survival.statement.clone());
    }
    let end = runs(pair).map(Run::done_ps).fold(0.0, f64::max);
    let mut points = vec![[0.0, 1.0, 1.0, 1.0]];
    points.extend(&survival.curve);
    if let Some([t, rest @ ..]) = survival.curve.last().copied().filter(|_| end > 0.0) {
        points.extend((end > t).then(|| [end, rest[0], rest[1], rest[2]]));
    }
    let column = |n: usize| points.iter().map(|p| p[n]).collect::<Vec<f64>>();
    let mut figure = new(pair, title, "surviving fraction", "");
    figure.range("yaxis", [0.0, 1.05]);
    for (n, name) in [(2, "lower bound (95 %)"), (3, "upper bound (95 %)"), (1, "Kaplan-Meier estimate")] {
        let width = if n == 1 { 2.5 } else { 0.5 };
        let style = json!({ "shape": "hv", "color": colour(0), "width": width });
        let mut trace = with(line(name, &column(0), &column(n), colour(0)), "line", style);
        if n == 3 {
            trace = with(trace, "fill", json!("tonexty"));
            trace = with(trace, "fillcolor", json!("rgba(0,114,178,0.15)"));
        }
        figure.push(trace);
    }
    Item::figure(figures, figure, survival.statement.clone())
}

fn table(listed: &[&Labelled<'_>]) -> Option<Table> {
    let rows = listed.iter().map(|Labelled { run: r, label }| {
        let or_none = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), number);
        let energy = r.energy.as_ref();
        let drift = match energy.map(|e| (e.drift_mev_per_atom_per_ps, e.drift_standard_error)) {
            Some((Some(slope), Some(error))) => format!("{} ± {error:.1e}", number(slope)),
            Some((slope, _)) => or_none(slope),
            None => "-".to_owned(),
        };
        let temperature = r.temperature.as_ref();
        vec![
            label.clone(),
            format!("{} of {} ps", number(r.done_ps()), number(r.planned_ps())),
            ended(r),
            drift,
            or_none(energy.and_then(|e| e.max_jump_mev_per_atom)),
            temperature.map_or_else(
                || "-".to_owned(),
                |t| match t.mean_standard_error_k {
                    Some(error) => format!("{} ± {error:.1e}", number(t.mean_k)),
                    None => number(t.mean_k),
                },
            ),
            or_none(r.stability.as_ref().and_then(|s| s.max_bond_ratio)),
            or_none(r.ms_per_step),
            anomalies(r),
        ]
    });
    let head = [
        "run",
        "time done",
        "end",
        "drift, meV/atom/ps",
        "largest jump, meV/atom",
        "mean temperature, K (± standard error)",
        "longest bond / reference",
        "ms/step",
        "anomalies",
    ];
    Table::new(head, rows)
}

/// Returns the first anomaly and the number of anomalies.
fn anomalies(run: &Run) -> String {
    match run.anomalies.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first}; {} more", rest.len()),
    }
}

/// Returns the drawn runs that have a series of one kind.
fn with_series<'a>(
    pair: Pair<'a>,
    drawn: &'a Chosen<'_>,
    id: SeriesId,
) -> impl Iterator<Item = (&'a Labelled<'a>, &'a Series)> {
    let by_run: BTreeMap<&str, &Series> =
        pair.series(id).filter_map(|s| Some((s.subject.as_deref()?, s))).collect();
    drawn.runs.iter().filter_map(move |l| Some((*l, *by_run.get(l.run.id.as_str())?)))
}

fn new(pair: Pair<'_>, title: &str, y: &str, unit: &str) -> Figure {
    Figure::new(&pair.name(), title, Axis::linear("time", "ps"), Axis::linear(y, unit))
}

fn none(pair: Pair<'_>, title: &str) -> Item {
    let reason = if runs(pair).next().is_none() { pair.why(&BEFORE, "no runs") } else { pair.no_curve(&[]) };
    Item::missing(title, reason)
}

fn group(trace: Value, n: usize) -> Value {
    with(trace, "legendgroup", json!(n))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use md_results::Column;
    use serde_json::json;

    use super::*;
    use crate::fixtures;
    use crate::html::budget::{Budget, MOST_CURVES};
    use crate::html::items::Index;
    use crate::html::panels;

    /// Creates a campaign of `n` runs on water with curves, of which the last one breaks.
    fn campaign(n: u32) -> md_results::Results {
        let mut results = fixtures::results(vec![fixtures::model("tiny", json!([]))]);
        for replica in 0..n {
            let fate = if replica + 1 == n { "diverged" } else { "finished" };
            let run = fixtures::run("tiny", replica, fate, None);
            results.series.push(Series {
                id: SeriesId::Energy,
                model: "tiny".to_owned(),
                molecule: "water".to_owned(),
                subject: Some(run.id.clone()),
                x: Column::new("time", "ps", [0.0, 1.0]),
                y: vec![Column::new("change", ENERGY, [0.0, f64::from(replica)])],
            });
            results.runs.push(run);
        }
        results
    }

    #[test]
    fn runs_panel_bounds_curves_and_rows() {
        for n in [3, 2000] {
            let results = campaign(n);
            let (index, budget) = (Index::new(&results), Budget::new(&results));
            let mut figures = Figures::default();
            let panels = panels::of_models(&results, &index, &budget, &mut figures);
            let text = serde_json::to_string(&panels).unwrap();
            assert_eq!(
                text.matches("0.02 of 0.05 ps").count(),
                n.min(750) as usize,
                "of two panels with 1500 rows"
            );
            assert_eq!(text.contains("750 of 2000 runs are listed: those that broke"), n == 2000);
            let energy =
                figures.into_iter().map(|(_, figure)| figure).find(|f| f.title == "energy against time");
            let figure = serde_json::to_string(&energy.unwrap()).unwrap();
            // Only the traces of runs and their fits contain these words.
            assert_eq!(figure.matches("replica ").count(), MOST_CURVES.min(n as usize), "{n}");
            assert!(figure.contains(&format!("replica {}, diverged", n - 1)), "what broke is drawn");
            let line = format!("{MOST_CURVES} of {n} runs are drawn");
            assert_eq!(text.contains(&line), n as usize > MOST_CURVES);
        }
    }
}
