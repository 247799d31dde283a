//! Statistics shared by several measurements.

use crate::error::{require_all_finite, require_finite, require_some};
use crate::estimate::mean_of_replicas;
use crate::{Estimate, MetricError};

/// Summary of the values in [`RunningStats`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// Number of values.
    pub count: u64,
    /// The first value.
    pub first: f64,
    /// The last value.
    pub last: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation of the values: `√(Σ (x - x̄)² / n)` (`ddof = 0` of numpy).
    pub std: f64,
}

/// Mean, standard deviation and extremes of a stream, in constant memory.
///
/// Values are accumulated relative to the first one, so that small fluctuations of a large number keep their digits;
/// the updates are Welford's (Technometrics 4, 419 (1962)).
///
/// ```
/// let mut stats = md_metrics::RunningStats::default();
/// for x in [1.0, 2.0, 3.0, 4.0] {
///     stats.push(x)?;
/// }
/// let summary = stats.summary()?;
/// assert_eq!((summary.mean, summary.std), (2.5, 1.25_f64.sqrt()));
/// # Ok::<(), md_metrics::MetricError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct RunningStats {
    count: u64,
    first: f64,
    last: f64,
    min: f64,
    max: f64,
    mean_offset: f64,
    sum_of_squares: f64,
}

impl RunningStats {
    /// Computes the statistics of these values.
    ///
    /// # Errors
    /// [`MetricError::NonFinite`].
    pub fn from_values(values: &[f64]) -> Result<Self, MetricError> {
        let mut stats = RunningStats::default();
        values.iter().try_for_each(|&x| stats.push(x))?;
        Ok(stats)
    }

    /// Adds one value.
    ///
    /// # Errors
    /// [`MetricError::NonFinite`]; the value is then not counted.
    pub fn push(&mut self, value: f64) -> Result<(), MetricError> {
        require_finite("value", self.count as usize, value)?;
        if self.count == 0 {
            (self.first, self.min, self.max) = (value, value, value);
        }
        self.count += 1;
        self.last = value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        let offset = value - self.first;
        let delta = offset - self.mean_offset;
        self.mean_offset += delta / self.count as f64;
        self.sum_of_squares += delta * (offset - self.mean_offset);
        Ok(())
    }

    /// Number of values so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The statistics so far.
    ///
    /// # Errors
    /// [`MetricError::Empty`].
    pub fn summary(&self) -> Result<Summary, MetricError> {
        if self.count == 0 {
            return Err(MetricError::Empty { what: "values" });
        }
        Ok(Summary {
            count: self.count,
            first: self.first,
            last: self.last,
            min: self.min,
            max: self.max,
            mean: self.first + self.mean_offset,
            std: (self.sum_of_squares / self.count as f64).sqrt(),
        })
    }
}

/// Computes the `percent`-th percentile (0 to 100), linear between neighbouring values (the default of numpy).
///
/// ```
/// // numpy.percentile([1, 2, 4, 8], 75) == 5.0
/// assert_eq!(md_metrics::statistics::percentile(&[8.0, 1.0, 4.0, 2.0], 75.0), Ok(5.0));
/// ```
///
/// # Errors
/// [`MetricError::Empty`], [`MetricError::NonFinite`] or [`MetricError::OutOfRange`].
pub fn percentile(values: &[f64], percent: f64) -> Result<f64, MetricError> {
    require_some("values", values)?;
    require_all_finite("value", values)?;
    if !(0.0..=100.0).contains(&percent) {
        return Err(MetricError::OutOfRange { what: "the percentile", value: percent, expected: "0 to 100" });
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(percentile_of_sorted(&sorted, percent))
}

/// Computes the [`percentile`] of finite values in ascending order, not empty.
pub(crate) fn percentile_of_sorted(sorted: &[f64], percent: f64) -> f64 {
    let position = (sorted.len() - 1) as f64 * percent / 100.0;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    below + (above - below) * position.fract()
}

/// Fewest blocks for which a series is still averaged over blocks.
const FEWEST_BLOCKS: usize = 32;

/// Computes the integrated autocorrelation time `τ = 1 + 2 Σ ρ(k)` in samples, at least 1: `n / τ` is the number of
/// independent samples. It is 1 for a constant series.
///
/// The sum is truncated by the initial positive sequence of C. J. Geyer, Statist. Sci. 7, 473 (1992). A fast
/// oscillation truncates it early and hides a slow correlation, so the estimate is repeated on averages of 2, 4, 8, ...
/// samples (the blocking of H. Flyvbjerg and H. G. Petersen, J. Chem. Phys. 91, 461 (1989)) while 32 blocks remain, and
/// the largest is returned: for autoregressive series of 10⁵ samples it is 1.3 to 1.6 times the exact τ. For a pure
/// oscillation it is an overestimate. No estimate can detect correlation longer than the series: τ above a tenth of its
/// length is a lower bound.
///
/// The cost is proportional to n τ.
///
/// # Errors
/// [`MetricError::Empty`] or [`MetricError::NonFinite`].
pub fn autocorrelation_time(values: &[f64]) -> Result<f64, MetricError> {
    require_some("values", values)?;
    require_all_finite("value", values)?;
    let mut blocks = values.to_vec();
    let variance = centre(&mut blocks);
    if variance == 0.0 {
        return Ok(1.0);
    }
    let mut longest: f64 = 1.0;
    let mut block_length = 1.0;
    loop {
        let block_variance = centre(&mut blocks);
        longest = longest.max(block_length * block_variance / variance * initial_positive_sum(&blocks));
        if blocks.len() < 2 * FEWEST_BLOCKS {
            return Ok(longest);
        }
        blocks = blocks.chunks_exact(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect();
        block_length *= 2.0;
    }
}

/// Subtracts the mean and returns the variance.
fn centre(values: &mut [f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    values.iter_mut().for_each(|x| *x -= mean);
    values.iter().map(|x| x * x).sum::<f64>() / n
}

/// Computes `1 + 2 Σ ρ(k)` of a series of mean zero, truncated where the sum of two neighbouring terms is not positive.
fn initial_positive_sum(centred: &[f64]) -> f64 {
    let covariance = |lag: usize| -> f64 { centred.iter().zip(&centred[lag..]).map(|(a, b)| a * b).sum() };
    let variance = covariance(0);
    if variance == 0.0 {
        return 1.0;
    }
    let mut sum = 0.0;
    for lag in (0..centred.len() - 1).step_by(2) {
        let pair = (covariance(lag) + covariance(lag + 1)) / variance;
        if pair <= 0.0 {
            break;
        }
        sum += pair;
    }
    2.0 * sum - 1.0
}

/// Length of blocks in correlation times, for which their means are independent.
const CORRELATION_TIMES_PER_BLOCK: f64 = 8.0;

/// Smallest and largest number of blocks of a series.
const BLOCKS: (usize, usize) = (4, 20);

/// Returns the number of blocks of a series for which the block means are independent up to chance.
///
/// The series is first averaged to 64 to 127 samples, which removes fast oscillations; their correlation time
/// determines the number. It is at least four, so the blocks of a series shorter than about 30 correlation times are
/// not fully independent.
///
/// # Errors
/// [`MetricError::TooFew`] below four samples, [`MetricError::NonFinite`].
pub fn independent_blocks(values: &[f64]) -> Result<usize, MetricError> {
    require_all_finite("value", values)?;
    let (fewest, most) = BLOCKS;
    if values.len() < fewest {
        return Err(MetricError::TooFew { what: "samples", needed: fewest, found: values.len() });
    }
    let mut averaged = values.to_vec();
    while averaged.len() >= 4 * FEWEST_BLOCKS {
        averaged = averaged.chunks_exact(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect();
    }
    centre(&mut averaged);
    let tau = initial_positive_sum(&averaged).max(1.0);
    let blocks = averaged.len() as f64 / tau / CORRELATION_TIMES_PER_BLOCK;
    Ok((blocks as usize).clamp(fewest, most))
}

/// Computes the means of `blocks` equal parts of a series; an incomplete last part is ignored.
pub(crate) fn block_means(values: &[f64], blocks: usize) -> Vec<f64> {
    let length = (values.len() / blocks).max(1);
    values.chunks_exact(length).take(blocks).map(|block| block.iter().sum::<f64>() / length as f64).collect()
}

/// Computes the mean of a correlated series, with an error from the scatter of [`independent_blocks`].
///
/// # Errors
/// [`MetricError::TooFew`] below four samples, [`MetricError::NonFinite`].
pub fn mean_of_series(values: &[f64]) -> Result<Estimate, MetricError> {
    let blocks = block_means(values, independent_blocks(values)?);
    Ok(Estimate { value: RunningStats::from_values(values)?.summary()?.mean, ..mean_of_replicas(&blocks)? })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentile_of_powers_of_two_matches_numpy() {
        // numpy.percentile([1, 2, 4, 8, 16], [50, 99, 10])
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        for (percent, expected) in [(50.0, 4.0), (99.0, 15.68), (10.0, 1.4), (100.0, 16.0), (0.0, 1.0)] {
            assert!((percentile(&sorted, percent).unwrap() - expected).abs() < 1e-12, "{percent}");
        }
    }

    /// Standard normal numbers for tests: SplitMix64 (G. L. Steele et al., OOPSLA 2014) and Box-Muller.
    pub(crate) struct Noise(pub u64);

    impl Noise {
        pub(crate) fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        }

        pub(crate) fn normal(&mut self) -> f64 {
            let (u, v) = (1.0 - self.uniform(), self.uniform());
            (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
        }

        /// An autoregressive series `x(i) = φ x(i-1) + noise` of variance 1, started in its stationary state. Its
        /// integrated autocorrelation time is `(1 + φ) / (1 - φ)`.
        pub(crate) fn autoregressive(&mut self, phi: f64, n: usize) -> Vec<f64> {
            let innovation = (1.0 - phi * phi).sqrt();
            let mut x = self.normal();
            std::iter::repeat_with(|| {
                x = phi * x + innovation * self.normal();
                x
            })
            .take(n)
            .collect()
        }
    }

    proptest! {
        #[test]
        fn running_stats_equal_two_pass_formulas(
            values in prop::collection::vec(-1.0..1.0_f64, 1..200),
            offset in -1e5..1e5_f64,
        ) {
            let values: Vec<f64> = values.iter().map(|x| x + offset).collect();
            let n = values.len() as f64;
            // Relative to the offset, so that the sums of this check are as accurate as the result they check.
            let mean = offset + values.iter().map(|x| x - offset).sum::<f64>() / n;
            let std = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
            let summary = RunningStats::from_values(&values).unwrap().summary().unwrap();
            prop_assert!((summary.mean - mean).abs() <= 1e-15 * offset.abs() + 1e-14);
            prop_assert!((summary.std - std).abs() <= 1e-13, "{} {}", summary.std, std);
            prop_assert_eq!(summary.min, values.iter().copied().fold(f64::INFINITY, f64::min));
            prop_assert_eq!(summary.max, values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
            prop_assert_eq!((summary.first, summary.last), (values[0], values[values.len() - 1]));
            prop_assert_eq!(summary.count, values.len() as u64);
        }

        #[test]
        fn percentile_lies_between_neighbours_and_ignores_order(
            mut values in prop::collection::vec(-10.0..10.0_f64, 1..50),
            percent in 0.0..=100.0_f64,
        ) {
            let p = percentile(&values, percent).unwrap();
            values.reverse();
            prop_assert_eq!(p, percentile(&values, percent).unwrap());
            let share_below = values.iter().filter(|&&x| x < p).count() as f64 / values.len() as f64;
            prop_assert!(share_below <= percent / 100.0 + 1.0 / values.len() as f64);
            prop_assert!(p <= percentile(&values, 100.0).unwrap() && p >= percentile(&values, 0.0).unwrap());
        }
    }

    #[test]
    fn percentile_of_unsorted_values_matches_numpy() {
        // numpy.percentile([3, 1, 4, 1, 5, 9, 2, 6], [0, 10, 50, 90, 95, 100])
        let values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        for (percent, expected) in
            [(0.0, 1.0), (10.0, 1.0), (50.0, 3.5), (90.0, 6.9), (95.0, 7.95), (100.0, 9.0)]
        {
            let found = percentile(&values, percent).unwrap();
            assert!((found - expected).abs() < 1e-14, "{percent}: {found}");
        }
        assert!(matches!(percentile(&values, 101.0), Err(MetricError::OutOfRange { .. })));
        assert!(matches!(percentile(&values, f64::NAN), Err(MetricError::OutOfRange { .. })));
        assert_eq!(percentile(&[], 50.0), Err(MetricError::Empty { what: "values" }));
    }

    #[test]
    fn running_stats_rejects_non_finite_without_counting() {
        let mut stats = RunningStats::default();
        stats.push(1.0).unwrap();
        let error = stats.push(f64::INFINITY).unwrap_err();
        assert_eq!(error, MetricError::NonFinite { what: "value", index: 1, value: f64::INFINITY });
        assert_eq!(stats.count(), 1);
        assert!(matches!(
            autocorrelation_time(&[1.0, 2.0, f64::NAN]),
            Err(MetricError::NonFinite { index: 2, .. })
        ));
        assert!(matches!(RunningStats::default().summary(), Err(MetricError::Empty { .. })));
    }

    #[test]
    fn autocorrelation_time_matches_autoregressive_series() {
        for (phi, seed) in [(0.0, 1), (0.5, 2), (0.9, 3)] {
            let exact = (1.0 + phi) / (1.0 - phi);
            let series = Noise(seed).autoregressive(phi, 100_000);
            let found = autocorrelation_time(&series).unwrap();
            // Blocks of 100,000 / 32 samples leave a scatter of about a quarter, and the largest estimate is returned.
            assert!((0.9..1.7).contains(&(found / exact)), "phi {phi}: {found} for {exact}");
        }
        assert_eq!(autocorrelation_time(&[2.5; 100]), Ok(1.0));
        assert_eq!(autocorrelation_time(&[2.5]), Ok(1.0));
    }

    #[test]
    fn autocorrelation_time_sees_through_fast_oscillation() {
        let (phi, n) = (0.98_f64, 20_000);
        let oscillation = |i: usize| 3.0 * (i as f64 * std::f64::consts::TAU / 10.3).sin();
        let series: Vec<f64> =
            Noise(4).autoregressive(phi, n).iter().enumerate().map(|(i, x)| x + oscillation(i)).collect();
        // The oscillation adds 4.5 to the variance of 1 and nothing to the sum of covariances, which is 99.
        let exact = (1.0 + phi) / (1.0 - phi) / 5.5;
        let found = autocorrelation_time(&series).unwrap();
        assert!((0.8..1.8).contains(&(found / exact)), "{found} for {exact}");
        let mut centred = series;
        centre(&mut centred);
        assert!(initial_positive_sum(&centred) < 0.5 * exact, "without blocks it would be hidden");
    }
}
