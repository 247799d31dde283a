use std::collections::{BTreeMap, VecDeque};

use md_results::{Comparison, Evaluation, Results, Run, RunFate, Series, number};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Names, listed};
use crate::words::stage;

/// Relative changes of at least this size rank equal, so that the larger absolute change counts.
const LARGE: f64 = 0.9;

/// Number of characters shown of a text.
const SHOWN: usize = 60;

/// Records of one kind that differ between two results, whether or not a check depends on them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Kind of record, such as `gates`.
    pub kind: String,
    /// Number of records in both results.
    #[serde(rename = "of")]
    pub n_compared: usize,
    /// Number of those that differ.
    pub differing: usize,
    /// Number of records in the first only.
    pub only_before: usize,
    /// Number of records in the second only.
    pub only_after: usize,
    /// Largest difference, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub largest: Option<String>,
}

/// Result of comparing the records of the models that both results have.
#[derive(Default)]
pub(super) struct Found {
    /// Kinds of record that differ.
    pub(super) differences: Vec<Difference>,
    /// Measurements of the first that the second lacks.
    pub(super) missing: Vec<String>,
}

/// Function that returns the model of a record, if it has one, and the identity of the record.
type Key<T> = for<'t> fn(&'t T) -> (Option<&'t str>, String);

/// Compares all records of `a` and `b`, which contain neither times nor verdicts ([`Results::reproducible`]).
pub(super) fn compare(a: &Results, b: &Results, names: &Names<'_>) -> Found {
    let mut found = Found::default();
    // The plan determines these records: a missing one was not measured.
    found.asked(names, "gates", [&a.gates, &b.gates], |g| {
        (Some(&g.model), format!("{} on {}", g.id, g.molecule))
    });
    found.asked_for_an_amount(
        names,
        "runs",
        [&a.runs, &b.runs],
        |r| (Some(&r.model), run(r)),
        lasted_ps,
        "ps",
    );
    found.asked(names, "relaxations", [&a.relaxations, &b.relaxations], |r| {
        (Some(&r.model), r.molecule.clone())
    });
    found.asked_for_an_amount(
        names,
        "evaluations",
        [&a.evaluations, &b.evaluations],
        |e| (Some(&e.model), evaluation(e)),
        |e| e.force.as_ref().map_or(0, |f| f.n_frames) as f64,
        "frames with forces",
    );
    found.asked_for_an_amount(
        names,
        "comparisons of dynamics",
        [&a.comparisons, &b.comparisons],
        |c| (Some(&c.model), comparison(c)),
        |c| c.duration_ps,
        "ps",
    );
    found.asked(names, "distribution shifts", [&a.shifts, &b.shifts], |s| {
        (Some(&s.model), s.molecule.clone())
    });
    found.asked(names, "coverage of the chemistry", [&a.coverages, &b.coverages], |c| {
        (Some(&c.model), c.molecule.clone())
    });
    found.asked_for_an_amount(
        names,
        "ladders of time steps",
        [&a.timesteps, &b.timesteps],
        |t| (Some(&t.model), format!("{} at {} K", t.molecule, t.temperature_k)),
        |t| t.duration_ps * t.rungs.len() as f64,
        "ps of all rungs",
    );
    found.asked(names, "survival statistics", [&a.survival, &b.survival], |s| {
        (Some(&s.model), s.molecule.clone().unwrap_or_else(|| "all molecules".to_owned()))
    });
    // These records are derived from measurements.
    found.add(names, "attributions", [&a.attributions, &b.attributions], |x| {
        (Some(&x.model), format!("{} at {} K", x.molecule, x.temperature_k))
    });
    found.add(names, "failures", [&a.failures, &b.failures], |f| {
        let molecule = f.molecule.as_deref().unwrap_or("all molecules");
        (Some(&f.model), format!("{} on {molecule}", stage(f.stage)))
    });
    found.add(names, "curves", [&a.series, &b.series], |s| (Some(&s.model), series(s)));
    found.add(names, "models", [&a.models, &b.models], |m| (Some(&m.name), String::new()));
    found.add(names, "molecules", [&a.molecules, &b.molecules], |m| (None, m.name.clone()));
    found.add(names, "notes on economy", [&a.economy, &b.economy], |note| (None, note.clone()));
    found
}

/// Identifies a run by its conditions and replica number.
pub(super) fn run(run: &Run) -> String {
    let mut words = format!("{} of {} at {}", run.ensemble, run.molecule, run.temperature_k);
    if let Some(to_k) = run.ramp_to_k {
        words += &format!("-{to_k}");
    }
    words += &format!(" K, {} fs", run.timestep_fs);
    if let Some(integrator) = &run.integrator {
        words += &format!(", {integrator}");
    }
    if let Some(ps) = run.equilibrated_ps {
        words += &format!(", after {ps} ps");
    }
    if !run.relaxed {
        words += ", as given";
    }
    words + &format!(", replica {}", run.replica)
}

/// Returns the duration of a run, ps; a diverged run counts as complete.
fn lasted_ps(run: &Run) -> f64 {
    if run.fate == RunFate::Diverged { run.planned_ps() } else { run.done_ps() }
}

/// Identifies files by their content. The frames of a model's own runs differ for every model.
fn evaluation(evaluation: &Evaluation) -> String {
    let molecule = evaluation.molecule.as_deref().unwrap_or("all molecules");
    if evaluation.by_time.is_empty() {
        let sum: String = evaluation.sha256.chars().take(12).collect();
        format!("{molecule} against frames of SHA-256 {sum}")
    } else {
        format!("{molecule} along its own runs")
    }
}

/// Identifies reference trajectories by the names of their files.
fn comparison(comparison: &Comparison) -> String {
    let name = |path: &String| path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned();
    let files: Vec<String> = comparison.trajectories.iter().map(name).collect();
    format!("{} against {}", comparison.molecule, files.join(", "))
}

/// Identifies a series without the name of the model, which run ids start with.
fn series(series: &Series) -> String {
    let of = series.subject.as_deref().unwrap_or_default();
    format!("{} of {} {}", series.id, series.molecule, of.strip_prefix(&series.model).unwrap_or(of))
}

impl Found {
    /// Compares records of which none may be missing.
    fn asked<T: Serialize + PartialEq>(
        &mut self,
        names: &Names<'_>,
        kind: &str,
        records: [&[T]; 2],
        key: Key<T>,
    ) {
        self.asked_for_an_amount(names, kind, records, key, |_| 0.0, "");
    }

    /// Compares records of which none may be missing, nor have less of an amount in `unit`.
    fn asked_for_an_amount<T: Serialize + PartialEq>(
        &mut self,
        names: &Names<'_>,
        kind: &str,
        records: [&[T]; 2],
        key: Key<T>,
        amount: fn(&T) -> f64,
        unit: &str,
    ) {
        let pairs = self.add(names, kind, records, key);
        let shorter = pairs.both.iter().filter_map(|(model, what, x, y)| {
            let (before, after) = (amount(x), amount(y));
            // Sums of step lengths and products with their number differ by rounding.
            let is_shorter = after < before * (1.0 - 1e-9);
            let words = || format!("{what} ({} -> {} {unit})", number(before), number(after));
            is_shorter.then(|| (*model, words()))
        });
        for (list, how) in [(pairs.only_before, "missing"), (by_model(shorter), "shorter")] {
            self.missing.extend(
                list.into_iter()
                    .map(|(model, all)| format!("{model}: {kind} {how} in the second: {}", listed(&all))),
            );
        }
    }

    /// Matches the records of the models that both have, and collects their differences.
    fn add<'a, T: Serialize + PartialEq>(
        &mut self,
        names: &Names<'a>,
        kind: &str,
        [a, b]: [&'a [T]; 2],
        key: Key<T>,
    ) -> Pairs<'a, T> {
        let partners: BTreeMap<&str, &str> = names.iter().map(|(x, y)| (*y, *x)).collect();
        let mut theirs: BTreeMap<(&str, String), VecDeque<&T>> = BTreeMap::new();
        for y in b {
            let (model, what) = key(y);
            if let Some(model) = model.map_or(Some(""), |m| partners.get(m).copied()) {
                theirs.entry((model, what)).or_default().push_back(y);
            }
        }
        let mut alone = Vec::new();
        let mut both = Vec::new();
        for x in a {
            let (model, what) = key(x);
            if model.is_some_and(|m| !names.contains_key(m)) {
                continue;
            }
            let key = (model.unwrap_or_default(), what);
            match theirs.get_mut(&key).and_then(VecDeque::pop_front) {
                Some(y) => both.push((key.0, key.1, x, y)),
                None => alone.push(key),
            }
        }
        let mut difference = Difference {
            kind: kind.to_owned(),
            n_compared: both.len(),
            differing: 0,
            only_before: alone.len(),
            only_after: theirs.values().map(VecDeque::len).sum(),
            largest: None,
        };
        let mut largest: Option<Leaf> = None;
        for (model, what, x, y) in both.iter().filter(|(_, _, x, y)| x != y) {
            let Some(mut leaf) = differing(x, y) else { continue };
            difference.differing += 1;
            if largest.as_ref().is_none_or(|known| known.weight < leaf.weight) {
                let place: Vec<&str> = [*model, what].into_iter().filter(|s| !s.is_empty()).collect();
                leaf.words = format!("{} {}", place.join(": "), leaf.words);
                largest = Some(leaf);
            }
        }
        difference.largest = largest.map(|leaf| leaf.words);
        if difference.differing + difference.only_before + difference.only_after > 0 {
            self.differences.push(difference);
        }
        Pairs { only_before: by_model(alone), both }
    }
}

/// Matched records of one kind.
struct Pairs<'a, T> {
    /// Model of the first results, identity of the record, and both records.
    both: Vec<(&'a str, String, &'a T, &'a T)>,
    /// Records missing in the second, by model of the first.
    only_before: Vec<(&'a str, Vec<String>)>,
}

/// Groups records by model, in the order of first occurrence.
fn by_model<'a>(records: impl IntoIterator<Item = (&'a str, String)>) -> Vec<(&'a str, Vec<String>)> {
    let mut places = BTreeMap::new();
    let mut models: Vec<(&str, Vec<String>)> = Vec::new();
    for (model, what) in records {
        let place = *places.entry(model).or_insert_with(|| {
            models.push((model, Vec::new()));
            models.len() - 1
        });
        models[place].1.push(what);
    }
    models
}

/// A differing value of a record.
struct Leaf {
    /// Rank of the difference: the relative difference, then the absolute one.
    weight: (f64, f64),
    words: String,
}

/// Returns the largest difference between two records; `None` if only the names of models differ.
fn differing(x: &impl Serialize, y: &impl Serialize) -> Option<Leaf> {
    let [mut x, mut y] =
        [serde_json::to_value(x), serde_json::to_value(y)].map(|value| value.unwrap_or(Value::Null));
    for record in [&mut x, &mut y] {
        if let Value::Object(fields) = record {
            // All records contain the name of the model. The other names are equal, since records are matched by them.
            for name in ["model", "name", "id", "of"] {
                fields.remove(name);
            }
        }
    }
    let mut largest = None;
    leaves(&x, &y, "", &mut largest);
    let mut leaf: Leaf = largest?;
    // A value with a unit needs no name.
    if let (Some(words), Some(unit)) =
        (leaf.words.strip_prefix("value "), x.get("unit").and_then(Value::as_str))
    {
        leaf.words = format!("{words} {unit}").trim_end().to_owned();
    }
    Some(leaf)
}

/// Updates `largest` with the largest difference below `path`.
fn leaves(x: &Value, y: &Value, path: &str, largest: &mut Option<Leaf>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let mut keep = |weight: (f64, f64), before: String, after: String| {
        if largest.as_ref().is_none_or(|known| known.weight < weight) {
            *largest = Some(Leaf { weight, words: format!("{path} {before} -> {after}") });
        }
    };
    match (x, y) {
        _ if x == y => {}
        (Value::Object(p), Value::Object(q)) => {
            for (name, before) in p {
                leaves(before, q.get(name).unwrap_or(&Value::Null), &below(name), largest);
            }
            for (name, after) in q.iter().filter(|(name, _)| !p.contains_key(*name)) {
                leaves(&Value::Null, after, &below(name), largest);
            }
        }
        (Value::Array(p), Value::Array(q)) => {
            if p.len() != q.len() {
                keep((LARGE, 0.0), format!("{} entries", p.len()), format!("{} entries", q.len()));
            }
            for (n, (before, after)) in p.iter().zip(q).enumerate() {
                leaves(before, after, &below(&n.to_string()), largest);
            }
        }
        (Value::Number(p), Value::Number(q)) => {
            let [before, after] = [p, q].map(|n| n.as_f64().unwrap_or(f64::NAN));
            let difference = (after - before).abs();
            let relative = difference / before.abs().max(after.abs());
            let mut shown = [number(before), number(after)];
            if shown[0] == shown[1] {
                shown = [p.to_string(), q.to_string()];
            }
            let [before, after] = shown;
            keep((relative.min(LARGE), difference), before, after);
        }
        (Value::String(p), Value::String(q)) => keep((0.0, 0.0), shortened(p), shortened(q)),
        _ => keep((1.0, 0.0), shown(x), shown(y)),
    }
}

/// Formats a value, or a placeholder for it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::Number(n) => n.as_f64().map_or_else(|| n.to_string(), number),
        Value::String(text) => shortened(text),
        Value::Array(all) => format!("{} entries", all.len()),
        Value::Object(_) => "some".to_owned(),
        Value::Bool(is) => is.to_string(),
    }
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        format!("'{text}'")
    } else {
        format!("'{}…'", text.chars().take(SHOWN).collect::<String>())
    }
}
