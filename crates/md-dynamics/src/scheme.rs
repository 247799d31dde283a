use md_core::{Integrator, Limits, Potential, State, StepError};

use crate::{Bussi, ForestRuth, Langevin, NoseHooverChain, VelocityVerlet};

/// Defines an enum of the integrators of this crate, with variants named after their types.
macro_rules! schemes {
    ($($scheme:ident),*) => {
        /// Any integrator of this crate as data, with its state per system: random streams, thermostats, heat. A run
        /// continues exactly from a copy, also from a stored one (feature `serde`).
        #[derive(Debug, Clone, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub enum Scheme {
            $(
                #[doc = concat!("[`", stringify!($scheme), "`].")]
                $scheme($scheme),
            )*
        }

        impl Scheme {
            fn get(&self) -> &dyn Integrator {
                match self {
                    $(Scheme::$scheme(scheme) => scheme,)*
                }
            }

            fn get_mut(&mut self) -> &mut dyn Integrator {
                match self {
                    $(Scheme::$scheme(scheme) => scheme,)*
                }
            }
        }

        $(
            impl From<$scheme> for Scheme {
                fn from(scheme: $scheme) -> Self {
                    Scheme::$scheme(scheme)
                }
            }
        )*
    };
}

schemes!(VelocityVerlet, ForestRuth, Langevin, Bussi, NoseHooverChain);

impl Integrator for Scheme {
    fn name(&self) -> &str {
        self.get().name()
    }

    fn timestep_fs(&self) -> f64 {
        self.get().timestep_fs()
    }

    fn step(&mut self, state: &mut State, potential: &mut dyn Potential) -> Result<(), StepError> {
        self.get_mut().step(state, potential)
    }

    fn steps(
        &mut self,
        state: &mut State,
        potential: &mut dyn Potential,
        steps: u64,
        limits: &[Limits],
    ) -> Result<u64, StepError> {
        self.get_mut().steps(state, potential, steps, limits)
    }

    fn conserved_ev(&self, state: &State) -> Vec<f64> {
        self.get().conserved_ev(state)
    }

    fn retain_systems(&mut self, keep: &[usize]) {
        self.get_mut().retain_systems(keep);
    }
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
