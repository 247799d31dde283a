//! Validation of names, and suggestions for misspelt ones.

use md_results::{PRODUCTION, Verdict};

/// Maximum number of characters quoted from a file in a message.
const MOST_SHOWN: usize = 80;

pub(super) const NAME_RULE: &str = "a name has letters, digits, '_', '-' and '.', begins with a letter or digit and has at most \
                         64 characters: it becomes part of file names";

/// Whether `name` can be part of a file name on every system.
pub(super) fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// Returns why a use cannot have this name, if so.
pub(super) fn fault_of_use(name: &str) -> Option<String> {
    let shown = shown(name, MOST_SHOWN);
    let small = name.to_lowercase();
    if !is_name(name) {
        Some(format!("the use '{shown}': {NAME_RULE}"))
    } else if verdict_named(&small).is_some() {
        Some(format!("the use '{shown}' has the name of a verdict: give it another name"))
    } else if small == PRODUCTION && name != PRODUCTION {
        Some(format!(
            "the use '{shown}' can be taken for {PRODUCTION}: write it in small letters, or give it another name"
        ))
    } else {
        None
    }
}

/// Returns the first `most` characters of `text` in one line. Control characters for terminals are replaced.
pub(super) fn shown(text: &str, most: usize) -> String {
    let mut chars = text.chars().map(|c| match c {
        '\n' => ' ',
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
        c => c,
    });
    let mut start: String = chars.by_ref().take(most).collect();
    start.extend(chars.next().map(|_| '…'));
    start
}

/// Returns all digits of a number, but no line of zeros.
pub(super) fn written(number: f64) -> String {
    if number != 0.0 && !(1e-9..=1e15).contains(&number.abs()) {
        format!("{number:e}")
    } else {
        number.to_string()
    }
}

/// Returns the verdict of this name, in small letters.
pub(super) fn verdict_named(name: &str) -> Option<Verdict> {
    Verdict::ALL.into_iter().find(|verdict| verdict.label().to_lowercase() == name)
}

pub(super) fn unknown(what: &str, found: &str, known: &[&str]) -> String {
    let found = shown(found, MOST_SHOWN);
    let list = known.join(", ");
    match nearest(&found, known) {
        Some(near) => format!("unknown {what} '{found}': did you mean '{near}'? (known: {list})"),
        None => format!("unknown {what} '{found}' (known: {list})"),
    }
}

fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|k| (similarity(&found.to_lowercase(), &k.to_lowercase()), *k))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// Returns a similarity from 0 to 1. A part of a longer name, such as `verlet`, is similar to that name.
fn similarity(found: &str, known: &str) -> f64 {
    let part = if found.len() >= 4 && known.contains(found) { 0.9 } else { 0.0 };
    strsim::jaro_winkler(found, known).max(part)
}
