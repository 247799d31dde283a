//! Whether a molecule can fall into a well that its runs are too short to meet: barriers along its bonds, and between
//! atoms that are brought together.

use anyhow::{Context, Result};
use md_core::{Potential, System, bonds};
use md_dynamics::RelaxOutcome;
use md_probe::{ProbeError, Wells};
use md_results::{GateId, number};

use super::gates::{Gates, barrier_in_words};
use super::{About, Cost, Needs, Output, Stage, Subject, View};
use crate::models::LoadedModel;

/// Calls for each bond and each pair of elements, typically.
const CALLS_PER_BOND: f64 = 35.0;
const CALLS_PER_CONTACT: f64 = 60.0;

/// Wells around the minima of a model.
pub(super) struct Barriers;

impl Stage for Barriers {
    fn about(&self) -> About {
        // The energy of a control is a sum of harmonic terms, which have one minimum each.
        About { id: md_results::Stage::Minimum, title: "barriers", needs: Needs::Minima, of_control: false }
    }

    fn subjects<'a>(&self, cx: &View<'a>, _: &LoadedModel) -> Vec<Subject<'a>> {
        cx.relaxed.keys().map(|&index| Subject::Molecule(&cx.molecules[index])).collect()
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
        let nearest = &relaxed.context("the molecule was not relaxed")?.nearest;
        if nearest.outcome != RelaxOutcome::Converged {
            // There is no minimum to begin in. The record of the relaxation says so.
            return Ok(());
        }
        let (name, given) = (molecule.record.name.as_str(), &molecule.system);
        let (oracle, potential) = (model.oracle.as_mut(), model.potential.as_mut());
        of_minimum(oracle, potential, name, [given, &nearest.system], &mut out.gates)
    }

    fn cost(&self, _: &View<'_>, subject: &Subject<'_>) -> Result<Option<Cost>> {
        let Some(molecule) = subject.molecule() else { return Ok(None) };
        let (atoms, bonds) = (molecule.system.n_atoms() as f64, molecule.record.bonds.min(100) as f64);
        let elements = molecule.record.elements.len() as f64;
        let contacts = elements * (elements + 1.0);
        let (oracle, potential) = (CALLS_PER_BOND * bonds * atoms, CALLS_PER_CONTACT * contacts * atoms);
        Ok(Some(Cost { oracle, potential, ..Cost::default() }))
    }
}

/// Measures the barriers of a molecule, as it is given and at its minimum: along bonds in f64, and for contacts, which take many
/// more calls, with the potential of the runs, whose rounding is far below the falls that count.
fn of_minimum(
    oracle: &mut dyn Potential,
    potential: &mut dyn Potential,
    name: &str,
    [given, minimum]: [&System; 2],
    gates: &mut Gates,
) -> Result<()> {
    let bonds = bonds::find(given, bonds::DEFAULT_SCALE);
    for (id, paths, none) in [
        (GateId::BondBarrier, "ways along bonds", "the molecule has no bonds"),
        (GateId::ContactBarrier, "pairs brought together", "no two atoms without a bond are near each other"),
    ] {
        let ceiling_ev = id.ceiling_ev().context("the gate has no ceiling")?;
        let found: Result<Wells, ProbeError> = match id {
            GateId::BondBarrier => md_probe::bond_wells(oracle, minimum, &bonds, ceiling_ev),
            _ => md_probe::contact_wells(potential, minimum, &bonds, ceiling_ev),
        };
        let wells = found?;
        if wells.paths == 0 {
            gates.not_applicable(id, name, none);
            continue;
        }
        let symbol = |atom: usize| given.elements()[atom].symbol();
        let pair = |[i, j]: [usize; 2]| format!("{}{i}-{}{j}", symbol(i), symbol(j));
        let closest = wells.closest.map_or(String::new(), |c| {
            format!(", none nearer than {} at {} Å", pair(c.atoms), number(c.distance_angstrom))
        });
        let searched = format!("{paths}: {}, up to {} eV{closest}", wells.paths, number(wells.highest_ev));
        match wells.lowest {
            Some(well) => {
                let detail =
                    format!("{}, {} ({searched})", pair(well.atoms), barrier_in_words(&well.barrier));
                gates.record_resolved(id, name, well.barrier.height_ev, well.barrier.error_ev, &detail);
            }
            None => gates.record(id, name, ceiling_ev, &format!("no well found ({searched})")),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use md_core::Element;
    use md_probe::analytic::Control;
    use md_results::Gate;
    use md_testkit::defects::{Defect, Defective};

    use super::*;

    /// Both gates of a molecule of `data/molecules`, measured on the control with a defect.
    fn gates_of(molecule: &str, defect: Defect) -> [Gate; 2] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../data/molecules/{molecule}.xyz"));
        let system = md_io::extxyz::read_system(&file).unwrap();
        let control = Control::new(std::slice::from_ref(&system)).unwrap();
        let (mut gates, mut potential) = (Gates::new("m"), Defective::new(control, defect));
        let mut same = potential.clone();
        of_minimum(&mut same, &mut potential, molecule, [&system; 2], &mut gates).unwrap();
        let mut found: Vec<Gate> = Vec::new();
        gates.enter(&mut found);
        [GateId::BondBarrier, GateId::ContactBarrier]
            .map(|id| found.iter().find(|g| g.id == id).unwrap().clone())
    }

    fn carbon_hydrogen(depth_ev: f64, from_angstrom: f64, to_angstrom: f64) -> Defect {
        let elements = [Element::C, Element::H];
        Defect::Well { elements, depth_ev, from_angstrom, to_angstrom }
    }

    /// A well of 3.6 eV that no run of 10 ps meets: bonds of 1.09 Å and 25 eV/Å² reach it over some 0.4 eV.
    #[test]
    fn bond_gate_finds_well_of_carbon_and_hydrogen() {
        for molecule in ["methane", "alanine"] {
            let [bonds, _] = gates_of(molecule, carbon_hydrogen(3.6, 1.27, 1.61));
            let barrier = bonds.value.unwrap();
            assert!(barrier > 0.3 && barrier < md_criteria::reach_ev(500.0, 1000.0), "{molecule}: {bonds:?}");
            assert!(bonds.standard_error.is_some_and(|error| error < 1e-3), "{molecule}: {bonds:?}");
            let detail = &bonds.detail;
            assert!(detail.starts_with('C') && detail.contains("in front of a fall of"), "{detail}");
            assert!(detail.contains("none nearer than") && detail.contains("ways along bonds: "), "{detail}");
        }
    }

    /// One well, in reach at 500 K in a microsecond, and not at 300 K in a nanosecond.
    #[test]
    fn bond_gate_of_well_in_reach_depends_on_temperature_and_time() {
        let [bonds, _] = gates_of("methane", carbon_hydrogen(1.0, 1.26, 1.5));
        let barrier = bonds.value.unwrap();
        assert!(barrier < md_criteria::reach_ev(500.0, 1000.0), "{bonds:?}");
        assert!(barrier > md_criteria::reach_ev(300.0, 1.0), "{bonds:?}");
    }

    #[test]
    fn barrier_gates_pass_sound_molecules_and_wells_out_of_reach() {
        for molecule in ["water", "methane", "alanine", "paracetamol"] {
            for gate in gates_of(molecule, Defect::Offset { energy_ev: 1.0 }) {
                assert_eq!(gate.value, gate.id.ceiling_ev(), "{gate:?}");
                assert!(gate.detail.starts_with("no well found"), "{gate:?}");
            }
        }
        // Behind half of 25 eV/Å² (0.62 Å)², 4.8 eV.
        let [bonds, _] = gates_of("methane", carbon_hydrogen(30.0, 1.71, 1.9));
        assert_eq!(bonds.value, bonds.id.ceiling_ev(), "{bonds:?}");
    }
}
