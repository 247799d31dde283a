//! Loops over pairs and atoms, each compiled for the widest vector instructions of the CPU.
//!
//! In dual numbers (D = 2) the gradient is dual, too; see [`super`].

use super::matrix::{Matrix, Real, add, add_at, dot, jet_at, mul, set};

/// Pairs of atoms and their directions.
#[derive(Debug, Default)]
pub(super) struct PairList<T> {
    /// Both atoms of each pair.
    pub(super) atoms: Vec<[usize; 2]>,
    /// Unit vectors from the first atom to the second, and their derivatives.
    pub(super) directions: Vec<[[T; 3]; 2]>,
}

impl<T: Real> PairList<T> {
    /// (receiver, sender, direction from receiver to sender) of both edges of pair `p`.
    #[inline(always)]
    fn edges<const D: usize>(&self, p: usize) -> [(usize, usize, [[T; D]; 3]); 2] {
        let [i, j] = self.atoms[p];
        let r = self.directions[p];
        let direction = |sign: T| std::array::from_fn(|c| std::array::from_fn(|d| sign * r[d][c]));
        [(i, j, direction(T::from_f64(1.0))), (j, i, direction(T::from_f64(-1.0)))]
    }
}

/// Adds the messages of one interaction: s_i += m₀ w₀, v_i += r̂ m₂ w₂ + u w₁ over all edges.
///
/// `filters` are \[P, 2F or 3F\] (w₀, w₂, w₁), `m` \[N, 2F or 3F\] (m₀, m₂, m₁), `u` = v m₁ \[N, 3F\], `s` \[N, F\], `v` \[N, 3F\].
pub(super) fn message_forward<T: Real, const D: usize>(
    pairs: &PairList<T>,
    filters: &Matrix<T, D>,
    m: &Matrix<T, D>,
    u: Option<&Matrix<T, D>>,
    s: &mut Matrix<T, D>,
    v: &mut Matrix<T, D>,
) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let f = s.columns();
            for p in 0..pairs.atoms.len() {
                let w0 = filters.row(p, 0, f);
                let w2 = filters.row(p, f, f);
                for (receiver, sender, r) in pairs.edges::<D>(p) {
                    let (m0, m2) = (m.row(sender, 0, f), m.row(sender, f, f));
                    let mut out = s.row_mut(receiver, 0, f);
                    for k in 0..f {
                        add_at(&mut out, k, mul(jet_at(&m0, k), jet_at(&w0, k)));
                    }
                    match u {
                        Some(u) => {
                            let w1 = filters.row(p, 2 * f, f);
                            for c in 0..3 {
                                let u = u.row(sender, c * f, f);
                                let mut out = v.row_mut(receiver, c * f, f);
                                for k in 0..f {
                                    let along = mul(r[c], mul(jet_at(&m2, k), jet_at(&w2, k)));
                                    add_at(&mut out, k, add(along, mul(jet_at(&u, k), jet_at(&w1, k))));
                                }
                            }
                        }
                        None => {
                            for c in 0..3 {
                                let mut out = v.row_mut(receiver, c * f, f);
                                for k in 0..f {
                                    add_at(&mut out, k, mul(r[c], mul(jet_at(&m2, k), jet_at(&w2, k))));
                                }
                            }
                        }
                    }
                }
            }
        },
    );
}

/// Gradients to which [`message_backward`] adds.
pub(super) struct MessageGrads<'a, T, const D: usize> {
    /// \[P, 2F or 3F\]
    pub(super) filters: &'a mut Matrix<T, D>,
    /// \[N, 2F or 3F\]; m₁ is not changed.
    pub(super) m: &'a mut Matrix<T, D>,
    /// \[N, 3F\]
    pub(super) u: Option<&'a mut Matrix<T, D>>,
    /// With respect to the direction of each pair, in plain numbers; only if requested.
    pub(super) directions: Option<&'a mut [[f64; 3]]>,
}

/// Computes the gradient with respect to the inputs of [`message_forward`] from that of its result, `by_s` and `by_v`.
pub(super) fn message_backward<T: Real, const D: usize>(
    pairs: &PairList<T>,
    filters: &Matrix<T, D>,
    m: &Matrix<T, D>,
    u: Option<&Matrix<T, D>>,
    by_s: &Matrix<T, D>,
    by_v: &Matrix<T, D>,
    mut by: MessageGrads<'_, T, D>,
) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let f = by_s.columns();
            let mut along = vec![T::default(); f];
            for p in 0..pairs.atoms.len() {
                let w0 = filters.row(p, 0, f);
                let w2 = filters.row(p, f, f);
                for (edge, (receiver, sender, r)) in pairs.edges::<D>(p).into_iter().enumerate() {
                    let g = by_s.row(receiver, 0, f);
                    let m0 = m.row(sender, 0, f);
                    let mut by_w0 = by.filters.row_mut(p, 0, f);
                    for k in 0..f {
                        add_at(&mut by_w0, k, mul(jet_at(&g, k), jet_at(&m0, k)));
                    }
                    let mut by_m0 = by.m.row_mut(sender, 0, f);
                    for k in 0..f {
                        add_at(&mut by_m0, k, mul(jet_at(&g, k), jet_at(&w0, k)));
                    }

                    let [gx, gy, gz] = [0, 1, 2].map(|c| by_v.row(receiver, c * f, f));
                    let m2 = m.row(sender, f, f);
                    let mut by_w2 = by.filters.row_mut(p, f, f);
                    let mut by_m2 = by.m.row_mut(sender, f, f);
                    for k in 0..f {
                        let t = add(
                            add(mul(r[0], jet_at(&gx, k)), mul(r[1], jet_at(&gy, k))),
                            mul(r[2], jet_at(&gz, k)),
                        );
                        add_at(&mut by_w2, k, mul(t, jet_at(&m2, k)));
                        add_at(&mut by_m2, k, mul(t, jet_at(&w2, k)));
                    }
                    if let Some(directions) = &mut by.directions {
                        for k in 0..f {
                            along[k] = m2[0][k] * w2[0][k];
                        }
                        let sign = if edge == 0 { 1.0 } else { -1.0 };
                        for (c, g) in [gx, gy, gz].iter().enumerate() {
                            directions[p][c] += sign * dot(g[0], &along).to_f64();
                        }
                    }

                    if let (Some(u), Some(by_u)) = (u, &mut by.u) {
                        let w1 = filters.row(p, 2 * f, f);
                        let [ux, uy, uz] = [0, 1, 2].map(|c| u.row(sender, c * f, f));
                        let mut by_w1 = by.filters.row_mut(p, 2 * f, f);
                        for k in 0..f {
                            let x = mul(jet_at(&gx, k), jet_at(&ux, k));
                            let y = mul(jet_at(&gy, k), jet_at(&uy, k));
                            let z = mul(jet_at(&gz, k), jet_at(&uz, k));
                            add_at(&mut by_w1, k, add(add(x, y), z));
                        }
                        for (c, g) in [gx, gy, gz].iter().enumerate() {
                            let mut by_u = by_u.row_mut(sender, c * f, f);
                            for k in 0..f {
                                add_at(&mut by_u, k, mul(jet_at(g, k), jet_at(&w1, k)));
                            }
                        }
                    }
                }
            }
        },
    );
}

/// Computes v m for each component: `v` \[N, 3F\], the factor columns `from..` of `m`.
pub(super) fn scale<T: Real, const D: usize>(
    v: &Matrix<T, D>,
    m: &Matrix<T, D>,
    from: usize,
) -> Matrix<T, D> {
    let f = v.columns() / 3;
    let mut u = Matrix::zeros(v.rows(), v.columns());
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for atom in 0..v.rows() {
                let m = m.row(atom, from, f);
                for c in 0..3 {
                    let v = v.row(atom, c * f, f);
                    let mut u = u.row_mut(atom, c * f, f);
                    for k in 0..f {
                        set(&mut u, k, mul(jet_at(&v, k), jet_at(&m, k)));
                    }
                }
            }
        },
    );
    u
}

/// Computes the gradient of [`scale`]: that with respect to m is added to columns `from..` of `by_m`, that with respect
/// to v to `by_v`.
pub(super) fn scale_back<T: Real, const D: usize>(
    by_u: &Matrix<T, D>,
    v: &Matrix<T, D>,
    m: &Matrix<T, D>,
    from: usize,
    by_m: &mut Matrix<T, D>,
    by_v: &mut Matrix<T, D>,
) {
    let f = v.columns() / 3;
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for atom in 0..v.rows() {
                let m = m.row(atom, from, f);
                for c in 0..3 {
                    let (g, v) = (by_u.row(atom, c * f, f), v.row(atom, c * f, f));
                    let mut by_m = by_m.row_mut(atom, from, f);
                    for k in 0..f {
                        add_at(&mut by_m, k, mul(jet_at(&g, k), jet_at(&v, k)));
                    }
                    let mut by_v = by_v.row_mut(atom, c * f, f);
                    for k in 0..f {
                        add_at(&mut by_v, k, mul(jet_at(&g, k), jet_at(&m, k)));
                    }
                }
            }
        },
    );
}

/// Replaces z by silu(z) = z σ(z) and returns its derivative as a number of the same kind.
pub(super) fn silu<T: Real, const D: usize>(z: &mut Matrix<T, D>) -> Matrix<T, D> {
    let mut slope = Matrix::zeros(z.rows(), z.columns());
    let n = z.columns();
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            let one = T::from_f64(1.0);
            for row in 0..z.rows() {
                let z = z.row_mut(row, 0, n);
                let slope = slope.row_mut(row, 0, n);
                for k in 0..n {
                    let x = z[0][k];
                    let sigma = one / (one + (-x).exp());
                    let first = sigma * (one + x * (one - sigma));
                    z[0][k] = x * sigma;
                    slope[0][k] = first;
                    if D == 2 {
                        let second = sigma * (one - sigma) * (T::from_f64(2.0) + x * (one - sigma - sigma));
                        let tangent = z[1][k];
                        z[1][k] = first * tangent;
                        slope[1][k] = second * tangent;
                    }
                }
            }
        },
    );
    slope
}

/// x ← x y, element by element.
pub(super) fn multiply_by<T: Real, const D: usize>(x: &mut Matrix<T, D>, y: &Matrix<T, D>) {
    let n = x.columns();
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in 0..x.rows() {
                let mut x = x.row_mut(row, 0, n);
                let y = y.row(row, 0, n);
                for k in 0..n {
                    let product = mul(std::array::from_fn(|d| x[d][k]), jet_at(&y, k));
                    set(&mut x, k, product);
                }
            }
        },
    );
}

/// x ← x + y, with `y` in columns `from..` of a wider matrix.
pub(super) fn add_columns<T: Real, const D: usize>(x: &mut Matrix<T, D>, y: &Matrix<T, D>, from: usize) {
    let n = x.columns();
    for row in 0..x.rows() {
        let y = y.row(row, from, n);
        for (x, y) in x.row_mut(row, 0, n).into_iter().zip(y) {
            x.iter_mut().zip(y).for_each(|(x, &y)| *x += y);
        }
    }
}

/// Computes the inputs of the update from Uv and Vv, the columns of `uv` (\[3N, 2F\]): the arguments \[s, √(|Vv|² +
/// ε²)\] of its network, \[N, 2F\], and ⟨Uv, Vv⟩, \[N, F\].
pub(super) fn invariants<T: Real, const D: usize>(
    s: &Matrix<T, D>,
    uv: &Matrix<T, D>,
    epsilon: f64,
) -> (Matrix<T, D>, Matrix<T, D>) {
    let (n, f) = (s.rows(), s.columns());
    let mut arguments = Matrix::zeros(n, 2 * f);
    let mut product = Matrix::zeros(n, f);
    let epsilon_squared = T::from_f64(epsilon * epsilon);
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for atom in 0..n {
                let own = s.row(atom, 0, f);
                let mut copy = arguments.row_mut(atom, 0, f);
                for k in 0..f {
                    set(&mut copy, k, jet_at(&own, k));
                }
                let norm = arguments.row_mut(atom, f, f);
                let mut product = product.row_mut(atom, 0, f);
                let u = [0, 1, 2].map(|c| uv.row(3 * atom + c, 0, f));
                let v = [0, 1, 2].map(|c| uv.row(3 * atom + c, f, f));
                for k in 0..f {
                    let (mut square, mut dot) = ([T::default(); D], [T::default(); D]);
                    for c in 0..3 {
                        square = add(square, mul(jet_at(&v[c], k), jet_at(&v[c], k)));
                        dot = add(dot, mul(jet_at(&u[c], k), jet_at(&v[c], k)));
                    }
                    let root = (square[0] + epsilon_squared).sqrt();
                    norm[0][k] = root;
                    if D == 2 {
                        norm[1][k] = square[1] / (root + root);
                    }
                    set(&mut product, k, dot);
                }
            }
        },
    );
    (arguments, product)
}

/// Computes s += a₀ + a₁ ⟨Uv, Vv⟩ and, if there is an a₂ (a third block of columns), v += a₂ Uv.
pub(super) fn apply_update<T: Real, const D: usize>(
    a: &Matrix<T, D>,
    product: &Matrix<T, D>,
    uv: &Matrix<T, D>,
    s: &mut Matrix<T, D>,
    v: &mut Matrix<T, D>,
) {
    let f = s.columns();
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for atom in 0..s.rows() {
                let (a0, a1, product) = (a.row(atom, 0, f), a.row(atom, f, f), product.row(atom, 0, f));
                let mut s = s.row_mut(atom, 0, f);
                for k in 0..f {
                    add_at(&mut s, k, add(jet_at(&a0, k), mul(jet_at(&a1, k), jet_at(&product, k))));
                }
                if a.columns() > 2 * f {
                    let a2 = a.row(atom, 2 * f, f);
                    for c in 0..3 {
                        let u = uv.row(3 * atom + c, 0, f);
                        let mut v = v.row_mut(atom, c * f, f);
                        for k in 0..f {
                            add_at(&mut v, k, mul(jet_at(&a2, k), jet_at(&u, k)));
                        }
                    }
                }
            }
        },
    );
}

/// Computes the gradient of [`apply_update`] with respect to a, \[N, 2F or 3F\].
pub(super) fn update_back_to_a<T: Real, const D: usize>(
    a: &Matrix<T, D>,
    product: &Matrix<T, D>,
    uv: &Matrix<T, D>,
    by_s: &Matrix<T, D>,
    by_v: &Matrix<T, D>,
) -> Matrix<T, D> {
    let f = by_s.columns();
    let mut by_a = Matrix::zeros(a.rows(), a.columns());
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for atom in 0..a.rows() {
                let (g, product) = (by_s.row(atom, 0, f), product.row(atom, 0, f));
                let mut by_a0 = by_a.row_mut(atom, 0, f);
                for k in 0..f {
                    set(&mut by_a0, k, jet_at(&g, k));
                }
                let mut by_a1 = by_a.row_mut(atom, f, f);
                for k in 0..f {
                    set(&mut by_a1, k, mul(jet_at(&g, k), jet_at(&product, k)));
                }
                if a.columns() > 2 * f {
                    let mut by_a2 = by_a.row_mut(atom, 2 * f, f);
                    for c in 0..3 {
                        let (u, g) = (uv.row(3 * atom + c, 0, f), by_v.row(atom, c * f, f));
                        for k in 0..f {
                            add_at(&mut by_a2, k, mul(jet_at(&g, k), jet_at(&u, k)));
                        }
                    }
                }
            }
        },
    );
    by_a
}

/// Computes the gradient with respect to Uv and Vv, \[3N, 2F\], of [`apply_update`] and [`invariants`] together;
/// `by_arguments` is that with respect to the arguments of the update network.
pub(super) fn update_back_to_uv<T: Real, const D: usize>(
    a: &Matrix<T, D>,
    uv: &Matrix<T, D>,
    arguments: &Matrix<T, D>,
    by_arguments: &Matrix<T, D>,
    by_s: &Matrix<T, D>,
    by_v: &Matrix<T, D>,
) -> Matrix<T, D> {
    let f = by_s.columns();
    let mut by_uv = Matrix::zeros(uv.rows(), uv.columns());
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for atom in 0..by_s.rows() {
                let (a1, g) = (a.row(atom, f, f), by_s.row(atom, 0, f));
                let (norm, by_norm) = (arguments.row(atom, f, f), by_arguments.row(atom, f, f));
                let has_vector = a.columns() > 2 * f;
                let a2 = a.row(atom, if has_vector { 2 * f } else { 0 }, f);
                for c in 0..3 {
                    let u = uv.row(3 * atom + c, 0, f);
                    let v = uv.row(3 * atom + c, f, f);
                    let g_v = by_v.row(atom, c * f, f);
                    let mut by_u = by_uv.row_mut(3 * atom + c, 0, f);
                    for k in 0..f {
                        let by_product = mul(jet_at(&g, k), jet_at(&a1, k));
                        let mut x = mul(by_product, jet_at(&v, k));
                        if has_vector {
                            x = add(x, mul(jet_at(&g_v, k), jet_at(&a2, k)));
                        }
                        set(&mut by_u, k, x);
                    }
                    let mut by_v = by_uv.row_mut(3 * atom + c, f, f);
                    for k in 0..f {
                        let by_product = mul(jet_at(&g, k), jet_at(&a1, k));
                        let along = mul(mul(jet_at(&by_norm, k), inverse(jet_at(&norm, k))), jet_at(&v, k));
                        set(&mut by_v, k, add(mul(by_product, jet_at(&u, k)), along));
                    }
                }
            }
        },
    );
    by_uv
}

/// 1/x.
#[inline(always)]
fn inverse<T: Real, const D: usize>(x: [T; D]) -> [T; D] {
    let mut y = x;
    y[0] = T::from_f64(1.0) / x[0];
    if D == 2 {
        y[1] = -x[1] * y[0] * y[0];
    }
    y
}
