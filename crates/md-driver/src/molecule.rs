//! Loads the molecules of a campaign: structures and reference data.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use md_core::{System, bonds, mechanics};
use md_results::Molecule;

use crate::config::MoleculeConfig;
use crate::error::CampaignError;
use crate::labels::{self, Sample};
use crate::measure::reference_dynamics;
use crate::structure;
use crate::trained::TrainedOn;

/// A loaded molecule with its structure.
pub struct LoadedMolecule {
    /// Record for the results.
    pub record: Molecule,
    /// Structure.
    pub system: System,
    pub(crate) references: Vec<PathBuf>,
    /// Samples of the labelled frames of each file.
    pub(crate) samples: Vec<Sample>,
    pub(crate) trajectories: Vec<PathBuf>,
    pub(crate) frequencies_per_cm: Vec<f64>,
    /// Reference files that a model was trained on.
    pub(crate) trained_on: Vec<TrainedOn>,
}

/// Reads the structure of a molecule, and checks that its other files contain the same atoms. With `keep_going`, files
/// that do not are ignored with an error.
///
/// # Errors
/// A file is invalid.
pub fn load_molecule(
    config: &MoleculeConfig,
    keep_going: bool,
) -> Result<(LoadedMolecule, Vec<CampaignError>), CampaignError> {
    Ok(load_inner(config, keep_going)?)
}

fn load_inner(config: &MoleculeConfig, keep_going: bool) -> Result<(LoadedMolecule, Vec<CampaignError>)> {
    let system = md_io::extxyz::read_system(&config.structure)?;
    structure::check(&system, config.fragments).with_context(|| config.structure.display().to_string())?;
    if let Some(open) = structure::open_valences(&system) {
        tracing::warn!(molecule = config.name, "{}: {open}", config.structure.display());
    }
    let mut without = Vec::new();
    let (mut references, mut samples) = (Vec::new(), Vec::new());
    for file in &config.references {
        match labels::check_reference(file, &system, true) {
            Ok(sample) => {
                references.push(file.clone());
                samples.push(sample);
            }
            Err(error) if keep_going => without.push(error.into()),
            Err(error) => return Err(error),
        }
    }
    let mut trajectories: Vec<PathBuf> = Vec::new();
    let mut first_interval_fs = None;
    for file in &config.trajectories {
        let checked = reference_dynamics::check_of(file, &system)
            .and_then(|interval_fs| same_interval(file, interval_fs, &mut first_interval_fs));
        match checked {
            Ok(()) => trajectories.push(file.clone()),
            Err(error) if keep_going => without.push(error.into()),
            Err(error) => return Err(error),
        }
    }
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
            reference_trajectories: config.trajectories.len(),
        },
        system,
        references,
        samples,
        trajectories,
        frequencies_per_cm: config.frequencies_per_cm.clone(),
        trained_on: Vec::new(),
    };
    Ok((loaded, without))
}

/// Checks that a trajectory has frames as often as the one before, so that both make one spectrum.
fn same_interval(file: &Path, interval_fs: f64, first: &mut Option<(PathBuf, f64)>) -> Result<()> {
    let (other, expected) = first.get_or_insert_with(|| (file.to_owned(), interval_fs));
    if (interval_fs - *expected).abs() > 1e-3 * *expected {
        bail!(
            "{}: a frame every {interval_fs} fs, but every {expected} fs in {}: give trajectories of one interval",
            file.display(),
            other.display()
        );
    }
    Ok(())
}
