use md_core::Integrator;
use md_probe::ProbeError;

use super::{Check, Limit, Report};
use crate::integration;

/// Runs all of [`integration`] on an integrator that conserves energy and is time-reversible, such as velocity Verlet.
/// `order` is its order in the time step: 2 for velocity Verlet. `make` creates it with a time step in fs.
///
/// Halving the time step divides the energy fluctuation and the error on an oscillator by 2^order, to 2.5 %: correct
/// schemes of second and fourth order are within 0.4 %, and a coefficient that is wrong by 0.1 % loses the order.
///
/// The fluctuation ratio and the oscillator ratio each detect all five of these faults of velocity Verlet: a missing
/// half kick, half kicks of 0.6, full kicks twice, forces one step old, positions moved before the first kick.
///
/// # Errors
/// Any error of the integrator.
pub fn integrator(order: i32, make: impl Fn(f64) -> Box<dyn Integrator>) -> Result<Report, ProbeError> {
    let conservation = integration::conservation(&make)?;
    let reversal = integration::time_reversal_angstrom(&make)?;
    let oscillator = integration::oscillator_ratio(&make)?;
    let retained = integration::retained_angstrom(&make)?;
    let books = integration::bookkeeping(&make)?;
    let gain = 2.0_f64.powi(order);
    let by_order = Limit::Between(0.975 * gain, 1.025 * gain);
    let check = |id, value, limit, unit| Check { id, value, limit, unit, system: None };
    let checks = vec![
        check("fluctuation_ratio", conservation.fluctuation_ratio, by_order, "1"),
        check("drift_ratio", conservation.drift_ratio, Limit::AtMost(0.5), "1"),
        check("time_reversal", reversal, Limit::AtMost(1e-10), "Å"),
        check("oscillator_ratio", oscillator, by_order, "1"),
        check("retained_systems", retained, Limit::AtMost(0.0), "Å"),
        check("stale_force", books.stale_force_ev_per_angstrom, Limit::AtMost(0.0), "eV/Å"),
        check("clock", books.clock_fs, Limit::AtMost(0.0), "fs"),
    ];
    Ok(Report { subject: make(0.5).name().to_owned(), checks })
}

#[cfg(test)]
mod tests {
    use super::*;
    use md_core::{Potential, State, StepError};

    type Step = fn(&mut State, &mut dyn Potential, f64) -> Result<(), StepError>;

    /// Any implementation of a step that ends with `advance`, in NVE.
    struct Scheme {
        dt: f64,
        step: Step,
    }

    impl Integrator for Scheme {
        fn name(&self) -> &str {
            "scheme"
        }

        fn timestep_fs(&self) -> f64 {
            self.dt
        }

        fn step(&mut self, state: &mut State, potential: &mut dyn Potential) -> Result<(), StepError> {
            (self.step)(state, potential, self.dt)?;
            state.advance(self.dt);
            Ok(())
        }

        fn conserved_ev(&self, state: &State) -> Vec<f64> {
            (0..state.batch().n_systems())
                .map(|s| state.potential_energy_ev(s) + state.kinetic_energy_ev(s))
                .collect()
        }

        fn retain_systems(&mut self, _keep: &[usize]) {}
    }

    fn verlet(state: &mut State, potential: &mut dyn Potential, dt: f64) -> Result<(), StepError> {
        state.kick(0.5 * dt);
        state.drift(dt);
        state.evaluate(potential)?;
        state.kick(0.5 * dt);
        Ok(())
    }

    fn report_on(step: Step) -> Report {
        integrator(2, |dt| Box::new(Scheme { dt, step })).unwrap()
    }

    fn failed(step: Step) -> Vec<&'static str> {
        report_on(step).failures().iter().map(|check| check.id).collect()
    }

    #[test]
    fn integrator_passes_velocity_and_position_verlet() {
        report_on(verlet).assert_all();
        report_on(|state, potential, dt| {
            state.drift(0.5 * dt);
            state.evaluate(potential)?;
            state.kick(dt);
            state.drift(0.5 * dt);
            Ok(state.evaluate(potential)?)
        })
        .assert_all();
    }

    #[test]
    fn integrator_catches_broken_verlet_variants_twice() {
        let missing_half_kick: Step = |state, potential, dt| {
            state.kick(0.5 * dt);
            state.drift(dt);
            Ok(state.evaluate(potential)?)
        };
        let half_kicks_of_0_6: Step = |state, potential, dt| {
            state.kick(0.6 * dt);
            state.drift(dt);
            state.evaluate(potential)?;
            state.kick(0.6 * dt);
            Ok(())
        };
        let full_kicks_twice: Step = |state, potential, dt| {
            state.kick(dt);
            state.drift(dt);
            state.evaluate(potential)?;
            state.kick(dt);
            Ok(())
        };
        let old_force: Step = |state, potential, dt| {
            state.kick(0.5 * dt);
            state.drift(dt);
            state.kick(0.5 * dt);
            Ok(state.evaluate(potential)?)
        };
        let drift_first: Step = |state, potential, dt| {
            state.drift(dt);
            state.kick(0.5 * dt);
            state.evaluate(potential)?;
            state.kick(0.5 * dt);
            Ok(())
        };
        for (name, step) in [
            ("missing half kick", missing_half_kick),
            ("half kicks of 0.6", half_kicks_of_0_6),
            ("full kicks twice", full_kicks_twice),
            ("old force", old_force),
            ("drift first", drift_first),
        ] {
            let found = failed(step);
            for id in ["fluctuation_ratio", "oscillator_ratio"] {
                assert!(found.contains(&id), "{name} passes {id}\n{}", report_on(step));
            }
        }
    }

    /// The fourth-order scheme of md-dynamics, with a factor on its coefficient χ.
    fn forest_ruth(
        state: &mut State,
        potential: &mut dyn Potential,
        dt: f64,
        factor: f64,
    ) -> Result<(), StepError> {
        let (xi, lambda, chi) =
            (0.164_498_651_557_576, -0.020_943_339_103_989_89, factor * 1.235_692_651_138_917);
        let (outer, middle) = (0.5 - lambda, 1.0 - 2.0 * (chi + xi));
        state.kick(xi * dt);
        for (drift, kick) in [(outer, chi), (lambda, middle), (lambda, chi), (outer, xi)] {
            state.drift(drift * dt);
            state.evaluate(potential)?;
            state.kick(kick * dt);
        }
        Ok(())
    }

    #[test]
    fn integrator_catches_forest_ruth_coefficient_off_by_1e_3() {
        let report = |step: Step| integrator(4, |dt| Box::new(Scheme { dt, step })).unwrap();
        report(|state, potential, dt| forest_ruth(state, potential, dt, 1.0)).assert_all();
        let wrong = report(|state, potential, dt| forest_ruth(state, potential, dt, 1.001));
        let failed: Vec<&str> = wrong.failures().iter().map(|check| check.id).collect();
        assert_eq!(failed, ["fluctuation_ratio", "oscillator_ratio"], "{wrong}");
    }

    #[test]
    fn integrator_catches_each_bookkeeping_fault() {
        let clock_runs_twice: Step = |state, potential, dt| {
            verlet(state, potential, dt)?;
            state.advance(dt);
            Ok(())
        };
        assert_eq!(failed(clock_runs_twice), ["clock"]);
        // Evaluated last at the old positions: the dynamics is right, the state is not.
        let stale: Step = |state, potential, dt| {
            state.evaluate(potential)?;
            state.kick(0.5 * dt);
            state.drift(dt);
            state.evaluate(potential)?;
            state.kick(0.5 * dt);
            let here = state.positions().to_vec();
            state.drift(-dt);
            state.evaluate(potential)?;
            state.positions_mut().copy_from_slice(&here);
            Ok(())
        };
        assert!(failed(stale).contains(&"stale_force"));
        // Friction of third order in the time step: the fluctuation still scales as dt², but the energy only decreases.
        let friction: Step = |state, potential, dt| {
            verlet(state, potential, dt)?;
            let keep = 1.0 - 1e-2 * dt.powi(3);
            state.velocities_mut().iter_mut().for_each(|v| *v *= keep);
            Ok(())
        };
        assert!(failed(friction).contains(&"drift_ratio"));
    }

    /// A scheme with data per system that does not drop it.
    #[test]
    fn integrator_catches_state_not_following_batch() {
        struct PerSystem(Scheme, Vec<f64>);
        impl Integrator for PerSystem {
            fn name(&self) -> &str {
                "per system"
            }
            fn timestep_fs(&self) -> f64 {
                self.0.timestep_fs()
            }
            fn step(&mut self, state: &mut State, potential: &mut dyn Potential) -> Result<(), StepError> {
                self.0.step(state, potential)?;
                let ranges: Vec<_> = state.batch().ranges().collect();
                for (s, atoms) in ranges.into_iter().enumerate() {
                    state.velocities_mut()[atoms].iter_mut().for_each(|v| *v *= self.1[s]);
                }
                Ok(())
            }
            fn conserved_ev(&self, state: &State) -> Vec<f64> {
                self.0.conserved_ev(state)
            }
            fn retain_systems(&mut self, _keep: &[usize]) {}
        }
        let make = |dt| {
            let scheme = Scheme { dt, step: verlet };
            Box::new(PerSystem(scheme, vec![1.0, 1.0, 1.0 + 1e-15])) as Box<dyn Integrator>
        };
        let report = integrator(2, make).unwrap();
        let failed: Vec<_> = report.failures().iter().map(|check| check.id).collect();
        assert_eq!(failed, ["retained_systems"], "{report}");
    }
}
