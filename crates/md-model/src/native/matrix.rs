//! Row-major matrices of plain or dual numbers, and their products.

use std::array;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use super::fused::Registers;

/// f32 or f64.
pub(crate) trait Real:
    Copy
    + Into<f64>
    + std::fmt::Debug
    + Default
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + Sum
    + PartialOrd
    + Registers
{
    fn from_f64(x: f64) -> Self;
    fn to_f64(self) -> f64;
    fn sqrt(self) -> Self;
    /// Computes exp(self), to rounding for f64 and to a relative error of 2e-7 for f32.
    fn exp(self) -> Self;
}

impl Real for f32 {
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self)
    }
    /// Has no branches, so that loops over it are vectorised: 2ⁿ times a polynomial on ±ln(2)/2 (Cephes, `expf`).
    #[inline(always)]
    fn exp(self) -> Self {
        const LN2_HIGH: f32 = 0.693_359_4;
        const LN2_LOW: f32 = -2.121_944_4e-4;
        // Adding and subtracting 1.5 · 2²³ rounds to an integer.
        const ROUND: f32 = 12_582_912.0;
        let x = self.clamp(-87.0, 88.0);
        let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
        let r = x - n * LN2_HIGH - n * LN2_LOW;
        let mut p = 1.987_569_1e-4f32;
        for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
            p = p * r + c;
        }
        let y = p * r * r + r + 1.0;
        y * f32::from_bits(((n as i32 + 127) as u32) << 23)
    }
}

impl Real for f64 {
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        f64::exp(self)
    }
}

/// A number (D = 1), or a number and its derivative along one direction (D = 2).
pub(super) type Jet<T, const D: usize> = [T; D];

/// a b.
#[inline(always)]
pub(super) fn mul<T: Real, const D: usize>(a: Jet<T, D>, b: Jet<T, D>) -> Jet<T, D> {
    let mut c = a;
    c[0] = a[0] * b[0];
    if D == 2 {
        c[1] = a[0] * b[1] + a[1] * b[0];
    }
    c
}

/// a + b.
#[inline(always)]
pub(super) fn add<T: Real, const D: usize>(a: Jet<T, D>, b: Jet<T, D>) -> Jet<T, D> {
    array::from_fn(|d| a[d] + b[d])
}

/// Returns element `f` of each part of a row.
#[inline(always)]
pub(super) fn jet_at<T: Real, const D: usize>(row: &[&[T]; D], f: usize) -> Jet<T, D> {
    array::from_fn(|d| row[d][f])
}

/// Adds to element `f` of a row.
#[inline(always)]
pub(super) fn add_at<T: Real, const D: usize>(row: &mut [&mut [T]; D], f: usize, x: Jet<T, D>) {
    for d in 0..D {
        row[d][f] += x[d];
    }
}

/// Sets element `f` of a row.
#[inline(always)]
pub(super) fn set<T: Real, const D: usize>(row: &mut [&mut [T]; D], f: usize, x: Jet<T, D>) {
    for d in 0..D {
        row[d][f] = x[d];
    }
}

/// A matrix of values and, for D = 2, that of derivatives below it.
#[derive(Debug, Clone)]
pub(super) struct Matrix<T, const D: usize> {
    data: Vec<T>,
    rows: usize,
    columns: usize,
}

impl<T: Real, const D: usize> Matrix<T, D> {
    pub(super) fn zeros(rows: usize, columns: usize) -> Self {
        Matrix { data: vec![T::default(); D * rows * columns], rows, columns }
    }

    /// `data` is row-major, derivatives after values.
    pub(super) fn from_row_major(data: Vec<T>, rows: usize, columns: usize) -> Self {
        debug_assert_eq!(data.len(), D * rows * columns);
        Matrix { data, rows, columns }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn data(&self) -> &[T] {
        &self.data
    }

    /// Returns columns `from..from + n` of a row.
    #[inline(always)]
    pub(super) fn row(&self, row: usize, from: usize, n: usize) -> [&[T]; D] {
        array::from_fn(|d| &self.data[(d * self.rows + row) * self.columns + from..][..n])
    }

    #[inline(always)]
    pub(super) fn row_mut(&mut self, row: usize, from: usize, n: usize) -> [&mut [T]; D] {
        let (start, block) = (row * self.columns + from, self.rows * self.columns);
        let mut rest = self.data.as_mut_slice();
        array::from_fn(|_| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(block);
            rest = after;
            &mut part[start..start + n]
        })
    }

    /// Returns values (part 0) or derivatives (part 1) as one slice.
    fn part(&self, d: usize) -> &[T] {
        &self.data[d * self.rows * self.columns..][..self.rows * self.columns]
    }

    /// Computes x Wᵀ + b for each sequence of as many numbers as W has inputs: a row, or a component of a vector in a
    /// row.
    pub(super) fn linear(&self, layer: &Layer<T>) -> Self {
        let rows = self.rows * self.columns / layer.n_in;
        let mut y = Self::zeros(rows, layer.n_out);
        if !layer.bias.is_empty() {
            y.data[..rows * layer.n_out]
                .chunks_exact_mut(layer.n_out)
                .for_each(|row| row.copy_from_slice(&layer.bias));
        }
        let shape = [D * rows, layer.n_out, layer.n_in];
        multiply(shape, &self.data, [layer.n_in, 1], &layer.weight, [1, layer.n_in], &mut y.data);
        y
    }

    /// Computes x W: the gradient with respect to the input of a layer from that with respect to its output.
    pub(super) fn pull_back(&self, layer: &Layer<T>) -> Self {
        let rows = self.rows * self.columns / layer.n_out;
        let mut y = Self::zeros(rows, layer.n_in);
        let shape = [D * rows, layer.n_in, layer.n_out];
        multiply(shape, &self.data, [layer.n_out, 1], &layer.weight, [layer.n_in, 1], &mut y.data);
        y
    }

    /// Computes x + y, of equal size.
    pub(super) fn add(&mut self, y: &Self) {
        self.data.iter_mut().zip(&y.data).for_each(|(x, &y)| *x += y);
    }
}

impl<T: Real> Matrix<T, 2> {
    /// Adds to `gradient` the derivative part of the gradient with respect to the weights of a layer, from `self`, the
    /// gradient with respect to its output, and its input x.
    pub(super) fn weight_gradient(&self, x: &Self, gradient: &mut Layer<T>) {
        let (n_out, n_in) = (gradient.n_out, gradient.n_in);
        let rows = self.rows * self.columns / n_out;
        for (d, other) in [(0, 1), (1, 0)] {
            let (y, x) = (self.part(d), x.part(other));
            multiply([n_out, n_in, rows], y, [1, n_out], x, [n_in, 1], &mut gradient.weight);
        }
        if !gradient.bias.is_empty() {
            for row in self.part(1).chunks_exact(n_out) {
                gradient.bias.iter_mut().zip(row).for_each(|(b, &g)| *b += g);
            }
        }
    }
}

/// y = x Wᵀ + b.
#[derive(Debug, Clone)]
pub(super) struct Layer<T> {
    /// \[out, in\]
    pub(super) weight: Vec<T>,
    /// \[out\], or empty.
    pub(super) bias: Vec<T>,
    pub(super) n_in: usize,
    pub(super) n_out: usize,
}

/// Computes C += A B for C \[m, n\] row-major, A \[m, k\], B \[k, n\] with the strides (row, column) given.
pub(super) fn multiply<T: Real>(
    shape: [usize; 3],
    a: &[T],
    a_strides: [usize; 2],
    b: &[T],
    b_strides: [usize; 2],
    c: &mut [T],
) {
    if !shape.contains(&0) {
        by_gemm(shape, (a, a_strides), (b, b_strides), true, c);
    }
}

/// Computes C = A B for C \[m, n\], A \[m, k\], B \[k, n\], all row-major.
pub(super) fn product<T: Real>([m, n, k]: [usize; 3], a: &[T], b: &[T], c: &mut [T]) {
    if [m, n, k].contains(&0) {
        c.fill(T::default());
    } else {
        by_gemm([m, n, k], (a, [k, 1]), (b, [n, 1]), false, c);
    }
}

fn by_gemm<T: Real>(
    [m, n, k]: [usize; 3],
    (a, a_strides): (&[T], [usize; 2]),
    (b, b_strides): (&[T], [usize; 2]),
    add: bool,
    c: &mut [T],
) {
    let last = |rows: usize, columns: usize, s: [usize; 2]| (rows - 1) * s[0] + (columns - 1) * s[1];
    assert!(last(m, k, a_strides) < a.len() && last(k, n, b_strides) < b.len() && m * n <= c.len());
    let [a_row, a_column] = a_strides.map(|s| s as isize);
    let [b_row, b_column] = b_strides.map(|s| s as isize);
    #[expect(
        unsafe_code,
        reason = "the product of the gemm crate takes pointers; the assertion above bounds all of them"
    )]
    // SAFETY: every element read or written lies in its slice, and `c` is borrowed mutably.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.as_ptr(),
            a_column,
            a_row,
            b.as_ptr(),
            b_column,
            b_row,
            T::from_f64(1.0),
            T::from_f64(1.0),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// Computes Σ a b in sixteen partial sums, so that it is vectorised.
#[inline(always)]
pub(super) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    let mut lanes = [T::default(); 16];
    let (a16, a_rest) = a.as_chunks::<16>();
    let (b16, b_rest) = b.as_chunks::<16>();
    for (x, y) in a16.iter().zip(b16) {
        for l in 0..16 {
            lanes[l] += x[l] * y[l];
        }
    }
    lanes.into_iter().sum::<T>() + a_rest.iter().zip(b_rest).map(|(&x, &y)| x * y).sum::<T>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_in_f32_is_within_its_bound() {
        for n in -8700..8800 {
            let x = n as f32 * 0.01;
            let expected = f64::from(x).exp();
            let error = (f64::from(Real::exp(x)) / expected - 1.0).abs();
            assert!(error < 2e-7, "exp({x}) is off by {error} of itself");
        }
        assert_eq!(Real::exp(f32::NEG_INFINITY), Real::exp(-87.0f32));
        assert!(Real::exp(f32::NAN).is_nan());
    }

    /// (1 + 2ε)(3 + 4ε) = 3 + 10ε.
    #[test]
    fn mul_of_dual_numbers_follows_product_rule() {
        assert_eq!(mul([1.0, 2.0], [3.0, 4.0]), [3.0, 10.0]);
        assert_eq!(mul([2.0], [3.0]), [6.0]);
    }

    #[test]
    fn linear_pull_back_and_gradient_match_hand_values() {
        // y = (x₀ + 2x₁ + 5, 3x₀ + 4x₁ + 6)
        let layer = Layer { weight: vec![1.0, 2.0, 3.0, 4.0], bias: vec![5.0, 6.0], n_in: 2, n_out: 2 };
        let x = Matrix::<f64, 2>::from_row_major(vec![1.0, 1.0, 0.5, 0.0], 1, 2);
        assert_eq!(x.linear(&layer).data(), [8.0, 13.0, 0.5, 1.5]);
        assert_eq!(x.pull_back(&layer).data(), [4.0, 6.0, 0.5, 1.0]);
        // From the gradient (1 + 10ε, 0) with respect to y: W₀₀ gets ε(1 · 0.5 + 10 · 1), W₀₁ ε(10 · 1), b₀ 10ε.
        let by_y = Matrix::<f64, 2>::from_row_major(vec![1.0, 0.0, 10.0, 0.0], 1, 2);
        let mut gradient = Layer { weight: vec![0.0; 4], bias: vec![0.0; 2], n_in: 2, n_out: 2 };
        by_y.weight_gradient(&x, &mut gradient);
        assert_eq!((gradient.weight, gradient.bias), (vec![10.5, 10.0, 0.0, 0.0], vec![10.0, 0.0]));
    }

    #[test]
    fn dot_matches_sum_of_squares() {
        for n in [0, 1, 15, 16, 37] {
            let a: Vec<f64> = (1..=n).map(f64::from).collect();
            let expected = f64::from(n * (n + 1) * (2 * n + 1) / 6);
            assert_eq!(dot(&a, &a), expected);
        }
    }
}
