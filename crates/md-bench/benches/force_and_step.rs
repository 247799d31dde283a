//! Benchmarks of one energy and force call, and of one NVE step, against the number of atoms, for the analytic control
//! and untrained networks of the size of the largest student (427K parameters; the weights do not change the cost) in
//! f32 and f64, in the distiller form and as PaiNN. Also 64 molecules in one batch, neighbour search, and a training
//! step of PaiNN on four systems, in native loops and on the tape of burn.
//!
//! ```text
//! cargo bench -p md-bench
//! ```

use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use md_core::{
    Batch, Configuration, Element, Evaluation, Integrator, Potential, Request, State, System, Vec3,
    neighbours,
};
use md_dynamics::VelocityVerlet;
use md_model::{
    Architecture, Checkpoint, DistillerHyperparameters, PainnHyperparameters, Precision, Student,
    TrainableStudent, TrainingDevice,
};
use md_probe::analytic::Control;

/// Time step, fs: at a usual step untrained forces would move the atoms beyond the cutoff at once.
const TIMESTEP_FS: f64 = 1e-6;

/// Numbers of atoms.
const SIZES: [usize; 5] = [3, 5, 13, 25, 50];

type AnyError = Box<dyn std::error::Error>;

/// Returns the first `atoms` atoms of a straight-chain alkane in its zigzag geometry.
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

/// 64 molecules of 13 atoms in one call.
fn bench_batch(criterion: &mut Criterion, name: &str, potential: &mut dyn Potential) -> Result<(), AnyError> {
    let systems = vec![piece_of_alkane(13)?; 64];
    let (batch, positions) = (Batch::new(&systems), Batch::gather_positions(&systems));
    let configuration = Configuration { batch: &batch, positions: &positions };
    let mut out = Evaluation::default();
    potential.evaluate(configuration, Request::FORCES, &mut out)?;
    criterion.bench_function(&format!("{name}/call/64x13"), |bencher| {
        bencher.iter(|| potential.evaluate(black_box(configuration), Request::FORCES, &mut out));
    });
    Ok(())
}

fn force_and_step(criterion: &mut Criterion) -> Result<(), AnyError> {
    let molecules = SIZES.map(piece_of_alkane).into_iter().collect::<Result<Vec<_>, _>>()?;
    bench_potential(criterion, "control", &mut Control::new(&molecules)?, &molecules)?;
    let distiller = Architecture::Distiller(DistillerHyperparameters {
        hidden_dim: 128,
        num_interactions: 3,
        num_rbf: 20,
        cutoff: 5.0,
        max_z: 100,
        learnable_rbf: false,
    });
    let painn = PainnHyperparameters {
        hidden_dim: 112,
        num_interactions: 3,
        num_rbf: 20,
        cutoff: 5.0,
        reference_energies_ev: [("C".to_owned(), 0.0), ("H".to_owned(), 0.0)].into(),
    };
    for (name, architecture) in [("distiller", distiller), ("painn", Architecture::Painn(painn.clone()))] {
        let checkpoint = Checkpoint::untrained(&architecture, 1)?;
        for precision in [Precision::F32, Precision::F64] {
            let mut student = Student::new(&checkpoint, precision)?;
            bench_potential(criterion, &format!("{name}-{precision}"), &mut student, &molecules)?;
            bench_batch(criterion, &format!("{name}-{precision}"), &mut student)?;
        }
    }
    bench_neighbours(criterion);
    bench_training(criterion, &painn, &molecules)
}

/// All pairs of a cubic grid with a tenth of an atom per Å³, for which cells are used.
fn bench_neighbours(criterion: &mut Criterion) {
    for side in [10_u32, 22, 46] {
        let at = |n: u32| 2.15 * f64::from(n);
        let sites =
            (0..side.pow(3)).map(|n| Vec3::new(at(n % side), at(n / side % side), at(n / side / side)));
        let positions: Vec<Vec3> = sites.collect();
        criterion.bench_function(&format!("neighbours/{}", positions.len()), |bencher| {
            bencher.iter(|| {
                let mut pairs = 0_usize;
                neighbours::for_each_pair(black_box(&positions), 5.0, |_| pairs += 1);
                pairs
            });
        });
    }
}

/// The gradient with respect to the weights of a loss in energies and forces, for four copies of each molecule.
fn bench_training(
    criterion: &mut Criterion,
    painn: &PainnHyperparameters,
    molecules: &[System],
) -> Result<(), AnyError> {
    let checkpoint = Checkpoint::untrained(&Architecture::Painn(painn.clone()), 1)?;
    for (name, device) in [("native", TrainingDevice::Cpu), ("tape", TrainingDevice::BurnCpu)] {
        let student = TrainableStudent::new(painn, checkpoint.weights(), device, Precision::F32)?;
        for molecule in molecules {
            let systems = vec![molecule.clone(); 4];
            let (batch, positions) = (Batch::new(&systems), Batch::gather_positions(&systems));
            let configuration = Configuration { batch: &batch, positions: &positions };
            // Half the sum of squares costs as much as any other loss.
            let gradient = || student.weight_gradient(black_box(configuration), Evaluation::clone);
            gradient()?;
            let id = format!("painn-{name}/weight-gradient/4x{}", molecule.n_atoms());
            criterion.bench_function(&id, |bencher| bencher.iter(gradient));
        }
    }
    Ok(())
}

fn main() -> Result<(), AnyError> {
    let mut criterion = Criterion::default().configure_from_args();
    force_and_step(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}
