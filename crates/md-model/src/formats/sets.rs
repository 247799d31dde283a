//! Selects the weights among the tensors of a file of `torch.save`.
//!
//! A training program often saves more than one set: the weights of the last step and an average of them, or those of
//! the best epoch. They are different networks, and the file does not state which one is deployed. A set is therefore
//! selected without a key only if there is no other.

use std::collections::{BTreeMap, BTreeSet};

use super::names::{self, Network, strip};
use super::pickle::{Id, Pickle, Value};
use super::torch::TorchError;
use crate::CheckpointError;
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
#[derive(Debug)]
struct Set<'a> {
    /// Keys from the root, joined by dots.
    key: String,
    tensors: Tensors<'a>,
}

#[derive(Debug)]
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
    /// Key of the set or of the part of it; empty if the file is the set.
    pub(super) key: String,
    /// Whether the file contains others, so that the key was chosen.
    pub(super) is_chosen: bool,
    pub(super) tensors: Named<'a>,
    /// Text removed from the beginning of every name.
    pub(super) prefix: String,
    /// Tensors that the set lacks, taken from the usual one.
    pub(super) borrowed: Vec<String>,
    /// Whether the tensors were identified by order and shape.
    pub(super) is_unnamed: bool,
}

/// Selects the set of weights with this key, or the only one.
pub(super) fn choose<'a>(pickle: &'a Pickle, choice: Option<&str>) -> Result<Chosen<'a>, CheckpointError> {
    let Sets { found: sets, under, .. } = Sets::find(pickle);
    let usual = USUAL.iter().find_map(|key| sets.iter().position(|set| set.key == *key));
    let Some(base) = usual.or_else(|| choice.and_then(|key| place_of(sets.iter(), key))) else {
        return match bare(pickle) {
            Some(tensors) => named_set(&tensors, "", choice),
            None => Err(no_state_dict(pickle, &sets).into()),
        };
    };
    let shapes = shapes(pickle, &sets[base]);
    let mut weights: Vec<&Set<'_>> = vec![&sets[base]];
    weights.extend(
        sets.iter()
            .enumerate()
            .filter(|(n, set)| *n != base && is_rival(pickle, set, &shapes))
            .map(|(_, set)| set),
    );
    // Weights in an unknown form count as weights, too.
    let is_explained = |key: &str| weights.iter().any(|set| strip(&set.key, key).is_some() || set.key == key);
    let scattered: Vec<&Set<'_>> =
        under.iter().filter(|set| !is_explained(&set.key) && is_rival(pickle, set, &shapes)).collect();
    weights.extend(scattered);
    let keys = || weights.iter().map(|set| excerpt(&set.key)).collect();
    let place = match choice {
        None if weights.len() == 1 => 0,
        None => return Err(CheckpointError::SeveralSets { keys: keys() }),
        Some(key) => place_of(weights.iter().copied(), key)
            .ok_or_else(|| CheckpointError::NoSuchSet { key: excerpt(key), keys: keys() })?,
    };
    let Tensors::Named(usual) = &weights[0].tensors else { return Err(no_state_dict(pickle, &sets).into()) };
    let set = weights[place];
    let part = choice.and_then(|key| strip(key, &set.key));
    let mut chosen = match &set.tensors {
        Tensors::Named(named) => named_set(named, &set.key, part)?,
        Tensors::Listed(ids) => {
            let Network { tensors, prefix } = names::network(usual, &weights[0].key, None)?;
            let unnamed = || TorchError::Unnamed { key: excerpt(&set.key) };
            Chosen {
                tensors: named_by_order(pickle, ids, &tensors).ok_or_else(unnamed)?,
                key: set.key.clone(),
                is_chosen: true,
                prefix,
                borrowed: Vec::new(),
                is_unnamed: true,
            }
        }
        Tensors::Scattered(_) => return Err(TorchError::Unnamed { key: excerpt(&set.key) }.into()),
    };
    if place > 0 {
        // Averages include only trained tensors.
        let usual =
            names::network(usual, &weights[0].key, None).map(|usual| usual.tensors).unwrap_or_default();
        let names: BTreeSet<&str> = chosen.tensors.iter().map(|(name, _)| *name).collect();
        chosen.tensors.extend(usual.into_iter().filter(|(name, _)| !names.contains(name)));
        let own: BTreeSet<Id> = set.tensors.ids().into_iter().collect();
        let borrowed = chosen.tensors.iter().filter(|(_, id)| !own.contains(id));
        chosen.borrowed = borrowed.map(|(name, _)| (*name).to_owned()).collect();
    }
    chosen.is_chosen |= weights.len() > 1;
    Ok(chosen)
}

/// Returns the set that `key` names, as a whole or a part of it. The longest of several keys wins.
fn place_of<'a>(sets: impl Iterator<Item = &'a Set<'a>>, key: &str) -> Option<usize> {
    let has_parts = |set: &Set<'_>| matches!(set.tensors, Tensors::Named(_));
    sets.enumerate()
        .filter(|(_, set)| set.key == key || has_parts(set) && strip(key, &set.key).is_some())
        .max_by_key(|(_, set)| set.key.len())
        .map(|(place, _)| place)
}

fn named_set<'a>(
    tensors: &[(&'a str, Id)],
    set: &str,
    part: Option<&str>,
) -> Result<Chosen<'a>, CheckpointError> {
    let Network { tensors, prefix } = names::network(tensors, set, part)?;
    let key = part.map_or_else(|| set.to_owned(), |part| names::joined(set, part));
    Ok(Chosen { key, is_chosen: part.is_some(), tensors, prefix, borrowed: Vec::new(), is_unnamed: false })
}

/// Treats the file itself as the state dictionary.
fn bare(pickle: &Pickle) -> Option<Named<'_>> {
    let tensors = named(pickle, pickle.root)?;
    let Value::Dict(entries) = pickle.get(pickle.root) else { return None };
    (tensors.len() == entries.len() && !tensors.is_empty()).then_some(tensors)
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
            Value::Dict(entries) if !is_optimiser(self.pickle, id, key) => {
                for &(name, child) in entries {
                    match self.pickle.get(name) {
                        Value::Str(name) => self.look_at(key, &excerpt(name), child, levels),
                        Value::Int(n) => self.look_at(key, &n.to_string(), child, levels),
                        _ => {}
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
    let key = key.to_ascii_lowercase().replace("optimal", "").replace("optimum", "");
    key.contains("optim") && !is_of_average(&key)
}

fn is_of_average(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    ["ema", "swa", "averag", "shadow"].iter().any(|word| key.contains(word))
}

/// Returns whether a dictionary is the state of an optimiser of PyTorch, under any key that names no average.
fn is_optimiser(pickle: &Pickle, id: Id, key: &str) -> bool {
    ["state", "param_groups"].iter().all(|part| pickle.entry(id, part).is_some()) && !is_of_average(key)
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
