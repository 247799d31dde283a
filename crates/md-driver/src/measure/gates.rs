//! Physics gates: properties of the energy surface, by the probes of md-probe.
//!
//! Every gate of a molecule is measured at its structure, where symmetry may hide a fault, at a copy with all atoms
//! displaced at random, and at frames of the model's own runs; the worst number counts, and `detail` says where
//! it was found. At a symmetric structure the energy may have a kink, on which no force is the gradient, none
//! turns with the molecule and rounding decides: what asks about forces is measured elsewhere then, and the
//! kink has a gate of its own. Gates of pairs of elements need no molecule.

use anyhow::Result;
use md_core::{Element, Integrator, Potential, PotentialError, State, System};
use md_dynamics::{VelocityOptions, VelocityVerlet};
use md_metrics::EnergyAccumulator;
use md_probe::random::SplitMix64;
use md_probe::{Barrier, Deviation, ProbeError};
use md_results::{ELEMENT_PAIRS, Gate, GateId, Role, Series, number};
use serde::{Deserialize, Serialize};

use crate::curves;
use crate::models::LoadedModel;

/// Random rotations, translations and permutations per geometry. A molecule has five geometries: its structure, a displaced one
/// and frames of three runs.
const SAMPLES: usize = 16;

/// Step of the finite differences, Å: f64 resolves 1e-8 eV/Å, and a cutoff or a kink nearby is rarely crossed.
const STEP_ANGSTROM: f64 = 1e-4;

/// Displacement of the second geometry along each axis, at most, Å.
const DISPLACEMENT_ANGSTROM: f64 = 0.1;

/// Seed of the random motions: the same for every model.
const SEED: u64 = 1;

/// Closed loops of force per geometry, and how far their corners are displaced along each axis, at most, Å.
const LOOPS: usize = 2;
const LOOP_ANGSTROM: f64 = 0.03;

/// A kink of less than this (eV/Å) hides in the noise of f64: force and its covariance are defined.
const NO_KINK_EV_PER_ANGSTROM: f64 = 1e-4;

/// Distance at least of two molecules that must not feel each other, from any atom to any other, Å.
const FAR_ANGSTROM: f64 = 60.0;

/// Rays along which an atom leaves its molecule, and how far, Å: beyond any cutoff.
const RAYS: usize = 8;
const REACH_ANGSTROM: f64 = 12.0;

/// Shortest distance of a dimer scan, in sums of covalent radii, and its longest, Å.
const DIMER_FROM_RADII: f64 = 0.3;
const DIMER_TO_ANGSTROM: f64 = 8.0;

/// The run on which the drift of rounding is measured: temperature (K), time step (fs), steps.
const PRECISION_RUN: (f64, f64, usize) = (300.0, 0.5, 500);

/// Reasons why gates are not applicable.
const ONE_FORMAT: &str = "the model computes in one floating-point format, f64";
const ONE_IMPLEMENTATION: &str = "the model has one implementation";

/// The gates of one model as they are measured.
#[derive(Clone, Serialize, Deserialize)]
pub struct Gates {
    model: String,
    gates: Vec<Gate>,
    series: Vec<Series>,
}

impl Gates {
    /// None yet.
    pub fn new(model: &str) -> Self {
        Gates { model: model.to_owned(), gates: Vec::new(), series: Vec::new() }
    }

    /// Adds what was measured to `known`, as if it had been measured there; returns what it looks like.
    pub fn enter(self, known: &mut Vec<Gate>) -> Vec<Series> {
        let first = known.iter().rposition(|gate| gate.model != self.model).map_or(0, |last| last + 1);
        let mut own = Gates { model: self.model, gates: known.split_off(first), series: Vec::new() };
        self.gates.into_iter().for_each(|gate| own.add(gate));
        known.extend(own.gates);
        self.series
    }

    /// Adds a measurement; of several on one molecule the worst counts ([`Gate::worse`]).
    pub fn record(&mut self, id: GateId, molecule: &str, value: f64, detail: &str) {
        self.record_resolved(id, molecule, value, f64::NAN, detail);
    }

    /// The same with the error of the measurement itself, in the unit of the gate.
    pub fn record_resolved(&mut self, id: GateId, molecule: &str, value: f64, error: f64, detail: &str) {
        self.add(Gate::new(id, &self.model, molecule, value, error, detail));
    }

    /// Records that a gate is not applicable, with the reason.
    pub fn not_applicable(&mut self, id: GateId, molecule: &str, reason: &str) {
        self.add(Gate::not_applicable(id, &self.model, molecule, reason));
    }

    fn add(&mut self, new: Gate) {
        match self.gates.iter_mut().find(|g| g.id == new.id && g.molecule == new.molecule) {
            Some(known) => *known = known.clone().worse(new),
            None => self.gates.push(new),
        }
    }

    fn record_deviation(&mut self, ids: [GateId; 2], molecule: &str, deviation: Deviation, detail: &str) {
        let [energy, force] = ids;
        self.record(energy, molecule, deviation.energy_ev, detail);
        self.record(force, molecule, deviation.force_ev_per_angstrom, detail);
    }

    /// Measures all gates of a molecule, at its structure and at a displaced copy.
    ///
    /// # Errors
    /// Errors of the potential.
    pub fn of_structure(&mut self, model: &mut LoadedModel, molecule: &str, system: &System) -> Result<()> {
        self.of_geometry(model, molecule, "the structure", system, true)?;
        let mut random = SplitMix64::new(SEED);
        let positions =
            system.positions().iter().map(|x| x + random.in_cube(DISPLACEMENT_ANGSTROM)).collect();
        let displaced = system.clone().with_positions(positions)?;
        self.of_geometry(model, molecule, "a displaced structure", &displaced, false)?;
        let potential = model.oracle.as_mut();
        self.series.extend(curves::scans(potential, [&self.model, molecule], system, REACH_ANGSTROM)?);
        self.of_rays(potential, molecule, &displaced)?;
        self.of_rounding(model, molecule, &displaced)
    }

    /// The gates of a molecule at a frame of one of its runs.
    ///
    /// # Errors
    /// Errors of the potential.
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
        let repeated = md_probe::determinism(potential, system, SEED)?;
        let repeated = repeated.energy_ev.max(repeated.force_ev_per_angstrom);
        self.record(GateId::Repeatability, molecule, repeated, label);

        let gradient_id = if symmetric { GateId::StructureGradient } else { GateId::ForceGradient };
        let gradient = md_probe::force_gradient(potential, system, STEP_ANGSTROM)?;
        self.record_resolved(
            gradient_id,
            molecule,
            gradient.max_ev_per_angstrom,
            gradient.resolution_ev_per_angstrom,
            &in_words(label, &gradient),
        );
        let work = md_probe::loop_work(potential, system, LOOP_ANGSTROM, LOOPS, SEED)?;
        self.record_resolved(GateId::LoopWork, molecule, work.work_ev, work.resolution_ev, label);
        self.record(GateId::Kink, molecule, gradient.kink_ev_per_angstrom, label);
        let smooth = !symmetric || gradient.kink_ev_per_angstrom < NO_KINK_EV_PER_ANGSTROM;

        let rotation = md_probe::rotation(potential, system, SAMPLES, SEED)?;
        self.record(GateId::RotationEnergy, molecule, rotation.energy_ev, label);
        if smooth {
            self.record(GateId::RotationForce, molecule, rotation.force_ev_per_angstrom, label);
        }
        let reflection = md_probe::reflection(potential, system, SAMPLES, SEED)?;
        self.record(GateId::ReflectionEnergy, molecule, reflection.energy_ev, label);
        let translation = md_probe::translation(potential, system, SAMPLES, SEED)?;
        self.record_deviation(
            [GateId::TranslationEnergy, GateId::TranslationForce],
            molecule,
            translation,
            label,
        );
        // A potential that knows molecules by the order of their atoms has neither of these two.
        if let Some(deviation) = unless_unknown(md_probe::permutation(potential, system, SAMPLES, SEED))? {
            self.record_deviation(
                [GateId::PermutationEnergy, GateId::PermutationForce],
                molecule,
                deviation,
                label,
            );
        }
        if let Some(deviation) = unless_unknown(md_probe::extensivity(potential, system, FAR_ANGSTROM, SEED))?
        {
            self.record_deviation(
                [GateId::ExtensivityEnergy, GateId::ExtensivityForce],
                molecule,
                deviation,
                label,
            );
        }
        self.record(GateId::NetForce, molecule, md_probe::net_force(potential, system)?, label);
        self.record(GateId::NetTorque, molecule, md_probe::net_torque(potential, system)?, label);

        if smooth {
            if model.one_format {
                self.not_applicable(GateId::PrecisionForce, molecule, ONE_FORMAT);
            } else {
                let rounding = md_probe::difference(model.oracle.as_mut(), model.potential.as_mut(), system)?;
                self.record(GateId::PrecisionForce, molecule, rounding.force_ev_per_angstrom, label);
            }
            if let Some(reference) = &mut model.reference {
                let fast = md_probe::difference(reference.as_mut(), model.potential.as_mut(), system)?;
                let detail = format!("{label}, {} against {}", model.path, model.reference_path);
                self.record_deviation(
                    [GateId::EquivalenceEnergy, GateId::EquivalenceForce],
                    molecule,
                    fast,
                    &detail,
                );
            } else if model.record.role == Role::Candidate {
                for id in [GateId::EquivalenceEnergy, GateId::EquivalenceForce] {
                    self.not_applicable(id, molecule, ONE_IMPLEMENTATION);
                }
            }
        }
        Ok(())
    }

    /// Jumps as atoms leave a molecule.
    fn of_rays(&mut self, potential: &mut dyn Potential, molecule: &str, system: &System) -> Result<()> {
        let md_probe::RayJumps { jumps, closest } =
            md_probe::ray_jumps(potential, system, RAYS, REACH_ANGSTROM, SEED)?;
        let symbol = |atom: usize| system.elements()[atom].symbol();
        let kept = closest.map(|md_probe::Approach { atoms: [i, j], distance_angstrom, radii }| {
            let (distance, radii) = (number(distance_angstrom), number(radii));
            let pair = format!("{}{i}-{}{j}", symbol(i), symbol(j));
            format!(", none nearer to another than {distance} Å ({pair}, {radii} sums of covalent radii)")
        });
        let kept = kept.unwrap_or_default();
        let place = |at: f64| format!("an atom moved by {} Å{kept}", number(at));
        self.record(GateId::RayEnergyJump, molecule, jumps.energy.size_ev, &place(jumps.energy.at_angstrom));
        self.record(
            GateId::RayForceJump,
            molecule,
            jumps.force.size_ev_per_angstrom,
            &place(jumps.force.at_angstrom),
        );
        Ok(())
    }

    /// Energy drift of the format of the runs beyond that of f64, on a short run from the same start.
    fn of_rounding(&mut self, model: &mut LoadedModel, molecule: &str, system: &System) -> Result<()> {
        if model.one_format {
            self.not_applicable(GateId::PrecisionDrift, molecule, ONE_FORMAT);
            return Ok(());
        }
        let (oracle, potential) = (model.oracle.as_mut(), model.potential.as_mut());
        // Runs of one system, of which each takes one core.
        let (exact, rounded) = rayon::join(|| short_drift(oracle, system), || short_drift(potential, system));
        let drift = (rounded? - exact?).abs();
        self.record(GateId::PrecisionDrift, molecule, drift, "a run of 0.25 ps");
        Ok(())
    }

    /// Dimer curves of all pairs of `elements`: a measurement for each pair, and the worst under [`ELEMENT_PAIRS`].
    ///
    /// # Errors
    /// Errors of the potential.
    pub fn of_element_pairs(&mut self, model: &mut LoadedModel, elements: &[Element]) -> Result<()> {
        let potential = model.oracle.as_mut();
        for (i, &a) in elements.iter().enumerate() {
            for &b in &elements[i..] {
                let pair = format!("{}-{}", a.symbol(), b.symbol());
                let radii = a.covalent_radius_angstrom().zip(b.covalent_radius_angstrom());
                let Some(contact) = radii.map(|(a, b)| a + b) else { continue };
                let scan =
                    md_probe::dimer_scan(potential, a, b, DIMER_FROM_RADII * contact, DIMER_TO_ANGSTROM)?;
                self.series.extend(curves::dimer(&self.model, [a, b], &scan));
                let jumps = md_probe::dimer_jumps(potential, a, b, DIMER_TO_ANGSTROM)?;
                let at = |at: f64| format!("{pair} at {at:.3} Å");
                let (energy, force) = (jumps.energy, jumps.force);
                let place = pair.as_str();
                for (id, value, detail) in [
                    (
                        GateId::DimerHole,
                        scan.wall.fall.map_or(0.0 * scan.wall.height_ev, |f| f.depth_ev),
                        place,
                    ),
                    (GateId::DimerDeepHole, scan.deep_hole_ev, place),
                    (GateId::DimerFlips, scan.flips as f64, place),
                    (GateId::DimerTortuosity, scan.tortuosity, place),
                    (GateId::DimerEnergyJump, energy.size_ev, &at(energy.at_angstrom)),
                    (GateId::DimerForceJump, force.size_ev_per_angstrom, &at(force.at_angstrom)),
                ] {
                    self.record(id, &pair, value, detail);
                    self.record(id, ELEMENT_PAIRS, value, detail);
                }
                let wall = format!("{pair}, {}", barrier_in_words(&scan.wall));
                for place in [place, ELEMENT_PAIRS] {
                    let Barrier { height_ev, error_ev, .. } = scan.wall;
                    self.record_resolved(GateId::DimerWall, place, height_ev, error_ev, &wall);
                }
            }
        }
        Ok(())
    }
}

/// Describes a barrier, and the fall behind it.
pub(super) fn barrier_in_words(barrier: &Barrier) -> String {
    let height = number(barrier.height_ev);
    match barrier.fall {
        Some(fall) => format!(
            "{height} eV at {:.2} Å in front of a fall of {} eV to {:.2} Å",
            fall.top_angstrom,
            number(fall.depth_ev),
            fall.bottom_angstrom
        ),
        None => format!("{height} eV without a fall behind it"),
    }
}

/// Describes where forces and gradient differ most, or the factor by which all of them do.
fn in_words(label: &str, gradient: &md_probe::GradientError) -> String {
    // Where forces are zero, their ratio to the gradient is that of two rounding errors.
    let is_resolved = gradient.max_ev_per_angstrom > gradient.resolution_ev_per_angstrom;
    let only_scaled = gradient.rms_scaled_ev_per_angstrom < 0.05 * gradient.rms_ev_per_angstrom;
    if is_resolved && only_scaled && (gradient.scale - 1.0).abs() > 1e-6 {
        return format!("{label}: all forces are {:.6} times the gradient", gradient.scale);
    }
    format!("{label}, atom {}", gradient.worst_atom)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use md_core::Mat3;
    use md_core::Vec3;
    use md_model::Precision;
    use md_probe::analytic::LennardJones;
    use md_testkit::defects::{Defect, Defective};

    use super::*;
    use crate::Interruptible;
    use crate::config::{Device, Implementation, ModelConfig, ModelSource};
    use crate::models;
    use md_criteria::Evidence;

    /// A sound potential that knows every pair of atoms.
    fn sound() -> LennardJones {
        LennardJones { epsilon_ev: 0.5, sigma_angstrom: 1.1 }
    }

    fn cluster() -> System {
        let positions = vec![
            Vec3::zeros(),
            Vec3::new(1.25, 0.05, 0.0),
            Vec3::new(0.6, 1.1, 0.1),
            Vec3::new(0.6, 0.4, 1.05),
        ];
        System::new(vec![Element::H, Element::C, Element::H, Element::C], positions).unwrap()
    }

    fn loaded(potential: impl Potential + 'static, oracle: impl Potential + 'static) -> LoadedModel {
        let config = ModelConfig {
            name: "m".into(),
            source: ModelSource::NotGiven,
            precision: Precision::F64,
            implementation: Implementation::Fast,
            device: Device::Cpu,
            expect: md_results::Verdict::Approved.into(),
        };
        LoadedModel {
            record: models::unloaded(&config),
            potential: Interruptible::new(potential),
            oracle: Interruptible::new(oracle),
            one_format: false,
            reference: None,
            path: String::new(),
            reference_path: String::new(),
            elements: vec![Element::H, Element::C],
            architecture: None,
            load_s: 0.0,
            training: std::sync::OnceLock::new(),
        }
    }

    /// Criteria that the gates of a model fail, by default thresholds, whatever the error of the measurement.
    fn fired(model: LoadedModel) -> BTreeSet<&'static str> {
        judged(model).into_iter().filter(|(_, best, _)| !best).map(|(id, ..)| id).collect()
    }

    /// Checks for every gate with a criterion whether the best possible value passes and the worst; barriers in units of
    /// the reach at 500 K.
    fn judged(mut model: LoadedModel) -> Vec<(&'static str, bool, bool)> {
        let mut gates = Gates::new("m");
        gates.of_structure(&mut model, "cluster", &cluster()).unwrap();
        gates.of_element_pairs(&mut model, &[Element::H, Element::C]).unwrap();
        let of_criterion = |g: &Gate| {
            md_criteria::ALL.iter().find_map(|c| {
                let (id, unit) = match c.evidence {
                    Evidence::Gate(id) => (id, 1.0),
                    Evidence::Barrier(id) => (id, md_criteria::reach_ev(500.0, 1000.0)),
                    Evidence::Function(_) | Evidence::Checks(_) => return None,
                };
                let threshold = unit * c.default.filter(|_| id == g.id && g.not_applicable.is_none())?;
                let (value, error) = (g.value.unwrap_or(f64::NAN), g.standard_error.unwrap_or(0.0));
                let [low, high] = [value - error, value + error].map(|v| c.bound.holds(v, threshold));
                Some((id.name(), low || high, low && high))
            })
        };
        let of_criteria = |g: &&Gate| [ELEMENT_PAIRS, "cluster"].contains(&g.molecule.as_str());
        gates.gates.iter().filter(of_criteria).filter_map(of_criterion).collect()
    }

    fn with(defect: Defect) -> BTreeSet<&'static str> {
        let defective = Defective::new(sound(), defect);
        fired(loaded(defective.clone(), defective))
    }

    #[test]
    fn gates_pass_on_sound_potential() {
        for (id, _, worst) in judged(loaded(sound(), sound())) {
            assert!(worst, "{id}");
        }
    }

    #[test]
    fn gates_fire_on_each_planted_defect() {
        let matrix = Mat3::new(1.0, 0.02, 0.0, 0.0, 1.0, 0.03, 0.01, 0.0, 1.0);
        let gradient = ["force_gradient", "structure_gradient"].as_slice();
        let cases: [(Defect, Vec<&str>); 7] = [
            (Defect::ScaledForce { factor: 1.001 }, gradient.to_vec()),
            (
                Defect::Mixing { matrix },
                vec!["rotation_energy", "rotation_force", "reflection_energy", "net_torque"],
            ),
            (
                Defect::Truncated { jump_ev: 0.1, cutoff_angstrom: 5.0 },
                vec!["ray_energy_jump", "ray_force_jump", "dimer_energy_jump", "dimer_force_jump"],
            ),
            (Defect::Hole { depth_ev: 5.0, centre_angstrom: 1.05, width_angstrom: 0.03 }, Vec::new()),
            (Defect::Offset { energy_ev: 0.5 }, vec!["extensivity_energy"]),
            (
                Defect::Swirl { strength_ev_per_angstrom2: 0.5 },
                [gradient, &["loop_work", "rotation_force", "net_torque", "extensivity_force"]].concat(),
            ),
            (Defect::Noise { sigma_ev_per_angstrom: 0.01 }, Vec::new()),
        ];
        for (defect, expected) in cases {
            let fired = with(defect);
            match defect {
                // What is random or steep shows in other gates, too; it must be called by its name.
                Defect::Noise { .. } => assert!(fired.contains("repeatability_energy"), "{fired:?}"),
                Defect::Hole { .. } => assert!(fired.contains("dimer_wall"), "{fired:?}"),
                _ => assert_eq!(fired, BTreeSet::from_iter(expected), "{defect:?}"),
            }
        }
    }

    #[test]
    fn ray_gate_detail_states_closest_approach() {
        let mut model = loaded(sound(), sound());
        let mut gates = Gates::new("m");
        gates.of_structure(&mut model, "cluster", &cluster()).unwrap();
        let gate = gates.gates.iter().find(|g| g.id.name() == "ray_energy_jump").unwrap();
        assert!(gate.detail.contains("none nearer to another than 1."), "{}", gate.detail);
        assert!(gate.detail.ends_with("sums of covalent radii)"), "{}", gate.detail);
    }

    /// The control at its minimum: all forces are zero but for rounding.
    #[test]
    fn force_gradient_gate_detail_states_no_factor_at_minimum() {
        let water = cluster();
        let control = md_probe::analytic::Control::new(std::slice::from_ref(&water)).unwrap();
        let mut model = loaded(control.clone(), control);
        let mut gates = Gates::new("m");
        gates.of_structure(&mut model, "cluster", &water).unwrap();
        let gate = gates.gates.iter().find(|g| g.id == GateId::StructureGradient).unwrap();
        assert!(gate.value.is_some_and(|value| value < 1e-9), "{gate:?}");
        assert!(!gate.detail.contains("times the gradient"), "{}", gate.detail);
    }

    #[test]
    fn force_gradient_gate_detail_states_factor() {
        let defective = Defective::new(sound(), Defect::ScaledForce { factor: 1.001 });
        let mut model = loaded(defective.clone(), defective);
        let mut gates = Gates::new("m");
        gates.of_structure(&mut model, "cluster", &cluster()).unwrap();
        let gate = gates.gates.iter().find(|g| g.id.name() == "force_gradient").unwrap();
        assert!(gate.detail.contains("all forces are 1.001000 times the gradient"), "{}", gate.detail);
    }

    #[test]
    fn precision_gates_fire_on_rounding() {
        let coarse = Defective::new(sound(), Defect::Rounded { bits: 5 });
        assert_eq!(fired(loaded(coarse, sound())), BTreeSet::from(["precision_drift", "precision_force"]));
    }

    #[test]
    fn equivalence_gate_fires_on_differing_fast_path() {
        let plain = Defective::new(sound(), Defect::ScaledForce { factor: 1.1 });
        let mut model = loaded(sound(), sound());
        (model.path, model.reference_path) = ("fast".to_owned(), "plain".to_owned());
        model.reference = Some(Interruptible::new(plain));
        let mut gates = Gates::new("m");
        gates.of_structure(&mut model, "cluster", &cluster()).unwrap();
        let gate = gates.gates.iter().find(|g| g.id.name() == "equivalence_force").unwrap();
        assert!(gate.value > Some(0.01) && gate.detail.ends_with("fast against plain"), "{gate:?}");
        assert_eq!(fired(model), BTreeSet::from(["equivalence_force"]));
    }
}
