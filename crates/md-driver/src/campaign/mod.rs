//! Runs a campaign: every stage of every model, written to the output folder as it is measured.

mod dynamics;
mod explain;
mod stage;
mod watch;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use md_core::{System, bonds, mechanics};
use md_io::results::{self, Failure, Molecule, Results, SCHEMA_VERSION, Stage};

use crate::config::{Config, MoleculeConfig};
use crate::plan::{Filter, Group, only, plan};
use crate::progress::Progress;
use crate::{evaluate, frames, models, provenance, speed, verdict};
use stage::{Labels, ModelStage};
use watch::Watch;

/// Runs `config` and writes what it measures to `out`: `results.json`, `md_performance_results.json` and, where the
/// campaign asks for them, `trajectories/`. `labels` are frames of earlier runs with the forces of a reference
/// program.
///
/// # Errors
/// Bad input is found before anything runs. A model that fails in one run does not stop the others.
pub fn run(
    config: &Config,
    filters: &[Filter],
    labels: Option<&Path>,
    out: &Path,
    progress: Progress,
) -> Result<Results> {
    let started = provenance::now();
    let whole_plan = plan(config)?;
    let groups = only(config, whole_plan.clone(), filters)?;
    let molecules = load_molecules(config)?;
    let labels = labels.map(|file| load_labels(config, file)).transpose()?.unwrap_or_default();
    let asked: Vec<Vec<usize>> = (0..config.models.len())
        .map(|model| molecules_of(whole_plan.iter().filter(|g| g.model == model)))
        .collect();
    let mut loaded = Vec::new();
    for (model, asked) in config.models.iter().zip(&asked) {
        let named: Vec<(&str, &System)> =
            asked.iter().map(|&m| (molecules[m].record.name.as_str(), &molecules[m].system)).collect();
        loaded.push(models::load(model, &named)?);
    }
    let mut results = Results {
        schema_version: SCHEMA_VERSION,
        campaign: results::Campaign {
            name: config.name.clone(),
            config_sha256: config.sha256.clone(),
            seed: config.seed,
            finished: started.clone(),
            started,
            only: filters.iter().map(Filter::to_string).collect(),
        },
        provenance: provenance::provenance(),
        criteria: config.criteria.clone(),
        molecules: molecules.iter().map(|m| m.record.clone()).collect(),
        models: Vec::new(),
        relaxations: Vec::new(),
        gates: Vec::new(),
        runs: Vec::new(),
        evaluations: Vec::new(),
        speed: Vec::new(),
        machine: Vec::new(),
        survival: Vec::new(),
        comparisons: Vec::new(),
        shifts: Vec::new(),
        attributions: Vec::new(),
        timesteps: Vec::new(),
        economy: Vec::new(),
        failures: Vec::new(),
        series: Vec::new(),
    };
    std::fs::create_dir_all(out).with_context(|| format!("cannot create the folder {}", out.display()))?;
    finish(&mut results, out)?;
    let named = (0..config.models.len()).filter(|&index| groups.iter().any(|g| g.model == index));
    let named: Vec<String> = named.map(|index| config.models[index].name.clone()).collect();
    let watch = Watch::new(progress, &results, &named, out);
    for (index, (model, slot)) in config.models.iter().zip(&mut loaded).enumerate() {
        let of_model: Vec<&Group<'_>> = groups.iter().filter(|g| g.model == index).collect();
        if of_model.is_empty() {
            continue; // left out by --only
        }
        results.models.push(results::Model {
            molecules: asked[index].iter().map(|&m| config.molecules[m].name.clone()).collect(),
            ..slot.as_ref().map_or_else(|| models::unloaded(model), |m| m.record.clone())
        });
        if slot.is_none() {
            let reason = format!("no checkpoint: give --model {}=CHECKPOINT", model.name);
            results.failures.push(Failure {
                model: model.name.clone(),
                molecule: None,
                stage: Stage::Load,
                reason,
            });
        }
        if let Some(loaded) = slot {
            let mut stage = ModelStage {
                config,
                index,
                molecules: &molecules,
                labels: &labels,
                model: loaded,
                out,
                watch: &watch,
            };
            stage.measure(&of_model, &mut results);
        }
        finish(&mut results, out)?;
        if let Some(model) = results.models.last() {
            watch.model_is_done(model);
        }
    }
    results.machine = speed::machine();
    speed::relate_to_machine(&mut results.speed, &results.machine);
    finish(&mut results, out)?;
    watch.finish();
    Ok(results)
}

/// The molecules that these groups run, in the order of the campaign.
pub(crate) fn molecules_of<'g, 'c: 'g>(groups: impl Iterator<Item = &'g Group<'c>>) -> Vec<usize> {
    let molecules: BTreeSet<usize> = groups.flat_map(|g| &g.runs).map(|r| r.molecule).collect();
    molecules.into_iter().collect()
}

/// Judges what has been measured so far and writes it, so that a later failure loses nothing.
fn finish(results: &mut Results, out: &Path) -> Result<()> {
    results.campaign.finished = provenance::now();
    speed::relate_to_first(results);
    verdict::judge(results);
    results.write(&out.join("results.json"))?;
    results::write_json(&out.join("md_performance_results.json"), &speed::performance(results))?;
    Ok(())
}

/// A molecule of the campaign with its structure.
pub(crate) struct LoadedMolecule {
    pub(crate) record: Molecule,
    pub(crate) system: System,
    pub(crate) references: Vec<PathBuf>,
    pub(crate) trajectories: Vec<PathBuf>,
    pub(crate) frequencies_per_cm: Vec<f64>,
}

fn load_molecules(config: &Config) -> Result<Vec<LoadedMolecule>> {
    let load = |m: &MoleculeConfig| load_molecule(m).with_context(|| format!("molecule '{}'", m.name));
    config.molecules.iter().map(load).collect()
}

/// Reads the structure of a molecule, and checks that its other files are about the same atoms.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn load_molecule(config: &MoleculeConfig) -> Result<LoadedMolecule> {
    let system = md_io::extxyz::read_system(&config.structure)?;
    for reference in &config.references {
        evaluate::check_reference(reference, &system, true)?;
    }
    for trajectory in &config.trajectories {
        evaluate::check_reference(trajectory, &system, false)?;
    }
    let modes = 3 * system.n_atoms()
        - 3
        - mechanics::rotational_degrees_of_freedom(system.masses_amu(), system.positions());
    let given = config.frequencies_per_cm.len();
    if given != 0 && given != modes {
        bail!("frequencies_per_cm has {given} numbers, the molecule has {modes} vibrations");
    }
    let elements: BTreeSet<_> = system.elements().iter().copied().collect();
    Ok(LoadedMolecule {
        record: Molecule {
            name: config.name.clone(),
            atoms: system.n_atoms(),
            elements: elements.iter().map(|e| e.symbol().to_owned()).collect(),
            structure_sha256: md_io::files::sha256_file(&config.structure)?,
            bonds: bonds::find(&system, bonds::DEFAULT_SCALE).len(),
        },
        system,
        references: config.references.clone(),
        trajectories: config.trajectories.clone(),
        frequencies_per_cm: config.frequencies_per_cm.clone(),
    })
}

fn load_labels(config: &Config, file: &Path) -> Result<Labels> {
    let models: Vec<&str> = config.models.iter().map(|m| m.name.as_str()).collect();
    let molecules: Vec<&str> = config.molecules.iter().map(|m| m.name.as_str()).collect();
    Ok(Labels { file: file.to_owned(), labels: frames::read_labels(file, &models, &molecules)? })
}
