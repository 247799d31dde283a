//! Reads all inputs of a campaign.

use std::error::Error;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use md_core::System;
use md_results::{Failure, Role, Stage};

use super::options::CampaignOptions;
use super::store;
use crate::config::{Config, ModelConfig, ModelSource};
use crate::error::CampaignError;
use crate::frames::Labels;
use crate::labels::Sample;
use crate::models::LoadedModel;
use crate::molecule::{LoadedMolecule, load_molecule};
use crate::plan::{Group, in_shard, molecules_of, plan};
use crate::trained::{TrainedOn, TrainingData};
use crate::{frames, in_full, models};

/// All inputs of a campaign.
pub(super) struct Inputs {
    /// Campaign without the molecules that could not be read.
    pub(super) config: Config,
    pub(super) molecules: Vec<LoadedMolecule>,
    pub(super) models: Vec<Option<LoadedModel>>,
    /// Molecules that each model was loaded for.
    pub(super) loaded_for: Vec<Vec<usize>>,
    pub(super) labels: Labels,
    /// Names of the molecules planned for each model, including those that could not be read.
    pub(super) asked: Vec<Vec<String>>,
    pub(super) failures: Vec<Failure>,
}

impl Inputs {
    pub(super) fn read(config: &Config, options: &CampaignOptions) -> Result<Self> {
        let keep_going = options.keep_going;
        let whole_plan = plan(config)?;
        let asked_for =
            |groups: &[Group<'_>], model| molecules_of(groups.iter().filter(|g| g.model == model));
        let asked = (0..config.models.len())
            .map(|model| asked_for(&whole_plan, model))
            .map(|molecules| molecules.into_iter().map(|m| config.molecules[m].name.clone()).collect())
            .collect();
        let mut failures = Vec::new();
        let mut molecules = Vec::new();
        let mut unread = Vec::new();
        for (m, molecule) in config.molecules.iter().enumerate() {
            let context = || format!("molecule '{}'", molecule.name);
            match load_molecule(molecule, keep_going).with_context(context) {
                Ok((loaded, without)) => {
                    molecules.push(loaded);
                    failures.extend(
                        without
                            .iter()
                            .flat_map(|error| failures_of(config, &whole_plan, m, Stage::Evaluation, error)),
                    );
                }
                Err(error) if keep_going => {
                    failures.extend(failures_of(config, &whole_plan, m, Stage::Load, error.as_ref()));
                    unread.push(m);
                }
                Err(error) => return Err(error),
            }
        }
        let config = config.without_molecules(&unread);
        if molecules.is_empty() {
            bail!("no molecule is left: none of them can be read");
        }
        let whole_plan = plan(&config)?;
        let loaded_for: Vec<Vec<usize>> =
            (0..config.models.len()).map(|model| asked_for(&whole_plan, model)).collect();
        let mut loaded = Vec::new();
        for (model, asked) in config.models.iter().zip(&loaded_for) {
            let named: Vec<(&str, &System)> =
                asked.iter().map(|&m| (molecules[m].record.name.as_str(), &molecules[m].system)).collect();
            let failure = |reason: String| Failure {
                model: model.name.clone(),
                molecule: None,
                stage: Stage::Load,
                reason,
            };
            let found = store::isolated(|| Ok(models::load(model, &named)?));
            match found {
                Ok(Some(found)) => loaded.push(Some(found)),
                Ok(None) => {
                    let reason = format!("no checkpoint: give --model {}=CHECKPOINT", model.name);
                    failures.push(failure(reason));
                    loaded.push(None);
                }
                Err(error) if keep_going => {
                    tracing::error!("{}", in_full(error.as_ref()));
                    failures.push(failure(in_full(error.as_ref())));
                    loaded.push(None);
                }
                Err(error) => return Err(error),
            }
        }
        let atoms: Vec<usize> = molecules.iter().map(|m| m.record.atoms).collect();
        let (groups, _) = in_shard(&config, &atoms, &options.only, options.shard)?;
        let read = |file| load_labels(&config, &molecules, file);
        let labels = options.labels.as_deref().map(read).transpose()?.unwrap_or_default();
        for (index, model) in loaded.iter_mut().enumerate() {
            let Some(model) = model.as_mut().filter(|model| model.record.role == Role::Candidate) else {
                continue;
            };
            for m in molecules_of(groups.iter().filter(|g| g.model == index)) {
                let mut of_runs = Sample::default();
                labels
                    .of_molecule(&model.record.name, &molecules[m].record.name)
                    .for_each(|label| of_runs.push(label.frame.clone()));
                match check_labels(model, &molecules[m], [(labels.file.as_path(), &of_runs)]) {
                    Ok(()) => {}
                    Err(error) if keep_going => {
                        failures.push(failure_of(&config, index, m, Stage::Evaluation, error.as_ref()));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        find_training_data(&config, &mut molecules, &loaded_for, options.labels.as_deref());
        Ok(Inputs { config, molecules, models: loaded, loaded_for, labels, asked, failures })
    }
}

/// Enters the references and labels that models were trained on. The evaluation of such a model records it as a failure.
fn find_training_data(
    config: &Config,
    molecules: &mut [LoadedMolecule],
    loaded_for: &[Vec<usize>],
    labels: Option<&Path>,
) {
    let with_references = molecules.iter().filter(|m| labels.is_some() || !m.references.is_empty());
    let mut data = TrainingData::new(with_references.map(|m| &m.system));
    for (model, asked) in config.models.iter().zip(loaded_for) {
        let ModelSource::Checkpoint(checkpoint) = &model.source else { continue };
        for &m in asked {
            let molecule = &mut molecules[m];
            let files: Vec<&Path> = molecule.references.iter().map(PathBuf::as_path).chain(labels).collect();
            let known = data.known(&model.name, checkpoint, &files);
            for TrainedOn { reason, .. } in &known {
                tracing::warn!(model = model.name, molecule = molecule.record.name, "{reason}");
            }
            molecule.trained_on.extend(known);
        }
    }
}

/// Records a failure to read a molecule or one of its files, for every model that was planned to run it.
fn failures_of(
    config: &Config,
    groups: &[Group<'_>],
    molecule: usize,
    stage: Stage,
    error: &(dyn Error + 'static),
) -> Vec<Failure> {
    let runs_it = |model: &usize| {
        groups.iter().any(|g| g.model == *model && g.runs.iter().any(|run| run.molecule == molecule))
    };
    (0..config.models.len())
        .filter(runs_it)
        .map(|model| failure_of(config, model, molecule, stage, error))
        .collect()
}

fn failure_of(
    config: &Config,
    model: usize,
    molecule: usize,
    stage: Stage,
    error: &(dyn Error + 'static),
) -> Failure {
    let (model, molecule) = (config.models[model].name.clone(), config.molecules[molecule].name.clone());
    let reason = in_full(error);
    tracing::error!(model, molecule, "{reason}");
    Failure { model, molecule: Some(molecule), stage, reason }
}

/// Checks that the references of a molecule are not the model's own predictions.
///
/// # Errors
/// They are, or have the opposite sign.
pub fn check_references(model: &mut LoadedModel, molecule: &LoadedMolecule) -> Result<(), CampaignError> {
    Ok(check_labels(model, molecule, [])?)
}

/// Checks that a model was not trained on the references of a molecule.
///
/// # Errors
/// It was: a campaign measures no force errors on these files, and the model is INCOMPLETE.
pub fn check_training_data(model: &ModelConfig, molecule: &LoadedMolecule) -> Result<(), CampaignError> {
    let ModelSource::Checkpoint(checkpoint) = &model.source else { return Ok(()) };
    let files: Vec<&Path> = molecule.references.iter().map(PathBuf::as_path).collect();
    let mut data = TrainingData::new([&molecule.system].into_iter().filter(|_| !files.is_empty()));
    match data.known(&model.name, checkpoint, &files).into_iter().next() {
        Some(TrainedOn { reason, .. }) => Err(anyhow::Error::msg(reason).into()),
        None => Ok(()),
    }
}

/// Checks that the references of a molecule and the `more` labels are not the model's own predictions.
///
/// # Errors
/// They are, or have the opposite sign.
fn check_labels<'a>(
    model: &mut LoadedModel,
    molecule: &'a LoadedMolecule,
    more: impl IntoIterator<Item = (&'a Path, &'a Sample)>,
) -> Result<()> {
    let references = molecule.references.iter().map(PathBuf::as_path).zip(&molecule.samples);
    for (file, sample) in references.chain(more) {
        // A model that fails here also fails in its evaluation, which records the failure.
        let fault = store::isolated(|| Ok(sample.fault([model.oracle.as_mut(), model.potential.as_mut()])));
        if let Ok(Some(fault)) = fault {
            let (name, of) = (&model.record.name, &molecule.record.name);
            bail!("{}: molecule '{of}', model '{name}': {fault}", file.display());
        }
    }
    Ok(())
}

fn load_labels(config: &Config, molecules: &[LoadedMolecule], file: &Path) -> Result<Labels> {
    let models: Vec<&str> = config.models.iter().map(|m| m.name.as_str()).collect();
    let molecules: Vec<(&str, &System)> =
        molecules.iter().map(|m| (m.record.name.as_str(), &m.system)).collect();
    Ok(Labels { file: file.to_owned(), labels: frames::read_labels(file, &models, &molecules)? })
}
