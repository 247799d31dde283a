//! Reads frames of runs from `frames.extxyz` and packs them for the viewer.

use std::collections::BTreeMap;
use std::path::Path;

use md_io::extxyz::{self, LabelKeys, LabelledFrame};
use md_results::{Results, Run, RunFate};
use serde::Serialize;

use super::budget::Budget;
use crate::ReportError;

/// Frames of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Trajectory {
    /// Name of the model.
    pub model: String,
    /// Name of the molecule.
    pub molecule: String,
    /// Id of the run.
    pub run: String,
    /// Temperature of the initial velocities, K.
    pub temperature_k: Option<f64>,
    /// Symbols of the elements by atom.
    pub symbols: Vec<String>,
    /// Covalent radii by atom, Å; absent where unknown.
    pub radii: Vec<Option<f64>>,
    /// Time (ps) and positions (Å) of each frame, in the order of the file.
    pub frames: Vec<(f64, Vec<[f64; 3]>)>,
}

/// Reads the frames that a campaign wrote (`frames.extxyz`), grouped by run in the order of the file.
///
/// # Errors
/// The file cannot be read, or a frame lacks one of the keys `model`, `molecule`, `run` and `time_ps` or has other
/// atoms than the earlier frames of its run.
pub fn trajectories(path: &Path) -> Result<Vec<Trajectory>, ReportError> {
    let mut all: Vec<Trajectory> = Vec::new();
    let mut known = BTreeMap::new();
    for (n, frame) in extxyz::open(path, LabelKeys::default())?.enumerate() {
        push(&mut all, &mut known, &frame?).map_err(|problem| ReportError::Frame {
            path: path.display().to_string(),
            frame: n,
            problem,
        })?;
    }
    Ok(all)
}

/// Appends a frame to its run; `known` maps model and id of a run to its index.
fn push(
    all: &mut Vec<Trajectory>,
    known: &mut BTreeMap<(String, String), usize>,
    frame: &LabelledFrame,
) -> Result<(), String> {
    let text = |key: &str| frame.info.get(key).cloned().ok_or_else(|| format!("no key '{key}'"));
    let (model, run) = (text("model")?, text("run")?);
    let time = text("time_ps")?;
    let time_ps = time.parse().map_err(|_| format!("time_ps = '{time}' is not a number"))?;
    let elements = frame.system.elements();
    let symbols: Vec<String> = elements.iter().map(|e| e.symbol().to_owned()).collect();
    let positions = frame.system.positions().iter().map(|p| [p[0], p[1], p[2]]).collect();
    let place = *known.entry((model.clone(), run.clone())).or_insert(all.len());
    if let Some(trajectory) = all.get_mut(place) {
        if trajectory.symbols != symbols {
            return Err(format!("other atoms than the frames of {run} before it"));
        }
        trajectory.frames.push((time_ps, positions));
        return Ok(());
    }
    all.push(Trajectory {
        model,
        molecule: text("molecule")?,
        run,
        temperature_k: frame.info.get("temperature_K").and_then(|t| t.parse().ok()),
        symbols,
        radii: elements.iter().map(|e| e.covalent_radius_angstrom()).collect(),
        frames: vec![(time_ps, positions)],
    });
    Ok(())
}

/// A run in the format of the viewer.
#[derive(Debug, Serialize)]
pub(super) struct Shown<'a> {
    model: &'a str,
    molecule: &'a str,
    run: &'a str,
    /// Whether the run diverged or broke a bond.
    broke: bool,
    /// Outcome of the run.
    ended: String,
    symbols: &'a [String],
    radii: &'a [Option<f64>],
    times_ps: Vec<f64>,
    /// x, y, z of each atom, in thousandths of an Å, by frame.
    frames: Vec<Vec<i64>>,
}

/// Packs trajectories of the panels for the viewer, as many for each as are drawn; runs that failed come first.
pub(super) fn for_viewer<'a>(
    results: &'a Results,
    budget: &Budget<'_>,
    frames: &'a [Trajectory],
) -> Vec<Shown<'a>> {
    let runs: BTreeMap<(&str, &str), &Run> =
        results.runs.iter().map(|r| ((r.model.as_str(), r.id.as_str()), r)).collect();
    let run_of = |t: &Trajectory| runs.get(&(t.model.as_str(), t.run.as_str())).copied();
    let mut order: Vec<&Trajectory> =
        frames.iter().filter(|t| budget.has_panel(&t.model, &t.molecule)).collect();
    order.sort_by_key(|t| !run_of(t).is_some_and(broke));
    let mut shown_of: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    order.retain(|t| {
        let shown = shown_of.entry((&t.model, &t.molecule)).or_default();
        *shown += 1;
        *shown <= budget.share.curves
    });
    order
        .into_iter()
        .map(|t| {
            let run = run_of(t);
            Shown {
                model: &t.model,
                molecule: &t.molecule,
                run: &t.run,
                broke: run.is_some_and(broke),
                ended: run.map_or_else(String::new, ended),
                symbols: &t.symbols,
                radii: &t.radii,
                times_ps: t.frames.iter().map(|(ps, _)| *ps).collect(),
                frames: t.frames.iter().map(|(_, p)| milliangstroms(p)).collect(),
            }
        })
        .collect()
}

fn milliangstroms(positions: &[[f64; 3]]) -> Vec<i64> {
    positions.iter().flatten().map(|x| (x * 1000.0).round() as i64).collect()
}

/// Whether a run diverged or broke a bond.
pub(super) fn broke(run: &Run) -> bool {
    run.fate == RunFate::Diverged || run.stability.as_ref().is_some_and(|s| s.first_broken_bond_ps.is_some())
}

/// Describes the outcome of a run in the words of its record.
pub(super) fn ended(run: &Run) -> String {
    let fate = match run.fate {
        RunFate::Finished => "finished",
        RunFate::Diverged => "diverged",
        RunFate::StoppedEarly => "stopped early",
        RunFate::Failed => "failed",
    };
    match (&run.fate_reason, run.stability.as_ref().and_then(|s| s.first_broken_bond.as_deref())) {
        (Some(reason), _) => format!("{fate}: {reason}"),
        (None, Some(bond)) => format!("{fate}: bond {bond} broke"),
        (None, None) => fate.to_owned(),
    }
}
