//! Names of tensors: prefixes that wrappers of a network add to all of them, and several networks in one dictionary.

use std::collections::{BTreeMap, BTreeSet};

use crate::CheckpointError;
use crate::error::excerpt;

/// The tensors of one network, with names as in the network.
#[derive(Debug)]
pub(super) struct Network<'a, T> {
    pub(super) tensors: Vec<(&'a str, T)>,
    /// Text removed from the beginning of every name.
    pub(super) prefix: String,
}

/// Selects the only network among `tensors`, or that whose names begin with `part` and a dot. `set` is the key of the
/// tensors in their file, for messages.
///
/// # Errors
/// [`CheckpointError::SeveralSets`], [`CheckpointError::NoSuchSet`].
pub(super) fn network<'a, T: Copy>(
    tensors: &[(&'a str, T)],
    set: &str,
    part: Option<&str>,
) -> Result<Network<'a, T>, CheckpointError> {
    let mut tensors = tensors.to_vec();
    if let Some(part) = part {
        let all: Vec<&str> = tensors.iter().map(|(name, _)| *name).collect();
        tensors.retain_mut(|(name, _)| strip(name, part).map(|rest| *name = rest).is_some());
        if tensors.is_empty() {
            let keys: BTreeSet<&str> = all.iter().filter_map(|name| Some(name.split_once('.')?.0)).collect();
            let keys = keys.into_iter().map(|key| joined(set, key)).collect();
            return Err(CheckpointError::NoSuchSet { key: excerpt(&joined(set, part)), keys });
        }
    }
    let prefix = common_prefix(tensors.iter().map(|(name, _)| *name));
    for (name, _) in &mut tensors {
        *name = &name[prefix.len()..];
    }
    let networks = networks(tensors.iter().map(|(name, _)| *name));
    if networks.is_empty() {
        let part = part.map_or_else(String::new, |part| format!("{part}."));
        return Ok(Network { tensors, prefix: part + prefix });
    }
    let before =
        [part, prefix.strip_suffix('.')].into_iter().flatten().fold(set.to_owned(), |a, b| joined(&a, b));
    Err(CheckpointError::SeveralSets { keys: networks.iter().map(|name| joined(&before, name)).collect() })
}

/// Returns the part of `key` after `start` and a dot. Everything is after an empty `start`.
pub(super) fn strip<'a>(key: &'a str, start: &str) -> Option<&'a str> {
    if start.is_empty() { Some(key) } else { key.strip_prefix(start)?.strip_prefix('.') }
}

/// Joins two keys by a dot.
pub(super) fn joined(start: &str, end: &str) -> String {
    if start.is_empty() { excerpt(end) } else { format!("{start}.{}", excerpt(end)) }
}

/// Returns the longest text of whole parts, each with its dot, with which all names begin: `module.` of
/// `DataParallel`, `_orig_mod.` of `torch.compile`, or that of an attribute of a larger module. Empty for one name.
fn common_prefix<'a>(mut names: impl Iterator<Item = &'a str>) -> &'a str {
    let Some(first) = names.next() else { return "" };
    let mut rest = names.peekable();
    if rest.peek().is_none() {
        return "";
    }
    let common = rest.fold(first.len(), |common, name| {
        first.bytes().zip(name.bytes()).take(common).take_while(|(a, b)| a == b).count()
    });
    first.as_bytes()[..common].iter().rposition(|&b| b == b'.').map_or("", |dot| &first[..=dot])
}

/// Returns the beginnings of names, up to the first dot, after which the same names follow: those of several networks,
/// such as a model and its average in one module. Empty if there is one network.
fn networks<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (group, name) in names.filter_map(|name| name.split_once('.')) {
        groups.entry(group).or_default().push(name);
    }
    let groups: Vec<(&str, BTreeSet<&str>)> = groups
        .into_iter()
        .map(|(group, names)| {
            let prefix = common_prefix(names.iter().copied());
            (group, names.iter().map(|name| &name[prefix.len()..]).collect())
        })
        .collect();
    let Some((largest, whole)) = groups.iter().max_by_key(|(_, names)| names.len()) else {
        return Vec::new();
    };
    // An average may lack tensors that are not trained.
    let is_alike =
        |names: &BTreeSet<&str>| names.len() > 1 && 2 * names.intersection(whole).count() > whole.len();
    let alike: Vec<&str> = groups
        .iter()
        .filter(|(group, names)| group == largest || is_alike(names))
        .map(|(group, _)| *group)
        .collect();
    if alike.len() > 1 { alike } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(names: &[&str], part: Option<&str>) -> Result<(String, String), String> {
        let tensors: Vec<(&str, usize)> = names.iter().enumerate().map(|(n, name)| (*name, n)).collect();
        let found = network(&tensors, "state_dict", part).map_err(|error| error.to_string())?;
        let names: Vec<&str> = found.tensors.iter().map(|(name, _)| *name).collect();
        Ok((found.prefix, names.join(" ")))
    }

    #[test]
    fn network_removes_what_all_names_begin_with() {
        for (names, prefix, rest) in [
            (&["a.w", "b.w"][..], "", "a.w b.w"),
            (&["m.a.w", "m.b.w"], "m.", "a.w b.w"),
            (&["_orig_mod.module.a.w", "_orig_mod.module.b"], "_orig_mod.module.", "a.w b"),
            (&["m.a.w", "mm.b"], "", "m.a.w mm.b"),
            (&["m.a.w", "m"], "", "m.a.w m"),
            (&["m.w"], "", "m.w"),
            (&["m.é.w", "m.è.w"], "m.", "é.w è.w"),
            (&[], "", ""),
        ] {
            assert_eq!(select(names, None).unwrap(), (prefix.to_owned(), rest.to_owned()));
        }
    }

    #[test]
    fn network_asks_which_of_several_in_one_dictionary() {
        let names =
            ["net.model.a.w", "net.model.a.b", "net.model.c", "net.ema.module.a.w", "net.ema.module.c"];
        let error = select(&names, None).unwrap_err();
        assert!(
            error.contains("several sets of weights, state_dict.net.ema, state_dict.net.model:"),
            "{error}"
        );
        let chosen = |part| select(&names, Some(part));
        assert_eq!(chosen("net.model").unwrap(), ("net.model.".to_owned(), "a.w a.b c".to_owned()));
        assert_eq!(chosen("net.ema").unwrap(), ("net.ema.module.".to_owned(), "a.w c".to_owned()));
        assert!(chosen("net").unwrap_err().contains("state_dict.net.ema, state_dict.net.model"));
        let error = chosen("ne").unwrap_err();
        assert!(error.contains("no set of weights 'state_dict.ne'; it holds state_dict.net"), "{error}");
        // Layers of one network have names of their own before those that they share.
        let layers = ["layers.0.w", "layers.0.b", "layers.1.w", "layers.1.b", "head.0.w", "head.1.b"];
        assert!(select(&layers, None).is_ok());
    }
}
