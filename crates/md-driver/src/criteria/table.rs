use super::evidence;
use super::{Bound, Criterion, Evidence, Finding, Scope, Subject, Theme};

/// A criterion of dynamics, accuracy or speed: at most `default`, molecule by molecule.
const fn row(
    key: &'static str,
    title: &'static str,
    unit: &'static str,
    default: Option<f64>,
    theme: Theme,
    source: &'static str,
    measure: fn(&Subject<'_>) -> Finding,
) -> Criterion {
    Criterion {
        key,
        title,
        unit,
        bound: Bound::AtMost,
        default,
        source,
        scope: Scope::Molecule,
        theme,
        evidence: Evidence::Function(measure),
    }
}

/// A physics gate: at most `default`, molecule by molecule.
const fn gate(
    id: &'static str,
    key: &'static str,
    title: &'static str,
    unit: &'static str,
    default: f64,
    theme: Theme,
    source: &'static str,
) -> Criterion {
    Criterion {
        key,
        title,
        unit,
        bound: Bound::AtMost,
        default: Some(default),
        source,
        scope: Scope::Molecule,
        theme,
        evidence: Evidence::Gate(id),
    }
}

impl Criterion {
    const fn at_least(self) -> Self {
        Criterion { bound: Bound::AtLeast, ..self }
    }

    const fn of_element_pairs(self) -> Self {
        Criterion { scope: Scope::ElementPairs, ..self }
    }

    const fn only_where_asked(self) -> Self {
        Criterion { default: None, ..self }
    }
}

const MISSION: &str = "bar of the project's first campaign";
const ROUNDING: &str = "far above rounding in f64 (1e-12), far below k_B T at 100 K (9 meV)";
const NEVER_MET: &str = "exp(-2 eV / k_B T) is 1e-20 at 500 K: higher than that no pair climbs";

/// Every criterion, in the order of the dashboard.
pub static ALL: &[Criterion] = &[
    row(
        "stable_ps",
        "NVE without divergence",
        "ps",
        Some(10.0),
        Theme::Stability,
        MISSION,
        evidence::stable_ps,
    )
    .at_least(),
    row(
        "failure_rate_per_ns",
        "failures per ns, bound at 95 %",
        "1/ns",
        None,
        Theme::Stability,
        "the campaign's own",
        evidence::failure_rate_per_ns,
    ),
    row(
        "ramp_survival_K",
        "temperature that every ramp survived",
        "K",
        None,
        Theme::Stability,
        "the campaign's own",
        evidence::ramp_survival_k,
    )
    .at_least(),
    row("energy_drift_percent", "energy drift", "%", Some(1.0), Theme::Conservation, MISSION, |s| {
        evidence::worst_run(s, |run| Some(run.energy.as_ref()?.drift_percent?.abs()))
    }),
    row(
        "energy_drift_meV_per_atom_per_ps",
        "least-squares energy drift",
        "meV/atom/ps",
        Some(1.0),
        Theme::Conservation,
        "10 ps then change an atom's energy by 10 meV, the order of k_B T at 100 K",
        evidence::drift_over_replicas,
    ),
    row(
        "energy_jump_meV_per_atom",
        "largest jump of the total energy",
        "meV/atom",
        Some(5.0),
        Theme::Conservation,
        "steps that small are lost in the integrator's own fluctuation",
        |s| evidence::worst_run(s, |run| run.energy.as_ref()?.max_jump_mev_per_atom),
    ),
    row(
        "max_deviation_percent",
        "largest energy excursion",
        "%",
        None,
        Theme::Conservation,
        "the campaign's own",
        |s| evidence::worst_run(s, |run| run.energy.as_ref()?.max_deviation_percent),
    ),
    row(
        "max_deviation_meV_per_atom",
        "largest energy excursion per atom",
        "meV/atom",
        None,
        Theme::Conservation,
        "the campaign's own",
        |s| evidence::worst_run(s, |run| Some(run.energy.as_ref()?.max_deviation_mev_per_atom)),
    ),
    row(
        "angular_momentum_hbar",
        "change of angular momentum",
        "ħ",
        Some(0.1),
        Theme::Conservation,
        "a molecule at 100 K has some ħ; f32 rounding makes 1e-4 in 10 ps",
        |s| evidence::worst_run(s, |run| Some(run.momentum.as_ref()?.max_change_hbar)),
    ),
    row(
        "centre_of_mass_A_per_ps",
        "speed of the centre of mass",
        "Å/ps",
        Some(0.1),
        Theme::Conservation,
        "it is at rest when a run begins; water at 300 K has 6 Å/ps; f32 rounding makes 1e-3",
        |s| evidence::worst_run(s, |run| Some(run.momentum.as_ref()?.max_drift_angstrom_per_ps)),
    ),
    row("max_bond_ratio", "longest bond / reference length", "", Some(1.5), Theme::Stability, MISSION, |s| {
        evidence::worst_steady_run(s, |run| run.stability.as_ref()?.max_bond_ratio)
    }),
    row(
        "thermostat_temperature_percent",
        "temperature under a thermostat",
        "%",
        None,
        Theme::Sampling,
        "the campaign's own",
        evidence::thermostat_temperature,
    ),
    row(
        "kinetic_energy_p",
        "distribution of the kinetic energy (p)",
        "",
        None,
        Theme::Sampling,
        "the campaign's own",
        |s| evidence::thermostat(s, f64::min, |t| t.kinetic_energy_p),
    )
    .at_least(),
    row(
        "equipartition_p",
        "equipartition between atoms (p)",
        "",
        None,
        Theme::Sampling,
        "the campaign's own",
        |s| evidence::thermostat(s, f64::min, |t| t.equipartition_p),
    )
    .at_least(),
    row(
        "bond_length_wasserstein_A",
        "bond lengths against reference dynamics",
        "Å",
        None,
        Theme::Accuracy,
        "the campaign's own",
        |s| evidence::comparison(s, "bond_length"),
    ),
    row(
        "pair_distance_wasserstein_A",
        "pair distances against reference dynamics",
        "Å",
        None,
        Theme::Accuracy,
        "the campaign's own",
        |s| evidence::comparison(s, "pair_distance"),
    ),
    row(
        "spectrum_wasserstein_per_cm",
        "vibrational spectrum against reference dynamics",
        "1/cm",
        None,
        Theme::Accuracy,
        "the campaign's own",
        |s| evidence::comparison(s, "spectrum"),
    ),
    row(
        "force_rmse_ev_per_angstrom",
        "force RMSE",
        "eV/Å",
        Some(0.2),
        Theme::Accuracy,
        MISSION,
        evidence::force_rmse,
    ),
    row(
        "energy_rmse_meV_per_atom",
        "energy RMSE, one shift per molecule",
        "meV/atom",
        None,
        Theme::Accuracy,
        "the campaign's own",
        evidence::energy_rmse,
    ),
    row(
        "distribution_shift",
        "visited frames / reference frames, distance",
        "",
        None,
        Theme::Accuracy,
        "the campaign's own",
        evidence::shift,
    ),
    row("inference_ms_per_step", "time per NVE step", "ms", Some(10.0), Theme::Speed, MISSION, |s| {
        evidence::speed(s, |speed| speed.ms_per_step)
    }),
    row("cold_100_steps_s", "100 steps from a cold start", "s", Some(120.0), Theme::Speed, MISSION, |s| {
        evidence::speed(s, |speed| speed.cold_100_steps_s)
    }),
    gate(
        "repeatability_energy",
        "repeatability_ev",
        "same positions, same energy and forces",
        "eV, eV/Å",
        1e-9,
        Theme::Gradient,
        "a potential is a function of the positions",
    ),
    gate(
        "force_gradient",
        "force_gradient_ev_per_angstrom",
        "force = -gradient",
        "eV/Å",
        1e-4,
        Theme::Gradient,
        ROUNDING,
    ),
    gate(
        "structure_gradient",
        "structure_gradient_ev_per_angstrom",
        "force = -gradient at the structure",
        "eV/Å",
        1e-4,
        Theme::Smoothness,
        ROUNDING,
    ),
    gate("loop_work", "loop_work_ev", "work around a closed loop", "eV", 1e-4, Theme::Gradient, ROUNDING),
    gate("kink", "kink_ev_per_angstrom", "kink of the energy", "eV/Å", 1e-3, Theme::Smoothness, ROUNDING),
    gate(
        "rotation_energy",
        "rotation_energy_ev",
        "energy change on rotation",
        "eV",
        1e-4,
        Theme::Symmetry,
        ROUNDING,
    ),
    gate(
        "rotation_force",
        "rotation_force_ev_per_angstrom",
        "force error on rotation",
        "eV/Å",
        1e-3,
        Theme::Symmetry,
        ROUNDING,
    ),
    gate(
        "reflection_energy",
        "reflection_energy_ev",
        "energy change on reflection",
        "eV",
        1e-4,
        Theme::Symmetry,
        ROUNDING,
    ),
    gate(
        "translation_energy",
        "translation_energy_ev",
        "energy change on translation",
        "eV",
        1e-4,
        Theme::Symmetry,
        ROUNDING,
    ),
    gate(
        "permutation_energy",
        "permutation_energy_ev",
        "energy change on permutation",
        "eV",
        1e-4,
        Theme::Symmetry,
        ROUNDING,
    ),
    gate("net_force", "net_force_ev_per_angstrom", "net force", "eV/Å", 1e-3, Theme::Symmetry, ROUNDING),
    gate("net_torque", "net_torque_ev", "net torque", "eV", 1e-3, Theme::Symmetry, ROUNDING),
    gate(
        "extensivity_energy",
        "extensivity_ev",
        "energies of far molecules add up",
        "eV",
        1e-4,
        Theme::Locality,
        ROUNDING,
    ),
    gate(
        "extensivity_force",
        "locality_ev_per_angstrom",
        "a far molecule changes no force",
        "eV/Å",
        1e-4,
        Theme::Locality,
        ROUNDING,
    ),
    gate(
        "ray_energy_jump",
        "energy_jump_ev",
        "energy jump as an atom leaves",
        "eV",
        1e-3,
        Theme::Smoothness,
        "a tenth of k_B T at 100 K",
    ),
    gate(
        "ray_force_jump",
        "force_jump_ev_per_angstrom",
        "force jump as an atom leaves",
        "eV/Å",
        1e-2,
        Theme::Smoothness,
        "a twentieth of the accuracy asked of forces",
    ),
    gate(
        "dimer_energy_jump",
        "dimer_energy_jump_ev",
        "energy jump at the cutoff of dimers",
        "eV",
        1e-3,
        Theme::Smoothness,
        "a tenth of k_B T at 100 K",
    )
    .of_element_pairs(),
    gate(
        "dimer_force_jump",
        "dimer_force_jump_ev_per_angstrom",
        "force jump at the cutoff of dimers",
        "eV/Å",
        1e-2,
        Theme::Smoothness,
        "a twentieth of the accuracy asked of forces",
    )
    .of_element_pairs(),
    gate("dimer_wall", "dimer_wall_ev", "repulsive wall of dimers", "eV", 2.0, Theme::ShortRange, NEVER_MET)
        .at_least()
        .of_element_pairs(),
    gate(
        "dimer_hole",
        "dimer_hole_ev",
        "hole in the wall of dimers",
        "eV",
        0.05,
        Theme::ShortRange,
        NEVER_MET,
    )
    .of_element_pairs(),
    gate(
        "dimer_deep_hole",
        "dimer_deep_hole_ev",
        "hole behind the wall of dimers",
        "eV",
        0.05,
        Theme::ShortRange,
        "the campaign's own",
    )
    .of_element_pairs()
    .only_where_asked(),
    gate(
        "dimer_flips",
        "dimer_force_flips",
        "force flips of dimers",
        "",
        4.0,
        Theme::ShortRange,
        "the campaign's own",
    )
    .of_element_pairs()
    .only_where_asked(),
    gate(
        "dimer_tortuosity",
        "dimer_tortuosity",
        "tortuosity of dimer curves",
        "",
        1.5,
        Theme::ShortRange,
        "the campaign's own",
    )
    .of_element_pairs()
    .only_where_asked(),
    gate(
        "precision_force",
        "precision_force_ev_per_angstrom",
        "force in the format of the runs against f64",
        "eV/Å",
        1e-2,
        Theme::Precision,
        "a twentieth of the accuracy asked of forces",
    ),
    gate(
        "equivalence_energy",
        "equivalence_energy_ev",
        "energy against the plain implementation",
        "eV",
        1e-2,
        Theme::Implementation,
        "as forces: far below the accuracy asked of a model",
    ),
    gate(
        "equivalence_force",
        "equivalence_force_ev_per_angstrom",
        "force against the plain implementation",
        "eV/Å",
        1e-2,
        Theme::Implementation,
        "a twentieth of the accuracy asked of forces",
    ),
    gate(
        "precision_drift",
        "precision_drift_meV_per_atom_per_ps",
        "energy drift of rounding",
        "meV/atom/ps",
        1.0,
        Theme::Precision,
        "the bar of the drift itself",
    ),
    gate(
        "relaxed_bonds",
        "relaxed_bond_error_A",
        "bond lengths of the minimum",
        "Å",
        0.1,
        Theme::Minimum,
        "methods of quantum chemistry differ by 0.02 Å",
    ),
    gate(
        "imaginary_mode",
        "imaginary_mode_per_cm",
        "imaginary mode of the minimum",
        "1/cm",
        30.0,
        Theme::Minimum,
        "soft torsions and a force left of 0.01 eV/Å make less",
    ),
    gate(
        "hessian_asymmetry",
        "hessian_asymmetry_ev_per_angstrom2",
        "asymmetry of the Hessian",
        "eV/Å²",
        1e-2,
        Theme::Gradient,
        "1e-3 of the stiffness of a bond",
    ),
    gate(
        "frequency_error",
        "frequency_error_percent",
        "vibrational frequencies, mean error",
        "%",
        5.0,
        Theme::Minimum,
        "the campaign's own",
    )
    .only_where_asked(),
];
