use md_core::{Configuration, Element, Evaluation, Vec3, neighbours};

use crate::geometry::{BasisOnPairs, BesselBasis, Pairs};
use crate::painn::PainnHyperparameters;
use crate::zbl;

/// The terms of PaiNN outside the network, on the host in f64: pairs, basis, reference energies, repulsion.
#[derive(Debug, Clone)]
pub(crate) struct BaselineTerms {
    cutoff: f64,
    basis: BesselBasis,
    elements: Vec<Element>,
    /// Reference energy of each of `elements`, eV.
    reference: Vec<f64>,
}

impl BaselineTerms {
    pub(crate) fn new(h: &PainnHyperparameters) -> Self {
        let elements = h.elements();
        BaselineTerms {
            cutoff: h.cutoff,
            basis: BesselBasis::new(h.cutoff, h.num_rbf as usize),
            reference: elements.iter().map(|e| h.reference_energies_ev[e.symbol()]).collect(),
            elements,
        }
    }

    /// Returns the row of each atom in the embedding. The potential has checked the elements.
    pub(crate) fn species(&self, elements: &[Element]) -> impl Iterator<Item = usize> {
        elements.iter().map(|e| self.elements.partition_point(|known| known < e))
    }

    /// Sums the reference energies of atoms, eV.
    pub(crate) fn reference_energy(&self, elements: &[Element]) -> f64 {
        self.species(elements).map(|row| self.reference[row]).sum()
    }

    pub(crate) fn cutoff(&self) -> f64 {
        self.cutoff
    }

    pub(crate) fn basis(&self, pairs: &Pairs) -> BasisOnPairs {
        self.basis.evaluate(pairs)
    }

    /// Computes the energy (eV) of one system without that of the network; its forces (eV/Å) are added to `forces`.
    pub(crate) fn energy(
        &self,
        elements: &[Element],
        positions: &[Vec3],
        mut forces: Option<&mut [Vec3]>,
    ) -> f64 {
        let mut energy = self.reference_energy(elements);
        neighbours::for_each_pair(positions, self.cutoff, |pair| {
            let (repulsion, slope) = zbl::energy_and_slope(elements[pair.i], elements[pair.j], pair.distance);
            energy += repulsion;
            if let Some(forces) = &mut forces {
                let gradient = pair.displacement * (slope / pair.distance.max(f64::MIN_POSITIVE));
                forces[pair.i] += gradient;
                forces[pair.j] -= gradient;
            }
        });
        energy
    }

    /// Adds these terms to a prediction with the forces of the network, given its atomic energies.
    pub(crate) fn complete(&self, c: Configuration<'_>, of_atoms: &[f64], predicted: &mut Evaluation) {
        for (system, atoms) in c.batch.ranges().enumerate() {
            let elements = &c.batch.elements()[atoms.clone()];
            let forces = &mut predicted.forces[atoms.clone()];
            predicted.energies[system] = of_atoms[atoms.clone()].iter().sum::<f64>()
                + self.energy(elements, &c.positions[atoms], Some(forces));
        }
    }
}
