//! Formatting of numbers and findings, identical in all output formats.

use std::time::Duration;

use md_results::{
    Check, Envelope, Evaluation, Failure, FailureBound, Model, PRODUCTION, Results, Role, Stage, Status,
    number, worst,
};

/// Formats a time in whole seconds, as `1h 5m 3s`; `unknown` if it is not a valid time.
pub fn duration(seconds: f64) -> String {
    match Duration::try_from_secs_f64(seconds.round()) {
        Ok(duration) => humantime::format_duration(duration).to_string(),
        Err(_) => "unknown".to_owned(),
    }
}

/// Describes the measurement of a stage.
pub fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Load => "checkpoint",
        Stage::Gates => "physics gates",
        Stage::Relaxation => "relaxation",
        Stage::Evaluation => "force errors",
        Stage::Speed => "speed",
        Stage::Minimum => "stability of the minimum",
        Stage::Comparison => "dynamics against reference trajectories",
        Stage::Coverage => "atoms that known frames do not cover",
        Stage::Shift => "distance from the reference frames",
        Stage::Attribution => "causes of energy loss",
        Stage::Timesteps => "safe time steps",
    }
}

/// Describes a failed stage and its reason.
pub fn failure(failure: &Failure) -> String {
    let molecule = failure.molecule.as_deref().map_or(String::new(), |m| format!(" on {m}"));
    format!("{}: {}{molecule}: {}", failure.model, stage(failure.stage), failure.reason)
}

/// Describes an unfinished campaign and its missing measurements, or a shard; `None` for a finished campaign.
pub fn unfinished(results: &Results) -> Option<String> {
    if results.campaign.is_whole() {
        return None;
    }
    if let (true, Some(shard)) = (results.campaign.is_finished(), &results.campaign.shard) {
        return Some(format!(
            "UNFINISHED: these are the results of shard {shard} of a campaign alone; mdproof merge joins the shards"
        ));
    }
    let open: Vec<&str> =
        results.models.iter().filter(|m| !results.is_measured(&m.name)).map(|m| m.name.as_str()).collect();
    let of = results.models.len();
    let measured = of - open.len();
    let not = if open.is_empty() { String::new() } else { format!(", not {}", open.join(", ")) };
    let runs = results
        .progress()
        .map_or(String::new(), |[made, planned]| format!("; {made} of {planned} runs made"));
    let resume = match &results.campaign.resume {
        Some(command) => format!("continue it with: {command}"),
        None => "mdproof validate with --resume continues it".to_owned(),
    };
    Some(format!(
        "UNFINISHED: the campaign was stopped before its end, {measured} of {of} models measured{not}{runs}; {resume}"
    ))
}

/// Returns what stands at the top of every report: that the campaign is unfinished, and what was noticed about its file.
pub fn notices(results: &Results) -> Vec<String> {
    unfinished(results).into_iter().chain(results.remarks.iter().cloned()).collect()
}

/// Describes the conditions covered by finished runs; `None` if there are none.
pub fn envelope(model: &Model) -> Option<String> {
    let envelope = &model.envelope;
    envelope.temperatures_k.first()?;
    envelope.molecules.first()?;
    let mut parts = vec![envelope.molecules.join(", "), temperatures(envelope)];
    parts.extend(envelope.duration_ps.map(|ps| format!("{} ps", number(ps))));
    parts.extend(envelope.timestep_fs.map(|fs| format!("at {} fs", number(fs))));
    parts.extend(
        envelope
            .largest_safe_timestep_fs
            .map(|fs| format!("safe up to {} fs by the ladder of time steps", number(fs))),
    );
    parts.extend(lasts(envelope).map(|text| format!("shown to last {text}")));
    Some(format!("seen to run: {}", parts.join("; ")))
}

/// Describes how long runs at the hottest temperature are shown to last on the molecule that was watched for the shortest time
/// or failed most; `None` without runs.
pub fn lasts(envelope: &Envelope) -> Option<String> {
    let rate = |bound: &&FailureBound| bound.rate_upper_per_ns;
    let worst = envelope.failure_bounds.iter().max_by(|a, b| rate(a).total_cmp(&rate(b)))?;
    let FailureBound { molecule, temperature_k, observed_ps, failures, rate_upper_per_ns } = worst;
    let failed = match failures {
        0 => "no failure".to_owned(),
        1 => "1 failure".to_owned(),
        n => format!("{n} failures"),
    };
    Some(format!(
        "{} ns at {} K ({molecule}: {failed} in {} ps, below {} per ns at 95 %: half of all runs last that long)",
        number(worst.half_life_ns()),
        number(*temperature_k),
        number(*observed_ps),
        number(*rate_upper_per_ns)
    ))
}

/// Describes the probability that the verdict is wrong by chance; `None` where nothing was decided.
pub fn chance(model: &Model) -> Option<String> {
    let chance = match model.chance? {
        p if p < 1e-6 => "below 0.0001 %".to_owned(),
        p => format!("at most {} %", number(100.0 * p)),
    };
    let n = model.checks.iter().filter(|c| c.chance.is_some()).count();
    Some(format!(
        "chance that the verdict is wrong by the scatter of its samples, all {n} checks with such an error together: {chance}"
    ))
}

/// Lists the temperatures of an envelope, with the means that were measured.
pub fn temperatures(envelope: &Envelope) -> String {
    let measured = |n: usize| match envelope.measured_k.get(n) {
        Some([lowest, highest]) if format!("{lowest:.0}") == format!("{highest:.0}") => {
            format!(" (measured: {lowest:.0} K)")
        }
        Some([lowest, highest]) => format!(" (measured: {lowest:.0} to {highest:.0} K)"),
        None => String::new(),
    };
    let one = |(n, kelvin): (usize, &f64)| format!("{} K{}", number(*kelvin), measured(n));
    envelope.temperatures_k.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
}

/// Describes the force error along the model's own runs; `None` if it was not measured.
pub fn error_against_time(evaluation: &Evaluation) -> Option<String> {
    evaluation.by_time.first()?;
    let mut kelvins: Vec<f64> = evaluation.by_time.iter().map(|b| b.temperature_k).collect();
    kelvins.dedup();
    let rows: Vec<String> = kelvins
        .iter()
        .map(|k| {
            let bins = evaluation.by_time.iter().filter(|b| b.temperature_k == *k);
            let errors: Vec<String> = bins
                .map(|b| format!("{} to {} ps", number(b.rmse_ev_per_angstrom), number(b.to_ps)))
                .collect();
            format!("{k} K {}", errors.join(", "))
        })
        .collect();
    let molecule = evaluation.molecule.as_deref().unwrap_or_default();
    Some(format!("force RMSE (eV/Å) along its own runs of {molecule}: {}", rows.join("; ")))
}

/// Returns a line for every further use of the campaign and every candidate.
pub fn use_lines(results: &Results) -> Vec<String> {
    let mut lines = Vec::new();
    for set in results.criteria.iter().filter(|s| s.name != PRODUCTION) {
        for model in results.models.iter().filter(|m| m.role == Role::Candidate) {
            let checks = || model.checks.iter().filter(|c| c.use_name == set.name);
            let bad = checks().filter(|c| c.status.is_open_or_bad()).count();
            let (status, all) = (worst(checks()).label(), checks().count());
            lines.push(format!(
                "use {} / {}: {status} ({bad} of {all} checks do not pass)",
                set.name, model.name
            ));
        }
    }
    lines
}

/// Returns the reasons why checks of a use were skipped or are not applicable, with the titles of their criteria.
pub fn skipped<'a>(
    checks: impl Iterator<Item = &'a Check>,
    title: impl Fn(&'a str) -> &'a str,
) -> Vec<String> {
    let mut reasons: Vec<(Status, &str, Vec<&str>)> = Vec::new();
    for check in checks.filter(|c| matches!(c.status, Status::Skipped | Status::NotApplicable)) {
        let title = title(&check.id);
        match reasons
            .iter_mut()
            .find(|(status, reason, _)| *status == check.status && *reason == check.reason)
        {
            Some((.., titles)) if titles.contains(&title) => {}
            Some((.., titles)) => titles.push(title),
            None => reasons.push((check.status, &check.reason, vec![title])),
        }
    }
    let line = |(status, reason, titles): (Status, &str, Vec<&str>)| {
        format!("{} {}: {reason}", titles.join(", "), status.label())
    };
    reasons.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fixtures;

    #[test]
    fn envelope_and_failure_are_worded_with_numbers() {
        let mut model = fixtures::model("tiny", json!([]));
        assert_eq!(envelope(&model), None);
        model.envelope = serde_json::from_value(json!({
            "molecules": ["water"], "temperatures_K": [100.0, 300.0], "timestep_fs": 0.5, "duration_ps": 10.0,
            "measured_K": [[98.2, 101.4], [305.0, 305.1]], "elements": ["H", "O"], "atoms": [3, 13], "largest_safe_timestep_fs": 1.0,
            "failure_bounds": [
                { "molecule": "methane", "temperature_K": 300.0, "observed_ps": 40.0, "failures": 0, "rate_upper_per_ns": 74.893 },
                { "molecule": "water", "temperature_K": 300.0, "observed_ps": 20.0, "failures": 0, "rate_upper_per_ns": 149.787 },
            ],
        }))
        .unwrap();
        let words = "seen to run: water; 100 K (measured: 98 to 101 K), 300 K (measured: 305 K); 10 ps; at 0.5 fs; safe up to 1 fs by the ladder of time steps; \
             shown to last 0.004628 ns at 300 K (water: no failure in 20 ps, below 149.8 per ns at 95 %: half of all runs last that long)";
        assert_eq!(envelope(&model).as_deref(), Some(words));
        assert_eq!(chance(&model), None);
        model.chance = Some(0.0123);
        let words = "chance that the verdict is wrong by the scatter of its samples, all 0 checks with such an error together: \
                     at most 1.23 %";
        assert_eq!(chance(&model).as_deref(), Some(words));
        let broken = Failure {
            model: "tiny".to_owned(),
            molecule: Some("water".to_owned()),
            stage: Stage::Evaluation,
            reason: "no such file".to_owned(),
        };
        assert_eq!(failure(&broken), "tiny: force errors on water: no such file");
        assert_eq!((duration(3903.4), duration(f64::NAN)), ("1h 5m 3s".to_owned(), "unknown".to_owned()));
    }

    #[test]
    fn error_against_time_is_grouped_by_temperature() {
        let bin = |kelvin: f64, to: f64, rmse: f64| {
            let mut bin = json!({ "temperature_K": kelvin, "from_ps": 0.0, "to_ps": to });
            bin["n_frames"] = json!(4);
            bin["rmse_eV_per_A"] = json!(rmse);
            bin
        };
        let mut evaluation: Evaluation = serde_json::from_value(json!({
            "model": "tiny", "molecule": "water", "frames": "own.extxyz", "sha256": "", "n_frames": 12,
            "by_time": [bin(300.0, 1.0, 0.05), bin(300.0, 2.0, 0.06), bin(500.0, 1.0, 0.1)],
        }))
        .unwrap();
        let words = "force RMSE (eV/Å) along its own runs of water: \
                     300 K 0.05 to 1 ps, 0.06 to 2 ps; 500 K 0.1 to 1 ps";
        assert_eq!(error_against_time(&evaluation).as_deref(), Some(words));
        evaluation.by_time.clear();
        assert_eq!(error_against_time(&evaluation), None);
    }

    #[test]
    fn skipped_criteria_with_same_reason_share_a_line() {
        let check = |id: &str, status: &str, reason: &str| {
            json!({ "id": id, "use": "production", "status": status, "threshold": 1.0, "unit": "", "molecule": "water",
                "reason": reason })
        };
        let model = fixtures::model(
            "tiny",
            json!([
                check("rmse", "skipped", "no reference"),
                check("mae", "skipped", "no reference"),
                check("rmse", "skipped", "no reference"),
                check("drift", "skipped", "no run"),
                check("kink", "pass", ""),
                check("equivalence", "not_applicable", "one implementation"),
                check("noise", "not_applicable", "no run"),
            ]),
        );
        let title = |key| if key == "mae" { "mean error" } else { key };
        let lines = skipped(model.checks.iter(), title);
        assert_eq!(
            lines,
            [
                "rmse, mean error SKIPPED: no reference",
                "drift SKIPPED: no run",
                "equivalence NOT APPLICABLE: one implementation",
                "noise NOT APPLICABLE: no run",
            ]
        );
    }

    #[test]
    fn use_lines_has_line_per_further_use() {
        let check = |use_name: &str, status: &str| {
            json!({ "id": "rmse", "use": use_name, "status": status, "threshold": 1.0, "unit": "", "molecule": "water",
                "reason": "" })
        };
        let checks =
            json!([check("production", "pass"), check("screening", "pass"), check("screening", "fail")]);
        let mut results = fixtures::results(vec![fixtures::model("tiny", checks)]);
        let sets = ["production", "screening"].map(|n| json!({ "use": n, "thresholds": {} }));
        results.criteria = serde_json::from_value(json!(sets)).unwrap();
        assert_eq!(use_lines(&results), ["use screening / tiny: FAIL (1 of 2 checks do not pass)"]);
    }
}
