//! Loads the molecules of a campaign: structures and reference data.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Result, bail};
use md_core::{System, bonds, mechanics};
use md_results::Molecule;

use crate::config::MoleculeConfig;
use crate::error::CampaignError;
use crate::labels::{self, Sample};

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
    let mut without = Vec::new();
    let mut sound = |files: &[PathBuf], with_forces| -> Result<Vec<(PathBuf, Sample)>> {
        let mut sound = Vec::new();
        for file in files {
            match labels::check_reference(file, &system, with_forces) {
                Ok(sample) => sound.push((file.clone(), sample)),
                Err(error) if keep_going => without.push(error.into()),
                Err(error) => return Err(error),
            }
        }
        Ok(sound)
    };
    let (references, samples) = sound(&config.references, true)?.into_iter().unzip();
    let trajectories = sound(&config.trajectories, false)?.into_iter().map(|(file, _)| file).collect();
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
        samples,
        trajectories,
        frequencies_per_cm: config.frequencies_per_cm.clone(),
    };
    Ok((loaded, without))
}
