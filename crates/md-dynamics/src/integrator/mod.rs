//! Integrators at constant energy. To add one, write its file and name it here, in `schemes!` and in
//! [`IntegratorKind::ALL`].

mod forest_ruth;
mod verlet;

pub use forest_ruth::ForestRuth;
pub use verlet::VelocityVerlet;

use md_core::StepError;

use crate::Thermostat;
use crate::scheme::schemes;
pub(crate) use verlet::checked_timestep_fs;

schemes! {
    /// Any integrator of this crate as data, with its state per system: random streams, thermostats, heat. A run
    /// continues exactly from a copy, also from a stored one (feature `serde`).
    Scheme: VelocityVerlet, ForestRuth, Thermostat
}

/// Creates a [`Scheme`] with a time step in fs.
type Make = fn(f64) -> Result<Scheme, StepError>;

/// An integrator at constant energy, selected by name.
#[derive(Debug, Clone, Copy)]
pub struct IntegratorKind {
    name: &'static str,
    meaning: &'static str,
    make: Make,
}

impl IntegratorKind {
    /// All integrators. The first is the default.
    pub const ALL: &'static [IntegratorKind] = &[
        IntegratorKind {
            name: "velocity_verlet",
            meaning: "second order, one force evaluation per step",
            make: |timestep_fs| Ok(VelocityVerlet::new(timestep_fs)?.into()),
        },
        IntegratorKind {
            name: "forest_ruth",
            meaning: "fourth order, four force evaluations per step",
            make: |timestep_fs| Ok(ForestRuth::new(timestep_fs)?.into()),
        },
    ];

    /// Velocity Verlet.
    pub const DEFAULT: IntegratorKind = IntegratorKind::ALL[0];

    /// Returns the integrator with this name.
    pub fn find(name: &str) -> Option<Self> {
        IntegratorKind::ALL.iter().copied().find(|kind| kind.name == name)
    }

    /// Name in campaign files, such as `velocity_verlet`.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// Short description.
    pub fn meaning(self) -> &'static str {
        self.meaning
    }

    /// Creates the integrator with a time step in fs.
    ///
    /// # Errors
    /// [`StepError::TimeStep`] unless the time step is positive and finite.
    pub fn build(self, timestep_fs: f64) -> Result<Scheme, StepError> {
        (self.make)(timestep_fs)
    }
}

impl PartialEq for IntegratorKind {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for IntegratorKind {}
