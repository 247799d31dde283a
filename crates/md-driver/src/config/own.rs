//! Potentials and integrators supplied by the calling program.

use std::fmt;
use std::sync::Arc;

use md_core::{Integrator, Potential, PotentialError, StepError};
use md_dynamics::IntegratorKind;
use md_model::Precision;

use super::names::{NAME_RULE, is_name};
use super::{ModelConfig, ModelSource};

/// Extensions of a campaign by the calling program.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Own {
    /// Potentials by the names of their models.
    pub potentials: Vec<OwnPotential>,
    /// Integrators by the names used in runs.
    pub integrators: Vec<OwnIntegrator>,
}

impl Own {
    /// Checks that the names are valid and do not hide built-in integrators.
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

/// Function that creates a potential.
pub type MakePotential = dyn Fn() -> Result<Box<dyn Potential>, PotentialError> + Send + Sync;

/// Function that creates an integrator for a time step in fs.
pub type MakeIntegrator = dyn Fn(f64) -> Result<Box<dyn Integrator>, StepError> + Send + Sync;

/// A user-defined potential. Potentials are compared by name: a different potential needs a different name.
#[derive(Clone)]
pub struct OwnPotential {
    /// Name of the model.
    pub name: String,
    /// Function that creates the potential; it may be called repeatedly.
    pub make: Arc<MakePotential>,
}

/// A user-defined integrator. It has no state beyond its time step, so that a resumed run can continue with a new
/// instance. Integrators are compared by name: a different integrator needs a different name.
#[derive(Clone)]
pub struct OwnIntegrator {
    /// Name of the integrator.
    pub name: String,
    /// Function that creates the integrator; it may be called repeatedly.
    pub make: Arc<MakeIntegrator>,
}

/// Implements equality and formatting by name.
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

/// Assigns the potential to the model of the same name, or adds a model.
pub(super) fn add_own(models: &mut Vec<ModelConfig>, potential: &OwnPotential) {
    let source = ModelSource::Own(potential.clone());
    match models.iter_mut().find(|m| m.name == potential.name) {
        Some(model) => (model.source, model.precision) = (source, Precision::F64),
        None => {
            let new = ModelConfig::new(&potential.name, source);
            models.push(ModelConfig { precision: Precision::F64, ..new });
        }
    }
}
