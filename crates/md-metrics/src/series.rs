/// A series thinned to a fixed number of samples, evenly spaced over its whole length.
///
/// Every `stride`-th sample is kept. When the store is full, every second sample is dropped and the stride doubles, so
/// the store is between half full and full from then on. The last sample is always available.
///
/// ```
/// let mut series = md_metrics::DecimatedSeries::new(4);
/// for i in 0..10 {
///     series.push(f64::from(i), 0.0);
/// }
/// assert_eq!(series.samples(), [(0.0, 0.0), (4.0, 0.0), (8.0, 0.0)]);
/// assert_eq!((series.stride(), series.last()), (4, Some((9.0, 0.0))));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DecimatedSeries {
    capacity: usize,
    stride: u64,
    count: u64,
    samples: Vec<(f64, f64)>,
    last: Option<(f64, f64)>,
}

impl DecimatedSeries {
    /// Creates an empty series that holds at most `capacity` samples (at least 2).
    pub fn new(capacity: usize) -> Self {
        DecimatedSeries { capacity: capacity.max(2), stride: 1, count: 0, samples: Vec::new(), last: None }
    }

    /// Adds the sample `(x, y)`.
    pub fn push(&mut self, x: f64, y: f64) {
        if self.count.is_multiple_of(self.stride) && self.samples.len() == self.capacity {
            let mut index = 0;
            self.samples.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.stride *= 2;
        }
        if self.count.is_multiple_of(self.stride) {
            self.samples.push((x, y));
        }
        self.last = Some((x, y));
        self.count += 1;
    }

    /// The samples kept: those with index 0, `stride`, 2 `stride`, ...
    pub fn samples(&self) -> &[(f64, f64)] {
        &self.samples
    }

    /// The samples kept and the last one, for plots.
    pub fn points(&self) -> Vec<(f64, f64)> {
        let ends_with_last = self.count > 0 && (self.count - 1).is_multiple_of(self.stride);
        self.samples.iter().copied().chain(self.last.filter(|_| !ends_with_last)).collect()
    }

    /// The last sample pushed.
    pub fn last(&self) -> Option<(f64, f64)> {
        self.last
    }

    /// Distance between samples kept, as a number of samples.
    pub fn stride(&self) -> u64 {
        self.stride
    }

    /// Number of samples pushed.
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decimated_series_keeps_strided_samples_and_last(n in 0_u32..3000, capacity in 0_usize..40) {
            let mut series = DecimatedSeries::new(capacity);
            for i in 0..n {
                series.push(f64::from(i), -f64::from(i));
            }
            let capacity = capacity.max(2);
            let stride = series.stride();
            let kept: Vec<_> = (0..n)
                .filter(|&i| u64::from(i) % stride == 0)
                .map(|i| (f64::from(i), -f64::from(i)))
                .collect();
            prop_assert_eq!(series.samples(), &kept[..]);
            prop_assert!(kept.len() <= capacity);
            prop_assert!(stride == 1 || 2 * kept.len() >= capacity);
            prop_assert_eq!(series.last().map(|p| p.0), n.checked_sub(1).map(f64::from));
            let points = series.points();
            prop_assert_eq!(points.last().copied(), series.last());
            prop_assert!(points.windows(2).all(|w| w[0].0 < w[1].0));
            prop_assert_eq!(series.count(), u64::from(n));
        }
    }
}
