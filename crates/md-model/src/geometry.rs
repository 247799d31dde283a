//! Geometric inputs of a network, and the conversion of its gradients to forces. On the host, in f64.

use std::f64::consts::PI;

use md_core::{Configuration, Vec3, neighbours};

use crate::CheckpointError;
use crate::student::Systems;
use crate::tensors::{self, Weights};

/// Term added to the distance (Å) when a displacement is normalised.
pub(crate) const UNIT_EPSILON: f64 = 1e-8;

/// Pairs of atoms within the cutoff, each once.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    /// First atom of each pair.
    pub i: Vec<usize>,
    /// Second atom of each pair, larger than the first.
    pub j: Vec<usize>,
    /// x_j − x_i, Å.
    displacement: Vec<Vec3>,
    /// Distance, Å.
    distance: Vec<f64>,
}

impl Pairs {
    #[cfg(test)]
    pub(crate) fn within(cutoff: f64, positions: &[Vec3]) -> Self {
        let mut pairs = Pairs::default();
        pairs.add(cutoff, positions, 0);
        pairs
    }

    /// Finds the pairs within each of some systems.
    pub(crate) fn of_systems(cutoff: f64, systems: &Systems<'_>) -> Self {
        let mut pairs = Pairs::default();
        for atoms in systems.ranges() {
            pairs.add(cutoff, &systems.positions[atoms.clone()], atoms.start);
        }
        pairs
    }

    /// Finds the pairs within each system of a batch.
    pub(crate) fn of_batch(cutoff: f64, c: Configuration<'_>) -> Self {
        let mut pairs = Pairs::default();
        for atoms in c.batch.ranges() {
            pairs.add(cutoff, &c.positions[atoms.clone()], atoms.start);
        }
        pairs
    }

    /// Adds the pairs of another system, whose first atom has the index `first`.
    fn add(&mut self, cutoff: f64, positions: &[Vec3], first: usize) {
        neighbours::for_each_pair(positions, cutoff, |pair| {
            self.i.push(first + pair.i);
            self.j.push(first + pair.j);
            self.displacement.push(pair.displacement);
            self.distance.push(pair.distance);
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.i.len()
    }

    /// Returns (x_j − x_i)/(d + 10⁻⁸ Å) of pair `p`.
    pub(crate) fn direction(&self, p: usize) -> Vec3 {
        self.displacement[p] / (self.distance[p] + UNIT_EPSILON)
    }

    /// Returns [`Pairs::direction`] of all pairs as \[3, pairs\]: all x, all y, all z.
    pub(crate) fn directions(&self) -> Vec<f64> {
        (0..3).flat_map(|a| (0..self.len()).map(move |p| self.direction(p)[a])).collect()
    }

    /// Computes the derivatives of distances (Å) and directions with respect to a displacement along −y (per atom).
    /// Their product with the gradient of an energy with respect to the geometry is Σ y · F.
    pub(crate) fn derivatives_against(&self, y: &[Vec3]) -> PairDerivatives {
        let mut all = PairDerivatives { distances: Vec::new(), directions: Vec::new() };
        for p in 0..self.len() {
            let difference = y[self.i[p]] - y[self.j[p]];
            let along = self.displacement[p].dot(&difference) / self.distance[p].max(f64::MIN_POSITIVE);
            all.distances.push(along);
            let s = self.distance[p] + UNIT_EPSILON;
            all.directions.push(difference / s - self.displacement[p] * (along / (s * s)));
        }
        all
    }

    /// Adds to `forces` (eV/Å) the contribution of the gradients of the energy with respect to each pair's distance
    /// (eV/Å) and direction (eV, laid out as [`Pairs::directions`]).
    pub(crate) fn add_forces(&self, by_distance: &[f64], by_direction: &[f64], forces: &mut [Vec3]) {
        let n = self.len();
        for p in 0..n {
            let (x, d) = (self.displacement[p], self.distance[p]);
            let g = Vec3::new(by_direction[p], by_direction[n + p], by_direction[2 * n + p]);
            // ∂d/∂x = x/d (0 where d = 0), and u = x/(d + ε).
            let slope = x / d.max(f64::MIN_POSITIVE);
            let s = d + UNIT_EPSILON;
            let gradient = slope * (by_distance[p] - g.dot(&x) / (s * s)) + g / s;
            forces[self.i[p]] += gradient;
            forces[self.j[p]] -= gradient;
        }
    }
}

/// Derivatives of the geometry of all pairs along one direction.
pub(crate) struct PairDerivatives {
    pub distances: Vec<f64>,
    pub directions: Vec<Vec3>,
}

/// Gaussians under a cosine envelope: φ_k(d) = exp(−((d − c_k)/w_k)²) · (cos(π d/cutoff) + 1)/2.
#[derive(Debug)]
pub(crate) struct RadialBasis {
    cutoff: f64,
    centres: Vec<f64>,
    widths: Vec<f64>,
}

impl RadialBasis {
    pub(crate) fn new(cutoff: f64, n: usize, weights: &Weights) -> Result<Self, CheckpointError> {
        Ok(RadialBasis {
            cutoff,
            centres: tensors::get(weights, "rbf.centers", &[n])?.values.clone(),
            widths: tensors::get(weights, "rbf.widths", &[n])?.values.clone(),
        })
    }

    /// Returns the smallest width of the Gaussians, Å.
    pub(crate) fn narrowest(&self) -> f64 {
        self.widths.iter().fold(f64::INFINITY, |least, w| least.min(w.abs()))
    }

    /// Computes φ_k(d) from the formula alone, which continues smoothly beyond the cutoff and below zero.
    pub(crate) fn smooth(&self, d: f64) -> Vec<f64> {
        let envelope = 0.5 * ((PI * d / self.cutoff).cos() + 1.0);
        let gaussian = |(c, w): (&f64, &f64)| (-((d - c) / w).powi(2)).exp() * envelope;
        self.centres.iter().zip(&self.widths).map(gaussian).collect()
    }

    /// Appends φ_k(d) and its derivatives (1/Å).
    pub(crate) fn with_slopes(&self, d: f64, values: &mut Vec<f64>, slopes: &mut Vec<f64>) {
        let (envelope, slope) = self.envelope(d);
        for (c, w) in self.centres.iter().zip(&self.widths) {
            let x = (d - c) / w;
            let gaussian = (-x * x).exp();
            values.push(gaussian * envelope);
            slopes.push(gaussian * (slope - 2.0 * x / w * envelope));
        }
    }

    /// Computes φ_k(d) of every pair as \[pairs, k\].
    pub(crate) fn values(&self, pairs: &Pairs) -> Vec<f64> {
        let mut values = Vec::with_capacity(pairs.len() * self.centres.len());
        for &d in &pairs.distance {
            let (envelope, _) = self.envelope(d);
            values.extend(self.centres.iter().zip(&self.widths).map(|(c, w)| {
                let x = (d - c) / w;
                (-x * x).exp() * envelope
            }));
        }
        values
    }

    /// Computes dE/dd of every pair, given dE/dφ as \[pairs, k\].
    pub(crate) fn pull_back(&self, pairs: &Pairs, gradient: &[f64]) -> Vec<f64> {
        let rows = gradient.chunks_exact(self.centres.len());
        pairs
            .distance
            .iter()
            .zip(rows)
            .map(|(&d, row)| {
                let (envelope, slope) = self.envelope(d);
                let terms = row.iter().zip(self.centres.iter().zip(&self.widths)).map(|(g, (c, w))| {
                    let x = (d - c) / w;
                    g * (-x * x).exp() * (slope - 2.0 * x / w * envelope)
                });
                terms.sum()
            })
            .collect()
    }

    /// Computes the envelope and its derivative (1/Å) at the distance `d`.
    fn envelope(&self, d: f64) -> (f64, f64) {
        if d < self.cutoff {
            let (sin, cos) = (PI * d / self.cutoff).sin_cos();
            (0.5 * (cos + 1.0), -0.5 * PI / self.cutoff * sin)
        } else {
            (0.0, 0.0)
        }
    }
}

/// Computes f(x) = 1 − 28x⁶ + 48x⁷ − 21x⁸ and its derivative; zero from x = 1 on, with two continuous derivatives.
pub(crate) fn envelope(x: f64) -> (f64, f64) {
    if x < 1.0 {
        let x5 = x.powi(5);
        let y = 1.0 - x;
        (1.0 - x5 * x * (28.0 - 48.0 * x + 21.0 * x * x), -168.0 * x5 * y * y)
    } else {
        (0.0, 0.0)
    }
}

/// Spherical Bessel functions √(2/c) sin(kπd/c)/d, k = 1…K, and the constant 1, all times [`envelope`] of d/c.
#[derive(Debug, Clone)]
pub(crate) struct BesselBasis {
    cutoff: f64,
    n: usize,
}

/// Values and slopes of a basis on all pairs.
pub(crate) struct BasisOnPairs {
    /// \[pairs, K + 1\]
    pub values: Vec<f64>,
    /// Derivatives with respect to the distance, 1/Å, \[pairs, K + 1\].
    slopes: Vec<f64>,
    /// K + 1
    pub width: usize,
}

impl BasisOnPairs {
    /// Computes dE/dd of every pair, given dE/dφ as \[pairs, K + 1\].
    pub(crate) fn pull_back(&self, gradient: &[f64]) -> Vec<f64> {
        let rows = gradient.chunks_exact(self.width).zip(self.slopes.chunks_exact(self.width));
        rows.map(|(by, slopes)| by.iter().zip(slopes).map(|(b, s)| b * s).sum()).collect()
    }

    /// Computes the derivatives of the values for derivatives `distances` of the distances.
    pub(crate) fn derivatives(&self, distances: &[f64]) -> Vec<f64> {
        let rows = self.slopes.chunks_exact(self.width).zip(distances);
        rows.flat_map(|(slopes, d)| slopes.iter().map(move |s| s * d)).collect()
    }
}

impl BesselBasis {
    pub(crate) fn new(cutoff: f64, n: usize) -> Self {
        BesselBasis { cutoff, n }
    }

    pub(crate) fn evaluate(&self, pairs: &Pairs) -> BasisOnPairs {
        let mut all = BasisOnPairs {
            values: Vec::with_capacity(pairs.len() * (self.n + 1)),
            slopes: Vec::with_capacity(pairs.len() * (self.n + 1)),
            width: self.n + 1,
        };
        for &d in &pairs.distance {
            self.with_slopes(d, &mut all.values, &mut all.slopes);
        }
        all
    }

    /// Appends the K + 1 functions of `d` (Å) and their derivatives (1/Å).
    pub(crate) fn with_slopes(&self, d: f64, values: &mut Vec<f64>, slopes: &mut Vec<f64>) {
        let c = self.cutoff;
        let (f, slope) = envelope(d / c);
        let f_slope = slope / c;
        for (value, slope) in self.bessels(d) {
            values.push(value * f);
            slopes.push(slope * f + value * f_slope);
        }
        values.push(f);
        slopes.push(f_slope);
    }

    /// Computes the K + 1 functions without the envelope, by formulae that continue smoothly beyond the cutoff and
    /// below zero.
    pub(crate) fn smooth(&self, d: f64) -> Vec<f64> {
        self.bessels(d).map(|(value, _)| value).chain([1.0]).collect()
    }

    /// Computes √(2/c) sin(kπd/c)/d and its derivative, k = 1…K.
    fn bessels(&self, d: f64) -> impl Iterator<Item = (f64, f64)> {
        let c = self.cutoff;
        let scale = (2.0 / c).sqrt();
        (1..=self.n).map(move |k| {
            let (value, slope) = sin_over(k as f64 * PI / c, d);
            (scale * value, scale * slope)
        })
    }
}

/// Computes sin(qd)/d and its derivative with respect to d; near d = 0, where terms cancel, by series.
fn sin_over(q: f64, d: f64) -> (f64, f64) {
    let x = q * d;
    if x.abs() < 1e-2 {
        let x2 = x * x;
        (q * (1.0 - x2 / 6.0 * (1.0 - x2 / 20.0)), -q * q * x / 3.0 * (1.0 - x2 / 10.0))
    } else {
        let (sin, cos) = x.sin_cos();
        (sin / d, (x * cos - sin) / (d * d))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envelope_ends_with_two_continuous_derivatives() {
        assert_eq!(envelope(0.0), (1.0, 0.0));
        assert_eq!(envelope(0.5).0, 0.855_468_75);
        assert_eq!(envelope(1.0), (0.0, 0.0));
        for h in [1e-2f64, 1e-3] {
            // f(1 − h) = 56 h³ + O(h⁴) and f' = −168 h² + O(h³).
            let (f, slope) = envelope(1.0 - h);
            assert!((f / (56.0 * h.powi(3)) - 1.0).abs() < 8.0 * h, "{f}");
            assert!((slope / (-168.0 * h.powi(2)) - 1.0).abs() < 8.0 * h, "{slope}");
        }
    }

    #[test]
    fn bessel_basis_slopes_match_finite_differences() {
        let basis = BesselBasis::new(5.0, 8);
        let on = |d: f64| basis.evaluate(&Pairs::within(5.0, &[Vec3::zeros(), Vec3::new(d, 0.0, 0.0)]));
        // For the smallest distances sin(x)/x is a series.
        for d in [2e-3, 5e-3, 0.7, 1.5, 3.1, 4.9] {
            let h = 1e-5;
            let (here, right, left) = (on(d), on(d + h), on(d - h));
            for k in 0..here.width {
                let difference = (right.values[k] - left.values[k]) / (2.0 * h);
                assert!((here.slopes[k] - difference).abs() < 1e-7, "{k} at {d} Å: {difference}");
            }
        }
        // φ₁(2.5 Å) = √(2/5) sin(π/2)/2.5, times the envelope.
        assert!((on(2.5).values[0] - 0.4f64.sqrt() / 2.5 * 0.855_468_75).abs() < 1e-15);
    }
}
