//! The causes of failures, in an order in which a later one is not named for what an earlier one explains.

use std::collections::BTreeSet;

use md_metrics::FORCE_UNITS;
use md_results::{
    Cause, CauseKind, Check, ELEMENT_PAIRS, Evaluation, FailureMode, Model, PRODUCTION, Results, Status,
    most_telling, number, with_unit,
};

use crate::{Criterion, Scope, Theme};

/// Themes with identifier, description of the defect and suggested fix, in the order in which they explain each other.
const THEMES: [(Theme, &str, &str, &str); 16] = [
    (
        Theme::Implementation,
        "implementation",
        "the implementation that ran is not the reference implementation",
        "run in f64 (precision = \"f64\"), and report it: this is a fault of this program, not of the model",
    ),
    (
        Theme::Units,
        "units",
        "forces are in another unit or of the other sign",
        "give labels and model one unit, eV/Å, and the force the sign of the downhill direction",
    ),
    (
        Theme::Repeatability,
        "repeatability",
        "the same positions do not give the same answer",
        "evaluate the model without anything random or remembered: dropout off, statistics of training frozen, sums in a fixed order",
    ),
    (
        Theme::Precision,
        "precision",
        "the floating-point format is too coarse",
        "run in f64 (precision = \"f64\")",
    ),
    (
        Theme::Symmetry,
        "symmetry",
        "the energy depends on how the molecule is placed or numbered",
        "an architecture whose features are invariant or equivariant; random rotations in training make it less, never nothing",
    ),
    (
        Theme::Gradient,
        "gradient",
        "the force is not the gradient of the energy",
        "derive the force from the energy by automatic differentiation instead of predicting it",
    ),
    (
        Theme::Smoothness,
        "smoothness",
        "the energy jumps or has kinks",
        "an envelope whose value and slope vanish at the cutoff, and norms that are smooth at zero (sqrt(|v|² + ε))",
    ),
    (
        Theme::Locality,
        "locality",
        "far molecules feel each other",
        "sum energies of atoms, each from its own neighbourhood",
    ),
    (
        Theme::ShortRange,
        "short range",
        "atoms that come close are not repelled",
        "add a screened nuclear repulsion (ZBL), or train on compressed geometries",
    ),
    (
        Theme::Well,
        "wells",
        "molecules can fall into a well that their runs were too short to meet",
        "train on bonds that are stretched and squeezed, and on contacts, up to 1 eV above the minimum",
    ),
    (
        Theme::Minimum,
        "minimum",
        "it relaxes to a different geometry",
        "train on relaxed and slightly displaced geometries",
    ),
    (
        Theme::Stability,
        "stability",
        "molecules break",
        "train on the stretched and distorted geometries that its own runs visit",
    ),
    (
        Theme::Conservation,
        "conservation",
        "energy or momentum is not conserved",
        "fix what is said of symmetry, gradient and smoothness",
    ),
    (
        Theme::Sampling,
        "sampling",
        "velocities are not those of the temperature",
        "a shorter time step; longer runs if the number is near its bound",
    ),
    (
        Theme::Accuracy,
        "accuracy",
        "forces or energies differ from the reference",
        "more and more varied training data where the error is; a larger model if it is everywhere",
    ),
    (Theme::Speed, "speed", "it is too slow", "a smaller model, or another machine"),
];

impl Theme {
    /// Whether what is wrong by this theme makes checks of `other` fail, so that they say nothing of their own.
    fn explains(self, other: Theme) -> bool {
        use Theme::*;
        match self {
            Implementation => matches!(other, Stability | Conservation | Accuracy),
            // Nothing that is computed from such numbers means anything.
            Units | Repeatability => !matches!(other, Speed | Amount | Implementation | Units),
            Precision => matches!(other, Conservation),
            Symmetry => matches!(other, Conservation),
            Gradient => {
                matches!(other, Smoothness | Locality | Minimum | Stability | Conservation | Accuracy)
            }
            Smoothness => matches!(other, Conservation),
            ShortRange => matches!(other, Well),
            Locality | Well | Minimum | Stability | Conservation | Sampling | Accuracy | Speed | Amount => {
                false
            }
        }
    }
}

/// What failed, and what it is due to.
struct Diagnosis<'a> {
    results: &'a Results,
    model: &'a Model,
    checks: &'a [Check],
}

/// A cause with all that it explains.
struct Named {
    theme: Theme,
    id: &'static str,
    title: &'static str,
    remedy: &'static str,
    findings: Vec<String>,
    /// Molecules on which it fails; pairs of elements count for all.
    places: BTreeSet<String>,
    /// Titles of criteria of later themes that fail because of it.
    explained: Vec<&'static str>,
}

impl Named {
    /// Whether it fails wherever something else does.
    fn covers(&self, places: &BTreeSet<String>) -> bool {
        let covers = |place: &String| place == ELEMENT_PAIRS || self.places.contains(place);
        self.places.contains(ELEMENT_PAIRS) || places.iter().all(covers)
    }
}

impl Diagnosis<'_> {
    fn causes(&self) -> Vec<Named> {
        let of_use = self.checks.first().map_or(PRODUCTION, |c| c.use_name.as_str());
        let mut failed: Vec<Failed<'_>> = Vec::new();
        for check in self.checks.iter().filter(|c| c.status == Status::Fail && c.use_name == of_use) {
            if let Some(criterion) = crate::find(&check.id) {
                failed.push(Failed { check, theme: self.theme_of(criterion, check) });
            }
        }
        let mut causes: Vec<Named> = Vec::new();
        for (theme, id, title, remedy) in THEMES {
            let of_theme = || failed.iter().filter(|f| f.theme == theme).map(|f| f.check);
            if of_theme().next().is_none() {
                continue;
            }
            let described = |c: &Criterion| Some((c.title, failure(c, of_theme())?));
            let (titles, findings): (Vec<_>, Vec<_>) = crate::ALL.iter().filter_map(described).unzip();
            let loses_energy = of_theme().any(|check| check.id.starts_with("energy_drift"));
            let by_timestep = theme == Theme::Conservation && loses_energy && self.is_due_to_timestep();
            let places: BTreeSet<String> = of_theme().map(|check| check.molecule.clone()).collect();
            let explains = |earlier: &&mut Named| {
                earlier.theme.explains(theme)
                    && earlier.covers(&places)
                    && !(by_timestep
                        && matches!(earlier.theme, Theme::Symmetry | Theme::Gradient | Theme::Smoothness))
            };
            match causes.iter_mut().find(explains) {
                Some(earlier) => earlier.explained.extend(titles),
                None => {
                    causes.push(Named { theme, id, title, remedy, findings, places, explained: Vec::new() })
                }
            }
        }
        causes
    }

    /// Whether the energy that runs lose is lost by the length of their step, more than by anything else.
    fn is_due_to_timestep(&self) -> bool {
        let own = self.results.attributions.iter().filter(|a| a.model == self.model.name);
        own.filter_map(|a| a.causes.first()).any(|cause| cause.kind == CauseKind::TimeStep)
    }

    /// Returns the theme of a failed check: that of its criterion, but for what others show to be something else.
    fn theme_of(&self, criterion: &Criterion, check: &Check) -> Theme {
        let of = |key: &str, status: Status| {
            self.checks.iter().any(|c| {
                c.id == key
                    && c.status == status
                    && c.molecule == check.molecule
                    && c.use_name == check.use_name
            })
        };
        match criterion.theme {
            // If the force is the gradient, then work around a loop and an asymmetric Hessian indicate jumps or kinks elsewhere.
            Theme::Gradient if of(FORCE_GRADIENT, Status::Pass) => Theme::Smoothness,
            // If the energy is symmetric, then the gradient is, and a force that is not is no gradient.
            Theme::Symmetry
                if of(FORCE_GRADIENT, Status::Fail)
                    && FORCES_OF_SYMMETRY.contains(&criterion.key)
                    && ENERGIES_OF_SYMMETRY.iter().all(|key| !of(key, Status::Fail)) =>
            {
                Theme::Gradient
            }
            Theme::Accuracy if self.has_wrong_unit(&check.molecule) => {
                // A force that is another number of times the gradient than 1 is no matter of units.
                if of(FORCE_GRADIENT, Status::Fail) { Theme::Gradient } else { Theme::Units }
            }
            theme => theme,
        }
    }

    fn evaluations(&self) -> impl Iterator<Item = &Evaluation> {
        self.results.evaluations.iter().filter(|e| e.model == self.model.name)
    }

    fn has_wrong_unit(&self, molecule: &str) -> bool {
        self.evaluations()
            .filter(|e| e.molecule.as_deref() == Some(molecule))
            .any(|e| wrong_unit(e).is_some())
    }
}

/// A failed check of the first use: production, or the engine's.
struct Failed<'a> {
    check: &'a Check,
    theme: Theme,
}

/// Describes how a criterion fails by its most telling check, if it does.
fn failure<'a>(criterion: &Criterion, failed: impl Iterator<Item = &'a Check>) -> Option<String> {
    let check = most_telling(failed.filter(|c| c.id == criterion.key))?;
    let place = match (criterion.scope, check.reason.as_str()) {
        (Scope::ElementPairs, reason) => format!("of {reason}"),
        (Scope::Checks, reason) => format!("({reason})"),
        (Scope::Molecule, "") => format!("on {}", check.molecule),
        (Scope::Molecule, reason) => format!("on {} ({reason})", check.molecule),
    };
    Some(match check.value {
        Some(value) => format!(
            "{} = {} {place} (limit: {} {})",
            criterion.title,
            with_unit(value, &check.unit),
            criterion.bound.words(),
            number(check.threshold)
        ),
        None => format!("{} is not finite {place}", criterion.title),
    })
}

/// Returns the first failure of every cause in the first use; [`failure_modes`] lists the others.
pub(super) fn failures(results: &Results, model: &Model, checks: &[Check]) -> String {
    let causes = Diagnosis { results, model, checks }.causes();
    causes.iter().filter_map(|cause| cause.findings.first().cloned()).collect::<Vec<_>>().join("; ")
}

/// Keys of gates that a diagnosis rests on.
const FORCE_GRADIENT: &str = "force_gradient_ev_per_angstrom";
const FORCES_OF_SYMMETRY: [&str; 3] =
    ["rotation_force_ev_per_angstrom", "net_force_ev_per_angstrom", "net_torque_ev"];
const ENERGIES_OF_SYMMETRY: [&str; 4] =
    ["rotation_energy_ev", "reflection_energy_ev", "translation_energy_ev", "permutation_energy_ev"];

/// Returns the defects of a model by cause: the failures of its first use, the attributed causes and the suggested
/// fixes.
pub(super) fn failure_modes(results: &Results, model: &Model, checks: &[Check]) -> Vec<FailureMode> {
    let diagnosis = Diagnosis { results, model, checks };
    let mut modes = Vec::new();
    for cause in diagnosis.causes() {
        let mut findings = cause.findings;
        let mut remedies = vec![cause.remedy.to_owned()];
        for (theme, is_of_breaks) in [(Theme::Stability, true), (Theme::Conservation, false)] {
            if cause.theme != theme && !cause.theme.explains(theme) {
                continue;
            }
            for attribution in results.attributions.iter().filter(|a| a.model == model.name) {
                let of_theme = |c: &&Cause| (c.kind == CauseKind::BrokenBond) == is_of_breaks;
                for found in attribution.causes.iter().filter(of_theme) {
                    let share = found.share.map_or(String::new(), |s| format!(" ({:.0} % of it)", 100.0 * s));
                    findings.push(format!(
                        "on {} at {} K because of {}{share}: {}",
                        attribution.molecule,
                        attribution.temperature_k,
                        found.kind.words(),
                        found.evidence
                    ));
                    if cause.theme == theme && !remedies.contains(&found.remedy) {
                        remedies.push(found.remedy.clone());
                    }
                }
            }
        }
        if matches!(cause.theme, Theme::Accuracy | Theme::Units) {
            findings.extend(diagnosis.evaluations().find_map(common_factor));
        }
        if cause.theme == Theme::Accuracy {
            findings.extend(coarse_weights(model));
        }
        if !cause.explained.is_empty() {
            findings.push(format!("this explains what else fails: {}", cause.explained.join(", ")));
        }
        modes.push(FailureMode {
            id: cause.id.to_owned(),
            finding: format!("{}: {}", cause.title, findings.join("; ")),
            remedy: remedies.join("; "),
        });
    }
    modes
}

/// Largest relative difference of a factor from that of a unit.
const SAME_FACTOR: f64 = 0.02;

/// Returns the unit of labels of which a model's forces in eV/Å are `slope` times, if it is one of force, to within 2 %.
pub fn unit_of_labels(slope: f64) -> Option<&'static str> {
    FORCE_UNITS.iter().find(|(_, size)| (slope / size - 1.0).abs() < SAME_FACTOR).map(|(unit, _)| *unit)
}

/// Describes forces that are those of the labels but for a constant factor, to within a third of their error. A unit is
/// named only if the factor matches it within 2 %.
pub fn common_factor(evaluation: &Evaluation) -> Option<String> {
    let force = evaluation.force.as_ref()?;
    let (slope, scaled) = (force.slope?, force.rmse_scaled_ev_per_angstrom?);
    if !is_scaled(evaluation) {
        return None;
    }
    Some(format!(
        "forces are {} times those of {}, and agree to {} eV/Å when scaled: {}",
        number(slope),
        evaluation.frames,
        number(scaled),
        wrong_unit(evaluation).unwrap_or_else(|| "one factor is wrong for all of them".to_owned())
    ))
}

/// Detects weights that were rounded to fewer bits than f32 has.
fn coarse_weights(model: &Model) -> Option<String> {
    let bits = model.weight_bits.filter(|bits| *bits < 20)?;
    let format = match bits {
        ..=8 => " (bf16)",
        9..=11 => " (f16)",
        _ => "",
    };
    Some(format!("all weights have {bits} significant bits only{format}"))
}

/// Whether forces are those of the labels but for a constant factor, to within a third of their error.
fn is_scaled(evaluation: &Evaluation) -> bool {
    evaluation.force.as_ref().is_some_and(|force| {
        force.rmse_scaled_ev_per_angstrom.is_some_and(|scaled| scaled < force.rmse_ev_per_angstrom / 3.0)
    })
}

/// Says which unit or sign forces have instead of that of the labels, if the factor between them is one of these.
fn wrong_unit(evaluation: &Evaluation) -> Option<String> {
    let slope = evaluation.force.as_ref()?.slope.filter(|_| is_scaled(evaluation))?;
    if (slope + 1.0).abs() < SAME_FACTOR {
        return Some("the sign of one of them is reversed".to_owned());
    }
    let labels = unit_of_labels(slope).map(|unit| format!("its labels look like {unit}"));
    labels.or_else(|| unit_of_labels(1.0 / slope).map(|unit| format!("the model's forces look like {unit}")))
}
