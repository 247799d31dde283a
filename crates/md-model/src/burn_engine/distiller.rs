//! The distiller form ([`DistillerHyperparameters`] has the formulae) and its gradient, in tensor operations.
//!
//! Matrices have F columns. Rows are atoms (N) or pairs (P); Cartesian quantities have three times as many, all x
//! before all y before all z, which makes components contiguous and gathering and scattering two-dimensional. Filters
//! depend only on the distance and are computed once per pair, for both directions.

use burn::tensor::Tensor;
use burn::tensor::backend::{Backend, ExecutionError};
use md_core::{Batch, Element, Vec3};

use super::message::{Edges, Features, Filters};
use super::ops::{self, Format, Linear, Rows, Silu, scale_blocks, sum_blocks};
use crate::distiller::DistillerHyperparameters;
use crate::geometry::{Pairs, RadialBasis};
use crate::student::{Network, Systems};
use crate::{CheckpointError, Precision, Weights, tensors};

/// Smallest divisor |v|, so that v/|v| is 0 for v = 0. In f32 smaller squares vanish anyway.
const SMALLEST_NORM: f64 = 1e-18;

#[derive(Debug)]
pub(super) struct Distiller<B: Backend> {
    format: Format<B>,
    cutoff: f64,
    basis: RadialBasis,
    /// One row per atomic number, on the host.
    embedding: Vec<f64>,
    /// First filter layers of all interactions, concatenated.
    filter_in: Linear<B>,
    interactions: Vec<Interaction<B>>,
    head: [Linear<B>; 3],
    width: usize,
}

#[derive(Debug)]
struct Interaction<B: Backend> {
    filter_out: [Linear<B>; 3],
    update_in: Linear<B>,
    update_out: [Linear<B>; 3],
    /// \[3, 3\]
    mixing: Tensor<B, 2>,
}

impl<B: Backend> Distiller<B> {
    pub(super) fn new(
        h: &DistillerHyperparameters,
        weights: &Weights,
        precision: Precision,
    ) -> Result<Self, CheckpointError> {
        let format = Format { device: B::Device::default(), precision };
        let (f, k) = (h.hidden_dim as usize, h.num_rbf as usize);
        let filter = |l: u32, n: u32| format!("interactions.{l}.message.rbf_to_scalar.{n}");
        let update = |l: u32, n: u32| format!("interactions.{l}.update.update_mlp.{n}");
        let mut filters_in = Vec::new();
        let mut interactions = Vec::new();
        for l in 0..h.num_interactions {
            filters_in.push(Rows::load(weights, &filter(l, 0), [k, f])?);
            let mixing = tensors::get(weights, &format!("interactions.{l}.update.mixing_matrix"), &[3, 3])?;
            interactions.push(Interaction {
                filter_out: Linear::load_three(weights, &filter(l, 2), [f, f], &format)?,
                update_in: Linear::load(weights, &update(l, 0), [2 * f, f], &format)?,
                update_out: Linear::load_three(weights, &update(l, 2), [f, f], &format)?,
                mixing: format.matrix(&mixing.values, [3, 3]),
            });
        }
        let rows = usize::from(h.max_z) + 1;
        Ok(Distiller {
            cutoff: h.cutoff,
            basis: RadialBasis::new(h.cutoff, k, weights)?,
            embedding: tensors::get(weights, "embedding.weight", &[rows, f])?.values.clone(),
            filter_in: Linear::stacked(&filters_in, k, &format),
            interactions,
            head: [
                Linear::load(weights, "energy_head.0", [f, f / 2], &format)?,
                Linear::load(weights, "energy_head.2", [f / 2, f / 4], &format)?,
                Linear::load(weights, "energy_head.4", [f / 4, 1], &format)?,
            ],
            width: f,
            format,
        })
    }
}

impl<B: Backend> Network for Distiller<B>
where
    Self: Send + Sync,
{
    fn implementation(&self) -> &'static str {
        "burn-flex"
    }

    fn atoms_at_once(&self, _: &Batch) -> usize {
        1
    }

    fn evaluate(
        &self,
        systems: &Systems<'_>,
        energies: &mut [f64],
        forces: Option<&mut [Vec3]>,
    ) -> Result<(), String> {
        self.energies_and_forces(systems, energies, forces).map_err(|error| error.to_string())
    }
}

/// The pairs of a system, and the filters of every interaction for them.
struct Environment<B: Backend> {
    edges: Edges<B>,
    /// Hidden layers of the filters, concatenated.
    hidden: Silu<B>,
    filters: Vec<Filters<B>>,
}

/// Intermediate results of the forward pass of one interaction for the backward pass.
struct Trace<B: Backend> {
    /// Input of the message.
    input: Features<B>,
    /// Input of the update, \[3N, F\].
    v: Tensor<B, 2>,
    /// |v|
    norm: Tensor<B, 2>,
    hidden: Silu<B>,
    /// M v, a₁, a₂; `None` in the last interaction, whose vectors are not used.
    gate: Option<[Tensor<B, 2>; 3]>,
}

impl<B: Backend> Distiller<B> {
    fn energies_and_forces(
        &self,
        systems: &Systems<'_>,
        energies: &mut [f64],
        forces: Option<&mut [Vec3]>,
    ) -> Result<(), ExecutionError> {
        let elements = systems.elements();
        let pairs = Pairs::of_systems(self.cutoff, systems);
        let environment = (pairs.len() > 0).then(|| self.environment(&pairs, elements.len()));

        let mut features = Features { s: self.embed(elements), v: None };
        let mut traces = Vec::with_capacity(self.interactions.len());
        for (l, interaction) in self.interactions.iter().enumerate() {
            let around = environment.as_ref().map(|e| (&e.edges, &e.filters[l]));
            let is_last = l + 1 == self.interactions.len();
            let trace;
            (features, trace) = interaction.forward(features, around, is_last, &self.format);
            traces.push(trace);
        }
        let [head0, head1, head2] = &self.head;
        let hidden0 = Silu::new(head0.apply(features.s));
        let hidden1 = Silu::new(head1.apply(hidden0.value.clone()));
        systems.sum_per_system(&ops::read(head2.apply(hidden1.value.clone()))?, energies);

        if let (Some(forces), Some(environment)) = (forces, environment) {
            let mut by_s = self.format.ones([elements.len(), 1]);
            by_s = hidden1.pull_back(head2.pull_back(by_s));
            by_s = hidden0.pull_back(head1.pull_back(by_s));
            let gradient = Features { s: head0.pull_back(by_s), v: None };
            self.add_forces(&pairs, environment, traces, gradient, forces)?;
        }
        Ok(())
    }

    fn embed(&self, elements: &[Element]) -> Tensor<B, 2> {
        let f = self.width;
        let rows = elements.iter().map(|e| usize::from(e.atomic_number()));
        let values: Vec<f64> =
            rows.flat_map(|row| &self.embedding[row * f..(row + 1) * f]).copied().collect();
        self.format.matrix(&values, [elements.len(), f])
    }

    fn environment(&self, pairs: &Pairs, n_atoms: usize) -> Environment<B> {
        let basis = self.basis.values(pairs);
        let basis = self.format.matrix(&basis, [pairs.len(), basis.len() / pairs.len()]);
        let hidden = Silu::new(self.filter_in.apply(basis));
        let filters = self.interactions.iter().enumerate().map(|(l, interaction)| {
            let own = hidden.value.clone().narrow(1, l * self.width, self.width);
            interaction.filter_out.each_ref().map(|layer| layer.apply(own.clone()))
        });
        Environment { edges: Edges::new(pairs, n_atoms, &self.format), filters: filters.collect(), hidden }
    }

    /// Runs the backward pass through all interactions and filters. `gradient` is with respect to the final s.
    fn add_forces(
        &self,
        pairs: &Pairs,
        environment: Environment<B>,
        traces: Vec<Trace<B>>,
        mut gradient: Features<B>,
        forces: &mut [Vec3],
    ) -> Result<(), ExecutionError> {
        let mut by_directions = self.format.zeros([3 * pairs.len(), 1]);
        let mut by_hidden = Vec::with_capacity(traces.len());
        for ((interaction, trace), filters) in
            self.interactions.iter().zip(traces).zip(&environment.filters).rev()
        {
            let (input, by_s, by_v) = interaction.update_back(trace, gradient);
            let by = environment.edges.message_backward(input, filters, by_s, by_v);
            by_directions = by_directions + by.directions;
            let [out0, out1, out2] = &interaction.filter_out;
            let mut by_own = out0.pull_back(by.f0) + out2.pull_back(by.f2);
            if let Some(by_f1) = by.f1 {
                by_own = by_own + out1.pull_back(by_f1);
            }
            by_hidden.push(by_own);
            gradient = by.input;
        }
        by_hidden.reverse();
        let by_basis = self.filter_in.pull_back(environment.hidden.pull_back(Tensor::cat(by_hidden, 1)));
        let by_distance = self.basis.pull_back(pairs, &ops::read(by_basis)?);
        pairs.add_forces(&by_distance, &ops::read(by_directions)?, forces);
        Ok(())
    }
}

impl<B: Backend> Interaction<B> {
    /// Message and update. `around` is `None` if no two atoms are within the cutoff.
    fn forward(
        &self,
        input: Features<B>,
        around: Option<(&Edges<B>, &Filters<B>)>,
        is_last: bool,
        format: &Format<B>,
    ) -> (Features<B>, Trace<B>) {
        let [n, width] = input.s.dims();
        let zero_v = || format.zeros([3 * n, width]);
        let (s, v) = match around {
            Some((edges, filters)) => edges.message_forward(&input, zero_v, filters),
            None => (input.s.clone(), input.v.clone().unwrap_or_else(zero_v)),
        };

        let norm = sum_blocks(v.clone() * v.clone(), 3).sqrt();
        let hidden = Silu::new(self.update_in.apply(Tensor::cat(vec![s.clone(), norm.clone()], 1)));
        let [out0, out1, out2] = &self.update_out;
        let s_out = s + out0.apply(hidden.value.clone());
        let (gate, v_out) = if is_last {
            (None, None)
        } else {
            let (a1, a2) = (out1.apply(hidden.value.clone()), out2.apply(hidden.value.clone()));
            let mixed = mix(self.mixing.clone(), v.clone());
            let v_out = scale_blocks(v.clone(), &a1) + scale_blocks(mixed.clone(), &a2);
            (Some([mixed, a1, a2]), Some(v_out))
        };
        (Features { s: s_out, v: v_out }, Trace { input, v, norm, hidden, gate })
    }

    /// Computes the input of the message and the gradient with respect to s and v before the update, given that with
    /// respect to its output.
    fn update_back(&self, trace: Trace<B>, output: Features<B>) -> (Features<B>, Tensor<B, 2>, Tensor<B, 2>) {
        let width = output.s.dims()[1];
        let [out0, out1, out2] = &self.update_out;
        let mut by_hidden = out0.pull_back(output.s.clone());
        let mut by_v = None;
        if let (Some(output_v), Some([mixed, a1, a2])) = (output.v, trace.gate) {
            let by_a1 = sum_blocks(output_v.clone() * trace.v.clone(), 3);
            let by_a2 = sum_blocks(output_v.clone() * mixed, 3);
            by_hidden = by_hidden + out1.pull_back(by_a1) + out2.pull_back(by_a2);
            let by_mixed = scale_blocks(output_v.clone(), &a2);
            by_v = Some(scale_blocks(output_v, &a1) + mix(self.mixing.clone().transpose(), by_mixed));
        }
        let by_arguments = self.update_in.pull_back(trace.hidden.pull_back(by_hidden));
        let by_s = output.s + by_arguments.clone().narrow(1, 0, width);
        let by_norm = by_arguments.narrow(1, width, width);
        // d|v|/dv = v/|v|, and 0 where v = 0.
        let along_v = scale_blocks(trace.v, &(by_norm / trace.norm.clamp_min(SMALLEST_NORM)));
        let by_v = match by_v {
            None => along_v,
            Some(by_v) => along_v + by_v,
        };
        (trace.input, by_s, by_v)
    }
}

/// Computes M v, with M acting on the Cartesian index.
fn mix<B: Backend>(matrix: Tensor<B, 2>, v: Tensor<B, 2>) -> Tensor<B, 2> {
    let [rows, width] = v.dims();
    matrix.matmul(v.reshape([3, rows / 3 * width])).reshape([rows, width])
}
