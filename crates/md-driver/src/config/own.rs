//! Potentials and integrators that a program brings to a campaign.

use std::fmt;
use std::sync::Arc;

use md_core::{Integrator, Potential, PotentialError, StepError};
use md_dynamics::IntegratorKind;
use md_model::Precision;
use md_results::Verdict;

use super::names::{NAME_RULE, is_name};
use super::{Device, Implementation, ModelConfig, ModelSource};

/// What a program brings to a campaign beside its file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Own {
    /// Potentials by the names of their models.
    pub potentials: Vec<OwnPotential>,
    /// Integrators by the names that runs give them.
    pub integrators: Vec<OwnIntegrator>,
}

impl Own {
    /// Checks that the names can be names, and hide no integrator of the same name.
    pub(super) fn check(&self) -> Result<(), String> {
        let potentials = self.potentials.iter().map(|own| &own.name);
        for name in potentials.chain(self.integrators.iter().map(|own| &own.name)) {
            if !is_name(name) {
                return Err(format!("'{name}': {NAME_RULE}"));
            }
        }
        match self.integrators.iter().find(|own| IntegratorKind::find(&own.name).is_some()) {
            Some(own) => Err(format!("there is an integrator '{}' already: name yours otherwise", own.name)),
            None => Ok(()),
        }
    }
}

/// Makes potentials.
pub type MakePotential = dyn Fn() -> Result<Box<dyn Potential>, PotentialError> + Send + Sync;

/// Makes integrators for a time step in fs.
pub type MakeIntegrator = dyn Fn(f64) -> Result<Box<dyn Integrator>, StepError> + Send + Sync;

/// A potential of one's own. Two are the same if their names are: one that computes something else needs another name.
#[derive(Clone)]
pub struct OwnPotential {
    /// Name of its model.
    pub name: String,
    /// Makes it, as often as it is asked.
    pub make: Arc<MakePotential>,
}

/// An integrator of one's own. It has no state beyond its time step, so that a run that is resumed with a new one continues.
/// Two are the same if their names are: one that does something else needs another name.
#[derive(Clone)]
pub struct OwnIntegrator {
    /// Its name.
    pub name: String,
    /// Makes it, as often as it is asked.
    pub make: Arc<MakeIntegrator>,
}

/// Equality and text by name.
macro_rules! known_by_name {
    ($($type:ty),*) => {$(
        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.name == other.name
            }
        }

        impl Eq for $type {}

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($type)).field(&self.name).finish()
            }
        }
    )*};
}

known_by_name!(OwnPotential, OwnIntegrator);

/// Gives the model of that name its potential; adds it, where there is none.
pub(super) fn add_own(models: &mut Vec<ModelConfig>, potential: &OwnPotential) {
    let source = ModelSource::Own(potential.clone());
    match models.iter_mut().find(|m| m.name == potential.name) {
        Some(model) => (model.source, model.precision) = (source, Precision::F64),
        None => models.push(ModelConfig {
            name: potential.name.clone(),
            source,
            precision: Precision::F64,
            implementation: Implementation::default(),
            device: Device::default(),
            expect: Verdict::Approved,
        }),
    }
}
