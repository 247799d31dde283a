//! Measurements on any integrator, with systems whose behaviour is known.
//!
//! Each takes `make`, which creates the integrator with a time step in fs. Limits are in
//! [`conformance::integrator`](crate::conformance::integrator); the suite for thermostats uses the measurements that
//! apply to them.

use md_core::{Element, Integrator, State, System, Vec3};
use md_probe::analytic::{HarmonicWell, Morse, Pairs};
use md_probe::random::SplitMix64;
use md_probe::{ProbeError, largest};

/// Behaviour of the conserved quantity at time steps of 0.25 fs and 0.125 fs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conservation {
    /// Ratio of the root-mean-square fluctuations at the long and the short time step: 2^n for a scheme of order n.
    pub fluctuation_ratio: f64,
    /// Mean of the second half of the run minus that of the first, at the long time step, relative to the fluctuation:
    /// far below 1 for pure oscillation, 1.7 for pure drift.
    pub drift_ratio: f64,
}

/// Measures the conserved quantity of three vibrating triatomic molecules (Morse potential, kinetic energy 70 meV per
/// atom) over 200 fs, sampled every 0.25 fs.
///
/// # Errors
/// Any error of the integrator.
pub fn conservation(make: impl Fn(f64) -> Box<dyn Integrator>) -> Result<Conservation, ProbeError> {
    let long = conserved_series(&mut *make(0.25), 1)?;
    let short = conserved_series(&mut *make(0.125), 2)?;
    let rms = |all: &[Vec<f64>]| {
        let variances = all.iter().map(|series| {
            let mean = mean(series);
            series.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / series.len() as f64
        });
        (variances.sum::<f64>() / all.len() as f64).sqrt()
    };
    let drift = largest(long.iter().map(|series| {
        let (first, second) = series.split_at(series.len() / 2);
        (mean(second) - mean(first)).abs()
    }));
    Ok(Conservation { fluctuation_ratio: rms(&long) / rms(&short), drift_ratio: drift / rms(&long) })
}

/// Measures the largest distance (Å) of an atom from its initial position after 200 steps of 0.5 fs and, with all
/// velocities reversed, 200 steps back.
///
/// # Errors
/// Any error of the integrator.
pub fn time_reversal_angstrom(make: impl Fn(f64) -> Box<dyn Integrator>) -> Result<f64, ProbeError> {
    let (mut potential, mut state) = molecules()?;
    let mut integrator = make(0.5);
    let start = state.positions().to_vec();
    for _ in 0..200 {
        integrator.step(&mut state, &mut potential)?;
    }
    for v in state.velocities_mut() {
        *v = -*v;
    }
    for _ in 0..200 {
        integrator.step(&mut state, &mut potential)?;
    }
    Ok(largest(start.iter().zip(state.positions()).map(|(a, b)| (a - b).norm())))
}

/// Measures the largest error against the analytic harmonic oscillator in 40 fs at a time step of 0.2 fs, divided by
/// that at 0.1 fs: 2^n for a scheme of order n, 1 for one with other equations of motion.
///
/// Both the errors of positions and those of velocities (over ω) count.
///
/// # Errors
/// Any error of the integrator.
pub fn oscillator_ratio(make: impl Fn(f64) -> Box<dyn Integrator>) -> Result<f64, ProbeError> {
    Ok(oscillator_error(&mut *make(0.2), 1)? / oscillator_error(&mut *make(0.1), 2)?)
}

/// Measures the largest effect (Å) on some systems of the removal of others from the batch: 20 steps of three systems
/// against 10 of three and 10 of the third and first of them. Zero for every integrator on a CPU.
///
/// # Errors
/// Any error of the integrator.
pub fn retained_angstrom(make: impl Fn(f64) -> Box<dyn Integrator>) -> Result<f64, ProbeError> {
    let keep = [2, 0];
    let (mut potential, mut whole) = molecules()?;
    let mut reduced = whole.clone();
    let mut integrator = make(0.5);
    for _ in 0..20 {
        integrator.step(&mut whole, &mut potential)?;
    }
    whole.retain_systems(&keep);
    let mut integrator = make(0.5);
    for step in 0..20 {
        if step == 10 {
            reduced.retain_systems(&keep);
            integrator.retain_systems(&keep);
        }
        integrator.step(&mut reduced, &mut potential)?;
    }
    Ok(largest(whole.positions().iter().zip(reduced.positions()).map(|(a, b)| (a - b).norm())))
}

/// Checks of the invariants of the state over 10 steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bookkeeping {
    /// Largest difference between the forces in the state and those at its positions, eV/Å: zero, since a state must
    /// restart exactly.
    pub stale_force_ev_per_angstrom: f64,
    /// Largest difference between the time of the state and the number of steps times the time step, fs.
    pub clock_fs: f64,
}

/// Measures [`Bookkeeping`].
///
/// # Errors
/// Any error of the integrator.
pub fn bookkeeping(make: impl Fn(f64) -> Box<dyn Integrator>) -> Result<Bookkeeping, ProbeError> {
    let (mut potential, mut state) = molecules()?;
    let mut integrator = make(0.5);
    let mut found = Bookkeeping { stale_force_ev_per_angstrom: 0.0, clock_fs: 0.0 };
    for step in 1..=10 {
        integrator.step(&mut state, &mut potential)?;
        let mut fresh = state.clone();
        fresh.evaluate(&mut potential)?;
        let pairs = state.evaluation().forces.iter().zip(&fresh.evaluation().forces);
        let stale = largest(pairs.map(|(a, b)| (a - b).norm()));
        found.stale_force_ev_per_angstrom = largest([found.stale_force_ev_per_angstrom, stale]);
        found.clock_fs = largest([found.clock_fs, (state.time_fs() - 0.5 * f64::from(step)).abs()]);
    }
    Ok(found)
}

/// Three vibrating triatomic molecules with different velocities.
fn molecules() -> Result<(Morse, State), ProbeError> {
    let molecule = System::new(
        vec![Element::O, Element::C, Element::N],
        vec![Vec3::zeros(), Vec3::new(1.25, 0.05, 0.0), Vec3::new(0.6, 1.15, 0.1)],
    )?;
    let mut morse = Morse { depth_ev: 4.5, steepness_per_angstrom: 2.0, r0_angstrom: 1.3, pairs: Pairs::All };
    let mut state = State::at_rest(&[molecule.clone(), molecule.clone(), molecule], &mut morse)?;
    let mut random = SplitMix64::new(3);
    for v in state.velocities_mut() {
        *v = random.in_cube(0.01);
    }
    Ok((morse, state))
}

/// Returns the conserved energy (eV) of each molecule every `stride` steps, 800 times.
fn conserved_series(integrator: &mut dyn Integrator, stride: usize) -> Result<Vec<Vec<f64>>, ProbeError> {
    let (mut potential, mut state) = molecules()?;
    let mut series = vec![Vec::new(); state.batch().n_systems()];
    for _ in 0..800 {
        for _ in 0..stride {
            integrator.step(&mut state, &mut potential)?;
        }
        for (one, e) in series.iter_mut().zip(integrator.conserved_ev(&state)) {
            one.push(e);
        }
    }
    Ok(series)
}

/// Returns the largest error (Å) against the analytic motion of three oscillators, sampled every `stride` steps, 200
/// times.
fn oscillator_error(integrator: &mut dyn Integrator, stride: usize) -> Result<f64, ProbeError> {
    let centres: Vec<Vec3> = (0..3).map(|i| Vec3::new(3.0 * f64::from(i), 0.0, 0.0)).collect();
    let mut well = HarmonicWell { stiffness_ev_per_angstrom2: 5.0, centres };
    let mut random = SplitMix64::new(5);
    let start: Vec<Vec3> = well.centres.iter().map(|c| c + random.in_cube(0.2)).collect();
    let atoms = System::new(vec![Element::H, Element::C, Element::O], start.clone())?;
    let mut state = State::at_rest(std::slice::from_ref(&atoms), &mut well)?;
    for v in state.velocities_mut() {
        *v = random.in_cube(0.02);
    }
    let launch = state.velocities().to_vec();
    let mut worst = 0.0;
    for step in 1..=200 {
        for _ in 0..stride {
            integrator.step(&mut state, &mut well)?;
        }
        let time_fs = (step * stride) as f64 * integrator.timestep_fs();
        for (i, &mass) in atoms.masses_amu().iter().enumerate() {
            let (x, v) = well.trajectory(i, mass, start[i], launch[i], time_fs);
            let late = (state.velocities()[i] - v).norm() / well.angular_frequency_per_fs(mass);
            worst = largest([worst, (state.positions()[i] - x).norm(), late]);
        }
    }
    Ok(worst)
}

fn mean(series: &[f64]) -> f64 {
    series.iter().sum::<f64>() / series.len() as f64
}
