use std::collections::BTreeMap;

use md_results::{
    Attribution, Campaign, Cause, CauseKind, Coverage, CriteriaSet, EnergyErrors, Ensemble, Envelope,
    Evaluation, Failure, FailureMode, ForceErrors, Gate, GateId, LeftOut, Model, Molecule, Provenance, Role,
    RunEnergy, RunFate, RunMomentum, RunStability, RunTemperature, RunThermal, Speed, Stage, TimestepLadder,
};

use super::*;
use crate::Evidence;
use records::{attribution, coverage, energy_errors, evaluation, ladder, speed};

mod accuracy;
mod amounts;
mod gates;
mod measured;
mod null;
mod records;
mod together;

/// Returns the evidence of a flawless model: one molecule, two replicas of 10 ps at each of two temperatures.
fn sound() -> Results {
    let mut thresholds: BTreeMap<String, Threshold> = crate::ALL
        .iter()
        .filter_map(|c| Some((c.key.to_owned(), Threshold::new(c.default?, ThresholdSource::Default))))
        .collect();
    // The bar of the mission, which has no default.
    thresholds.insert("energy_drift_percent".to_owned(), Threshold::new(1.0, ThresholdSource::Campaign));
    let mut screening = thresholds.clone();
    screening.get_mut("stable_ps").unwrap().value = 1.0;
    screening.get_mut("simulated_ps").unwrap().value = 4.0;
    Results {
        schema_version: md_results::SCHEMA_VERSION,
        campaign: Campaign {
            name: "test".into(),
            config_sha256: String::new(),
            seed: 1,
            started: String::new(),
            finished: "2026-01-01T00:00:00Z".into(),
            only: Vec::new(),
            shard: None,
            left_out: Vec::new(),
            plan: Vec::new(),
            resume: None,
            limits: None,
        },
        provenance: Provenance {
            mdproof_version: String::new(),
            git_commit: None,
            cpu: None,
            threads: 1,
            device_requested: "cpu".into(),
            device_used: "cpu".into(),
        },
        criteria: vec![CriteriaSet::new(PRODUCTION, thresholds), CriteriaSet::new("screening", screening)],
        molecules: vec![Molecule {
            name: "water".into(),
            atoms: 3,
            elements: vec!["H".into(), "O".into()],
            structure_sha256: String::new(),
            bonds: 2,
            reference_frequencies_per_cm: Vec::new(),
            reference_trajectories: 0,
        }],
        models: vec![Model {
            name: "m".into(),
            role: Role::Candidate,
            architecture: String::new(),
            precision: "f64".into(),
            parameters: None,
            device: None,
            device_requested: None,
            device_note: None,
            checkpoint_sha256: None,
            weight_bits: None,
            assumptions: Vec::new(),
            elements: Vec::new(),
            molecules: vec!["water".into()],
            verdict: None,
            expected: Some(Verdict::Approved.into()),
            uses: Vec::new(),
            chance: None,
            summary: String::new(),
            failure_modes: Vec::new(),
            envelope: Envelope::default(),
            checks: Vec::new(),
        }],
        relaxations: Vec::new(),
        gates: crate::ALL
            .iter()
            .filter_map(|c| match c.evidence {
                Evidence::Gate(id) | Evidence::Barrier(id) => Some(Gate {
                    molecule: if c.scope == Scope::Molecule { "water".into() } else { ELEMENT_PAIRS.into() },
                    value: Some(if c.bound == crate::Bound::AtLeast { 20.0 } else { 1e-12 }),
                    ..gate(id)
                }),
                Evidence::Function(_) | Evidence::Checks(_) => None,
            })
            .collect(),
        runs: [300.0, 100.0].into_iter().flat_map(two_replicas).collect(),
        evaluations: vec![evaluation()],
        machine: Vec::new(),
        speed: vec![speed()],
        survival: Vec::new(),
        comparisons: Vec::new(),
        shifts: Vec::new(),
        coverages: vec![coverage()],
        attributions: Vec::new(),
        timesteps: vec![ladder(Some(1.0))],
        economy: Vec::new(),
        remarks: Vec::new(),
        failures: Vec::new(),
        series: Vec::new(),
        files: Vec::new(),
    }
}

fn gate(id: GateId) -> Gate {
    Gate::new(id, "m", "water", 1e-12, f64::NAN, "")
}

fn run() -> Run {
    Run {
        id: "r".into(),
        model: "m".into(),
        molecule: "water".into(),
        ensemble: Ensemble::Nve,
        temperature_k: 300.0,
        ramp_to_k: None,
        relaxed: true,
        equilibrated_ps: None,
        timestep_fs: 0.5,
        integrator: None,
        replica: 0,
        seed: 1,
        steps_planned: 20_000,
        steps_done: 20_000,
        fate: RunFate::Finished,
        fate_reason: None,
        energy: Some(RunEnergy {
            initial_ev: -10.0,
            drift_percent: Some(0.01),
            max_deviation_percent: Some(0.02),
            max_deviation_mev_per_atom: 1.0,
            drift_mev_per_atom_per_ps: Some(0.001),
            drift_standard_error: Some(0.0005),
            drift_degrees_of_freedom: Some(10.0),
            max_jump_mev_per_atom: Some(0.0),
            rms_fluctuation_mev_per_atom: 0.1,
            conservation_ratio: Some(1.0),
            kinetic_potential_correlation: Some(-1.0),
        }),
        temperature: at(300.0),
        momentum: Some(RunMomentum { max_change_hbar: 1e-5, max_drift_angstrom_per_ps: 1e-6 }),
        thermal: None,
        stability: Some(RunStability {
            first_broken_bond_ps: None,
            first_broken_bond: None,
            max_bond_ratio: Some(1.1),
            max_rmsd_angstrom: 0.2,
        }),
        measured: BTreeMap::from([("closest_pair_ratio".to_owned(), 0.8)]),
        anomalies: Vec::new(),
        ms_per_step: None,
    }
}

fn at(mean_k: f64) -> Option<RunTemperature> {
    let degrees_of_freedom = 3;
    Some(RunTemperature {
        mean_k,
        mean_standard_error_k: Some(0.01 * mean_k),
        std_k: mean_k,
        max_k: mean_k,
        degrees_of_freedom,
    })
}

fn two_replicas(temperature_k: f64) -> [Run; 2] {
    [0, 1].map(|replica| Run { replica, temperature_k, temperature: at(temperature_k), ..run() })
}

/// Returns verdict, approved uses, summary and outcome of the sound evidence after `change`.
fn judged(change: impl Fn(&mut Results)) -> (Verdict, Vec<String>, String, Outcome) {
    let mut results = sound();
    change(&mut results);
    judge(&mut results);
    let outcome = outcome(&results);
    let model = results.models.remove(0);
    (model.verdict.unwrap(), model.uses, model.summary, outcome)
}

#[test]
fn judge_approves_sound_evidence() {
    let (verdict, uses, summary, outcome) = judged(|_| {});
    assert_eq!((verdict, outcome), (Verdict::Approved, Outcome::Met), "{summary}");
    assert_eq!(uses, [PRODUCTION, "screening"]);
}

/// Returns failure modes as text.
fn shown(modes: &[FailureMode]) -> String {
    let lines = |m: &FailureMode| format!("{}: {}\n-> {}", m.id, m.finding, m.remedy);
    modes.iter().map(lines).collect::<Vec<_>>().join("\n")
}

/// Removes part of the evidence.
type Removal = fn(&mut Results);

#[test]
fn judge_is_incomplete_when_any_evidence_is_missing() {
    let removals: [Removal; 9] = [
        |r| r.runs.clear(),
        |r| r.runs[0].energy = None,
        |r| r.runs[0].stability = None,
        |r| r.evaluations.clear(),
        |r| r.evaluations[0].force = None,
        |r| r.speed.clear(),
        |r| r.gates.clear(),
        |r| r.runs[0].fate = RunFate::Failed,
        |r| {
            let failure = ("m".to_owned(), Some("water".to_owned()), "out of memory".to_owned());
            r.speed.clear();
            r.failures.push(Failure {
                model: failure.0,
                molecule: failure.1,
                stage: Stage::Speed,
                reason: failure.2,
            });
        },
    ];
    let summaries = removals.map(|remove| {
        let (verdict, uses, summary, outcome) = judged(remove);
        assert_eq!((verdict, outcome), (Verdict::Incomplete, Outcome::Incomplete), "{summary}");
        assert!(uses.is_empty(), "{summary}");
        summary
    });
    insta::assert_snapshot!(summaries.join("\n"));
    let (verdict, ..) = judged(|r| r.models[0].molecules.clear());
    assert_eq!(verdict, Verdict::Incomplete, "no molecules are no evidence");
    let (verdict, ..) = judged(|r| r.models[0].molecules.push("methane".into()));
    assert_eq!(verdict, Verdict::Incomplete, "every molecule that was asked for counts");
}

#[test]
fn judge_rejects_failure_of_every_use_despite_gaps() {
    for spoil in [
        (|r: &mut Results| r.gates[0].value = Some(0.1)) as Removal,
        |r| r.gates[0].value = None,
        |r| r.runs[0].energy.as_mut().unwrap().drift_percent = Some(-1.5),
        |r| r.speed[0].ms_per_step = f64::NAN,
    ] {
        let (verdict, uses, summary, outcome) = judged(spoil);
        assert_eq!((verdict, outcome), (Verdict::Rejected, Outcome::NotMet), "{summary}");
        assert!(uses.is_empty());
        let (verdict, ..) = judged(|r| {
            spoil(r);
            r.evaluations.clear();
        });
        assert_eq!(verdict, Verdict::Rejected);
    }
}

#[test]
fn judge_restricts_to_uses_that_pass() {
    let dies_at_2_ps = |r: &mut Results| {
        r.runs[0].steps_done = 4000;
        r.runs[0].fate = RunFate::Diverged;
        r.runs[0].fate_reason = Some("the bond 0-1 stretched".into());
    };
    let (verdict, uses, summary, outcome) = judged(dies_at_2_ps);
    assert_eq!((verdict, outcome), (Verdict::Restricted, Outcome::NotMet));
    assert_eq!(uses, ["screening"]);
    insta::assert_snapshot!(summary);

    let (verdict, uses, summary, _) = judged(|r| {
        dies_at_2_ps(r);
        r.evaluations.clear();
    });
    assert_eq!((verdict, uses.len()), (Verdict::Rejected, 0), "what fails is not INCOMPLETE");
    assert!(summary.starts_with("stable NVE time = 2 ps on water"), "{summary}");
    assert!(summary.ends_with("; not decided for screening"), "{summary}");
}

#[test]
fn judge_is_incomplete_when_runs_end_too_soon() {
    let survived = |steps: u64| {
        move |r: &mut Results| {
            for run in &mut r.runs {
                (run.steps_done, run.steps_planned) = (steps, steps);
            }
        }
    };
    assert_eq!(judged(survived(4000)).0, Verdict::Incomplete);
    assert_eq!(judged(survived(4000)).1, ["screening"]);
    // A long run that was stopped does not make up for a short run that was stopped too early.
    let (verdict, ..) = judged(|r| {
        r.runs.push(Run { fate: RunFate::Diverged, steps_done: 30_000, ..run() });
        (r.runs[0].fate, r.runs[0].steps_done) = (RunFate::StoppedEarly, 4000);
    });
    assert_eq!(verdict, Verdict::Incomplete);
}

#[test]
fn outcome_met_by_expected_rejection_not_by_failed_control() {
    let (.., outcome) = judged(|r| {
        r.gates[0].value = Some(0.1);
        r.models[0].expected = Some(Verdict::Rejected.into());
    });
    assert_eq!(outcome, Outcome::Met);

    let mut results = sound();
    results.models[0] = Model { role: Role::Control, expected: None, ..results.models[0].clone() };
    judge(&mut results);
    assert_eq!(super::outcome(&results), Outcome::Incomplete, "a control is no model");
    assert_eq!(results.models[0].verdict, None);
    for energy in results.runs.iter_mut().filter_map(|run| run.energy.as_mut()) {
        energy.drift_mev_per_atom_per_ps = Some(50.0);
    }
    judge(&mut results);
    assert_eq!(super::outcome(&results), Outcome::NotMet);
    assert!(results.models[0].summary.starts_with("THE ENGINE FAILS"), "{}", results.models[0].summary);
}

#[test]
fn outcome_is_incomplete_without_full_control_checks() {
    let with_control = |change: fn(&mut Results)| {
        let mut results = sound();
        let control =
            Model { name: "c".into(), role: Role::Control, expected: None, ..results.models[0].clone() };
        let of_control = |id| Gate { model: "c".into(), ..gate(id) };
        let gates: Vec<Gate> = results.gates.iter().map(|g| of_control(g.id)).collect();
        results.gates.extend(gates);
        results.runs.push(Run { model: "c".into(), ..run() });
        results.models.push(control);
        change(&mut results);
        judge(&mut results);
        outcome(&results)
    };
    assert_eq!(with_control(|_| {}), Outcome::Met);
    // The control was not fitted to frequencies.
    let frequencies = |r: &mut Results| {
        r.molecules[0].reference_frequencies_per_cm = vec![1600.0, 3800.0, 3900.0];
        r.gates
            .iter_mut()
            .filter(|g| g.id.name() == "frequency_error" && g.model == "c")
            .for_each(|g| g.value = Some(20.0));
    };
    assert_eq!(with_control(frequencies), Outcome::Met);
    assert_eq!(with_control(|r| r.runs.retain(|run| run.model != "c")), Outcome::Incomplete);
}

fn thermostat(name: &str) -> Ensemble {
    Ensemble::Thermostat(name.to_owned())
}

/// Returns the production check of `key` after `change`.
fn check_of(key: &str, change: impl Fn(&mut Results)) -> Check {
    let mut results = sound();
    change(&mut results);
    judge(&mut results);
    let checks = std::mem::take(&mut results.models[0].checks);
    checks.into_iter().find(|c| c.id == key && c.use_name == PRODUCTION).unwrap()
}

const DRIFT: &str = "energy_drift_meV_per_atom_per_ps";

/// Gives the model replicas with these drifts, meV/atom/ps.
fn replicas(drifts: &'static [f64]) -> impl Fn(&mut Results) {
    move |r| {
        let of = |(k, drift): (usize, &f64)| {
            let mut replica = Run { replica: k as u32, ..run() };
            replica.energy.as_mut().unwrap().drift_mev_per_atom_per_ps = Some(*drift);
            replica
        };
        r.runs = drifts.iter().enumerate().map(of).collect();
    }
}

#[test]
fn check_is_undecided_when_interval_covers_threshold() {
    // Mean 0.9, standard error 0.2 from the scatter, t(2) = 4.30: 0.04 to 1.76 meV/atom/ps against 1.
    let check = check_of(DRIFT, replicas(&[0.5, 1.1, 1.1]));
    assert_eq!(check.status, Status::Undecided);
    assert!(
        (check.value.unwrap() - 0.9).abs() < 1e-12 && (check.standard_error.unwrap() - 0.2).abs() < 1e-12
    );
    let [low, high] = check.interval.unwrap();
    assert!((low - 0.0395).abs() < 1e-3 && (high - 1.7605).abs() < 1e-3, "{low} {high}");
    // (0.8605 / 0.1)² = 74 times as many.
    assert_eq!(
        check.to_decide.unwrap(),
        "about 220 more replicas, or runs 4.199 times as long, would decide, if the value stays"
    );
    let (verdict, ..) = judged(|r| {
        let force = r.evaluations[0].force.as_mut().unwrap();
        (force.rmse_ev_per_angstrom, force.rmse_standard_error_ev_per_angstrom) = (0.19, Some(0.05));
    });
    assert_eq!(verdict, Verdict::Incomplete);

    assert_eq!(check_of(DRIFT, replicas(&[0.50, 0.51, 0.49])).status, Status::Pass);
    assert_eq!(check_of(DRIFT, replicas(&[-1.5, -1.51, -1.49])).status, Status::Fail);
    // Drifts of opposite sign have a mean of zero, but two replicas do not prove it.
    assert_eq!(check_of(DRIFT, replicas(&[-2.0, 2.0])).status, Status::Undecided);
    // A run too short for an error of its drift proves nothing either.
    let short = |r: &mut Results| {
        r.runs.truncate(1);
        let energy = r.runs[0].energy.as_mut().unwrap();
        (energy.drift_standard_error, energy.drift_degrees_of_freedom) = (None, None);
    };
    assert_eq!(check_of(DRIFT, short).status, Status::Undecided);
}

#[test]
fn check_is_undecided_between_good_and_bad_threshold() {
    let with = |value: f64| {
        check_of("energy_drift_percent", move |r| {
            let threshold = Threshold { bad: Some(1.0), ..Threshold::new(0.5, ThresholdSource::Campaign) };
            r.criteria[0].thresholds.insert("energy_drift_percent".into(), threshold);
            r.runs[0].energy.as_mut().unwrap().drift_percent = Some(value);
        })
    };
    assert_eq!(with(0.4).status, Status::Pass);
    assert_eq!(with(1.1).status, Status::Fail);
    let between = with(0.75);
    assert_eq!(between.status, Status::Undecided);
    assert_eq!(between.to_decide.unwrap(), "the value lies between good (0.5) and bad (1)");
}

#[test]
fn max_temperature_of_use_excludes_hotter_runs() {
    let breaks_when_hot = |r: &mut Results| {
        r.criteria[1].max_temperature_k = Some(300.0);
        r.runs.push(Run { temperature_k: 500.0, fate: RunFate::Diverged, steps_done: 100, ..run() });
    };
    let (verdict, uses, ..) = judged(breaks_when_hot);
    assert_eq!((verdict, uses), (Verdict::Restricted, vec!["screening".to_owned()]));
}

#[test]
fn failure_modes_group_failures_with_cause_and_remedy() {
    let mut results = sound();
    for (id, value) in [("rotation_energy", 0.13), ("net_torque", 0.02)] {
        results.gates.iter_mut().find(|g| g.id.name() == id).unwrap().value = Some(value);
    }
    results.runs[0].energy.as_mut().unwrap().drift_percent = Some(3.0);
    results.attributions.push(Attribution { jumps: 12, ..attribution(CauseKind::Discontinuity) });
    judge(&mut results);
    let modes = &results.models[0].failure_modes;
    // An energy that depends on the orientation is not conserved, either.
    assert_eq!(modes.iter().map(|m| m.id.as_str()).collect::<Vec<_>>(), ["symmetry"]);
    insta::assert_snapshot!(shown(modes));
}

#[test]
fn failure_modes_name_wrong_units_and_f16_weights() {
    let mut results = sound();
    results.models[0].weight_bits = Some(11);
    // A wrong factor, and units of the labels or of the model that are kcal/mol/Å or Hartree/bohr.
    let modes = [0.87, 0.0434, 1.0 / 0.0434, 51.42].map(|slope| {
        let force = results.evaluations[0].force.as_mut().unwrap();
        (force.rmse_ev_per_angstrom, force.slope, force.rmse_scaled_ev_per_angstrom) =
            (0.5, Some(slope), Some(0.001));
        judge(&mut results);
        results.models[0].failure_modes.remove(0)
    });
    insta::assert_snapshot!(shown(&modes));
}

#[test]
fn thermostat_check_is_skipped_without_thermostat_runs() {
    let ask = |r: &mut Results| {
        let threshold = Threshold::new(0.01, ThresholdSource::Campaign);
        r.criteria[0].thresholds.insert("equipartition_p".into(), threshold);
    };
    assert_eq!(check_of("equipartition_p", ask).status, Status::Skipped);
    let with = |p: f64| {
        check_of("equipartition_p", move |r| {
            ask(r);
            let thermal = RunThermal {
                temperature_error_percent: 0.1,
                temperature_standard_error_percent: Some(0.5),
                kinetic_energy_p: Some(0.4),
                equipartition_p: Some(p),
                equipartition_worst_percent: Some(1.0),
            };
            r.runs.push(Run { ensemble: thermostat("langevin"), thermal: Some(thermal), ..run() });
        })
    };
    assert_eq!(with(0.5).status, Status::Pass);
    assert_eq!(with(1e-6).status, Status::Fail);
}

#[test]
fn fails_every_use_counts_only_measured_evidence() {
    let fails = |change: fn(&mut Results)| {
        let mut results = sound();
        results.runs.clear();
        results.speed.clear();
        change(&mut results);
        fails_every_use(&results, &results.models[0])
    };
    assert!(!fails(|_| {}), "what is still to come is no failure");
    assert!(fails(|r| r.gates[0].value = Some(0.1)));
    let one_use_waives_it = |r: &mut Results| {
        r.gates[0].value = Some(0.1);
        let key = crate::ALL.iter().find(|c| matches!(c.evidence, Evidence::Gate(id) if id == r.gates[0].id));
        r.criteria[1].thresholds.remove(key.unwrap().key);
    };
    assert!(!fails(one_use_waives_it));
}

#[test]
fn judge_ignores_not_applicable_gates() {
    let nothing_to_measure = |r: &mut Results, applies: fn(&Gate) -> bool| {
        for gate in r.gates.iter_mut().filter(|gate| !applies(gate)) {
            *gate = Gate::not_applicable(gate.id, &gate.model, &gate.molecule, "one implementation");
        }
    };
    let one_implementation =
        |gate: &Gate| !matches!(gate.id, GateId::EquivalenceEnergy | GateId::EquivalenceForce);
    let mut results = sound();
    nothing_to_measure(&mut results, one_implementation);
    judge(&mut results);
    let model = &results.models[0];
    assert_eq!(model.verdict, Some(Verdict::Approved), "{}", model.summary);
    let check = model.checks.iter().find(|c| c.id == "equivalence_force_ev_per_angstrom").unwrap();
    assert_eq!(
        (check.status, check.reason.as_str(), check.value),
        (Status::NotApplicable, "one implementation", None)
    );

    // A use without any other criterion has no evidence.
    let mut results = sound();
    results.criteria[1].thresholds.retain(|key, _| key.starts_with("equivalence"));
    nothing_to_measure(&mut results, one_implementation);
    judge(&mut results);
    let model = &results.models[0];
    assert_eq!(model.uses, [PRODUCTION], "{}", model.summary);
    // A failure beside it still counts.
    let mut results = sound();
    nothing_to_measure(&mut results, one_implementation);
    results.gates[0].value = Some(0.1);
    judge(&mut results);
    assert_ne!(results.models[0].verdict, Some(Verdict::Approved));
}

#[test]
fn judge_accepts_short_runs_beside_long_ones() {
    let (verdict, ..) = judged(|r| {
        let short = Run { steps_planned: 2000, steps_done: 2000, relaxed: false, ..run() };
        r.runs.push(short.clone());
        r.runs.push(Run { replica: 1, ..short });
    });
    assert_eq!(verdict, Verdict::Approved);
    // A failure in the short runs counts.
    let (verdict, ..) = judged(|r| {
        r.runs.push(Run { steps_planned: 2000, steps_done: 60, fate: RunFate::Diverged, ..run() });
    });
    assert_eq!(verdict, Verdict::Rejected);
    // A temperature with short runs only was not observed for long enough.
    let (verdict, ..) = judged(|r| {
        r.runs.push(Run { temperature_k: 500.0, steps_planned: 2000, steps_done: 2000, ..run() });
    });
    assert_eq!(verdict, Verdict::Incomplete);
}
