//! The `[criteria.USE]` tables of a campaign file.

use std::collections::BTreeMap;

use md_criteria::{Bound, Criterion, is_looser};
use md_results::{CriteriaSet, DEFAULT_TIME_NS, PRODUCTION, Threshold, ThresholdSource};
use toml::Spanned;

use super::ConfigError;
use super::file::{Pair, ThresholdValue};
use super::names::{fault_of_use, unknown, written};
use super::reader::Reader;

/// Maximum number of uses: each has all criteria, for every model and molecule.
const MOST_USES: usize = 100;

/// Keys of a `[criteria.USE]` table other than criteria.
const MAX_TEMPERATURE: &str = "max_temperature_K";
const TIME: &str = "time_ns";
const DEFAULTS: &str = "defaults";

type Table = BTreeMap<Spanned<String>, Spanned<ThresholdValue>>;

impl Reader<'_> {
    /// Returns one set of thresholds per use; production is always present and first.
    pub(super) fn criteria(&self, tables: &BTreeMap<String, Table>) -> Result<Vec<CriteriaSet>, ConfigError> {
        if tables.len() > MOST_USES {
            let message =
                format!("there are {} uses under criteria (expected at most {MOST_USES})", tables.len());
            return Err(self.error(None, message));
        }
        if let Some(message) = tables.keys().find_map(|name| fault_of_use(name)) {
            return Err(self.error(None, message));
        }
        let production = match tables.get(PRODUCTION) {
            Some(table) => self.criteria_set(PRODUCTION, table)?,
            None => CriteriaSet::new(PRODUCTION, defaults()),
        };
        let others = tables.iter().filter(|(name, _)| *name != PRODUCTION);
        let others = others.map(|(name, table)| self.criteria_set(name, table));
        std::iter::once(Ok(production)).chain(others).collect()
    }

    fn criteria_set(&self, name: &str, table: &Table) -> Result<CriteriaSet, ConfigError> {
        let production = name == PRODUCTION;
        let starts_empty = table.iter().any(|(key, value)| {
            key.get_ref() == DEFAULTS && matches!(value.get_ref(), ThresholdValue::Switch(false))
        });
        let mut set = CriteriaSet::new(name, if starts_empty { BTreeMap::new() } else { defaults() });
        for (key, value) in table {
            let wrong = |message: String| Err(self.error(Some(value.span()), message));
            let key_name = key.get_ref().as_str();
            match (key_name, *value.get_ref()) {
                (DEFAULTS | MAX_TEMPERATURE, _) if production => {
                    return wrong(format!(
                        "{key_name} is for other uses: production is judged by everything"
                    ));
                }
                (DEFAULTS, ThresholdValue::Switch(_)) => {}
                (DEFAULTS, _) => return wrong(format!("{DEFAULTS}: expected true or false")),
                (MAX_TEMPERATURE, ThresholdValue::Number(kelvins))
                    if kelvins.is_finite() && kelvins > 0.0 =>
                {
                    set.max_temperature_k = Some(kelvins);
                }
                (MAX_TEMPERATURE, _) => {
                    return wrong(format!("{MAX_TEMPERATURE}: expected a positive number of kelvins"));
                }
                (TIME, ThresholdValue::Number(time_ns)) if time_ns.is_finite() && time_ns > 0.0 => {
                    if production && time_ns < DEFAULT_TIME_NS {
                        return wrong(format!(
                            "{TIME} = {time_ns} would make production looser (expected at least {DEFAULT_TIME_NS}; a use \
                             of another name may be shorter)"
                        ));
                    }
                    set.time_ns = time_ns;
                }
                (TIME, _) => return wrong(format!("{TIME}: expected a positive number of nanoseconds")),
                (_, value) => {
                    let Some(criterion) = md_criteria::find(key_name) else {
                        if let Some(new) = md_criteria::replaced(key_name) {
                            let message = format!("{key_name} is replaced by {new}");
                            return Err(self.error(Some(key.span()), message));
                        }
                        let mut known: Vec<&str> = md_criteria::ALL.iter().map(|c| c.key).collect();
                        known.extend([MAX_TEMPERATURE, TIME, DEFAULTS]);
                        return Err(self.error(Some(key.span()), unknown("criterion", key_name, &known)));
                    };
                    let found = threshold(criterion, value, production).and_then(|found| match found {
                        Some(threshold) if production => not_looser(criterion, threshold).map(Some),
                        other => Ok(other),
                    });
                    match found {
                        Ok(Some(threshold)) => set.thresholds.insert(key_name.to_owned(), threshold),
                        Ok(None) => set.thresholds.remove(key_name),
                        Err(message) => return wrong(message),
                    };
                }
            }
        }
        if set.thresholds.is_empty() {
            let span = table.keys().next().map(Spanned::span);
            return Err(self.error(span, format!("the use '{name}' has no criterion: add one")));
        }
        Ok(set)
    }
}

/// Returns the default thresholds.
pub(super) fn defaults() -> BTreeMap<String, Threshold> {
    let default =
        |c: &Criterion| Some((c.key.to_owned(), Threshold::new(c.default?, ThresholdSource::Default)));
    md_criteria::ALL.iter().filter_map(default).collect()
}

/// Returns the threshold that `value` sets for `criterion`; `None` if it waives the criterion.
fn threshold(
    criterion: &Criterion,
    value: ThresholdValue,
    production: bool,
) -> Result<Option<Threshold>, String> {
    let key = criterion.key;
    let lowest = match value {
        ThresholdValue::Number(value) => value,
        ThresholdValue::Pair(Pair { good, bad }) => good.min(bad),
        ThresholdValue::Switch(_) => 0.0,
    };
    if lowest < 0.0 {
        return Err(format!("{key} = {lowest} (no value is below 0: expected 0 or more)"));
    }
    match value {
        ThresholdValue::Number(value) if value.is_finite() => {
            Ok(Some(Threshold::new(value, ThresholdSource::Campaign)))
        }
        ThresholdValue::Pair(Pair { good, bad }) if good.is_finite() && bad.is_finite() => {
            let ordered = match criterion.bound {
                Bound::AtMost => good <= bad,
                Bound::AtLeast => good >= bad,
            };
            if !ordered {
                let sign = criterion.bound.sign();
                return Err(format!("{key}: good = {good}, bad = {bad} (expected good {sign} bad)"));
            }
            Ok(Some(Threshold { bad: Some(bad), ..Threshold::new(good, ThresholdSource::Campaign) }))
        }
        ThresholdValue::Switch(false) if !production => Ok(None),
        ThresholdValue::Switch(false) => {
            Err(format!("{key} cannot be waived for production (waive it in a use of another name)"))
        }
        _ => Err(format!(
            "{key}: expected a finite number, {{ good = NUMBER, bad = NUMBER }}, or false to waive it"
        )),
    }
}

/// Returns a threshold of production if it is not looser than the default.
pub(super) fn not_looser(criterion: &Criterion, threshold: Threshold) -> Result<Threshold, String> {
    let looser =
        [Some(threshold.value), threshold.bad].into_iter().flatten().find(|x| is_looser(criterion, *x));
    match (criterion.default, looser) {
        (Some(default), Some(looser)) => Err(format!(
            "{} = {} is looser than the {default} that production needs at least: give it to a use of another name, \
             [criteria.NAME], and expect = \"NAME\" to the models",
            criterion.key,
            written(looser)
        )),
        _ => Ok(threshold),
    }
}
