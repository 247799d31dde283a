//! Digests of the records of `results.json`: they tell a file that was damaged, and which record of it.
//!
//! A digest is the SHA-256 of a record as JSON without spaces, its keys in ascending order, its numbers as serde_json
//! writes them. Every entry of a list has its own, followed by its name, every other part of the file one, and so have
//! the digests together.
//! Verdicts, checks and what else follows from the records has none: it is derived again when the file is read.
//!
//! This is against damage, not against forgery: whoever changes a record may change its digest, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use md_io::files::sha256;
use serde_json::{Map, Value, json};

use crate::plain;

/// Key of the digests in the file.
pub(crate) const KEY: &str = "digests";

/// Key of the digest of the digests.
const ALL: &str = "all";

/// Fields of a model that are derived from the records.
const DERIVED: [&str; 6] = ["verdict", "uses", "summary", "failure_modes", "envelope", "checks"];

const CHANGED: &str = "its digest does not match: the file was changed after it was written";

/// Returns the digests of the parts of `file`.
pub(crate) fn of(file: &Value) -> Value {
    let mut digests = Map::new();
    for (part, content) in file.as_object().into_iter().flatten().filter(|(part, _)| *part != KEY) {
        let digest = match content {
            Value::Array(records) => records.iter().map(|record| entry(part, record)).collect(),
            content => Value::String(of_record(part, content)),
        };
        digests.insert(part.clone(), digest);
    }
    let all = sha256(canonical(&Value::Object(digests.clone())).as_bytes());
    digests.insert(ALL.to_owned(), Value::String(all));
    Value::Object(digests)
}

/// Returns what was changed in `file` after its digests were written; `None` if it has no digests.
pub(crate) fn faults(file: &Value) -> Option<Vec<String>> {
    let written = file.get(KEY)?;
    let found = of(file);
    if *written == found {
        return Some(Vec::new());
    }
    let mut faults = Vec::new();
    let (Some(written), Some(found)) = (written.as_object(), found.as_object()) else {
        return Some(vec![format!(
            "{KEY}: an object was expected: the file was changed after it was written"
        )]);
    };
    for part in written.keys().filter(|part| !found.contains_key(*part)) {
        faults.push(format!(
            "{part}: this part of the file is missing: it was removed or its name was changed"
        ));
    }
    for (part, now) in found.iter().filter(|(part, _)| *part != ALL) {
        match (written.get(part), now) {
            (Some(then), now) if then == now => {}
            (Some(Value::Array(then)), Value::Array(now)) => faults.extend(of_list(part, then, now)),
            (Some(_), _) => faults.push(format!("{part}: {CHANGED}")),
            (None, _) => {
                faults.push(format!("{part}: it has no digest: it was added after the file was written"))
            }
        }
    }
    if faults.is_empty() {
        faults.push(format!("{KEY}: {CHANGED}"));
    }
    Some(faults)
}

/// Compares the digests of a list, then and now.
fn of_list(part: &str, then: &[Value], now: &[Value]) -> Vec<String> {
    let texts =
        |all: &'_ [Value]| all.iter().map(|v| v.as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>();
    let (then, now) = (texts(then), texts(now));
    let known: BTreeSet<&str> = then.iter().map(String::as_str).collect();
    let mut left: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &then {
        *left.entry(entry).or_default() += 1;
    }
    let mut take = |entry: &str| match left.get_mut(entry) {
        Some(n) if *n > 0 => {
            *n -= 1;
            true
        }
        _ => false,
    };
    let changed: Vec<(usize, &String)> = now.iter().enumerate().filter(|(_, entry)| !take(entry)).collect();
    let mut gone: BTreeMap<&str, usize> = BTreeMap::new();
    for (entry, n) in left {
        *gone.entry(name_of(entry)).or_default() += n;
    }
    let mut faults = Vec::new();
    for (place, entry) in changed {
        let name = name_of(entry);
        let why = match gone.get_mut(name) {
            Some(n) if *n > 0 => {
                *n -= 1;
                CHANGED
            }
            _ if known.contains(entry.as_str()) => {
                "it is there twice: it was added after the file was written"
            }
            _ => "it was added, or its name changed, after the file was written",
        };
        let record = format!("{part}[{place}] {name}");
        faults.push(format!("{}: {why}", record.trim_end()));
    }
    for (name, n) in gone.into_iter().filter(|(_, n)| *n > 0) {
        let record = if name.is_empty() { format!("{n} of its records") } else { name.to_owned() };
        faults.push(format!("{part}: {record}: missing: it was removed after the file was written"));
    }
    if faults.is_empty() {
        faults.push(format!("{part}: the order of its records was changed after the file was written"));
    }
    faults
}

/// Returns the entry of a record in the list of digests: its digest and its name.
fn entry(part: &str, record: &Value) -> String {
    format!("{} {}", of_record(part, record), name(record)).trim_end().to_owned()
}

/// Returns the name in an entry.
fn name_of(entry: &str) -> &str {
    entry.split_once(' ').map_or("", |(_, name)| name)
}

/// Names a record by what identifies it: `kink, m, water at 300 K`.
fn name(record: &Value) -> String {
    let text = |key: &str| record.get(key)?.as_str();
    let named: Vec<&str> = match text("id") {
        // The id of a run names its model, molecule and conditions.
        Some(id) if id.contains('/') => vec![id],
        _ => {
            ["name", "use", "id", "stage", "model", "molecule", "file"].into_iter().filter_map(text).collect()
        }
    };
    let kelvins = record.get("temperature_K").and_then(Value::as_f64);
    let at = kelvins.map_or(String::new(), |k| format!(" at {k} K"));
    let words: String = plain(&named.join(", ")).chars().take(200).collect();
    format!("{words}{at}").trim().to_owned()
}

fn of_record(part: &str, record: &Value) -> String {
    let measured = match record {
        Value::Object(fields) if part == "models" => {
            let kept = fields.iter().filter(|(name, _)| !DERIVED.contains(&name.as_str()));
            &Value::Object(kept.map(|(name, content)| (name.clone(), content.clone())).collect())
        }
        record => record,
    };
    sha256(canonical(measured).as_bytes())
}

/// Returns the one form of `value` that is hashed, whatever the order of its keys in the file.
fn canonical(value: &Value) -> String {
    let mut text = String::new();
    append(value, &mut text);
    text
}

fn append(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            text.push('{');
            for (n, (name, content)) in sorted.into_iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                text.push_str(&json!(name).to_string());
                text.push(':');
                append(content, text);
            }
            text.push('}');
        }
        Value::Array(all) => {
            text.push('[');
            for (n, content) in all.iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                append(content, text);
            }
            text.push(']');
        }
        // Writing to a string does not fail.
        value => drop(write!(text, "{value}")),
    }
}
