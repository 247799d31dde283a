//! What a model is judged by: one [`Criterion`] per row, from recorded evidence to one number.
//!
//! To add a criterion of your own, add a row to [`ALL`]. It is then a key of every `[criteria.USE]` table, appears
//! in the dashboard and in `results.json`, and takes part in the verdict.

use md_io::results::{Evaluation, Results, Run, RunFate, Stage};

/// Which side of the threshold is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The value must not exceed the threshold.
    AtMost,
    /// The value must reach the threshold.
    AtLeast,
}

impl Bound {
    /// `<=` or `>=`.
    pub fn sign(self) -> &'static str {
        match self {
            Bound::AtMost => "<=",
            Bound::AtLeast => ">=",
        }
    }

    /// Whether `value` is on the good side of `threshold`, or equal to it but for rounding; never for NaN.
    pub fn holds(self, value: f64, threshold: f64) -> bool {
        let rounding = 1e-12 * threshold.abs();
        match self {
            Bound::AtMost => value <= threshold + rounding,
            Bound::AtLeast => value >= threshold - rounding,
        }
    }
}

/// What the evidence says about one criterion, one model and one molecule.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// Measured. `detail` says where or on what.
    Value {
        /// In the unit of the criterion.
        value: f64,
        /// Its standard error, where known.
        standard_error: Option<f64>,
        /// Run or condition it was found in.
        detail: String,
    },
    /// How long several observations went well.
    Survived {
        /// The earliest failure, in the unit of the criterion, and what it was.
        first_failure: Option<(f64, String)>,
        /// The shortest observation that ended without failure: the true value is this or more.
        shortest_survivor: Option<f64>,
        /// Number of observations.
        n: usize,
    },
    /// Not measured, and why.
    Missing(String),
}

/// One criterion.
#[derive(Debug)]
pub struct Criterion {
    /// Key in the campaign file and `id` in the results. Ends in the unit.
    pub key: &'static str,
    /// Words for the dashboard.
    pub title: &'static str,
    /// Unit of value and threshold.
    pub unit: &'static str,
    /// Good side.
    pub bound: Bound,
    /// Threshold where the campaign file says nothing; with `None` the criterion is applied only where asked for.
    pub default: Option<f64>,
    /// Where its number comes from.
    pub evidence: Evidence,
}

/// Where the number of a criterion comes from.
#[derive(Debug, Clone, Copy)]
pub enum Evidence {
    /// The physics gate of this id.
    Gate(&'static str),
    /// This function of results, model and molecule.
    Function(fn(&Results, &str, &str) -> Finding),
}

impl Criterion {
    /// The number for one model on one molecule.
    pub fn measure(&self, results: &Results, model: &str, molecule: &str) -> Finding {
        match self.evidence {
            Evidence::Gate(id) => gate(results, model, molecule, id),
            Evidence::Function(measure) => measure(results, model, molecule),
        }
    }
}

/// A physics gate: its value must not exceed `default`.
const fn gate_row(
    id: &'static str,
    key: &'static str,
    title: &'static str,
    unit: &'static str,
    default: f64,
) -> Criterion {
    Criterion { key, title, unit, bound: Bound::AtMost, default: Some(default), evidence: Evidence::Gate(id) }
}

/// The criterion with this key.
pub fn find(key: &str) -> Option<&'static Criterion> {
    ALL.iter().find(|c| c.key == key)
}

/// Every criterion, in the order of the dashboard.
///
/// The defaults of the first group are the bars of the project's first campaign. Those of the physics gates are far
/// above f64 rounding (1e-12) and far below what matters at 100 K (k_B T = 9 meV): a model that has the symmetry
/// passes by many orders of magnitude, a model that lacks it fails.
pub static ALL: &[Criterion] = &[
    Criterion {
        key: "stable_ps",
        title: "NVE without divergence",
        unit: "ps",
        bound: Bound::AtLeast,
        default: Some(10.0),
        evidence: Evidence::Function(stable_ps),
    },
    Criterion {
        key: "energy_drift_percent",
        title: "energy drift",
        unit: "%",
        bound: Bound::AtMost,
        default: Some(1.0),
        evidence: Evidence::Function(|r, model, molecule| {
            worst_run(r, model, molecule, |run| Some((run.energy.as_ref()?.drift_percent?.abs(), None)))
        }),
    },
    Criterion {
        key: "energy_drift_meV_per_atom_per_ps",
        title: "least-squares energy drift",
        unit: "meV/atom/ps",
        bound: Bound::AtMost,
        default: None,
        evidence: Evidence::Function(|r, model, molecule| {
            worst_run(r, model, molecule, |run| {
                let energy = run.energy.as_ref()?;
                Some((energy.drift_mev_per_atom_per_ps?.abs(), energy.drift_standard_error))
            })
        }),
    },
    Criterion {
        key: "max_deviation_percent",
        title: "largest energy excursion",
        unit: "%",
        bound: Bound::AtMost,
        default: None,
        evidence: Evidence::Function(|r, model, molecule| {
            worst_run(r, model, molecule, |run| Some((run.energy.as_ref()?.max_deviation_percent?, None)))
        }),
    },
    Criterion {
        key: "max_bond_ratio",
        title: "longest bond / reference length",
        unit: "",
        bound: Bound::AtMost,
        default: Some(1.5),
        evidence: Evidence::Function(|r, model, molecule| {
            worst_run(r, model, molecule, |run| Some((run.stability.as_ref()?.max_bond_ratio?, None)))
        }),
    },
    Criterion {
        key: "force_rmse_ev_per_angstrom",
        title: "force RMSE",
        unit: "eV/Å",
        bound: Bound::AtMost,
        default: Some(0.2),
        evidence: Evidence::Function(|r, model, molecule| {
            let own = |e: &&Evaluation| e.model == model && e.molecule.as_deref() == Some(molecule);
            let labelled = r.evaluations.iter().filter(own).filter_map(|e| Some((e, e.force.as_ref()?)));
            // Of several sets of frames the one with the largest error decides.
            match labelled.max_by(|(_, a), (_, b)| a.rmse_ev_per_angstrom.total_cmp(&b.rmse_ev_per_angstrom))
            {
                Some((evaluation, force)) => Finding::Value {
                    value: force.rmse_ev_per_angstrom,
                    standard_error: force.rmse_standard_error_ev_per_angstrom,
                    detail: format!("{} frames of {}", force.n_frames, file_name(&evaluation.frames)),
                },
                None => missing(r, model, molecule, Stage::Evaluation, || {
                    format!("no labelled frames: give the molecule '{molecule}' a `reference` with forces")
                }),
            }
        }),
    },
    Criterion {
        key: "inference_ms_per_step",
        title: "time per NVE step",
        unit: "ms",
        bound: Bound::AtMost,
        default: Some(10.0),
        evidence: Evidence::Function(|r, model, molecule| speed(r, model, molecule, |s| s.ms_per_step)),
    },
    Criterion {
        key: "cold_100_steps_s",
        title: "100 steps from a cold start",
        unit: "s",
        bound: Bound::AtMost,
        default: Some(120.0),
        evidence: Evidence::Function(|r, model, molecule| speed(r, model, molecule, |s| s.cold_100_steps_s)),
    },
    gate_row("force_gradient", "force_gradient_ev_per_angstrom", "force = -gradient", "eV/Å", 1e-4),
    gate_row(
        "structure_gradient",
        "structure_gradient_ev_per_angstrom",
        "force = -gradient at the structure (kinks)",
        "eV/Å",
        1e-4,
    ),
    gate_row("rotation_energy", "rotation_energy_ev", "energy change on rotation", "eV", 1e-4),
    gate_row("rotation_force", "rotation_force_ev_per_angstrom", "force error on rotation", "eV/Å", 1e-3),
    gate_row("reflection_energy", "reflection_energy_ev", "energy change on reflection", "eV", 1e-4),
    gate_row("translation_energy", "translation_energy_ev", "energy change on translation", "eV", 1e-4),
    gate_row("permutation_energy", "permutation_energy_ev", "energy change on permutation", "eV", 1e-4),
    gate_row("net_force", "net_force_ev_per_angstrom", "net force", "eV/Å", 1e-3),
    gate_row("net_torque", "net_torque_ev", "net torque", "eV", 1e-3),
];

fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

/// Why there is no number: the failure on record for this stage or before it, or else the usual reason.
fn missing(r: &Results, model: &str, molecule: &str, stage: Stage, usual: impl Fn() -> String) -> Finding {
    let failure = r.failures.iter().find(|f| {
        f.model == model
            && f.molecule.as_deref().is_none_or(|m| m == molecule)
            && (f.stage == stage || f.stage == Stage::Load)
    });
    let left_out = || match r.campaign.only.as_slice() {
        [] => usual(),
        only => format!("{} (the campaign was restricted to {})", usual(), only.join(", ")),
    };
    Finding::Missing(failure.map_or_else(left_out, |f| f.reason.clone()))
}

fn runs<'a>(r: &'a Results, model: &'a str, molecule: &'a str) -> impl Iterator<Item = &'a Run> {
    r.runs.iter().filter(move |run| run.model == model && run.molecule == molecule)
}

fn stable_ps(r: &Results, model: &str, molecule: &str) -> Finding {
    if let Some(run) = runs(r, model, molecule).find(|run| run.fate == RunFate::Failed) {
        let why = run.fate_reason.as_deref().unwrap_or("no reason recorded");
        return Finding::Missing(format!("run {} could not be made: {why}", run.id));
    }
    let shortest = |fate_is: fn(RunFate) -> bool| {
        runs(r, model, molecule)
            .filter(|run| fate_is(run.fate))
            .min_by(|a, b| a.done_ps().total_cmp(&b.done_ps()))
    };
    let first_failure = shortest(|fate| fate == RunFate::Diverged).map(|run| {
        let why = run.fate_reason.as_deref().unwrap_or("no reason recorded");
        (run.done_ps(), format!("{} K, replica {}: {why}", run.temperature_k, run.replica))
    });
    let shortest_survivor = shortest(|fate| fate != RunFate::Diverged).map(Run::done_ps);
    match runs(r, model, molecule).count() {
        0 => missing(r, model, molecule, Stage::Relaxation, || "no runs".to_owned()),
        n => Finding::Survived { first_failure, shortest_survivor, n },
    }
}

/// The largest value over the runs; missing when any run lacks it, since the worst might be there.
fn worst_run(
    r: &Results,
    model: &str,
    molecule: &str,
    value: impl Fn(&Run) -> Option<(f64, Option<f64>)>,
) -> Finding {
    let mut worst: Option<(f64, Option<f64>, &Run)> = None;
    for run in runs(r, model, molecule) {
        let Some((v, standard_error)) = value(run) else {
            let why = run.fate_reason.as_deref().unwrap_or("it is not defined there");
            return Finding::Missing(format!("run {} has no such number: {why}", run.id));
        };
        if worst.is_none_or(|(w, _, _)| v > w || v.is_nan()) {
            worst = Some((v, standard_error, run));
        }
    }
    match worst {
        Some((value, standard_error, run)) => Finding::Value {
            value,
            standard_error,
            detail: format!("{} K, replica {}", run.temperature_k, run.replica),
        },
        None => missing(r, model, molecule, Stage::Relaxation, || "no runs".to_owned()),
    }
}

fn speed(r: &Results, model: &str, molecule: &str, value: fn(&md_io::results::Speed) -> f64) -> Finding {
    match r.speed.iter().find(|s| s.model == model && s.molecule == molecule && s.batch == 1) {
        Some(s) => Finding::Value { value: value(s), standard_error: None, detail: s.path.clone() },
        None => missing(r, model, molecule, Stage::Speed, || "speed was not measured".to_owned()),
    }
}

fn gate(r: &Results, model: &str, molecule: &str, id: &str) -> Finding {
    match r.gates.iter().find(|g| g.model == model && g.molecule == molecule && g.id == id) {
        Some(gate) => match gate.value {
            Some(value) => {
                Finding::Value { value, standard_error: gate.standard_error, detail: String::new() }
            }
            None => Finding::Value {
                value: f64::NAN,
                standard_error: None,
                detail: "the model's answer was not finite".to_owned(),
            },
        },
        None => missing(r, model, molecule, Stage::Gates, || "the gate was not measured".to_owned()),
    }
}
