//! Errors against labelled frames.

use std::collections::BTreeMap;

use md_results::{Evaluation, Series, SeriesId, Stage, TimeBin, number, with_unit};
use serde_json::{Value, json};

use super::figure::{Axis, Figure, Figures, colour, line, points, with};
use super::file_name;
use super::items::{Item, Pair, Table};

const FORCE: &str = "eV/Å";
const STAGES: [Stage; 1] = [Stage::Evaluation];

fn evaluations<'a>(pair: Pair<'a>) -> impl Iterator<Item = &'a Evaluation> {
    pair.records.evaluations.iter().copied()
}

/// Shows the force errors.
pub(super) fn items(pair: Pair<'_>, figures: &mut Figures) -> Vec<Item> {
    let errors = Item::table("errors by file of frames", table(pair), &no_frames(pair));
    vec![parity(pair, figures), histogram(pair, figures), by_time(pair, figures), errors]
}

fn no_frames(pair: Pair<'_>) -> String {
    if evaluations(pair).next().is_some() {
        pair.no_curve(&STAGES)
    } else {
        pair.why(&STAGES, "no reference frames")
    }
}

fn parity(pair: Pair<'_>, figures: &mut Figures) -> Item {
    let title = "forces, predicted against reference";
    let mut figure =
        Figure::new(&pair.name(), title, Axis::linear("reference", FORCE), Axis::linear("predicted", FORCE));
    let mut range = [f64::INFINITY, f64::NEG_INFINITY];
    for (n, series) in pair.series(SeriesId::ForceParity).enumerate() {
        for y in &series.y {
            figure.push(points(&of(series), &series.x.values, &y.values, colour(n)));
        }
        range = series.x.values.iter().fold(range, |[low, high], x| [low.min(*x), high.max(*x)]);
    }
    if figure.data.is_empty() {
        return Item::missing(title, no_frames(pair));
    }
    let diagonal = line("equal", &range, &range, "#888888");
    figure.push(with(diagonal, "line", json!({ "color": "#888888", "dash": "dot", "width": 1.5 })));
    let slopes: Vec<String> = evaluations(pair)
        .filter_map(|e| Some(format!("{} of {}", number(e.force.as_ref()?.slope?), file_name(&e.frames))))
        .collect();
    let note = if slopes.is_empty() { String::new() } else { format!("slope {}", slopes.join(", ")) };
    Item::figure(figures, figure, note)
}

fn histogram(pair: Pair<'_>, figures: &mut Figures) -> Item {
    let title = "force errors";
    let mut figure =
        Figure::new(&pair.name(), title, Axis::linear("error", FORCE), Axis::log("force components", ""));
    for (n, series) in pair.series(SeriesId::ForceErrorHistogram).enumerate() {
        for y in &series.y {
            figure.push(bins(&of(series), &series.x.values, &y.values, colour(n)));
        }
    }
    figure.layout["barmode"] = json!("overlay");
    figure.layout["bargap"] = json!(0);
    if figure.data.is_empty() {
        return Item::missing(title, no_frames(pair));
    }
    Item::figure(figures, figure, "")
}

fn bins(name: &str, x: &[f64], y: &[f64], colour: &str) -> Value {
    json!({ "type": "bar", "name": name, "x": x, "y": y, "marker": { "color": colour, "opacity": 0.6 } })
}

/// Shows the force error along the model's own runs.
fn by_time(pair: Pair<'_>, figures: &mut Figures) -> Item {
    let title = "force error against time";
    let mut figure =
        Figure::new(&pair.name(), title, Axis::linear("time", "ps"), Axis::linear("force RMSE", FORCE));
    for evaluation in evaluations(pair) {
        let mut by_temperature: BTreeMap<u64, Vec<&TimeBin>> = BTreeMap::new();
        for bin in &evaluation.by_time {
            // Positive numbers have the order of their bits.
            by_temperature.entry(bin.temperature_k.to_bits()).or_default().push(bin);
        }
        for (kelvins, bins) in by_temperature {
            let x: Vec<f64> = bins.iter().map(|b| 0.5 * (b.from_ps + b.to_ps)).collect();
            let y: Vec<f64> = bins.iter().map(|b| b.rmse_ev_per_angstrom).collect();
            let name = with_unit(f64::from_bits(kelvins), "K");
            let n = figure.data.len();
            figure.push(with(line(&name, &x, &y, colour(n)), "mode", json!("lines+markers")));
        }
    }
    if figure.data.is_empty() {
        let reason = "no labels of frames of its own runs (`mdproof frames`, then `validate --labels`)";
        return Item::missing(title, pair.why(&[], reason));
    }
    Item::figure(figures, figure, "frames of its own runs, labelled by the reference program")
}

fn table(pair: Pair<'_>) -> Option<Table> {
    let rows = evaluations(pair).map(|e| {
        let force = e.force.as_ref();
        let or_none = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), number);
        let error = force.and_then(|f| f.rmse_standard_error_ev_per_angstrom);
        let rmse = or_none(force.map(|f| f.rmse_ev_per_angstrom));
        vec![
            file_name(&e.frames).to_owned(),
            e.counted_frames(),
            error.map_or_else(|| rmse.clone(), |error| format!("{rmse} ± {error:.1e}")),
            or_none(force.map(|f| f.mae_ev_per_angstrom)),
            or_none(force.map(|f| f.max_ev_per_angstrom)),
            or_none(force.map(|f| f.reference_rms_ev_per_angstrom)),
            or_none(force.and_then(|f| f.r2)),
            or_none(force.and_then(|f| f.slope)),
            or_none(force.and_then(|f| f.angle_median_deg)),
            or_none(e.energy.as_ref().map(|e| e.mae_mev_per_atom)),
        ]
    });
    let head = [
        "frames",
        "number",
        "force RMSE, eV/Å",
        "force MAE, eV/Å",
        "largest error, eV/Å",
        "RMS of the reference, eV/Å",
        "R²",
        "slope",
        "median angle, degrees",
        "energy MAE, meV/atom",
    ];
    Table::new(head, rows)
}

fn of(series: &Series) -> String {
    series.subject.as_deref().map_or_else(|| "all frames".to_owned(), |of| file_name(of).to_owned())
}
