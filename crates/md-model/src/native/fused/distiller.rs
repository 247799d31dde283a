//! The distiller form ([`DistillerHyperparameters`] has the formulae).

use md_core::Vec3;

use super::dense::{Blocks, Dense, multiply_by, rows, silu, zero};
use super::filters::FilterSource;
use super::lanes::{Lanes, Row, RowMut, components, components_mut, dot, padded, vectorised};
use super::message::{MessageGrads, Messages};
use super::pairs::{PairGrads, add_forces};
use super::{Form, PairMemory};
use crate::distiller::DistillerHyperparameters;
use crate::native::matrix::Real;
use crate::student::Systems;
use crate::{CheckpointError, Filters, Weights, tensors};

/// |v| below which v/|v| counts as 0.
const SMALLEST_NORM: f64 = 1e-18;

#[derive(Debug)]
pub(crate) struct Distiller<T> {
    filters: Filters,
    cutoff: f64,
    /// F, padded.
    pub(crate) width: usize,
    /// One row per atomic number.
    pub(crate) embedding: Vec<T>,
    pub(crate) interactions: Vec<Interaction<T>>,
    pub(crate) head: [Dense<T>; 3],
}

#[derive(Debug)]
pub(crate) struct Interaction<T> {
    filters: FilterSource<T>,
    pub(crate) update_in: Dense<T>,
    /// a₀, a₁, a₂; in the last interaction only a₀, since its vectors are not used.
    pub(crate) update_out: Dense<T>,
    pub(crate) mixing: [[T; 3]; 3],
}

/// All buffers that a call writes.
#[derive(Debug, Default)]
pub(in crate::native) struct Memory<T> {
    pairs: PairMemory<T>,
    traces: Vec<Trace<T>>,
    s: Vec<T>,
    v: Vec<T>,
    hidden: Vec<T>,
    head: [Vec<T>; 5],
    grads: Grads<T>,
}

/// Intermediate results of an interaction for the backward pass: features before the message, s \[N, F\] and v \[N,
/// 3F\]; v after it; the arguments \[s, |v|\] of the update, the derivatives of its hidden layer, its outputs.
#[derive(Debug, Default)]
struct Trace<T> {
    s: Vec<T>,
    v: Vec<T>,
    v_received: Vec<T>,
    arguments: Vec<T>,
    slope: Vec<T>,
    a: Vec<T>,
}

/// Gradients of the energy.
#[derive(Debug, Default)]
struct Grads<T> {
    s: Vec<T>,
    v: Vec<T>,
    sent_s: Vec<T>,
    sent_v: Vec<T>,
    a: Vec<T>,
    hidden: Vec<T>,
    arguments: Vec<T>,
}

impl<T: Real> Distiller<T> {
    pub(crate) fn new(
        h: &DistillerHyperparameters,
        weights: &Weights,
        filters: Filters,
    ) -> Result<Self, CheckpointError> {
        let f = h.hidden_dim as usize;
        let [one, two, three] = [1, 2, 3].map(|n| Blocks::new(n, f));
        let interactions = (0..h.num_interactions).map(|l| {
            let update = |n: u32| format!("interactions.{l}.update.update_mlp.{n}");
            let outputs: &[usize] = if l + 1 == h.num_interactions { &[0] } else { &[0, 1, 2] };
            let m = tensors::get(weights, &format!("interactions.{l}.update.mixing_matrix"), &[3, 3])?;
            Ok(Interaction {
                filters: FilterSource::distiller(h, weights, l, filters)?,
                update_in: Dense::load(weights, &update(0), two, one, &[0])?,
                update_out: Dense::load(weights, &update(2), one, three, outputs)?,
                mixing: std::array::from_fn(|a| std::array::from_fn(|b| T::from_f64(m.values[3 * a + b]))),
            })
        });
        let known = usize::from(h.max_z) + 1;
        let [half, quarter] = [f / 2, f / 4].map(|n| Blocks::new(1, n));
        Ok(Distiller {
            filters,
            cutoff: h.cutoff,
            width: padded(f),
            interactions: interactions.collect::<Result<_, CheckpointError>>()?,
            embedding: rows(&tensors::get(weights, "embedding.weight", &[known, f])?.values, f),
            head: [
                Dense::load(weights, "energy_head.0", one, half, &[0])?,
                Dense::load(weights, "energy_head.2", half, quarter, &[0])?,
                Dense::load(weights, "energy_head.4", quarter, Blocks::exact(1), &[0])?,
            ],
        })
    }
}

impl<T: Real> Form for Distiller<T> {
    type Memory = Memory<T>;

    fn implementation(&self) -> &'static str {
        super::implementation(self.filters)
    }

    fn energies(&self, memory: &mut Memory<T>, systems: &Systems<'_>, energies: &mut [f64]) {
        let f = self.width;
        let Memory { pairs, traces, s, v, hidden, head, .. } = memory;
        pairs.find(systems, self.cutoff, self.interactions.first().map(|i| &i.filters));
        traces.resize_with(self.interactions.len(), Trace::default);
        s.clear();
        for element in systems.elements() {
            let row = usize::from(element.atomic_number());
            s.extend_from_slice(&self.embedding[row * f..(row + 1) * f]);
        }
        zero(v, 3 * s.len());
        for (l, (interaction, trace)) in self.interactions.iter().zip(traces).enumerate() {
            trace.s.clone_from(s);
            trace.v.clone_from(v);
            pairs.message_forward(&interaction.filters, trace.sent(f, l), s, v);
            trace.v_received.clone_from(v);
            trace.arguments.resize(2 * s.len(), T::default());
            arguments(f, s, v, &mut trace.arguments);
            interaction.update_in.apply(&trace.arguments, hidden);
            silu(hidden, &mut trace.slope);
            interaction.update_out.apply(hidden, &mut trace.a);
            update(f, &trace.a, &interaction.mixing, s, v);
        }
        let [hidden0, slope0, hidden1, slope1, of_atoms] = head;
        self.head[0].apply(s, hidden0);
        silu(hidden0, slope0);
        self.head[1].apply(hidden0, hidden1);
        silu(hidden1, slope1);
        self.head[2].apply(hidden1, of_atoms);
        systems.sum_per_system(of_atoms, energies);
    }

    fn add_forces(&self, memory: &mut Memory<T>, forces: &mut [Vec3]) {
        let f = self.width;
        let Memory { pairs, traces, s, head, grads, .. } = memory;
        let [hidden0, slope0, hidden1, slope1, _] = head;
        self.head[2].pull_back_ones(slope1, hidden1);
        self.head[1].pull_back(hidden1, hidden0);
        multiply_by(hidden0, slope0);
        self.head[0].pull_back(hidden0, &mut grads.s);
        zero(&mut grads.v, 3 * s.len());
        pairs.by_pairs.clear();
        pairs.by_pairs.resize(pairs.pairs.len(), PairGrads::default());
        for (l, (interaction, trace)) in self.interactions.iter().zip(traces).enumerate().rev() {
            grads.a.resize(trace.a.len(), T::default());
            update_back_to_a(f, &trace.v_received, &interaction.mixing, &grads.s, &grads.v, &mut grads.a);
            interaction.update_out.pull_back(&grads.a, &mut grads.hidden);
            multiply_by(&mut grads.hidden, &trace.slope);
            interaction.update_in.pull_back(&grads.hidden, &mut grads.arguments);
            update_back(f, trace, &interaction.mixing, &grads.arguments, &mut grads.s, &mut grads.v);
            grads.sent_s.clone_from(&grads.s);
            grads.sent_v.clone_from(&grads.v);
            let mut by_sent = MessageGrads { m: &mut grads.sent_s, u: &mut grads.sent_v };
            pairs.message_backward(&interaction.filters, trace.sent(f, l), &grads.s, &grads.v, &mut by_sent);
            std::mem::swap(&mut grads.s, &mut grads.sent_s);
            std::mem::swap(&mut grads.v, &mut grads.sent_v);
        }
        add_forces(&pairs.pairs, &pairs.by_pairs, forces);
    }
}

impl<T> Trace<T> {
    /// Returns the messages of interaction `l`.
    fn sent(&self, width: usize, l: usize) -> Messages<'_, T> {
        Messages { width, m: &self.s, blocks: 1, u: (l > 0).then_some(self.v.as_slice()) }
    }
}

vectorised! {
    /// Computes \[s, |v|\] in rows of 2F.
    fn arguments<'a, T>(simd; f: usize, s: &'a [T], v: &'a [T], arguments: &'a mut [T]) {
        for (atom, out) in arguments.chunks_exact_mut(2 * f).enumerate() {
            let (copy, norm) = out.split_at_mut(f);
            copy.copy_from_slice(&s[atom * f..][..f]);
            let [x, y, z] = components(simd, v, atom, f);
            let mut norm = RowMut::new(simd, norm, x.len());
            for k in 0..x.len() {
                let v = [x.get(k), y.get(k), z.get(k)];
                norm.set(k, dot(v, v).sqrt());
            }
        }
    }
}

/// Broadcasts the rows of a matrix to registers.
macro_rules! splat {
    ($simd:expr, $m:expr) => {{
        let row = |c: usize| [0, 1, 2].map(|n| Lanes::splat($simd, $m[c][n]));
        [row(0), row(1), row(2)]
    }};
}

vectorised! {
    /// Computes s += a₀ and, if there are a₁ and a₂, v ← v a₁ + (M v) a₂.
    fn update<'a, T>(simd; f: usize, a: &'a [T], m: &'a [[T; 3]; 3], s: &'a mut [T], v: &'a mut [T]) {
        let blocks = a.len() / s.len();
        let m = splat!(simd, m);
        for (atom, (s, v)) in s.chunks_exact_mut(f).zip(v.chunks_exact_mut(3 * f)).enumerate() {
            let a0 = Row::new(simd, a, atom * blocks * f, f);
            let n = a0.len();
            let mut s = RowMut::new(simd, s, n);
            for k in 0..n {
                s.set(k, s.get(k) + a0.get(k));
            }
            if blocks == 1 {
                continue;
            }
            let a1 = Row::new(simd, a, (atom * blocks + 1) * f, f).cut(n);
            let a2 = Row::new(simd, a, (atom * blocks + 2) * f, f).cut(n);
            let mut v = components_mut(simd, v, n);
            for k in 0..n {
                let old = [v[0].get(k), v[1].get(k), v[2].get(k)];
                for c in 0..3 {
                    v[c].set(k, old[c].mul_add(a1.get(k), dot(m[c], old) * a2.get(k)));
                }
            }
        }
    }
}

vectorised! {
    /// Computes the gradient of [`update`] with respect to its a.
    fn update_back_to_a<'a, T>(
        simd;
        f: usize,
        v: &'a [T],
        m: &'a [[T; 3]; 3],
        by_s: &'a [T],
        by_v: &'a [T],
        by_a: &'a mut [T],
    ) {
        let blocks = by_a.len() / by_s.len();
        let m = splat!(simd, m);
        for (atom, by_a) in by_a.chunks_exact_mut(blocks * f).enumerate() {
            let (by_a0, rest) = by_a.split_at_mut(f);
            by_a0.copy_from_slice(&by_s[atom * f..][..f]);
            if blocks == 1 {
                continue;
            }
            let (g, v) = (components(simd, by_v, atom, f), components(simd, v, atom, f));
            let n = g[0].len();
            let (by_a1, by_a2) = rest.split_at_mut(f);
            let (mut by_a1, mut by_a2) = (RowMut::new(simd, by_a1, n), RowMut::new(simd, by_a2, n));
            for k in 0..n {
                let g = [g[0].get(k), g[1].get(k), g[2].get(k)];
                let v = [v[0].get(k), v[1].get(k), v[2].get(k)];
                by_a1.set(k, dot(g, v));
                by_a2.set(k, dot(g, [dot(m[0], v), dot(m[1], v), dot(m[2], v)]));
            }
        }
    }
}

vectorised! {
    /// Replaces the gradient with respect to s and v after the update by that before it, given that with respect to
    /// [`arguments`].
    fn update_back<'a, T>(
        simd;
        f: usize,
        trace: &'a Trace<T>,
        m: &'a [[T; 3]; 3],
        by_arguments: &'a [T],
        by_s: &'a mut [T],
        by_v: &'a mut [T],
    ) {
        let blocks = trace.a.len() / by_s.len();
        let smallest = Lanes::splat(simd, T::from_f64(SMALLEST_NORM));
        let column = |c: usize| [m[0][c], m[1][c], m[2][c]];
        let transposed = splat!(simd, [column(0), column(1), column(2)]);
        for (atom, (by_s, by_v)) in by_s.chunks_exact_mut(f).zip(by_v.chunks_exact_mut(3 * f)).enumerate() {
            let by_copy = Row::new(simd, by_arguments, 2 * atom * f, f);
            let n = by_copy.len();
            let by_norm = Row::new(simd, by_arguments, (2 * atom + 1) * f, f).cut(n);
            let norm = Row::new(simd, &trace.arguments, (2 * atom + 1) * f, f).cut(n);
            let v = components(simd, &trace.v_received, atom, f);
            let (mut by_s, mut by_v) = (RowMut::new(simd, by_s, n), components_mut(simd, by_v, n));
            for k in 0..n {
                by_s.set(k, by_s.get(k) + by_copy.get(k));
                let scale = by_norm.get(k) / norm.get(k).max(smallest);
                let along = [v[0].get(k) * scale, v[1].get(k) * scale, v[2].get(k) * scale];
                if blocks == 1 {
                    // The vectors of the last update are not used.
                    for c in 0..3 {
                        by_v[c].set(k, along[c]);
                    }
                    continue;
                }
                let a1 = Row::new(simd, &trace.a, (3 * atom + 1) * f, f).get(k);
                let a2 = Row::new(simd, &trace.a, (3 * atom + 2) * f, f).get(k);
                let g = [by_v[0].get(k), by_v[1].get(k), by_v[2].get(k)];
                for c in 0..3 {
                    by_v[c].set(k, g[c].mul_add(a1, dot(transposed[c], g).mul_add(a2, along[c])));
                }
            }
        }
    }
}
