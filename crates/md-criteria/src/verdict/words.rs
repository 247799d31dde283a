//! Describes findings in words. Equal findings have equal descriptions.

use md_core::units::{BOHR_ANGSTROM, HARTREE_EV, KCAL_PER_MOL_EV, KJ_PER_MOL_EV, MEV_PER_EV};
use md_results::{
    Cause, CauseKind, Check, Evaluation, Expectation, FailureMode, Model, PRODUCTION, Results, Status,
    Verdict, most_telling, number, with_unit, worst,
};

use crate::{Criterion, Scope, Theme};

/// Returns the reason for a verdict (or, without one, the result of a control) in one sentence.
pub(super) fn summary(
    model: &Model,
    verdict: Option<Verdict>,
    uses: &[String],
    checks: &[Check],
    not_looked_at: &[&str],
) -> String {
    let Some(verdict) = verdict else {
        return match worst(checks.iter()) {
            Status::Pass => "passes every check of the engine (this approves no model)".to_owned(),
            Status::Fail => {
                format!("THE ENGINE FAILS, no verdict can be trusted: {}", failures(checks))
            }
            _ => format!("not every check of the engine was made: {}", gaps(checks)),
        };
    };
    let assumed = match model.assumptions.as_slice() {
        [] => String::new(),
        all => format!("; assumed: {}", all.join("; ")),
    };
    let of_verdict = match verdict {
        Verdict::Approved => {
            let which = if checks.iter().any(|c| c.status == Status::NotApplicable) {
                " that is applicable"
            } else {
                ""
            };
            let not = not_looked_at.join(", ");
            format!(
                "every check of this campaign for production{which} passes; not looked at: {not}{assumed}"
            )
        }
        Verdict::Restricted => {
            format!("approved for {}; for production {}{assumed}", uses.join(", "), failures(checks))
        }
        Verdict::Rejected => {
            let open = open_uses(checks);
            let lack = if open.is_empty() {
                String::new()
            } else {
                format!("; not decided for {}", open.join(", "))
            };
            failures(checks) + &lack
        }
        Verdict::Incomplete => {
            let failed = failed_uses(checks);
            let fails =
                if failed.is_empty() { String::new() } else { format!("fails for {}; ", failed.join("; ")) };
            fails + &gaps(checks)
        }
    };
    match expected_use(model, uses, checks) {
        Some(open) => format!("{open}; for production {of_verdict}"),
        None => of_verdict,
    }
}

/// Says why a use other than production that the campaign expects does not pass, if so.
fn expected_use(model: &Model, uses: &[String], checks: &[Check]) -> Option<String> {
    let Some(Expectation::Use { name }) = &model.expected else { return None };
    if name == PRODUCTION || uses.contains(name) {
        return None;
    }
    let own: Vec<Check> = checks.iter().filter(|c| c.use_name == *name).cloned().collect();
    let why = if worst(own.iter()) == Status::Fail { failures(&own) } else { gaps(&own) };
    Some(format!("not for {name}, which is expected: {why}"))
}

/// Returns what users of a model do with it and this campaign did not.
pub(super) fn not_looked_at(results: &Results, model: &Model) -> Vec<&'static str> {
    let own = || results.runs.iter().filter(|run| run.model == model.name);
    let molecules = || results.molecules.iter().filter(|m| model.molecules.contains(&m.name));
    let looked = [
        (own().any(|run| !run.is_nve() && run.ramp_to_k.is_none()), "runs with a thermostat"),
        (own().any(|run| run.ramp_to_k.is_some()), "temperature ramps"),
        (molecules().all(|m| m.reference_trajectories > 0), "reference dynamics of every molecule"),
        (
            molecules().all(|m| !m.reference_frequencies_per_cm.is_empty()),
            "reference frequencies of every molecule",
        ),
        (false, "other molecules"),
        (false, "longer runs"),
    ];
    looked.iter().filter(|(looked, _)| !looked).map(|(_, what)| *what).collect()
}

/// Returns the uses of which no check fails.
fn open_uses(checks: &[Check]) -> Vec<&str> {
    let failed = uses_of(checks, Status::Fail);
    let mut open: Vec<&str> = Vec::new();
    for check in checks.iter().filter(|c| !failed.contains(&c.use_name.as_str())) {
        if !open.contains(&check.use_name.as_str()) {
            open.push(&check.use_name);
        }
    }
    open
}

/// Returns the uses that fail, each with its most telling failure.
fn failed_uses(checks: &[Check]) -> Vec<String> {
    let of_use =
        |name: &str| most_telling(checks.iter().filter(|c| c.use_name == name && c.status == Status::Fail));
    let words = |(name, check): (&str, &Check)| {
        let title = crate::find(&check.id).map_or(check.id.as_str(), |criterion| criterion.title);
        format!("{name}: {title} on {}", check.molecule)
    };
    uses_of(checks, Status::Fail)
        .into_iter()
        .filter_map(|name| Some((name, of_use(name)?)))
        .map(words)
        .collect()
}

/// Returns the uses with a check of this status, in their order.
fn uses_of(checks: &[Check], status: Status) -> Vec<&str> {
    let mut uses: Vec<&str> = Vec::new();
    for check in checks.iter().filter(|c| c.status == status) {
        if !uses.contains(&check.use_name.as_str()) {
            uses.push(&check.use_name);
        }
    }
    uses
}

/// Returns the use whose failures are reported: production, or the engine's.
fn first_use(checks: &[Check]) -> &str {
    checks.first().map_or(PRODUCTION, |c| c.use_name.as_str())
}

/// Returns the first failure of every theme in the first use; [`failure_modes`] lists the others.
fn failures(checks: &[Check]) -> String {
    let first_of = |(theme, ..): &(Theme, &str, &str, &str)| {
        crate::ALL.iter().find_map(|criterion| failure(*theme, criterion, checks))
    };
    THEMES.iter().filter_map(first_of).collect::<Vec<_>>().join("; ")
}

/// Key of the gate that compares the force with the gradient of the energy.
const FORCE_GRADIENT: &str = "force_gradient_ev_per_angstrom";

/// Returns the theme of a failed check: that of its criterion, with one exception. If the force was found to be the
/// gradient of the energy, then work around a loop and an asymmetric Hessian indicate jumps or kinks elsewhere.
fn theme_of(criterion: &Criterion, check: &Check, checks: &[Check]) -> Theme {
    if criterion.theme != Theme::Gradient {
        return criterion.theme;
    }
    let is_gradient = |c: &Check| {
        c.id == FORCE_GRADIENT
            && c.status == Status::Pass
            && c.molecule == check.molecule
            && c.use_name == check.use_name
    };
    match criterion.theme {
        Theme::Gradient if checks.iter().any(is_gradient) => Theme::Smoothness,
        theme => theme,
    }
}

/// Describes how a criterion fails on the molecules where its theme is `theme`, if it does.
fn failure(theme: Theme, criterion: &Criterion, checks: &[Check]) -> Option<String> {
    let of_use = first_use(checks);
    let failed = checks.iter().filter(|c| {
        c.status == Status::Fail
            && c.use_name == of_use
            && c.id == criterion.key
            && theme_of(criterion, c, checks) == theme
    });
    let check = most_telling(failed)?;
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

/// Returns the defects of a model by theme: the failures of its first use, the attributed causes and the suggested
/// fixes.
pub(super) fn failure_modes(results: &Results, model: &Model, checks: &[Check]) -> Vec<FailureMode> {
    let mut modes = Vec::new();
    for (theme, id, title, remedy) in THEMES {
        let mut findings: Vec<String> =
            crate::ALL.iter().filter_map(|criterion| failure(theme, criterion, checks)).collect();
        if findings.is_empty() {
            continue;
        }
        let mut remedies = vec![remedy.to_owned()];
        if matches!(theme, Theme::Conservation | Theme::Stability) {
            for attribution in results.attributions.iter().filter(|a| a.model == model.name) {
                let of_theme = |c: &&Cause| (c.kind == CauseKind::BrokenBond) == (theme == Theme::Stability);
                for cause in attribution.causes.iter().filter(of_theme) {
                    let share = cause.share.map_or(String::new(), |s| format!(" ({:.0} % of it)", 100.0 * s));
                    findings.push(format!(
                        "on {} at {} K because of {}{share}: {}",
                        attribution.molecule,
                        attribution.temperature_k,
                        cause.kind.words(),
                        cause.evidence
                    ));
                    if !remedies.contains(&cause.remedy) {
                        remedies.push(cause.remedy.clone());
                    }
                }
            }
        }
        if theme == Theme::Accuracy {
            findings
                .extend(results.evaluations.iter().filter(|e| e.model == model.name).find_map(common_factor));
            findings.extend(coarse_weights(model));
        }
        modes.push(FailureMode {
            id: id.to_owned(),
            finding: format!("{title}: {}", findings.join("; ")),
            remedy: remedies.join("; "),
        });
    }
    modes
}

/// Other units of force, in eV/Å.
const UNITS: [(&str, f64); 6] = [
    ("kcal/mol/Å", KCAL_PER_MOL_EV),
    ("kJ/mol/Å", KJ_PER_MOL_EV),
    ("Hartree/bohr", HARTREE_EV / BOHR_ANGSTROM),
    ("Hartree/Å", HARTREE_EV),
    ("eV/bohr", 1.0 / BOHR_ANGSTROM),
    ("meV/Å", 1.0 / MEV_PER_EV),
];

/// Returns the unit of labels of which a model's forces in eV/Å are `slope` times, if it is one of force, to within 2 %.
pub fn unit_of_labels(slope: f64) -> Option<&'static str> {
    UNITS.iter().find(|(_, size)| (slope / size - 1.0).abs() < 0.02).map(|(unit, _)| *unit)
}

/// Describes forces that are those of the labels but for a constant factor, to within a third of their error. A unit is
/// named only if the factor matches it within 2 %.
pub fn common_factor(evaluation: &Evaluation) -> Option<String> {
    let force = evaluation.force.as_ref()?;
    let (slope, scaled) = (force.slope?, force.rmse_scaled_ev_per_angstrom?);
    if scaled >= force.rmse_ev_per_angstrom / 3.0 {
        return None;
    }
    let labels = unit_of_labels(slope).map(|unit| format!("its labels look like {unit}"));
    let unit = labels
        .or_else(|| unit_of_labels(1.0 / slope).map(|unit| format!("the model's forces look like {unit}")));
    Some(format!(
        "forces are {} times those of {}, and agree to {} eV/Å when scaled: {}",
        number(slope),
        evaluation.frames,
        number(scaled),
        unit.unwrap_or_else(|| "one factor is wrong for all of them".to_owned())
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

/// Themes with identifier, description of the defect and suggested fix.
const THEMES: [(Theme, &str, &str, &str); 15] = [
    (
        Theme::Symmetry,
        "symmetry",
        "the energy depends on how the molecule is placed or numbered",
        "an architecture whose features are invariant or equivariant; random rotations in training make it less, never nothing",
    ),
    (
        Theme::Repeatability,
        "repeatability",
        "the same positions do not give the same answer",
        "evaluate the model without anything random or remembered: dropout off, statistics of training frozen, sums in a fixed order",
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
    (
        Theme::Precision,
        "precision",
        "the floating-point format is too coarse",
        "run in f64 (precision = \"f64\")",
    ),
    (
        Theme::Implementation,
        "implementation",
        "the implementation that ran is not the reference implementation",
        "run in f64 (precision = \"f64\"), and report it: this is a fault of this program, not of the model",
    ),
    (Theme::Speed, "speed", "it is too slow", "a smaller model, or another machine"),
];

/// Number of criteria with one reason above which not all are named; none of them if it is the reason of all.
const MOST_TITLES: usize = 5;

/// Lists the reasons for missing data, each once, with the criteria that depend on them.
fn gaps(checks: &[Check]) -> String {
    if checks.is_empty() {
        return "nothing was checked".to_owned();
    }
    let mut gaps: Vec<(String, Vec<&str>)> = Vec::new();
    for criterion in crate::ALL {
        let open = checks
            .iter()
            .filter(|c| matches!(c.status, Status::Skipped | Status::Undecided) && c.id == criterion.key);
        let Some(check) = most_telling(open.clone()) else { continue };
        let mut molecules: Vec<&str> = open.map(|c| c.molecule.as_str()).collect();
        molecules.sort_unstable();
        molecules.dedup();
        let mut reason = match &check.to_decide {
            Some(to_decide) => format!("undecided on {}, {to_decide}", check.molecule),
            None if criterion.theme == Theme::Amount && check.value.is_some() => format!(
                "{} on {} (limit: {} {})",
                check.reason,
                check.molecule,
                criterion.bound.words(),
                with_unit(check.threshold, &check.unit)
            ),
            None => check.reason.clone(),
        };
        if let more @ 1.. = molecules.len() - 1 {
            reason += &format!(", and on {more} more molecule{}", if more == 1 { "" } else { "s" });
        }
        match gaps.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, titles)) => titles.push(criterion.title),
            None => gaps.push((reason, vec![criterion.title])),
        }
    }
    match gaps.as_slice() {
        [] => "no check is applicable".to_owned(),
        [(reason, titles)] if titles.len() > MOST_TITLES => reason.clone(),
        all => {
            let one = |(reason, titles): &(String, Vec<&str>)| match titles.len() {
                n if n > MOST_TITLES => {
                    let first = titles[..MOST_TITLES - 1].join(", ");
                    format!("{first} and {} more: {reason}", n + 1 - MOST_TITLES)
                }
                _ => format!("{}: {reason}", titles.join(", ")),
            };
            all.iter().map(one).collect::<Vec<_>>().join("; ")
        }
    }
}
