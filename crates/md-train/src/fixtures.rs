//! Test data: two molecules of different size, labelled by an analytic potential.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use md_core::{Element, State, System, Vec3};
use md_io::extxyz::{FrameToWrite, write_frame};
use md_probe::analytic::Control;
use md_probe::random::SplitMix64;

use crate::TrainingConfig;
use crate::data::LabelledSystem;

/// Energy of an atom, eV.
fn atomic_energy(element: Element) -> f64 {
    match element.symbol() {
        "H" => -13.6,
        "C" => -1030.0,
        _ => -2040.0,
    }
}

fn water() -> System {
    let positions = vec![Vec3::zeros(), Vec3::new(0.96, 0.0, 0.0), Vec3::new(-0.24, 0.93, 0.0)];
    System::new(vec![Element::O, Element::H, Element::H], positions).unwrap()
}

fn methane() -> System {
    let mut positions = vec![Vec3::zeros()];
    for signs in [[1.0, 1.0, 1.0], [-1.0, -1.0, 1.0], [-1.0, 1.0, -1.0], [1.0, -1.0, -1.0]] {
        positions.push(0.63 * Vec3::from(signs));
    }
    let elements = vec![Element::C, Element::H, Element::H, Element::H, Element::H];
    System::new(elements, positions).unwrap()
}

/// Frames with every coordinate displaced by up to 0.1 Å, in several trajectories of each molecule.
pub(crate) fn frames(trajectories: usize, per_trajectory: usize) -> Vec<LabelledSystem> {
    let molecules = [("water", water()), ("methane", methane())];
    let mut control = Control::new(&molecules.clone().map(|(_, system)| system)).unwrap();
    let mut rng = SplitMix64::new(7);
    let mut frames = Vec::new();
    for (file, (name, system)) in molecules.iter().enumerate() {
        for i in 0..trajectories * per_trajectory {
            let positions = system.positions().iter().map(|x| x + rng.in_cube(0.1)).collect();
            let system = system.clone().with_positions(positions).unwrap();
            let state = State::at_rest(std::slice::from_ref(&system), &mut control).unwrap();
            let offset: f64 = system.elements().iter().map(|&e| atomic_energy(e)).sum();
            frames.push(LabelledSystem {
                energy_ev: state.potential_energy_ev(0) + offset,
                forces: state.evaluation().forces.clone(),
                system,
                molecule: (*name).to_owned(),
                trajectory: format!("{name}-{}", i / per_trajectory),
                kind: Some(if i % 5 == 4 { "short_range" } else { "md" }.to_owned()),
                file,
                number: i + 1,
            });
        }
    }
    frames
}

/// Writes frames to `FOLDER/water.extxyz.gz` and `FOLDER/methane.extxyz`.
pub(crate) fn write(folder: &Path, frames: &[LabelledSystem]) {
    let mut texts = [Vec::new(), Vec::new()];
    for frame in frames {
        let info = [
            ("molecule", frame.molecule.clone()),
            ("trajectory", frame.trajectory.clone()),
            ("kind", frame.kind.clone().unwrap_or_default()),
        ];
        let to_write = FrameToWrite {
            energy_ev: Some(frame.energy_ev),
            forces: Some(&frame.forces),
            info: &info,
            ..FrameToWrite::from(&frame.system)
        };
        write_frame(&mut texts[frame.file], &to_write).unwrap();
    }
    let file = File::create(folder.join("water.extxyz.gz")).unwrap();
    let mut encoder = GzEncoder::new(file, Compression::fast());
    encoder.write_all(&texts[0]).unwrap();
    encoder.finish().unwrap();
    fs::write(folder.join("methane.extxyz"), &texts[1]).unwrap();
}

/// A small student for both molecules.
pub(crate) const CONFIG: &str = r#"
name = "test"
seed = 3

[student]
hidden_dim = 16
num_interactions = 2
num_rbf = 8
cutoff_angstrom = 4.0

[[data]]
frames = ["water.extxyz.gz"]

[[data]]
frames = ["methane.extxyz"]
repeat = 2

[validation]
trajectory_fraction = 0.2
every_steps = 6
max_frames = 20

[loss]
huber_ev_per_angstrom = 1.0

[optimiser]
steps = 20
batch_size = 12
learning_rate = 0.01
final_learning_rate = 0.0001
warm_up_steps = 5
weight_decay = 0.001
ema_decay = 0.9

[output]
log_every_steps = 4
checkpoint_every_steps = 5
"#;

/// Parses `text` as a configuration in `folder`.
pub(crate) fn config(folder: &Path, text: &str) -> TrainingConfig {
    TrainingConfig::parse(text, &folder.join("test.toml")).unwrap()
}
