//! What a network sees of the positions, and the way back from its gradients to forces. On the host, in f64.

use std::f64::consts::PI;

use md_core::{Vec3, neighbours};

use crate::CheckpointError;
use crate::tensors::{self, Weights};

/// Added to the distance (Å) when a displacement is normalised.
const UNIT_EPSILON: f64 = 1e-8;

/// The pairs of atoms within the cutoff, each once.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    /// First atom of each pair.
    pub i: Vec<usize>,
    /// Second atom of each pair, larger than the first.
    pub j: Vec<usize>,
    /// x_j − x_i, Å.
    displacement: Vec<Vec3>,
    /// Å.
    distance: Vec<f64>,
}

impl Pairs {
    pub(crate) fn within(cutoff: f64, positions: &[Vec3]) -> Self {
        let mut pairs = Pairs::default();
        neighbours::for_each_pair(positions, cutoff, |pair| {
            pairs.i.push(pair.i);
            pairs.j.push(pair.j);
            pairs.displacement.push(pair.displacement);
            pairs.distance.push(pair.distance);
        });
        pairs
    }

    pub(crate) fn len(&self) -> usize {
        self.i.len()
    }

    /// (x_j − x_i)/(d + 10⁻⁸ Å) as \[3, pairs\]: all x, all y, all z.
    pub(crate) fn directions(&self) -> Vec<f64> {
        (0..3)
            .flat_map(|a| {
                self.displacement.iter().zip(&self.distance).map(move |(x, d)| x[a] / (d + UNIT_EPSILON))
            })
            .collect()
    }

    /// Adds to `forces` (eV/Å) what follows from the gradients of the energy with respect to each pair's
    /// distance (eV/Å) and direction (eV, laid out as [`Pairs::directions`]).
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

    /// φ_k(d) of every pair as \[pairs, k\].
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

    /// dE/dd of every pair, given dE/dφ as \[pairs, k\].
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

    /// The envelope and its derivative (1/Å) at the distance `d`.
    fn envelope(&self, d: f64) -> (f64, f64) {
        if d < self.cutoff {
            let (sin, cos) = (PI * d / self.cutoff).sin_cos();
            (0.5 * (cos + 1.0), -0.5 * PI / self.cutoff * sin)
        } else {
            (0.0, 0.0)
        }
    }
}
