//! Curves stored in the records.

use std::collections::BTreeSet;

use md_results::{DistanceId, Series, SeriesId, Stage, UncoveredAtom, number, with_unit};
use serde_json::json;

use super::figure::{Axis, COLOURS, Figure, Figures, colour, line, with};
use super::file_name;
use super::items::{Item, Pair, Table};

/// Largest energy shown, eV: higher energies belong to the repulsive barrier or a spurious minimum behind it.
const DIMER_RANGE_EV: f64 = 20.0;

/// Shows distributions and spectra of the model and of reference dynamics.
pub(super) fn reference(pair: Pair<'_>, figures: &mut Figures) -> Vec<Item> {
    let comparison = pair.records.comparisons.first();
    let kinds = [
        (SeriesId::BondLengths, "bond lengths", DistanceId::BondLength),
        (SeriesId::Spectrum, "velocity spectrum", DistanceId::Spectrum),
    ];
    let items = kinds.map(|(id, title, distance)| {
        let distance = comparison.and_then(|c| c.distances.iter().find(|d| d.id == distance));
        let note = distance.map_or_else(String::new, |d| {
            let (value, floor) = (with_unit(d.value, &d.unit), number(d.floor));
            format!("Wasserstein distance {value}; halves of the reference differ by {floor}")
        });
        let reason = match comparison {
            Some(_) => pair.no_curve(&[Stage::Comparison]),
            None => pair.why(&[Stage::Comparison], "no reference trajectories"),
        };
        curves(&pair.name(), title, pair.series(id), figures, &reason).noted(note)
    });
    let mut items: Vec<Item> = items.into();
    let head = ["distribution", "Wasserstein distance", "between halves of the reference", "unit"];
    let rows = comparison
        .iter()
        .flat_map(|c| &c.distances)
        .map(|d| vec![d.id.words().to_owned(), number(d.value), number(d.floor), d.unit.clone()]);
    let reason = pair.why(&[Stage::Comparison], "no reference trajectories");
    let note = comparison.map_or_else(String::new, |c| {
        let n = c.trajectories.len();
        format!("{n} reference trajectories, {} together", with_unit(c.duration_ps, "ps"))
    });
    items.push(Item::table("distances from reference dynamics", Table::new(head, rows), &reason).noted(note));
    items.push(shift(pair));
    items.push(coverage(pair));
    items
}

/// Shows the atoms that known frames do not cover.
fn coverage(pair: Pair<'_>) -> Item {
    let title = "atoms that known frames do not cover";
    let Some(found) = pair.records.coverages.first() else {
        return Item::missing(title, pair.why(&[Stage::Coverage], "no reference frames, or no runs"));
    };
    let training = found
        .n_training
        .map_or_else(|| "training data not known".to_owned(), |n| format!("{n} training frames"));
    let note =
        format!("{training}, {} reference frames, {} visited frames", found.n_reference, found.n_visited);
    let lists = [("training and reference", &found.uncovered), ("training", &found.untrained)];
    let rows = lists.iter().flat_map(|(of, atoms)| {
        let row = |a: &UncoveredAtom| {
            vec![a.atom.to_string(), a.what.clone(), a.frames.to_string(), (*of).to_owned()]
        };
        atoms.iter().map(row).collect::<Vec<_>>()
    });
    let head = ["atom", "what it has", "visited frames with it", "in no frame of"];
    let item = Item::table(title, Table::new(head, rows), &format!("none: {note}"));
    if item.is_missing() { item } else { item.noted(note) }
}

/// Shows the distance of the model's own runs from the reference frames.
fn shift(pair: Pair<'_>) -> Item {
    let rows = pair.records.shifts.iter().map(|s| {
        let beyond = format!("{} %", number(100.0 * s.fraction_beyond));
        let ratios = [s.median_ratio, s.max_ratio].map(number);
        let counts = [s.n_visited, s.n_reference].map(|n| n.to_string());
        counts.into_iter().chain(ratios).chain([beyond]).collect()
    });
    let head = ["frames visited", "reference frames", "median ratio", "largest ratio", "beyond 95 %"];
    let reason = pair.why(&[Stage::Shift], "no reference frames, or no runs");
    let note = "distance to the nearest reference frame, over the median of that between reference frames";
    let item = Item::table("distance of visited from reference frames", Table::new(head, rows), &reason);
    if item.is_missing() { item } else { item.noted(note.to_owned()) }
}

/// Shows the scans of the energy surface.
pub(super) fn surface(pair: Pair<'_>, figures: &mut Figures) -> Vec<Item> {
    let kinds = [
        (SeriesId::CutoffScan, "energy as an atom leaves"),
        (SeriesId::RotationScan, "energy as the molecule is turned"),
    ];
    let reason = match pair.records.gates > 0 {
        true => pair.no_curve(&[Stage::Gates]),
        false => pair.why(&[Stage::Gates], "the physics gates were not measured"),
    };
    let curves = kinds.map(|(id, title)| curves(&pair.name(), title, pair.series(id), figures, &reason));
    curves.into_iter().chain([minimum(pair)]).collect()
}

/// Shows the minimum that the runs start from, and its vibrations.
fn minimum(pair: Pair<'_>) -> Item {
    let rows = pair.records.relaxations.iter().map(|r| {
        let or_none = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), number);
        let list = |values: &[f64]| match values {
            [] => "-".to_owned(),
            values => values.iter().map(|x| format!("{x:.0}")).collect::<Vec<_>>().join(" "),
        };
        vec![
            match &r.reason {
                Some(reason) => format!("{}: {reason}", r.outcome.words()),
                None => r.outcome.words().to_owned(),
            },
            r.steps.to_string(),
            or_none(r.max_force_ev_per_angstrom),
            or_none(r.rmsd_angstrom),
            or_none(r.max_bond_error_angstrom),
            list(&r.frequencies_per_cm),
            list(&r.reference_frequencies_per_cm),
        ]
    });
    let head = [
        "outcome",
        "steps",
        "force left, eV/Å",
        "RMSD from the structure, Å",
        "largest bond error, Å",
        "frequencies, 1/cm",
        "reference, 1/cm",
    ];
    let reason = pair.why(&[Stage::Relaxation], "it was not relaxed");
    Item::table("the minimum", Table::new(head, rows), &reason)
}

/// Shows the energy of every pair of elements.
pub(super) fn dimers(pair: Pair<'_>, figures: &mut Figures) -> Item {
    let title = "energy of two atoms alone";
    let reason = match pair.records.gates > 0 {
        true => pair.no_curve(&[Stage::Gates]),
        false => pair.why(&[Stage::Gates], "pairs of elements were not measured"),
    };
    curves(&pair.model.name, title, pair.series(SeriesId::Dimer), figures, &reason)
}

/// Draws the curves of the kinds that no other group draws.
pub(super) fn others(pair: Pair<'_>, figures: &mut Figures) -> Vec<Item> {
    let ids = pair.records.series.iter().map(|s| &s.id).filter(|id| matches!(id, SeriesId::Other(_)));
    let ids: BTreeSet<&SeriesId> = ids.collect();
    ids.into_iter()
        .map(|id| {
            let title = id.name().replace('_', " ");
            curves(&pair.name(), &title, pair.series(id.clone()), figures, "")
        })
        .collect()
}

/// Draws all columns of some series in one figure.
fn curves<'a>(
    of: &str,
    title: &str,
    series: impl Iterator<Item = &'a Series> + Clone,
    figures: &mut Figures,
    reason: &str,
) -> Item {
    let Some((first, y)) = series.clone().find_map(|s| Some((s, s.y.first()?))) else {
        return Item::missing(title, reason);
    };
    let several_columns = series.clone().any(|s| s.y.len() > 1);
    let y_name = if several_columns { title } else { y.name.as_str() };
    let mut figure =
        Figure::new(of, title, Axis::linear(&first.x.name, &first.x.unit), Axis::linear(y_name, &y.unit));
    for s in series.clone() {
        for y in &s.y {
            let of = s.subject.as_deref().map(file_name);
            let of = of.or_else(|| Some(s.molecule.as_str()).filter(|_| s.id == SeriesId::Dimer));
            let name = match of {
                Some(of) if several_columns => format!("{of}: {}", y.name),
                Some(of) => of.to_owned(),
                None => y.name.clone(),
            };
            let (n, reference) = (figure.data.len(), y.name.contains("reference"));
            let trace = line(&name, &s.x.values, &y.values, colour(n));
            // A different dash distinguishes curves of the same colour.
            let dash = match n / COLOURS.len() {
                _ if reference => "dash",
                0 => "solid",
                _ => "dashdot",
            };
            figure.push(with(trace, "line", json!({ "color": colour(n), "dash": dash, "width": 1.5 })));
        }
    }
    let range = series
        .flat_map(|s| s.y.iter().flat_map(|y| &y.values))
        .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], e| [low.min(*e), high.max(*e)]);
    if first.id == SeriesId::Dimer && range.iter().any(|e| e.abs() > DIMER_RANGE_EV) {
        let [low, high] = range.map(|e| e.clamp(-DIMER_RANGE_EV, DIMER_RANGE_EV));
        figure.range("yaxis", [low - 0.5, high + 0.5]);
        let note = format!("the axis ends at {}: there is more beyond", with_unit(DIMER_RANGE_EV, "eV"));
        return Item::figure(figures, figure, note);
    }
    Item::figure(figures, figure, "")
}
