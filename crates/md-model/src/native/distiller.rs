//! The distiller form ([`DistillerHyperparameters`] has the formulae) and its forces, one system at a time.
//!
//! Filters come from tables ([`Table`]) or, by choice, from their networks; products of activations and weights from the gemm crate, everything else from
//! loops that are compiled for the widest vectors of the processor. Memory is kept from call to call.

use std::sync::{Mutex, PoisonError};

use md_core::{Element, Vec3, neighbours};

use super::dense::{Dense, zero};
use super::matrix::{Real, dot};
use super::table::Table;
use crate::distiller::DistillerHyperparameters;
use crate::geometry::{RadialBasis, UNIT_EPSILON};
use crate::student::Network;
use crate::{CheckpointError, Filters, Weights, tensors};

/// Intervals of the tables per narrowest Gaussian of the basis, in units of its width: with fewer, forces are no longer
/// right to 10⁻⁶ (tested against the network itself).
const INTERVALS_PER_WIDTH: f64 = 14.0;

/// Intervals of a table: at least, and at most (whatever the basis; 100 MB of f32 for the widest of the known students).
const INTERVALS: [usize; 2] = [256, 16_384];

/// |v| below which v/|v| counts as 0.
const SMALLEST_NORM: f64 = 1e-18;

#[derive(Debug)]
pub(super) struct Distiller<T> {
    cutoff: f64,
    width: usize,
    /// A row per atomic number.
    embedding: Vec<T>,
    interactions: Vec<Interaction<T>>,
    head: [Dense<T>; 3],
    /// Memory that is not in use.
    idle: Mutex<Vec<Memory<T>>>,
}

#[derive(Debug)]
struct Interaction<T> {
    filters: FilterSource<T>,
    update_in: Dense<T>,
    /// a₀, a₁, a₂; in the last interaction a₀ alone, since nobody reads its vectors.
    update_out: Dense<T>,
    mixing: [[T; 3]; 3],
}

/// Where f₀, f₁, f₂ of a distance come from.
#[derive(Debug)]
enum FilterSource<T> {
    Table(Table<T>),
    Network { basis: RadialBasis, layers: [Dense<T>; 2] },
}

/// Filters that were computed for all pairs at once, and their derivatives, \[P, 3F\]; empty where there is a table.
#[derive(Debug, Default)]
struct OnPairs<T> {
    values: Vec<T>,
    slopes: Vec<T>,
}

impl<T: Real> FilterSource<T> {
    fn new(
        h: &DistillerHyperparameters,
        weights: &Weights,
        l: u32,
        source: Filters,
    ) -> Result<Self, CheckpointError> {
        let (f, k) = (h.hidden_dim as usize, h.num_rbf as usize);
        let basis = RadialBasis::new(h.cutoff, k, weights)?;
        let name = |n: u32| format!("interactions.{l}.message.rbf_to_scalar.{n}");
        if source == Filters::Exact {
            let layers = [Dense::load(weights, &name(0), k, f)?, Dense::load(weights, &name(2), f, 3 * f)?];
            return Ok(FilterSource::Network { basis, layers });
        }
        let first = Dense::<f64>::load(weights, &name(0), k, f)?;
        let second = Dense::<f64>::load(weights, &name(2), f, 3 * f)?;
        let wanted = (INTERVALS_PER_WIDTH * h.cutoff / basis.narrowest()).ceil();
        let intervals = (wanted as usize).clamp(INTERVALS[0], INTERVALS[1]);
        Ok(FilterSource::Table(Table::new(h.cutoff, intervals, 3 * f, |d, filters| {
            let (mut hidden, mut out) = (Vec::new(), Vec::new());
            first.apply(&basis.smooth(d), &mut hidden);
            hidden.iter_mut().for_each(|x| *x /= 1.0 + (-*x).exp());
            second.apply(&hidden, &mut out);
            filters.copy_from_slice(&out);
        })))
    }

    /// Computes what has no table.
    fn prepare(&self, pairs: &[Pair<T>], on: &mut OnPairs<T>) {
        let FilterSource::Network { basis, layers: [first, second] } = self else { return };
        let (mut values, mut slopes) = (Vec::new(), Vec::new());
        pairs.iter().for_each(|pair| basis.with_slopes(pair.distance, &mut values, &mut slopes));
        let of = |x: Vec<f64>| x.into_iter().map(T::of).collect::<Vec<_>>();
        let (mut hidden, mut hidden_slopes, mut factors) = (Vec::new(), Vec::new(), Vec::new());
        first.apply(&of(values), &mut hidden);
        silu(&mut hidden, &mut factors);
        second.apply(&hidden, &mut on.values);
        first.apply_linear(&of(slopes), &mut hidden_slopes);
        multiply_by(&mut hidden_slopes, &factors);
        second.apply_linear(&hidden_slopes, &mut on.slopes);
    }

    /// The filters of pair number `p`.
    #[inline(always)]
    fn values(&self, p: usize, pair: &Pair<T>, on: &OnPairs<T>, values: &mut [T]) {
        match self {
            FilterSource::Table(table) => table.values(&table.place(pair.distance), values),
            FilterSource::Network { .. } => {
                values.copy_from_slice(&on.values[p * values.len()..][..values.len()]);
            }
        }
    }

    /// Their derivatives, 1/Å.
    #[inline(always)]
    fn slopes(&self, p: usize, pair: &Pair<T>, on: &OnPairs<T>, slopes: &mut [T]) {
        match self {
            FilterSource::Table(table) => table.slopes(&table.place(pair.distance), slopes),
            FilterSource::Network { .. } => {
                slopes.copy_from_slice(&on.slopes[p * slopes.len()..][..slopes.len()]);
            }
        }
    }
}

/// Everything that a call writes.
#[derive(Debug, Default)]
struct Memory<T> {
    pairs: Vec<Pair<T>>,
    traces: Vec<Trace<T>>,
    s: Vec<T>,
    v: Vec<T>,
    hidden: Vec<T>,
    head: [Vec<T>; 5],
    by: By<T>,
    /// Filters of one pair, their derivatives, and the gradient with respect to them, \[3F\] each.
    filters: [Vec<T>; 3],
    /// Differences of two vectors, \[3F\].
    difference: Vec<T>,
    by_pairs: Vec<ByPair>,
}

#[derive(Debug, Clone, Copy)]
struct Pair<T> {
    i: usize,
    j: usize,
    /// From i to j.
    direction: [T; 3],
    displacement: Vec3,
    distance: f64,
}

/// The gradient of the energy with respect to distance (eV/Å) and direction (eV) of a pair.
#[derive(Debug, Clone, Copy, Default)]
struct ByPair {
    distance: f64,
    direction: Vec3,
}

/// What the backward pass of an interaction needs: features before the message, s \[N, F\] and v \[N, 3F\]; v after it; the
/// arguments \[s, |v|\] of the update, the derivatives of its hidden layer, its outputs.
#[derive(Debug, Default)]
struct Trace<T> {
    s: Vec<T>,
    v: Vec<T>,
    v_received: Vec<T>,
    arguments: Vec<T>,
    slope: Vec<T>,
    a: Vec<T>,
    filters: OnPairs<T>,
}

/// Gradients of the energy.
#[derive(Debug, Default)]
struct By<T> {
    s: Vec<T>,
    v: Vec<T>,
    sent_s: Vec<T>,
    sent_v: Vec<T>,
    a: Vec<T>,
    hidden: Vec<T>,
    arguments: Vec<T>,
}

impl<T: Real> Distiller<T> {
    pub(super) fn new(
        h: &DistillerHyperparameters,
        weights: &Weights,
        filters: Filters,
    ) -> Result<Self, CheckpointError> {
        let f = h.hidden_dim as usize;
        let interactions = (0..h.num_interactions).map(|l| {
            let update = |n: u32| format!("interactions.{l}.update.update_mlp.{n}");
            let blocks = if l + 1 == h.num_interactions { 1 } else { 3 };
            let m = tensors::get(weights, &format!("interactions.{l}.update.mixing_matrix"), &[3, 3])?;
            Ok(Interaction {
                filters: FilterSource::new(h, weights, l, filters)?,
                update_in: Dense::load(weights, &update(0), 2 * f, f)?,
                update_out: Dense::load_first(weights, &update(2), f, blocks * f, 3 * f)?,
                mixing: std::array::from_fn(|a| std::array::from_fn(|b| T::of(m.values[3 * a + b]))),
            })
        });
        let rows = usize::from(h.max_z) + 1;
        let embedding = tensors::get(weights, "embedding.weight", &[rows, f])?;
        Ok(Distiller {
            cutoff: h.cutoff,
            width: f,
            interactions: interactions.collect::<Result<_, CheckpointError>>()?,
            embedding: embedding.values.iter().map(|&x| T::of(x)).collect(),
            head: [
                Dense::load(weights, "energy_head.0", f, f / 2)?,
                Dense::load(weights, "energy_head.2", f / 2, f / 4)?,
                Dense::load(weights, "energy_head.4", f / 4, 1)?,
            ],
            idle: Mutex::default(),
        })
    }
}

impl<T: Real> Network for Distiller<T> {
    fn implementation(&self) -> &'static str {
        super::IMPLEMENTATION
    }

    fn evaluate(
        &self,
        elements: &[Element],
        positions: &[Vec3],
        forces: Option<&mut [Vec3]>,
    ) -> Result<f64, String> {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = idle().pop().unwrap_or_default();
        let energy = self.energy(&mut memory, elements, positions);
        if let Some(forces) = forces {
            self.add_forces(&mut memory, forces);
        }
        idle().push(memory);
        Ok(energy)
    }
}

impl<T: Real> Distiller<T> {
    /// The energy, eV; what the forces need stays in `memory`.
    fn energy(&self, memory: &mut Memory<T>, elements: &[Element], positions: &[Vec3]) -> f64 {
        let f = self.width;
        let Memory { pairs, traces, s, v, hidden, head, filters, .. } = memory;
        pairs.clear();
        neighbours::for_each_pair(positions, self.cutoff, |pair| {
            let r = pair.displacement / (pair.distance + UNIT_EPSILON);
            pairs.push(Pair {
                i: pair.i,
                j: pair.j,
                direction: [T::of(r.x), T::of(r.y), T::of(r.z)],
                displacement: pair.displacement,
                distance: pair.distance,
            });
        });
        filters.iter_mut().for_each(|x| zero(x, 3 * f));
        traces.resize_with(self.interactions.len(), Trace::default);
        s.clear();
        for element in elements {
            let row = usize::from(element.atomic_number());
            s.extend_from_slice(&self.embedding[row * f..(row + 1) * f]);
        }
        zero(v, 3 * s.len());
        for (l, (interaction, trace)) in self.interactions.iter().zip(traces).enumerate() {
            trace.s.clone_from(s);
            trace.v.clone_from(v);
            interaction.filters.prepare(pairs, &mut trace.filters);
            send(&interaction.filters, pairs, l > 0, trace, &mut filters[0], s, v);
            trace.v_received.clone_from(v);
            arguments(f, s, v, &mut trace.arguments);
            interaction.update_in.apply(&trace.arguments, hidden);
            silu(hidden, &mut trace.slope);
            interaction.update_out.apply(hidden, &mut trace.a);
            update(f, &trace.a, &interaction.mixing, s, v);
        }
        let [hidden0, slope0, hidden1, slope1, energies] = head;
        self.head[0].apply(s, hidden0);
        silu(hidden0, slope0);
        self.head[1].apply(hidden0, hidden1);
        silu(hidden1, slope1);
        self.head[2].apply(hidden1, energies);
        energies.iter().map(|e| e.to_f64()).sum()
    }

    /// Adds the forces (eV/Å) after [`Distiller::energy`].
    fn add_forces(&self, memory: &mut Memory<T>, forces: &mut [Vec3]) {
        let f = self.width;
        let Memory { pairs, traces, s, head, by, filters, difference, by_pairs, .. } = memory;
        let [hidden0, slope0, hidden1, slope1, _] = head;
        let row = &self.head[2].layer.weight;
        hidden1.chunks_exact_mut(row.len()).for_each(|x| x.copy_from_slice(row));
        multiply_by(hidden1, slope1);
        self.head[1].pull_back(hidden1, hidden0);
        multiply_by(hidden0, slope0);
        self.head[0].pull_back(hidden0, &mut by.s);
        zero(&mut by.v, 3 * s.len());
        zero(difference, 3 * f);
        by_pairs.clear();
        by_pairs.resize(pairs.len(), ByPair::default());
        for (l, (interaction, trace)) in self.interactions.iter().zip(traces).enumerate().rev() {
            update_back_to_a(f, trace, &interaction.mixing, by);
            interaction.update_out.pull_back(&by.a, &mut by.hidden);
            multiply_by(&mut by.hidden, &trace.slope);
            interaction.update_in.pull_back(&by.hidden, &mut by.arguments);
            update_back(f, trace, &interaction.mixing, by);
            by.sent_s.clone_from(&by.s);
            by.sent_v.clone_from(&by.v);
            send_back(&interaction.filters, pairs, l > 0, trace, filters, difference, by, by_pairs);
            std::mem::swap(&mut by.s, &mut by.sent_s);
            std::mem::swap(&mut by.v, &mut by.sent_v);
        }
        for (pair, by) in pairs.iter().zip(by_pairs) {
            // ∂d/∂x = x/d (0 where d = 0), and u = x/(d + ε).
            let (x, d) = (pair.displacement, pair.distance);
            let s = d + UNIT_EPSILON;
            let along = by.distance - by.direction.dot(&x) / (s * s);
            let gradient = x * (along / d.max(f64::MIN_POSITIVE)) + by.direction / s;
            forces[pair.i] += gradient;
            forces[pair.j] -= gradient;
        }
    }
}

/// s_i += Σ_j s_j f₀ and v_i += Σ_j (v_j f₁ + r̂ f₂).
fn send<T: Real>(
    source: &FilterSource<T>,
    pairs: &[Pair<T>],
    has_v: bool,
    from: &Trace<T>,
    filters: &mut [T],
    s: &mut [T],
    v: &mut [T],
) {
    let f = filters.len() / 3;
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for (p, pair) in pairs.iter().enumerate() {
                source.values(p, pair, &from.filters, filters);
                let (f0, rest) = filters.split_at(f);
                let (f1, f2) = rest.split_at(f);
                for (i, j, sign) in [(pair.i, pair.j, T::of(1.0)), (pair.j, pair.i, -T::of(1.0))] {
                    add_product(&from.s[j * f..][..f], f0, &mut s[i * f..][..f]);
                    for c in 0..3 {
                        let out = &mut v[(3 * i + c) * f..][..f];
                        let r = sign * pair.direction[c];
                        if has_v {
                            add_vector(&from.v[(3 * j + c) * f..][..f], f1, r, f2, out);
                        } else {
                            add_scaled(r, f2, out);
                        }
                    }
                }
            }
        },
    );
}

/// The gradient of [`send`]: with respect to what was sent added to `by.sent_s` and `by.sent_v` (except in the first
/// interaction, before which nothing depends on positions), with respect to the pairs added to `by_pairs`.
fn send_back<T: Real>(
    source: &FilterSource<T>,
    pairs: &[Pair<T>],
    has_v: bool,
    from: &Trace<T>,
    filters: &mut [Vec<T>; 3],
    difference: &mut [T],
    by: &mut By<T>,
    by_pairs: &mut [ByPair],
) {
    let f = filters[0].len() / 3;
    let [values, slopes, by_filters] = filters;
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for (p, (pair, by_pair)) in pairs.iter().zip(by_pairs).enumerate() {
                source.values(p, pair, &from.filters, values);
                source.slopes(p, pair, &from.filters, slopes);
                let (f0, rest) = values.split_at(f);
                let (f1, f2) = rest.split_at(f);
                let (by_f0, rest) = by_filters.split_at_mut(f);
                let (by_f1, by_f2) = rest.split_at_mut(f);
                let (i, j) = (pair.i, pair.j);
                both(
                    &by.s[i * f..][..f],
                    &from.s[j * f..][..f],
                    &by.s[j * f..][..f],
                    &from.s[i * f..][..f],
                    by_f0,
                );
                subtract(&by.v[3 * i * f..][..3 * f], &by.v[3 * j * f..][..3 * f], difference);
                let (dx, rest) = difference.split_at(f);
                let (dy, dz) = rest.split_at(f);
                along(pair.direction, dx, dy, dz, by_f2);
                by_pair.direction +=
                    Vec3::new(dot(f2, dx).to_f64(), dot(f2, dy).to_f64(), dot(f2, dz).to_f64());
                if has_v {
                    by_f1.fill(T::default());
                    for c in 0..3 {
                        let row = |atom: usize| (3 * atom + c) * f;
                        add_both(
                            &by.v[row(i)..][..f],
                            &from.v[row(j)..][..f],
                            &by.v[row(j)..][..f],
                            &from.v[row(i)..][..f],
                            by_f1,
                        );
                        add_product(&by.v[row(i)..][..f], f1, &mut by.sent_v[row(j)..][..f]);
                        add_product(&by.v[row(j)..][..f], f1, &mut by.sent_v[row(i)..][..f]);
                    }
                    add_product(&by.s[i * f..][..f], f0, &mut by.sent_s[j * f..][..f]);
                    add_product(&by.s[j * f..][..f], f0, &mut by.sent_s[i * f..][..f]);
                    by_pair.distance += dot(by_filters, slopes).to_f64();
                } else {
                    by_pair.distance += (dot(by_f0, &slopes[..f]) + dot(by_f2, &slopes[2 * f..])).to_f64();
                }
            }
        },
    );
}

/// z += x y
#[inline(always)]
fn add_product<T: Real>(x: &[T], y: &[T], z: &mut [T]) {
    for k in 0..z.len().min(x.len()).min(y.len()) {
        z[k] = x[k].mul_add(y[k], z[k]);
    }
}

/// z += a x
#[inline(always)]
fn add_scaled<T: Real>(a: T, x: &[T], z: &mut [T]) {
    for k in 0..z.len().min(x.len()) {
        z[k] = a.mul_add(x[k], z[k]);
    }
}

/// z += v f₁ + r f₂
#[inline(always)]
fn add_vector<T: Real>(v: &[T], f1: &[T], r: T, f2: &[T], z: &mut [T]) {
    for k in 0..z.len().min(v.len()).min(f1.len()).min(f2.len()) {
        z[k] = v[k].mul_add(f1[k], r.mul_add(f2[k], z[k]));
    }
}

/// z = a b + c d
#[inline(always)]
fn both<T: Real>(a: &[T], b: &[T], c: &[T], d: &[T], z: &mut [T]) {
    for k in 0..z.len().min(a.len()).min(b.len()).min(c.len()).min(d.len()) {
        z[k] = a[k].mul_add(b[k], c[k] * d[k]);
    }
}

/// z += a b + c d
#[inline(always)]
fn add_both<T: Real>(a: &[T], b: &[T], c: &[T], d: &[T], z: &mut [T]) {
    for k in 0..z.len().min(a.len()).min(b.len()).min(c.len()).min(d.len()) {
        z[k] = a[k].mul_add(b[k], c[k].mul_add(d[k], z[k]));
    }
}

/// z = x − y
#[inline(always)]
fn subtract<T: Real>(x: &[T], y: &[T], z: &mut [T]) {
    for k in 0..z.len().min(x.len()).min(y.len()) {
        z[k] = x[k] - y[k];
    }
}

/// z = r · (x, y, z)
#[inline(always)]
fn along<T: Real>(r: [T; 3], x: &[T], y: &[T], z: &[T], out: &mut [T]) {
    for k in 0..out.len().min(x.len()).min(y.len()).min(z.len()) {
        out[k] = r[0].mul_add(x[k], r[1].mul_add(y[k], r[2] * z[k]));
    }
}

/// x ← x y
fn multiply_by<T: Real>(x: &mut [T], y: &[T]) {
    x.iter_mut().zip(y).for_each(|(x, &y)| *x = *x * y);
}

/// silu(z) = z σ(z) in place of z, and its derivative.
fn silu<T: Real>(z: &mut [T], slope: &mut Vec<T>) {
    zero(slope, z.len());
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let one = T::of(1.0);
            for (z, slope) in z.iter_mut().zip(slope.iter_mut()) {
                let sigma = one / (one + (-*z).exp());
                *slope = sigma * (one + *z * (one - sigma));
                *z = *z * sigma;
            }
        },
    );
}

/// \[s, |v|\] by rows of 2F.
fn arguments<T: Real>(f: usize, s: &[T], v: &[T], arguments: &mut Vec<T>) {
    zero(arguments, 2 * s.len());
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let rows = s.chunks_exact(f).zip(v.chunks_exact(3 * f));
            for ((s, v), out) in rows.zip(arguments.chunks_exact_mut(2 * f)) {
                let (copy, norm) = out.split_at_mut(f);
                copy.copy_from_slice(s);
                let [x, y, z] = components(v, f);
                for k in 0..f {
                    norm[k] = x[k].mul_add(x[k], y[k].mul_add(y[k], z[k] * z[k])).sqrt();
                }
            }
        },
    );
}

/// s += a₀ and, where there are a₁ and a₂, v ← v a₁ + (M v) a₂.
fn update<T: Real>(f: usize, a: &[T], m: &[[T; 3]; 3], s: &mut [T], v: &mut [T]) {
    let blocks = a.len() / s.len();
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let rows = a.chunks_exact(blocks * f).zip(s.chunks_exact_mut(f).zip(v.chunks_exact_mut(3 * f)));
            for (a, (s, v)) in rows {
                s.iter_mut().zip(a).for_each(|(s, &a)| *s += a);
                if blocks == 1 {
                    continue;
                }
                let (a1, a2) = (&a[f..2 * f], &a[2 * f..]);
                let [x, y, z] = components_mut(v, f);
                for k in 0..f {
                    let old = [x[k], y[k], z[k]];
                    let new = |c: usize| old[c].mul_add(a1[k], apply(m[c], old) * a2[k]);
                    (x[k], y[k], z[k]) = (new(0), new(1), new(2));
                }
            }
        },
    );
}

/// The gradient of [`update`] with respect to its a.
fn update_back_to_a<T: Real>(f: usize, trace: &Trace<T>, m: &[[T; 3]; 3], by: &mut By<T>) {
    let blocks = trace.a.len() / by.s.len();
    zero(&mut by.a, trace.a.len());
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let v = by.v.chunks_exact(3 * f).zip(trace.v_received.chunks_exact(3 * f));
            let rows = by.s.chunks_exact(f).zip(v);
            for (by_a, (by_s, (by_v, v))) in by.a.chunks_exact_mut(blocks * f).zip(rows) {
                by_a[..f].copy_from_slice(by_s);
                if blocks == 1 {
                    continue;
                }
                let (by_a1, by_a2) = by_a[f..].split_at_mut(f);
                let ([gx, gy, gz], [x, y, z]) = (components(by_v, f), components(v, f));
                for k in 0..f {
                    let (g, v) = ([gx[k], gy[k], gz[k]], [x[k], y[k], z[k]]);
                    by_a1[k] = apply(g, v);
                    by_a2[k] = apply(g, [apply(m[0], v), apply(m[1], v), apply(m[2], v)]);
                }
            }
        },
    );
}

/// The gradient with respect to s and v before the update, in `by.s` and `by.v`, from that after it and with respect to
/// [`arguments`].
fn update_back<T: Real>(f: usize, trace: &Trace<T>, m: &[[T; 3]; 3], by: &mut By<T>) {
    let blocks = trace.a.len() / by.s.len();
    let smallest = T::of(SMALLEST_NORM);
    let column = |c: usize| [m[0][c], m[1][c], m[2][c]];
    let transposed = [column(0), column(1), column(2)];
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let outputs = by.s.chunks_exact_mut(f).zip(by.v.chunks_exact_mut(3 * f));
            let inputs = trace.a.chunks_exact(blocks * f).zip(trace.v_received.chunks_exact(3 * f));
            let arguments = trace.arguments.chunks_exact(2 * f).zip(by.arguments.chunks_exact(2 * f));
            for (((by_s, by_v), (a, v)), (arguments, by_arguments)) in outputs.zip(inputs).zip(arguments) {
                by_s.iter_mut().zip(by_arguments).for_each(|(s, &by)| *s += by);
                let (norm, by_norm) = (&arguments[f..], &by_arguments[f..]);
                let ([gx, gy, gz], [x, y, z]) = (components_mut(by_v, f), components(v, f));
                for k in 0..f {
                    let scale = by_norm[k] / if norm[k] > smallest { norm[k] } else { smallest };
                    let along = [x[k] * scale, y[k] * scale, z[k] * scale];
                    if blocks == 1 {
                        // Nobody reads the vectors that the last update could make.
                        (gx[k], gy[k], gz[k]) = (along[0], along[1], along[2]);
                        continue;
                    }
                    let (a1, a2) = (a[f + k], a[2 * f + k]);
                    let g = [gx[k], gy[k], gz[k]];
                    let new = |c: usize| g[c].mul_add(a1, apply(transposed[c], g).mul_add(a2, along[c]));
                    (gx[k], gy[k], gz[k]) = (new(0), new(1), new(2));
                }
            }
        },
    );
}

#[inline(always)]
fn apply<T: Real>(row: [T; 3], x: [T; 3]) -> T {
    row[0].mul_add(x[0], row[1].mul_add(x[1], row[2] * x[2]))
}

#[inline(always)]
fn components<T>(v: &[T], f: usize) -> [&[T]; 3] {
    [&v[..f], &v[f..2 * f], &v[2 * f..3 * f]]
}

#[inline(always)]
fn components_mut<T>(v: &mut [T], f: usize) -> [&mut [T]; 3] {
    let (x, rest) = v.split_at_mut(f);
    let (y, z) = rest.split_at_mut(f);
    [x, y, &mut z[..f]]
}
