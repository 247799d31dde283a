//! Frames that a model visits in its runs: stored, written for labelling by any program, and read back with the labels.
//!
//! `validate` writes `frames.extxyz`: a few frames of every run, evenly spaced, with the model's own energies and
//! forces (`model_energy`, `model_forces`: no labels) and, in the comment line, the origin of each. `mdproof frames`
//! selects some of them, a reference program adds its `energy` and `forces`, and `validate --labels` compares.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use md_core::units::FS_PER_PS;
use md_core::{Frame, Observer, ObserverError, Potential, System, Vec3};
use md_io::extxyz::{self, FrameToWrite, LabelKeys, LabelledFrame, write_frame};
use md_metrics::ForceErrorAccumulator;
use md_results::{Evaluation, Series, TimeBin};
use serde::{Deserialize, Serialize};

use crate::error::CampaignError;
use crate::labels;
use crate::measure::evaluate::{Errors, Labelled, Source};

/// Number of time intervals in which label errors are reported.
const TIME_BINS: usize = 5;

/// Key of the model's own energy, eV, which is no label.
pub const MODEL_ENERGY: &str = "model_energy";

/// Column of the model's own forces, eV/Å, which are no labels either.
const MODEL_FORCES: &str = "model_forces";

/// A frame of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VisitedFrame {
    /// Time since the start of the run, ps.
    pub time_ps: f64,
    /// Atoms and positions.
    pub system: System,
    /// Potential energy of the model, eV.
    pub energy_ev: f64,
    /// Forces of the model, eV/Å.
    pub forces: Vec<Vec3>,
}

/// Stores a few evenly spaced frames of every run, and the last frame before a system is removed from the batch.
#[derive(Serialize, Deserialize)]
pub struct Visited {
    stride: u64,
    systems: Vec<System>,
    frames: Vec<Vec<VisitedFrame>>,
}

impl Visited {
    /// Creates a store for `frames` frames of each system of a run of `steps` steps. `systems` are those of the state,
    /// in order.
    pub fn new(systems: &[&System], steps: u64, frames: usize) -> Self {
        Visited {
            stride: (steps / frames.max(1) as u64).max(1),
            systems: systems.iter().map(|s| (*s).clone()).collect(),
            frames: vec![Vec::new(); systems.len()],
        }
    }

    /// Returns the frames of each system in order of time.
    pub fn into_frames(self) -> Vec<Vec<VisitedFrame>> {
        self.frames
    }
}

impl Observer for Visited {
    fn stride(&self) -> u64 {
        self.stride
    }

    fn observe(&mut self, frame: Frame<'_>) -> Result<(), ObserverError> {
        for system in frame.systems().filter(|s| s.step() > 0) {
            // A geometry with two coincident atoms is not a valid system; the run is about to end by itself.
            let Ok(visited) = self.systems[system.id].clone().with_positions(system.positions().to_vec())
            else {
                continue;
            };
            self.frames[system.id].push(VisitedFrame {
                time_ps: system.time_fs() / FS_PER_PS,
                system: visited,
                energy_ev: system.potential_energy_ev(),
                forces: system.forces().to_vec(),
            });
        }
        Ok(())
    }
}

/// Frames of one run.
#[derive(Debug, Clone)]
pub struct VisitedRun {
    /// Id of the run.
    pub run: String,
    /// Name of the molecule.
    pub molecule: String,
    /// Temperature of the initial velocities, K.
    pub temperature_k: f64,
    /// Frames, in order of time.
    pub frames: Vec<VisitedFrame>,
}

/// Creates a file without frames.
///
/// # Errors
/// The file cannot be written.
pub fn begin(path: &Path) -> Result<()> {
    File::create(path).map(drop).with_context(|| format!("cannot write {}", path.display()))
}

/// Appends the frames of a model to a file.
///
/// # Errors
/// The file cannot be written.
pub fn append(path: &Path, model: &str, runs: &[VisitedRun]) -> Result<()> {
    let file = File::options()
        .append(true)
        .create(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let mut out = BufWriter::new(file);
    for run in runs {
        for frame in &run.frames {
            let info = [
                ("model", model.to_owned()),
                ("molecule", run.molecule.clone()),
                ("run", run.run.clone()),
                ("temperature_K", run.temperature_k.to_string()),
                ("time_ps", frame.time_ps.to_string()),
            ];
            let to_write = FrameToWrite {
                energy_ev: Some(frame.energy_ev).filter(|e| e.is_finite()),
                energy_key: MODEL_ENERGY,
                forces: Some(&frame.forces),
                forces_key: MODEL_FORCES,
                info: &info,
                ..FrameToWrite::from(&frame.system)
            };
            write_frame(&mut out, &to_write).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    out.flush().with_context(|| format!("cannot write {}", path.display()))
}

/// Which frames are copied.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection<'a> {
    /// Only those of this model.
    pub model: Option<&'a str>,
    /// Only those of this molecule.
    pub molecule: Option<&'a str>,
    /// None of these models, unless `model` names one.
    pub without: &'a [&'a str],
}

impl Selection<'_> {
    fn wants_model(&self, name: &str) -> bool {
        self.model.map_or(!self.without.contains(&name), |wanted| wanted == name)
    }

    fn wants_molecule(&self, name: &str) -> bool {
        self.molecule.is_none_or(|wanted| wanted == name)
    }

    /// Says why nothing is selected from a file with frames of these models and molecules.
    fn why_none(&self, present: &BTreeSet<(String, String)>) -> String {
        let list = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
        let models = || present.iter().map(|(model, _)| model.as_str());
        let of_models = || present.iter().filter(|(model, _)| self.wants_model(model));
        if present.is_empty() {
            return "it has no frames at all".to_owned();
        }
        match self.model {
            Some(model) if !models().any(|name| name == model) => {
                return format!(
                    "no frame of the model '{model}' (it has frames of {})",
                    list(models().collect())
                );
            }
            None if of_models().next().is_none() => {
                return format!("all frames are of {}: ask for them with --model", list(models().collect()));
            }
            _ => {}
        }
        format!(
            "no frame of the molecule '{}'{} (there are frames of {})",
            self.molecule.unwrap_or_default(),
            self.model.map_or(String::new(), |model| format!(" by the model '{model}'")),
            list(of_models().map(|(_, molecule)| molecule.as_str()).collect())
        )
    }
}

/// Copies the selected frames from `from` to `to`; returns their number.
///
/// # Errors
/// The files cannot be read or written, or there is no such frame.
pub fn select(from: &Path, to: &Path, selection: Selection<'_>) -> Result<usize, CampaignError> {
    Ok(copy(from, to, selection)?)
}

fn copy(from: &Path, to: &Path, selection: Selection<'_>) -> Result<usize> {
    if to.exists() {
        bail!("{} exists already: choose another --out", to.display());
    }
    let mut text = Vec::new();
    let mut n = 0;
    let mut present = BTreeSet::new();
    let keys = LabelKeys { energy: MODEL_ENERGY.into(), forces: MODEL_FORCES.into(), required: false };
    for frame in extxyz::open(from, keys)? {
        let mut frame = frame?;
        frame.info.remove("energy"); // the model's own, as it was once written: no label
        let [model, molecule] =
            ["model", "molecule"].map(|key| frame.info.get(key).cloned().unwrap_or_default());
        let is_wanted = selection.wants_model(&model) && selection.wants_molecule(&molecule);
        present.insert((model, molecule));
        if !is_wanted {
            continue;
        }
        let info: Vec<(&str, String)> = frame.info.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        let to_write = FrameToWrite {
            energy_ev: frame.energy_ev,
            energy_key: MODEL_ENERGY,
            forces: frame.forces.as_deref(),
            forces_key: MODEL_FORCES,
            info: &info,
            ..FrameToWrite::from(&frame.system)
        };
        write_frame(&mut text, &to_write)?;
        n += 1;
    }
    if n == 0 {
        bail!("{}: {}", from.display(), selection.why_none(&present));
    }
    std::fs::write(to, text).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(n)
}

/// A frame labelled by a reference program.
#[derive(Debug, Clone)]
pub struct Label {
    /// Model of the run.
    pub model: String,
    /// Name of the molecule.
    pub molecule: String,
    /// Temperature of the run, K.
    pub temperature_k: f64,
    /// Time in the run, ps.
    pub time_ps: f64,
    /// Frame with forces.
    pub frame: LabelledFrame,
}

/// Labelled frames of earlier runs, with their file.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    pub(crate) file: PathBuf,
    pub(crate) labels: Vec<Label>,
}

impl Labels {
    /// Returns the labels for the runs of a model on a molecule.
    pub(crate) fn of_molecule<'a>(
        &'a self,
        model: &'a str,
        molecule: &'a str,
    ) -> impl Iterator<Item = &'a Label> {
        self.labels.iter().filter(move |l| l.model == model && l.molecule == molecule)
    }
}

/// Reads labelled frames and checks that each states its origin, belongs to that molecule and has forces.
///
/// # Errors
/// A frame fails one of these checks, or all forces of a molecule are zero.
pub fn read_labels(path: &Path, models: &[&str], molecules: &[(&str, &System)]) -> Result<Vec<Label>> {
    let names: Vec<&str> = molecules.iter().map(|(name, _)| *name).collect();
    let mut labels = Vec::new();
    for (n, frame) in extxyz::read_frames(path, &LabelKeys::default())?.into_iter().enumerate() {
        let label = label(frame, models, &names).with_context(|| format!("{}: frame {n}", path.display()))?;
        for (_, system) in molecules.iter().filter(|(name, _)| *name == label.molecule) {
            labels::check_atoms(n, &label.frame, system).with_context(|| path.display().to_string())?;
        }
        labels.push(label);
    }
    for (name, _) in molecules {
        let of_molecule = labels.iter().filter(|l| l.molecule == *name).map(|l| &l.frame);
        labels::check_not_all_zero(of_molecule)
            .with_context(|| format!("{}: molecule '{name}'", path.display()))?;
    }
    Ok(labels)
}

fn label(frame: LabelledFrame, models: &[&str], molecules: &[&str]) -> Result<Label> {
    let text = |key: &str| {
        frame.info.get(key).with_context(|| {
            format!("no key '{key}' (label the frames of `mdproof frames` and keep their comment lines)")
        })
    };
    let number = |key: &str| -> Result<f64> {
        let text = text(key)?;
        text.parse()
            .ok()
            .filter(|x: &f64| x.is_finite())
            .with_context(|| format!("{key} = '{text}' is not a number"))
    };
    for (key, known) in [("model", models), ("molecule", molecules)] {
        let name = text(key)?;
        if !known.contains(&name.as_str()) {
            bail!("the campaign has no {key} '{name}' (it has {})", known.join(", "));
        }
    }
    if frame.forces.is_none() {
        bail!(labels::no_forces(&frame));
    }
    Ok(Label {
        model: text("model")?.clone(),
        molecule: text("molecule")?.clone(),
        temperature_k: number("temperature_K")?,
        time_ps: number("time_ps")?,
        frame,
    })
}

/// Rejects an evaluation on labels that are the model's own predictions, which are no evidence.
///
/// # Errors
/// The labels are the model's own.
pub fn refuse_own(evaluation: &Evaluation) -> Result<()> {
    if evaluation.force.as_ref().is_some_and(labels::are_own) {
        bail!("{}: {}", evaluation.frames, labels::OWN);
    }
    Ok(())
}

/// Returns the errors of a model on labelled frames of its own runs, with the force error by temperature and time.
///
/// # Errors
/// The labels are the model's own predictions, or the potential failed.
pub(crate) fn evaluate(
    source: Source<'_>,
    labels: &[&Label],
    potential: &mut dyn Potential,
    earlier: Labelled,
) -> Result<(Evaluation, Vec<Series>)> {
    let longest_ps = labels.iter().map(|l| l.time_ps).fold(0.0, f64::max);
    let span_ps = longest_ps / TIME_BINS as f64;
    let bin_of = |time_ps: f64| match (time_ps / span_ps).ceil() {
        bin if bin >= 1.0 => (bin as usize).min(TIME_BINS) - 1,
        _ => 0,
    };
    let mut errors = Errors::after(earlier);
    // Positive numbers have the order of their bits.
    let mut bins: BTreeMap<(u64, usize), (usize, ForceErrorAccumulator)> = BTreeMap::new();
    for label in labels {
        let counts = errors.push(&label.frame, potential)?;
        let Some(reference) = label.frame.forces.as_ref().filter(|_| counts) else { continue };
        let (n_frames, bin) = bins.entry((label.temperature_k.to_bits(), bin_of(label.time_ps))).or_default();
        *n_frames += 1;
        bin.push(label.frame.system.elements(), errors.last_forces(), reference)?;
    }
    let mut evaluation = errors.evaluation(source)?;
    refuse_own(&evaluation)?;
    for ((kelvins, bin), (n_frames, in_bin)) in bins {
        evaluation.by_time.push(TimeBin {
            temperature_k: f64::from_bits(kelvins),
            from_ps: bin as f64 * span_ps,
            to_ps: (bin + 1) as f64 * span_ps,
            n_frames,
            rmse_ev_per_angstrom: in_bin.errors()?.rmse_ev_per_angstrom,
        });
    }
    Ok((evaluation, errors.series(source)))
}
