use md_core::{Integrator, Potential, StepError, System, mechanics};
use md_metrics::ThermalAccumulator;
use md_probe::analytic::Control;
use md_testkit::conformance::{self, Report};

use super::*;
use crate::fixtures::{system, water};
use crate::{VelocityOptions, thermalise};

fn constant(kelvins: &[f64]) -> Vec<Target> {
    kelvins.iter().map(|k| Target::Constant(*k)).collect()
}

fn langevin(dt: f64, kelvins: &[f64], seeds: &[u64], state: &State) -> Langevin {
    Langevin::new(dt, 20.0, &constant(kelvins), seeds, state).unwrap()
}

fn bussi(dt: f64, kelvins: &[f64], seeds: &[u64], state: &State) -> Bussi {
    Bussi::new(dt, 50.0, &constant(kelvins), seeds, state).unwrap()
}

fn nose_hoover(dt: f64, kelvins: &[f64], _: &[u64], state: &State) -> NoseHooverChain {
    // Close to the period of the system: at 100 fs atoms of different mass exchange energy too slowly for this suite.
    NoseHooverChain::new(dt, 10.0, &constant(kelvins), state).unwrap()
}

#[test]
fn langevin_passes_thermostat_conformance() {
    conformance::thermostat(langevin).unwrap().assert_all();
}

#[test]
fn bussi_passes_thermostat_conformance() {
    conformance::thermostat(bussi).unwrap().assert_all();
}

#[test]
fn nose_hoover_passes_thermostat_conformance() {
    conformance::thermostat(nose_hoover).unwrap().assert_all();
}

/// A thermostat with a fault: a closure modifies it or the state after every step.
#[derive(Clone)]
struct Faulty<I> {
    inner: I,
    fault: fn(&mut I, &mut State),
    follows: bool,
}

impl<I: Integrator> Integrator for Faulty<I> {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn timestep_fs(&self) -> f64 {
        self.inner.timestep_fs()
    }
    fn step(&mut self, state: &mut State, potential: &mut dyn Potential) -> Result<(), StepError> {
        self.inner.step(state, potential)?;
        (self.fault)(&mut self.inner, state);
        Ok(())
    }
    fn conserved_ev(&self, state: &State) -> Vec<f64> {
        self.inner.conserved_ev(state)
    }
    fn retain_systems(&mut self, keep: &[usize]) {
        if self.follows {
            self.inner.retain_systems(keep);
        }
    }
}

fn failed(report: &Report) -> Vec<&'static str> {
    report.failures().iter().map(|check| check.id).collect()
}

#[test]
fn thermostat_conformance_catches_each_fault() {
    // Velocities a thousandth too large after every step: too hot, and energy is not conserved.
    let report = conformance::thermostat(|dt, kelvins, seeds, state| Faulty {
        inner: langevin(dt, kelvins, seeds, state),
        fault: |_, state| state.velocities_mut().iter_mut().for_each(|v| *v *= 1.001),
        follows: true,
    })
    .unwrap();
    for id in ["mean_kinetic", "conserved_ratio"] {
        assert!(failed(&report).contains(&id), "{id}\n{report}");
    }
    // The Berendsen thermostat: the right mean, too little variance. It is the Bussi thermostat without random numbers.
    let report = conformance::thermostat(|dt, kelvins, seeds, state| Faulty {
        inner: without_noise(bussi(dt, kelvins, seeds, state)),
        fault: |_, state| {
            for s in 0..state.batch().n_systems() {
                let mean_ev = 4.5 * BOLTZMANN_EV_PER_K * 300.0;
                let ratio = mean_ev / state.kinetic_energy_ev(s);
                let factor = (1.0 + state_dt(state) / 20.0 * (ratio - 1.0)).sqrt();
                let atoms = state.batch().range(s);
                state.velocities_mut()[atoms].iter_mut().for_each(|v| *v *= factor);
            }
        },
        follows: true,
    })
    .unwrap();
    assert!(failed(&report).contains(&"kinetic_variance"), "{report}");
    // Baths that are not updated when systems leave.
    let report = conformance::thermostat(|dt, kelvins, seeds, state| Faulty {
        inner: langevin(dt, kelvins, seeds, state),
        fault: |inner, state| inner.baths.truncate(state.batch().n_systems()),
        follows: false,
    })
    .unwrap();
    assert_eq!(failed(&report), ["retained_systems"], "{report}");
}

/// Returns the Bussi thermostat without its random term.
fn without_noise(mut bussi: Bussi) -> Bussi {
    bussi.keep = 1.0;
    bussi
}

/// Returns the time step, from the time of the state.
fn state_dt(state: &State) -> f64 {
    state.time_fs() / state.step() as f64
}

/// Water in vacuum at 300 K without translation and rotation.
fn molecule(n: usize) -> (State, Control, Vec<u64>) {
    let systems: Vec<System> = vec![water(); n];
    let mut control = Control::new(&systems[..1]).unwrap();
    let mut state = State::at_rest(&systems, &mut control).unwrap();
    let seeds: Vec<u64> = (0..n as u64).collect();
    thermalise(&mut state, &vec![300.0; n], &seeds, &VelocityOptions::default()).unwrap();
    (state, control, seeds)
}

#[test]
fn thermostat_of_isolated_molecule_adds_no_rigid_motion() {
    for (kind, mixes) in [
        (ThermostatKind::Langevin { friction_per_ps: 10.0 }, true),
        (ThermostatKind::Bussi { relaxation_fs: 50.0 }, false),
        (ThermostatKind::NoseHoover { relaxation_fs: 30.0 }, false),
    ] {
        let (mut state, mut control, seeds) = molecule(8);
        let mut thermostat = kind.build(0.5, &[Target::Constant(300.0); 8], &seeds, &state).unwrap();
        let mut thermal: Vec<ThermalAccumulator> = (0..8)
            .map(|s| {
                let masses = &state.batch().masses_amu()[state.batch().range(s)];
                ThermalAccumulator::new(masses, 3, 300.0).unwrap()
            })
            .collect();
        for step in 0..24_000 {
            thermostat.step(&mut state, &mut control).unwrap();
            if step > 4000 && step % 8 == 0 {
                for (s, thermal) in thermal.iter_mut().enumerate() {
                    let atoms = state.batch().range(s);
                    let (x, v) = (&state.positions()[atoms.clone()], &state.velocities()[atoms]);
                    thermal.push(1e-3 * state.time_fs(), x, v).unwrap();
                }
            }
        }
        for s in 0..8 {
            let atoms = state.batch().range(s);
            let (m, x) = (&state.batch().masses_amu()[atoms.clone()], &state.positions()[atoms.clone()]);
            let v = &state.velocities()[atoms];
            assert!(mechanics::momentum(m, v).norm() < 1e-9, "{kind:?}");
            assert!(mechanics::angular_momentum(m, x, v).norm() < 1e-9, "{kind:?}");
        }
        let found: Vec<_> = thermal.iter().map(|t| t.statistics().unwrap()).collect();
        let temperature = found.iter().map(|s| s.temperature_error.value).sum::<f64>() / 8.0;
        assert!(temperature.abs() < 0.1, "{kind:?}: {temperature}");
        if mixes {
            // One in 800 tests is below this by chance.
            assert!(found.iter().all(|s| s.equipartition_p > 1e-2 / 8.0), "{found:?}");
            assert!(found.iter().all(|s| s.kinetic_energy_p > 1e-2 / 8.0), "{found:?}");
        }
    }
}

/// Carbon dioxide bent by an angle, with a control potential whose minimum is linear.
fn bent_carbon_dioxide(degrees: f64, n: usize) -> (State, Control, Vec<u64>) {
    let (cos, sin) = ((0.5 * degrees.to_radians()).sin(), (0.5 * degrees.to_radians()).cos());
    let at = |cos: f64, sin: f64| [1.16 * cos, 1.16 * sin, 0.0];
    let shape = |sin| system(&["O", "C", "O"], &[at(-cos, sin), [0.0; 3], at(cos, sin)]);
    let mut control = Control::new(&[shape(0.0)]).unwrap();
    let mut state = State::at_rest(&vec![shape(sin); n], &mut control).unwrap();
    let seeds: Vec<u64> = (0..n as u64).collect();
    thermalise(&mut state, &vec![300.0; n], &seeds, &VelocityOptions::default()).unwrap();
    (state, control, seeds)
}

#[test]
fn thermostat_survives_bent_molecule_becoming_linear() {
    for kind in [
        ThermostatKind::Langevin { friction_per_ps: 20.0 },
        ThermostatKind::Bussi { relaxation_fs: 50.0 },
        ThermostatKind::NoseHoover { relaxation_fs: 30.0 },
    ] {
        let (mut state, mut control, seeds) = bent_carbon_dioxide(179.0, 8);
        assert_eq!(state.degrees_of_freedom(), [3; 8]);
        let mut thermostat = kind.build(0.5, &[Target::Constant(300.0); 8], &seeds, &state).unwrap();
        let start_ev = thermostat.conserved_ev(&state);
        let mut sides = 0;
        let mut side = [false; 8];
        for _ in 0..40_000 {
            thermostat.step(&mut state, &mut control).unwrap();
            for s in 0..8 {
                let atoms = state.batch().range(s);
                let (m, x) = (&state.batch().masses_amu()[atoms.clone()], &state.positions()[atoms.clone()]);
                let v = &state.velocities()[atoms];
                let spin = mechanics::angular_momentum(m, x, v).norm();
                assert!(spin < 1e-6, "{kind:?}: {spin:e} amu Å²/fs in step {}", state.step());
                let normal = (x[0] - x[1]).cross(&(x[2] - x[1])).z > 0.0;
                sides += usize::from(std::mem::replace(&mut side[s], normal) != normal);
            }
        }
        assert!(sides > 1000, "{kind:?}: {sides} passages");
        for (start, end) in start_ev.iter().zip(thermostat.conserved_ev(&state)) {
            assert!((end - start).abs() < 0.01, "{kind:?}: {start} eV, then {end} eV");
        }
    }
}

#[test]
fn thermostat_equipartitions_linear_molecule() {
    let (mut state, mut control, seeds) = bent_carbon_dioxide(180.0, 8);
    assert_eq!(state.degrees_of_freedom(), [4; 8]);
    let kind = ThermostatKind::Langevin { friction_per_ps: 20.0 };
    let mut thermostat = kind.build(0.5, &[Target::Constant(300.0); 8], &seeds, &state).unwrap();
    let masses = state.batch().masses_amu()[..3].to_vec();
    let mut thermal: Vec<ThermalAccumulator> =
        (0..8).map(|_| ThermalAccumulator::new(&masses, 4, 300.0).unwrap()).collect();
    let (mut shares, mut frames) = ([0.0; 3], 0.0);
    for step in 0..44_000 {
        thermostat.step(&mut state, &mut control).unwrap();
        if step < 4000 || step % 8 != 0 {
            continue;
        }
        for (s, thermal) in thermal.iter_mut().enumerate() {
            let atoms = state.batch().range(s);
            let (x, v) = (&state.positions()[atoms.clone()], &state.velocities()[atoms]);
            thermal.push(1e-3 * state.time_fs(), x, v).unwrap();
            for ((share, m), v) in shares.iter_mut().zip(&masses).zip(v) {
                *share += 2.0 * mechanics::kinetic_energy_ev(&[*m], &[*v]) / (BOLTZMANN_EV_PER_K * 300.0);
            }
            frames += 1.0;
        }
    }
    for (share, expected) in shares.iter().zip([0.9094, 2.1812, 0.9094]) {
        let found = share / frames;
        assert!((found / expected - 1.0).abs() < 0.07, "{found} of {expected}");
    }
    let found: Vec<_> = thermal.iter().map(|t| t.statistics().unwrap()).collect();
    // One in 800 tests is below this by chance.
    assert!(found.iter().all(|s| s.equipartition_p > 1e-2 / 8.0), "{found:?}");
    assert!(found.iter().all(|s| s.kinetic_energy_p > 1e-2 / 8.0), "{found:?}");
}

#[test]
fn langevin_follows_temperature_ramp() {
    let (mut state, mut control, seeds) = molecule(16);
    let ramp = Target::Ramp { from_k: 300.0, to_k: 900.0, duration_fs: 2000.0 };
    let kind = ThermostatKind::Langevin { friction_per_ps: 20.0 };
    let mut thermostat = kind.build(0.5, &[ramp; 16], &seeds, &state).unwrap();
    (0..4000).for_each(|_| thermostat.step(&mut state, &mut control).unwrap());
    let mut mean = 0.0;
    for _ in 0..4000 {
        thermostat.step(&mut state, &mut control).unwrap();
        mean += (0..16).map(|s| state.temperature_k(s)).sum::<f64>() / 16.0 / 4000.0;
    }
    assert!((mean - 900.0).abs() < 60.0, "{mean} K");
}

#[test]
fn thermostat_build_rejects_bad_parameters() {
    let (state, _, _) = molecule(1);
    let build = |kind: ThermostatKind, dt: f64, target: Target, seeds: &[u64]| {
        kind.build(dt, &[target], seeds, &state).map(|_| ()).unwrap_err().to_string()
    };
    let langevin = |friction_per_ps| ThermostatKind::Langevin { friction_per_ps };
    let warm = Target::Constant(300.0);
    let ramp = Target::Ramp { from_k: 100.0, to_k: 300.0, duration_fs: 10.0 };
    for (message, expected) in [
        (build(langevin(1.0), -0.5, warm, &[1]), "time step"),
        (build(langevin(0.0), 0.5, warm, &[1]), "the friction (1/ps) is 0"),
        (build(langevin(1.0), 0.5, warm, &[]), "expected 1 seeds, found 0"),
        (build(langevin(1.0), 0.5, Target::Constant(f64::NAN), &[1]), "system 0 has the target"),
        (build(ThermostatKind::Bussi { relaxation_fs: f64::INFINITY }, 0.5, warm, &[1]), "relaxation time"),
        (build(ThermostatKind::NoseHoover { relaxation_fs: 50.0 }, 0.5, ramp, &[1]), "cannot follow"),
    ] {
        assert!(message.contains(expected), "{message}");
    }
}
