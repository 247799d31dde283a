//! Records of a flawless model beside its runs.

use super::*;

pub(super) fn ladder(largest_safe_fs: Option<f64>) -> TimestepLadder {
    TimestepLadder {
        model: "m".into(),
        molecule: "water".into(),
        temperature_k: 300.0,
        duration_ps: 0.25,
        integrator: None,
        rungs: Vec::new(),
        largest_safe_fs,
    }
}

pub(super) fn evaluation() -> Evaluation {
    Evaluation {
        model: "m".into(),
        molecule: Some("water".into()),
        frames: "water.extxyz".into(),
        sha256: String::new(),
        n_frames: 100,
        n_without_forces: 0,
        n_repeated: 0,
        force: Some(ForceErrors {
            n_frames: 100,
            n_in_earlier_files: 0,
            n_atoms: 300,
            rmse_ev_per_angstrom: 0.03,
            rmse_standard_error_ev_per_angstrom: Some(0.001),
            mae_ev_per_angstrom: 0.02,
            max_ev_per_angstrom: 0.1,
            rmse_xyz_ev_per_angstrom: [0.03; 3],
            r2: Some(0.99),
            r2_xyz: [Some(0.99); 3],
            reference_rms_ev_per_angstrom: 1.0,
            relative_rmse: Some(0.03),
            relative_rmse_standard_error: Some(0.001),
            slope: Some(1.0),
            slope_standard_error: Some(0.001),
            rmse_scaled_ev_per_angstrom: Some(0.03),
            angle_median_deg: Some(2.0),
            angle_p95_deg: Some(9.0),
            n_without_direction: 0,
            n_missed_direction: 0,
            cosine_mean: Some(0.99),
            magnitude_mae_ev_per_angstrom: 0.02,
            rmse_by_element_ev_per_angstrom: BTreeMap::new(),
        }),
        energy: Some(energy_errors()),
        by_time: Vec::new(),
    }
}

pub(super) fn coverage() -> Coverage {
    Coverage {
        model: "m".into(),
        molecule: "water".into(),
        n_training: Some(1000),
        n_reference: 100,
        n_visited: 16,
        uncovered: Vec::new(),
        untrained: Vec::new(),
    }
}

pub(super) fn energy_errors() -> EnergyErrors {
    EnergyErrors {
        n_frames: 100,
        n_in_earlier_files: 0,
        mae_mev_per_atom: 0.8,
        rmse_mev_per_atom: 1.0,
        rmse_standard_error_mev_per_atom: Some(0.1),
        reference_spread_mev_per_atom: Some(10.0),
        rank_correlation: Some(0.99),
        shift_ev: BTreeMap::new(),
    }
}

pub(super) fn speed() -> Speed {
    Speed {
        model: "m".into(),
        molecule: "water".into(),
        atoms: 3,
        batch: 1,
        device: "cpu".into(),
        threads: None,
        path: "p".into(),
        ms_per_call_p50: 1.0,
        ms_per_call_p99: 1.0,
        calls: 100,
        ms_per_step: 1.0,
        steps_per_s: 1000.0,
        molecule_steps_per_s: None,
        ns_per_day: None,
        gflop_per_call: None,
        gflop_per_s: None,
        fraction_of_gemm_rate: None,
        cold_100_steps_s: 0.1,
        peak_memory_mib: None,
        speedup_vs_first: 1.0,
    }
}

pub(super) fn attribution(kind: CauseKind) -> Attribution {
    Attribution {
        model: "m".into(),
        molecule: "water".into(),
        temperature_k: 300.0,
        timestep_fs: 0.5,
        duration_ps: 0.5,
        trigger: "energy drift".into(),
        causes: vec![Cause {
            kind,
            share: Some(0.83),
            evidence: "12 jumps".into(),
            remedy: "a smooth envelope".into(),
        }],
        parts: Vec::new(),
        experiments: Vec::new(),
        jumps: 0,
        jump_events: Vec::new(),
    }
}
