//! Evidence of accuracy: labelled frames, reference dynamics.

use md_metrics::Estimate;
use md_results::{DecidableBy, DistanceId, Evaluation, Stage};

use super::{failure, file_name, missing};
use crate::{Finding, Subject, Uncertainty};

pub(crate) fn comparison(s: &Subject<'_>, id: DistanceId) -> Finding {
    let found =
        s.records.comparisons.iter().find_map(|c| Some((c, c.distances.iter().find(|d| d.id == id)?)));
    match found {
        Some((comparison, distance)) => Finding::Value {
            value: distance.value,
            // Two halves of one trajectory differ as much by chance.
            uncertainty: Some(Uncertainty {
                standard_error: distance.floor,
                interval: [(distance.value - distance.floor).max(0.0), distance.value + distance.floor],
                degrees_of_freedom: None,
                n: 1,
                decidable_by: DecidableBy::Duration,
            }),
            detail: format!(
                "{:.1} ps; halves of the reference differ by {}",
                comparison.duration_ps,
                md_results::number(distance.floor)
            ),
        },
        None => missing(s, Stage::Comparison, || {
            format!("no reference dynamics: give the molecule '{}' a `trajectory`", s.molecule)
        }),
    }
}

/// Whether the campaign gives reference trajectories of the molecule.
pub(crate) fn has_reference_dynamics(s: &Subject<'_>) -> bool {
    s.results.molecules.iter().any(|m| m.name == s.molecule && m.reference_trajectories > 0)
}

pub(crate) fn shift(s: &Subject<'_>) -> Finding {
    match s.records.shifts.first() {
        Some(shift) => Finding::Value {
            value: shift.median_ratio,
            uncertainty: None,
            detail: format!(
                "{} visited frames, {:.0} % farther than 95 % of the reference frames are from each other",
                shift.n_visited,
                100.0 * shift.fraction_beyond
            ),
        },
        None => missing(s, Stage::Shift, || {
            format!("no labelled frames: give the molecule '{}' a `reference`", s.molecule)
        }),
    }
}

/// Returns the evaluations on labelled frames; none if any set of frames failed, since it might be the worst.
pub(super) fn evaluations<'a>(s: &Subject<'a>) -> impl Iterator<Item = &'a Evaluation> + use<'a> {
    let Subject { records, .. } = *s;
    let complete = failure(s, Stage::Evaluation).is_none();
    records.evaluations.iter().copied().filter(move |_| complete)
}

/// Describes how many frames of a file were used and why others were left out.
fn counted(n: usize, evaluation: &Evaluation) -> String {
    let all = md_results::frames(evaluation.n_frames);
    let of = if n == evaluation.n_frames { all } else { format!("{n} of {all}") };
    format!("{of} of {}{}", file_name(&evaluation.frames), evaluation.left_out("; "))
}

/// What is said where there are no labelled frames, or none that are `wanted`.
pub(super) fn without_frames(s: &Subject<'_>, stage: Stage, wanted: &str) -> Finding {
    let none = s.records.evaluations.is_empty();
    missing(s, stage, || match none {
        true => format!(
            "no labelled frames: give the molecule '{}' a `reference` with energies and forces",
            s.molecule
        ),
        false => format!("no {wanted}: give the molecule '{}' a `reference` that has them", s.molecule),
    })
}

/// A number that a set of labelled frames gave.
struct Measured {
    value: f64,
    /// Absent for a single frame, and where the number is the largest of all, which has none.
    standard_error: Option<f64>,
    /// Number of frames.
    n: usize,
    /// Number of values that were fitted to them.
    fitted: usize,
    /// What is said of it besides the frames.
    detail: String,
}

/// Whether a number without a standard error counts.
#[derive(Clone, Copy, PartialEq)]
enum Error {
    Needed,
    None,
}

/// Returns the worst of several sets of frames: that with the largest magnitude, or one that is not finite. What has no
/// uncertainty decides nothing. `wanted` says what frames need for it.
fn worst(
    s: &Subject<'_>,
    wanted: &str,
    error: Error,
    measured: impl Fn(&Evaluation) -> Option<Measured>,
) -> Finding {
    let size = |m: &Measured| if m.value.is_nan() { f64::INFINITY } else { m.value.abs() };
    let all = evaluations(s).filter_map(|e| Some((e, measured(e)?)));
    let Some((evaluation, found)) = all.max_by(|a, b| size(&a.1).total_cmp(&size(&b.1))) else {
        return without_frames(s, Stage::Evaluation, wanted);
    };
    let Measured { value, standard_error, n, fitted, detail } = found;
    let frames = counted(n, evaluation);
    let uncertainty = match standard_error {
        Some(standard_error) if n > fitted => {
            let degrees_of_freedom = (n - fitted) as f64;
            let estimate = Estimate { value, standard_error, degrees_of_freedom };
            Some(Uncertainty::of_magnitude(estimate, n, DecidableBy::Frames))
        }
        _ if error == Error::Needed => {
            return Finding::Missing(match n {
                0 | 1 => format!("{frames}: too few for an uncertainty: give more"),
                _ => format!("{frames}: no uncertainty is recorded: measure again"),
            });
        }
        _ => None,
    };
    Finding::Value { value: value.abs(), uncertainty, detail: format!("{detail}{frames}") }
}

pub(super) const FORCES: &str = "labelled frames with forces";

pub(crate) fn force_rmse(s: &Subject<'_>) -> Finding {
    worst(s, FORCES, Error::Needed, |e| {
        let force = e.force.as_ref()?;
        Some(Measured {
            value: force.rmse_ev_per_angstrom,
            standard_error: force.rmse_standard_error_ev_per_angstrom,
            n: force.n_frames,
            fitted: 1,
            detail: String::new(),
        })
    })
}

pub(crate) fn force_slope_error(s: &Subject<'_>) -> Finding {
    worst(s, FORCES, Error::Needed, |e| {
        let force = e.force.as_ref()?;
        let slope = force.slope?;
        Some(Measured {
            value: slope - 1.0,
            standard_error: force.slope_standard_error,
            n: force.n_frames,
            fitted: 1,
            detail: format!("forces are {} times those of ", md_results::number(slope)),
        })
    })
}

/// Root mean square force below which frames are too near the minimum for a relative error, eV/Å: molecules have 0.4 at 100 K,
/// clusters of metals 0.1.
const AT_REST_EV_PER_ANGSTROM: f64 = 0.05;

pub(crate) fn force_relative_rmse(s: &Subject<'_>) -> Finding {
    let wanted = "labelled frames with forces of more than 0.05 eV/Å, root mean square";
    worst(s, wanted, Error::Needed, |e| {
        let force =
            e.force.as_ref().filter(|f| f.reference_rms_ev_per_angstrom >= AT_REST_EV_PER_ANGSTROM)?;
        Some(Measured {
            value: force.relative_rmse.unwrap_or(f64::NAN),
            standard_error: force.relative_rmse_standard_error,
            n: force.n_frames,
            fitted: 1,
            detail: format!("of {} eV/Å; ", md_results::number(force.reference_rms_ev_per_angstrom)),
        })
    })
}

pub(crate) fn force_error_max(s: &Subject<'_>) -> Finding {
    worst(s, FORCES, Error::None, |e| {
        let force = e.force.as_ref()?;
        Some(Measured {
            value: force.max_ev_per_angstrom,
            standard_error: None,
            n: force.n_frames,
            fitted: 1,
            detail: String::new(),
        })
    })
}

pub(super) const ENERGIES: &str = "two labelled frames with energies";

pub(crate) fn energy_rmse(s: &Subject<'_>) -> Finding {
    worst(s, ENERGIES, Error::Needed, |e| {
        let energy = e.energy.as_ref()?;
        Some(Measured {
            value: energy.rmse_mev_per_atom,
            standard_error: energy.rmse_standard_error_mev_per_atom,
            n: energy.n_frames,
            // The zero of energy of each composition.
            fitted: energy.shift_ev.len().max(1),
            detail: String::new(),
        })
    })
}

/// Spread of reference energies below which frames are too near the minimum to be told apart, meV/atom.
const NO_SPREAD_MEV_PER_ATOM: f64 = 1.0;

pub(crate) fn energy_rmse_of_spread(s: &Subject<'_>) -> Finding {
    let wanted = "labelled frames whose energies differ by more than 1 meV/atom, root mean square";
    worst(s, wanted, Error::Needed, |e| {
        let energy = e.energy.as_ref()?;
        let spread = energy.reference_spread_mev_per_atom.unwrap_or(f64::NAN);
        if spread < NO_SPREAD_MEV_PER_ATOM {
            return None;
        }
        Some(Measured {
            value: energy.rmse_mev_per_atom / spread,
            standard_error: energy.rmse_standard_error_mev_per_atom.map(|error| error / spread),
            n: energy.n_frames,
            // The zero of energy of each composition.
            fitted: energy.shift_ev.len().max(1),
            detail: format!("of {} meV/atom; ", md_results::number(spread)),
        })
    })
}

pub(crate) fn energy_rank_error(s: &Subject<'_>) -> Finding {
    worst(s, ENERGIES, Error::None, |e| {
        let energy = e.energy.as_ref()?;
        Some(Measured {
            value: 1.0 - energy.rank_correlation.unwrap_or(0.0),
            standard_error: None,
            n: energy.n_frames,
            // The zero of energy of each composition.
            fitted: energy.shift_ev.len().max(1),
            detail: String::new(),
        })
    })
}
