//! Networks on the CPU without a tensor library: matrix products with the gemm crate, everything else in fused loops.
//!
//! Inference of both architectures is in `fused`. For training, PaiNN (`painn`) is generic over D. With D = 1 it
//! computes energies and their gradient. With D = 2 each number carries its derivative along one direction in the space
//! of positions, and the backward pass, itself in such dual numbers, yields the derivative of the gradient with respect
//! to the weights along that direction. Training on forces needs exactly this: the gradient of Σ_s c_s E_s + Σ_i y_i ·
//! F_i with respect to the weights is, for x displaced along −y, the derivative part of one backward pass seeded with
//! (1, c). No tape or second derivatives are needed.

pub(crate) mod fused;
mod kernels;
pub(crate) mod matrix;
mod painn;

use md_core::{Configuration, Evaluation, Request, Vec3};

use crate::baseline::BaselineTerms;
use crate::distiller::DistillerHyperparameters;
use crate::geometry::{BasisOnPairs, Pairs};
use crate::painn::PainnHyperparameters;
use crate::student::Network;
use crate::training::{GradientEngine, Loss};
use crate::{CheckpointError, Filters, Precision, Weights};
use fused::Fused;
use kernels::PairList;
use matrix::{Matrix, Real};
use painn::{Graph, Painn};

/// Creates the distiller form for inference.
pub(crate) fn distiller_network(
    h: &DistillerHyperparameters,
    weights: &Weights,
    precision: Precision,
    filters: Filters,
) -> Result<Box<dyn Network>, CheckpointError> {
    Ok(match precision {
        Precision::F32 => Box::new(Fused::new(fused::Distiller::<f32>::new(h, weights, filters)?)),
        Precision::F64 => Box::new(Fused::new(fused::Distiller::<f64>::new(h, weights, filters)?)),
    })
}

/// Creates PaiNN for inference.
pub(crate) fn painn_network(
    h: &PainnHyperparameters,
    weights: &Weights,
    precision: Precision,
    filters: Filters,
) -> Result<Box<dyn Network>, CheckpointError> {
    Ok(match precision {
        Precision::F32 => Box::new(Fused::new(fused::Painn::<f32>::new(h, weights, filters)?)),
        Precision::F64 => Box::new(Fused::new(fused::Painn::<f64>::new(h, weights, filters)?)),
    })
}

/// Creates PaiNN for training.
pub(crate) fn gradient_engine(
    h: &PainnHyperparameters,
    weights: &Weights,
    precision: Precision,
) -> Result<Box<dyn GradientEngine>, CheckpointError> {
    Ok(match precision {
        Precision::F32 => Box::new(Native::<f32>::new(h, weights)?),
        Precision::F64 => Box::new(Native::<f64>::new(h, weights)?),
    })
}

#[derive(Debug)]
struct Native<T> {
    h: PainnHyperparameters,
    network: Painn<T>,
    baseline: BaselineTerms,
}

impl<T: Real> Native<T> {
    fn new(h: &PainnHyperparameters, weights: &Weights) -> Result<Self, CheckpointError> {
        Ok(Native { h: h.clone(), network: Painn::new(h, weights)?, baseline: BaselineTerms::new(h) })
    }

    /// Computes energies of the atoms and forces, of the network only.
    fn evaluate(
        &self,
        species: Vec<usize>,
        pairs: &Pairs,
        basis: &BasisOnPairs,
        forces: Option<&mut [Vec3]>,
    ) -> Vec<f64> {
        let graph = Graph {
            species,
            pairs: pair_list(pairs, None),
            basis: Matrix::from_row_major(
                basis.values.iter().map(|&x| T::from_f64(x)).collect(),
                pairs.len(),
                basis.width,
            ),
        };
        let trace = self.network.forward(&graph);
        let energies = trace.energies.data().iter().map(|e| e.to_f64()).collect();
        if let Some(forces) = forces {
            let by = self.network.by_geometry(&graph, trace);
            let by_basis: Vec<f64> = by.basis.data().iter().map(|x| x.to_f64()).collect();
            let by_direction: Vec<f64> =
                (0..3).flat_map(|c| by.directions.iter().map(move |g| g[c])).collect();
            pairs.add_forces(&basis.pull_back(&by_basis), &by_direction, forces);
        }
        energies
    }
}

impl<T: Real> GradientEngine for Native<T> {
    fn set_weights(&mut self, weights: &Weights) -> Result<(), CheckpointError> {
        self.network = Painn::new(&self.h, weights)?;
        Ok(())
    }

    fn weight_gradient(&self, c: Configuration<'_>, loss: Loss<'_>) -> Result<Weights, String> {
        let around = &self.baseline;
        let pairs = Pairs::of_batch(around.cutoff(), c);
        let basis = around.basis(&pairs);
        let species: Vec<usize> = around.species(c.batch.elements()).collect();
        let mut predicted = Evaluation::default();
        predicted.reset(c.batch, Request::FORCES);
        let of_atoms = self.evaluate(species.clone(), &pairs, &basis, Some(&mut predicted.forces));
        around.complete(c, &of_atoms, &mut predicted);

        let by = loss(&predicted);
        let moved = pairs.derivatives_against(&by.forces);
        let dual_basis = basis
            .values
            .iter()
            .copied()
            .chain(basis.derivatives(&moved.distances))
            .map(T::from_f64)
            .collect();
        let graph = Graph::<T, 2> {
            species,
            pairs: pair_list(&pairs, Some(&moved.directions)),
            basis: Matrix::from_row_major(dual_basis, pairs.len(), basis.width),
        };
        let by_energies = c.batch.ranges().zip(&by.energies).flat_map(|(atoms, &e)| atoms.map(move |_| e));
        let n = c.batch.n_atoms();
        let seeds = std::iter::repeat_n(1.0, n).chain(by_energies).map(T::from_f64).collect();
        let trace = self.network.forward(&graph);
        let mut gradient = Painn::zeros(&self.h);
        self.network.by_weights(&graph, trace, &Matrix::from_row_major(seeds, n, 1), &mut gradient);
        Ok(gradient.into_weights(&self.h))
    }
}

/// `moved`: derivatives of the directions.
fn pair_list<T: Real>(pairs: &Pairs, moved: Option<&[Vec3]>) -> PairList<T> {
    let of = |x: Vec3| [T::from_f64(x.x), T::from_f64(x.y), T::from_f64(x.z)];
    PairList {
        atoms: pairs.i.iter().zip(&pairs.j).map(|(&i, &j)| [i, j]).collect(),
        directions: (0..pairs.len())
            .map(|p| [of(pairs.direction(p)), of(moved.map_or(Vec3::zeros(), |moved| moved[p]))])
            .collect(),
    }
}
