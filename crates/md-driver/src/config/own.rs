//! Potentials and integrators that a program brings to a campaign.

use std::fmt;
use std::sync::Arc;

use md_core::{Integrator, Potential, PotentialError, StepError};

/// What a program brings to a campaign beside its file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Own {
    /// Potentials by the names of their models.
    pub potentials: Vec<OwnPotential>,
    /// Integrators by the names that runs give them.
    pub integrators: Vec<OwnIntegrator>,
}

/// Makes potentials.
pub type MakePotential = dyn Fn() -> Result<Box<dyn Potential>, PotentialError> + Send + Sync;

/// Makes integrators for a time step in fs.
pub type MakeIntegrator = dyn Fn(f64) -> Result<Box<dyn Integrator>, StepError> + Send + Sync;

/// A potential of one's own. Two are the same if their names are.
#[derive(Clone)]
pub struct OwnPotential {
    /// Name of its model.
    pub name: String,
    /// Makes it, as often as it is asked.
    pub make: Arc<MakePotential>,
}

/// An integrator of one's own. Two are the same if their names are.
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
