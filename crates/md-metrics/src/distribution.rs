//! Distances between distributions.

use md_core::Vec3;

use crate::MetricError;
use crate::error::{require_all_finite, require_some};

/// Computes the Wasserstein distance of order 1 between two samples, `∫ |F⁻¹(q) - G⁻¹(q)| dq`, in the unit of the
/// values: the smallest mean displacement of the values that turns one sample into the other.
///
/// ```
/// // scipy.stats.wasserstein_distance([0, 1, 3], [5, 6, 8]) and ([0, 1], [0, 1, 1])
/// let distance = md_metrics::wasserstein(&[0.0, 1.0, 3.0], &[5.0, 6.0, 8.0])?;
/// assert_eq!(distance, 5.0);
/// assert!((md_metrics::wasserstein(&[0.0, 1.0], &[0.0, 1.0, 1.0])? - 1.0 / 6.0).abs() < 1e-15);
/// # Ok::<(), md_metrics::MetricError>(())
/// ```
///
/// # Errors
/// [`MetricError::Empty`] or [`MetricError::NonFinite`].
pub fn wasserstein(a: &[f64], b: &[f64]) -> Result<f64, MetricError> {
    require_some("values of one sample", a)?;
    require_some("values of the other sample", b)?;
    let weighted = |values: &[f64]| values.iter().map(|&x| (x, 1.0)).collect::<Vec<_>>();
    wasserstein_weighted(&weighted(a), &weighted(b))
}

/// Computes the same for weighted values (value, weight), such as intensities at wavenumbers. Weights are normalised.
///
/// # Errors
/// [`MetricError::Empty`] if the total weight is zero, [`MetricError::NonFinite`].
pub fn wasserstein_weighted(a: &[(f64, f64)], b: &[(f64, f64)]) -> Result<f64, MetricError> {
    let mut steps: Vec<(f64, f64)> = Vec::with_capacity(a.len() + b.len());
    for (sample, sign) in [(a, 1.0), (b, -1.0)] {
        let flat: Vec<f64> = sample.iter().flat_map(|(x, w)| [*x, *w]).collect();
        require_all_finite("value or weight", &flat)?;
        let total: f64 = sample.iter().map(|(_, w)| w).sum();
        if total <= 0.0 {
            return Err(MetricError::Empty { what: "weights" });
        }
        steps.extend(sample.iter().map(|(x, w)| (*x, sign * w / total)));
    }
    // ∫ |F - G| dx is the same and needs one pass over all values in order.
    steps.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut difference, mut sum) = (0.0, 0.0);
    for pair in steps.windows(2) {
        difference += pair[0].1;
        sum += f64::abs(difference) * (pair[1].0 - pair[0].0);
    }
    Ok(sum)
}

/// Counts `values` in each of `bins` equal bins between the two numbers of `range`; the last bin includes its upper
/// end. Values outside are not counted.
///
/// ```
/// assert_eq!(md_metrics::histogram([0.0, 0.9, 1.0, 2.0, 2.1], (0.0, 2.0), 2), [2, 2]);
/// ```
pub fn histogram(values: impl IntoIterator<Item = f64>, range: (f64, f64), bins: usize) -> Vec<u64> {
    let (low, high) = range;
    let mut counts = vec![0; bins];
    for value in values.into_iter().filter(|v| (low..=high).contains(v)) {
        let bin = ((value - low) / (high - low) * bins as f64) as usize;
        counts[bin.min(bins - 1)] += 1;
    }
    counts
}

/// Distances (Å) between selected pairs of atoms over the frames of a trajectory.
#[derive(Debug, Clone, PartialEq)]
pub struct PairDistances {
    pairs: Vec<(usize, usize)>,
    /// For each pair, one distance per frame.
    samples: Vec<Vec<f64>>,
}

impl PairDistances {
    /// Creates an empty record for these pairs.
    pub fn new(pairs: Vec<(usize, usize)>) -> Self {
        PairDistances { samples: vec![Vec::new(); pairs.len()], pairs }
    }

    /// Adds a frame with positions in Å. Memory grows by one number per pair.
    ///
    /// # Errors
    /// [`MetricError::NonFinite`] or [`MetricError::NoSuchAtom`].
    pub fn push(&mut self, positions: &[Vec3]) -> Result<(), MetricError> {
        let lengths = crate::bond_lengths_angstrom(positions, &self.pairs)?;
        for (sample, length) in self.samples.iter_mut().zip(lengths) {
            sample.push(length);
        }
        Ok(())
    }

    /// All distances so far, pair by pair, Å.
    pub fn values_angstrom(&self) -> Vec<f64> {
        self.samples.concat()
    }

    /// Mean over the pairs of the [`wasserstein`] distance between the distributions of a pair in both records, Å.
    ///
    /// # Errors
    /// [`MetricError::Length`] if the pairs differ, [`MetricError::Empty`] without pairs or frames.
    pub fn wasserstein_angstrom(&self, other: &PairDistances) -> Result<f64, MetricError> {
        crate::error::require_length("pairs", self.pairs.len(), other.pairs.len())?;
        require_some("pairs", &self.pairs)?;
        let mut sum = 0.0;
        for (a, b) in self.samples.iter().zip(&other.samples) {
            sum += wasserstein(a, b)?;
        }
        Ok(sum / self.pairs.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::tests::Noise;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn wasserstein_is_a_metric_and_follows_shifts(
            a in prop::collection::vec(-5.0..5.0_f64, 1..40),
            b in prop::collection::vec(-5.0..5.0_f64, 1..40),
            c in prop::collection::vec(-5.0..5.0_f64, 1..40),
            shift in -3.0..3.0_f64,
        ) {
            let w = |x: &[f64], y: &[f64]| wasserstein(x, y).unwrap();
            prop_assert!(w(&a, &a).abs() < 1e-12);
            prop_assert!((w(&a, &b) - w(&b, &a)).abs() < 1e-12);
            prop_assert!(w(&a, &c) <= w(&a, &b) + w(&b, &c) + 1e-12);
            let moved: Vec<f64> = a.iter().map(|x| x + shift).collect();
            prop_assert!((w(&a, &moved) - shift.abs()).abs() < 1e-12);
            let twice: Vec<f64> = a.iter().chain(&a).copied().collect();
            prop_assert!((w(&a, &b) - w(&twice, &b)).abs() < 1e-12);
        }
    }

    #[test]
    fn wasserstein_of_two_normals_matches_closed_form() {
        let mut noise = Noise(3);
        let a: Vec<f64> = (0..40_000).map(|_| noise.normal()).collect();
        let b: Vec<f64> = (0..40_000).map(|_| 2.0 * noise.normal()).collect();
        // ∫ |2 z - z| φ(z) dz = √(2/π)
        let exact = (2.0 / std::f64::consts::PI).sqrt();
        assert!((wasserstein(&a, &b).unwrap() - exact).abs() < 0.02);
    }

    #[test]
    fn pair_distances_are_compared_pair_by_pair() {
        let frame = |r: f64| [Vec3::zeros(), Vec3::new(r, 0.0, 0.0), Vec3::new(0.0, 2.0, 0.0)];
        let follow = |lengths: &[f64]| {
            let mut distances = PairDistances::new(vec![(0, 1), (0, 2)]);
            lengths.iter().for_each(|&r| distances.push(&frame(r)).unwrap());
            distances
        };
        let distance = follow(&[1.0, 1.1]).wasserstein_angstrom(&follow(&[1.2, 1.3])).unwrap();
        assert!((distance - 0.1).abs() < 1e-12, "0.2 of one pair, nothing of the other: {distance}");
        assert!(follow(&[]).wasserstein_angstrom(&follow(&[1.0])).is_err());
        assert!(PairDistances::new(vec![(0, 7)]).push(&frame(1.0)).is_err());
    }
}
