//! One energy and force call, and one NVE step, against the number of atoms: the analytic control, and an untrained
//! network of the largest student's size (427K parameters; the weights do not change the cost) in f32 and f64.
//!
//! ```text
//! cargo bench -p md-bench
//! ```

use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use md_core::{
    Batch, Configuration, Element, Evaluation, Integrator, Potential, Request, State, System, Vec3,
};
use md_dynamics::VelocityVerlet;
use md_model::{Architecture, Checkpoint, DistillerHyperparameters, Precision, Student};
use md_testkit::analytic::Control;

/// Time step, fs: untrained forces would throw the atoms out of each other's reach in one step of usual length.
const TIMESTEP_FS: f64 = 1e-6;

/// Numbers of atoms.
const SIZES: [usize; 5] = [3, 5, 13, 25, 50];

type AnyError = Box<dyn std::error::Error>;

/// The first `atoms` atoms of a straight-chain alkane in its zigzag geometry.
fn piece_of_alkane(atoms: usize) -> Result<System, AnyError> {
    let (mut elements, mut positions) = (Vec::new(), Vec::new());
    for i in 0..atoms.div_ceil(3) {
        let side = if i % 2 == 0 { 1.0 } else { -1.0 };
        let carbon = Vec3::new(1.27 * i as f64, 0.43 * side, 0.0);
        elements.extend([Element::C, Element::H, Element::H]);
        positions.extend([
            carbon,
            carbon + Vec3::new(0.0, 0.63 * side, 0.89),
            carbon + Vec3::new(0.0, 0.63 * side, -0.89),
        ]);
    }
    elements.truncate(atoms);
    positions.truncate(atoms);
    Ok(System::new(elements, positions)?)
}

fn bench_potential(
    criterion: &mut Criterion,
    name: &str,
    potential: &mut dyn Potential,
    molecules: &[System],
) -> Result<(), AnyError> {
    for molecule in molecules {
        let atoms = molecule.n_atoms();
        let batch = Batch::new(std::slice::from_ref(molecule));
        let configuration = Configuration { batch: &batch, positions: molecule.positions() };
        let mut out = Evaluation::default();
        potential.evaluate(configuration, Request::FORCES, &mut out)?;
        criterion.bench_function(&format!("{name}/call/{atoms}"), |bencher| {
            bencher.iter(|| potential.evaluate(black_box(configuration), Request::FORCES, &mut out));
        });
        let start = State::at_rest(std::slice::from_ref(molecule), potential)?;
        let mut verlet = VelocityVerlet::new(TIMESTEP_FS)?;
        criterion.bench_function(&format!("{name}/step/{atoms}"), |bencher| {
            let step = |mut state: State| verlet.step(black_box(&mut state), potential);
            bencher.iter_batched(|| start.clone(), step, BatchSize::SmallInput);
        });
    }
    Ok(())
}

fn force_and_step(criterion: &mut Criterion) -> Result<(), AnyError> {
    let molecules = SIZES.map(piece_of_alkane).into_iter().collect::<Result<Vec<_>, _>>()?;
    bench_potential(criterion, "control", &mut Control::new(&molecules)?, &molecules)?;
    let original = Architecture::Distiller(DistillerHyperparameters {
        hidden_dim: 128,
        num_interactions: 3,
        num_rbf: 20,
        cutoff: 5.0,
        max_z: 100,
        learnable_rbf: false,
    });
    let checkpoint = Checkpoint::untrained(&original, 1)?;
    for precision in [Precision::F32, Precision::F64] {
        let mut student = Student::new(&checkpoint, precision)?;
        bench_potential(criterion, &format!("original-{precision}"), &mut student, &molecules)?;
    }
    Ok(())
}

fn main() -> Result<(), AnyError> {
    let mut criterion = Criterion::default().configure_from_args();
    force_and_step(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
