//! Physics gates: properties of the energy surface, by the probes of md-testkit.
//!
//! Every gate is measured at the molecule's structure, where symmetry may hide a fault, and at a copy with all atoms
//! displaced at random; the worse number counts. One is split: at a symmetric structure the energy may have a kink, on
//! which no force is the gradient although it is everywhere else.

use anyhow::Result;
use md_core::{Potential, PotentialError, System, SystemError};
use md_io::results::Gate;
use md_testkit::probe::{self, Deviation, ProbeError};
use md_testkit::random::SplitMix64;

/// Random rotations, translations and permutations per geometry.
const SAMPLES: usize = 32;

/// Step of the finite differences, Å: f64 resolves 1e-8 eV/Å, and a cutoff or a kink nearby is rarely crossed.
const STEP_ANGSTROM: f64 = 1e-4;

/// Displacement of the second geometry along each axis, at most, Å.
const DISPLACEMENT_ANGSTROM: f64 = 0.1;

/// Seed of the random motions: the same for every model.
const SEED: u64 = 1;

/// Measures every gate of `potential` (which should compute in f64) on one molecule.
///
/// A potential that knows molecules by the order of their atoms has no `permutation` gate.
///
/// # Errors
/// What the potential returns.
pub fn measure(
    model: &str,
    molecule: &str,
    potential: &mut dyn Potential,
    system: &System,
) -> Result<Vec<Gate>> {
    let mut gates: Vec<Gate> = Vec::new();
    let mut record = |id: &str, value: f64, standard_error: Option<f64>, unit: &str| {
        let value = Some(value).filter(|v| v.is_finite());
        match gates.iter_mut().find(|g| g.id == id) {
            // No value means that it was not finite, which is the worst.
            Some(gate) => {
                if value.is_none() || (gate.value.is_some() && value > gate.value) {
                    (gate.value, gate.standard_error) = (value, standard_error);
                }
            }
            None => gates.push(Gate {
                id: id.to_owned(),
                model: model.to_owned(),
                molecule: molecule.to_owned(),
                value,
                standard_error,
                unit: unit.to_owned(),
            }),
        }
    };
    for (system, gradient_id) in [(system, "structure_gradient"), (&displaced(system)?, "force_gradient")] {
        let gradient = probe::force_gradient(potential, system, STEP_ANGSTROM)?;
        let resolution = Some(gradient.resolution_ev_per_angstrom).filter(|r| r.is_finite());
        record(gradient_id, gradient.max_ev_per_angstrom, resolution, "eV/Å");

        let mut pair = |name: &str, deviation: Deviation| {
            record(&format!("{name}_energy"), deviation.energy_ev, None, "eV");
            record(&format!("{name}_force"), deviation.force_ev_per_angstrom, None, "eV/Å");
        };
        pair("rotation", probe::rotation(potential, system, SAMPLES, SEED)?);
        pair("reflection", probe::reflection(potential, system, SAMPLES, SEED)?);
        pair("translation", probe::translation(potential, system, SAMPLES, SEED)?);
        match probe::permutation(potential, system, SAMPLES, SEED) {
            Err(ProbeError::Potential(PotentialError::UnknownSystem { .. })) => {}
            deviation => pair("permutation", deviation?),
        }
        record("net_force", probe::net_force(potential, system)?, None, "eV/Å");
        record("net_torque", probe::net_torque(potential, system)?, None, "eV");
    }
    Ok(gates)
}

fn displaced(system: &System) -> Result<System, SystemError> {
    let mut random = SplitMix64::new(SEED);
    let positions = system.positions().iter().map(|x| x + random.in_cube(DISPLACEMENT_ANGSTROM)).collect();
    system.clone().with_positions(positions)
}
