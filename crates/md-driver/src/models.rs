//! Loads the models of a campaign: a potential for the runs, one in f64 as the oracle, and the record of the model.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::{Context, Result};
use md_core::{Batch, Element, Potential, Request, System};
use md_metrics::Coverage;
use md_model::{Architecture, Checkpoint, CheckpointError, Filters, Gpu, Precision, Student};
use md_probe::analytic::Control;
use md_results::{Envelope, Role, Verdict};

use crate::config::{Device, Implementation, ModelConfig, ModelSource, OwnPotential};
use crate::error::CampaignError;
use crate::interruptible::Interruptible;
use crate::trained;

/// A loaded model.
pub struct LoadedModel {
    /// Record for the results, without a verdict.
    pub record: md_results::Model,
    /// Potential in the precision of the runs.
    pub potential: Interruptible,
    /// Potential in f64, for the physics gates.
    pub oracle: Interruptible,
    /// Potential in the reference implementation and f64, which `potential` is compared with. Absent if there is only
    /// one implementation.
    pub reference: Option<Interruptible>,
    /// Whether `oracle` has the same format as `potential`, so that its rounding errors cannot be measured.
    pub one_format: bool,
    /// Implementation and precision of `reference`.
    pub reference_path: String,
    /// Implementation and precision of `potential`, such as `native-f32`.
    pub path: String,
    /// Elements that the model has parameters for.
    pub elements: Vec<Element>,
    /// Architecture and sizes of a network.
    pub architecture: Option<Architecture>,
    /// Time to load the model until its first call, s.
    pub load_s: f64,
    /// What the frames that it was trained on cover, once that was asked for; `None` if they are not known.
    pub training: OnceLock<Option<Coverage>>,
}

/// Number of elements above which only the pairs of elements in the campaign's molecules are scanned: a checkpoint
/// without a list of training elements has an embedding for every element.
const MOST_ELEMENTS: usize = 12;

impl LoadedModel {
    /// Returns the elements whose dimers are scanned: those that the model declares, or those of `systems`.
    pub fn elements_to_pair<'a>(&self, systems: impl Iterator<Item = &'a System>) -> Vec<Element> {
        elements_to_pair(&self.elements, systems)
    }

    /// Lets all calls of the model fail once `stop` is set.
    pub(crate) fn stop_at(&mut self, stop: &Arc<AtomicBool>) {
        let all = [&mut self.potential, &mut self.oracle].into_iter().chain(&mut self.reference);
        all.for_each(|potential| potential.stop_at(stop));
    }
}

/// `known` are the elements that a model declares; without any, those of `systems` are used.
fn elements_to_pair<'a>(known: &[Element], systems: impl Iterator<Item = &'a System>) -> Vec<Element> {
    if (1..=MOST_ELEMENTS).contains(&known.len()) {
        return known.to_vec();
    }
    let of_systems: BTreeSet<Element> = systems.flat_map(System::elements).copied().collect();
    of_systems.into_iter().collect()
}

/// Loads a model and checks that it supports every one of `molecules` (name, structure).
///
/// Returns `Ok(None)` if the campaign names the model but no checkpoint was given.
///
/// # Errors
/// The checkpoint cannot be read, or a molecule has an element that the model does not support.
pub fn load(
    config: &ModelConfig,
    molecules: &[(&str, &System)],
) -> Result<Option<LoadedModel>, CampaignError> {
    Ok(load_inner(config, molecules)?)
}

fn load_inner(config: &ModelConfig, molecules: &[(&str, &System)]) -> Result<Option<LoadedModel>> {
    let model = match &config.source {
        ModelSource::Checkpoint(path) => {
            student(config, path).with_context(|| format!("model '{}'", config.name))?
        }
        ModelSource::Control => control(config, molecules)?,
        ModelSource::Own(potential) => {
            own(config, potential).with_context(|| format!("model '{}'", config.name))?
        }
        ModelSource::NotGiven => return Ok(None),
    };
    for (molecule, system) in molecules {
        model
            .potential
            .check(&Batch::new(std::slice::from_ref(system)), Request::FORCES)
            .with_context(|| format!("model '{}' cannot run the molecule '{molecule}'", config.name))?;
    }
    Ok(Some(model))
}

/// Creates the record of a model that was not loaded.
pub fn unloaded(config: &ModelConfig) -> md_results::Model {
    let role = if config.source == ModelSource::Control { Role::Control } else { Role::Candidate };
    md_results::Model {
        name: config.name.clone(),
        role,
        architecture: "not given".to_owned(),
        precision: config.precision.to_string(),
        parameters: None,
        device: None,
        device_requested: None,
        device_note: None,
        checkpoint_sha256: None,
        weight_bits: None,
        assumptions: Vec::new(),
        elements: Vec::new(),
        molecules: Vec::new(),
        verdict: (role == Role::Candidate).then_some(Verdict::Incomplete),
        expected: (role == Role::Candidate).then(|| config.expect.clone()),
        uses: Vec::new(),
        chance: None,
        summary: String::new(),
        failure_modes: Vec::new(),
        envelope: Envelope::default(),
        checks: Vec::new(),
    }
}

fn student(config: &ModelConfig, path: &Path) -> Result<LoadedModel> {
    let precision = config.precision;
    let (loaded, load_s) = timed(|| -> Result<_> {
        let checkpoint = Checkpoint::load(path)?;
        let potential = build(config, &checkpoint)?;
        Ok((checkpoint, potential))
    });
    let (checkpoint, (potential, device, device_note)) = loaded?;
    // The gates examine the function used in the runs, including splines.
    let filters = match config.implementation {
        Implementation::Tabulated => Filters::Tabulated,
        Implementation::Fast if precision == Precision::F32 || device != "cpu" => Filters::Tabulated,
        Implementation::Fast | Implementation::Exact | Implementation::Plain => Filters::Exact,
    };
    let reference = Student::reference(&checkpoint, Precision::F64)?;
    let mut assumptions = checkpoint.assumptions().to_vec();
    assumptions.extend(trained::assumption(path));
    Ok(LoadedModel {
        record: md_results::Model {
            architecture: checkpoint.architecture().model_type().to_owned(),
            parameters: Some(checkpoint.parameter_count()),
            checkpoint_sha256: Some(checkpoint.sha256().to_owned()),
            weight_bits: Some(checkpoint.significant_bits()),
            assumptions,
            elements: symbols(checkpoint.elements()),
            device: Some(device.to_owned()),
            device_requested: Some(config.device.name().to_owned()),
            device_note,
            ..unloaded(config)
        },
        elements: checkpoint.elements().to_vec(),
        architecture: Some(checkpoint.architecture().clone()),
        path: format!("{}-{precision}", potential.implementation()),
        reference_path: format!("{}-{}", reference.implementation(), Precision::F64),
        one_format: false,
        reference: Some(Interruptible::new(reference)),
        potential: Interruptible::new(potential),
        oracle: Interruptible::new(Student::with_filters(&checkpoint, Precision::F64, filters)?),
        load_s,
        training: OnceLock::new(),
    })
}

/// Builds the network, and returns its device and why it differs from the requested one.
fn build(
    config: &ModelConfig,
    checkpoint: &Checkpoint,
) -> Result<(Student, &'static str, Option<String>), CheckpointError> {
    let precision = config.precision;
    let mut note = None;
    let gpu = match config.device {
        _ if config.implementation != Implementation::Fast => None,
        Device::Cpu => None,
        Device::Cuda | Device::Auto => Some((Gpu::Cuda, "cuda")),
        Device::Wgpu => Some((Gpu::Wgpu, "wgpu")),
    };
    if let Some((gpu, device)) = gpu {
        match Student::on_gpu(checkpoint, precision, gpu) {
            Ok(student) => return Ok((student, device, None)),
            Err(absent @ CheckpointError::NoDevice { .. }) => note = Some(absent.to_string()),
            Err(other) => return Err(other),
        }
    }
    if let (Device::Cuda | Device::Wgpu, Some(note)) = (config.device, &note) {
        tracing::warn!("model '{}' runs on the CPU: {note}", config.name);
    }
    let student = match config.implementation {
        Implementation::Fast => Student::new(checkpoint, precision),
        Implementation::Tabulated => Student::with_filters(checkpoint, precision, Filters::Tabulated),
        Implementation::Exact => Student::with_filters(checkpoint, precision, Filters::Exact),
        Implementation::Plain => Student::reference(checkpoint, precision),
    }?;
    Ok((student, "cpu", note))
}

fn control(config: &ModelConfig, molecules: &[(&str, &System)]) -> Result<LoadedModel> {
    let systems: Vec<System> = molecules.iter().map(|(_, system)| (*system).clone()).collect();
    let (potential, load_s) = timed(|| Control::new(&systems));
    let potential = potential.context("the control potential cannot be built from the molecules")?;
    let mut elements: Vec<_> = systems.iter().flat_map(System::elements).copied().collect();
    elements.sort_unstable();
    elements.dedup();
    Ok(LoadedModel {
        record: md_results::Model {
            architecture: "closed form".to_owned(),
            precision: Precision::F64.to_string(),
            elements: symbols(&elements),
            ..unloaded(config)
        },
        oracle: Interruptible::new(potential.clone()),
        potential: Interruptible::new(potential),
        elements,
        architecture: None,
        one_format: false,
        reference: None,
        reference_path: String::new(),
        path: "closed-form-f64".to_owned(),
        load_s,
        training: OnceLock::new(),
    })
}

/// Loads a potential of the calling program. It has one format and one implementation, so that nothing can be compared.
fn own(config: &ModelConfig, potential: &OwnPotential) -> Result<LoadedModel> {
    let (made, load_s) = timed(|| (potential.make)());
    let made = made?;
    Ok(LoadedModel {
        record: md_results::Model { architecture: made.name().to_owned(), ..unloaded(config) },
        path: made.name().to_owned(),
        potential: Interruptible::new(made),
        oracle: Interruptible::new((potential.make)()?),
        one_format: true,
        reference: None,
        reference_path: String::new(),
        elements: Vec::new(),
        architecture: None,
        load_s,
        training: OnceLock::new(),
    })
}

fn symbols(elements: &[Element]) -> Vec<String> {
    elements.iter().map(|e| e.symbol().to_owned()).collect()
}

#[expect(clippy::disallowed_methods, reason = "the time to load a checkpoint is part of a cold start")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use md_core::Vec3;

    use super::*;

    #[test]
    fn elements_to_pair_falls_back_to_elements_of_systems() {
        let positions = vec![Vec3::zeros(), Vec3::new(0.0, 0.0, 0.96)];
        let systems = [System::new(vec![Element::O, Element::H], positions).unwrap()];
        let pair = |known: &[Element]| elements_to_pair(known, systems.iter());
        assert_eq!(pair(&[Element::C, Element::H]), [Element::C, Element::H]);
        assert_eq!(pair(&[]), [Element::H, Element::O]);
        let all: Vec<Element> = (1..=30).filter_map(|z| Element::from_atomic_number(z).ok()).collect();
        assert_eq!(pair(&all), [Element::H, Element::O]);
    }
}
