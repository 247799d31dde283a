use std::collections::{BTreeMap, BTreeSet};

use md_results::{Check, CriteriaSet, Expectation, Results, Role, Status, Verdict, number, worst};

use super::{Changes, CheckKey, Flip, ModelChanges, Names, listed, records};
use crate::words::failure;

/// Returns the reasons why the second results cannot replace the first, whatever their measurements show. Anything
/// present only in the second is no obstacle.
pub(super) fn obstacles(a: &Results, b: &Results, names: &Names<'_>, changes: &Changes) -> Vec<String> {
    let mut found = unfinished(a, b);
    found.extend(other_campaign(a, b));
    found.extend(roles(a, b));
    if !changes.models_only_before.is_empty() {
        found.push(format!("models missing in the second: {}", listed(&changes.models_only_before)));
    }
    found.extend(incomplete(b, names));
    found.extend(cut_down(a, b, names));
    found.extend(looser(a, b));
    found.extend(other_seeds(a, b, names));
    found.extend(not_timed(a, b, names));
    found.extend(changes.models.iter().flat_map(of_model));
    found.extend(new_failures(a, b, names));
    found
}

fn unfinished(a: &Results, b: &Results) -> Vec<String> {
    [("first", a), ("second", b)]
        .into_iter()
        .filter(|(_, results)| !results.campaign.is_finished())
        .map(|(which, results)| {
            let runs = results
                .progress()
                .map_or(String::new(), |[made, planned]| format!(", {made} of {planned} runs made"));
            let resume = results
                .campaign
                .resume
                .as_ref()
                .map_or(String::new(), |c| format!("; continue it with: {c}"));
            format!("the {which} is unfinished: its campaign was stopped before its end{runs}{resume}")
        })
        .collect()
}

/// Returns the differences between the plans of two campaigns.
fn other_campaign(a: &Results, b: &Results) -> Vec<String> {
    let mut found = Vec::new();
    let (p, q) = (&a.campaign, &b.campaign);
    if p.name != q.name {
        found.push(format!("other campaigns: {} and {}", p.name, q.name));
    }
    if p.seed != q.seed {
        found.push(format!("other seeds: {} and {}", p.seed, q.seed));
    }
    let theirs: BTreeMap<&str, _> = b.molecules.iter().map(|m| (m.name.as_str(), m)).collect();
    let (mut missing, mut other, mut frequencies) = (Vec::new(), Vec::new(), Vec::new());
    for molecule in &a.molecules {
        let name = molecule.name.clone();
        let Some(same) = theirs.get(name.as_str()) else {
            missing.push(name);
            continue;
        };
        if molecule.structure_sha256 != same.structure_sha256 {
            other.push(name);
        } else if molecule.reference_frequencies_per_cm != same.reference_frequencies_per_cm {
            frequencies.push(name);
        }
    }
    for (names, what) in [
        (missing, "molecules missing in the second"),
        (other, "other structures of the same name"),
        (frequencies, "other reference frequencies"),
    ] {
        if !names.is_empty() {
            found.push(format!("{what}: {}", listed(&names)));
        }
    }
    found
}

fn roles(a: &Results, b: &Results) -> Vec<String> {
    let mut found = Vec::new();
    for (which, results) in [("first", a), ("second", b)] {
        if !results.models.iter().any(|m| m.role == Role::Candidate) {
            found.push(format!("the {which} has no candidate"));
        }
    }
    let theirs: BTreeMap<&str, Role> = b.models.iter().map(|m| (m.name.as_str(), m.role)).collect();
    let other = a.models.iter().filter(|m| theirs.get(m.name.as_str()).is_some_and(|role| *role != m.role));
    found.extend(other.map(|m| format!("{} has another role in the second", m.name)));
    found
}

/// Returns the models of both results that the second does not decide on.
fn incomplete(b: &Results, names: &Names<'_>) -> Vec<String> {
    let paired: BTreeSet<&str> = names.values().copied().collect();
    let open = b.models.iter().filter(|m| paired.contains(m.name.as_str())).filter(|m| match m.role {
        // A campaign that asks for a use of its own is whole when that use is decided.
        Role::Candidate => {
            let use_is_met = matches!(m.expected, Some(Expectation::Use { .. })) && m.is_as_expected();
            m.verdict.is_none_or(|v| v == Verdict::Incomplete) && !use_is_met
        }
        Role::Control => {
            matches!(worst(m.checks.iter()), Status::Skipped | Status::Undecided | Status::NotApplicable)
        }
    });
    open.map(|m| format!("{} is INCOMPLETE in the second: {}", m.name, m.summary)).collect()
}

/// Returns what the second leaves out of its campaign and the first does not.
fn cut_down(a: &Results, b: &Results, names: &Names<'_>) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(shard) = b.campaign.shard.as_ref().filter(|_| a.campaign.shard != b.campaign.shard) {
        found.push(format!("the second is the shard {shard} of a campaign"));
    }
    let only: Vec<String> =
        b.campaign.only.iter().filter(|o| !a.campaign.only.contains(o)).cloned().collect();
    if !only.is_empty() {
        found.push(format!("the second was restricted to {}", listed(&only)));
    }
    let runs = |results: &Results, name: &dyn Fn(&str) -> Option<String>| -> Vec<String> {
        let mut all = Vec::new();
        for left in &results.campaign.left_out {
            let Some(model) = name(&left.model) else { continue };
            all.extend(left.replicas.iter().map(|replica| {
                let (ensemble, molecule, kelvin) = (&left.ensemble, &left.molecule, left.temperature_k);
                format!("{model}: {ensemble} of {molecule} at {kelvin} K, replica {replica}")
            }));
        }
        all
    };
    let paired: BTreeSet<&str> = names.values().copied().collect();
    let before: BTreeSet<String> = runs(a, &|m| names.get(m).map(|&n| n.to_owned())).into_iter().collect();
    let after = runs(b, &|m| paired.contains(m).then(|| m.to_owned()));
    let left: Vec<String> = after.into_iter().filter(|run| !before.contains(run)).collect();
    if !left.is_empty() {
        found.push(format!("runs left out of the second: {}", listed(&left)));
    }
    found
}

/// Returns the speeds that the second lacks.
fn not_timed(a: &Results, b: &Results, names: &Names<'_>) -> Option<String> {
    let theirs: BTreeSet<(&str, &str, usize)> =
        b.speed.iter().map(|s| (s.model.as_str(), s.molecule.as_str(), s.batch)).collect();
    let is_missing = |s: &&md_results::Speed| {
        names.get(s.model.as_str()).is_some_and(|model| !theirs.contains(&(model, &s.molecule, s.batch)))
    };
    let missing = a.speed.iter().filter(is_missing);
    let missing: Vec<String> =
        missing.map(|s| format!("{}: {}, {} at a time", s.model, s.molecule, s.batch)).collect();
    (!missing.is_empty()).then(|| format!("speeds missing in the second: {}", listed(&missing)))
}

/// Returns the runs of the same name that began with other velocities.
fn other_seeds(a: &Results, b: &Results, names: &Names<'_>) -> Option<String> {
    let theirs: BTreeMap<(&str, String), u64> =
        b.runs.iter().map(|r| ((r.model.as_str(), records::run(r)), r.seed)).collect();
    let other = a.runs.iter().filter_map(|r| {
        let model = *names.get(r.model.as_str())?;
        let what = records::run(r);
        let seed = *theirs.get(&(model, what.clone()))?;
        (seed != r.seed).then(|| format!("{}: {what}", r.model))
    });
    let other: Vec<String> = other.collect();
    (!other.is_empty()).then(|| format!("runs with other seeds in the second: {}", listed(&other)))
}

/// Returns the thresholds that are looser in the second.
fn looser(a: &Results, b: &Results) -> Vec<String> {
    let checks = a.models.iter().chain(&b.models).flat_map(|m| &m.checks);
    let at_least: BTreeMap<&str, bool> = checks.map(|c: &Check| (c.id.as_str(), c.at_least)).collect();
    let theirs: BTreeMap<&str, &CriteriaSet> = b.criteria.iter().map(|s| (s.name.as_str(), s)).collect();
    let mut found = Vec::new();
    if let (Some(x), Some(y)) = (a.campaign.limits, b.campaign.limits)
        && (y.bond_ratio > x.bond_ratio
            || y.broken_bond_ratio > x.broken_bond_ratio
            || y.temperature_factor > x.temperature_factor)
    {
        found.push("looser limits of runs in the second".to_owned());
    }
    for before in &a.criteria {
        let name = &before.name;
        let Some(after) = theirs.get(name.as_str()) else {
            found.push(format!("the use {name} is missing in the second"));
            continue;
        };
        let mut looser = Vec::new();
        for (key, x) in &before.thresholds {
            let Some(y) = after.thresholds.get(key) else {
                looser.push(format!("{key} ({} -> none)", number(x.value)));
                continue;
            };
            // Without a check the good side is unknown: any other threshold may be looser.
            let is_looser = |x: f64, y: f64| match at_least.get(key.as_str()) {
                Some(true) => y < x,
                Some(false) => y > x,
                None => y != x,
            };
            if is_looser(x.value, y.value) {
                looser.push(format!("{key} ({} -> {})", number(x.value), number(y.value)));
            } else if let (bad, Some(theirs)) = (x.bad.unwrap_or(x.value), y.bad)
                && is_looser(bad, theirs)
            {
                looser.push(format!("{key} (bad: {} -> {})", number(bad), number(theirs)));
            }
        }
        let hottest = |set: &CriteriaSet| set.max_temperature_k.unwrap_or(f64::INFINITY);
        if hottest(after) < hottest(before) {
            looser.push(format!(
                "highest temperature ({} -> {} K)",
                number(hottest(before)),
                number(hottest(after))
            ));
        }
        if after.time_ns < before.time_ns {
            looser.push(format!("time ({} -> {} ns)", number(before.time_ns), number(after.time_ns)));
        }
        if !looser.is_empty() {
            found.push(format!("looser thresholds for {name} in the second: {}", listed(&looser)));
        }
    }
    found
}

/// Returns the measurements of a model that are missing in the second, or no longer decide.
fn of_model(model: &ModelChanges) -> Vec<String> {
    let only = &model.only_before;
    let checks: Vec<String> = only.checks.iter().map(CheckKey::to_string).collect();
    let open = model
        .flips
        .iter()
        .filter(|f| f.is_open())
        .map(|Flip { key, after, .. }| format!("{key}: {}", after.status.label()));
    [
        ("molecules missing in the second", only.molecules.clone()),
        ("uses missing in the second", only.uses.clone()),
        ("checks not measured in the second", checks),
        ("checks that passed and are not decided in the second", open.collect()),
    ]
    .into_iter()
    .filter(|(_, all)| !all.is_empty())
    .map(|(what, all)| format!("{}: {what}: {}", model.before, listed(&all)))
    .collect()
}

/// Returns the stages that failed only in the second, for models of both.
fn new_failures(a: &Results, b: &Results, names: &Names<'_>) -> Vec<String> {
    let paired: BTreeSet<&str> = names.values().copied().collect();
    let known: BTreeSet<(&str, Option<&str>, &str)> = a
        .failures
        .iter()
        .filter_map(|f| {
            Some((*names.get(f.model.as_str())?, f.molecule.as_deref(), crate::words::stage(f.stage)))
        })
        .collect();
    let new: Vec<String> = b
        .failures
        .iter()
        .filter(|f| paired.contains(f.model.as_str()))
        .filter(|f| !known.contains(&(f.model.as_str(), f.molecule.as_deref(), crate::words::stage(f.stage))))
        .map(failure)
        .collect();
    if new.is_empty() { new } else { vec![format!("failed in the second: {}", listed(&new))] }
}
