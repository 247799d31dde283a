use md_core::units::BOLTZMANN_EV_PER_K;
use md_core::{Element, Integrator, State, Sum, System, Vec3, mechanics};
use md_probe::analytic::{HarmonicWell, LennardJones};
use md_probe::{ProbeError, largest};

use super::{Check, Limit, Report};

/// Target temperature of all systems, K.
const TEMPERATURE_K: f64 = 300.0;

/// Number of independent systems to average over.
const REPLICAS: usize = 96;

/// Time step of the averages, fs; number of steps before and during them.
const TIMESTEP_FS: f64 = 0.5;
const EQUILIBRATION_STEPS: usize = 3000;
const STEPS: usize = 8000;

/// Number of steps of the bitwise checks.
const SHORT: usize = 50;

/// Checks whether a thermostat samples the canonical ensemble and its conserved quantity is right, on three atoms of
/// different mass that collide in a trap. `make` creates it with a time step (fs), a target (K) for each system of the
/// state, and seeds; it should relax within about 100 fs.
///
/// Deviations of averages are in standard errors of the scatter between 96 replicas, of which 4 are allowed: by chance
/// that happens once in 3000 cases. `mean_kinetic` and `kinetic_variance` are compared with those of n degrees of
/// freedom, `n k_B T / 2` and `n (k_B T)² / 2`; `virial` is `⟨Σ x·∇U⟩ = n k_B T`, an average over positions only;
/// `equipartition` uses the worst atom. `conserved_ratio` is the ratio of the variations of the conserved quantity at
/// the full and half time step: 4 for an error of order dt², up to 5.7 for a sum of random errors.
///
/// # Errors
/// Any error of the integrator.
pub fn thermostat<I: Integrator + Clone>(
    make: impl Fn(f64, &[f64], &[u64], &State) -> I,
) -> Result<Report, ProbeError> {
    let seeds: Vec<u64> = (0..REPLICAS as u64).map(|k| 1000 + k).collect();
    let sampled = sample(&make, &seeds)?;
    let wander = |dt: f64| wander_ev(&make, &seeds[..32], dt);
    let ratio = wander(1.0)? / wander(0.5)?;
    let (batch, retained) = company_angstrom(&make)?;
    let (restart, clock) = restart_angstrom(&make)?;
    let check = |id, value, limit, unit| Check { id, value, limit, unit, system: None };
    let within = Limit::AtMost(4.0);
    let checks = vec![
        check("mean_kinetic", sampled.mean_kinetic, within, "σ"),
        check("kinetic_variance", sampled.kinetic_variance, within, "σ"),
        check("virial", sampled.virial, within, "σ"),
        check("equipartition", sampled.equipartition, within, "σ"),
        check("conserved_ratio", ratio, Limit::Between(3.4, 6.5), "1"),
        check("batch", batch, Limit::AtMost(0.0), "Å"),
        check("retained_systems", retained, Limit::AtMost(0.0), "Å"),
        check("restart", restart, Limit::AtMost(0.0), "Å"),
        check("clock", clock, Limit::AtMost(0.0), "fs"),
    ];
    let (state, _) = start(1)?;
    let subject = make(TIMESTEP_FS, &[TEMPERATURE_K], &[1], &state).name().to_owned();
    Ok(Report { subject, checks })
}

/// Deviations of averages from their canonical values, in standard errors.
struct Sampled {
    mean_kinetic: f64,
    kinetic_variance: f64,
    virial: f64,
    equipartition: f64,
}

/// Creates `n` replicas at rest: three light atoms in one trap that collide frequently, so that they quickly exchange
/// the heat of a thermostat.
fn start(n: usize) -> Result<(State, Sum), ProbeError> {
    let sites = vec![Vec3::zeros(), Vec3::new(1.2, 0.0, 0.0), Vec3::new(0.3, 1.1, 0.3)];
    let system = System::new(vec![Element::H; 3], sites)?.with_masses_amu(vec![1.5, 3.0, 6.0])?;
    let trap = HarmonicWell { stiffness_ev_per_angstrom2: 0.5, centres: vec![Vec3::zeros(); 3] };
    let cores = LennardJones { epsilon_ev: 0.02, sigma_angstrom: 1.0 };
    let mut potential = Sum::new(vec![Box::new(trap), Box::new(cores)]);
    let state = State::at_rest(&vec![system; n], &mut potential)?;
    Ok((state, potential))
}

fn sample<I: Integrator>(
    make: &impl Fn(f64, &[f64], &[u64], &State) -> I,
    seeds: &[u64],
) -> Result<Sampled, ProbeError> {
    let (mut state, mut potential) = start(seeds.len())?;
    warm(&mut state);
    let mut thermostat = make(TIMESTEP_FS, &vec![TEMPERATURE_K; seeds.len()], seeds, &state);
    for _ in 0..EQUILIBRATION_STEPS {
        thermostat.step(&mut state, &mut potential)?;
    }
    let kt = BOLTZMANN_EV_PER_K * TEMPERATURE_K;
    let n = 9.0;
    let mut sums = vec![[0.0; 6]; seeds.len()];
    for _ in 0..STEPS {
        thermostat.step(&mut state, &mut potential)?;
        for (s, (atoms, sums)) in state.batch().ranges().zip(&mut sums).enumerate() {
            let kinetic = state.kinetic_energy_ev(s) / kt;
            sums[0] += kinetic - 0.5 * n;
            sums[1] += (kinetic - 0.5 * n).powi(2) - 0.5 * n;
            for (k, atom) in atoms.enumerate() {
                let from_well = state.positions()[atom];
                sums[2] -= from_well.dot(&state.evaluation().forces[atom]) / kt;
                let one = atom..atom + 1;
                let of_atom = mechanics::kinetic_energy_ev(
                    &state.batch().masses_amu()[one.clone()],
                    &state.velocities()[one],
                );
                sums[3 + k] += of_atom / kt - 1.5;
            }
            sums[2] -= n;
        }
    }
    // Mean over replicas in units of its standard error, computed from their scatter.
    let deviation = |k: usize| {
        let means: Vec<f64> = sums.iter().map(|s| s[k] / STEPS as f64).collect();
        let count = means.len() as f64;
        let mean = means.iter().sum::<f64>() / count;
        let variance = means.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean / (variance / count).sqrt()).abs()
    };
    Ok(Sampled {
        mean_kinetic: deviation(0),
        kinetic_variance: deviation(1),
        virial: deviation(2),
        equipartition: largest((3..6).map(deviation)),
    })
}

/// Sets velocities of roughly the right magnitude, different in every replica, as initial values for deterministic
/// thermostats.
fn warm(state: &mut State) {
    let mut random = md_probe::random::SplitMix64::new(5);
    let masses = state.batch().masses_amu().to_vec();
    for (v, m) in state.velocities_mut().iter_mut().zip(masses) {
        *v = random.in_cube(0.02 / m.sqrt());
    }
}

/// Root mean square change of the conserved quantity over 400 fs, averaged over replicas, eV.
fn wander_ev<I: Integrator>(
    make: &impl Fn(f64, &[f64], &[u64], &State) -> I,
    seeds: &[u64],
    timestep_fs: f64,
) -> Result<f64, ProbeError> {
    let (mut state, mut potential) = start(seeds.len())?;
    warm(&mut state);
    let mut thermostat = make(timestep_fs, &vec![TEMPERATURE_K; seeds.len()], seeds, &state);
    let first = thermostat.conserved_ev(&state);
    let steps = (400.0 / timestep_fs) as usize;
    let mut sum = 0.0;
    for _ in 0..steps {
        thermostat.step(&mut state, &mut potential)?;
        let now = thermostat.conserved_ev(&state);
        sum += now.iter().zip(&first).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    }
    Ok((sum / (steps * seeds.len()) as f64).sqrt())
}

/// Measures the effect on the last of three systems of the presence of the others and of their removal half way, Å.
fn company_angstrom<I: Integrator>(
    make: &impl Fn(f64, &[f64], &[u64], &State) -> I,
) -> Result<(f64, f64), ProbeError> {
    let (mut three, mut potential) = start(3)?;
    warm(&mut three);
    let (mut one, _) = start(1)?;
    one.velocities_mut().copy_from_slice(&three.velocities()[6..]);
    let (targets, seeds) = ([200.0, 400.0, TEMPERATURE_K], [7, 8, 9]);
    let mut of_three = make(TIMESTEP_FS, &targets, &seeds, &three);
    let mut of_one = make(TIMESTEP_FS, &targets[2..], &seeds[2..], &one);
    let apart = |a: &[Vec3], b: &[Vec3]| largest(a.iter().zip(b).map(|(a, b)| (a - b).norm()));
    for _ in 0..SHORT {
        of_three.step(&mut three, &mut potential)?;
        of_one.step(&mut one, &mut potential)?;
    }
    let in_company = apart(&three.positions()[6..], one.positions());
    three.retain_systems(&[2]);
    of_three.retain_systems(&[2]);
    for _ in 0..SHORT {
        of_three.step(&mut three, &mut potential)?;
        of_one.step(&mut one, &mut potential)?;
    }
    Ok((in_company, apart(three.positions(), one.positions())))
}

/// Measures the deviation of a copy of state and integrator, Å, and the error of the clock, fs.
fn restart_angstrom<I: Integrator + Clone>(
    make: &impl Fn(f64, &[f64], &[u64], &State) -> I,
) -> Result<(f64, f64), ProbeError> {
    let (mut state, mut potential) = start(2)?;
    warm(&mut state);
    let mut thermostat = make(TIMESTEP_FS, &[TEMPERATURE_K; 2], &[3, 4], &state);
    for _ in 0..SHORT {
        thermostat.step(&mut state, &mut potential)?;
    }
    let (mut later, mut copy) = (state.clone(), thermostat.clone());
    for _ in 0..SHORT {
        thermostat.step(&mut state, &mut potential)?;
    }
    for _ in 0..SHORT {
        copy.step(&mut later, &mut potential)?;
    }
    let astray = largest(state.positions().iter().zip(later.positions()).map(|(a, b)| (a - b).norm()));
    let conserved = thermostat
        .conserved_ev(&state)
        .iter()
        .zip(copy.conserved_ev(&later))
        .map(|(a, b)| (a - b).abs())
        .sum::<f64>();
    let clock = (state.time_fs() - 2.0 * SHORT as f64 * TIMESTEP_FS).abs();
    Ok((largest([astray, conserved]), clock))
}
