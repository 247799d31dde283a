//! Velocity Verlet against closed forms and against ASE; memory used by a run.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::alloc::{GlobalAlloc, Layout, System as SystemAllocator};
use std::cell::Cell;

use md_core::*;
use md_dynamics::{
    ForestRuth, IntegratorKind, RunOptions, ThermostatKind, VelocityOptions, VelocityVerlet, run, thermalise,
};
use md_probe::analytic::{HarmonicBond, HarmonicBonds, HarmonicWell, LennardJones, Morse, Pairs};
use md_testkit::conformance;
use serde_json::Value;

const ARGON: LennardJones = LennardJones { epsilon_ev: 0.0104, sigma_angstrom: 3.4 };

fn morse() -> Morse {
    Morse { depth_ev: 4.6, steepness_per_angstrom: 1.9, r0_angstrom: 1.27, pairs: Pairs::All }
}

fn hydrogen_chloride() -> System {
    let elements = vec![Element::H, "Cl".parse().unwrap()];
    System::new(elements, vec![Vec3::zeros(), Vec3::new(0.7, 0.8, 0.9)]).unwrap()
}

fn argon_cluster() -> System {
    let positions = [[0.0, 0.0, 0.0], [3.9, 0.1, 0.0], [1.9, 3.4, -0.1], [2.0, 1.2, 3.1], [2.1, -1.1, -3.2]];
    System::new(vec![Element::AR; 5], positions.iter().map(|&x| Vec3::from(x)).collect()).unwrap()
}

fn warm(systems: &[System], temperature_k: f64, potential: &mut dyn Potential) -> State {
    let mut state = State::at_rest(systems, potential).unwrap();
    let seeds: Vec<u64> = (1..=systems.len() as u64).collect();
    thermalise(&mut state, &vec![temperature_k; systems.len()], &seeds, &VelocityOptions::default()).unwrap();
    state
}

fn advance(state: &mut State, potential: &mut dyn Potential, timestep_fs: f64, steps: usize) {
    let mut verlet = VelocityVerlet::new(timestep_fs).unwrap();
    for _ in 0..steps {
        verlet.step(state, potential).unwrap();
    }
}

/// Returns the total energy (eV) of the first system after every step, including the start.
fn energies(state: &mut State, potential: &mut dyn Potential, timestep_fs: f64, steps: usize) -> Vec<f64> {
    let mut verlet = VelocityVerlet::new(timestep_fs).unwrap();
    let mut energies = verlet.conserved_ev(state);
    for _ in 0..steps {
        verlet.step(state, potential).unwrap();
        energies.push(verlet.conserved_ev(state)[0]);
    }
    energies
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn deviation(values: &[f64]) -> f64 {
    let centre = mean(values);
    mean(&values.iter().map(|v| (v - centre).powi(2)).collect::<Vec<_>>()).sqrt()
}

fn furthest(a: &[Vec3], b: &[Vec3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).amax()).fold(0.0, f64::max)
}

#[test]
fn velocity_verlet_rejects_non_positive_timestep() {
    for bad in [0.0, -0.5, f64::NAN, f64::INFINITY] {
        assert!(matches!(VelocityVerlet::new(bad), Err(StepError::TimeStep(_))), "{bad}");
    }
    let verlet = VelocityVerlet::new(0.5).unwrap();
    assert_eq!((verlet.timestep_fs(), verlet.name()), (0.5, "velocity Verlet"));
}

#[test]
fn velocity_verlet_passes_integrator_conformance() {
    let report = conformance::integrator(2, |dt| Box::new(VelocityVerlet::new(dt).unwrap())).unwrap();
    report.assert_all();
    assert_eq!(report.subject, "velocity Verlet");
}

#[test]
fn forest_ruth_conforms_to_fourth_order_not_second() {
    let report = |order| conformance::integrator(order, |dt| Box::new(ForestRuth::new(dt).unwrap())).unwrap();
    report(4).assert_all();
    let failed: Vec<&str> = report(2).failures().iter().map(|check| check.id).collect();
    assert_eq!(failed, ["fluctuation_ratio", "oscillator_ratio"]);
}

/// Four force evaluations each: one step of 0.4 fs, or four of 0.1 fs.
#[test]
fn forest_ruth_beats_velocity_verlet_at_equal_cost() {
    let fluctuation_ev = |mut integrator: Box<dyn Integrator>, stride: usize| {
        let mut morse = morse();
        let mut state = State::at_rest(&[hydrogen_chloride()], &mut morse).unwrap();
        let energies: Vec<f64> = (0..200)
            .map(|_| {
                for _ in 0..stride {
                    integrator.step(&mut state, &mut morse).unwrap();
                }
                integrator.conserved_ev(&state)[0]
            })
            .collect();
        deviation(&energies)
    };
    let verlet = fluctuation_ev(Box::new(VelocityVerlet::new(0.1).unwrap()), 4);
    let forest_ruth = fluctuation_ev(Box::new(ForestRuth::new(0.4).unwrap()), 1);
    assert!(forest_ruth < 0.05 * verlet, "{forest_ruth:e} eV, velocity Verlet {verlet:e} eV");
}

#[test]
fn integrator_and_thermostat_kinds_are_found_by_name() {
    for kind in IntegratorKind::ALL {
        assert_eq!(IntegratorKind::find(kind.name()), Some(*kind));
        assert_eq!(kind.build(0.5).unwrap().timestep_fs(), 0.5);
        assert!(matches!(kind.build(0.0), Err(StepError::TimeStep(_))));
    }
    assert_eq!(IntegratorKind::DEFAULT.build(0.5).unwrap().name(), "velocity Verlet");
    assert_eq!(IntegratorKind::find("leapfrog"), None);
    for kind in ThermostatKind::ALL {
        assert_eq!(ThermostatKind::find(kind.name()), Some(kind));
        assert_ne!(kind.with_parameter(7.0), kind);
        assert_eq!(kind.with_parameter(7.0).name(), kind.name());
    }
}

/// On a harmonic oscillator the scheme has a closed form: `x_n = x₀ cos nθ + v₀/(ω c) sin nθ`, `v_n = v₀ cos nθ - x₀ ω
/// c sin nθ` with `cos θ = 1 - (ω dt)²/2` and `c = sqrt(1 - (ω dt)²/4)`.
#[test]
fn velocity_verlet_of_oscillator_matches_closed_form() {
    let mut well = HarmonicWell { stiffness_ev_per_angstrom2: 30.0, centres: vec![Vec3::zeros()] };
    let (x0, v0) = (Vec3::new(0.1, -0.2, 0.3), Vec3::new(0.02, 0.03, -0.01));
    for timestep_fs in [0.25, 1.0, 2.0] {
        let carbon = System::new(vec![Element::C], vec![x0]).unwrap();
        let mut state = State::at_rest(&[carbon], &mut well).unwrap();
        state.velocities_mut()[0] = v0;
        let omega = well.angular_frequency_per_fs(Element::C.mass_amu());
        let squared = (omega * timestep_fs).powi(2);
        let (theta, c) = ((1.0 - 0.5 * squared).acos(), (1.0 - 0.25 * squared).sqrt());
        for n in 1..=2000 {
            advance(&mut state, &mut well, timestep_fs, 1);
            let (sin, cos) = (f64::from(n) * theta).sin_cos();
            let x = x0 * cos + v0 * (sin / (omega * c));
            let v = v0 * cos - x0 * (omega * c * sin);
            assert!((state.positions()[0] - x).amax() < 2e-12, "step {n} of {timestep_fs} fs");
            assert!((state.velocities()[0] - v).amax() < 2e-13, "step {n} of {timestep_fs} fs");
        }
        assert_eq!(state.time_fs(), 2000.0 * timestep_fs);
    }
}

#[test]
fn velocity_verlet_conserves_momentum_and_spin() {
    let mut argon = ARGON;
    let mut state = State::at_rest(&[argon_cluster()], &mut argon).unwrap();
    for (k, v) in state.velocities_mut().iter_mut().enumerate() {
        *v = Vec3::new(k as f64 - 1.0, 2.0, -(k as f64)) * 2e-4;
    }
    let moments = |state: &State| {
        let (m, x, v) = (state.batch().masses_amu(), state.positions(), state.velocities());
        (mechanics::momentum(m, v), mechanics::angular_momentum(m, x, v))
    };
    let (momentum, spin) = moments(&state);
    advance(&mut state, &mut argon, 2.0, 5000);
    let (momentum_after, spin_after) = moments(&state);
    assert!((momentum_after - momentum).norm() < 1e-12 * momentum.norm());
    assert!((spin_after - spin).norm() < 1e-11 * spin.norm());
}

/// Runs of 100 ps and 400 ps: the energy fluctuates by the asserted amount, but its mean does not drift once kinetic
/// and potential energy have equilibrated in the first tenth. The cluster is chaotic: the means of one trajectory
/// differ by 4 % of the fluctuation by chance, those of 64 by 0.5 %.
#[test]
fn velocity_verlet_energy_does_not_drift() {
    for (system, potential, temperature_k, timestep_fs, fluctuation_ev, trajectories, drift) in [
        (hydrogen_chloride(), &mut morse() as &mut dyn Potential, 500.0, 0.5, 2e-3, 1, 0.01),
        (argon_cluster(), &mut ARGON.clone(), 10.0, 2.0, 2e-7, 64, 0.02),
    ] {
        let mut shifts = Vec::new();
        for seed in 1..=trajectories {
            let mut state = warm(std::slice::from_ref(&system), temperature_k, potential);
            thermalise(&mut state, &[temperature_k], &[seed], &VelocityOptions::default()).unwrap();
            let energies = energies(&mut state, potential, timestep_fs, 200_000);
            let spread = deviation(&energies);
            let (first, last) = (mean(&energies[20_000..40_000]), mean(&energies[energies.len() - 20_000..]));
            assert!(spread < fluctuation_ev, "{}: {spread:e}", potential.name());
            shifts.push((last - first) / spread);
        }
        println!("{}: {}", potential.name(), mean(&shifts));
        assert!(mean(&shifts).abs() < drift, "{}: {}", potential.name(), mean(&shifts));
    }
}

/// ASE 3.29.0 (see golden/ase_nve.py) and this crate agree to 1e-12 in Å, Å/fs and eV.
#[test]
fn velocity_verlet_agrees_with_ase() {
    let golden: Value = serde_json::from_str(include_str!("golden/ase_nve.json")).unwrap();
    for case in golden["runs"].as_array().unwrap() {
        let elements = case["symbols"].as_array().unwrap().iter();
        let elements = elements.map(|s| s.as_str().unwrap().parse().unwrap()).collect();
        let frames = case["frames"].as_array().unwrap();
        let system = System::new(elements, vectors(&frames[0]["positions"])).unwrap();
        let masses: Vec<f64> = case["masses_amu"].as_array().unwrap().iter().map(number).collect();
        assert_eq!(system.masses_amu(), masses);
        let (mut potential, zero_ev) = potential(&case["potential"]);
        let mut state = State::at_rest(&[system], &mut potential).unwrap();
        state.velocities_mut().copy_from_slice(&vectors(&frames[0]["velocities"]));
        for frame in frames {
            let steps = frame["step"].as_u64().unwrap() - state.step();
            advance(&mut state, &mut potential, number(&case["timestep_fs"]), steps as usize);
            let position = furthest(state.positions(), &vectors(&frame["positions"]));
            let velocity = furthest(state.velocities(), &vectors(&frame["velocities"]));
            let energy = state.potential_energy_ev(0) + state.kinetic_energy_ev(0)
                - zero_ev
                - number(&frame["total_energy_ev"]);
            println!("{} {}: {position:e} Å, {velocity:e} Å/fs, {energy:e} eV", case["name"], frame["step"]);
            assert!(position < 1e-12 && velocity < 1e-12 && energy.abs() < 1e-12, "{}", case["name"]);
        }
        assert_eq!(state.step(), 400);
    }
}

/// Returns the potential of a case, and its energy (eV) at the zero of ASE.
fn potential(parameters: &Value) -> (Box<dyn Potential>, f64) {
    if let Some(p) = parameters.get("lennard_jones") {
        let (epsilon_ev, sigma_angstrom) = (number(&p["epsilon_ev"]), number(&p["sigma_angstrom"]));
        return (Box::new(LennardJones { epsilon_ev, sigma_angstrom }), 0.0);
    }
    if let Some(p) = parameters.get("morse") {
        let depth_ev = number(&p["depth_ev"]);
        let steepness_per_angstrom = number(&p["a_per_angstrom"]);
        let r0_angstrom = number(&p["r0_angstrom"]);
        // ASE counts from separated atoms, this crate from the minimum.
        return (
            Box::new(Morse { depth_ev, steepness_per_angstrom, r0_angstrom, pairs: Pairs::All }),
            depth_ev,
        );
    }
    let bonds = parameters["harmonic_bonds"].as_array().unwrap().iter().map(|b| HarmonicBond {
        atoms: [b[0].as_u64().unwrap() as usize, b[1].as_u64().unwrap() as usize],
        stiffness_ev_per_angstrom2: number(&b[2]),
        r0_angstrom: number(&b[3]),
    });
    (Box::new(HarmonicBonds(bonds.collect())), 0.0)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn vectors(rows: &Value) -> Vec<Vec3> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| Vec3::new(number(&row[0]), number(&row[1]), number(&row[2]))).collect()
}

/// Allocator of this test binary: counts the allocations and the live bytes of each thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES_HELD: Cell<i64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator that counts; every call goes to the system's")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        BYTES_HELD.set(BYTES_HELD.get() + layout.size() as i64);
        unsafe { SystemAllocator.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES_HELD.set(BYTES_HELD.get() - layout.size() as i64);
        unsafe { SystemAllocator.dealloc(pointer, layout) }
    }
}

/// Counts frames, and the largest memory in use at any of them.
struct Counter {
    stride: u64,
    frames: u64,
    most_bytes: i64,
}

impl Observer for Counter {
    fn stride(&self) -> u64 {
        self.stride
    }

    fn observe(&mut self, _frame: Frame<'_>) -> Result<(), ObserverError> {
        self.frames += 1;
        self.most_bytes = self.most_bytes.max(BYTES_HELD.get());
        Ok(())
    }
}

#[test]
fn run_memory_is_constant_and_steps_do_not_allocate() {
    let mut argon = ARGON;
    let mut state = warm(&[argon_cluster(), argon_cluster()], 10.0, &mut argon);
    let mut verlet = VelocityVerlet::new(1.0).unwrap();
    let mut counter = Counter { stride: 1000, frames: 0, most_bytes: 0 };
    let mut go = |steps, counter: &mut Counter| {
        let before = ALLOCATIONS.get();
        let options = RunOptions { steps, limits: vec![] };
        run(&mut state, &mut verlet, &mut argon, &mut [counter], &options).unwrap();
        ALLOCATIONS.get() - before
    };
    let start = go(0, &mut counter);
    let after_one = counter.most_bytes;
    let long = go(200_000, &mut counter);
    assert_eq!(counter.frames, 1 + 201);
    assert_eq!(counter.most_bytes, after_one, "memory held at frame 1 and at frame 202");
    assert_eq!(long - start, 200, "one allocation per frame shown, for the conserved energies");
}
