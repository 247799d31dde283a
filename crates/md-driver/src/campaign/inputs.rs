//! All that a campaign reads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use md_core::{System, bonds, mechanics};
use md_io::results::{Failure, Molecule, Stage};

use super::stage::Labels;
use super::{Request, in_share, molecules_of, store};
use crate::config::{Config, MoleculeConfig};
use crate::models::LoadedModel;
use crate::plan::{Group, plan};
use crate::{evaluate, frames, in_full, models};

/// All that a campaign reads.
pub(super) struct Inputs {
    /// The campaign, without what could not be read.
    pub(super) config: Config,
    pub(super) molecules: Vec<LoadedMolecule>,
    pub(super) models: Vec<Option<LoadedModel>>,
    /// The molecules that each model was loaded for.
    pub(super) loaded_for: Vec<Vec<usize>>,
    pub(super) labels: Labels,
    /// Names of the molecules that each model was to run, those that could not be read included.
    pub(super) asked: Vec<Vec<String>>,
    pub(super) failures: Vec<Failure>,
}

impl Inputs {
    pub(super) fn read(config: &Config, request: &Request<'_>) -> Result<Self> {
        let keep_going = request.keep_going;
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
                    failures.extend(failures_of(config, &whole_plan, m, Stage::Load, &error));
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
            let found = store::isolated(|| models::load(model, &named));
            match found {
                Ok(Some(found)) => loaded.push(Some(found)),
                Ok(None) => {
                    let reason = format!("no checkpoint: give --model {}=CHECKPOINT", model.name);
                    failures.push(failure(reason));
                    loaded.push(None);
                }
                Err(error) if keep_going => {
                    tracing::error!("{}", in_full(&error));
                    failures.push(failure(in_full(&error)));
                    loaded.push(None);
                }
                Err(error) => return Err(error),
            }
        }
        in_share(&config, &molecules, request)?;
        let labels = request.labels.map(|file| load_labels(&config, file)).transpose()?.unwrap_or_default();
        Ok(Inputs { config, molecules, models: loaded, loaded_for, labels, asked, failures })
    }
}

/// That a molecule, or a file of it, cannot be read, for every model that was to run it.
fn failures_of(
    config: &Config,
    groups: &[Group<'_>],
    molecule: usize,
    stage: Stage,
    error: &anyhow::Error,
) -> Vec<Failure> {
    let reason = in_full(error);
    tracing::error!("{reason}");
    let runs_it = |model: &usize| {
        groups.iter().any(|g| g.model == *model && g.runs.iter().any(|run| run.molecule == molecule))
    };
    (0..config.models.len())
        .filter(runs_it)
        .map(|model| Failure {
            model: config.models[model].name.clone(),
            molecule: Some(config.molecules[molecule].name.clone()),
            stage,
            reason: reason.clone(),
        })
        .collect()
}

/// A molecule of the campaign with its structure.
pub(crate) struct LoadedMolecule {
    pub(crate) record: Molecule,
    pub(crate) system: System,
    pub(crate) references: Vec<PathBuf>,
    pub(crate) trajectories: Vec<PathBuf>,
    pub(crate) frequencies_per_cm: Vec<f64>,
}

/// Reads the structure of a molecule, and checks that its other files are about the same atoms. With `keep_going` it
/// goes without those that are not, and says why.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn load_molecule(
    config: &MoleculeConfig,
    keep_going: bool,
) -> Result<(LoadedMolecule, Vec<anyhow::Error>)> {
    let system = md_io::extxyz::read_system(&config.structure)?;
    let mut without = Vec::new();
    let mut sound = |files: &[PathBuf], with_forces| -> Result<Vec<PathBuf>> {
        let mut sound = Vec::new();
        for file in files {
            match evaluate::check_reference(file, &system, with_forces) {
                Ok(()) => sound.push(file.clone()),
                Err(error) if keep_going => without.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(sound)
    };
    let references = sound(&config.references, true)?;
    let trajectories = sound(&config.trajectories, false)?;
    let modes = 3 * system.n_atoms()
        - 3
        - mechanics::rotational_degrees_of_freedom(system.masses_amu(), system.positions());
    let given = config.frequencies_per_cm.len();
    if given != 0 && given != modes {
        bail!("frequencies_per_cm has {given} numbers, the molecule has {modes} vibrations");
    }
    let elements: BTreeSet<_> = system.elements().iter().copied().collect();
    let loaded = LoadedMolecule {
        record: Molecule {
            name: config.name.clone(),
            atoms: system.n_atoms(),
            elements: elements.iter().map(|e| e.symbol().to_owned()).collect(),
            structure_sha256: md_io::files::sha256_file(&config.structure)?,
            bonds: bonds::find(&system, bonds::DEFAULT_SCALE).len(),
            reference_frequencies_per_cm: config.frequencies_per_cm.clone(),
        },
        system,
        references,
        trajectories,
        frequencies_per_cm: config.frequencies_per_cm.clone(),
    };
    Ok((loaded, without))
}

fn load_labels(config: &Config, file: &Path) -> Result<Labels> {
    let models: Vec<&str> = config.models.iter().map(|m| m.name.as_str()).collect();
    let molecules: Vec<&str> = config.molecules.iter().map(|m| m.name.as_str()).collect();
    Ok(Labels { file: file.to_owned(), labels: frames::read_labels(file, &models, &molecules)? })
}
