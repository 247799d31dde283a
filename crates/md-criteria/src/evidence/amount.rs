//! Amounts of evidence.

use std::collections::BTreeMap;

use md_results::{Check, Evaluation, Run, RunFate, Stage, Status, UncoveredAtom, number};

use super::{accuracy, missing, no_runs};
use crate::statistics::{self, is_at_its_temperature};
use crate::{Finding, Subject};

/// Returns the NVE runs by temperature: the longest at each, without those that the program failed to run.
fn by_temperature<'a>(s: &Subject<'a>) -> Vec<Vec<&'a Run>> {
    let made: Vec<&Run> = s.nve_runs().filter(|run| run.fate != RunFate::Failed).collect();
    statistics::longest_conditions(&made)
}

/// Smallest ratio of distinct temperatures: closer ones are hidden by the fluctuations in molecules of a few atoms.
const APART: f64 = 1.1;

/// Lowest temperature that counts, K: colder molecules are nearly at rest.
pub(super) const COLDEST_K: f64 = 50.0;

/// Describes runs at one temperature: their number, or why none of them counts.
struct AtTemperature<'a> {
    named_k: f64,
    /// Those at that temperature.
    runs: Vec<&'a Run>,
    /// Those that are not.
    off: Vec<&'a Run>,
}

fn at_temperatures<'a>(s: &Subject<'a>) -> Vec<AtTemperature<'a>> {
    let split = |group: Vec<&'a Run>| {
        let (runs, off): (Vec<&Run>, Vec<&Run>) = group.iter().partition(|run| is_at_its_temperature(run));
        AtTemperature { named_k: group[0].temperature_k, runs, off }
    };
    by_temperature(s).into_iter().map(split).collect()
}

impl AtTemperature<'_> {
    /// Names the runs that are not at that temperature, and what would bring them there; `None` if all are.
    fn off(&self) -> Option<String> {
        let mut means: Vec<f64> =
            self.off.iter().filter_map(|run| Some(run.temperature.as_ref()?.mean_k)).collect();
        let (off, all) = (means.len(), self.off.len() + self.runs.len());
        let kelvins = if off > NAMED {
            means.sort_by(f64::total_cmp);
            format!("{:.0} to {:.0} K", means[0], means[off - 1])
        } else {
            means.iter().map(|mean| format!("{mean:.0} K")).collect::<Vec<_>>().join(" and ")
        };
        let as_given = self.off.iter().any(|run| !run.relaxed && run.equilibrated_ps.is_none());
        let advice = if as_given { " (give relax = true or equilibrate_ps)" } else { "" };
        (off > 0).then(|| {
            format!(
                "{off} of {all} runs at {} K do not count, with a mean temperature of {}{advice}",
                self.named_k, kelvins
            )
        })
    }
}

/// Appends what is said of runs that are not at their temperature.
fn with_off(detail: String, groups: &[AtTemperature<'_>]) -> String {
    let off = groups.iter().filter_map(AtTemperature::off);
    std::iter::once(detail).chain(off).collect::<Vec<_>>().join("; ")
}

pub(crate) fn temperatures(s: &Subject<'_>) -> Finding {
    let groups = at_temperatures(s);
    if groups.is_empty() {
        return no_runs(s);
    }
    let mut kelvins: Vec<f64> = groups.iter().filter(|g| !g.runs.is_empty()).map(|g| g.named_k).collect();
    kelvins.sort_by(f64::total_cmp);
    let named: Vec<String> = kelvins.iter().map(f64::to_string).collect();
    let mut apart: Vec<f64> = Vec::new();
    for kelvin in kelvins.into_iter().filter(|k| *k >= COLDEST_K) {
        if apart.last().is_none_or(|last| kelvin >= APART * last) {
            apart.push(kelvin);
        }
    }
    let mut detail =
        if named.is_empty() { "no run counts".to_owned() } else { format!("runs at {} K", named.join(", ")) };
    if apart.len() < named.len() {
        detail += &format!(
            " (those less than {:.0} % apart count once, those below {COLDEST_K} K not)",
            100.0 * (APART - 1.0)
        );
    }
    Finding::Amount { value: apart.len() as f64, detail: with_off(detail, &groups) }
}

pub(crate) fn hottest_temperature(s: &Subject<'_>) -> Finding {
    let groups = at_temperatures(s);
    if groups.is_empty() {
        return no_runs(s);
    }
    let kelvins = groups.iter().filter(|g| !g.runs.is_empty()).map(|g| g.named_k);
    let (value, detail) = match kelvins.max_by(f64::total_cmp) {
        Some(value) => (value, format!("the hottest runs are at {value} K")),
        None => (0.0, "no run is at its temperature".to_owned()),
    };
    Finding::Amount { value, detail }
}

pub(crate) fn replicas(s: &Subject<'_>) -> Finding {
    match at_temperatures(s).into_iter().min_by_key(|group| group.runs.len()) {
        Some(fewest) => {
            let (n, kelvins) = (fewest.runs.len(), fewest.named_k);
            let plural = if n == 1 { "run" } else { "runs" };
            let detail = with_off(format!("{n} {plural} at {kelvins} K"), &[fewest]);
            Finding::Amount { value: n as f64, detail }
        }
        None => no_runs(s),
    }
}

/// Returns the time of all runs at constant energy that are at their temperature.
pub(crate) fn simulated_ps(s: &Subject<'_>) -> Finding {
    let runs: Vec<&Run> = s.nve_runs().filter(|run| is_at_its_temperature(run)).collect();
    match s.nve_runs().count() {
        0 => no_runs(s),
        all => {
            let ps = runs.iter().map(|run| run.done_ps()).sum();
            let of = if runs.len() == all { String::new() } else { format!(" of {all}") };
            Finding::Amount { value: ps, detail: format!("{} ps in {}{of} runs", number(ps), runs.len()) }
        }
    }
}

/// Returns the number of labelled frames that count; `of` returns their number in a file, and of those that a file before it has.
fn frames_of_all_files(
    s: &Subject<'_>,
    (label, wanted): (&str, &str),
    of: impl Fn(&Evaluation) -> Option<(usize, usize)>,
) -> Finding {
    let (all, known) = accuracy::evaluations(s)
        .filter_map(of)
        .fold((0, 0), |sum: (usize, usize), file| (sum.0 + file.0, sum.1 + file.1));
    if all == 0 {
        return accuracy::without_frames(s, Stage::Evaluation, wanted);
    }
    let n = all.saturating_sub(known);
    let twice = if known == 0 { String::new() } else { format!(", {known} of them in several files") };
    Finding::Amount { value: n as f64, detail: format!("{} with {label}{twice}", md_results::frames(n)) }
}

pub(crate) fn labelled_frames(s: &Subject<'_>) -> Finding {
    frames_of_all_files(s, ("forces", accuracy::FORCES), |e| {
        e.force.as_ref().map(|force| (force.n_frames, force.n_in_earlier_files))
    })
}

pub(crate) fn labelled_energies(s: &Subject<'_>) -> Finding {
    frames_of_all_files(s, ("energies", accuracy::ENERGIES), |e| {
        e.energy.as_ref().map(|energy| (energy.n_frames, energy.n_in_earlier_files))
    })
}

/// Criteria of the drift of the total energy.
const DRIFTS: [&str; 2] = ["energy_drift_meV_per_atom_per_ps", "energy_drift_of_kinetic_percent"];

/// Number of atoms or runs that are named.
const NAMED: usize = 3;

/// Returns the number of atoms that known frames do not cover. What the training frames lack is said, too.
pub(crate) fn uncovered_atoms(s: &Subject<'_>) -> Finding {
    let Some(coverage) = s.records.coverages.first() else {
        return accuracy::without_frames(s, Stage::Coverage, "measure of what known frames cover");
    };
    let named = |atoms: &[UncoveredAtom]| {
        let one = |a: &UncoveredAtom| match a.frames {
            0 => format!("atom {}: {}", a.atom, a.what),
            n => format!("atom {}: {} ({n} of {} visited frames)", a.atom, a.what, coverage.n_visited),
        };
        let mut text = atoms.iter().take(NAMED).map(one).collect::<Vec<_>>().join("; ");
        if let more @ 1.. = atoms.len().saturating_sub(NAMED) {
            text += &format!("; and {more} more");
        }
        text
    };
    let known = match coverage.n_training {
        Some(n) => format!("{n} training and {} reference frames", coverage.n_reference),
        None => format!("{} reference frames, training data not known", coverage.n_reference),
    };
    let detail = match (coverage.uncovered.as_slice(), coverage.untrained.as_slice()) {
        ([], []) => known,
        ([], untrained) => format!("{known}; not in training: {}", named(untrained)),
        (uncovered, _) => format!("{}; in none of {known}", named(uncovered)),
    };
    Finding::Amount { value: coverage.uncovered.len() as f64, detail }
}

/// Returns the ratio of the time step to the largest safe one. Runs above the safe step are no evidence about safe
/// steps; the campaign chooses the step, not the model.
pub(crate) fn timestep_over_safe(s: &Subject<'_>) -> Finding {
    // Each integrator has its own safe step; the largest ratio decides.
    let mut integrators: Vec<Option<&str>> = at_any_step(s).map(|run| run.integrator.as_deref()).collect();
    integrators.sort_unstable();
    integrators.dedup();
    let findings = integrators.into_iter().map(|integrator| timestep_over_safe_of(s, integrator));
    let ratio = |finding: &Finding| match finding {
        Finding::Amount { value, .. } => *value,
        _ => f64::INFINITY,
    };
    findings.max_by(|a, b| ratio(a).total_cmp(&ratio(b))).unwrap_or_else(|| no_runs(s))
}

fn timestep_over_safe_of(s: &Subject<'_>, integrator: Option<&str>) -> Finding {
    let runs = at_any_step(s).filter(|run| run.integrator.as_deref() == integrator);
    let Some(longest_fs) = runs.map(|run| run.timestep_fs).max_by(f64::total_cmp) else {
        return no_runs(s);
    };
    if !s.records.timesteps.iter().any(|l| l.integrator.as_deref() == integrator) {
        return missing(s, Stage::Timesteps, || "the safe time step was not measured".to_owned());
    }
    match s.safe_fs(integrator) {
        Some(safe_fs) => Finding::Amount {
            value: longest_fs / safe_fs,
            detail: if longest_fs <= safe_fs {
                format!("runs at {longest_fs} fs, safe up to {safe_fs} fs")
            } else {
                format!(
                    "runs at {longest_fs} fs, but the longest safe step is {safe_fs} fs: set timestep_fs = {safe_fs} or less"
                )
            },
        },
        None => Finding::Missing("no time step of the ladder was safe".to_owned()),
    }
}

fn at_any_step<'a>(s: &Subject<'a>) -> impl Iterator<Item = &'a Run> + use<'a> {
    s.runs_at_any_step().filter(|run| run.is_nve())
}

/// Returns an upper bound of the probability that one of these checks passes by chance: the sum of their chances. The same check
/// of several uses, and the drifts of one molecule, rest on the same samples and count once.
pub(crate) fn chance_of_any<'a>(checks: impl Iterator<Item = &'a Check>) -> f64 {
    let mut sources: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for check in checks {
        let source = if DRIFTS.contains(&check.id.as_str()) { DRIFTS[0] } else { &check.id };
        let known = sources.entry((&check.molecule, source)).or_insert(0.0);
        *known = known.max(check.chance.unwrap_or(0.0));
    }
    sources.values().sum::<f64>().min(1.0)
}

/// Returns the chance that one of the checks that pass does so by chance.
pub(crate) fn chance_of_false_pass(checks: &[Check]) -> Finding {
    let sampled = || checks.iter().filter(|c| c.status == Status::Pass).filter_map(|c| Some((c, c.chance?)));
    let value = chance_of_any(sampled().map(|(check, _)| check));
    let least = sampled().max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, chance)| *chance > 1e-6);
    let (n, of) = (sampled().count(), checks.len());
    let named = least.map_or(String::new(), |(check, chance)| {
        format!("; most of it {} on {}, {}", check.id, check.molecule, number(chance))
    });
    Finding::Amount { value, detail: format!("{n} of {of} checks rest on samples{named}") }
}

pub(crate) fn runs_left_out(s: &Subject<'_>) -> Finding {
    let own = |l: &&md_results::LeftOut| {
        l.model == s.model && l.molecule == s.molecule && l.temperature_k <= s.max_temperature_k
    };
    let left_out = || s.results.campaign.left_out.iter().filter(own);
    let one = |l: &md_results::LeftOut| {
        let replicas: Vec<String> = l.replicas.iter().map(u32::to_string).collect();
        format!("{} at {} K, replica {}", l.ensemble, l.temperature_k, replicas.join(", "))
    };
    let named: Vec<String> = left_out().map(one).collect();
    Finding::Amount {
        value: left_out().map(|l| l.replicas.len()).sum::<usize>() as f64,
        detail: if named.is_empty() { "none".to_owned() } else { named.join("; ") },
    }
}
