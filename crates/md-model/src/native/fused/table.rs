//! Functions of a distance as splines: the filters of a network without evaluation of the network.
//!
//! Quintic B-splines on equal intervals have four continuous derivatives, so that forces are the exact gradient of the
//! tabulated energy and are smooth, too. The relative error of a derivative is about 10⁻⁷, see [`Table::new`].
//!
//! Coefficients by recursive filters: M. Unser, A. Aldroubi, M. Eden, IEEE Trans. Signal Process. 41, 834 (1993).

use std::array;

use pulp::Simd;

use super::lanes::{LANES, Lanes, Row, RowMut};
use crate::native::matrix::Real;

/// Number of rows of coefficients that contribute to a value.
pub(crate) const ORDER: usize = 6;

/// 120 times the weights of these rows in a value, as polynomials of the position in an interval.
pub(crate) const POLYNOMIALS: [[f64; ORDER]; ORDER] = [
    [1.0, -5.0, 10.0, -10.0, 5.0, -1.0],
    [26.0, -50.0, 20.0, 20.0, -20.0, 5.0],
    [66.0, 0.0, -60.0, 0.0, 30.0, -10.0],
    [26.0, 50.0, 20.0, -20.0, -20.0, 10.0],
    [1.0, 5.0, 10.0, 10.0, 5.0, -5.0],
    [0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
];

/// Number of samples beyond both ends. An error at the first of them decays by a factor of 0.43 per sample: to 10⁻¹⁵.
const MARGIN: usize = 40;

/// Roots of z⁴ + 26z³ + 66z² + 26z + 1 inside the unit circle.
const POLES: [f64; 2] = [-0.430_575_347_099_973_8, -0.043_096_288_203_264_7];

/// Functions of one distance from 0 to an end, concatenated.
#[derive(Debug, Clone)]
pub(crate) struct Table<T> {
    width: usize,
    /// \[intervals + 5, width\]
    pub(crate) coefficients: Vec<T>,
}

/// Equal intervals from 0 to an end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Grid {
    /// End, Å.
    pub(crate) end: f64,
    pub(crate) intervals: usize,
}

/// The position of a distance on a grid: the same for all tables on it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<T> {
    row: usize,
    /// Weights of the six rows in the value.
    pub(super) value: [T; ORDER],
    /// Weights in the derivative, 1/Å.
    pub(super) slope: [T; ORDER],
}

impl Grid {
    /// Finds the position of `distance` (Å, at most the end).
    pub(super) fn place<T: Real>(&self, distance: f64) -> Place<T> {
        let scale = self.intervals as f64 / self.end;
        let x = distance * scale;
        let row = (x as usize).min(self.intervals - 1);
        let t = x - row as f64;
        Place {
            row,
            value: array::from_fn(|k| {
                T::from_f64(POLYNOMIALS[k].iter().rev().fold(0.0, |sum, c| sum * t + c) / 120.0)
            }),
            slope: array::from_fn(|k| {
                let p = &POLYNOMIALS[k];
                T::from_f64((1..ORDER).rev().fold(0.0, |sum, n| sum * t + n as f64 * p[n]) * scale / 120.0)
            }),
        }
    }
}

impl<T: Real> Table<T> {
    /// Tabulates the `width` functions `f` (given a distance in Å, it writes their values). `width` must be a multiple
    /// of [`LANES`]; `f` must be smooth and is evaluated slightly beyond both ends, too.
    ///
    /// For a function of wave number q, the relative error of a derivative is at most (q h)⁵/4000, with the length h of
    /// an interval.
    pub(super) fn new(grid: &Grid, width: usize, f: impl Fn(f64, &mut [f64])) -> Self {
        debug_assert!(width.is_multiple_of(LANES));
        let intervals = grid.intervals;
        let h = grid.end / intervals as f64;
        let rows = intervals + 1 + 2 * MARGIN;
        let mut c = vec![0.0; rows * width];
        for (row, values) in c.chunks_exact_mut(width).enumerate() {
            f((row as f64 - MARGIN as f64) * h, values);
        }
        let gain: f64 = POLES.iter().map(|z| (1.0 - z) * (1.0 - 1.0 / z)).product();
        c.iter_mut().for_each(|c| *c *= gain);
        for z in POLES {
            for at in width..c.len() {
                c[at] += z * c[at - width];
            }
            let last = c.len() - width;
            c[last..].iter_mut().for_each(|c| *c *= z / (z * z - 1.0));
            for at in (0..last).rev() {
                c[at] = z * (c[at + width] - c[at]);
            }
        }
        // Row 0 is the first row of the first interval, two before its left end.
        let from = (MARGIN - 2) * width;
        Table {
            width,
            coefficients: c[from..from + (intervals + ORDER - 1) * width]
                .iter()
                .map(|&c| T::from_f64(c))
                .collect(),
        }
    }

    /// Number of functions.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Computes values at a position.
    #[inline(always)]
    pub(super) fn values<S: Simd>(&self, simd: S, place: &Place<T>, values: &mut [T]) {
        let rows = self.rows(simd, place);
        let n = rows[0].len();
        let mut values = RowMut::new(simd, values, n);
        let w = splat(simd, place.value);
        for k in 0..n {
            values.set(k, combine(w, lanes(&rows, k)));
        }
    }

    /// Computes values and derivatives (1/Å) at a position.
    #[inline(always)]
    pub(super) fn values_and_slopes<S: Simd>(
        &self,
        simd: S,
        place: &Place<T>,
        values: &mut [T],
        slopes: &mut [T],
    ) {
        let rows = self.rows(simd, place);
        let n = rows[0].len();
        let (mut values, mut slopes) = (RowMut::new(simd, values, n), RowMut::new(simd, slopes, n));
        let (w, w_slope) = (splat(simd, place.value), splat(simd, place.slope));
        for k in 0..n {
            let lanes = lanes(&rows, k);
            values.set(k, combine(w, lanes));
            slopes.set(k, combine(w_slope, lanes));
        }
    }

    #[inline(always)]
    fn rows<S: Simd>(&self, simd: S, place: &Place<T>) -> [Row<'_, S, T>; ORDER] {
        let row = |k: usize| Row::new(simd, &self.coefficients, (place.row + k) * self.width, self.width);
        let n = row(0).len();
        [row(0), row(1).cut(n), row(2).cut(n), row(3).cut(n), row(4).cut(n), row(5).cut(n)]
    }
}

impl<T: Real> Place<T> {
    /// Multiplies the tabulated function by another one with this value and this derivative (1/Å) here.
    #[inline(always)]
    pub(super) fn multiply(&mut self, factor: T, slope: T) {
        for k in 0..ORDER {
            self.slope[k] = self.slope[k] * factor + self.value[k] * slope;
            self.value[k] = self.value[k] * factor;
        }
    }
}

#[inline(always)]
fn splat<S: Simd, T: Real>(simd: S, w: [T; ORDER]) -> [Lanes<S, T>; ORDER] {
    let splat = |k: usize| Lanes::splat(simd, w[k]);
    [splat(0), splat(1), splat(2), splat(3), splat(4), splat(5)]
}

#[inline(always)]
fn lanes<S: Simd, T: Real>(rows: &[Row<'_, S, T>; ORDER], k: usize) -> [Lanes<S, T>; ORDER] {
    [rows[0].get(k), rows[1].get(k), rows[2].get(k), rows[3].get(k), rows[4].get(k), rows[5].get(k)]
}

#[inline(always)]
fn combine<S: Simd, T: Real>(w: [Lanes<S, T>; ORDER], x: [Lanes<S, T>; ORDER]) -> Lanes<S, T> {
    let odd = w[0].mul_add(x[0], w[2].mul_add(x[2], w[4] * x[4]));
    w[1].mul_add(x[1], w[3].mul_add(x[3], w[5].mul_add(x[5], odd)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sine and cosine of wave number q, and a constant.
    fn table(q: f64, intervals: usize) -> Table<f64> {
        Table::new(&grid(intervals), LANES, move |d, y| {
            (y[0], y[1]) = (q * d).sin_cos();
            y[2] = 7.0;
        })
    }

    fn grid(intervals: usize) -> Grid {
        Grid { end: 5.0, intervals }
    }

    /// Returns values and slopes.
    fn sample(table: &Table<f64>, intervals: usize, d: f64) -> ([f64; LANES], [f64; LANES]) {
        let place = grid(intervals).place(d);
        let (mut y, mut slope, mut alone) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        table.values_and_slopes(pulp::Scalar, &place, &mut y, &mut slope);
        table.values(pulp::Scalar, &place, &mut alone);
        assert_eq!(y, alone);
        (y, slope)
    }

    #[test]
    fn table_error_is_within_tight_bound() {
        // The fastest of 20 Bessel functions with a cutoff of 5 Å.
        let q = 4.0 * std::f64::consts::PI;
        for intervals in [128, 256, 512] {
            let table = table(q, intervals);
            let bound = (q * 5.0 / intervals as f64).powi(5) / 4000.0;
            let mut worst: f64 = 0.0;
            for n in 0..=5000 {
                let d = 5.0 * f64::from(n) / 5000.0;
                let (y, slope) = sample(&table, intervals, d);
                let (sin, cos) = (q * d).sin_cos();
                worst = worst.max((slope[0] / q - cos).abs()).max((slope[1] / q + sin).abs());
                assert!((y[0] - sin).abs() < bound && (y[1] - cos).abs() < bound, "{d}");
                assert!((y[2] - 7.0).abs() < 1e-13 && slope[2].abs() < 1e-10, "{d}: {y:?}");
            }
            assert!(worst < bound && worst > 0.5 * bound, "{intervals}: {worst:e}, bound {bound:e}");
        }
    }

    #[test]
    fn table_slopes_match_finite_differences() {
        let table = table(3.0, 64);
        let value = |d: f64| sample(&table, 64, d).0[0];
        for d in [0.3, 5.0 / 64.0 * 17.0, 2.5, 4.99] {
            let h = 1e-5;
            assert!(
                (sample(&table, 64, d).1[0] - (value(d + h) - value(d - h)) / (2.0 * h)).abs() < 1e-9,
                "{d}"
            );
        }
    }
}
