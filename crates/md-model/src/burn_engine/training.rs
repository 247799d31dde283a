//! Gradients with respect to weights: one tape around the network and its analytic backward pass.

use std::collections::BTreeMap;

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use md_core::{Configuration, Evaluation, Request};

use super::ops::{self, Format};
use super::painn::{Graph, Painn, add_forces, tensor};
use crate::baseline::BaselineTerms;
use crate::geometry::Pairs;
use crate::painn::PainnHyperparameters;
use crate::training::{GradientEngine, Loss};
use crate::{CheckpointError, Precision, WeightTensor, Weights};

#[derive(Debug)]
pub(super) struct PainnGradient<B: Backend> {
    h: PainnHyperparameters,
    baseline: BaselineTerms,
    format: Format<B>,
    /// Biases as one row.
    weights: BTreeMap<String, Tensor<B, 2>>,
}

impl<B: Backend> PainnGradient<B>
where
    Self: Send + Sync,
{
    pub(super) fn new(
        h: &PainnHyperparameters,
        weights: &Weights,
        precision: Precision,
    ) -> Result<Self, CheckpointError> {
        let mut engine = PainnGradient {
            h: h.clone(),
            baseline: BaselineTerms::new(h),
            format: Format { device: B::Device::default(), precision },
            weights: BTreeMap::new(),
        };
        engine.set_weights(weights)?;
        Ok(engine)
    }
}

impl<B: Backend> GradientEngine for PainnGradient<B>
where
    Self: Send + Sync,
{
    fn set_weights(&mut self, weights: &Weights) -> Result<(), CheckpointError> {
        self.h.check(weights)?;
        for (name, shape) in self.h.tensors() {
            let shape = if let [rows, columns] = shape[..] { [rows, columns] } else { [1, shape[0]] };
            self.weights.insert(name.clone(), tensor(weights, &name, shape, &self.format)?);
        }
        Ok(())
    }

    fn weight_gradient(&self, c: Configuration<'_>, loss: Loss<'_>) -> Result<Weights, String> {
        let leaves: BTreeMap<&str, Tensor<Autodiff<B>, 2>> = self
            .weights
            .iter()
            .map(|(name, t)| (name.as_str(), Tensor::from_inner(t.clone()).require_grad()))
            .collect();
        let network = Painn::assemble(&self.h, |name, _| {
            leaves.get(name).cloned().ok_or_else(|| format!("no tensor {name}"))
        })?;

        let around = &self.baseline;
        let pairs = Pairs::of_batch(around.cutoff(), c);
        let basis = around.basis(&pairs);
        let format = Format { device: self.format.device.clone(), precision: self.format.precision };
        let species: Vec<usize> = around.species(c.batch.elements()).collect();
        let graph = Graph::new(&species, &pairs, &basis, &format);
        let (energies, gradient) = network.evaluate(&graph, true);

        let read =
            |t: &Tensor<Autodiff<B>, 2>| ops::read(t.clone().inner()).map_err(|error| error.to_string());
        let mut predicted = Evaluation::default();
        predicted.reset(c.batch, Request::FORCES);
        let of_atoms = read(&energies)?;
        if let Some(by) = &gradient {
            add_forces(&pairs, &basis, &read(&by.basis)?, &read(&by.directions)?, &mut predicted.forces);
        }
        around.complete(c, &of_atoms, &mut predicted);

        let by = loss(&predicted);
        let by_atom: Vec<f64> =
            c.batch.ranges().zip(&by.energies).flat_map(|(atoms, &e)| atoms.map(move |_| e)).collect();
        let mut scalar = (energies * format.matrix(&by_atom, [by_atom.len(), 1])).sum();
        if let Some(gradient) = gradient {
            let moved = pairs.derivatives_against(&by.forces);
            let p = pairs.len();
            let on_basis = format.matrix(&basis.derivatives(&moved.distances), [p, basis.width]);
            let component = |a: usize| moved.directions.iter().map(move |r| r[a]);
            let on_directions: Vec<f64> =
                (0..3).flat_map(|a| component(a).chain(component(a).map(|x| -x))).collect();
            let on_directions = format.matrix(&on_directions, [6 * p, 1]);
            scalar = scalar + (gradient.basis * on_basis).sum() + (gradient.directions * on_directions).sum();
        }
        let gradients = scalar.backward();
        self.h
            .tensors()
            .map(|(name, shape)| {
                let n: usize = shape.iter().product();
                let values = match leaves[name.as_str()].grad(&gradients) {
                    Some(gradient) => ops::read(gradient).map_err(|error| error.to_string())?,
                    // The weight does not affect the loss, for example without pairs.
                    None => vec![0.0; n],
                };
                Ok((name, WeightTensor { shape, values }))
            })
            .collect()
    }
}
