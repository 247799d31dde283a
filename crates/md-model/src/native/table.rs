//! Functions of a distance as splines: what a filter network makes of a distance, without the network.
//!
//! Quintic B-splines on equal intervals have four continuous derivatives, so that forces are the exact gradient of the
//! tabulated energy and are smooth themselves. A derivative is right to some 10⁻⁷ of itself, see [`Table::new`].
//!
//! Coefficients by recursive filters: M. Unser, A. Aldroubi, M. Eden, IEEE Trans. Signal Process. 41, 834 (1993).

use std::array;

use super::matrix::Real;

/// Rows of coefficients that a value depends on.
const ORDER: usize = 6;

/// Samples beyond both ends. What is wrong at the first of them is smaller by 0.43 at each next one: 10⁻¹⁵ here.
const MARGIN: usize = 40;

/// Roots of z⁴ + 26z³ + 66z² + 26z + 1 inside the unit circle.
const POLES: [f64; 2] = [-0.430_575_347_099_973_8, -0.043_096_288_203_264_7];

/// Functions of one distance from 0 to an end, side by side.
#[derive(Debug, Clone)]
pub(super) struct Table<T> {
    intervals_per_angstrom: f64,
    last_interval: usize,
    width: usize,
    /// \[intervals + 5, width\]
    coefficients: Vec<T>,
}

/// Where a distance lies in a table: the same for all tables of one length and number of intervals.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<T> {
    row: usize,
    /// Weights of the six rows in the value.
    pub(super) value: [T; ORDER],
    /// Weights in the derivative, 1/Å.
    pub(super) slope: [T; ORDER],
}

impl<T: Real> Table<T> {
    /// Tabulates the `width` functions `f` (given a distance in Å, any number of which it writes) from 0 to `end` Å in
    /// `intervals` intervals. `f` must be smooth and is asked a little beyond both ends, too.
    ///
    /// For a function of wave number q, a derivative is off by (q h)⁵/4000 of itself at most, h the length of an interval.
    pub(super) fn new(end: f64, intervals: usize, width: usize, f: impl Fn(f64, &mut [f64])) -> Self {
        let h = end / intervals as f64;
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
        // Row 0 is what the first interval begins with: two before its left end.
        let from = (MARGIN - 2) * width;
        Table {
            intervals_per_angstrom: 1.0 / h,
            last_interval: intervals - 1,
            width,
            coefficients: c[from..from + (intervals + ORDER - 1) * width].iter().map(|&c| T::of(c)).collect(),
        }
    }

    /// Where `distance` (Å, at most the end of the table) lies.
    #[inline(always)]
    pub(super) fn place(&self, distance: f64) -> Place<T> {
        let x = distance * self.intervals_per_angstrom;
        let row = (x as usize).min(self.last_interval);
        let t = x - row as f64;
        let polynomials: [[f64; ORDER]; ORDER] = [
            [1.0, -5.0, 10.0, -10.0, 5.0, -1.0],
            [26.0, -50.0, 20.0, 20.0, -20.0, 5.0],
            [66.0, 0.0, -60.0, 0.0, 30.0, -10.0],
            [26.0, 50.0, 20.0, -20.0, -20.0, 10.0],
            [1.0, 5.0, 10.0, 10.0, 5.0, -5.0],
            [0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        ];
        let scale = self.intervals_per_angstrom;
        Place {
            row,
            value: array::from_fn(|k| {
                T::of(polynomials[k].iter().rev().fold(0.0, |sum, c| sum * t + c) / 120.0)
            }),
            slope: array::from_fn(|k| {
                let p = &polynomials[k];
                T::of((1..ORDER).rev().fold(0.0, |sum, n| sum * t + n as f64 * p[n]) * scale / 120.0)
            }),
        }
    }

    /// Values at a place.
    #[inline(always)]
    pub(super) fn values(&self, place: &Place<T>, values: &mut [T]) {
        combine(self.rows(place), place.value, values);
    }

    /// Derivatives (1/Å) at a place.
    #[inline(always)]
    pub(super) fn slopes(&self, place: &Place<T>, slopes: &mut [T]) {
        combine(self.rows(place), place.slope, slopes);
    }

    #[inline(always)]
    fn rows(&self, place: &Place<T>) -> &[T] {
        &self.coefficients[place.row * self.width..][..ORDER * self.width]
    }
}

#[inline(always)]
fn combine<T: Real>(rows: &[T], w: [T; ORDER], sums: &mut [T]) {
    let n = sums.len();
    let [a, b, c, d, e, f]: [&[T]; ORDER] = array::from_fn(|k| &rows[k * n..][..n]);
    for k in 0..n {
        let odd = w[0].mul_add(a[k], w[2].mul_add(c[k], w[4] * e[k]));
        sums[k] = w[1].mul_add(b[k], w[3].mul_add(d[k], w[5].mul_add(f[k], odd)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sine and cosine of wave number q, and a constant.
    fn table(q: f64, intervals: usize) -> Table<f64> {
        Table::new(5.0, intervals, 3, move |d, y| {
            (y[0], y[1]) = (q * d).sin_cos();
            y[2] = 7.0;
        })
    }

    #[test]
    fn a_derivative_is_within_the_bound_stated_and_the_bound_is_close() {
        // The fastest of 20 Bessel functions with a cutoff of 5 Å.
        let q = 4.0 * std::f64::consts::PI;
        for intervals in [128, 256, 512] {
            let table = table(q, intervals);
            let bound = (q * 5.0 / intervals as f64).powi(5) / 4000.0;
            let mut worst: f64 = 0.0;
            for n in 0..=5000 {
                let d = 5.0 * f64::from(n) / 5000.0;
                let place = table.place(d);
                let (mut y, mut slope) = ([0.0; 3], [0.0; 3]);
                table.values(&place, &mut y);
                table.slopes(&place, &mut slope);
                let (sin, cos) = (q * d).sin_cos();
                worst = worst.max((slope[0] / q - cos).abs()).max((slope[1] / q + sin).abs());
                assert!((y[0] - sin).abs() < bound && (y[1] - cos).abs() < bound, "{d}");
                assert!((y[2] - 7.0).abs() < 1e-13 && slope[2].abs() < 1e-10, "{d}: {y:?}");
            }
            assert!(worst < bound && worst > 0.5 * bound, "{intervals}: {worst:e}, bound {bound:e}");
        }
    }

    #[test]
    fn slopes_are_the_derivatives_of_values_across_intervals() {
        let table = table(3.0, 64);
        let value = |d: f64| {
            let mut y = [0.0; 3];
            table.values(&table.place(d), &mut y);
            y[0]
        };
        for d in [0.3, 5.0 / 64.0 * 17.0, 2.5, 4.99] {
            let h = 1e-5;
            let mut slope = [0.0; 3];
            table.slopes(&table.place(d), &mut slope);
            assert!((slope[0] - (value(d + h) - value(d - h)) / (2.0 * h)).abs() < 1e-9, "{d}");
        }
    }
}
