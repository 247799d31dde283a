//! PaiNN ([`PainnHyperparameters`] has the formulae).

use md_core::Vec3;

use super::dense::{Blocks, Dense, multiply_by, rows, silu, zero};
use super::filters::FilterSource;
use super::lanes::{Lanes, Row, RowMut, components_mut, dot, padded, vectorised};
use super::message::{MessageGrads, Messages};
use super::pairs::{PairGrads, add_forces};
use super::{Form, PairMemory};
use crate::baseline::BaselineTerms;
use crate::native::matrix::Real;
use crate::painn::{EMBEDDING, NORM_EPSILON, PainnHyperparameters};
use crate::student::Systems;
use crate::{CheckpointError, Filters, Weights, tensors, zbl};

#[derive(Debug)]
pub(crate) struct Painn<T> {
    filters: Filters,
    baseline: BaselineTerms,
    /// F, padded.
    pub(crate) width: usize,
    /// One row per supported element.
    pub(crate) embedding: Vec<T>,
    /// m₀ and m₂ of the first interaction, which depend only on the element: one row of 2F per supported element.
    pub(crate) first_message: Vec<T>,
    pub(crate) interactions: Vec<Interaction<T>>,
    pub(crate) readout: [Dense<T>; 2],
}

#[derive(Debug)]
pub(crate) struct Interaction<T> {
    filters: FilterSource<T>,
    pub(crate) message: [Dense<T>; 2],
    /// U and V.
    pub(crate) mix: Dense<T>,
    pub(crate) update: [Dense<T>; 2],
}

/// All buffers that a call writes.
#[derive(Debug, Default)]
pub(in crate::native) struct Memory<T> {
    pairs: PairMemory<T>,
    traces: Vec<Trace<T>>,
    s: Vec<T>,
    v: Vec<T>,
    hidden: Vec<T>,
    head: [Vec<T>; 3],
    grads: Grads<T>,
}

/// Intermediate results of an interaction for the backward pass.
#[derive(Debug, Default)]
struct Trace<T> {
    /// Before the message, \[N, 3F\].
    v: Vec<T>,
    message_slope: Vec<T>,
    /// \[N, 2F or 3F\]
    m: Vec<T>,
    u: Vec<T>,
    /// Uv and Vv, \[3N, 2F\].
    uv: Vec<T>,
    /// \[s, n\]
    arguments: Vec<T>,
    /// ⟨Uv, Vv⟩
    product: Vec<T>,
    update_slope: Vec<T>,
    /// \[N, 2F or 3F\]
    a: Vec<T>,
}

/// Gradients of the energy.
#[derive(Debug, Default)]
struct Grads<T> {
    s: Vec<T>,
    v: Vec<T>,
    a: Vec<T>,
    hidden: Vec<T>,
    arguments: Vec<T>,
    uv: Vec<T>,
    more: Vec<T>,
    m: Vec<T>,
    u: Vec<T>,
}

impl<T: Real> Painn<T> {
    pub(crate) fn new(
        h: &PainnHyperparameters,
        weights: &Weights,
        filters: Filters,
    ) -> Result<Self, CheckpointError> {
        h.check(weights)?;
        let f = h.hidden_dim as usize;
        let [one, two, half] = [Blocks::new(1, f), Blocks::new(2, f), Blocks::new(1, f / 2)];
        let interactions = (0..h.num_interactions).map(|l| {
            let name = |part: &str| format!("interactions.{l}.{part}");
            let load = |part: &str, from, blocks: usize| {
                let all: Vec<usize> = (0..blocks).collect();
                Dense::load(weights, &name(part), from, Blocks::new(blocks, f), &all)
            };
            Ok(Interaction {
                filters: FilterSource::painn(h, weights, l, filters)?,
                message: [load("message.0", one, 1)?, load("message.1", one, h.messages(l))?],
                mix: Dense::load_matrix(weights, &name("mix"), one, two, &[0, 1])?,
                update: [load("update.0", two, 1)?, load("update.1", one, h.updates(l))?],
            })
        });
        let interactions = interactions.collect::<Result<Vec<Interaction<T>>, CheckpointError>>()?;
        let known = h.reference_energies_ev.len();
        let embedding = rows(&tensors::get(weights, EMBEDDING, &[known, f])?.values, f);
        let mut first_message = Vec::new();
        if let Some(Interaction { message: [first, second], .. }) = interactions.first() {
            let (mut hidden, mut slope) = (Vec::new(), Vec::new());
            first.apply(&embedding, &mut hidden);
            silu(&mut hidden, &mut slope);
            second.apply(&hidden, &mut first_message);
        }
        Ok(Painn {
            filters,
            baseline: BaselineTerms::new(h),
            width: padded(f),
            embedding,
            first_message,
            interactions,
            readout: [
                Dense::load(weights, "readout.0", one, half, &[0])?,
                Dense::load(weights, "readout.1", half, Blocks::exact(1), &[0])?,
            ],
        })
    }
}

impl<T: Real> Form for Painn<T> {
    type Memory = Memory<T>;

    fn implementation(&self) -> &'static str {
        super::implementation(self.filters)
    }

    fn energies(&self, memory: &mut Memory<T>, systems: &Systems<'_>, energies: &mut [f64]) {
        let f = self.width;
        let Memory { pairs, traces, s, v, hidden, head, .. } = memory;
        let elements = systems.elements();
        let species = || self.baseline.species(elements);
        pairs.find(systems, self.baseline.cutoff(), self.interactions.first().map(|i| &i.filters));
        traces.resize_with(self.interactions.len(), Trace::default);
        s.clear();
        species().for_each(|row| s.extend_from_slice(&self.embedding[row * f..(row + 1) * f]));
        zero(v, 3 * s.len());
        for (l, (interaction, trace)) in self.interactions.iter().zip(traces).enumerate() {
            trace.v.clone_from(v);
            if l == 0 {
                trace.m.clear();
                let row = |row: usize| &self.first_message[2 * row * f..][..2 * f];
                species().for_each(|species| trace.m.extend_from_slice(row(species)));
            } else {
                interaction.message[0].apply(s, hidden);
                silu(hidden, &mut trace.message_slope);
                interaction.message[1].apply(hidden, &mut trace.m);
                trace.u.resize(v.len(), T::default());
                scale(f, &trace.v, &trace.m, &mut trace.u);
            }
            pairs.message_forward(&interaction.filters, trace.sent(f, l), s, v);
            interaction.mix.apply_linear(v, &mut trace.uv);
            trace.arguments.resize(2 * s.len(), T::default());
            trace.product.resize(s.len(), T::default());
            invariants(f, s, &trace.uv, &mut trace.arguments, &mut trace.product);
            interaction.update[0].apply(&trace.arguments, hidden);
            silu(hidden, &mut trace.update_slope);
            interaction.update[1].apply(hidden, &mut trace.a);
            update(f, trace, s, v);
        }
        let [hidden, slope, of_atoms] = head;
        self.readout[0].apply(s, hidden);
        silu(hidden, slope);
        self.readout[1].apply(hidden, of_atoms);
        systems.sum_per_system(of_atoms, energies);
        for (energy, atoms) in energies.iter_mut().zip(systems.ranges()) {
            *energy += self.baseline.reference_energy(&elements[atoms]);
        }
        // Pairs are ordered by system.
        let mut ends = systems.ranges().map(|atoms| atoms.end);
        let (mut system, mut end) = (0, ends.next().unwrap_or(0));
        pairs.by_pairs.clear();
        for pair in &pairs.pairs {
            while pair.i >= end {
                system += 1;
                end = ends.next().unwrap_or(usize::MAX);
            }
            let (repulsion, slope) = zbl::energy_and_slope(elements[pair.i], elements[pair.j], pair.distance);
            energies[system] += repulsion;
            pairs.by_pairs.push(PairGrads { distance: slope, direction: Vec3::zeros() });
        }
    }

    fn add_forces(&self, memory: &mut Memory<T>, forces: &mut [Vec3]) {
        let f = self.width;
        let Memory { pairs, traces, s, hidden, head, grads, .. } = memory;
        self.readout[1].pull_back_ones(&head[1], hidden);
        self.readout[0].pull_back(hidden, &mut grads.s);
        zero(&mut grads.v, 3 * s.len());
        for (l, (interaction, trace)) in self.interactions.iter().zip(traces).enumerate().rev() {
            grads.a.resize(trace.a.len(), T::default());
            update_back_to_a(f, trace, &grads.s, &grads.v, &mut grads.a);
            interaction.update[1].pull_back(&grads.a, &mut grads.hidden);
            multiply_by(&mut grads.hidden, &trace.update_slope);
            interaction.update[0].pull_back(&grads.hidden, &mut grads.arguments);
            grads.uv.resize(trace.uv.len(), T::default());
            update_back_to_uv(f, trace, &grads.arguments, &grads.s, &grads.v, &mut grads.uv);
            add_columns(f, &grads.arguments, &mut grads.s);
            interaction.mix.pull_back(&grads.uv, &mut grads.more);
            add(&grads.more, &mut grads.v);
            zero(&mut grads.m, trace.m.len());
            zero(&mut grads.u, trace.u.len());
            let mut by_sent = MessageGrads { m: &mut grads.m, u: &mut grads.u };
            pairs.message_backward(&interaction.filters, trace.sent(f, l), &grads.s, &grads.v, &mut by_sent);
            if l > 0 {
                scale_back(f, trace, &grads.u, &mut grads.m, &mut grads.v);
                interaction.message[1].pull_back(&grads.m, &mut grads.hidden);
                multiply_by(&mut grads.hidden, &trace.message_slope);
                interaction.message[0].pull_back(&grads.hidden, &mut grads.more);
                add(&grads.more, &mut grads.s);
            }
        }
        add_forces(&pairs.pairs, &pairs.by_pairs, forces);
    }
}

impl<T> Trace<T> {
    /// Returns the messages of interaction `l`.
    fn sent(&self, width: usize, l: usize) -> Messages<'_, T> {
        let (blocks, u) = if l == 0 { (2, None) } else { (3, Some(self.u.as_slice())) };
        Messages { width, m: &self.m, blocks, u }
    }
}

vectorised! {
    /// y += x
    fn add<'a, T>(_simd; x: &'a [T], y: &'a mut [T]) {
        for (y, &x) in y.iter_mut().zip(x) {
            *y += x;
        }
    }
}

vectorised! {
    /// Adds the first half of each row of `x` \[N, 2F\] to `y` \[N, F\].
    fn add_columns<'a, T>(_simd; f: usize, x: &'a [T], y: &'a mut [T]) {
        for (y, x) in y.chunks_exact_mut(f).zip(x.chunks_exact(2 * f)) {
            for (y, &x) in y.iter_mut().zip(x) {
                *y += x;
            }
        }
    }
}

vectorised! {
    /// u = v m₁
    fn scale<'a, T>(simd; f: usize, v: &'a [T], m: &'a [T], u: &'a mut [T]) {
        for (row, u) in u.chunks_exact_mut(f).enumerate() {
            let v = Row::new(simd, v, row * f, f);
            let m1 = Row::new(simd, m, (row / 3 * 3 + 2) * f, f).cut(v.len());
            let mut u = RowMut::new(simd, u, v.len());
            for k in 0..v.len() {
                u.set(k, v.get(k) * m1.get(k));
            }
        }
    }
}

vectorised! {
    /// Computes the gradient of [`scale`]: that with respect to m₁ is stored in `by_m`, that with respect to v added to
    /// `by_v`.
    fn scale_back<'a, T>(simd; f: usize, trace: &'a Trace<T>, by_u: &'a [T], by_m: &'a mut [T], by_v: &'a mut [T]) {
        for (atom, (by_m, by_v)) in by_m.chunks_exact_mut(3 * f).zip(by_v.chunks_exact_mut(3 * f)).enumerate() {
            let m1 = Row::new(simd, &trace.m, (3 * atom + 2) * f, f);
            let n = m1.len();
            let mut by_m1 = RowMut::new(simd, &mut by_m[2 * f..], n);
            let mut by_v = components_mut(simd, by_v, n);
            for k in 0..n {
                let mut sum = Lanes::splat(simd, T::default());
                for c in 0..3 {
                    let g = Row::new(simd, by_u, (3 * atom + c) * f, f).get(k);
                    let v = Row::new(simd, &trace.v, (3 * atom + c) * f, f).get(k);
                    sum = g.mul_add(v, sum);
                    by_v[c].set(k, g.mul_add(m1.get(k), by_v[c].get(k)));
                }
                by_m1.set(k, sum);
            }
        }
    }
}

/// Uv and Vv of an atom, by components.
macro_rules! mixed {
    ($simd:expr, $uv:expr, $atom:expr, $f:expr, $n:expr) => {{
        let row = |c: usize, half: usize| Row::new($simd, $uv, (6 * $atom + 2 * c + half) * $f, $f).cut($n);
        ([row(0, 0), row(1, 0), row(2, 0)], [row(0, 1), row(1, 1), row(2, 1)])
    }};
}

vectorised! {
    /// Computes \[s, √(|Vv|² + ε²)\] in rows of 2F, and ⟨Uv, Vv⟩.
    fn invariants<'a, T>(simd; f: usize, s: &'a [T], uv: &'a [T], arguments: &'a mut [T], product: &'a mut [T]) {
        let epsilon_squared = Lanes::splat(simd, T::from_f64(NORM_EPSILON * NORM_EPSILON));
        for (atom, (out, product)) in arguments.chunks_exact_mut(2 * f).zip(product.chunks_exact_mut(f)).enumerate() {
            let (copy, norm) = out.split_at_mut(f);
            copy.copy_from_slice(&s[atom * f..][..f]);
            let n = Row::new(simd, s, 0, f).len();
            let (u, v) = mixed!(simd, uv, atom, f, n);
            let (mut norm, mut product) = (RowMut::new(simd, norm, n), RowMut::new(simd, product, n));
            for k in 0..n {
                let u = [u[0].get(k), u[1].get(k), u[2].get(k)];
                let v = [v[0].get(k), v[1].get(k), v[2].get(k)];
                norm.set(k, (dot(v, v) + epsilon_squared).sqrt());
                product.set(k, dot(u, v));
            }
        }
    }
}

vectorised! {
    /// Computes s += a₀ + a₁ ⟨Uv, Vv⟩ and, if there is an a₂, v += a₂ Uv.
    fn update<'a, T>(simd; f: usize, trace: &'a Trace<T>, s: &'a mut [T], v: &'a mut [T]) {
        let blocks = trace.a.len() / s.len();
        for (atom, (s, v)) in s.chunks_exact_mut(f).zip(v.chunks_exact_mut(3 * f)).enumerate() {
            let product = Row::new(simd, &trace.product, atom * f, f);
            let n = product.len();
            let a0 = Row::new(simd, &trace.a, atom * blocks * f, f).cut(n);
            let a1 = Row::new(simd, &trace.a, (atom * blocks + 1) * f, f).cut(n);
            let mut s = RowMut::new(simd, s, n);
            for k in 0..n {
                s.set(k, a1.get(k).mul_add(product.get(k), s.get(k) + a0.get(k)));
            }
            if blocks > 2 {
                let a2 = Row::new(simd, &trace.a, (atom * blocks + 2) * f, f).cut(n);
                let (u, _) = mixed!(simd, &trace.uv, atom, f, n);
                let mut v = components_mut(simd, v, n);
                for c in 0..3 {
                    for k in 0..n {
                        v[c].set(k, a2.get(k).mul_add(u[c].get(k), v[c].get(k)));
                    }
                }
            }
        }
    }
}

vectorised! {
    /// Computes the gradient of [`update`] with respect to a.
    fn update_back_to_a<'a, T>(simd; f: usize, trace: &'a Trace<T>, by_s: &'a [T], by_v: &'a [T], by_a: &'a mut [T]) {
        let blocks = by_a.len() / by_s.len();
        for (atom, by_a) in by_a.chunks_exact_mut(blocks * f).enumerate() {
            let (by_a0, rest) = by_a.split_at_mut(f);
            let (by_a1, by_a2) = rest.split_at_mut(f);
            by_a0.copy_from_slice(&by_s[atom * f..][..f]);
            let product = Row::new(simd, &trace.product, atom * f, f);
            let n = product.len();
            let g = Row::new(simd, by_s, atom * f, f).cut(n);
            let mut by_a1 = RowMut::new(simd, by_a1, n);
            for k in 0..n {
                by_a1.set(k, g.get(k) * product.get(k));
            }
            if blocks > 2 {
                let g = super::lanes::components(simd, by_v, atom, f);
                let (u, _) = mixed!(simd, &trace.uv, atom, f, n);
                let mut by_a2 = RowMut::new(simd, by_a2, n);
                for k in 0..n {
                    let g = [g[0].get(k), g[1].get(k), g[2].get(k)];
                    by_a2.set(k, dot(g, [u[0].get(k), u[1].get(k), u[2].get(k)]));
                }
            }
        }
    }
}

vectorised! {
    /// Computes the gradient with respect to Uv and Vv of [`update`] and [`invariants`] together.
    fn update_back_to_uv<'a, T>(
        simd;
        f: usize,
        trace: &'a Trace<T>,
        by_arguments: &'a [T],
        by_s: &'a [T],
        by_v: &'a [T],
        by_uv: &'a mut [T],
    ) {
        let blocks = trace.a.len() / by_s.len();
        for (atom, by_uv) in by_uv.chunks_exact_mut(6 * f).enumerate() {
            let g = Row::new(simd, by_s, atom * f, f);
            let n = g.len();
            let a1 = Row::new(simd, &trace.a, (atom * blocks + 1) * f, f).cut(n);
            let a2 = Row::new(simd, &trace.a, (atom * blocks + blocks - 1) * f, f).cut(n);
            let norm = Row::new(simd, &trace.arguments, (2 * atom + 1) * f, f).cut(n);
            let by_norm = Row::new(simd, by_arguments, (2 * atom + 1) * f, f).cut(n);
            let (u, v) = mixed!(simd, &trace.uv, atom, f, n);
            let g_v = super::lanes::components(simd, by_v, atom, f);
            for (c, out) in by_uv.chunks_exact_mut(2 * f).enumerate() {
                let (u, v, g_v) = (u[c], v[c], g_v[c].cut(n));
                let (by_u, by_v) = out.split_at_mut(f);
                let (mut by_u, mut by_v) = (RowMut::new(simd, by_u, n), RowMut::new(simd, by_v, n));
                for k in 0..n {
                    let by_product = g.get(k) * a1.get(k);
                    let mut x = by_product * v.get(k);
                    if blocks > 2 {
                        x = g_v.get(k).mul_add(a2.get(k), x);
                    }
                    by_u.set(k, x);
                    let along = by_norm.get(k) / norm.get(k);
                    by_v.set(k, by_product.mul_add(u.get(k), along * v.get(k)));
                }
            }
        }
    }
}
