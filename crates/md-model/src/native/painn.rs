//! PaiNN ([`PainnHyperparameters`] has the formulae) and its gradient, for the atoms of any number of systems at once.

use super::kernels::{
    MessageGrads, PairList, add_columns, apply_update, invariants, message_backward, message_forward,
    multiply_by, scale, scale_back, silu, update_back_to_a, update_back_to_uv,
};
use super::matrix::{Layer, Matrix, Real};
use crate::painn::{NORM_EPSILON, PainnHyperparameters};
use crate::{CheckpointError, WeightTensor, Weights, tensors};

/// The network with its weights, or the gradient with respect to them.
#[derive(Debug, Clone)]
pub(super) struct Painn<T> {
    /// One row per supported element.
    embedding: Layer<T>,
    interactions: Vec<Interaction<T>>,
    readout: [Layer<T>; 2],
}

#[derive(Debug, Clone)]
struct Interaction<T> {
    message_hidden: Layer<T>,
    /// m₀, m₂ and, except in the first interaction, m₁.
    message: Layer<T>,
    /// w₀, w₂, w₁, applied to basis and envelope.
    filter: Layer<T>,
    /// U and V.
    mix: Layer<T>,
    /// Applied to \[s, n\].
    update_hidden: Layer<T>,
    /// a₀, a₁ and, except in the last interaction, a₂.
    update: Layer<T>,
}

impl<T: Real> Painn<T> {
    pub(super) fn new(h: &PainnHyperparameters, weights: &Weights) -> Result<Self, CheckpointError> {
        h.check(weights)?;
        Self::assemble(h, |name, shape| {
            Ok(tensors::get(weights, name, shape)?.values.iter().map(|&x| T::from_f64(x)).collect())
        })
    }

    /// Creates the network from the tensors returned by `get` for a name and shape.
    fn assemble<E>(
        h: &PainnHyperparameters,
        get: impl Fn(&str, &[usize]) -> Result<Vec<T>, E>,
    ) -> Result<Self, E> {
        let (f, k) = (h.hidden_dim as usize, h.num_rbf as usize);
        let matrix = |name: &str, n_in: usize, n_out: usize| -> Result<Layer<T>, E> {
            let weight = get(&format!("{name}.weight"), &[n_out, n_in])?;
            Ok(Layer { weight, bias: Vec::new(), n_in, n_out })
        };
        let linear = |name: &str, n_in: usize, n_out: usize| -> Result<Layer<T>, E> {
            Ok(Layer { bias: get(&format!("{name}.bias"), &[n_out])?, ..matrix(name, n_in, n_out)? })
        };
        let interactions = (0..h.num_interactions).map(|l| {
            let name = |part: &str| format!("interactions.{l}.{part}");
            Ok(Interaction {
                message_hidden: linear(&name("message.0"), f, f)?,
                message: linear(&name("message.1"), f, h.messages(l) * f)?,
                filter: matrix(&name("filter"), k + 1, h.messages(l) * f)?,
                mix: matrix(&name("mix"), f, 2 * f)?,
                update_hidden: linear(&name("update.0"), 2 * f, f)?,
                update: linear(&name("update.1"), f, h.updates(l) * f)?,
            })
        });
        Ok(Painn {
            interactions: interactions.collect::<Result<_, E>>()?,
            embedding: matrix("embedding", f, h.reference_energies_ev.len())?,
            readout: [linear("readout.0", f, f / 2)?, linear("readout.1", f / 2, 1)?],
        })
    }

    /// Returns zeros of the same shape, to accumulate a gradient.
    pub(super) fn zeros(h: &PainnHyperparameters) -> Self {
        let zeros = |_: &str, shape: &[usize]| {
            Ok::<_, std::convert::Infallible>(vec![T::default(); shape.iter().product()])
        };
        let Ok(network) = Self::assemble(h, zeros);
        network
    }

    /// Returns the values with the tensor names of a checkpoint.
    pub(super) fn into_weights(self, h: &PainnHyperparameters) -> Weights {
        let mut values: Weights = Weights::new();
        let mut add = |name: String, layer: Layer<T>| {
            for (part, values_of) in [("weight", layer.weight), ("bias", layer.bias)] {
                if !values_of.is_empty() {
                    let values_of = values_of.into_iter().map(Real::to_f64).collect();
                    let tensor = WeightTensor { shape: Vec::new(), values: values_of };
                    values.insert(format!("{name}.{part}"), tensor);
                }
            }
        };
        add("embedding".to_owned(), self.embedding);
        for (n, layer) in self.readout.into_iter().enumerate() {
            add(format!("readout.{n}"), layer);
        }
        for (l, interaction) in self.interactions.into_iter().enumerate() {
            let mut add = |part: &str, layer| add(format!("interactions.{l}.{part}"), layer);
            add("message.0", interaction.message_hidden);
            add("message.1", interaction.message);
            add("filter", interaction.filter);
            add("mix", interaction.mix);
            add("update.0", interaction.update_hidden);
            add("update.1", interaction.update);
        }
        for (name, shape) in h.tensors() {
            if let Some(tensor) = values.get_mut(&name) {
                tensor.shape = shape;
            }
        }
        values
    }
}

/// The geometric inputs of the network.
pub(super) struct Graph<T, const D: usize> {
    /// Row of each atom in the embedding.
    pub(super) species: Vec<usize>,
    pub(super) pairs: PairList<T>,
    /// Basis functions and envelope, \[P, K + 1\].
    pub(super) basis: Matrix<T, D>,
}

/// Intermediate results of the forward pass for the backward pass.
pub(super) struct Trace<T, const D: usize> {
    interactions: Vec<InteractionTrace<T, D>>,
    /// Final s.
    s: Matrix<T, D>,
    hidden: Matrix<T, D>,
    hidden_slope: Matrix<T, D>,
    /// Energy of each atom, \[N, 1\].
    pub(super) energies: Matrix<T, D>,
}

struct InteractionTrace<T, const D: usize> {
    filters: Matrix<T, D>,
    /// Before the message; `None` for v = 0.
    s: Matrix<T, D>,
    v: Option<Matrix<T, D>>,
    hidden: Matrix<T, D>,
    hidden_slope: Matrix<T, D>,
    m: Matrix<T, D>,
    u: Option<Matrix<T, D>>,
    /// Before the update.
    v_received: Matrix<T, D>,
    uv: Matrix<T, D>,
    arguments: Matrix<T, D>,
    product: Matrix<T, D>,
    update_hidden: Matrix<T, D>,
    update_slope: Matrix<T, D>,
    a: Matrix<T, D>,
}

/// The gradient with respect to s and v.
struct FeatureGrads<T, const D: usize> {
    s: Matrix<T, D>,
    v: Matrix<T, D>,
}

/// The gradient of the sum of all energies with respect to the geometry.
pub(super) struct ByGeometry<T> {
    /// \[P, K + 1\]
    pub(super) basis: Matrix<T, 1>,
    pub(super) directions: Vec<[f64; 3]>,
}

impl<T: Real> Painn<T> {
    pub(super) fn forward<const D: usize>(&self, graph: &Graph<T, D>) -> Trace<T, D> {
        let f = self.embedding.n_in;
        let n = graph.species.len();
        let mut s = Matrix::zeros(n, f);
        for (atom, &row) in graph.species.iter().enumerate() {
            // The derivative of the embedding is zero.
            s.row_mut(atom, 0, f)[0].copy_from_slice(&self.embedding.weight[row * f..(row + 1) * f]);
        }
        let mut v = None;
        let mut interactions = Vec::with_capacity(self.interactions.len());
        for interaction in &self.interactions {
            let trace;
            (s, v, trace) = interaction.forward(graph, s, v);
            interactions.push(trace);
        }
        let [hidden_layer, energy_layer] = &self.readout;
        let mut hidden = s.linear(hidden_layer);
        let hidden_slope = silu(&mut hidden);
        let energies = hidden.linear(energy_layer);
        Trace { interactions, s, hidden, hidden_slope, energies }
    }

    /// Computes the gradient of the sum of all energies with respect to the geometry.
    pub(super) fn by_geometry(&self, graph: &Graph<T, 1>, trace: Trace<T, 1>) -> ByGeometry<T> {
        let n = graph.species.len();
        let mut by_energies =
            Matrix::<T, 1>::from_row_major(vec![T::from_f64(1.0); n], n, 1).pull_back(&self.readout[1]);
        multiply_by(&mut by_energies, &trace.hidden_slope);
        let mut grads = FeatureGrads {
            s: by_energies.pull_back(&self.readout[0]),
            v: Matrix::zeros(n, 3 * self.embedding.n_in),
        };
        let mut geometry = ByGeometry {
            basis: Matrix::zeros(graph.basis.rows(), graph.basis.columns()),
            directions: vec![[0.0; 3]; graph.pairs.atoms.len()],
        };
        for (interaction, trace) in self.interactions.iter().zip(trace.interactions).rev() {
            let (by_uv, _) = interaction.update_back(&trace, &mut grads);
            grads.v.add(&by_uv.pull_back(&interaction.mix));
            let by_message =
                interaction.receive_back(graph, &trace, &mut grads, Some(&mut geometry.directions));
            geometry.basis.add(&by_message.filters.pull_back(&interaction.filter));
        }
        geometry
    }

    /// Adds to `gradient` the derivative, along the direction of the dual part of the graph, of the gradient of Σ w E
    /// with respect to every weight. w of each atom is the dual number in `by_energies` (\[N, 1\]).
    pub(super) fn by_weights(
        &self,
        graph: &Graph<T, 2>,
        trace: Trace<T, 2>,
        by_energies: &Matrix<T, 2>,
        gradient: &mut Self,
    ) {
        let f = self.embedding.n_in;
        let [hidden_gradient, energy_gradient] = &mut gradient.readout;
        by_energies.weight_gradient(&trace.hidden, energy_gradient);
        let mut by_hidden = by_energies.pull_back(&self.readout[1]);
        multiply_by(&mut by_hidden, &trace.hidden_slope);
        by_hidden.weight_gradient(&trace.s, hidden_gradient);
        let mut grads = FeatureGrads {
            s: by_hidden.pull_back(&self.readout[0]),
            v: Matrix::zeros(graph.species.len(), 3 * f),
        };
        for ((interaction, trace), gradient) in
            self.interactions.iter().zip(trace.interactions).zip(&mut gradient.interactions).rev()
        {
            let (by_uv, by_update) = interaction.update_back(&trace, &mut grads);
            by_update.a.weight_gradient(&trace.update_hidden, &mut gradient.update);
            by_update.hidden.weight_gradient(&trace.arguments, &mut gradient.update_hidden);
            by_uv.weight_gradient(&trace.v_received, &mut gradient.mix);
            grads.v.add(&by_uv.pull_back(&interaction.mix));
            let by_message = interaction.receive_back(graph, &trace, &mut grads, None);
            by_message.m.weight_gradient(&trace.hidden, &mut gradient.message);
            by_message.hidden.weight_gradient(&trace.s, &mut gradient.message_hidden);
            by_message.filters.weight_gradient(&graph.basis, &mut gradient.filter);
        }
        for (atom, &row) in graph.species.iter().enumerate() {
            let [_, derivative] = grads.s.row(atom, 0, f);
            let sum = &mut gradient.embedding.weight[row * f..(row + 1) * f];
            sum.iter_mut().zip(derivative).for_each(|(sum, &x)| *sum += x);
        }
    }
}

/// The gradient with respect to the layers of an update network.
struct ByUpdate<T, const D: usize> {
    a: Matrix<T, D>,
    hidden: Matrix<T, D>,
}

/// The gradient with respect to the layers of a message network.
struct ByLayers<T, const D: usize> {
    m: Matrix<T, D>,
    hidden: Matrix<T, D>,
    filters: Matrix<T, D>,
}

impl<T: Real> Interaction<T> {
    fn forward<const D: usize>(
        &self,
        graph: &Graph<T, D>,
        s: Matrix<T, D>,
        v: Option<Matrix<T, D>>,
    ) -> (Matrix<T, D>, Option<Matrix<T, D>>, InteractionTrace<T, D>) {
        let f = s.columns();
        let filters = graph.basis.linear(&self.filter);
        let mut hidden = s.linear(&self.message_hidden);
        let hidden_slope = silu(&mut hidden);
        let m = hidden.linear(&self.message);
        let u = v.as_ref().map(|v| scale(v, &m, 2 * f));
        let mut s_out = s.clone();
        let mut v_out = v.clone().unwrap_or_else(|| Matrix::zeros(s.rows(), 3 * f));
        message_forward(&graph.pairs, &filters, &m, u.as_ref(), &mut s_out, &mut v_out);
        let v_received = v_out.clone();

        let uv = v_received.linear(&self.mix);
        let (arguments, product) = invariants(&s_out, &uv, NORM_EPSILON);
        let mut update_hidden = arguments.linear(&self.update_hidden);
        let update_slope = silu(&mut update_hidden);
        let a = update_hidden.linear(&self.update);
        apply_update(&a, &product, &uv, &mut s_out, &mut v_out);
        let trace = InteractionTrace {
            filters,
            s,
            v,
            hidden,
            hidden_slope,
            m,
            u,
            v_received,
            uv,
            arguments,
            product,
            update_hidden,
            update_slope,
            a,
        };
        (s_out, Some(v_out), trace)
    }

    /// Replaces the gradient with respect to the result of the update by that with respect to its inputs, except
    /// through Uv and Vv; returns that part, with the gradient with respect to the layers of the network.
    fn update_back<const D: usize>(
        &self,
        trace: &InteractionTrace<T, D>,
        grads: &mut FeatureGrads<T, D>,
    ) -> (Matrix<T, D>, ByUpdate<T, D>) {
        let a = update_back_to_a(&trace.a, &trace.product, &trace.uv, &grads.s, &grads.v);
        let mut hidden = a.pull_back(&self.update);
        multiply_by(&mut hidden, &trace.update_slope);
        let by_arguments = hidden.pull_back(&self.update_hidden);
        let by_uv =
            update_back_to_uv(&trace.a, &trace.uv, &trace.arguments, &by_arguments, &grads.s, &grads.v);
        add_columns(&mut grads.s, &by_arguments, 0);
        (by_uv, ByUpdate { a, hidden })
    }

    /// Replaces the gradient with respect to s and v after the message by that before it; returns the gradient with
    /// respect to the layers of the message network.
    fn receive_back<const D: usize>(
        &self,
        graph: &Graph<T, D>,
        trace: &InteractionTrace<T, D>,
        grads: &mut FeatureGrads<T, D>,
        directions: Option<&mut Vec<[f64; 3]>>,
    ) -> ByLayers<T, D> {
        let f = grads.s.columns();
        let mut filters = Matrix::zeros(trace.filters.rows(), trace.filters.columns());
        let mut m = Matrix::zeros(trace.m.rows(), trace.m.columns());
        let mut u = trace.u.as_ref().map(|u| Matrix::zeros(u.rows(), u.columns()));
        let by_message = MessageGrads {
            filters: &mut filters,
            m: &mut m,
            u: u.as_mut(),
            directions: directions.map(Vec::as_mut_slice),
        };
        message_backward(
            &graph.pairs,
            &trace.filters,
            &trace.m,
            trace.u.as_ref(),
            &grads.s,
            &grads.v,
            by_message,
        );
        if let (Some(by_u), Some(v)) = (&u, &trace.v) {
            scale_back(by_u, v, &trace.m, 2 * f, &mut m, &mut grads.v);
        }
        let mut hidden = m.pull_back(&self.message);
        multiply_by(&mut hidden, &trace.hidden_slope);
        grads.s.add(&hidden.pull_back(&self.message_hidden));
        ByLayers { m, hidden, filters }
    }
}
