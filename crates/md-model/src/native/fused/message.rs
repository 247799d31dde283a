//! Messages between pairs of atoms, for both architectures, and their gradient.
//!
//! With filters w₀, w₁, w₂ of the distance, an atom receives from each neighbour
//!
//! s_i += Σ_j m₀_j w₀ and v_i += Σ_j (u_j w₁ + r̂ m₂_j w₂).
//!
//! In PaiNN m₀, m₂ are computed by a network from s, and u = v m₁; in the distiller form m₀ = s, m₂ = 1, u = v. In the
//! first interaction there is no u, and m does not depend on positions.

use pulp::Simd;

use super::lanes::{Lanes, Row, RowMut, components, components_mut, dot, two_rows, vectorised};
use super::pairs::{Pair, PairGrads};
use crate::native::matrix::Real;

/// The messages that atoms send.
#[derive(Clone, Copy)]
pub(super) struct Messages<'a, T> {
    /// F, a multiple of the register length.
    pub(super) width: usize,
    /// m₀ and, in PaiNN, m₂ (and possibly m₁, which is not read): \[N, `blocks` F\].
    pub(super) m: &'a [T],
    pub(super) blocks: usize,
    /// \[N, 3F\]
    pub(super) u: Option<&'a [T]>,
}

/// The filters of some pairs, w₀, w₂ and, if there is a u, w₁: \[pairs, 2F or 3F\], and their derivatives (1/Å).
#[derive(Debug, Default)]
pub(super) struct OnPairs<T> {
    pub(super) values: Vec<T>,
    pub(super) slopes: Vec<T>,
}

/// The gradient with respect to the messages.
pub(super) struct MessageGrads<'a, T> {
    pub(super) m: &'a mut [T],
    pub(super) u: &'a mut [T],
}

vectorised! {
    /// Adds the messages to the atoms of `pairs` to `s` \[N, F\] and `v` \[N, 3F\].
    pub(super) fn message_forward<'a, T>(simd; pairs: &'a [Pair<T>], filters: &'a OnPairs<T>, sent: Messages<'a, T>, s: &'a mut [T], v: &'a mut [T]) {
        match (sent.u.is_some(), sent.blocks > 1) {
            (false, false) => send_any::<S, T, false, false>(simd, pairs, filters, sent, s, v),
            (false, true) => send_any::<S, T, false, true>(simd, pairs, filters, sent, s, v),
            (true, false) => send_any::<S, T, true, false>(simd, pairs, filters, sent, s, v),
            (true, true) => send_any::<S, T, true, true>(simd, pairs, filters, sent, s, v),
        }
    }
}

#[inline(always)]
fn send_any<S: Simd, T: Real, const HAS_U: bool, const HAS_M2: bool>(
    simd: S,
    pairs: &[Pair<T>],
    filters: &OnPairs<T>,
    sent: Messages<'_, T>,
    s: &mut [T],
    v: &mut [T],
) {
    let f = sent.width;
    let stride = if HAS_U { 3 * f } else { 2 * f };
    let u = sent.u.unwrap_or_default();
    for (pair, w) in pairs.iter().zip(filters.values.chunks_exact(stride)) {
        let (i, j) = (pair.i, pair.j);
        let w0 = Row::new(simd, w, 0, f);
        let n = w0.len();
        let w2 = Row::new(simd, w, f, f).cut(n);
        let m =
            |atom: usize, block: usize| Row::new(simd, sent.m, (atom * sent.blocks + block) * f, f).cut(n);
        let (m0_i, m0_j) = (m(i, 0), m(j, 0));
        let (m2_i, m2_j) = if HAS_M2 { (m(i, 1), m(j, 1)) } else { (m0_i, m0_j) };
        let (s_i, s_j) = two_rows(s, i, j, f);
        let (mut s_i, mut s_j) = (RowMut::new(simd, s_i, n), RowMut::new(simd, s_j, n));
        for k in 0..n {
            s_i.set(k, m0_j.get(k).mul_add(w0.get(k), s_i.get(k)));
            s_j.set(k, m0_i.get(k).mul_add(w0.get(k), s_j.get(k)));
        }
        let (v_i, v_j) = two_rows(v, i, j, 3 * f);
        let (mut v_i, mut v_j) = (components_mut(simd, v_i, n), components_mut(simd, v_j, n));
        let r = [
            Lanes::splat(simd, pair.direction[0]),
            Lanes::splat(simd, pair.direction[1]),
            Lanes::splat(simd, pair.direction[2]),
        ];
        if HAS_U {
            let w1 = Row::new(simd, w, 2 * f, f).cut(n);
            let (u_i, u_j) = (components(simd, u, i, f), components(simd, u, j, f));
            for c in 0..3 {
                let (u_i, u_j) = (u_i[c].cut(n), u_j[c].cut(n));
                for k in 0..n {
                    let along = r[c] * w2.get(k);
                    let (x, y) = (v_i[c].get(k), v_j[c].get(k));
                    if HAS_M2 {
                        v_i[c].set(k, u_j.get(k).mul_add(w1.get(k), m2_j.get(k).mul_add(along, x)));
                        v_j[c].set(k, u_i.get(k).mul_add(w1.get(k), y - m2_i.get(k) * along));
                    } else {
                        v_i[c].set(k, u_j.get(k).mul_add(w1.get(k), x + along));
                        v_j[c].set(k, u_i.get(k).mul_add(w1.get(k), y - along));
                    }
                }
            }
        } else {
            for c in 0..3 {
                for k in 0..n {
                    let along = r[c] * w2.get(k);
                    let (x, y) = (v_i[c].get(k), v_j[c].get(k));
                    if HAS_M2 {
                        v_i[c].set(k, m2_j.get(k).mul_add(along, x));
                        v_j[c].set(k, y - m2_i.get(k) * along);
                    } else {
                        v_i[c].set(k, x + along);
                        v_j[c].set(k, y - along);
                    }
                }
            }
        }
    }
}

vectorised! {
    /// Computes the gradient of [`message_forward`], given that with respect to s \[N, F\] and v \[N, 3F\] after it.
    /// The gradient with respect to distances and directions is added to `by_pairs`; that with respect to the messages,
    /// if they had a u, to `by_sent`.
    pub(super) fn message_backward<'a, T>(
        simd;
        pairs: &'a [Pair<T>],
        filters: &'a OnPairs<T>,
        sent: Messages<'a, T>,
        by_s: &'a [T],
        by_v: &'a [T],
        by_sent: &'a mut MessageGrads<'a, T>,
        by_pairs: &'a mut [PairGrads],
    ) {
        match (sent.u.is_some(), sent.blocks > 1) {
            (false, false) => back_any::<S, T, false, false>(simd, pairs, filters, sent, by_s, by_v, by_sent, by_pairs),
            (false, true) => back_any::<S, T, false, true>(simd, pairs, filters, sent, by_s, by_v, by_sent, by_pairs),
            (true, false) => back_any::<S, T, true, false>(simd, pairs, filters, sent, by_s, by_v, by_sent, by_pairs),
            (true, true) => back_any::<S, T, true, true>(simd, pairs, filters, sent, by_s, by_v, by_sent, by_pairs),
        }
    }
}

#[inline(always)]
fn back_any<S: Simd, T: Real, const HAS_U: bool, const HAS_M2: bool>(
    simd: S,
    pairs: &[Pair<T>],
    filters: &OnPairs<T>,
    sent: Messages<'_, T>,
    by_s: &[T],
    by_v: &[T],
    by_sent: &mut MessageGrads<'_, T>,
    by_pairs: &mut [PairGrads],
) {
    let f = sent.width;
    let stride = if HAS_U { 3 * f } else { 2 * f };
    let u = sent.u.unwrap_or_default();
    let filters = filters.values.chunks_exact(stride).zip(filters.slopes.chunks_exact(stride));
    for ((pair, by_pair), (w, slope)) in pairs.iter().zip(by_pairs).zip(filters) {
        let (i, j) = (pair.i, pair.j);
        let w0 = Row::new(simd, w, 0, f);
        let n = w0.len();
        let w2 = Row::new(simd, w, f, f).cut(n);
        let (slope0, slope2) = (Row::new(simd, slope, 0, f).cut(n), Row::new(simd, slope, f, f).cut(n));
        let m =
            |atom: usize, block: usize| Row::new(simd, sent.m, (atom * sent.blocks + block) * f, f).cut(n);
        let (m0_i, m0_j) = (m(i, 0), m(j, 0));
        let (m2_i, m2_j) = if HAS_M2 { (m(i, 1), m(j, 1)) } else { (m0_i, m0_j) };
        let (g_i, g_j) = (Row::new(simd, by_s, i * f, f).cut(n), Row::new(simd, by_s, j * f, f).cut(n));
        let (h_i, h_j) = (components(simd, by_v, i, f), components(simd, by_v, j, f));
        let (h_i, h_j) =
            ([h_i[0].cut(n), h_i[1].cut(n), h_i[2].cut(n)], [h_j[0].cut(n), h_j[1].cut(n), h_j[2].cut(n)]);
        let zero = Lanes::splat(simd, T::default());
        let r = [
            Lanes::splat(simd, pair.direction[0]),
            Lanes::splat(simd, pair.direction[1]),
            Lanes::splat(simd, pair.direction[2]),
        ];
        let mut by_distance = zero;
        let mut by_direction = [zero; 3];
        for k in 0..n {
            let by_w0 = g_i.get(k).mul_add(m0_j.get(k), g_j.get(k) * m0_i.get(k));
            by_distance = by_w0.mul_add(slope0.get(k), by_distance);
            // Through r̂ w₂.
            let mut q = [zero; 3];
            for c in 0..3 {
                q[c] = if HAS_M2 {
                    h_i[c].get(k) * m2_j.get(k) - h_j[c].get(k) * m2_i.get(k)
                } else {
                    h_i[c].get(k) - h_j[c].get(k)
                };
                by_direction[c] = q[c].mul_add(w2.get(k), by_direction[c]);
            }
            by_distance = dot(r, q).mul_add(slope2.get(k), by_distance);
        }
        if HAS_U {
            let (a, b) = two_rows(by_sent.m, i, j, sent.blocks * f);
            let (a, b) = (a.split_at_mut(f), b.split_at_mut(f));
            let (mut by_m0_i, mut by_m0_j) = (RowMut::new(simd, a.0, n), RowMut::new(simd, b.0, n));
            for k in 0..n {
                by_m0_i.set(k, g_j.get(k).mul_add(w0.get(k), by_m0_i.get(k)));
                by_m0_j.set(k, g_i.get(k).mul_add(w0.get(k), by_m0_j.get(k)));
            }
            if HAS_M2 {
                let (mut by_m2_i, mut by_m2_j) = (RowMut::new(simd, a.1, n), RowMut::new(simd, b.1, n));
                for k in 0..n {
                    let t_i = dot(r, [h_i[0].get(k), h_i[1].get(k), h_i[2].get(k)]);
                    let t_j = dot(r, [h_j[0].get(k), h_j[1].get(k), h_j[2].get(k)]);
                    by_m2_j.set(k, t_i.mul_add(w2.get(k), by_m2_j.get(k)));
                    by_m2_i.set(k, by_m2_i.get(k) - t_j * w2.get(k));
                }
            }
            let (w1, slope1) = (Row::new(simd, w, 2 * f, f).cut(n), Row::new(simd, slope, 2 * f, f).cut(n));
            let (u_i, u_j) = (components(simd, u, i, f), components(simd, u, j, f));
            let (by_u_i, by_u_j) = two_rows(by_sent.u, i, j, 3 * f);
            let (mut by_u_i, mut by_u_j) = (components_mut(simd, by_u_i, n), components_mut(simd, by_u_j, n));
            for c in 0..3 {
                let (u_i, u_j) = (u_i[c].cut(n), u_j[c].cut(n));
                for k in 0..n {
                    let (h_i, h_j) = (h_i[c].get(k), h_j[c].get(k));
                    let by_w1 = h_i.mul_add(u_j.get(k), h_j * u_i.get(k));
                    by_distance = by_w1.mul_add(slope1.get(k), by_distance);
                    by_u_j[c].set(k, h_i.mul_add(w1.get(k), by_u_j[c].get(k)));
                    by_u_i[c].set(k, h_j.mul_add(w1.get(k), by_u_i[c].get(k)));
                }
            }
        }
        by_pair.distance += by_distance.sum().to_f64();
        for c in 0..3 {
            by_pair.direction[c] += by_direction[c].sum().to_f64();
        }
    }
}
