//! Comparison of the models of a campaign.

use std::collections::{BTreeMap, BTreeSet};

use md_results::{Evaluation, Results, RunFate, Status, Survival, Verdict, number, with_unit};
use serde::Serialize;
use serde_json::json;

use super::budget::PICTURES;
use super::figure::{Axis, Figure, Figures, colour, points, with};
use super::file_name;
use super::items::{Item, Table};
use crate::side_by_side::{SideBySide, candidates, side_by_side, speeds, timed_on};

/// Table of models, with the molecule of its speeds.
#[derive(Debug, Serialize)]
pub(super) struct SeedTable {
    /// Molecule and batch of the speeds, in words.
    speed_of: Option<String>,
    table: Option<Table>,
}

/// Returns the evaluations with the largest force error, by model and molecule, and by model (molecule `None`).
fn worst_forces(results: &Results) -> BTreeMap<(&str, Option<&str>), (f64, &Evaluation)> {
    let mut worst: BTreeMap<(&str, Option<&str>), (f64, &Evaluation)> = BTreeMap::new();
    for evaluation in &results.evaluations {
        let Some(force) = &evaluation.force else { continue };
        let rmse = force.rmse_ev_per_angstrom;
        // One of no molecule is of all of them.
        let places = BTreeSet::from([evaluation.molecule.as_deref(), None]);
        for molecule in places {
            let known = worst.entry((&evaluation.model, molecule)).or_insert((rmse, evaluation));
            if rmse.total_cmp(&known.0).is_ge() {
                *known = (rmse, evaluation);
            }
        }
    }
    worst
}

/// Creates the table of size, speed, accuracy and verdict of the candidates. Speeds refer to the largest molecule
/// timed.
pub(super) fn seed_table(results: &Results) -> SeedTable {
    let worst = worst_forces(results);
    let rows = side_by_side(results).map(|SideBySide { model: m, compression, speed }| {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "not measured".to_owned());
        let compression = compression.map(|ratio| format!("{}x", number(ratio)));
        let forces = worst
            .get(&(m.name.as_str(), None))
            .map(|(rmse, e)| format!("{} ({})", with_unit(*rmse, "eV/Å"), file_name(&e.frames)));
        vec![
            m.name.clone(),
            m.parameters.map_or_else(|| "unknown".to_owned(), |n| n.to_string()),
            compression.unwrap_or_else(|| "unknown".to_owned()),
            or_none(speed.map(|s| number(s.ms_per_step))),
            or_none(speed.map(|s| format!("{}x", number(s.speedup_vs_first)))),
            or_none(speed.and_then(|s| s.peak_memory_mib).map(|mib| with_unit(mib, "MiB"))),
            or_none(forces),
            m.verdict.map_or("-", Verdict::label).to_owned(),
        ]
    });
    let head = [
        "model",
        "parameters",
        "compression",
        "inference, ms/step",
        "speedup",
        "memory",
        "worst force RMSE",
        "verdict",
    ];
    SeedTable {
        speed_of: timed_on(results).map(|(molecule, atoms)| format!("{molecule} ({atoms} atoms)")),
        table: Table::new(head, rows),
    }
}

/// Creates the table of outcomes of runs and checks by model.
pub(super) fn outcomes(results: &Results) -> Option<Table> {
    let mut runs: BTreeMap<&str, Vec<RunFate>> = BTreeMap::new();
    results.runs.iter().for_each(|r| runs.entry(&r.model).or_default().push(r.fate));
    let survival: BTreeMap<&str, &Survival> =
        results.survival.iter().filter(|s| s.molecule.is_none()).map(|s| (s.model.as_str(), s)).collect();
    let rows = results.models.iter().map(|m| {
        let fates = runs.get(m.name.as_str()).map_or(&[][..], Vec::as_slice);
        let fate = |fate| fates.iter().filter(|f| **f == fate).count().to_string();
        let checks = |status| m.checks.iter().filter(|c| c.status == status).count().to_string();
        let all = survival.get(m.name.as_str());
        vec![
            m.name.clone(),
            fates.len().to_string(),
            fate(RunFate::Finished),
            fate(RunFate::Diverged),
            fate(RunFate::StoppedEarly),
            fate(RunFate::Failed),
            all.map_or_else(|| "not measured".to_owned(), |s| number(s.rate_upper_per_ns)),
            m.envelope.largest_safe_timestep_fs.map_or_else(|| "none".to_owned(), number),
            checks(Status::Pass),
            checks(Status::Fail),
            checks(Status::Undecided),
            checks(Status::Skipped),
            checks(Status::NotApplicable),
        ]
    });
    let head = [
        "model",
        "runs",
        "finished",
        "diverged",
        "stopped early",
        "failed",
        "failures below, per ns (95 %)",
        "safe time step, fs",
        Status::Pass.label(),
        Status::Fail.label(),
        Status::Undecided.label(),
        Status::Skipped.label(),
        Status::NotApplicable.label(),
    ];
    Table::new(head, rows)
}

/// Shows force error against time per step for each molecule; a line joins the Pareto-optimal models.
pub(super) fn pareto(results: &Results, figures: &mut Figures) -> Vec<Item> {
    let (worst, speeds) = (worst_forces(results), speeds(results));
    let of_all: Vec<&str> = candidates(results).map(|m| m.name.as_str()).collect();
    let items = results.molecules.iter().take(PICTURES).map(|molecule| {
        let title = molecule.name.as_str();
        let mut measured: Vec<(usize, &str, f64, f64)> = of_all
            .iter()
            .enumerate()
            .filter_map(|(n, &model)| {
                let (rmse, _) = worst.get(&(model, Some(title)))?;
                let speed = speeds.get(&(model, title))?;
                Some((n, model, speed.ms_per_step, *rmse))
            })
            .collect();
        if measured.is_empty() {
            return Item::missing(title, "no model has both a force error and a speed on it");
        }
        let mut figure = Figure::new(
            "accuracy against speed",
            title,
            Axis::log("time per NVE step", "ms"),
            Axis::log("force RMSE", "eV/Å"),
        );
        for (n, name, ms, rmse) in &measured {
            let point = points(name, &[*ms], &[*rmse], colour(*n));
            figure.push(with(point, "marker", json!({ "color": colour(*n), "size": 12 })));
        }
        measured.sort_by(|a, b| a.2.total_cmp(&b.2));
        let mut best = f64::INFINITY;
        measured.retain(|m| {
            m.3 < best && {
                best = m.3;
                true
            }
        });
        let (ms, rmse): (Vec<f64>, Vec<f64>) = measured.iter().map(|m| (m.2, m.3)).unzip();
        figure.push(json!({
            "type": "scatter", "mode": "lines", "name": "Pareto front", "x": ms, "y": rmse,
            "line": { "dash": "dot", "width": 1.5, "color": "#888888" },
        }));
        Item::figure(figures, figure, "of its files of frames the one with the largest error")
    });
    items.collect()
}
