/// A number that was measured, with its unit and, where it can be stated, its uncertainty.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// The value, in `unit`.
    pub value: f64,
    /// Standard error of the value, in `unit`; `None` where the measurement is exact or too short to say.
    pub standard_error: Option<f64>,
    /// Number of statistically independent samples behind it.
    pub n_effective: f64,
    /// Unit, such as `"eV/Å"` or `"meV/atom/ps"`.
    pub unit: &'static str,
}
