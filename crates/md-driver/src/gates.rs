//! Physics gates: properties of the energy surface, by the probes of md-testkit.
//!
//! Every gate of a molecule is measured at its structure, where symmetry may hide a fault, at a copy with all atoms
//! displaced at random, and at frames of the model's own runs; the worst number counts, and `detail` says where it was
//! found. Two are split: at a symmetric structure the energy may have a kink, on which no force is the gradient and
//! none turns with the molecule, although both are right everywhere else. Gates of pairs of elements need no molecule.

use anyhow::Result;
use md_core::{Element, Integrator, Potential, PotentialError, State, System};
use md_dynamics::{VelocityOptions, VelocityVerlet};
use md_io::results::{ELEMENT_PAIRS, Gate};
use md_metrics::EnergyAccumulator;
use md_testkit::probe::{self, Deviation, ProbeError};
use md_testkit::random::SplitMix64;

use crate::models::LoadedModel;
use crate::verdict::number;

/// Random rotations, translations and permutations per geometry.
const SAMPLES: usize = 32;

/// Step of the finite differences, Å: f64 resolves 1e-8 eV/Å, and a cutoff or a kink nearby is rarely crossed.
const STEP_ANGSTROM: f64 = 1e-4;

/// Displacement of the second geometry along each axis, at most, Å.
const DISPLACEMENT_ANGSTROM: f64 = 0.1;

/// Seed of the random motions: the same for every model.
const SEED: u64 = 1;

/// Closed loops of force per geometry, and how far their corners are displaced along each axis, at most, Å.
const LOOPS: usize = 4;

/// Distance of two molecules that must not feel each other, Å.
const FAR_ANGSTROM: f64 = 60.0;

/// Rays along which an atom leaves its molecule, and how far, Å: beyond any cutoff.
const RAYS: usize = 8;
const REACH_ANGSTROM: f64 = 12.0;

/// Where a dimer scan begins, in sums of covalent radii, and where it ends, Å.
const DIMER_FROM_RADII: f64 = 0.3;
const DIMER_TO_ANGSTROM: f64 = 8.0;

/// The run on which the drift of rounding is measured: temperature (K), time step (fs), steps.
const PRECISION_RUN: (f64, f64, usize) = (300.0, 0.5, 500);

/// The gates of one model as they are measured.
pub struct Gates {
    model: String,
    gates: Vec<Gate>,
}

impl Gates {
    /// None yet.
    pub fn new(model: &str) -> Self {
        Gates { model: model.to_owned(), gates: Vec::new() }
    }

    /// What was measured so far.
    pub fn records(&self) -> &[Gate] {
        &self.gates
    }

    /// What was measured.
    pub fn into_records(self) -> Vec<Gate> {
        self.gates
    }

    /// Adds a measurement; of several on one molecule the largest stays.
    pub fn record(&mut self, id: &str, molecule: &str, value: f64, unit: &str, detail: &str) {
        self.record_resolved(id, molecule, value, f64::NAN, unit, detail);
    }

    /// The same with the error of the measurement itself, in `unit`.
    fn record_resolved(
        &mut self,
        id: &str,
        molecule: &str,
        value: f64,
        resolution: f64,
        unit: &str,
        detail: &str,
    ) {
        let new = Gate {
            id: id.to_owned(),
            model: self.model.clone(),
            molecule: molecule.to_owned(),
            value: Some(value).filter(|v| v.is_finite()),
            standard_error: Some(resolution).filter(|r| r.is_finite()),
            unit: unit.to_owned(),
            detail: detail.to_owned(),
        };
        match self.gates.iter_mut().find(|g| g.id == id && g.molecule == molecule) {
            // No value means that it was not finite, which is the worst.
            Some(known) if new.value.is_none() || (known.value.is_some() && new.value > known.value) => {
                *known = new;
            }
            Some(_) => {}
            None => self.gates.push(new),
        }
    }

    fn record_deviation(&mut self, name: &str, molecule: &str, deviation: Deviation, detail: &str) {
        self.record(&format!("{name}_energy"), molecule, deviation.energy_ev, "eV", detail);
        self.record(&format!("{name}_force"), molecule, deviation.force_ev_per_angstrom, "eV/Å", detail);
    }

    /// All gates of a molecule, at its structure and at a displaced copy.
    ///
    /// # Errors
    /// What the potential returns.
    pub fn of_structure(&mut self, model: &mut LoadedModel, molecule: &str, system: &System) -> Result<()> {
        self.of_geometry(model, molecule, "the structure", system, true)?;
        let mut random = SplitMix64::new(SEED);
        let positions =
            system.positions().iter().map(|x| x + random.in_cube(DISPLACEMENT_ANGSTROM)).collect();
        let displaced = system.clone().with_positions(positions)?;
        self.of_geometry(model, molecule, "a displaced structure", &displaced, false)?;
        self.of_rays(model.oracle.as_mut(), molecule, system)?;
        self.of_rounding(model, molecule, system)
    }

    /// The gates of a molecule at a frame of one of its runs.
    ///
    /// # Errors
    /// What the potential returns.
    pub fn of_frame(
        &mut self,
        model: &mut LoadedModel,
        molecule: &str,
        label: &str,
        system: &System,
    ) -> Result<()> {
        self.of_geometry(model, molecule, label, system, false)
    }

    /// `symmetric`: whether the geometry may be one at which the energy has a kink.
    fn of_geometry(
        &mut self,
        model: &mut LoadedModel,
        molecule: &str,
        label: &str,
        system: &System,
        symmetric: bool,
    ) -> Result<()> {
        let potential = model.oracle.as_mut();
        let repeated = probe::repeatability(potential, system, SEED)?;
        let repeated = repeated.energy_ev.max(repeated.force_ev_per_angstrom);
        self.record("repeatability_energy", molecule, repeated, "eV, eV/Å", label);

        let gradient_id = if symmetric { "structure_gradient" } else { "force_gradient" };
        let gradient = probe::force_gradient(potential, system, STEP_ANGSTROM)?;
        self.record_resolved(
            gradient_id,
            molecule,
            gradient.max_ev_per_angstrom,
            gradient.resolution_ev_per_angstrom,
            "eV/Å",
            &format!("{label}, atom {}", gradient.worst_atom),
        );
        let work = probe::loop_work(potential, system, DISPLACEMENT_ANGSTROM, LOOPS, SEED)?;
        self.record_resolved("loop_work", molecule, work.work_ev, work.resolution_ev, "eV", label);
        self.record("kink", molecule, gradient.kink_ev_per_angstrom, "eV/Å", label);

        let rotation = probe::rotation(potential, system, SAMPLES, SEED)?;
        self.record("rotation_energy", molecule, rotation.energy_ev, "eV", label);
        if !symmetric {
            self.record("rotation_force", molecule, rotation.force_ev_per_angstrom, "eV/Å", label);
        }
        let reflection = probe::reflection(potential, system, SAMPLES, SEED)?;
        self.record("reflection_energy", molecule, reflection.energy_ev, "eV", label);
        let translation = probe::translation(potential, system, SAMPLES, SEED)?;
        self.record_deviation("translation", molecule, translation, label);
        // A potential that knows molecules by the order of their atoms has neither of these two.
        if let Some(deviation) = unless_unknown(probe::permutation(potential, system, SAMPLES, SEED))? {
            self.record_deviation("permutation", molecule, deviation, label);
        }
        if let Some(deviation) = unless_unknown(probe::extensivity(potential, system, FAR_ANGSTROM, SEED))? {
            self.record_deviation("extensivity", molecule, deviation, label);
        }
        self.record("net_force", molecule, probe::net_force(potential, system)?, "eV/Å", label);
        self.record("net_torque", molecule, probe::net_torque(potential, system)?, "eV", label);

        let rounding = probe::difference(model.oracle.as_mut(), model.potential.as_mut(), system)?;
        self.record("precision_force", molecule, rounding.force_ev_per_angstrom, "eV/Å", label);
        Ok(())
    }

    /// Jumps as atoms leave a molecule.
    fn of_rays(&mut self, potential: &mut dyn Potential, molecule: &str, system: &System) -> Result<()> {
        let jumps = probe::ray_jumps(potential, system, RAYS, REACH_ANGSTROM, SEED)?;
        let place = |at: f64| format!("an atom moved by {} Å", number(at));
        self.record("ray_energy_jump", molecule, jumps.energy.size_ev, "eV", &place(jumps.energy.at_angstrom));
        self.record(
            "ray_force_jump",
            molecule,
            jumps.force.size_ev_per_angstrom,
            "eV/Å",
            &place(jumps.force.at_angstrom),
        );
        Ok(())
    }

    /// Energy drift of the format of the runs beyond that of f64, on a short run from the same start.
    fn of_rounding(&mut self, model: &mut LoadedModel, molecule: &str, system: &System) -> Result<()> {
        let exact = short_drift(model.oracle.as_mut(), system)?;
        let drift = (short_drift(model.potential.as_mut(), system)? - exact).abs();
        self.record("precision_drift", molecule, drift, "meV/atom/ps", "a run of 0.25 ps");
        Ok(())
    }

    /// Dimer curves of all pairs of `elements`.
    ///
    /// # Errors
    /// What the potential returns.
    pub fn of_element_pairs(&mut self, model: &mut LoadedModel, elements: &[Element]) -> Result<()> {
        let potential = model.oracle.as_mut();
        for (i, &a) in elements.iter().enumerate() {
            for &b in &elements[i..] {
                let pair = format!("{}-{}", a.symbol(), b.symbol());
                let radii = a.covalent_radius_angstrom().zip(b.covalent_radius_angstrom());
                let Some(contact) = radii.map(|(a, b)| a + b) else { continue };
                let scan = probe::dimer_scan(potential, a, b, DIMER_FROM_RADII * contact, DIMER_TO_ANGSTROM)?;
                let mut record = |id: &str, value: f64, unit: &str| {
                    self.record(id, ELEMENT_PAIRS, value, unit, &pair);
                };
                record("dimer_hole", scan.hole_ev, "eV");
                record("dimer_flips", scan.flips as f64, "");
                record("dimer_tortuosity", scan.tortuosity, "");
                // The lowest wall counts, and a NaN is no wall.
                self.record_lowest("dimer_wall", scan.wall_ev, "eV", &pair);
                let jumps = probe::dimer_jumps(potential, a, b, DIMER_FROM_RADII * contact, DIMER_TO_ANGSTROM)?;
                let at = |at: f64| format!("{pair} at {at:.3} Å");
                let (energy, force) = (jumps.energy, jumps.force);
                self.record("dimer_energy_jump", ELEMENT_PAIRS, energy.size_ev, "eV", &at(energy.at_angstrom));
                let size = force.size_ev_per_angstrom;
                self.record("dimer_force_jump", ELEMENT_PAIRS, size, "eV/Å", &at(force.at_angstrom));
            }
        }
        Ok(())
    }

    /// Of several measurements the smallest stays.
    fn record_lowest(&mut self, id: &str, value: f64, unit: &str, detail: &str) {
        let known = self.gates.iter().position(|g| g.id == id && g.molecule == ELEMENT_PAIRS);
        let lower = known.is_none_or(|k| self.gates[k].value.is_some_and(|v| value.is_nan() || value < v));
        if lower {
            self.gates.retain(|g| g.id != id);
            self.record(id, ELEMENT_PAIRS, value, unit, detail);
        }
    }
}

/// `None` where the potential does not describe the system that the probe asks about.
fn unless_unknown<T>(answer: Result<T, ProbeError>) -> Result<Option<T>, ProbeError> {
    match answer {
        Err(ProbeError::Potential(PotentialError::UnknownSystem { .. })) => Ok(None),
        answer => answer.map(Some),
    }
}

/// Energy drift of a short NVE run, meV/atom/ps; NaN where the energy is not finite.
fn short_drift(potential: &mut dyn Potential, system: &System) -> Result<f64> {
    let (temperature_k, timestep_fs, steps) = PRECISION_RUN;
    let mut state = State::at_rest(std::slice::from_ref(system), potential)?;
    md_dynamics::thermalise(&mut state, &[temperature_k], &[SEED], &VelocityOptions::default())?;
    let mut verlet = VelocityVerlet::new(timestep_fs)?;
    let mut energy = EnergyAccumulator::default();
    for _ in 0..steps {
        if energy.push(state.time_fs() / md_core::units::FS_PER_PS, verlet.conserved_ev(&state)[0]).is_err() {
            return Ok(f64::NAN);
        }
        verlet.step(&mut state, potential)?;
    }
    Ok(energy.drift_rate(system.n_atoms())?.rate.value)
}
