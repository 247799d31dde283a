//! Integrators as data.

/// Defines an enumeration of integrators, which is an integrator itself.
macro_rules! schemes {
    ($(#[$doc:meta])* $name:ident: $($scheme:ident),* $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        pub enum $name {
            $(
                #[doc = concat!("[`", stringify!($scheme), "`].")]
                $scheme($scheme),
            )*
        }

        impl $name {
            fn get(&self) -> &dyn md_core::Integrator {
                match self {
                    $($name::$scheme(scheme) => scheme,)*
                }
            }

            fn get_mut(&mut self) -> &mut dyn md_core::Integrator {
                match self {
                    $($name::$scheme(scheme) => scheme,)*
                }
            }
        }

        impl md_core::Integrator for $name {
            fn name(&self) -> &str {
                self.get().name()
            }

            fn timestep_fs(&self) -> f64 {
                self.get().timestep_fs()
            }

            fn step(
                &mut self,
                state: &mut md_core::State,
                potential: &mut dyn md_core::Potential,
            ) -> Result<(), md_core::StepError> {
                self.get_mut().step(state, potential)
            }

            fn steps(
                &mut self,
                state: &mut md_core::State,
                potential: &mut dyn md_core::Potential,
                steps: u64,
                limits: &[md_core::Limits],
            ) -> Result<u64, md_core::StepError> {
                self.get_mut().steps(state, potential, steps, limits)
            }

            fn conserved_ev(&self, state: &md_core::State) -> Vec<f64> {
                self.get().conserved_ev(state)
            }

            fn retain_systems(&mut self, keep: &[usize]) {
                self.get_mut().retain_systems(keep);
            }
        }

        $(
            impl From<$scheme> for $name {
                fn from(scheme: $scheme) -> Self {
                    $name::$scheme(scheme)
                }
            }
        )*
    };
}

pub(crate) use schemes;
