//! Attribution of energy drift to its causes.
//!
//! [`diagnose`] repeats one NVE run and decomposes the change of its total energy, step by step, into parts that sum to
//! it exactly ([`Part`]). It repeats the run with half and a quarter of the time step, in f64 and with an analytic
//! control, and reports the causes with their shares. [`timestep_ladder`] finds the longest time step that conserves
//! energy.
//!
//! Potentials and integrators are accessed only through their traits. This crate contains no files, networks or
//! approval thresholds.
//!
//! ```
//! use md_attribution::{Case, CauseKind, diagnose};
//! use md_core::*;
//! use md_dynamics::{VelocityOptions, VelocityVerlet, thermalise};
//! use md_probe::analytic::Control;
//! use md_testkit::defects::{Defect, Defective};
//!
//! let positions = vec![Vec3::zeros(), Vec3::new(0.96, 0.0, 0.0), Vec3::new(-0.24, 0.93, 0.0)];
//! let water = System::new(vec![Element::O, Element::H, Element::H], positions)?;
//! let swirl = Defect::Swirl { strength_ev_per_angstrom2: 0.05 };
//! let mut potential = Defective::new(Control::new(std::slice::from_ref(&water))?, swirl);
//! let mut oracle = potential.clone();
//! let mut start = State::at_rest(std::slice::from_ref(&water), &mut potential)?;
//! thermalise(&mut start, &[300.0], &[1], &VelocityOptions::default())?;
//! let found = diagnose(Case {
//!     start: &start,
//!     timestep_fs: 0.5,
//!     steps: 400,
//!     limits: Limits::default(),
//!     tolerance_mev_per_atom_per_ps: 1.0,
//!     make_integrator: &|dt| Ok(Box::new(VelocityVerlet::new(dt)?)),
//!     potential: &mut potential,
//!     oracle: &mut oracle,
//!     control: None,
//! })?;
//! assert_eq!(found.causes[0].kind, CauseKind::NotAGradient);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod balance;
mod experiment;
mod ladder;

use md_core::Limits;
use md_core::{Divergence, Fate, Integrator, Potential, State, StepError};
use md_dynamics::RunError;
use md_metrics::MetricError;
use md_probe::ProbeError;

pub use balance::{Balance, JumpEvent, Part, PartKind};
pub use experiment::Experiment;
pub use ladder::{Ladder, LadderOptions, Rung, timestep_ladder};

/// Creates the integrator with a time step in fs.
pub type MakeIntegrator<'a> = &'a dyn Fn(f64) -> Result<Box<dyn Integrator>, StepError>;

/// A run that did not conserve energy.
pub struct Case<'a> {
    /// Initial positions and velocities of one system.
    pub start: &'a State,
    /// Time step, fs.
    pub timestep_fs: f64,
    /// Number of steps to analyse.
    pub steps: u64,
    /// Limits beyond which the run counts as diverged.
    pub limits: Limits,
    /// Tolerated drift: parts that change the energy by less than a tenth of it are not reported as causes.
    pub tolerance_mev_per_atom_per_ps: f64,
    /// The integrator, which should be velocity Verlet.
    pub make_integrator: MakeIntegrator<'a>,
    /// The potential of the run.
    pub potential: &'a mut dyn Potential,
    /// The same potential in f64.
    pub oracle: &'a mut dyn Potential,
    /// A reference potential for the same system that conserves energy.
    pub control: Option<&'a mut dyn Potential>,
}

/// The result of [`diagnose`].
#[derive(Debug, Clone)]
pub struct Attribution {
    /// The causes, largest share first; empty if energy is conserved.
    pub causes: Vec<Cause>,
    /// Decomposition of the energy change.
    pub balance: Balance,
    /// The same run under other conditions, starting with the original run.
    pub experiments: Vec<Experiment>,
}

/// A cause of energy drift.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// Kind of cause.
    pub kind: CauseKind,
    /// Fraction of the energy change, 0 to 1; `None` if it is undefined.
    pub share: Option<f64>,
    /// Numerical evidence.
    pub evidence: String,
}

/// The causes that are distinguished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CauseKind {
    /// The time step is too long for the integrator.
    TimeStep,
    /// The floating-point format of the run is too coarse.
    Precision,
    /// The energy or its slope is discontinuous, as at a cutoff that is not smooth.
    Discontinuity,
    /// The force is not the gradient of the energy.
    NotAGradient,
    /// Repeated evaluations at the same positions differ.
    Noise,
    /// A bond broke or the geometry became invalid: the simulated system is no longer the molecule.
    BrokenBond,
    /// The integrator is wrong.
    Engine,
}

impl CauseKind {
    /// Suggested fix.
    pub fn remedy(self) -> &'static str {
        match self {
            CauseKind::TimeStep => "a shorter time step",
            CauseKind::Precision => "run in f64",
            CauseKind::Discontinuity => {
                "an envelope whose value and slope vanish at the cutoff, and norms that are smooth at zero"
            }
            CauseKind::NotAGradient => "derive the force from the energy",
            CauseKind::Noise => "switch off dropout and other randomness in inference",
            CauseKind::BrokenBond => {
                "train on the stretched and distorted geometries that its own runs visit"
            }
            CauseKind::Engine => "this is a fault of the integrator: report it",
        }
    }
}

/// Why the attribution failed.
#[derive(Debug, thiserror::Error)]
pub enum AttributionError {
    /// The start does not have exactly one system.
    #[error("the start has {0} systems (expected 1)")]
    Systems(usize),
    /// A run failed.
    #[error(transparent)]
    Run(#[from] RunError),
    /// An integrator or the potential failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// A probe of the potential failed.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// A statistic is undefined.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

/// Parts below this fraction of all parts are not reported.
const SMALLEST_SHARE: f64 = 0.05;

/// Parts that change the energy by less than this fraction of the tolerance are not reported.
const IMMATERIAL: f64 = 0.1;

/// Upper bound of the engine part due to rounding in f64, meV/atom/ps.
const ENGINE_ROUNDING: f64 = 1e-5;

/// Diverging runs are repeated with this fraction of the time step: if the repeated run is stable, the time step was
/// too long.
const FINEST: f64 = 0.25;

/// Repeats a run and finds the causes of its energy drift.
///
/// The shares are based on [`Part::loss_mev_per_atom_per_ps`]: slow changes of the energy, without the fast oscillation
/// at every step.
///
/// # Errors
/// [`AttributionError`]. Divergence of the run is not an error.
pub fn diagnose(case: Case<'_>) -> Result<Attribution, AttributionError> {
    let Case {
        start,
        timestep_fs,
        steps,
        limits,
        tolerance_mev_per_atom_per_ps,
        make_integrator,
        potential,
        oracle,
        control,
    } = case;
    if start.batch().n_systems() != 1 {
        return Err(AttributionError::Systems(start.batch().n_systems()));
    }
    let mut setting = experiment::Setting { start, steps, timestep_fs, limits, make_integrator };
    let (balance, fate) = balance::take(&setting, potential, oracle)?;
    let mut experiments = Vec::new();
    for (name, divisor) in [("as run", 1), ("time step / 2", 2), ("time step / 4", 4)] {
        experiments.extend(setting.experiments(name, divisor, potential)?);
    }
    experiments.extend(setting.experiments("in f64", 1, oracle)?);
    if let Some(control) = control {
        // Bonds and temperatures of the control differ from those of the potential.
        setting.limits = Limits::default();
        experiments.extend(setting.experiments("with the control potential", 1, control)?);
    }
    let mut causes = causes(&balance, &experiments, IMMATERIAL * tolerance_mev_per_atom_per_ps);
    if let Fate::Diverged { step, reason } = &fate {
        let divergence = divergence(*step, reason, timestep_fs, &experiments);
        // The energy of a disintegrating molecule is not informative: no step is short enough, and small parts are
        // noise.
        causes.retain(|c| c.kind != CauseKind::TimeStep && c.share.is_none_or(|s| s > 0.5));
        causes.insert(0, divergence);
    }
    Ok(Attribution { causes, balance, experiments })
}

fn causes(balance: &Balance, experiments: &[Experiment], immaterial: f64) -> Vec<Cause> {
    let total: f64 = balance.parts.iter().map(|p| p.loss_mev_per_atom_per_ps).sum();
    let mut parts: Vec<&Part> = balance.parts.iter().collect();
    parts.sort_by(|a, b| b.loss_mev_per_atom_per_ps.total_cmp(&a.loss_mev_per_atom_per_ps));
    let mut causes: Vec<Cause> = Vec::new();
    for part in parts {
        let loss = part.loss_mev_per_atom_per_ps;
        let least = if part.kind == PartKind::Engine { ENGINE_ROUNDING } else { immaterial };
        // NaN is reported.
        if loss < least || loss < SMALLEST_SHARE * total {
            continue;
        }
        let kind = part.kind.cause(balance.repeatable);
        let share = Some(loss / total).filter(|s| s.is_finite());
        match causes.iter_mut().find(|c| c.kind == kind) {
            Some(known) => known.share = known.share.zip(share).map(|(a, b)| a + b),
            None => causes.push(Cause { kind, share, evidence: evidence(part, balance, experiments) }),
        }
    }
    causes
}

fn evidence(part: &Part, balance: &Balance, experiments: &[Experiment]) -> String {
    let rate = format!("{:.2} meV/atom/ps", part.loss_mev_per_atom_per_ps);
    let by_step = || {
        let runs = || experiments.iter().take(3);
        let drifts: Vec<String> =
            runs().map(|e| format!("{} at {} fs", e.in_words(), e.timestep_fs)).collect();
        let sizes: Option<Vec<f64>> = runs().map(|e| e.drift.map(|d| d.value.abs())).collect();
        let trend = match sizes.as_deref() {
            Some([first, .., last]) if *last > 0.5 * first => "does not fall with the step: ",
            Some([first, .., last]) if *last < 0.25 * first => "falls with the step: ",
            _ => "",
        };
        format!("{trend}{}", drifts.join(", "))
    };
    match part.kind {
        kind if kind.cause(balance.repeatable) == CauseKind::Noise => {
            "the same positions give another answer every time".to_owned()
        }
        PartKind::TimeStep => format!("{rate} of the integrator at {} fs", experiments[0].timestep_fs),
        PartKind::Precision => {
            let f64_run = experiments.get(3).map_or(String::new(), |e| format!("; in f64 {}", e.in_words()));
            format!("{rate} beyond f64{f64_run}")
        }
        PartKind::Discontinuity => {
            let largest = balance.jump_events.iter().map(|j| j.size_ev.abs()).fold(0.0, f64::max);
            format!(
                "{} jumps of energy or force that change the energy by up to {:.2e} eV, {rate}; {}",
                balance.jumps,
                largest,
                by_step()
            )
        }
        PartKind::Model => format!("{rate} along smooth paths; {}", by_step()),
        PartKind::Engine => {
            let control = experiments
                .iter()
                .find(|e| e.name.contains("control"))
                .map_or(String::new(), |e| format!("; {} {}", e.name, e.in_words()));
            format!("{rate} that velocity Verlet does not make of these forces{control}")
        }
    }
}

fn divergence(step: u64, reason: &Divergence, timestep_fs: f64, experiments: &[Experiment]) -> Cause {
    let ps = step as f64 * timestep_fs / md_core::units::FS_PER_PS;
    let finest = experiments.iter().find(|e| e.timestep_fs == FINEST * timestep_fs);
    let holds = finest.is_some_and(|e| e.diverged.is_none());
    let again = finest.map_or(String::new(), |e| match &e.diverged {
        None => format!("; at {} fs it does not", e.timestep_fs),
        Some(_) => format!("; at {} fs also", e.timestep_fs),
    });
    Cause {
        kind: if holds { CauseKind::TimeStep } else { CauseKind::BrokenBond },
        share: None,
        evidence: format!("after {ps:.3} ps {reason}{again}"),
    }
}

#[cfg(test)]
mod tests;
