//! Criteria for dynamics.

use super::{MISSION, row};
use crate::{Criterion, EngineThreshold, Theme, evidence};

/// Largest drift of the engine on its control, meV/atom/ps. Velocity Verlet at 0.5 fs has none: the measured value is
/// the error of the slope, 0.2 in runs of 0.1 ps and less in longer ones.
const ENGINE_DRIFT_MEV_PER_ATOM_PER_PS: f64 = 1.0;

pub(super) const ROWS: &[Criterion] = &[
    row(
        "stable_ps",
        "stable NVE time",
        "time to the earliest divergence (a bond or the temperature past its limit, or a number that is not \
         finite) over runs at constant energy and with a thermostat; without one, the length of the shortest \
         run at constant energy, of which at each temperature the longest are taken",
        "ps",
        Some(10.0),
        Theme::Stability,
        MISSION,
        evidence::stable_ps,
    )
    .at_least()
    .engine(EngineThreshold::PlannedPs),
    row(
        "failure_rate_per_ns",
        "failures per ns, bound at 95 %",
        "χ²(95 %; 2k + 2) / 2T for k failures in the time T of all runs at constant energy, each watched \
         until a bond breaks, it diverges or it ends; without a failure this is 3.0 / T",
        "1/ns",
        None,
        Theme::Stability,
        "the campaign's own",
        evidence::failure_rate_per_ns,
    ),
    row(
        "ramp_survival_K",
        "temperature that every ramp survived",
        "T₀ + (T₁ − T₀) t / t_ramp when the first bond breaks or the run diverges at the time t, T₁ if \
         neither happens; the ramp that fails coldest counts",
        "K",
        None,
        Theme::Stability,
        "the campaign's own",
        evidence::ramp_survival_k,
    )
    .at_least(),
    row(
        "energy_drift_percent",
        "energy drift",
        "100 |E_last − E_first| / |E_first| of the total energy E of a run at constant energy; the worst run \
         counts. The number depends on the zero of E: |E_first| may be 10⁴ eV, or that of the minimum, 0; the drift by kinetic energy \
         does not",
        "%",
        None,
        Theme::Conservation,
        "the campaign's own",
        |s| evidence::worst_run(s, |run| Some(run.energy.as_ref()?.drift_percent?.abs())),
    ),
    row(
        "energy_drift_meV_per_atom_per_ps",
        "least-squares energy drift",
        "|⟨slope⟩| / N with the slope of the least-squares line of the total energy over time, its mean over \
         the replicas at one temperature; the temperature whose 95 % interval reaches farthest from 0 counts",
        "meV/atom/ps",
        Some(1.0),
        Theme::Conservation,
        "10 ps then change an atom's energy by 10 meV, the order of k_B T at 100 K",
        evidence::drift_over_replicas,
    )
    .engine(EngineThreshold::Value(ENGINE_DRIFT_MEV_PER_ATOM_PER_PS)),
    row(
        "energy_drift_of_kinetic_percent",
        "energy drift / kinetic energy",
        "100 |⟨slope⟩| t / ⟨K⟩ with the slope of the least-squares line of the total energy over time, its mean over the replicas \
         at one temperature, the length t of the runs and the mean kinetic energy ⟨K⟩; the temperature whose 95 % interval \
         reaches farthest from 0 counts, of those of 50 K or more",
        "%",
        Some(50.0),
        Theme::Conservation,
        "an energy with a zero, unlike that of the mission's percent; two replicas of 10 ps know it to some 30 %, since energy moves \
         between fast and slow modes, of which velocity Verlet at 0.5 fs shows 2 %",
        evidence::drift_of_kinetic_energy,
    ),
    row(
        "energy_jump_meV_per_atom",
        "largest jump of the total energy",
        "max |ΔE| / N over those steps between neighbouring samples of the total energy (at most 2048 a run) \
         that differ from the median step by more than 8 robust standard deviations and 1 meV/atom, 0 \
         without any; the worst run at constant energy counts",
        "meV/atom",
        Some(5.0),
        Theme::Conservation,
        "steps that small are lost in the integrator's own fluctuation",
        |s| evidence::worst_run(s, |run| run.energy.as_ref()?.max_jump_mev_per_atom),
    )
    .engine(EngineThreshold::Default),
    row(
        "max_deviation_percent",
        "largest energy excursion",
        "100 max |E − E_first| / |E_first| of the total energy E over a run at constant energy; the worst \
         run counts, and the number depends on the zero of E",
        "%",
        None,
        Theme::Conservation,
        "the campaign's own",
        |s| evidence::worst_run(s, |run| run.energy.as_ref()?.max_deviation_percent),
    ),
    row(
        "max_deviation_meV_per_atom",
        "largest energy excursion per atom",
        "max |E − E_first| / N of the total energy E over a run at constant energy; the worst run counts",
        "meV/atom",
        None,
        Theme::Conservation,
        "the campaign's own",
        |s| evidence::worst_run(s, |run| Some(run.energy.as_ref()?.max_deviation_mev_per_atom)),
    ),
    row(
        "angular_momentum_hbar",
        "change of angular momentum",
        "max |L(t) − L(0)| of the angular momentum L = Σ m (x − x_cm) × v over a run at constant energy; the \
         worst run counts",
        "ħ",
        Some(0.1),
        Theme::Conservation,
        "a molecule at 100 K has some ħ; f32 rounding makes 1e-4 in 10 ps",
        |s| evidence::worst_run(s, |run| Some(run.momentum.as_ref()?.max_change_hbar)),
    )
    .engine(EngineThreshold::Default),
    row(
        "centre_of_mass_A_per_ps",
        "speed of the centre of mass",
        "max |Σ m v| / Σ m over a run at constant energy; the worst run counts",
        "Å/ps",
        Some(0.1),
        Theme::Conservation,
        "it is at rest when a run begins; water at 300 K has 6 Å/ps; f32 rounding makes 1e-3",
        |s| evidence::worst_run(s, |run| Some(run.momentum.as_ref()?.max_drift_angstrom_per_ps)),
    )
    .engine(EngineThreshold::Default),
    row(
        "max_bond_ratio",
        "longest bond / reference length",
        "max r / r₀ over all bonds of the structure file, with their lengths r₀ there, and all recorded \
         steps of a run at constant energy or with a thermostat; the worst run counts",
        "",
        Some(1.5),
        Theme::Stability,
        MISSION,
        |s| evidence::worst_steady_run(s, |run| run.stability.as_ref()?.max_bond_ratio),
    )
    .engine(EngineThreshold::Default),
    row(
        "closest_pair_ratio",
        "closest pair / sum of covalent radii",
        "min r / (R_i + R_j) over all pairs of atoms, with their distance r and covalent radii R, and all recorded \
         steps of a run at constant energy or with a thermostat, at most 1; the worst run counts",
        "",
        Some(0.5),
        Theme::Stability,
        "bonds are at 0.77 (N₂) and above; two nuclei at half of it climbed tens of eV or met a hole of the energy",
        |s| evidence::lowest_of_steady_runs(s, |run| run.measured.get("closest_pair_ratio").copied()),
    )
    .at_least(),
    row(
        "thermostat_temperature_percent",
        "temperature under a thermostat",
        "100 |⟨T⟩ / T₀ − 1| of the mean kinetic temperature ⟨T⟩ of a run with a thermostat set to T₀; the \
         worst run counts",
        "%",
        None,
        Theme::Sampling,
        "the campaign's own",
        evidence::thermostat_temperature,
    ),
    row(
        "kinetic_energy_p",
        "distribution of the kinetic energy (p)",
        "probability that 2K / k_B T₀ of the kinetic energy K is by chance as far from χ² with the degrees \
         of freedom of the molecule as in a run with a thermostat: test of Kolmogorov and Smirnov with the \
         number of independent samples; the lowest of all runs counts",
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
        "probability that 2K_i / k_B T₀ of some atom i is by chance as far from its share of the degrees of \
         freedom as the farthest one's in a run with a thermostat: Student's t of independent blocks, times \
         the number of atoms; the lowest of all runs counts",
        "",
        None,
        Theme::Sampling,
        "the campaign's own",
        |s| evidence::thermostat(s, f64::min, |t| t.equipartition_p),
    )
    .at_least(),
];
