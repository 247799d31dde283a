/// One-pass means, variances and covariance of pairs (x, y), relative to the first pair.
///
/// The offset makes small fluctuations of a large number exact: total energies of -10⁴ eV lose no digits to their
/// magnitude. The updates are Welford's (Technometrics 4, 419 (1962)).
#[derive(Debug, Clone, PartialEq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub(crate) struct PairMoments {
    pub count: u64,
    first: (f64, f64),
    mean_offset: (f64, f64),
    /// `Σ (x - x̄)²`.
    pub s_xx: f64,
    /// `Σ (x - x̄)(y - ȳ)`.
    pub s_xy: f64,
    /// `Σ (y - ȳ)²`.
    pub s_yy: f64,
}

impl PairMoments {
    pub fn push(&mut self, x: f64, y: f64) {
        if self.count == 0 {
            self.first = (x, y);
        }
        self.count += 1;
        let n = self.count as f64;
        let (x, y) = (x - self.first.0, y - self.first.1);
        let (dx, dy) = (x - self.mean_offset.0, y - self.mean_offset.1);
        self.mean_offset.0 += dx / n;
        self.mean_offset.1 += dy / n;
        self.s_xx += dx * (x - self.mean_offset.0);
        self.s_xy += dx * (y - self.mean_offset.1);
        self.s_yy += dy * (y - self.mean_offset.1);
    }

    pub fn mean_x(&self) -> f64 {
        self.first.0 + self.mean_offset.0
    }

    pub fn mean_y(&self) -> f64 {
        self.first.1 + self.mean_offset.1
    }

    /// Pearson's correlation; `None` if x or y does not vary by more than rounding.
    pub fn correlation(&self) -> Option<f64> {
        let varies = self.x_varies() && self.y_varies();
        varies.then(|| (self.s_xy / (self.s_xx * self.s_yy).sqrt()).clamp(-1.0, 1.0))
    }

    pub fn x_varies(&self) -> bool {
        self.is_more_than_rounding(self.s_xx, self.mean_x())
    }

    pub fn y_varies(&self) -> bool {
        self.is_more_than_rounding(self.s_yy, self.mean_y())
    }

    fn is_more_than_rounding(&self, sum_of_squares: f64, mean: f64) -> bool {
        let rounding = f64::EPSILON * mean;
        sum_of_squares > self.count as f64 * rounding * rounding
    }
}
