//! Whether a model's minimum is the molecule: bond lengths and vibrations.

use anyhow::{Context, Result};
use md_core::bonds;
use md_dynamics::{RelaxOptions, RelaxOutcome, Relaxed};
use md_results::{GateId, Relaxation, RelaxationOutcome};

use super::gates::Gates;
use super::{About, Cost, Needs, Output, Stage, Subject, View};
use crate::models::LoadedModel;
use crate::molecule::LoadedMolecule;
use crate::start::Minima;

/// Forces at a minimum whose vibrations are looked at, eV/Å: 0.01 left would bend soft modes by some 1/cm.
const FMAX_EV_PER_ANGSTROM: f64 = 1e-3;

/// Step of the central differences of forces, Å: rounding in f64 leaves 1e-7 eV/Å² of noise, and the forces that change most
/// abruptly in a sound model (along the line of CO₂) an error of 1e-4.
const STEP_ANGSTROM: f64 = 2e-5;

/// Calls that find a minimum to 0.001 eV/Å, typically.
const RELAXATION_CALLS: f64 = 150.0;

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

    /// The relaxation to a smaller force, and six calls per atom for the Hessian.
    fn cost(&self, _: &View<'_>, subject: &Subject<'_>) -> Result<Option<Cost>> {
        let atoms = subject.molecule().map_or(0, |m| m.system.n_atoms()) as f64;
        let Cost { potential, .. } = Cost::calls(RELAXATION_CALLS, subject);
        let oracle = (RELAXATION_CALLS + 6.0 * atoms) * atoms;
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
    let given = &molecule.system;
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
    let now = relaxed.system.positions();
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
    vibrations(model, molecule, relaxed, gates, &mut record)?;
    Ok(record)
}

/// Frequencies at the minimum in f64, and what is odd about them.
fn vibrations(
    model: &mut LoadedModel,
    molecule: &LoadedMolecule,
    relaxed: &Relaxed,
    gates: &mut Gates,
    record: &mut Relaxation,
) -> Result<()> {
    let name = molecule.record.name.as_str();
    let options = RelaxOptions { fmax_ev_per_angstrom: FMAX_EV_PER_ANGSTROM, ..RelaxOptions::default() };
    let minima = md_dynamics::relax(std::slice::from_ref(&relaxed.system), model.oracle.as_mut(), &options)?;
    let minimum = minima.first().context("the relaxation returned nothing")?;
    let hessian = md_probe::hessian(model.oracle.as_mut(), &minimum.system, STEP_ANGSTROM)?;
    gates.record_resolved(
        GateId::HessianAsymmetry,
        name,
        hessian.asymmetry_ev_per_angstrom2,
        hessian.asymmetry_error_ev_per_angstrom2,
        "",
    );
    let frequencies = hessian.frequencies_per_cm(&minimum.system);
    let Some(&lowest) = frequencies.first() else {
        for id in [GateId::ImaginaryMode, GateId::FrequencyError] {
            gates.record(id, name, 0.0, "one atom has no vibrations");
        }
        return Ok(());
    };
    let left = minimum.max_force_ev_per_angstrom;
    gates.record(
        GateId::ImaginaryMode,
        name,
        if lowest.is_nan() { lowest } else { (-lowest).max(0.0) },
        &format!("the lowest of {} modes, force left {left:.1e} eV/Å", frequencies.len()),
    );
    let reference = &molecule.frequencies_per_cm;
    if reference.len() == frequencies.len() && !reference.is_empty() {
        let relative = frequencies.iter().zip(reference).map(|(f, r)| (f - r).abs() / r);
        let mean = 100.0 * relative.sum::<f64>() / reference.len() as f64;
        gates.record(GateId::FrequencyError, name, mean, &format!("{} modes", reference.len()));
    }
    record.frequencies_per_cm = frequencies;
    Ok(())
}
