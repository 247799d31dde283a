//! What is said of a model over all checks: minimum bars of production, the chance of a wrong verdict, expectations.

use super::*;

fn production(r: &mut Results) -> &mut BTreeMap<String, Threshold> {
    &mut r.criteria[0].thresholds
}

/// Bars of production that are looser than the program's, or lost from the file, are no waiver.
#[test]
fn production_is_judged_by_no_less_than_the_defaults() {
    for lost in [false, true] {
        let (verdict, uses, summary, _) = judged(|r| {
            r.speed[0].ms_per_step = 50.0;
            for set in &mut r.criteria {
                let thresholds = &mut set.thresholds;
                match lost {
                    true => drop(thresholds.remove("inference_ms_per_step")),
                    false => {
                        let waiver = Threshold::new(1e300, ThresholdSource::Campaign);
                        thresholds.insert("inference_ms_per_step".to_owned(), waiver);
                    }
                }
            }
        });
        assert_eq!((verdict, uses), (Verdict::Restricted, vec!["screening".to_owned()]), "{summary}");
    }
    // An empty set is the defaults.
    let (verdict, ..) = judged(|r| production(r).clear());
    assert_eq!(verdict, Verdict::Approved);
    // Stricter ones stand.
    let strict = Threshold::new(0.5, ThresholdSource::Campaign);
    let check = check_of("inference_ms_per_step", |r| {
        production(r).insert("inference_ms_per_step".to_owned(), strict.clone());
    });
    assert_eq!((check.status, check.threshold), (Status::Fail, 0.5));
}

/// Two standard errors from the bar, with 99 degrees of freedom.
#[test]
fn chance_of_a_check_is_that_of_students_t() {
    let check = |rmse: f64, error: f64| {
        check_of("force_rmse_ev_per_angstrom", |r| {
            let force = r.evaluations[0].force.as_mut().unwrap();
            (force.rmse_ev_per_angstrom, force.rmse_standard_error_ev_per_angstrom) = (rmse, Some(error));
        })
    };
    let passes = check(0.1, 0.05);
    // scipy.stats.t.sf(2, 99)
    assert!((passes.chance.unwrap() - 0.024_119_85).abs() < 1e-6, "{passes:?}");
    assert_eq!(passes.status, Status::Pass);
    let fails = check(0.3, 0.05);
    assert_eq!(fails.status, Status::Fail);
    assert!((fails.chance.unwrap() - 0.024_119_85).abs() < 1e-6, "{fails:?}");
    assert_eq!(check(0.2, 0.05).chance, None, "undecided");
}

/// Hundreds of intervals of 95 % are not 95 % together.
#[test]
fn many_narrow_passes_are_too_little_evidence() {
    let narrow = |molecules: usize| {
        let mut results = sound();
        let (molecule, model) = (results.molecules[0].clone(), results.models[0].clone());
        let copy = results.clone();
        for n in 0..molecules {
            let name = format!("molecule{n}");
            results.molecules.push(Molecule { name: name.clone(), ..molecule.clone() });
            results.models[0].molecules.push(name.clone());
            let own = |molecule: &String| *molecule == model.molecules[0];
            let named = |run: &Run| Run { molecule: name.clone(), ..run.clone() };
            results.runs.extend(copy.runs.iter().map(named));
            let gates = copy.gates.iter().filter(|gate| own(&gate.molecule));
            results.gates.extend(gates.map(|gate| Gate { molecule: name.clone(), ..gate.clone() }));
            results.speed.push(Speed { molecule: name.clone(), ..speed() });
            results.timesteps.push(TimestepLadder { molecule: name.clone(), ..ladder(Some(1.0)) });
            results.evaluations.push(Evaluation { molecule: Some(name.clone()), ..evaluation() });
        }
        for evaluation in &mut results.evaluations {
            let force = evaluation.force.as_mut().unwrap();
            (force.rmse_ev_per_angstrom, force.rmse_standard_error_ev_per_angstrom) = (0.1, Some(0.05));
        }
        judge(&mut results);
        results.models.remove(0)
    };
    let one = narrow(0);
    assert_eq!(one.verdict, Some(Verdict::Approved), "{}", one.summary);
    // Once: production and screening have the same check.
    assert!((one.chance.unwrap() - 0.024_119_85).abs() < 1e-5, "{:?}", one.chance);
    let three = narrow(2);
    assert_eq!(three.verdict, Some(Verdict::Incomplete), "{}", three.summary);
    let check = three.checks.iter().find(|c| c.id == "false_pass_chance").unwrap();
    assert_eq!((check.status, check.molecule.as_str()), (Status::Skipped, ALL_CHECKS));
    assert!((check.value.unwrap() - 3.0 * 0.024_119_85).abs() < 1e-5, "{check:?}");
    assert_eq!(three.chance, None, "nothing was decided");
}

#[test]
fn chance_of_a_rejection_is_that_of_its_surest_failure() {
    let chance = |change: fn(&mut Results)| {
        let mut results = sound();
        results.criteria.truncate(1);
        change(&mut results);
        judge(&mut results);
        assert_eq!(results.models[0].verdict, Some(Verdict::Rejected));
        results.models[0].chance.unwrap()
    };
    let narrow: fn(&mut Results) = |r| {
        let force = r.evaluations[0].force.as_mut().unwrap();
        (force.rmse_ev_per_angstrom, force.rmse_standard_error_ev_per_angstrom) = (0.3, Some(0.05));
    };
    assert!((chance(narrow) - 0.024_119_85).abs() < 1e-6);
    let sure = chance(|r| {
        let force = r.evaluations[0].force.as_mut().unwrap();
        (force.rmse_ev_per_angstrom, force.rmse_standard_error_ev_per_angstrom) = (0.3, Some(0.05));
        r.gates[0].value = Some(0.1);
    });
    assert_eq!(sure, 0.0);
}

#[test]
fn outcome_is_that_of_the_expected_use() {
    let outcome = |change: fn(&mut Results)| {
        judged(|r| {
            r.models[0].expected = Some(Expectation::Use { name: "screening".into() });
            change(r);
        })
        .3
    };
    // Runs of 5 ps are no evidence for production.
    let short: fn(&mut Results) = |r| {
        r.runs.iter_mut().for_each(|run| (run.steps_planned, run.steps_done) = (10_000, 10_000));
    };
    assert_eq!(judged(short).0, Verdict::Incomplete);
    assert_eq!(outcome(short), Outcome::Met);
    assert_eq!(outcome(|r| r.gates[0].value = Some(0.1)), Outcome::NotMet);
    assert_eq!(outcome(|r| r.speed.clear()), Outcome::Incomplete);
}

#[test]
fn summary_and_envelope_say_for_what_a_model_is_approved() {
    let mut results = sound();
    judge(&mut results);
    let model = &results.models[0];
    insta::assert_snapshot!(model.summary);
    // Two runs of 10 ps at 300 K: -ln(0.05) / 20 ps.
    let [bound] = model.envelope.failure_bounds.as_slice() else { panic!("{:?}", model.envelope) };
    assert_eq!((bound.temperature_k, bound.observed_ps, bound.failures), (300.0, 20.0, 0));
    assert!((bound.rate_upper_per_ns - 149.787).abs() < 1e-3, "{bound:?}");
    assert!((bound.half_life_ns() - 0.004_627_6).abs() < 1e-6, "{bound:?}");
}

/// The use that the campaign asks for comes first, with what it lacks; so does what was assumed of the model.
#[test]
fn summary_names_open_check_of_expected_use_and_assumptions() {
    let asked = |r: &mut Results| r.models[0].expected = Some(Expectation::Use { name: "screening".into() });
    let (verdict, _, summary, outcome) = judged(|r| {
        asked(r);
        r.evaluations.clear();
    });
    assert_eq!((verdict, outcome), (Verdict::Incomplete, Outcome::Incomplete));
    assert!(summary.starts_with("not for screening, which is expected: no labelled frames"), "{summary}");
    let (.., summary, _) = judged(|r| r.models[0].assumptions = vec!["frames count as held out".into()]);
    assert!(summary.ends_with("; assumed: frames count as held out"), "{summary}");
}

/// A bar that fails only far beyond the default is a waiver by another name.
#[test]
fn production_fails_at_the_default_whatever_the_bad_bar() {
    let waived = Threshold { bad: Some(1e9), ..Threshold::new(0.001, ThresholdSource::Campaign) };
    let check = check_of("inference_ms_per_step", |r| {
        r.speed[0].ms_per_step = 50.0;
        production(r).insert("inference_ms_per_step".to_owned(), waived.clone());
    });
    assert_eq!((check.status, check.threshold), (Status::Fail, 10.0));
}

/// The reach is as uncertain as the temperature: 1 % here, with no error of the barrier.
#[test]
fn barrier_over_reach_has_the_error_of_the_temperature() {
    let check = check_of("dimer_barrier_over_reach", |_| {});
    let [low, high] = check.interval.unwrap();
    let value = check.value.unwrap();
    assert!((high / value - 1.0196).abs() < 1e-6 && (low / value - 0.9804).abs() < 1e-6, "{check:?}");
}
