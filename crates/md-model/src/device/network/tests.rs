//! Tests of the kernels on any GPU, including software drivers, against the CPU in f64.

use cubecl::CubeElement;
use cubecl::wgpu::WgpuRuntime;
use md_core::{
    Batch, Configuration, Element, Evaluation, Fate, Limits, Potential, PotentialError, Request, State,
    System, Vec3,
};
use md_dynamics::{RunOptions, VelocityOptions, VelocityVerlet, thermalise};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::gpu::Gpu;
use crate::device::{self, wgpu};
use crate::student::{Network, Systems};
use crate::{
    Architecture, Checkpoint, DistillerHyperparameters, Filters, PainnHyperparameters, Precision, Student,
};

const ELEMENTS: [Element; 4] = [Element::H, Element::C, Element::N, Element::O];

fn distiller(hidden_dim: u32, num_interactions: u32) -> Architecture {
    Architecture::Distiller(DistillerHyperparameters {
        hidden_dim,
        num_interactions,
        num_rbf: 12,
        cutoff: 4.0,
        max_z: 10,
        learnable_rbf: false,
    })
}

fn painn(hidden_dim: u32, num_interactions: u32) -> Architecture {
    let energies = [("H", -13.6), ("C", -1029.0), ("N", -1485.0), ("O", -2041.0)];
    Architecture::Painn(PainnHyperparameters {
        hidden_dim,
        num_interactions,
        num_rbf: 10,
        cutoff: 4.0,
        reference_energies_ev: energies.map(|(e, x)| (e.to_owned(), x)).into(),
    })
}

/// Both forms. Some widths are not multiples of the padding, and one is wider than a cube of units.
fn architectures() -> [Architecture; 5] {
    [distiller(24, 3), distiller(128, 1), painn(24, 3), painn(40, 1), painn(272, 2)]
}

/// Atoms on a jittered grid with the density of a liquid; some pairs are closer than their covalent radii.
fn cluster(atoms: usize, rng: &mut ChaCha8Rng) -> System {
    let side = (atoms as f64).cbrt().ceil() as usize;
    let position = |n: usize| {
        let cell = [n % side, n / side % side, n / side / side].map(|c| 1.2 * c as f64);
        Vec3::from(cell.map(|c| c + rng.random_range(-0.3..0.3)))
    };
    let positions = (0..atoms).map(position).collect();
    let elements = (0..atoms).map(|n| ELEMENTS[n * 7 % 5 % 4]).collect();
    System::new(elements, positions).unwrap()
}

fn evaluate(network: &dyn Network, systems: &[System], forces: bool) -> (Vec<f64>, Vec<Vec3>) {
    let (batch, positions) = (Batch::new(systems), Batch::gather_positions(systems));
    let c = Configuration { batch: &batch, positions: &positions };
    let (mut energies, mut found) = (vec![0.0; systems.len()], vec![Vec3::zeros(); positions.len()]);
    let all = Systems::new(c, 0..systems.len());
    network.evaluate(&all, &mut energies, forces.then_some(&mut found)).unwrap();
    (energies, found)
}

/// Returns the largest errors of energies (relative to 1 eV and themselves) and forces (relative to the largest).
fn errors(found: &(Vec<f64>, Vec<Vec3>), expected: &(Vec<f64>, Vec<Vec3>)) -> [f64; 2] {
    let largest = expected.1.iter().map(|f| f.norm()).fold(0.0, f64::max);
    let of_energies = found.0.iter().zip(&expected.0).map(|(x, y)| (x - y).abs() / (1.0 + y.abs()));
    let of_forces = found.1.iter().zip(&expected.1).map(|(x, y)| (x - y).norm() / largest);
    // `f64::max` would ignore NaN.
    let worst = |errors: &mut dyn Iterator<Item = f64>| errors.fold(0.0, |a, b| if b <= a { a } else { b });
    [worst(&mut of_energies.into_iter()), worst(&mut of_forces.into_iter())]
}

/// Checks that the GPU is as close to f64 as the CPU in f32, which rounds as often.
fn assert_as_close_as_the_cpu(architecture: &Architecture, systems: &[System], rng: &mut ChaCha8Rng) {
    let weights = architecture.untrained(rng);
    let gpu = device::build(crate::Gpu::Wgpu, architecture, &weights, Precision::F32).unwrap();
    let cpu = |precision| architecture.build(&weights, precision, Filters::Tabulated).unwrap();
    let exact = evaluate(&*cpu(Precision::F64), systems, true);
    let [energy, force] = errors(&evaluate(&*cpu(Precision::F32), systems, true), &exact);
    let found = evaluate(&*gpu, systems, true);
    let [found_energy, found_force] = errors(&found, &exact);
    assert!(force < 1e-4, "the CPU itself: {architecture:?}: {force:e}");
    assert!(found_energy < 4.0 * energy + 1e-6, "{architecture:?}: {found_energy:e}, CPU {energy:e}");
    assert!(found_force < 4.0 * force + 1e-6, "{architecture:?}: {found_force:e}, CPU {force:e}");

    // Energies only; the same again, with cached properties; each system alone.
    assert_eq!(evaluate(&*gpu, systems, false).0, found.0);
    assert_eq!(evaluate(&*gpu, systems, true), found);
    let mut first = 0;
    for (s, system) in systems.iter().enumerate().filter(|_| systems.len() > 1) {
        let (energies, forces) = evaluate(&*gpu, std::slice::from_ref(system), true);
        let atoms = first..first + system.elements().len();
        assert_eq!((energies[0], forces.as_slice()), (found.0[s], &found.1[atoms]), "{architecture:?} {s}");
        first += system.elements().len();
    }
}

#[test]
fn device_energies_and_forces_match_cpu() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let systems = [3, 1, 13, 30, 2].map(|atoms| cluster(atoms, &mut rng));
    for architecture in architectures() {
        assert_as_close_as_the_cpu(&architecture, &systems, &mut rng);
    }
}

/// More neighbours than the initial capacity, and products with many rows.
#[test]
fn device_matches_cpu_for_dense_large_system() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let system = cluster(4200, &mut rng);
    for architecture in [distiller(24, 1), painn(24, 2)] {
        assert_as_close_as_the_cpu(&architecture, std::slice::from_ref(&system), &mut rng);
    }
}

/// The library does not report it.
#[test]
fn gpu_read_reports_kernels_that_did_not_run() {
    let gpu = Gpu::<WgpuRuntime, f32>::new(wgpu::client(Precision::F32).unwrap(), "test", 0);
    let zeros = gpu.zeros(5);
    assert_eq!(f32::from_bytes(&gpu.read([&zeros]).unwrap()[0]), [0.0; 5]);
    gpu.zeros(u32::MAX as usize);
    let error = gpu.read([&zeros]).unwrap_err();
    assert!(error.contains("1 kernels did not run"), "{error}");
    assert_eq!(f32::from_bytes(&gpu.read([&zeros]).unwrap()[0]), [0.0; 5]);
}

/// Counts the steps that a potential makes itself, or disables them.
struct Watched<P> {
    potential: P,
    may_step: bool,
    made: u64,
}

impl<P> Watched<P> {
    fn new(potential: P, may_step: bool) -> Self {
        Watched { potential, may_step, made: 0 }
    }
}

impl<P: Potential> Potential for Watched<P> {
    fn name(&self) -> &str {
        self.potential.name()
    }

    fn check(&self, batch: &Batch, request: Request) -> Result<(), PotentialError> {
        self.potential.check(batch, request)
    }

    fn evaluate(
        &mut self,
        c: Configuration<'_>,
        request: Request,
        out: &mut Evaluation,
    ) -> Result<(), PotentialError> {
        self.potential.evaluate(c, request, out)
    }

    fn velocity_verlet(
        &mut self,
        state: &mut State,
        timestep_fs: f64,
        steps: u64,
        limits: &[Limits],
    ) -> Result<Option<u64>, PotentialError> {
        if !self.may_step {
            return Ok(None);
        }
        let made = self.potential.velocity_verlet(state, timestep_fs, steps, limits)?;
        self.made += made.unwrap_or(0);
        Ok(made)
    }
}

fn student() -> Student {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/checkpoints/ultra-tiny");
    Student::on_gpu(&Checkpoint::load(folder).unwrap(), Precision::F32, crate::Gpu::Wgpu).unwrap()
}

fn water(stretch: f64) -> System {
    let positions = [[0.0, 0.0, 0.0], [0.96 + stretch, 0.0, 0.0], [-0.24, 0.93, 0.0]].map(Vec3::from);
    System::new(vec![Element::O, Element::H, Element::H], positions.to_vec()).unwrap()
}

/// Runs 150 steps of 0.5 fs.
fn run(potential: &mut dyn Potential, systems: &[System], limits: Vec<Limits>) -> (State, Vec<Fate>) {
    let mut state = State::at_rest(systems, potential).unwrap();
    let temperatures = vec![300.0; systems.len()];
    let seeds: Vec<u64> = (0..systems.len() as u64).collect();
    thermalise(&mut state, &temperatures, &seeds, &VelocityOptions::default()).unwrap();
    let mut verlet = VelocityVerlet::new(0.5).unwrap();
    let options = RunOptions { steps: 150, limits };
    let fates = md_dynamics::run(&mut state, &mut verlet, potential, &mut [], &options).unwrap();
    (state, fates)
}

#[test]
fn device_velocity_verlet_matches_host() {
    let systems = [water(0.0), water(0.05), water(0.3), water(0.1)];
    // The third breaks its bond during the run.
    let limits: Vec<Limits> =
        systems.iter().map(|_| Limits::for_molecule(&water(0.0), 1.34, 5000.0)).collect();
    let mut at_once = Watched::new(student(), true);
    let (state, fates) = run(&mut at_once, &systems, limits.clone());
    let (expected, expected_fates) = run(&mut Watched::new(student(), false), &systems, limits);
    assert_eq!(at_once.made, 150);
    assert_eq!(fates, expected_fates);
    let Fate::Diverged { step, .. } = fates[2] else { panic!("{fates:?}") };
    assert!((2..150).contains(&step), "{fates:?}");
    assert_eq!((state.step(), state.time_fs()), (150, 75.0));
    let largest = |x: &[Vec3], y: &[Vec3]| x.iter().zip(y).map(|(x, y)| (x - y).norm()).fold(0.0, f64::max);
    assert!(largest(state.positions(), expected.positions()) < 1e-9);
    assert!(largest(state.velocities(), expected.velocities()) < 1e-9);
    assert!(largest(&state.evaluation().forces, &expected.evaluation().forces) < 1e-6);
    for s in 0..3 {
        let energy = |state: &State| state.potential_energy_ev(s) + state.kinetic_energy_ev(s);
        assert!((energy(&state) - energy(&expected)).abs() < 1e-6);
    }
}

/// A non-finite state stops the steps and is reported.
#[test]
fn device_velocity_verlet_stops_at_non_finite_step() {
    let mut potential = student();
    let mut state = State::at_rest(&[water(0.0), water(0.1)], &mut potential).unwrap();
    state.velocities_mut()[4] = Vec3::repeat(f64::NAN);
    let made = potential.velocity_verlet(&mut state, 0.5, 10, &[]).unwrap();
    assert_eq!(made, Some(1));
    assert!(state.potential_energy_ev(1).is_nan() && state.potential_energy_ev(0).is_finite());
}
