use std::collections::BTreeMap;

use md_results::{Model, Results, Speed};
use serde::{Deserialize, Serialize};

use super::Direction;

/// Relative difference of step times that may be due to chance; their uncertainty is not known.
const WITHIN: f64 = 0.1;

/// Change of the speed for one molecule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpeedChange {
    /// Name of the molecule.
    pub molecule: String,
    /// Number of systems evaluated together.
    pub batch: usize,
    /// Number of threads available.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Time per step in the first results, ms.
    pub before_ms_per_step: f64,
    /// Time per step in the second results, ms.
    pub after_ms_per_step: f64,
    /// First time divided by the second: above 1 the second is faster.
    pub ratio: f64,
    /// Direction of the change; absent for times within 10 % of each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
}

/// Speeds by the name of the model.
pub(super) type ByModel<'a> = BTreeMap<&'a str, Vec<&'a Speed>>;

/// Groups the speeds of results.
pub(super) fn by_model(results: &Results) -> ByModel<'_> {
    let mut all = ByModel::new();
    results.speed.iter().for_each(|s| all.entry(&s.model).or_default().push(s));
    all
}

/// Returns the speeds that both models have, or the reason why they cannot be compared.
pub(super) fn compare(
    a: &Results,
    before: &Model,
    b: &Results,
    after: &Model,
    [of_a, of_b]: &[ByModel<'_>; 2],
) -> Result<Vec<SpeedChange>, String> {
    let key = |s: &Speed| (s.molecule.clone(), s.batch, s.threads);
    let theirs: BTreeMap<_, &Speed> =
        of_b.get(after.name.as_str()).into_iter().flatten().rev().map(|&y| (key(y), y)).collect();
    let mut changes = Vec::new();
    for &x in of_a.get(before.name.as_str()).into_iter().flatten() {
        let Some(&y) = theirs.get(&key(x)) else { continue };
        let cpu = |results: &Results| results.provenance.cpu.clone();
        match (cpu(a), cpu(b)) {
            (Some(p), Some(q)) if p == q => {}
            (p, q) => {
                let [p, q] = [p, q].map(|name| name.unwrap_or_else(|| "an unknown CPU".to_owned()));
                return Err(format!("speeds are not comparable: measured on {p} and on {q}"));
            }
        }
        if x.device != y.device {
            return Err(format!("speeds are not comparable: measured on {} and on {}", x.device, y.device));
        }
        let ratio = x.ms_per_step / y.ms_per_step;
        let within = (y.ms_per_step - x.ms_per_step).abs() <= WITHIN * x.ms_per_step.max(y.ms_per_step);
        changes.push(SpeedChange {
            molecule: x.molecule.clone(),
            batch: x.batch,
            threads: x.threads,
            before_ms_per_step: x.ms_per_step,
            after_ms_per_step: y.ms_per_step,
            ratio,
            direction: Direction::from_to(1.0, ratio).filter(|_| !within),
        });
    }
    Ok(changes)
}
