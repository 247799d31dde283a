//! Checks every number of `tests/data/metric_cases.json` (an earlier Python tool, recomputed with numpy; see its note),
//! and the result of this crate for cases marked FLAW or BUG.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use md_core::bonds::Bond;
use md_core::{Element, Vec3};
use md_metrics::{
    BondTracker, DisplacementTracker, DriftRate, EnergyAccumulator, EnergySummary, ForceErrorAccumulator,
    ForceErrors, KineticPotential, LineFit, MetricError, RunningStats, TemperatureStatistics, align,
    bond_lengths_angstrom, displacements_angstrom, force_errors, rmsd_aligned_angstrom, rmsd_angstrom,
};
use serde_json::Value;

const RELATIVE: f64 = 1e-12;

fn cases() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("data/metric_cases.json")).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn case(id: &str) -> Value {
    cases().into_iter().find(|c| c["id"] == id).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn vectors(value: &Value) -> Vec<Vec3> {
    value.as_array().unwrap().iter().map(|v| Vec3::from_column_slice(&numbers(v))).collect()
}

fn frames(value: &Value) -> Vec<Vec<Vec3>> {
    value.as_array().unwrap().iter().map(vectors).collect()
}

/// Forces of one frame, or of many.
fn force_frames(value: &Value) -> Vec<Vec<Vec3>> {
    if value[0][0].is_array() { frames(value) } else { vec![vectors(value)] }
}

#[track_caller]
fn close(found: f64, expected: &Value) {
    let expected = expected.as_f64().unwrap();
    assert!((found - expected).abs() <= RELATIVE * expected.abs(), "{found} for {expected}");
}

#[track_caller]
fn all_close(found: &[f64], expected: &Value) {
    let expected = expected.as_array().unwrap();
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).for_each(|(f, e)| close(*f, e));
}

#[test]
fn metrics_reproduce_golden_cases() {
    for case in cases() {
        let (input, output) = (&case["input"], &case["output"]);
        println!("{}", text(&case, "id")); // shown when it fails
        match text(&case, "function") {
            "compute_energy_drift" => energy_drift(input, output),
            "compute_energy_conservation_ratio" => conservation_ratio(input, output),
            "compute_energy_fluctuations" => fluctuations(&numbers(&input["energies"]), output),
            "compute_kinetic_potential_stability" => kinetic_potential(input, output),
            "compute_time_resolved_drift" => {
                let expected = if case["recomputed"].is_null() { output } else { &case["recomputed"] };
                drift(&numbers(&input["times"]), &numbers(&input["energies"]), output, expected);
            }
            "assess_energy_conservation" => energy_assessment(input, output, &case["recomputed"]),
            "compute_force_rmse" | "compute_force_mae" => rmse_or_mae(text(&case, "function"), input, output),
            "compute_force_magnitude_error" => magnitude(input, output),
            "compute_angular_error" => median_angle(input, output),
            "compute_per_atom_force_errors" => per_atom(input, output),
            "compute_force_correlation" => correlation(input, output),
            "assess_force_accuracy" => force_assessment(input, output),
            "compute_rmsd" if input["align"] == true => {
                let (moved, reference) = (vectors(&input["positions"]), vectors(&input["reference"]));
                assert!(
                    rmsd_aligned_angstrom(&moved, &reference).unwrap() < 1e-14,
                    "BUG: the tool says 3.3 Å"
                );
            }
            "compute_rmsd" => all_close(&rmsd_per_frame(&frames(&input["positions"])), output),
            "kabsch_align" => alignment(input, &case["correct_output"]),
            "compute_atom_displacements" => displacements(&frames(&input["positions"]), output),
            "analyze_temperature_evolution" => {
                let target = input["target_temperature"].as_f64().unwrap();
                temperature(&numbers(&input["temperatures"]), target, output);
            }
            "compute_bond_lengths" => bond_lengths(input, output),
            "analyze_trajectory_stability" => {
                stability(&frames(&input["trajectory_data"]["positions"]), output);
            }
            "generate_trajectory_summary" => trajectory_summary(input, output),
            other => panic!("no test for {other}"),
        }
    }
}

fn energy_drift(input: &Value, output: &Value) {
    let summary = EnergySummary::from_energies(&numbers(&input["energies"])).unwrap();
    match (text(input, "method"), summary.first_ev == 0.0) {
        // FLAW: the tool reports 0 % for an energy that rose from 0 to 1 eV.
        ("relative", true) => assert_eq!(
            summary.drift_percent(),
            Err(MetricError::ZeroReference { what: "first energy (eV)", reference: 0.0 })
        ),
        ("relative", false) => close(summary.drift_percent().unwrap(), output),
        (method, _) => {
            assert_eq!(method, "absolute");
            close(summary.drift_ev(), output);
        }
    }
}

fn conservation_ratio(input: &Value, output: &Value) {
    // The tool also has the mean over windows, which is blind to drift; mdproof has no such ratio.
    if input["window"].is_null() {
        let summary = EnergySummary::from_energies(&numbers(&input["energies"])).unwrap();
        close(summary.conservation_ratio().unwrap(), output);
    }
}

fn fluctuations(energies: &[f64], output: &Value) {
    let summary = EnergySummary::from_energies(energies).unwrap();
    close(summary.std_ev, &output["std"]);
    close(summary.coefficient_of_variation().unwrap(), &output["coefficient_of_variation"]);
}

fn kinetic_potential(input: &Value, output: &Value) {
    let kinetic = numbers(&input["kinetic_energies"]);
    let potential = numbers(&input["potential_energies"]);
    let shared = KineticPotential::from_energies(&kinetic, &potential).unwrap();
    close(shared.kinetic_mean_ev, &output["ke_mean"]);
    close(shared.kinetic_std_ev, &output["ke_std"]);
    close(shared.potential_mean_ev, &output["pe_mean"]);
    close(shared.potential_std_ev, &output["pe_std"]);
    close(shared.correlation.unwrap(), &output["ke_pe_correlation"]);
    close(shared.kinetic_to_potential_ratio.unwrap(), &output["energy_partition_ratio"]);
}

/// `output` is the result of the tool, `expected` the same in more digits if it was rounded.
fn drift(times: &[f64], energies: &[f64], output: &Value, expected: &Value) {
    if times.len() < 3 {
        let error = DriftRate::from_energies(times, energies, 1).unwrap_err();
        assert_eq!(error, MetricError::TooFew { what: "points of a line", needed: 3, found: times.len() });
        return;
    }
    let n = times.len() as f64;
    let line = LineFit::from_points(times, energies).unwrap();
    // The slope error of the tool, √(SS_res / n / S_xx), has n instead of n - 2.
    let error_of_tool = line.slope_standard_error_if_independent() * ((n - 2.0) / n).sqrt();
    if energies.iter().all(|e| *e == energies[0]) {
        assert_eq!((line.slope, error_of_tool), (0.0, 0.0), "the tool says 3e-16");
    } else {
        close(line.slope, &expected["drift_rate"]);
        close(error_of_tool, &expected["drift_rate_std"]);
        let of_tool = output["drift_rate"].as_f64().unwrap();
        assert!((line.slope / of_tool - 1.0).abs() < 2e-11, "the tool's own digits");
    }
    close(line.r_squared, &expected["r_squared"]);
    close(line.intercept, &expected["initial_energy"]);
    close(energies[energies.len() - 1] - energies[0], &expected["total_drift"]);

    let mut accumulator = EnergyAccumulator::default();
    times.iter().zip(energies).for_each(|(&t, &e)| accumulator.push(t, e).unwrap());
    assert_eq!(accumulator.line().unwrap(), line);
    let n_atoms = 5;
    let per_atom = accumulator.drift_rate(n_atoms).unwrap().rate;
    assert_eq!((per_atom.value, per_atom.unit), (line.slope * (1000.0 / n_atoms as f64), "meV/atom/ps"));
}

fn energy_assessment(input: &Value, output: &Value, recomputed: &Value) {
    let data = &input["trajectory_data"];
    let energies = numbers(&data["total_energy"]);
    let summary = EnergySummary::from_energies(&energies).unwrap();
    close(summary.drift_percent().unwrap(), &output["energy_drift_pct"]);
    close(summary.max_deviation_percent().unwrap(), &output["energy_drift_max_pct"]);
    close(summary.conservation_ratio().unwrap(), &output["conservation_ratio"]);
    fluctuations(&energies, &output["fluctuation_stats"]);
    let parts = serde_json::json!({
        "kinetic_energies": data["kinetic_energy"],
        "potential_energies": data["potential_energy"],
    });
    kinetic_potential(&parts, &output["ke_pe_stability"]);
    drift(&numbers(&data["time"]), &energies, &output["time_resolved_drift"], recomputed);
}

/// Predicted and reference forces, all frames in one.
fn forces(input: &Value) -> (Vec<Vec3>, Vec<Vec3>) {
    let flat = |key: &str| force_frames(&input[key]).concat();
    (flat("predicted_forces"), flat("reference_forces"))
}

fn rmse_or_mae(function: &str, input: &Value, output: &Value) {
    let (predicted, reference) = forces(input);
    let errors = force_errors(&predicted, &reference).unwrap();
    match (function, input["per_component"] == true) {
        ("compute_force_rmse", true) => all_close(&errors.rmse_xyz_ev_per_angstrom, output),
        ("compute_force_rmse", false) => close(errors.rmse_ev_per_angstrom, output),
        ("compute_force_mae", true) => all_close(&errors.mae_xyz_ev_per_angstrom, output),
        _ => close(errors.mae_ev_per_angstrom, output),
    }
}

fn magnitude(input: &Value, output: &Value) {
    let (predicted, reference) = forces(input);
    let errors = force_errors(&predicted, &reference).unwrap().magnitude;
    close(errors.rmse_ev_per_angstrom, &output["rmse"]);
    close(errors.mae_ev_per_angstrom, &output["mae"]);
    close(errors.relative_percent.unwrap(), &output["relative_error"]);
}

fn median_angle(input: &Value, output: &Value) {
    let (predicted, reference) = forces(input);
    let errors = force_errors(&predicted, &reference).unwrap();
    if predicted.iter().all(|f| f.norm() == 0.0) {
        // FLAW: the tool reports 0 degrees for a potential that predicts zero forces.
        let n = predicted.len();
        assert_eq!((errors.angle, errors.n_without_direction, errors.n_missed_direction), (None, n, n));
    } else {
        close(errors.angle.unwrap().median_deg, output);
    }
}

/// Computes the errors of each atom separately.
fn per_atom(input: &Value, output: &Value) {
    let (predicted, reference) = forces(input);
    let errors: Vec<ForceErrors> =
        predicted.chunks(1).zip(reference.chunks(1)).map(|(p, r)| force_errors(p, r).unwrap()).collect();
    let each = |f: fn(&ForceErrors) -> f64| -> Vec<f64> { errors.iter().map(f).collect() };
    all_close(&each(|e| e.rmse_ev_per_angstrom), &output["rmse"]);
    all_close(&each(|e| e.mae_ev_per_angstrom), &output["mae"]);
    all_close(&each(|e| e.magnitude.mae_ev_per_angstrom), &output["magnitude_error"]);
    // The tool reports 0 degrees if the angle is undefined.
    all_close(&each(|e| e.angle.map_or(0.0, |a| a.max_deg)), &output["angular_error"]);
    let without = force_errors(&predicted, &reference).unwrap().n_without_direction;
    assert_eq!(without, errors.iter().filter(|e| e.angle.is_none()).count());
}

fn correlation(input: &Value, output: &Value) {
    let (predicted, reference) = forces(input);
    let errors = force_errors(&predicted, &reference).unwrap();
    close(errors.pearson_r.unwrap(), &output["pearson_r"]);
    close(errors.r_squared.unwrap(), &output["r_squared"]);
    close(errors.angle.unwrap().cosine_mean, &output["cosine_similarity"]);
}

fn force_assessment(input: &Value, output: &Value) {
    let mut accumulator = ForceErrorAccumulator::default();
    let reference_frames = force_frames(&input["reference_forces"]);
    for (predicted, reference) in force_frames(&input["predicted_forces"]).iter().zip(&reference_frames) {
        accumulator.push(&vec![Element::H; predicted.len()], predicted, reference).unwrap();
    }
    let errors = accumulator.errors().unwrap();
    close(errors.rmse_ev_per_angstrom, &output["rmse"]);
    close(errors.mae_ev_per_angstrom, &output["mae"]);
    magnitude(input, &output["magnitude_errors"]);
    let angle = errors.angle.unwrap();
    close(angle.median_deg, &output["angular_error_median"]);
    let percentiles = &output["angular_percentiles"];
    close(angle.median_deg, &percentiles["p50"]);
    close(angle.p75_deg, &percentiles["p75"]);
    close(angle.p90_deg, &percentiles["p90"]);
    close(angle.p95_deg, &percentiles["p95"]);
    correlation(input, &output["correlation"]);
    assert_eq!(accumulator.by_element().unwrap()[&Element::H], errors, "all atoms are of one element");
}

fn rmsd_per_frame(frames: &[Vec<Vec3>]) -> Vec<f64> {
    frames.iter().map(|frame| rmsd_angstrom(frame, &frames[0]).unwrap()).collect()
}

fn alignment(input: &Value, correct: &Value) {
    let (moved, reference) = (vectors(&input["positions"]), vectors(&input["reference"]));
    let alignment = align(&moved, &reference).unwrap();
    for (x, correct) in moved.iter().zip(vectors(correct)) {
        assert!((alignment.apply(x) - correct).norm() < 1e-14);
    }
}

fn displacements(frames: &[Vec<Vec3>], output: &Value) {
    let mut tracker = DisplacementTracker::new(frames[0].clone()).unwrap();
    for (f, frame) in frames.iter().enumerate() {
        let seen = tracker.observe(frame).unwrap();
        close(seen.max_angstrom, &output["max_per_frame"][f]);
        close(seen.mean_angstrom, &output["mean_per_frame"][f]);
        all_close(&displacements_angstrom(frame, &frames[0]).unwrap(), &output["magnitudes"][f]);
        for (a, expected) in vectors(&output["displacements"][f]).into_iter().enumerate() {
            assert_eq!(frame[a] - frames[0][a], expected);
        }
    }
    all_close(tracker.max_per_atom_angstrom(), &output["per_atom_max"]);
}

fn stability(frames: &[Vec<Vec3>], output: &Value) {
    let rmsd = rmsd_per_frame(frames);
    all_close(&rmsd, &output["rmsd_values"]);
    close(rmsd[rmsd.len() - 1], &output["rmsd_final"]);
    displacements(frames, &output["displacement_stats"]);
    let mut tracker = DisplacementTracker::new(frames[0].clone()).unwrap();
    let last = frames.iter().map(|frame| tracker.observe(frame).unwrap()).last().unwrap();
    close(tracker.max_per_atom_angstrom().iter().copied().fold(0.0, f64::max), &output["max_displacement"]);
    close(last.mean_angstrom, &output["mean_displacement_final"]);
}

fn temperature(temperatures: &[f64], target: f64, output: &Value) {
    let t = TemperatureStatistics::new(&RunningStats::from_values(temperatures).unwrap(), target).unwrap();
    close(t.mean_k, &output["mean"]);
    close(t.std_k, &output["std"]);
    close(t.min_k, &output["min"]);
    close(t.max_k, &output["max"]);
    close(t.drift_k, &output["drift"]);
    close(t.drift_percent, &output["drift_pct"]);
    close(t.deviation_from_target_percent, &output["deviation_from_target_pct"]);
}

fn bond_lengths(input: &Value, output: &Value) {
    let index = |x: &Value| x.as_u64().unwrap() as usize;
    let bonds: Vec<_> =
        input["bonds"].as_array().unwrap().iter().map(|b| (index(&b[0]), index(&b[1]))).collect();
    for (frame, expected) in frames(&input["positions"]).iter().zip(output.as_array().unwrap()) {
        all_close(&bond_lengths_angstrom(frame, &bonds).unwrap(), expected);
    }
}

fn trajectory_summary(input: &Value, output: &Value) {
    let data = &input["trajectory_data"];
    let mut accumulator = EnergyAccumulator::default();
    for (t, e) in numbers(&data["time"]).into_iter().zip(numbers(&data["total_energy"])) {
        accumulator.push(t, e).unwrap();
    }
    let (summary, expected) = (accumulator.summary().unwrap(), &output["energy_summary"]);
    close(summary.first_ev, &expected["initial_energy"]);
    close(summary.last_ev, &expected["final_energy"]);
    close(summary.mean_ev, &expected["mean_energy"]);
    close(summary.drift_percent().unwrap(), &expected["drift_pct"]);
    close(summary.conservation_ratio().unwrap(), &expected["conservation_ratio"]);
    close(summary.std_ev, &expected["std"]);
    let info = &output["simulation_info"];
    assert_eq!(summary.n_samples, info["n_frames"].as_u64().unwrap());
    close(accumulator.series().last().unwrap().0, &info["total_time_ps"]);
    let target = input["target_temperature"].as_f64().unwrap();
    temperature(&numbers(&data["temperature"]), target, &output["temperature_summary"]);
    stability(&frames(&data["positions"]), &output["stability_summary"]);
}

/// FLAW: displacements with a limit of 2 Å call an atom that left by 1.56 Å 'stable'. Bond lengths do not.
#[test]
fn bond_tracker_catches_break_below_displacement_limit() {
    let case = case("analyze_trajectory_stability_3");
    assert_eq!(case["output"]["positions_stable"], true);
    let frames = frames(&case["input"]["trajectory_data"]["positions"]);
    let length = |i: usize, j: usize| (frames[0][j] - frames[0][i]).norm();
    let bonds: Vec<Bond> =
        [(0, 1), (0, 2), (1, 2)].map(|(i, j)| Bond { i, j, length_angstrom: length(i, j) }).into();
    let mut tracker = BondTracker::new(bonds, 1.5).unwrap();
    for (step, frame) in frames.iter().enumerate() {
        tracker.observe(0.5 * step as f64, frame).unwrap();
    }
    let broken = tracker.first_broken().unwrap();
    assert_eq!(
        (broken.bond.i, broken.bond.j, broken.time_ps),
        (0, 2, 1.5),
        "atom 2 left, by 1.17 Å at 1.5 ps"
    );
    let last = (frames[4][2] - frames[4][0]).norm();
    assert_eq!(tracker.max_ratio(), Some(last / length(0, 2)));
    let unbroken: Vec<_> = tracker.records().iter().filter(|r| r.first_broken_ps.is_none()).collect();
    assert_eq!(unbroken.len(), 1);
    assert_eq!((unbroken[0].bond.i, unbroken[0].bond.j, unbroken[0].max_ratio), (0, 1, 1.0));
}
