//! Loads everything that a campaign refers to.

use std::path::Path;

use md_core::System;
use md_driver::campaign::{check_references, check_training_data};
use md_driver::config::{self, Device, ModelArgument, ModelConfig, ModelSource, MoleculeConfig, Own};
use md_driver::measure::reference_dynamics;
use md_driver::molecule::{LoadedMolecule, load_molecule};
use md_driver::plan::molecules_of;
use md_driver::progress::Progress;
use md_driver::{in_full, models, plan};
use md_io::extxyz::{self, LabelKeys};
use md_model::Checkpoint;
use md_results::Role;

use super::forces::Subject;
use super::readings::{Campaign, DataFile, Kind, Loading, Model, Molecule, Plan, Reading};

/// Returns the readings of a campaign, and the subject of the force calls: its first checkpoint on the first molecule
/// of that model.
pub(super) fn read(
    file: &Path,
    extra: &[ModelArgument],
    progress: &dyn Progress,
) -> (Campaign, Option<Subject>) {
    let failed = |error: String| Campaign {
        file: file.display().to_string(),
        plan: Plan::Failed(error),
        models: Vec::new(),
        molecules: Vec::new(),
    };
    let config = match config::load(file, extra, &Own::default()) {
        Ok(config) => config,
        Err(error) => return (failed(error.to_string()), None),
    };
    let groups = match plan::plan(&config) {
        Ok(groups) => groups,
        Err(error) => return (failed(error.to_string()), None),
    };
    let mut molecules = Vec::new();
    let mut loaded: Vec<Option<LoadedMolecule>> = Vec::new();
    let ticker = progress.stage("data", config.molecules.len() as u64);
    for molecule in &config.molecules {
        let (reading, usable) = read_molecule(molecule);
        molecules.push(reading);
        loaded.push(usable);
        ticker.tick();
    }
    drop(ticker);
    let (mut models, mut subject) = (Vec::new(), None);
    let ticker = progress.stage("models", config.models.len() as u64);
    for (index, model) in config.models.iter().enumerate() {
        let asked = molecules_of(groups.iter().filter(|g| g.model == index));
        let systems: Vec<(&str, &System)> = asked
            .iter()
            .filter_map(|&m| loaded[m].as_ref())
            .map(|m| (m.record.name.as_str(), &m.system))
            .collect();
        let usable = asked.iter().filter_map(|&m| loaded[m].as_ref());
        let outcome = load_model(model, &systems, usable);
        if let (None, Loading::Loaded { .. }) = (&subject, &outcome) {
            subject = subject_of(model, &systems);
        }
        models.push(Model { name: model.name.clone(), outcome });
        ticker.tick();
    }
    let runs = groups.iter().map(|group| group.runs.len()).sum();
    let file = file.display().to_string();
    (Campaign { file, plan: Plan::Runs(runs), models, molecules }, subject)
}

fn subject_of(model: &ModelConfig, systems: &[(&str, &System)]) -> Option<Subject> {
    let ModelSource::Checkpoint(path) = &model.source else { return None };
    let (molecule, system) = systems.first()?;
    Some(Subject {
        network: format!("the campaign's '{}'", model.name),
        checkpoint: Checkpoint::load(path).ok()?,
        precision: model.precision,
        molecule: (*molecule).to_owned(),
        system: (*system).clone(),
    })
}

fn load_model<'a>(
    model: &ModelConfig,
    systems: &[(&str, &System)],
    mut molecules: impl Iterator<Item = &'a LoadedMolecule>,
) -> Loading {
    let mut loaded = match models::load(model, systems) {
        Ok(Some(loaded)) => loaded,
        Ok(None) => return Loading::NotGiven,
        Err(error) => return Loading::Failed(in_full(&error)),
    };
    if loaded.record.role == Role::Control {
        return Loading::Control;
    }
    let checked = molecules.try_for_each(|molecule| {
        check_references(&mut loaded, molecule)?;
        check_training_data(model, molecule)
    });
    if let Err(error) = checked {
        return Loading::Failed(in_full(&error));
    }
    let loaded = loaded.record;
    let asked_for_gpu = matches!(model.device, Device::Cuda | Device::Wgpu);
    Loading::Loaded {
        architecture: loaded.architecture,
        parameters: loaded.parameters.unwrap_or_default(),
        precision: loaded.precision,
        device: loaded.device.unwrap_or_default(),
        device_refused: loaded.device_note.filter(|_| asked_for_gpu),
        assumptions: loaded.assumptions,
    }
}

fn read_molecule(molecule: &MoleculeConfig) -> (Molecule, Option<LoadedMolecule>) {
    let MoleculeConfig { structure, references, trajectories, .. } = molecule;
    let files = std::iter::once((structure, Kind::Structure))
        .chain(references.iter().map(|path| (path, Kind::Reference)))
        .chain(trajectories.iter().map(|path| (path, Kind::Trajectory)))
        .map(|(path, kind)| DataFile { path: path.display().to_string(), kind, frames: frames(path, kind) })
        .collect();
    let (atoms, usable) = match load_molecule(molecule, false) {
        Ok((loaded, _)) => (Reading::Count(loaded.system.n_atoms()), Some(loaded)),
        Err(error) => (Reading::Failed(in_full(&error)), None),
    };
    (Molecule { name: molecule.name.clone(), atoms, files }, usable)
}

/// Reads a file completely.
fn frames(path: &Path, kind: Kind) -> Reading {
    let read = match kind {
        Kind::Trajectory => reference_dynamics::check(path).map_err(anyhow::Error::from),
        Kind::Structure | Kind::Reference => count(path),
    };
    match read {
        Ok(frames) => Reading::Count(frames),
        Err(error) => Reading::Failed(in_full(error.as_ref())),
    }
}

fn count(path: &Path) -> anyhow::Result<usize> {
    let mut frames = 0;
    for frame in extxyz::open(path, LabelKeys::default())? {
        frame?;
        frames += 1;
    }
    Ok(frames)
}
