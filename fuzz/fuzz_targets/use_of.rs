//! What is done with a checkpoint that was read: energy and forces of a few atoms, by both implementations.

use md_core::{Batch, Configuration, Evaluation, Potential, Request, System, Vec3};
use md_model::{Checkpoint, CheckpointError, Precision, Student};

/// Weights beyond which a call takes too long for a fuzzer.
const FEW_WEIGHTS: usize = 20_000;

pub fn checkpoint(read: Result<Checkpoint, CheckpointError>) {
    let checkpoint = match read {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            let message = error.to_string();
            assert!(message.len() < 4_000, "{message}");
            return;
        }
    };
    if checkpoint.parameter_count() > FEW_WEIGHTS {
        return;
    }
    let elements: Vec<_> = (0..4).map(|i| checkpoint.elements()[i % checkpoint.elements().len()]).collect();
    let at = |i: usize| Vec3::new(0.9 * i as f64, 0.3 * (i % 2) as f64, 0.1);
    let system = System::new(elements, (0..4).map(at).collect()).unwrap();
    let systems = [system];
    let (batch, positions) = (Batch::new(&systems), Batch::gather_positions(&systems));
    for student in
        [Student::new(&checkpoint, Precision::F32), Student::reference(&checkpoint, Precision::F64)]
    {
        let Ok(mut student) = student else { continue };
        let mut out = Evaluation::default();
        let _ = student.evaluate(
            Configuration { batch: &batch, positions: &positions },
            Request::FORCES,
            &mut out,
        );
    }
}
