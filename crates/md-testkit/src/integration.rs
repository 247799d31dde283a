//! Measurements on any integrator, on systems whose behaviour is known. Numbers, no judgement.
//!
//! Each takes `make`, which builds the integrator for a time step in fs. Judgement is in
//! [`conformance::integrator`](crate::conformance::integrator); a thermostat takes the parts that apply to
//! it.

use md_core::{Element, Integrator, State, System, Vec3};
use md_probe::analytic::{HarmonicWell, Morse, Pairs};
use md_probe::random::SplitMix64;
use md_probe::{ProbeError, largest};

/// How the integrator's conserved quantity behaves at time steps of 0.25 fs and 0.125 fs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conservation {
    /// Root-mean-square fluctuation at the long time step over that at the short one: 2^n for a scheme of order n.
    pub fluctuation_ratio: f64,
    /// Mean of the second half of the run minus that of the first, at the long time step, as a multiple of
    /// the fluctuation: far below 1 for a scheme that only oscillates, 1.7 for one that only drifts.
    pub drift_ratio: f64,
}

/// The conserved quantity of three vibrating triatomic molecules (Morse potential, kinetic energy 70 meV per
/// atom) over 200 fs, read every 0.25 fs.
///
/// # Errors
/// What the integrator returns.
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

/// Largest distance (Å) of an atom from where it began, after 200 steps of 0.5 fs forward and, with all
/// velocities reversed, 200 back.
///
/// # Errors
/// What the integrator returns.
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

/// Largest error against the analytic harmonic oscillator in 40 fs at a time step of 0.2 fs, over that at 0.1
/// fs: 2^n for a scheme of order n, 1 for one that follows other equations of motion.
///
/// Errors of positions and of velocities (over ω) both count.
///
/// # Errors
/// What the integrator returns.
pub fn oscillator_ratio(make: impl Fn(f64) -> Box<dyn Integrator>) -> Result<f64, ProbeError> {
    Ok(oscillator_error(&mut *make(0.2), 1)? / oscillator_error(&mut *make(0.1), 2)?)
}

/// Largest distance (Å) that it makes to some of the systems that others leave the batch: 20 steps of three
/// systems against 10 of three and 10 of the third and first of them. Zero for every integrator, on a CPU.
///
/// # Errors
/// What the integrator returns.
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

/// Whether the state keeps its invariants over 10 steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bookkeeping {
    /// Largest difference between the forces in the state and those at its positions, eV/Å: zero, for a state
    /// must restart exactly.
    pub stale_force_ev_per_angstrom: f64,
    /// Largest difference between the state's time and the number of steps made times the time step, fs.
    pub clock_fs: f64,
}

/// See [`Bookkeeping`].
///
/// # Errors
/// What the integrator returns.
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

/// Three vibrating triatomic molecules that differ in their velocities.
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

/// Conserved energy (eV) of each molecule every `stride` steps, 800 times.
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

/// Largest error (Å) against the analytic motion of three oscillators, read every `stride` steps, 200 times.
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
