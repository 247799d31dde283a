//! Causes of energy drift, and safe time steps.

use md_results::{Attribution, Stage, TimestepLadder, number, with_unit};
use serde_json::json;

use super::figure::{Axis, Figure, Figures, bars, colour, line, with};
use super::items::{Item, Pair, Table};

const DRIFT: &str = "meV/atom/ps";

/// Shows causes, parts and experiments of every attribution.
pub(super) fn attribution(pair: Pair<'_>, figures: &mut Figures) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for &a in &pair.records.attributions {
        items.extend(one(pair, a, figures));
    }
    if items.is_empty() {
        let reason = pair.why(&[Stage::Attribution], "nothing asked for it");
        items.push(Item::missing("causes and experiments", reason));
    }
    items
}

fn one(pair: Pair<'_>, a: &Attribution, figures: &mut Figures) -> Vec<Item> {
    let at = format!(
        "{}, {}, {} taken apart; asked for by: {}",
        with_unit(a.temperature_k, "K"),
        with_unit(a.timestep_fs, "fs"),
        with_unit(a.duration_ps, "ps"),
        a.trigger
    );
    let or_none = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), number);
    let causes = a.causes.iter().map(|c| {
        let share = c.share.map_or_else(|| "-".to_owned(), |s| format!("{} %", number(100.0 * s)));
        vec![c.kind.words().to_owned(), share, c.evidence.clone(), c.remedy.clone()]
    });
    let parts = a.parts.iter().map(|p| {
        let numbers = [p.net_ev, p.slope_mev_per_atom_per_ps, p.rms_mev_per_atom];
        [p.name.clone()].into_iter().chain(numbers.map(or_none)).collect()
    });
    let experiments = a.experiments.iter().map(|e| {
        vec![
            e.name.clone(),
            number(e.timestep_fs),
            or_none(e.drift_mev_per_atom_per_ps),
            or_none(e.drift_standard_error),
            or_none(e.rms_fluctuation_mev_per_atom),
            e.diverged.clone().unwrap_or_else(|| "no".to_owned()),
        ]
    });
    let causes = Table::new(["cause", "share", "evidence", "remedy"], causes);
    let parts = Table::new(["part", "net, eV", "slope, meV/atom/ps", "rms, meV/atom"], parts);
    let head =
        ["experiment", "time step, fs", "drift, meV/atom/ps", "standard error", "rms, meV/atom", "diverged"];
    let experiments = Table::new(head, experiments);
    let jumps = format!("jumps of the energy surface that were met: {}", a.jumps);
    vec![
        Item::table("causes", causes, "no cause stands out").noted(at),
        parts_figure(pair, a, figures),
        experiments_figure(pair, a, figures),
        Item::table("parts that the change of energy is the sum of", parts, "none recorded").noted(jumps),
        Item::table("experiments", experiments, "none recorded"),
    ]
}

fn parts_figure(pair: Pair<'_>, a: &Attribution, figures: &mut Figures) -> Item {
    let title = "slope of each part of the energy";
    let names: Vec<String> = a.parts.iter().map(|p| p.name.clone()).collect();
    let slopes: Vec<Option<f64>> = a.parts.iter().map(|p| p.slope_mev_per_atom_per_ps).collect();
    bar_figure(pair, title, &names, &slopes, &vec![None; slopes.len()], figures)
}

fn experiments_figure(pair: Pair<'_>, a: &Attribution, figures: &mut Figures) -> Item {
    let title = "drift under other conditions";
    let names: Vec<String> = a.experiments.iter().map(|e| e.name.clone()).collect();
    let slopes: Vec<Option<f64>> = a.experiments.iter().map(|e| e.drift_mev_per_atom_per_ps).collect();
    let errors: Vec<Option<f64>> = a.experiments.iter().map(|e| e.drift_standard_error).collect();
    bar_figure(pair, title, &names, &slopes, &errors, figures)
}

fn bar_figure(
    pair: Pair<'_>,
    title: &str,
    names: &[String],
    values: &[Option<f64>],
    errors: &[Option<f64>],
    figures: &mut Figures,
) -> Item {
    if values.iter().all(Option::is_none) {
        return Item::missing(title, "no slope could be fitted");
    }
    let mut figure = Figure::new(&pair.name(), title, Axis::names(""), Axis::linear("drift", DRIFT));
    figure.push(bars("drift", names, values, errors, colour(0)));
    Item::figure(figures, figure, "")
}

/// Shows drift and fluctuation against the time step.
pub(super) fn timesteps(pair: Pair<'_>, figures: &mut Figures) -> Vec<Item> {
    let ladders = &pair.records.timesteps;
    if ladders.is_empty() {
        let reason =
            pair.why(&[Stage::Timesteps, Stage::Relaxation], "no longer or shorter time steps were tried");
        return vec![Item::missing("longer and longer time steps", reason)];
    }
    vec![ratios(pair, ladders, figures), rungs(ladders)]
}

fn ratios(pair: Pair<'_>, ladders: &[&TimestepLadder], figures: &mut Figures) -> Item {
    let title = "fluctuation of the total over that of the kinetic energy";
    let mut figure = Figure::new(
        &pair.name(),
        title,
        Axis::log("time step", "fs"),
        Axis::log("ratio of standard deviations", ""),
    );
    for (n, ladder) in ladders.iter().enumerate() {
        let measured =
            ladder.rungs.iter().filter_map(|r| Some((r.timestep_fs, r.fluctuation_ratio?, r.safe)));
        let measured: Vec<(f64, f64, bool)> = measured.collect();
        let x: Vec<f64> = measured.iter().map(|m| m.0).collect();
        let y: Vec<f64> = measured.iter().map(|m| m.1).collect();
        let symbols: Vec<&str> = measured.iter().map(|m| if m.2 { "circle" } else { "x" }).collect();
        let trace = with(
            line(&with_unit(ladder.temperature_k, "K"), &x, &y, colour(n)),
            "mode",
            json!("lines+markers"),
        );
        figure.push(with(trace, "marker", json!({ "symbol": symbols, "size": 9 })));
    }
    if ladders.iter().flat_map(|l| &l.rungs).all(|r| r.fluctuation_ratio.is_none()) {
        return Item::missing(title, "every rung diverged");
    }
    Item::figure(
        figures,
        figure,
        "circles are safe, crosses are not; with velocity Verlet the line falls as the square",
    )
}

fn rungs(ladders: &[&TimestepLadder]) -> Item {
    let or_none = |x: Option<f64>| x.map_or_else(|| "-".to_owned(), number);
    let rows = ladders.iter().flat_map(|l| {
        l.rungs.iter().map(move |r| {
            vec![
                with_unit(l.temperature_k, "K"),
                number(r.timestep_fs),
                or_none(r.drift_mev_per_atom_per_ps),
                or_none(r.fluctuation_ratio),
                r.diverged.clone().unwrap_or_else(|| "no".to_owned()),
                if r.safe { "yes" } else { "no" }.to_owned(),
            ]
        })
    });
    let head =
        ["temperature", "time step, fs", "drift, meV/atom/ps", "fluctuation ratio", "diverged", "safe"];
    let safe = ladders.iter().map(|l| {
        let longest = l.largest_safe_fs.map_or_else(|| "none".to_owned(), |fs| with_unit(fs, "fs"));
        format!("{}: {longest}", with_unit(l.temperature_k, "K"))
    });
    let safe = safe.collect::<Vec<_>>().join("; ");
    Item::table("time steps", Table::new(head, rows), "no rungs")
        .noted(format!("longest safe step at {safe}"))
}
