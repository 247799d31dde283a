//! Models of a campaign, loaded: a potential to run, one in f64 as oracle, and what is known about them.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use md_core::{Batch, Potential, Request, System};
use md_io::results::{self, Envelope, Role, Verdict};
use md_model::{Checkpoint, Precision, Student};
use md_testkit::analytic::Control;

use crate::config::{ModelConfig, ModelSource};

/// A model that is ready to run.
pub struct LoadedModel {
    /// What the results say about it; not judged yet.
    pub record: results::Model,
    /// The potential in the precision of the runs.
    pub potential: Box<dyn Potential>,
    /// The same in f64, for the physics gates.
    pub oracle: Box<dyn Potential>,
    /// Implementation and precision of `potential`, such as `burn-flex-f32`.
    pub path: String,
    /// Time from nothing to a potential that can be called, s.
    pub load_s: f64,
}

/// Loads a model and checks that it can describe every one of `molecules` (name, structure).
///
/// `Ok(None)` when the campaign names the model but no checkpoint was given.
///
/// # Errors
/// A checkpoint that cannot be read, or a molecule with an element the model does not know.
#[expect(
    clippy::disallowed_methods,
    reason = "the time to load a checkpoint is a measurement of the campaign"
)]
pub fn load(config: &ModelConfig, molecules: &[(&str, &System)]) -> Result<Option<LoadedModel>> {
    let start = Instant::now();
    let potentials: Potentials = match &config.source {
        ModelSource::Checkpoint(path) => {
            student(path, config.precision).with_context(|| format!("model '{}'", config.name))?
        }
        ModelSource::Control => control(molecules)?,
        ModelSource::NotGiven => return Ok(None),
    };
    let load_s = start.elapsed().as_secs_f64();
    for (molecule, system) in molecules {
        potentials
            .run
            .check(&Batch::new(std::slice::from_ref(system)), Request::FORCES)
            .with_context(|| format!("model '{}' cannot run the molecule '{molecule}'", config.name))?;
    }
    let record = results::Model {
        architecture: potentials.architecture,
        precision: potentials.precision.to_string(),
        parameters: potentials.parameters,
        checkpoint_sha256: potentials.sha256,
        elements: potentials.elements,
        ..unloaded(config)
    };
    Ok(Some(LoadedModel {
        record,
        potential: potentials.run,
        oracle: potentials.oracle,
        path: potentials.path,
        load_s,
    }))
}

/// The record of a model nothing is known about.
pub fn unloaded(config: &ModelConfig) -> results::Model {
    let role = if config.source == ModelSource::Control { Role::Control } else { Role::Candidate };
    results::Model {
        name: config.name.clone(),
        role,
        architecture: "not given".to_owned(),
        precision: config.precision.to_string(),
        parameters: None,
        checkpoint_sha256: None,
        elements: Vec::new(),
        molecules: Vec::new(),
        verdict: (role == Role::Candidate).then_some(Verdict::Incomplete),
        expected: (role == Role::Candidate).then_some(config.expect),
        uses: Vec::new(),
        summary: String::new(),
        envelope: Envelope::default(),
        checks: Vec::new(),
    }
}

struct Potentials {
    run: Box<dyn Potential>,
    oracle: Box<dyn Potential>,
    architecture: String,
    precision: Precision,
    path: String,
    parameters: Option<usize>,
    sha256: Option<String>,
    elements: Vec<String>,
}

fn student(path: &Path, precision: Precision) -> Result<Potentials> {
    let checkpoint = Checkpoint::load(path)?;
    Ok(Potentials {
        run: Box::new(Student::new(&checkpoint, precision)?),
        oracle: Box::new(Student::new(&checkpoint, Precision::F64)?),
        architecture: checkpoint.architecture().model_type().to_owned(),
        precision,
        path: format!("burn-flex-{precision}"),
        parameters: Some(checkpoint.parameter_count()),
        sha256: Some(checkpoint.sha256().to_owned()),
        elements: checkpoint.elements().iter().map(|e| e.symbol().to_owned()).collect(),
    })
}

fn control(molecules: &[(&str, &System)]) -> Result<Potentials> {
    let systems: Vec<System> = molecules.iter().map(|(_, system)| (*system).clone()).collect();
    let control =
        || Control::new(&systems).context("the control potential cannot be built from the molecules");
    let mut elements: Vec<_> = systems.iter().flat_map(System::elements).copied().collect();
    elements.sort_unstable();
    elements.dedup();
    Ok(Potentials {
        run: Box::new(control()?),
        oracle: Box::new(control()?),
        architecture: "closed form".to_owned(),
        precision: Precision::F64,
        path: "closed-form-f64".to_owned(),
        parameters: None,
        sha256: None,
        elements: elements.iter().map(|e| e.symbol().to_owned()).collect(),
    })
}
