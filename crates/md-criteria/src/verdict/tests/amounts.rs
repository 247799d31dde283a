//! Amounts of evidence, and criteria that apply only where data are given.

use md_results::{Experiment, UncoveredAtom};

use super::*;

/// Asserts that `change` leaves the model incomplete, with `reason` in its summary and its production check of `key`.
fn assert_too_little(key: &str, change: impl Fn(&mut Results), reason: &str) {
    let check = check_of(key, &change);
    assert_eq!(check.status, Status::Skipped, "{key}: {check:?}");
    assert!(check.value.is_some() && check.reason.contains(reason), "{key}: {check:?}");
    let (verdict, uses, summary, outcome) = judged(change);
    assert_eq!((verdict, outcome), (Verdict::Incomplete, Outcome::Incomplete), "{key}: {summary}");
    assert!(uses.is_empty() && summary.contains(reason), "{key}: {uses:?} {summary}");
}

#[test]
fn judge_is_incomplete_with_too_few_replicas_or_temperatures() {
    assert_too_little("replicas", |r| r.runs.truncate(3), "1 run at 100 K");
    assert_too_little("temperatures", |r| r.runs.truncate(2), "runs at 300 K");
    let cold = |r: &mut Results| {
        r.runs = [10.0, 299.0].into_iter().flat_map(two_replicas).collect();
    };
    assert_too_little("hottest_temperature_K", cold, "the hottest runs are at 299 K");
    // Nearly equal temperatures count as one, and rest does not count.
    for kelvins in [[300.0, 300.001], [300.0, 320.0], [0.001, 300.0]] {
        let near = move |r: &mut Results| r.runs = kelvins.into_iter().flat_map(two_replicas).collect();
        assert_too_little("temperatures", near, "runs at ");
    }
    // A short run is no second replica of a long one.
    let short = |r: &mut Results| r.runs[1].steps_planned = 2000;
    assert_too_little("replicas", short, "1 run at 300 K");
    // A run with a thermostat is not a run at constant energy.
    assert_too_little("replicas", |r| r.runs[0].ensemble = thermostat("langevin"), "1 run at 300 K");
    // A user-defined use may require less.
    let (.., uses, _, _) = judged(|r| {
        r.runs.truncate(1);
        r.criteria[1].thresholds.retain(|key, _| !["replicas", "temperatures"].contains(&key.as_str()));
    });
    assert_eq!(uses, ["screening"]);
}

/// Runs named 100 and 300 K whose mean temperatures are others, as from the seeds of a start at the minimum.
#[test]
fn runs_off_their_temperature_do_not_count() {
    let off = |mean_k: f64| move |r: &mut Results| r.runs[0].temperature = at(mean_k);
    assert_too_little(
        "replicas",
        off(82.0),
        "1 of 2 runs at 300 K do not count, with a mean temperature of 82 K",
    );
    let all = |r: &mut Results| r.runs.iter_mut().for_each(|run| run.temperature = at(29.0));
    assert_too_little(
        "temperatures",
        all,
        "no run counts; 2 of 2 runs at 300 K do not count, with a mean temperature of 29 K and 29 K",
    );
    assert_too_little("hottest_temperature_K", all, "no run is at its temperature");
    // Many are not listed: a text of 10,000 temperatures made a report take minutes.
    let many = |r: &mut Results| {
        r.runs = (0..10_000)
            .map(|n| Run { replica: n, temperature: at(20.0 + f64::from(n % 50)), ..run() })
            .collect();
    };
    let reason =
        "0 runs at 300 K; 10000 of 10000 runs at 300 K do not count, with a mean temperature of 20 to 69 K";
    assert_eq!(check_of("replicas", many).reason, reason);
    // A run without a recorded temperature is at none.
    assert_too_little("replicas", |r| r.runs[0].temperature = None, "1 run at 300 K");
    // Few degrees of freedom have a wide mean: 20 %, else 10 %.
    let status = |mean_k: f64, degrees_of_freedom: usize| {
        check_of("replicas", |r| {
            let few = at(mean_k).map(|t| RunTemperature { degrees_of_freedom, ..t });
            r.runs[0].temperature = few;
        })
        .status
    };
    let first_k = sound().runs[0].temperature_k;
    assert_eq!(status(1.19 * first_k, 9), Status::Pass);
    assert_eq!(status(1.21 * first_k, 9), Status::Skipped);
    assert_eq!(status(0.91 * first_k, 10), Status::Pass);
    assert_eq!(status(0.89 * first_k, 10), Status::Skipped);
    assert_eq!(status(0.0, 0), Status::Pass, "one atom is at rest");
}

#[test]
fn envelope_names_measured_temperatures_and_shortest_runs() {
    let mut results = sound();
    results.runs[0].temperature = at(301.0);
    results.runs[1].temperature = at(298.0);
    results.runs.push(Run { steps_planned: 100, steps_done: 100, replica: 2, ..run() });
    judge(&mut results);
    let envelope = &results.models[0].envelope;
    assert_eq!(envelope.temperatures_k, [100.0, 300.0]);
    assert_eq!(envelope.measured_k, [[100.0, 100.0], [298.0, 301.0]]);
    assert_eq!(envelope.duration_ps, Some(10.0), "a short run beside long ones serves another purpose");
}

#[test]
fn timestep_over_safe_is_incomplete() {
    let over = |r: &mut Results| {
        r.runs
            .iter_mut()
            .for_each(|run| (run.timestep_fs, run.steps_planned, run.steps_done) = (2.0, 5000, 5000));
        r.timesteps = vec![ladder(Some(1.0)), ladder(Some(0.5))];
    };
    assert_eq!(check_of("timestep_over_safe", over).value, Some(4.0));
    assert_too_little("timestep_over_safe", over, "runs at 2 fs, but the longest safe step is 0.5 fs");
    let at_it = |r: &mut Results| r.timesteps = vec![ladder(Some(0.5))];
    assert_eq!(check_of("timestep_over_safe", at_it).status, Status::Pass);
    // Each integrator has its own ladder.
    let of_fourth_order = |r: &mut Results| {
        let fourth = Some("forest_ruth".to_owned());
        r.runs.push(Run {
            timestep_fs: 2.0,
            steps_planned: 5000,
            steps_done: 5000,
            integrator: fourth.clone(),
            ..run()
        });
        r.timesteps = vec![ladder(Some(0.5)), TimestepLadder { integrator: fourth, ..ladder(Some(2.0)) }];
    };
    assert_eq!(check_of("timestep_over_safe", of_fourth_order).value, Some(1.0));
    let without_its_ladder = |r: &mut Results| {
        of_fourth_order(r);
        r.timesteps.truncate(1);
    };
    assert_eq!(check_of("timestep_over_safe", without_its_ladder).status, Status::Skipped);
    for (change, reason) in [
        ((|r| r.timesteps.clear()) as Removal, "the safe time step was not measured"),
        (|r| r.timesteps = vec![ladder(Some(1.0)), ladder(None)], "no time step of the ladder was safe"),
        (|r| r.timesteps[0].molecule = "methane".into(), "the safe time step was not measured"),
    ] {
        let (verdict, _, summary, _) = judged(change);
        assert_eq!(verdict, Verdict::Incomplete, "{summary}");
        assert!(summary.contains(reason), "{summary}");
    }
}

#[test]
fn runs_left_out_are_named_and_incomplete() {
    let left_out = |kelvins: f64| {
        move |r: &mut Results| {
            r.campaign.left_out = vec![LeftOut {
                model: "m".into(),
                molecule: "water".into(),
                ensemble: Ensemble::Nve,
                temperature_k: kelvins,
                replicas: vec![0, 2],
            }];
        }
    };
    assert_eq!(check_of("runs_left_out", left_out(500.0)).value, Some(2.0));
    assert_too_little("runs_left_out", left_out(500.0), "nve at 500 K, replica 0, 2");
    // Runs above the maximum temperature of a use are not missing from it.
    let (verdict, uses, ..) = judged(|r| {
        left_out(500.0)(r);
        r.criteria[1].max_temperature_k = Some(300.0);
    });
    assert_eq!((verdict, uses), (Verdict::Incomplete, vec!["screening".to_owned()]));
}

#[test]
fn outcome_of_unfinished_campaign_is_incomplete() {
    let mut results = sound();
    results.campaign.finished.clear();
    results.models.push(Model { name: "later".into(), ..results.models[0].clone() });
    judge(&mut results);
    assert_eq!(outcome(&results), Outcome::Incomplete);
    assert_eq!(results.models[0].verdict, Some(Verdict::Approved), "it was measured to its end");
    assert_eq!(results.models[1].verdict, Some(Verdict::Incomplete));
    assert_eq!(results.models[1].summary, "not measured: the campaign was stopped before it");
    // A shard of a campaign has no outcome either.
    let mut shard = sound();
    shard.campaign.shard = Some("1/2".into());
    judge(&mut shard);
    assert_eq!(outcome(&shard), Outcome::Incomplete);
    // An unfinished campaign has no outcome, even if a model is rejected already.
    results.gates[0].value = Some(0.1);
    judge(&mut results);
    assert_eq!(outcome(&results), Outcome::Incomplete);
}

#[test]
fn frequency_error_is_judged_where_reference_is_given() {
    let off_by = |percent: Option<f64>| {
        move |r: &mut Results| {
            r.molecules[0].reference_frequencies_per_cm = vec![1600.0, 3800.0, 3900.0];
            r.gates.retain(|g| g.id.name() != "frequency_error");
            r.gates
                .extend(percent.map(|percent| Gate { value: Some(percent), ..gate(GateId::FrequencyError) }));
        }
    };
    let key = "frequency_error_percent";
    assert_eq!(check_of(key, off_by(Some(7.0))).status, Status::Fail);
    assert_eq!(check_of(key, off_by(Some(1.0))).status, Status::Pass);
    assert_eq!(check_of(key, off_by(None)).status, Status::Skipped);
    assert_eq!(judged(off_by(Some(7.0))).0, Verdict::Rejected);
    let mut results = sound();
    judge(&mut results);
    assert!(results.models[0].checks.iter().all(|c| c.id != key), "nothing to compare with was given");
}

#[test]
fn force_slope_error_fails_forces_off_by_one_factor() {
    let key = "force_slope_error";
    let with = |slope: f64, error: Option<f64>| {
        move |r: &mut Results| {
            let force = r.evaluations[0].force.as_mut().unwrap();
            (force.slope, force.slope_standard_error) = (Some(slope), error);
        }
    };
    for (slope, error, status) in [
        (0.87, Some(0.01), Status::Fail),
        (1.15, Some(0.01), Status::Fail),
        (0.96, Some(0.001), Status::Pass),
        (0.94, Some(0.02), Status::Undecided),
        (0.96, Some(0.02), Status::Undecided),
        (1.0, None, Status::Skipped),
    ] {
        assert_eq!(check_of(key, with(slope, error)).status, status, "{slope} {error:?}");
    }
    let (verdict, _, summary, _) = judged(with(0.87, Some(0.01)));
    assert_eq!(verdict, Verdict::Rejected);
    insta::assert_snapshot!(summary);
}

#[test]
fn judge_rejects_divergence_in_thermostat_run() {
    let (verdict, ..) = judged(|r| {
        let reason = Some("the bond 0-1 stretched".to_owned());
        let hot =
            Run { ensemble: thermostat("langevin"), fate: RunFate::Diverged, fate_reason: reason, ..run() };
        r.runs.push(Run { steps_done: 100, ..hot });
    });
    assert_eq!(verdict, Verdict::Rejected);
    // A ramp heats until the molecule breaks.
    let (verdict, ..) = judged(|r| {
        let ramp = Run { ensemble: thermostat("bussi"), ramp_to_k: Some(2000.0), ..run() };
        r.runs.push(Run { fate: RunFate::Diverged, steps_done: 100, ..ramp });
    });
    assert_eq!(verdict, Verdict::Approved);
}

#[test]
fn time_and_labelled_frames_are_amounts() {
    assert_too_little("simulated_ps", |r| drop(r.runs.drain(2..3)), "30 ps in 3 runs");
    let off = |r: &mut Results| r.runs[0].temperature = at(82.0);
    assert_too_little("simulated_ps", off, "30 ps in 3 of 4 runs");
    let few = |r: &mut Results| r.evaluations[0].force.as_mut().unwrap().n_frames = 9;
    assert_too_little("labelled_frames", few, "9 frames with forces");
    let two_files = |r: &mut Results| {
        few(r);
        r.evaluations.push(evaluation());
    };
    assert_eq!(check_of("labelled_frames", two_files).value, Some(109.0));
    let same_file = |r: &mut Results| {
        few(r);
        let force = r.evaluations[0].force.clone().unwrap();
        let repeated = ForceErrors { n_in_earlier_files: 9, ..force };
        r.evaluations.push(Evaluation { force: Some(repeated), ..evaluation() });
    };
    assert_too_little("labelled_frames", same_file, "9 frames with forces, 9 of them in several files");
    let few_energies = |r: &mut Results| r.evaluations[0].energy.as_mut().unwrap().n_frames = 2;
    assert_too_little("labelled_energies", few_energies, "2 frames with energies");
}

#[test]
fn atoms_that_no_frame_covers_are_named() {
    let atom = |atom, frames| UncoveredAtom { atom, what: "C bonded to N, O".into(), frames };
    let uncovered = move |r: &mut Results| r.coverages[0].uncovered = vec![atom(4, 0), atom(7, 3)];
    let reason = "atom 4: C bonded to N, O; atom 7: C bonded to N, O (3 of 16 visited frames); in none of 1000 training and 100 \
                  reference frames";
    assert_too_little("uncovered_atoms", uncovered, reason);
    let untrained = check_of("uncovered_atoms", move |r| {
        r.coverages[0].untrained = [0, 1, 2, 3, 4].map(|n| atom(n, 0)).into();
    });
    assert_eq!(untrained.status, Status::Pass);
    assert!(untrained.reason.ends_with("atom 2: C bonded to N, O; and 2 more"), "{untrained:?}");
    assert_eq!(check_of("uncovered_atoms", |r| r.coverages.clear()).status, Status::Skipped);
}

/// A model is not blamed for a step that its own ladder calls too long, unless it breaks at a safe one, too.
#[test]
fn runs_at_a_step_that_is_not_safe_say_nothing() {
    let broken = |r: &mut Results| {
        r.runs.iter_mut().for_each(|run| (run.fate, run.steps_done) = (RunFate::Diverged, 20));
    };
    let (verdict, _, summary, _) = judged(|r| {
        broken(r);
        r.timesteps = vec![ladder(Some(0.25))];
    });
    assert_eq!(verdict, Verdict::Incomplete, "{summary}");
    let reason =
        "runs at 0.5 fs do not count: the longest safe step is 0.25 fs: set timestep_fs = 0.25 or less";
    assert!(summary.contains(reason), "{summary}");
    let experiment = |timestep_fs: f64, diverged: bool| Experiment {
        name: "a shorter step".into(),
        timestep_fs,
        drift_mev_per_atom_per_ps: None,
        drift_standard_error: None,
        rms_fluctuation_mev_per_atom: None,
        diverged: diverged.then(|| "the bond 0-1 stretched".to_owned()),
    };
    let with = |experiments: &[Experiment], safe_fs: Option<f64>| {
        let (verdict, ..) = judged(|r| {
            broken(r);
            r.timesteps = vec![ladder(safe_fs)];
            r.attributions =
                vec![Attribution { experiments: experiments.to_vec(), ..attribution(CauseKind::BrokenBond) }];
        });
        verdict
    };
    assert_eq!(with(&[experiment(0.125, true)], Some(0.25)), Verdict::Rejected);
    assert_eq!(with(&[experiment(0.125, false)], Some(0.25)), Verdict::Incomplete);
    assert_eq!(with(&[experiment(0.4, true)], Some(0.25)), Verdict::Incomplete, "nor is that step safe");
    assert_eq!(with(&[], None), Verdict::Rejected, "no step is safe");
    // Who waives the criterion means the step of the runs.
    let (_, uses, ..) = judged(|r| {
        r.runs.extend(two_replicas(300.0).map(|run| Run {
            fate: RunFate::Diverged,
            steps_done: 20,
            timestep_fs: 2.0,
            ..run
        }));
        r.criteria[1].thresholds.remove("timestep_over_safe");
    });
    assert!(uses.is_empty(), "{uses:?}");
}
