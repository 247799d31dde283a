//! Whether a model's minimum is the molecule: bond lengths and vibrations.

use anyhow::{Context, Result};
use md_core::{Potential, System, Vec3, bonds};
use md_dynamics::{RelaxOptions, RelaxOutcome, Relaxed};
use md_probe::{Hessian, NormalMode};
use md_results::{GateId, Relaxation, RelaxationOutcome, number};

use super::gates::Gates;
use super::{About, Cost, Needs, Output, Stage, Subject, View};
use crate::models::LoadedModel;
use crate::molecule::LoadedMolecule;
use crate::start::Minima;

/// Forces at a minimum whose vibrations are looked at, eV/Å: 0.01 left would bend soft modes by some 1/cm. A kink of the energy may
/// leave more; beyond the second number there is no minimum to look at.
const FMAX_EV_PER_ANGSTROM: f64 = 1e-4;
const FMAX_LEFT_EV_PER_ANGSTROM: f64 = 1e-3;

/// Imaginary modes that are followed downhill, one after the other, and how far the atom that moves most is displaced for that, Å.
const FOLLOWED: usize = 3;
const PUSH_ANGSTROM: f64 = 0.1;

/// Imaginary wavenumbers that are followed, 1/cm: less makes no difference in energy.
const FOLLOWED_FROM_PER_CM: f64 = 1.0;

/// Change of a bond angle from which on the minimum beside a saddle point has another shape, rad (15°). An atom that turns
/// from planar to pyramidal changes its angles by 13°, from 120° to 107°.
const OTHER_SHAPE_RAD: f64 = 15.0 / 180.0 * std::f64::consts::PI;

/// Step of the central differences of forces, Å: rounding in f64 leaves 1e-7 eV/Å² of noise, and the forces that change most
/// abruptly in a sound model (along the line of CO₂) an error of 1e-4.
const STEP_ANGSTROM: f64 = 2e-5;

/// Calls that find a minimum to 1e-4 eV/Å, typically.
const RELAXATION_CALLS: f64 = 60.0;

/// The minima of a model, from its relaxed molecules.
pub(super) struct Minimum;

impl Stage for Minimum {
    fn about(&self) -> About {
        About { id: md_results::Stage::Minimum, title: "minima", needs: Needs::Minima, of_control: true }
    }

    fn subjects<'a>(&self, cx: &View<'a>, _: &LoadedModel) -> Vec<Subject<'a>> {
        let subject = |&index: &usize| Subject::Molecule(&cx.molecules[index]);
        cx.relaxed.keys().map(subject).collect()
    }

    fn measure(
        &self,
        cx: &View<'_>,
        subject: &Subject<'_>,
        model: &mut LoadedModel,
        out: &mut Output,
    ) -> Result<()> {
        let molecule = subject.as_molecule()?;
        let relaxed = cx.index_of(subject).and_then(|index| cx.relaxed.get(&index));
        let Minima { nearest, lowest } = relaxed.context("the molecule was not relaxed")?;
        let record = relaxation(model, molecule, nearest, &mut out.gates)?;
        let descent_ev = Some(nearest.energy_ev - lowest.energy_ev).filter(|ev| *ev > 0.0);
        out.relaxations.push(Relaxation { descent_ev, ..record });
        Ok(())
    }

    /// The relaxation to a smaller force, and twelve calls per atom for the Hessian.
    fn cost(&self, _: &View<'_>, subject: &Subject<'_>) -> Result<Option<Cost>> {
        let atoms = subject.molecule().map_or(0, |m| m.system.n_atoms()) as f64;
        let Cost { potential, .. } = Cost::calls(RELAXATION_CALLS, subject);
        let oracle = (RELAXATION_CALLS + 12.0 * atoms) * atoms;
        Ok(Some(Cost { potential, oracle, ..Cost::default() }))
    }
}

/// Returns the record of a relaxation, and measures the gates of the minimum.
fn relaxation(
    model: &mut LoadedModel,
    molecule: &LoadedMolecule,
    relaxed: &Relaxed,
    gates: &mut Gates,
) -> Result<Relaxation> {
    let name = molecule.record.name.as_str();
    let (outcome, reason) = match &relaxed.outcome {
        RelaxOutcome::Converged => (RelaxationOutcome::Converged, None),
        RelaxOutcome::NotConverged => (RelaxationOutcome::NotConverged, Some("the steps ran out".to_owned())),
        RelaxOutcome::Diverged(reason) => (RelaxationOutcome::Diverged, Some(reason.to_string())),
    };
    let mut record = Relaxation {
        model: model.record.name.clone(),
        molecule: name.to_owned(),
        outcome,
        reason,
        steps: relaxed.steps,
        max_force_ev_per_angstrom: Some(relaxed.max_force_ev_per_angstrom).filter(|f| f.is_finite()),
        rmsd_angstrom: None,
        max_bond_ratio: None,
        max_bond_error_angstrom: None,
        descent_ev: None,
        frequencies_per_cm: Vec::new(),
        reference_frequencies_per_cm: molecule.frequencies_per_cm.clone(),
    };
    if let RelaxOutcome::Diverged(reason) = &relaxed.outcome {
        // There is no minimum: no number says how bad that is.
        for id in [GateId::RelaxedBonds, GateId::ImaginaryMode] {
            gates.record(id, name, f64::NAN, &format!("the relaxation diverged: {reason}"));
        }
        return Ok(record);
    }
    let settled = settle(model.oracle.as_mut(), &relaxed.system)?;
    bonds_of(molecule, &settled.minimum.system, gates, &mut record)?;
    if relaxed.outcome == RelaxOutcome::Converged {
        vibrations(molecule, &settled, gates, &mut record);
    }
    gates.record_resolved(
        GateId::HessianAsymmetry,
        name,
        settled.hessian.asymmetry_ev_per_angstrom2,
        settled.hessian.asymmetry_error_ev_per_angstrom2,
        "",
    );
    Ok(record)
}

/// Compares the geometry of the minimum with the structure.
fn bonds_of(
    molecule: &LoadedMolecule,
    minimum: &System,
    gates: &mut Gates,
    record: &mut Relaxation,
) -> Result<()> {
    let (given, name) = (&molecule.system, molecule.record.name.as_str());
    let now = minimum.positions();
    record.rmsd_angstrom = Some(md_metrics::rmsd_aligned_angstrom(now, given.positions())?);
    let bonds = bonds::find(given, bonds::DEFAULT_SCALE);
    let lengths = bonds.iter().map(|b| ((now[b.j] - now[b.i]).norm(), b));
    record.max_bond_ratio = lengths.clone().map(|(r, b)| r / b.length_angstrom).max_by(f64::total_cmp);
    if given.n_atoms() == 1 {
        gates.record(GateId::RelaxedBonds, name, 0.0, "one atom has no bonds");
    }
    let worst =
        lengths.map(|(r, b)| ((r - b.length_angstrom).abs(), b)).max_by(|(a, _), (b, _)| a.total_cmp(b));
    if let Some((error, bond)) = worst {
        record.max_bond_error_angstrom = Some(error);
        let symbol = |atom: usize| given.elements()[atom].symbol();
        let detail = format!("bond {}{}-{}{}", symbol(bond.i), bond.i, symbol(bond.j), bond.j);
        gates.record(GateId::RelaxedBonds, name, error, &detail);
    }
    Ok(())
}

/// Where a relaxation ends in f64.
struct Settled {
    minimum: Relaxed,
    hessian: Hessian,
    modes: Vec<NormalMode>,
    /// The first saddle point on the way, if there is one.
    saddle: Option<Saddle>,
}

/// A saddle point that a relaxation ended at, and the minimum below it.
#[derive(Debug)]
struct Saddle {
    wavenumber_per_cm: f64,
    error_per_cm: f64,
    above_minimum_ev: f64,
    /// The bond angle that differs most between the two, by how much, rad.
    angle: Option<([usize; 3], f64)>,
}

/// Relaxes a structure in f64 and follows imaginary modes downhill: a structure of high symmetry relaxes to a saddle point
/// where the symmetry keeps it from the minima beside it.
fn settle(oracle: &mut dyn Potential, start: &System) -> Result<Settled> {
    let options = RelaxOptions { fmax_ev_per_angstrom: FMAX_EV_PER_ANGSTROM, ..RelaxOptions::default() };
    let look = |oracle: &mut dyn Potential, minimum: Relaxed| -> Result<Settled> {
        let hessian = md_probe::hessian(oracle, &minimum.system, STEP_ANGSTROM)?;
        let modes = hessian.normal_modes(&minimum.system);
        Ok(Settled { minimum, hessian, modes, saddle: None })
    };
    let first = md_dynamics::relax(std::slice::from_ref(start), oracle, &options)?;
    let mut settled = look(oracle, first.into_iter().next().context("the relaxation returned nothing")?)?;
    for _ in 0..FOLLOWED {
        let Some(mode) = settled.modes.first().filter(|m| m.wavenumber_per_cm < -FOLLOWED_FROM_PER_CM) else {
            break;
        };
        let from = &settled.minimum;
        let pushed = [PUSH_ANGSTROM, -PUSH_ANGSTROM].map(|push| {
            let moved = from.system.positions().iter().zip(&mode.displacement).map(|(x, d)| x + d * push);
            from.system.clone().with_positions(moved.collect())
        });
        let pushed: Vec<System> = pushed.into_iter().flatten().collect();
        let found = md_dynamics::relax(&pushed, oracle, &options)?;
        let below = found.into_iter().filter(|r| has_settled(r) && r.energy_ev < from.energy_ev);
        let Some(lowest) = below.min_by(|a, b| a.energy_ev.total_cmp(&b.energy_ev)) else { break };
        let saddle = Saddle {
            wavenumber_per_cm: mode.wavenumber_per_cm,
            error_per_cm: mode.error_per_cm,
            above_minimum_ev: from.energy_ev - lowest.energy_ev,
            angle: most_changed_angle(&from.system, &lowest.system),
        };
        let first = settled.saddle.take();
        settled = Settled { saddle: Some(first.unwrap_or(saddle)), ..look(oracle, lowest)? };
    }
    Ok(settled)
}

/// Whether the forces that are left allow for a look at vibrations.
fn has_settled(relaxed: &Relaxed) -> bool {
    !matches!(relaxed.outcome, RelaxOutcome::Diverged(_))
        && relaxed.max_force_ev_per_angstrom <= FMAX_LEFT_EV_PER_ANGSTROM
}

/// Returns the angle between two bonds that differs most between two geometries, and by how much, rad.
fn most_changed_angle(from: &System, to: &System) -> Option<([usize; 3], f64)> {
    let found = bonds::find(from, bonds::DEFAULT_SCALE);
    let ends = |vertex: usize| {
        let other = move |b: &bonds::Bond| match vertex {
            v if v == b.i => Some(b.j),
            v if v == b.j => Some(b.i),
            _ => None,
        };
        found.iter().filter_map(other).collect::<Vec<_>>()
    };
    let mut most: Option<([usize; 3], f64)> = None;
    for vertex in 0..from.n_atoms() {
        let ends = ends(vertex);
        for (n, &i) in ends.iter().enumerate() {
            for &j in &ends[n + 1..] {
                let atoms = [i, vertex, j];
                let [a, b] = [from, to].map(|s| angle_rad(s.positions(), atoms));
                let change = (a - b).abs();
                if most.is_none_or(|(_, known)| change > known) {
                    most = Some((atoms, change));
                }
            }
        }
    }
    most
}

fn angle_rad(positions: &[Vec3], [i, vertex, j]: [usize; 3]) -> f64 {
    (positions[i] - positions[vertex]).angle(&(positions[j] - positions[vertex]))
}

/// Enters the frequencies at the minimum, and what is odd about them.
fn vibrations(molecule: &LoadedMolecule, settled: &Settled, gates: &mut Gates, record: &mut Relaxation) {
    let name = molecule.record.name.as_str();
    let Settled { minimum, modes, saddle, .. } = settled;
    let Some(lowest) = modes.first() else {
        for id in [GateId::ImaginaryMode, GateId::FrequencyError] {
            gates.record(id, name, 0.0, "one atom has no vibrations");
        }
        return;
    };
    if !has_settled(minimum) {
        record.outcome = RelaxationOutcome::NotConverged;
        let left = minimum.max_force_ev_per_angstrom;
        record.reason = Some(format!("in f64 a force of {left:.1e} eV/Å is left"));
        return;
    }
    let symbols = |atoms: [usize; 3]| {
        atoms.map(|atom| format!("{}{atom}", molecule.system.elements()[atom].symbol())).join("-")
    };
    let left = format!(
        "the lowest of {} modes, force left {:.1e} eV/Å",
        modes.len(),
        minimum.max_force_ev_per_angstrom
    );
    let (counted, error, detail) = match saddle {
        Some(Saddle { wavenumber_per_cm, error_per_cm, above_minimum_ev, angle }) => {
            let saddle = format!(
                "the structure relaxes to a saddle point of {}i 1/cm, {} eV above the minimum beside it",
                number(-wavenumber_per_cm),
                number(*above_minimum_ev)
            );
            match *angle {
                Some((atoms, change)) if change > OTHER_SHAPE_RAD => {
                    let (atoms, degrees) = (symbols(atoms), number(change.to_degrees()));
                    let detail = format!("{saddle}, where the angle {atoms} differs by {degrees}°");
                    (*wavenumber_per_cm, *error_per_cm, detail)
                }
                _ => {
                    let detail = format!("{left}; {saddle} with the same angles");
                    (lowest.wavenumber_per_cm, lowest.error_per_cm, detail)
                }
            }
        }
        None => (lowest.wavenumber_per_cm, lowest.error_per_cm, left),
    };
    // A maximum of the two would drop NaN.
    let imaginary = if counted > 0.0 { 0.0 } else { -counted };
    gates.record_resolved(GateId::ImaginaryMode, name, imaginary, error, &detail);
    let frequencies: Vec<f64> = modes.iter().map(|mode| mode.wavenumber_per_cm).collect();
    let reference = &molecule.frequencies_per_cm;
    if reference.len() == frequencies.len() && !reference.is_empty() {
        let relative = frequencies.iter().zip(reference).map(|(f, r)| (f - r).abs() / r);
        let mean = 100.0 * relative.sum::<f64>() / reference.len() as f64;
        gates.record(GateId::FrequencyError, name, mean, &format!("{} modes", reference.len()));
    }
    record.frequencies_per_cm = frequencies;
}

#[cfg(test)]
mod tests {
    use md_core::Element;
    use md_probe::analytic::Breakable;

    use super::*;

    fn system(symbols: &str, positions: &[[f64; 3]]) -> System {
        let elements: Vec<Element> = symbols.split(' ').map(|s| s.parse().unwrap()).collect();
        System::new(elements, positions.iter().map(|&x| Vec3::from(x)).collect()).unwrap()
    }

    /// Hydrogen peroxide with this dihedral angle; 180° is planar.
    fn peroxide(dihedral: f64) -> System {
        let (sin, cos) = dihedral.to_radians().sin_cos();
        system("O O H H", &[[0.0; 3], [1.45, 0.0, 0.0], [-0.2, 0.94, 0.0], [1.65, 0.94 * cos, 0.94 * sin]])
    }

    #[test]
    fn settle_follows_rotor_from_its_saddle() {
        let mut twisted = Breakable::new(&[peroxide(112.0)]).unwrap();
        let Settled { minimum, modes, saddle, .. } = settle(&mut twisted, &peroxide(180.0)).unwrap();
        let saddle = saddle.expect("the planar molecule is a saddle point");
        assert!(saddle.wavenumber_per_cm < -50.0 && saddle.above_minimum_ev > 0.01, "{saddle:?}");
        assert!(saddle.angle.unwrap().1 < 0.2 * OTHER_SHAPE_RAD, "{saddle:?}");
        assert!(minimum.energy_ev < 1e-6 && modes[0].wavenumber_per_cm > 50.0, "{:?}", modes[0]);
        // A minimum is left as it is.
        let at_rest = settle(&mut twisted, &peroxide(112.0)).unwrap();
        assert!(at_rest.saddle.is_none() && at_rest.minimum.energy_ev < 1e-6);
    }

    #[test]
    fn settle_finds_other_shape_of_bent_molecule() {
        let bent = system("C O O", &[[0.0; 3], [1.16, 0.0, 0.0], [-1.0, 0.6, 0.0]]);
        let linear = system("C O O", &[[0.0; 3], [1.16, 0.0, 0.0], [-1.16, 0.0, 0.0]]);
        let Settled { modes, saddle, .. } = settle(&mut Breakable::new(&[bent]).unwrap(), &linear).unwrap();
        let saddle = saddle.expect("a line is a saddle point of a bent molecule");
        let (atoms, change) = saddle.angle.unwrap();
        assert_eq!(atoms, [1, 0, 2]);
        // atan(0.6)
        assert!((change - 0.6_f64.atan()).abs() < 0.02 && change > OTHER_SHAPE_RAD, "{saddle:?}");
        assert!(modes.len() == 3 && modes[0].wavenumber_per_cm > 100.0, "{modes:?}");
    }

    #[test]
    fn settle_leaves_one_atom_and_sound_molecules() {
        let atom = system("O", &[[0.0; 3]]);
        let alone = settle(&mut Breakable::new(std::slice::from_ref(&atom)).unwrap(), &atom).unwrap();
        assert!(alone.modes.is_empty() && alone.saddle.is_none());
    }
}
