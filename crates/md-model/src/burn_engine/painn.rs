//! PaiNN ([`PainnHyperparameters`] has the formulae) and its gradient, in tensor operations.
//!
//! Matrices have F columns. Rows are atoms (N), pairs (P) or directed edges (2P: to the first atom of each pair, then
//! to the second); Cartesian quantities have three times as many, all x before all y before all z. Filters depend only
//! on the distance and are computed once per pair.

use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor};
use md_core::{Batch, Vec3};

use super::ops::{self, Format, Linear, Silu, add_rows, scale_blocks, sum_blocks};
use crate::baseline::BaselineTerms;
use crate::geometry::{BasisOnPairs, Pairs};
use crate::painn::{self, NORM_EPSILON, PainnHyperparameters};
use crate::student::{Network, Systems};
use crate::{CheckpointError, Precision, Weights, tensors};

/// The network with its weights as tensors.
#[derive(Debug)]
pub(super) struct Painn<B: Backend> {
    /// One row per supported element.
    embedding: Tensor<B, 2>,
    interactions: Vec<Interaction<B>>,
    readout: [Linear<B>; 2],
}

#[derive(Debug)]
struct Interaction<B: Backend> {
    message_hidden: Linear<B>,
    /// m₀, m₂, m₁
    message: Parts<B>,
    /// w₀, w₂, w₁, on the K basis functions and the envelope itself, which carries the bias.
    filter: Parts<B>,
    u: Linear<B>,
    v: Linear<B>,
    /// Applied to \[s, n\].
    update_hidden: Linear<B>,
    /// a₀
    scalar: Linear<B>,
    /// a₁
    product: Linear<B>,
    /// a₂, except in the last interaction, whose vectors are not used.
    vector: Option<Linear<B>>,
}

/// Layers for the contributions to s, to v along the direction of the pair, and from v to v.
#[derive(Debug)]
struct Parts<B: Backend> {
    scalar: Linear<B>,
    direction: Linear<B>,
    /// `None` in the first interaction, where v = 0.
    vector: Option<Linear<B>>,
}

impl<B: Backend> Parts<B> {
    /// Splits a layer with 2 or 3 blocks of `f` outputs.
    fn split(layer: &Linear<B>, blocks: usize, f: usize) -> Self {
        Parts {
            scalar: layer.rows(0, f),
            direction: layer.rows(f, f),
            vector: (blocks > 2).then(|| layer.rows(2 * f, f)),
        }
    }
}

/// Tensors that depend on the geometry of one or several systems.
pub(super) struct Graph<B: Backend> {
    /// Row of each atom in the embedding, \[N\].
    species: Tensor<B, 1, Int>,
    /// `None` if no two atoms are within the cutoff.
    edges: Option<Edges<B>>,
}

struct Edges<B: Backend> {
    /// \[P, K + 1\]
    basis: Tensor<B, 2>,
    /// Unit vectors from receiver to sender, \[3, 2P, 1\].
    directions: Tensor<B, 3>,
    /// Rows in s of senders and receivers, \[2P\].
    senders: Tensor<B, 1, Int>,
    receivers: Tensor<B, 1, Int>,
    /// Rows in v of senders and receivers, \[6P\].
    vector_senders: Tensor<B, 1, Int>,
    vector_receivers: Tensor<B, 1, Int>,
}

/// The gradient of the sum of all energies with respect to the geometry in [`Edges`].
pub(super) struct ByGeometry<B: Backend> {
    /// \[P, K + 1\]
    pub(super) basis: Tensor<B, 2>,
    /// \[2P, 3\] as \[6P, 1\]: with respect to the direction of each edge, all x before all y before all z.
    pub(super) directions: Tensor<B, 2>,
}

impl<B: Backend> Graph<B> {
    /// `species` are rows of the embedding.
    pub(super) fn new(species: &[usize], pairs: &Pairs, basis: &BasisOnPairs, format: &Format<B>) -> Self {
        let n = species.len();
        Graph {
            species: format.rows(species.iter().copied()),
            edges: (pairs.len() > 0).then(|| {
                let p = pairs.len();
                let of_pairs = pairs.directions();
                let directions: Vec<f64> = of_pairs
                    .chunks_exact(p)
                    .flat_map(|component| component.iter().copied().chain(component.iter().map(|x| -x)))
                    .collect();
                let ends = |first: &[usize], second: &[usize]| [first, second].concat();
                let (to, from) = (ends(&pairs.i, &pairs.j), ends(&pairs.j, &pairs.i));
                let scalar = |atoms: &[usize]| format.rows(atoms.iter().copied());
                let vector = |atoms: &[usize]| {
                    format.rows((0..3).flat_map(|a| atoms.iter().map(move |atom| a * n + atom)))
                };
                Edges {
                    basis: format.matrix(&basis.values, [p, basis.values.len() / p]),
                    directions: format.matrix(&directions, [6 * p, 1]).reshape([3, 2 * p, 1]),
                    senders: scalar(&from),
                    receivers: scalar(&to),
                    vector_senders: vector(&from),
                    vector_receivers: vector(&to),
                }
            }),
        }
    }
}

/// Intermediate results of the forward pass of one interaction for the backward pass.
struct Trace<B: Backend> {
    message: Option<MessageTrace<B>>,
    uv: Tensor<B, 2>,
    vv: Tensor<B, 2>,
    norm: Tensor<B, 2>,
    product: Tensor<B, 2>,
    hidden: Silu<B>,
    a_product: Tensor<B, 2>,
    a_vector: Option<Tensor<B, 2>>,
}

struct MessageTrace<B: Backend> {
    hidden: Silu<B>,
    /// m₀ and m₂ of the sender of each edge, \[2P, F\].
    sent_scalar: Tensor<B, 2>,
    sent_direction: Tensor<B, 2>,
    filter_scalar: Tensor<B, 2>,
    filter_direction: Tensor<B, 2>,
    /// sent_direction · filter_direction
    along: Tensor<B, 2>,
    vector: Option<VectorTrace<B>>,
}

struct VectorTrace<B: Backend> {
    v: Tensor<B, 2>,
    m: Tensor<B, 2>,
    /// m₁ v of the sender of each edge, \[6P, F\].
    sent: Tensor<B, 2>,
    filter: Tensor<B, 2>,
}

impl<B: Backend> Painn<B> {
    /// Creates the network from the tensors returned by `get` for a name and shape; biases have the shape \[1, n\].
    pub(super) fn assemble<E>(
        h: &PainnHyperparameters,
        get: impl Fn(&str, [usize; 2]) -> Result<Tensor<B, 2>, E>,
    ) -> Result<Self, E> {
        let (f, k) = (h.hidden_dim as usize, h.num_rbf as usize);
        let linear = |name: &str, n_in: usize, n_out: usize| -> Result<Linear<B>, E> {
            let bias = get(&format!("{name}.bias"), [1, n_out])?;
            Ok(Linear::new(get(&format!("{name}.weight"), [n_out, n_in])?, Some(bias)))
        };
        let interactions = (0..h.num_interactions).map(|l| {
            let name = |part: &str| format!("interactions.{l}.{part}");
            let (sent, updated) = (h.messages(l), h.updates(l));
            let message = linear(&name("message.1"), f, sent * f)?;
            let filter = get(&format!("{}.weight", name("filter")), [sent * f, k + 1])?;
            let filter = Linear::new(filter, None);
            let mix = Linear::new(get(&format!("{}.weight", name("mix")), [2 * f, f])?, None);
            let update = linear(&name("update.1"), f, updated * f)?;
            Ok(Interaction {
                message_hidden: linear(&name("message.0"), f, f)?,
                message: Parts::split(&message, sent, f),
                filter: Parts::split(&filter, sent, f),
                u: mix.rows(0, f),
                v: mix.rows(f, f),
                update_hidden: linear(&name("update.0"), 2 * f, f)?,
                scalar: update.rows(0, f),
                product: update.rows(f, f),
                vector: (updated > 2).then(|| update.rows(2 * f, f)),
            })
        });
        Ok(Painn {
            interactions: interactions.collect::<Result<_, E>>()?,
            embedding: get(painn::EMBEDDING, [h.reference_energies_ev.len(), f])?,
            readout: [linear("readout.0", f, f / 2)?, linear("readout.1", f / 2, 1)?],
        })
    }

    /// Computes the energy of each atom, \[N, 1\], without its reference, and if `gradient` is true the gradient of
    /// their sum.
    pub(super) fn evaluate(&self, graph: &Graph<B>, gradient: bool) -> (Tensor<B, 2>, Option<ByGeometry<B>>) {
        let mut s = self.embedding.clone().select(0, graph.species.clone());
        let mut v = None;
        let mut traces = Vec::with_capacity(self.interactions.len());
        for interaction in &self.interactions {
            let message;
            (s, v, message) = interaction.receive(s, v, graph);
            let trace;
            (s, v, trace) = interaction.update(s, v, message);
            traces.push(trace);
        }
        let [hidden_layer, energy_layer] = &self.readout;
        let hidden = Silu::new(hidden_layer.apply(s));
        let energies = energy_layer.apply(hidden.value.clone());

        let by_geometry = match &graph.edges {
            Some(edges) if gradient => {
                let ones = energies.ones_like();
                let by_s = hidden_layer.pull_back(hidden.pull_back(energy_layer.pull_back(ones)));
                Some(self.backward(edges, traces, by_s))
            }
            _ => None,
        };
        (energies, by_geometry)
    }

    fn backward(&self, edges: &Edges<B>, traces: Vec<Trace<B>>, mut by_s: Tensor<B, 2>) -> ByGeometry<B> {
        let mut by_v = None;
        let mut total: Option<ByGeometry<B>> = None;
        for (interaction, trace) in self.interactions.iter().zip(traces).rev() {
            let by_received;
            let message;
            (by_s, by_received, message) = interaction.update_back(trace, by_s, by_v);
            by_v = None;
            if let Some(message) = message {
                let by;
                (by_s, by_v, by) = interaction.receive_back(message, edges, by_s, by_received);
                total = Some(match total {
                    None => by,
                    Some(sum) => {
                        ByGeometry { basis: sum.basis + by.basis, directions: sum.directions + by.directions }
                    }
                });
            }
        }
        total.unwrap_or_else(|| ByGeometry {
            basis: edges.basis.zeros_like(),
            directions: edges.directions.zeros_like().reshape([-1, 1]),
        })
    }
}

impl<B: Backend> Interaction<B> {
    /// Adds the messages of the neighbours to s and v.
    fn receive(
        &self,
        s: Tensor<B, 2>,
        v: Option<Tensor<B, 2>>,
        graph: &Graph<B>,
    ) -> (Tensor<B, 2>, Option<Tensor<B, 2>>, Option<MessageTrace<B>>) {
        let Some(edges) = &graph.edges else { return (s, v, None) };
        let hidden = Silu::new(self.message_hidden.apply(s.clone()));
        let sent = |layer: &Linear<B>| layer.apply(hidden.value.clone()).select(0, edges.senders.clone());
        let sent_scalar = sent(&self.message.scalar);
        let filter_scalar = self.filter.scalar.apply(edges.basis.clone());
        let s = add_rows(s, &edges.receivers, scale_blocks(sent_scalar.clone(), &filter_scalar));

        let sent_direction = sent(&self.message.direction);
        let filter_direction = self.filter.direction.apply(edges.basis.clone());
        let along = scale_blocks(sent_direction.clone(), &filter_direction);
        let mut received = along_directions(along.clone(), &edges.directions);
        let mut vector = None;
        if let (Some(v), Some(message), Some(filter)) = (&v, &self.message.vector, &self.filter.vector) {
            let m = message.apply(hidden.value.clone());
            let sent = scale_blocks(v.clone(), &m).select(0, edges.vector_senders.clone());
            let filter = filter.apply(edges.basis.clone());
            received = received + scale_blocks(sent.clone(), &filter);
            vector = Some(VectorTrace { v: v.clone(), m, sent, filter });
        }
        let v = v.unwrap_or_else(|| zero_vectors(&s));
        let v = add_rows(v, &edges.vector_receivers, received);
        let trace = MessageTrace {
            hidden,
            sent_scalar,
            sent_direction,
            filter_scalar,
            filter_direction,
            along,
            vector,
        };
        (s, Some(v), Some(trace))
    }

    /// Computes the gradient with respect to the inputs of [`Interaction::receive`] (v only if there was any) and to
    /// the geometry, from that with respect to its result.
    fn receive_back(
        &self,
        trace: MessageTrace<B>,
        edges: &Edges<B>,
        by_s: Tensor<B, 2>,
        by_v: Tensor<B, 2>,
    ) -> (Tensor<B, 2>, Option<Tensor<B, 2>>, ByGeometry<B>) {
        let received_s = by_s.clone().select(0, edges.receivers.clone());
        let received_v = by_v.clone().select(0, edges.vector_receivers.clone());
        let nothing = by_s.zeros_like();
        let back_to_senders = |by_sent: Tensor<B, 2>| add_rows(nothing.clone(), &edges.senders, by_sent);

        let by_scalar = back_to_senders(scale_blocks(received_s.clone(), &trace.filter_scalar));
        let mut by_hidden = self.message.scalar.pull_back(by_scalar);
        let by_filter = sum_blocks(trace.sent_scalar * received_s, 2);
        let mut by_basis = self.filter.scalar.pull_back(by_filter);

        let [edge_rows, width] = trace.along.dims();
        let by_received = received_v.clone().reshape([3, edge_rows, width]);
        let by_directions = (by_received.clone() * trace.along.reshape([1, edge_rows, width]))
            .sum_dim(2)
            .reshape([3 * edge_rows, 1]);
        let by_along = (by_received * edges.directions.clone()).sum_dim(0).reshape([edge_rows, width]);
        let by_direction = back_to_senders(scale_blocks(by_along.clone(), &trace.filter_direction));
        by_hidden = by_hidden + self.message.direction.pull_back(by_direction);
        let by_filter = sum_blocks(trace.sent_direction * by_along, 2);
        by_basis = by_basis + self.filter.direction.pull_back(by_filter);

        let mut by_input_v = None;
        if let (Some(vector), Some(message), Some(filter)) =
            (trace.vector, &self.message.vector, &self.filter.vector)
        {
            let by_sent = scale_blocks(received_v.clone(), &vector.filter);
            let by_filter = sum_blocks(vector.sent * received_v, 6);
            by_basis = by_basis + filter.pull_back(by_filter);
            let by_scaled = add_rows(by_v.zeros_like(), &edges.vector_senders, by_sent);
            let by_m = sum_blocks(by_scaled.clone() * vector.v, 3);
            by_hidden = by_hidden + message.pull_back(by_m);
            by_input_v = Some(by_v + scale_blocks(by_scaled, &vector.m));
        }
        let by_s = by_s + self.message_hidden.pull_back(trace.hidden.pull_back(by_hidden));
        (by_s, by_input_v, ByGeometry { basis: by_basis, directions: by_directions })
    }

    fn update(
        &self,
        s: Tensor<B, 2>,
        v: Option<Tensor<B, 2>>,
        message: Option<MessageTrace<B>>,
    ) -> (Tensor<B, 2>, Option<Tensor<B, 2>>, Trace<B>) {
        let v = v.unwrap_or_else(|| zero_vectors(&s));
        let (uv, vv) = (self.u.apply(v.clone()), self.v.apply(v.clone()));
        let norm = (sum_blocks(vv.clone() * vv.clone(), 3) + NORM_EPSILON * NORM_EPSILON).sqrt();
        let hidden = Silu::new(self.update_hidden.apply(Tensor::cat(vec![s.clone(), norm.clone()], 1)));
        let product = sum_blocks(uv.clone() * vv.clone(), 3);
        let a_product = self.product.apply(hidden.value.clone());
        let s = s + self.scalar.apply(hidden.value.clone()) + a_product.clone() * product.clone();
        let a_vector = self.vector.as_ref().map(|layer| layer.apply(hidden.value.clone()));
        let v = a_vector.as_ref().map(|a| v + scale_blocks(uv.clone(), a));
        (s, v, Trace { message, uv, vv, norm, product, hidden, a_product, a_vector })
    }

    /// Computes the gradient with respect to s and v before the update, from that with respect to its result, and the
    /// intermediate results for the backward pass of the message.
    fn update_back(
        &self,
        trace: Trace<B>,
        by_s: Tensor<B, 2>,
        by_v: Option<Tensor<B, 2>>,
    ) -> (Tensor<B, 2>, Tensor<B, 2>, Option<MessageTrace<B>>) {
        let by_product = by_s.clone() * trace.a_product;
        let mut by_hidden =
            self.scalar.pull_back(by_s.clone()) + self.product.pull_back(by_s.clone() * trace.product);
        let mut by_uv = scale_blocks(trace.vv.clone(), &by_product);
        let mut by_input_v = None;
        if let (Some(by_v), Some(a), Some(layer)) = (by_v, trace.a_vector, &self.vector) {
            by_hidden = by_hidden + layer.pull_back(sum_blocks(by_v.clone() * trace.uv.clone(), 3));
            by_uv = by_uv + scale_blocks(by_v.clone(), &a);
            by_input_v = Some(by_v);
        }
        let width = by_s.dims()[1];
        let by_arguments = self.update_hidden.pull_back(trace.hidden.pull_back(by_hidden));
        let by_norm = by_arguments.clone().narrow(1, width, width) / trace.norm;
        let by_vv = scale_blocks(trace.uv, &by_product) + scale_blocks(trace.vv, &by_norm);
        let through_matrices = self.u.pull_back(by_uv) + self.v.pull_back(by_vv);
        let by_v = match by_input_v {
            None => through_matrices,
            Some(by_v) => by_v + through_matrices,
        };
        (by_s + by_arguments.narrow(1, 0, width), by_v, trace.message)
    }
}

/// Computes r̂ x for each edge, \[6P, F\].
fn along_directions<B: Backend>(x: Tensor<B, 2>, directions: &Tensor<B, 3>) -> Tensor<B, 2> {
    let [rows, width] = x.dims();
    (x.reshape([1, rows, width]) * directions.clone()).reshape([3 * rows, width])
}

/// Returns v = 0 for the atoms of `s`.
fn zero_vectors<B: Backend>(s: &Tensor<B, 2>) -> Tensor<B, 2> {
    let [n, width] = s.dims();
    Tensor::zeros([3 * n, width], (&s.device(), s.dtype()))
}

/// Adds to `forces` the contribution of the gradient with respect to basis and directions, as read from the tensors.
pub(super) fn add_forces(
    pairs: &Pairs,
    basis: &BasisOnPairs,
    by_basis: &[f64],
    by_directions: &[f64],
    forces: &mut [Vec3],
) {
    let p = pairs.len();
    // The two edges of a pair have opposite directions.
    let by_direction: Vec<f64> = by_directions
        .chunks_exact(2 * p)
        .flat_map(|component| (0..p).map(|k| component[k] - component[p + k]))
        .collect();
    pairs.add_forces(&basis.pull_back(by_basis), &by_direction, forces);
}

/// A [`Painn`] for inference.
#[derive(Debug)]
pub(super) struct PainnNetwork<B: Backend> {
    network: Painn<B>,
    baseline: BaselineTerms,
    format: Format<B>,
}

impl<B: Backend> PainnNetwork<B> {
    pub(super) fn new(
        h: &PainnHyperparameters,
        weights: &Weights,
        precision: Precision,
    ) -> Result<Self, CheckpointError> {
        let format = Format { device: B::Device::default(), precision };
        Ok(PainnNetwork {
            network: Painn::assemble(h, |name, shape| tensor(weights, name, shape, &format))?,
            baseline: BaselineTerms::new(h),
            format,
        })
    }
}

/// Creates a tensor from the checkpoint, with biases as one row.
pub(super) fn tensor<B: Backend>(
    weights: &Weights,
    name: &str,
    shape: [usize; 2],
    format: &Format<B>,
) -> Result<Tensor<B, 2>, CheckpointError> {
    let stored = if name.ends_with("bias") { &shape[1..] } else { &shape[..] };
    Ok(format.matrix(&tensors::get(weights, name, stored)?.values, shape))
}

impl<B: Backend> Network for PainnNetwork<B>
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
        mut forces: Option<&mut [Vec3]>,
    ) -> Result<(), String> {
        let around = &self.baseline;
        let elements = systems.elements();
        let pairs = Pairs::of_systems(around.cutoff(), systems);
        let basis = around.basis(&pairs);
        let species: Vec<usize> = around.species(elements).collect();
        let graph = Graph::new(&species, &pairs, &basis, &self.format);
        let (of_atoms, gradient) = self.network.evaluate(&graph, forces.is_some());
        let read = |tensor| ops::read(tensor).map_err(|error| error.to_string());
        systems.sum_per_system(&read(of_atoms)?, energies);
        if let (Some(forces), Some(by)) = (&mut forces, gradient) {
            add_forces(&pairs, &basis, &read(by.basis)?, &read(by.directions)?, forces);
        }
        for (energy, atoms) in energies.iter_mut().zip(systems.ranges()) {
            let forces = forces.as_deref_mut().map(|forces| &mut forces[atoms.clone()]);
            *energy += around.energy(&elements[atoms.clone()], &systems.positions[atoms], forces);
        }
        Ok(())
    }
}
