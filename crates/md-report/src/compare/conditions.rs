use std::collections::BTreeSet;

use md_results::{CriteriaSet, Model, Results, number};
use serde::{Deserialize, Serialize};

/// A difference other than a measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Name of the condition.
    pub what: String,
    /// Value in the first results.
    pub before: String,
    /// Value in the second results.
    pub after: String,
}

/// Returns the conditions in which two campaigns differ.
pub(super) fn differing(a: &Results, b: &Results) -> Vec<Condition> {
    let unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let mut found = Vec::new();
    let mut compare = |what: String, before: String, after: String| {
        if before != after {
            found.push(Condition { what, before, after });
        }
    };
    for (what, of) in [
        ("version of mdproof", (|r| r.provenance.mdproof_version.clone()) as fn(&Results) -> String),
        ("campaign file, SHA-256", |r| r.campaign.config_sha256.clone()),
        ("seed", |r| r.campaign.seed.to_string()),
        ("only", |r| r.campaign.only.join(", ")),
        ("limits of runs", limits),
        ("threads", |r| r.provenance.threads.to_string()),
        ("device", |r| r.provenance.device_used.clone()),
    ] {
        compare(what.to_owned(), of(a), of(b));
    }
    compare("commit".to_owned(), unknown(&a.provenance.git_commit), unknown(&b.provenance.git_commit));
    compare("CPU".to_owned(), unknown(&a.provenance.cpu), unknown(&b.provenance.cpu));
    let names: BTreeSet<&str> = a.criteria.iter().chain(&b.criteria).map(|s| s.name.as_str()).collect();
    for name in names {
        let find = |results: &'_ Results| results.criteria.iter().find(|s| s.name == name).cloned();
        let (Some(x), Some(y)) = (find(a), find(b)) else { continue };
        let keys: BTreeSet<&String> = x.thresholds.keys().chain(y.thresholds.keys()).collect();
        for key in keys {
            compare(format!("threshold of {key} for {name}"), bound(&x, key), bound(&y, key));
        }
        let hottest = |set: &CriteriaSet| set.max_temperature_k.map_or("none".to_owned(), number);
        compare(format!("highest temperature (K) for {name}"), hottest(&x), hottest(&y));
        compare(format!("time (ns) for {name}"), number(x.time_ns), number(y.time_ns));
    }
    for model in &a.models {
        let Some(same) = b.models.iter().find(|m| m.name == model.name) else { continue };
        let assumed = |of: &Model| {
            if of.assumptions.is_empty() { "nothing".to_owned() } else { of.assumptions.join("; ") }
        };
        compare(format!("what was assumed of {}", model.name), assumed(model), assumed(same));
    }
    if !(a.remarks.is_empty() && b.remarks.is_empty()) {
        let of = |results: &Results| match results.remarks.as_slice() {
            [] => "its digests match".to_owned(),
            remarks => remarks.join("; "),
        };
        found.push(Condition { what: "file".to_owned(), before: of(a), after: of(b) });
    }
    found
}

fn limits(results: &Results) -> String {
    results.campaign.limits.map_or("unknown".to_owned(), |limits| {
        format!(
            "bond_ratio {}, broken_bond_ratio {}, temperature_factor {}",
            number(limits.bond_ratio),
            number(limits.broken_bond_ratio),
            number(limits.temperature_factor)
        )
    })
}

fn bound(set: &CriteriaSet, key: &str) -> String {
    match set.thresholds.get(key).map(|t| (t.value, t.bad)) {
        None => "none".to_owned(),
        Some((value, None)) => number(value),
        Some((value, Some(bad))) => format!("{} (bad: {})", number(value), number(bad)),
    }
}
