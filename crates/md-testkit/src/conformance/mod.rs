//! Conformance suites for potentials and integrators: a report with a value and a limit for each check.
//!
//! [`potential`] checks the measurements of [`probe`](md_probe), [`integrator`] those of
//! [`integration`](crate::integration), and [`thermostat`] whether a scheme samples the canonical ensemble. A NaN fails
//! its check.

mod integrator;
mod potential;
mod thermostat;

pub use integrator::integrator;
pub use potential::{Tolerances, potential};
pub use thermostat::thermostat;

use std::fmt;

/// Limit of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// At most this value.
    AtMost(f64),
    /// At least the first value, at most the second.
    Between(f64, f64),
}

/// A value and its limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// Name of the check, such as `"rotation_energy"`.
    pub id: &'static str,
    /// Measured value, in `unit`.
    pub value: f64,
    /// Limit, in `unit`.
    pub limit: Limit,
    /// Unit, such as `"eV/Å"`; `"1"` for a dimensionless number.
    pub unit: &'static str,
    /// Index of the system with the worst value, if systems were measured separately.
    pub system: Option<usize>,
}

impl Check {
    /// Whether the value is within the limit.
    pub fn passed(&self) -> bool {
        match self.limit {
            Limit::AtMost(high) => self.value <= high,
            Limit::Between(low, high) => low <= self.value && self.value <= high,
        }
    }
}

/// The checks of one suite on one subject. `Display` gives a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Name of the potential or integrator.
    pub subject: String,
    /// All checks.
    pub checks: Vec<Check>,
}

impl Report {
    /// The checks that did not pass.
    pub fn failures(&self) -> Vec<&Check> {
        self.checks.iter().filter(|check| !check.passed()).collect()
    }

    /// Panics with the table unless every check passed; for tests.
    #[expect(clippy::panic, reason = "an assertion: this is what it is for")]
    #[track_caller]
    pub fn assert_all(&self) {
        if !self.failures().is_empty() {
            panic!("{self}");
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::AtMost(high) => f.pad(&format!("<= {high:.1e}")),
            Limit::Between(low, high) => f.pad(&format!("{low} to {high}")),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} of {} checks failed", self.subject, self.failures().len(), self.checks.len())?;
        for check in &self.checks {
            let verdict = if check.passed() { "ok" } else { "FAIL" };
            let (id, value, limit, unit) = (check.id, check.value, check.limit, check.unit);
            write!(f, "  {verdict:<4}  {id:<20}  {value:>11.3e}  {limit:<11}  {unit:<5}")?;
            match check.system {
                Some(system) => writeln!(f, "  system {system}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
