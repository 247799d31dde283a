use md_core::{Integrator, Potential, State, StepError};

use super::{Target, ThermostatError, baths};

/// Number of thermostats in a chain.
const LENGTH: usize = 3;

/// Weights of the splitting of a half step of the chain (H. Yoshida, Phys. Lett. A 150, 262 (1990)): `w, 1 - 2 w, w`
/// with `w = 1 / (2 - 2^⅓)`.
const WEIGHTS: [f64; 3] = [1.351207191959657, -1.702414383919315, 1.351207191959657];

/// Velocity Verlet coupled to a Nosé-Hoover chain of three thermostats: the velocities are scaled by a friction
/// variable with a mass, which is coupled to a second one, and that to a third.
///
/// `Q₁ = n k_B T τ²`, `Q_k = k_B T τ²` with n degrees of freedom and the relaxation time τ. Deterministic and
/// time-reversible. It conserves momentum, a zero angular momentum, and the extended energy `H + Σ ½ Q_k ω_k² + n k_B T
/// ξ₁ + k_B T Σ_{k>1} ξ_k` (`conserved_ev`), whose fluctuation is proportional to dt². Samples the canonical ensemble
/// if the dynamics is ergodic; for a small, nearly harmonic molecule it may not be.
///
/// Source: G. J. Martyna, M. E. Tuckerman, D. J. Tobias, M. L. Klein, Mol. Phys. 87, 1117 (1996).
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct NoseHooverChain {
    timestep_fs: f64,
    relaxation_fs: f64,
    chains: Vec<Chain>,
}

#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
struct Chain {
    kt_ev: f64,
    /// Positions of the thermostats, dimensionless.
    xi: [f64; LENGTH],
    /// Velocities of the thermostats, 1/fs.
    omega: [f64; LENGTH],
}

impl NoseHooverChain {
    /// Creates the thermostat for the systems of `state`, with a constant target for each; relaxation time in fs.
    ///
    /// # Errors
    /// [`ThermostatError`], including [`ThermostatError::Ramp`]: the conserved quantity requires a constant
    /// temperature.
    pub fn new(
        timestep_fs: f64,
        relaxation_fs: f64,
        targets: &[Target],
        state: &State,
    ) -> Result<Self, ThermostatError> {
        let no_seeds = vec![0; targets.len()];
        baths(timestep_fs, ("the relaxation time (fs)", relaxation_fs), targets, &no_seeds, state)?;
        if targets.iter().any(|t| !matches!(t, Target::Constant(_))) {
            return Err(ThermostatError::Ramp { thermostat: "a Nosé-Hoover chain" });
        }
        let chain = |t: &Target| Chain { kt_ev: t.kt_ev(0.0), xi: [0.0; LENGTH], omega: [0.0; LENGTH] };
        Ok(NoseHooverChain { timestep_fs, relaxation_fs, chains: targets.iter().map(chain).collect() })
    }

    /// Makes a half step of every chain, which scales the velocities of its system.
    fn half_step(&mut self, state: &mut State) {
        let ranges: Vec<_> = state.batch().ranges().collect();
        for ((s, atoms), chain) in ranges.into_iter().enumerate().zip(&mut self.chains) {
            let n = state.degrees_of_freedom()[s] as f64;
            if n == 0.0 {
                continue;
            }
            let mut twice_kinetic_ev = 2.0 * state.kinetic_energy_ev(s);
            let mut factor = 1.0;
            for weight in WEIGHTS {
                let dt = 0.5 * weight * self.timestep_fs;
                factor *= chain.advance(dt, n, self.relaxation_fs, &mut twice_kinetic_ev);
            }
            state.velocities_mut()[atoms].iter_mut().for_each(|v| *v *= factor);
        }
    }
}

impl Chain {
    /// Advances the chain by `dt` (fs) and returns the factor for the velocities.
    fn advance(&mut self, dt: f64, n: f64, relaxation_fs: f64, twice_kinetic_ev: &mut f64) -> f64 {
        for k in (0..LENGTH).rev() {
            self.kick(k, dt, n, relaxation_fs, *twice_kinetic_ev);
        }
        let factor = (-dt * self.omega[0]).exp();
        *twice_kinetic_ev *= factor * factor;
        for (xi, omega) in self.xi.iter_mut().zip(self.omega) {
            *xi += dt * omega;
        }
        for k in 0..LENGTH {
            self.kick(k, dt, n, relaxation_fs, *twice_kinetic_ev);
        }
        factor
    }

    /// Applies half of `dt` of the force on thermostat k, with the friction of the next one on both sides of it.
    fn kick(&mut self, k: usize, dt: f64, n: f64, relaxation_fs: f64, twice_kinetic_ev: f64) {
        let friction = self.omega.get(k + 1).map_or(1.0, |next| (-0.25 * dt * next).exp());
        // Forces divided by masses, 1/fs²: (2 K - n k_B T) / Q₁ and (Q ω² - k_B T) / Q.
        let square = relaxation_fs * relaxation_fs;
        let acceleration = match k {
            0 => (twice_kinetic_ev / (n * self.kt_ev) - 1.0) / square,
            1 => n * self.omega[0].powi(2) - 1.0 / square,
            _ => self.omega[k - 1].powi(2) - 1.0 / square,
        };
        self.omega[k] = (self.omega[k] * friction + 0.5 * dt * acceleration) * friction;
    }

    fn energy_ev(&self, n: f64, relaxation_fs: f64) -> f64 {
        let terms = self.omega.iter().zip(&self.xi).enumerate().map(|(k, (omega, xi))| {
            let weight = if k == 0 { n } else { 1.0 };
            weight * (0.5 * (relaxation_fs * omega).powi(2) + xi)
        });
        self.kt_ev * terms.sum::<f64>()
    }
}

impl Integrator for NoseHooverChain {
    fn name(&self) -> &str {
        "Nosé-Hoover chain"
    }

    fn timestep_fs(&self) -> f64 {
        self.timestep_fs
    }

    fn step(&mut self, state: &mut State, potential: &mut dyn Potential) -> Result<(), StepError> {
        self.half_step(state);
        state.kick(0.5 * self.timestep_fs);
        state.drift(self.timestep_fs);
        state.evaluate(potential)?;
        state.kick(0.5 * self.timestep_fs);
        self.half_step(state);
        state.advance(self.timestep_fs);
        Ok(())
    }

    /// Returns the extended energy, eV.
    fn conserved_ev(&self, state: &State) -> Vec<f64> {
        self.chains
            .iter()
            .enumerate()
            .map(|(s, chain)| {
                let n = state.degrees_of_freedom()[s] as f64;
                let system_ev = state.potential_energy_ev(s) + state.kinetic_energy_ev(s);
                system_ev + chain.energy_ev(n, self.relaxation_fs)
            })
            .collect()
    }

    fn retain_systems(&mut self, keep: &[usize]) {
        self.chains = keep.iter().map(|&s| self.chains[s].clone()).collect();
    }
}
