/// A measured number with its unit and, where known, its uncertainty.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The value, in `unit`.
    pub value: f64,
    /// Standard error of the value, in `unit`; `None` if the measurement is exact or too short to estimate it.
    pub standard_error: Option<f64>,
    /// Number of statistically independent samples.
    pub n_effective: f64,
    /// Unit, such as `"eV/Å"` or `"meV/atom/ps"`.
    pub unit: &'static str,
}
