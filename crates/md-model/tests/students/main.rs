//! Tests of students as potentials: gradients, symmetries, and agreement with other programs.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests; clippy.toml allows these within #[test] functions only"
)]

mod damaged;
mod distiller;
mod painn;
mod saved;
mod torch;

use std::path::Path;

use md_core::{Batch, Configuration, Evaluation, Potential, Request, System, Vec3};
use md_model::{CheckpointError, Student};

fn evaluate(student: &mut Student, systems: &[System]) -> Evaluation {
    let (batch, positions) = (Batch::new(systems), Batch::gather_positions(systems));
    let mut out = Evaluation::default();
    student
        .evaluate(Configuration { batch: &batch, positions: &positions }, Request::FORCES, &mut out)
        .unwrap();
    out
}

fn energy(student: &mut Student, system: &System) -> f64 {
    evaluate(student, std::slice::from_ref(system)).energies[0]
}

fn system(symbols: &str, positions: &[[f64; 3]]) -> System {
    let elements = symbols.split(' ').map(|s| s.parse().unwrap()).collect();
    System::new(elements, positions.iter().map(|&x| Vec3::from(x)).collect()).unwrap()
}

/// Returns what is wrong in the file that the error names.
fn within(file: impl AsRef<Path>, error: &CheckpointError) -> &CheckpointError {
    let CheckpointError::In { path, source } = error else { panic!("{error:?}") };
    assert_eq!(path, file.as_ref(), "{error}");
    source
}

/// Returns the messages, with the path of the folder replaced.
fn messages(errors: &[CheckpointError], folder: &Path) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n").replace(&folder.display().to_string(), "FOLDER")
}

/// Formaldehyde and an isolated hydrogen atom beyond the cutoff of 4 Å.
fn molecule_and_lone_atom() -> System {
    let positions =
        [[0.0, 0.1, 0.0], [1.2, -0.1, 0.2], [-0.6, 0.9, 0.1], [-0.5, -0.9, -0.3], [9.0, 0.0, 0.0]];
    system("C O H H H", &positions)
}
