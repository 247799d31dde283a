//! Selects the weights among the tensors of a file of `torch.save`.
//!
//! A training program often saves more than one set: the weights of the last step and an average of them, or those of
//! the best epoch. They are different networks, and the file does not state which one is deployed. A set is therefore
//! selected without a key only if there is no other.

use std::collections::{BTreeMap, BTreeSet};

use super::pickle::{Id, Pickle, Value};
use super::torch::TorchError;
use crate::error::excerpt;

/// Keys at which an unnamed set of weights is searched, in this order.
const USUAL: [&str; 3] = ["model_state_dict", "state_dict", "model"];

/// Maximum depth of the search for sets.
const MOST_LEVELS: usize = 5;

/// Counter in the averages of `torch.optim.swa_utils`.
const COUNTER: &str = "n_averaged";

/// Tensors by name.
pub(super) type Named<'a> = Vec<(&'a str, Id)>;

/// A dictionary or list of tensors.
struct Set<'a> {
    /// Keys from the root, joined by dots.
    key: String,
    tensors: Tensors<'a>,
}

enum Tensors<'a> {
    Named(Named<'a>),
    /// A list as returned by `parameters()` of a module.
    Listed(&'a [Id]),
    /// All tensors below a key of the root.
    Scattered(Vec<Id>),
}

impl Tensors<'_> {
    fn ids(&self) -> Vec<Id> {
        match self {
            Tensors::Named(named) => named.iter().map(|(_, id)| *id).collect(),
            Tensors::Listed(ids) => ids.to_vec(),
            Tensors::Scattered(ids) => ids.clone(),
        }
    }
}

/// The weights of a file.
pub(super) struct Chosen<'a> {
    /// Key of the set; empty if the file contains nothing else.
    pub(super) key: String,
    pub(super) tensors: Named<'a>,
    /// Whether the file contains other sets, so that the key was selected explicitly.
    pub(super) is_one_of_several: bool,
}

/// Selects the set of weights with this key, or the only one.
pub(super) fn choose<'a>(pickle: &'a Pickle, choice: Option<&str>) -> Result<Chosen<'a>, TorchError> {
    let Sets { found: sets, under, .. } = Sets::find(pickle);
    let usual = USUAL.iter().find_map(|key| sets.iter().position(|set| set.key == *key));
    let Some(base) = usual.or_else(|| choice.and_then(|key| sets.iter().position(|set| set.key == key)))
    else {
        return bare(pickle, choice).ok_or_else(|| no_state_dict(pickle, &sets));
    };
    let shapes = shapes(pickle, &sets[base]);
    let mut rivals: Vec<&Set<'_>> = sets
        .iter()
        .enumerate()
        .filter(|(n, set)| *n != base && is_rival(pickle, set, &shapes))
        .map(|(_, set)| set)
        .collect();
    // Weights in an unknown form count as weights, too.
    let is_explained = |key: &str| {
        let mut known = rivals.iter().copied().chain([&sets[base]]);
        known.any(|set| set.key == key || set.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
    };
    let scattered: Vec<&Set<'_>> =
        under.iter().filter(|set| !is_explained(&set.key) && is_rival(pickle, set, &shapes)).collect();
    rivals.extend(scattered);
    let keys = || -> Vec<String> {
        std::iter::once(&sets[base]).chain(rivals.iter().copied()).map(|set| excerpt(&set.key)).collect()
    };
    let chosen = match choice {
        None if rivals.is_empty() => &sets[base],
        None => return Err(TorchError::SeveralSets { keys: keys() }),
        Some(key) => std::iter::once(&sets[base])
            .chain(rivals.iter().copied())
            .find(|set| set.key == key)
            .ok_or_else(|| TorchError::NoSuchSet { key: excerpt(key), keys: keys() })?,
    };
    let Tensors::Named(whole) = &sets[base].tensors else { return Err(no_state_dict(pickle, &sets)) };
    let whole = without_prefix(whole);
    let tensors = match &chosen.tensors {
        Tensors::Named(_) if chosen.key == sets[base].key => whole,
        Tensors::Named(named) => completed(&without_prefix(named), &whole),
        Tensors::Listed(ids) => named_by_order(pickle, ids, &whole)
            .ok_or_else(|| TorchError::Unnamed { key: excerpt(&chosen.key) })?,
        Tensors::Scattered(_) => return Err(TorchError::Unnamed { key: excerpt(&chosen.key) }),
    };
    Ok(Chosen { key: chosen.key.clone(), tensors, is_one_of_several: !rivals.is_empty() })
}

/// Treats the file itself as the state dictionary.
fn bare<'a>(pickle: &'a Pickle, choice: Option<&str>) -> Option<Chosen<'a>> {
    let tensors = named(pickle, pickle.root).filter(|_| choice.is_none())?;
    let Value::Dict(entries) = pickle.get(pickle.root) else { return None };
    let is_all = tensors.len() == entries.len() && !tensors.is_empty();
    is_all.then(|| Chosen { key: String::new(), tensors: without_prefix(&tensors), is_one_of_several: false })
}

fn no_state_dict(pickle: &Pickle, sets: &[Set<'_>]) -> TorchError {
    let keys = match pickle.get(pickle.root) {
        Value::Dict(entries) => entries.iter().filter_map(|(key, _)| pickle.str(*key)).map(excerpt).collect(),
        _ => Vec::new(),
    };
    TorchError::NoStateDict { keys, sets: sets.iter().map(|set| excerpt(&set.key)).collect() }
}

/// Search through a pickle; shared objects are visited once.
struct Sets<'a> {
    pickle: &'a Pickle,
    seen: BTreeSet<Id>,
    found: Vec<Set<'a>>,
    /// All tensors by key of the root, except those of optimisers.
    under: Vec<Set<'a>>,
}

impl<'a> Sets<'a> {
    fn find(pickle: &'a Pickle) -> Self {
        let seen = BTreeSet::from([pickle.root]);
        let mut sets = Sets { pickle, seen, found: Vec::new(), under: Vec::new() };
        sets.descend("", pickle.root, MOST_LEVELS);
        sets
    }

    fn descend(&mut self, key: &str, id: Id, levels: usize) {
        match self.pickle.get(id) {
            Value::Dict(entries) => {
                for &(name, child) in entries {
                    if let Some(name) = self.pickle.str(name) {
                        self.look_at(key, &excerpt(name), child, levels);
                    }
                }
            }
            Value::List(items) | Value::Tuple(items) => {
                for (n, &child) in items.iter().enumerate() {
                    self.look_at(key, &n.to_string(), child, levels);
                }
            }
            _ => {}
        }
    }

    fn look_at(&mut self, parent: &str, name: &str, child: Id, levels: usize) {
        if levels > 0 && self.seen.insert(child) {
            let key = if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
            if parent.is_empty() {
                self.under.push(Set { key: key.clone(), tensors: Tensors::Scattered(Vec::new()) });
            }
            if let Some(Set { tensors: Tensors::Scattered(ids), .. }) = self.under.last_mut()
                && is_tensor(self.pickle, child)
                && !is_of_optimiser(&key)
            {
                ids.push(child);
            }
            let tensors = set(self.pickle, child).filter(|_| !is_of_optimiser(&key));
            self.found.extend(tensors.map(|tensors| Set { key: key.clone(), tensors }));
            self.descend(&key, child, levels - 1);
        }
    }
}

/// Returns whether the tensors at a key are moments of the weights in an optimiser. An average in an optimiser is not.
fn is_of_optimiser(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let names = |words: &[&str]| words.iter().any(|word| key.contains(word));
    names(&["optim"]) && !names(&["ema", "swa", "averag", "shadow"])
}

fn set(pickle: &Pickle, id: Id) -> Option<Tensors<'_>> {
    match pickle.get(id) {
        Value::List(items) | Value::Tuple(items) => {
            let is_list = !items.is_empty() && items.iter().all(|&item| is_tensor(pickle, item));
            is_list.then_some(Tensors::Listed(items))
        }
        _ => named(pickle, id).map(Tensors::Named),
    }
}

/// Returns the entries of a dictionary of tensors; invalid ones are rejected when they are read.
fn named(pickle: &Pickle, id: Id) -> Option<Named<'_>> {
    let Value::Dict(entries) = pickle.get(id) else { return None };
    let has_tensors = entries.iter().any(|(_, value)| is_tensor(pickle, *value));
    (has_tensors || entries.is_empty()).then(|| {
        entries
            .iter()
            .filter_map(|&(key, value)| Some((pickle.str(key)?, value)))
            .filter(|(name, _)| *name != COUNTER)
            .collect()
    })
}

fn is_tensor(pickle: &Pickle, id: Id) -> bool {
    matches!(pickle.get(id), Value::Tensor(_))
}

/// Returns the shape of a tensor.
fn shape(pickle: &Pickle, id: Id) -> Option<Vec<usize>> {
    let Value::Tensor(arguments) = pickle.get(id) else { return None };
    let Value::Tuple(arguments) = pickle.get(*arguments) else { return None };
    pickle.sizes(*arguments.get(2)?, super::torch::MAX_RANK)
}

/// Counts the tensors of each shape in a set.
fn shapes(pickle: &Pickle, set: &Set<'_>) -> BTreeMap<Vec<usize>, usize> {
    let mut count = BTreeMap::new();
    for shape in set.tensors.ids().into_iter().filter_map(|id| shape(pickle, id)) {
        *count.entry(shape).or_default() += 1;
    }
    count
}

/// Returns whether a set could be weights of these shapes under other names: it has at least half of them.
fn is_rival(pickle: &Pickle, set: &Set<'_>, weights: &BTreeMap<Vec<usize>, usize>) -> bool {
    let all: usize = weights.values().sum();
    // This also limits the work for many small sets.
    if 2 * set.tensors.ids().len() < all {
        return false;
    }
    let found = shapes(pickle, set);
    let alike: usize = weights.iter().map(|(shape, n)| found.get(shape).map_or(0, |m| *m.min(n))).sum();
    alike > 0 && 2 * alike >= all
}

/// Removes the common prefix of all names: `module.` of `DataParallel`, `_orig_mod.` of `torch.compile`, or that of an
/// attribute of a larger module.
fn without_prefix<'a>(named: &[(&'a str, Id)]) -> Named<'a> {
    let mut named = named.to_vec();
    let mut dropped = String::new();
    while let [(first, _), _, ..] = named[..]
        && let Some((prefix, _)) = first.split_once('.')
        && named.iter().all(|(name, _)| name.split_once('.').is_some_and(|(start, _)| start == prefix))
    {
        dropped += &format!("{prefix}.");
        for (name, _) in &mut named {
            *name = &name[prefix.len() + 1..];
        }
    }
    if !dropped.is_empty() {
        tracing::info!("'{}', with which every tensor's name begins, is dropped", excerpt(&dropped));
    }
    named
}

/// Adds to `set` the tensors of `whole` that it lacks: averages include only trained tensors.
fn completed<'a>(set: &[(&'a str, Id)], whole: &[(&'a str, Id)]) -> Named<'a> {
    let names: BTreeSet<&str> = set.iter().map(|(name, _)| *name).collect();
    set.iter().chain(whole.iter().filter(|(name, _)| !names.contains(name))).copied().collect()
}

/// Replaces tensors of `whole` by those of the unnamed `list`. They are assigned by order, if the shapes permit only
/// one assignment; tensors that are not trained are missing in such lists.
fn named_by_order<'a>(pickle: &Pickle, list: &[Id], whole: &[(&'a str, Id)]) -> Option<Named<'a>> {
    let place = |list: &mut dyn Iterator<Item = Id>, whole: &mut dyn Iterator<Item = (&'a str, Id)>| {
        let mut list = list.peekable();
        let mut placed: Named<'a> = whole
            .map(|(name, id)| (name, list.next_if(|&l| shape(pickle, l) == shape(pickle, id)).unwrap_or(id)))
            .collect();
        placed.sort_unstable();
        list.peek().is_none().then_some(placed)
    };
    // Every assignment lies between the earliest and the latest.
    let earliest = place(&mut list.iter().copied(), &mut whole.iter().copied())?;
    let latest = place(&mut list.iter().rev().copied(), &mut whole.iter().rev().copied())?;
    (earliest == latest).then_some(earliest)
}
