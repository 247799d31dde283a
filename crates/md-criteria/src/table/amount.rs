//! Criteria for the amount of evidence: too little of it is missing data, not a fault of the model.

use super::row;
use crate::evidence::amount;
use crate::{Criterion, Evidence, Finding, Scope, Theme};

pub(super) const ROWS: &[Criterion] = &[
    row(
        "temperatures",
        "temperatures of its runs",
        "number of temperatures of 50 K or more, 10 % or more apart, at which the molecule was run at constant energy",
        "",
        Some(2.0),
        Theme::Amount,
        "one temperature says nothing of another",
        amount::temperatures,
    )
    .at_least(),
    row(
        "hottest_temperature_K",
        "hottest temperature of its runs",
        "the highest temperature at which the molecule was run at constant energy",
        "K",
        Some(300.0),
        Theme::Amount,
        "production runs are made at room temperature and above",
        amount::hottest_temperature,
    )
    .at_least(),
    row(
        "replicas",
        "replicas at every temperature",
        "fewest runs at constant energy that differ in their random numbers alone, over all temperatures; at each the \
         longest runs count",
        "",
        Some(2.0),
        Theme::Amount,
        "one run has no scatter",
        amount::replicas,
    )
    .at_least(),
    row(
        "simulated_ps",
        "time of its runs in all",
        "Σ t over the runs at constant energy that are at their temperature, each until it ended",
        "ps",
        Some(40.0),
        Theme::Amount,
        "two replicas of 10 ps at each of two temperatures; without a failure the rate is then below 75 per ns at 95 %",
        amount::simulated_ps,
    )
    .at_least(),
    row(
        "labelled_frames",
        "labelled frames",
        "number of different frames with forces, of all reference files together, on which the model was not trained",
        "",
        Some(10.0),
        Theme::Amount,
        "an RMSE of 10 frames is known to 20 to 30 %",
        amount::labelled_frames,
    )
    .at_least(),
    row(
        "labelled_energies",
        "labelled frames with energies",
        "number of different frames with energies, of all reference files together, on which the model was not trained; the only one \
         of a composition does not count",
        "",
        Some(10.0),
        Theme::Amount,
        "an RMSE of 10 frames is known to 20 to 30 %, and two always have the same error about their mean",
        amount::labelled_energies,
    )
    .at_least(),
    row(
        "uncovered_atoms",
        "atoms that no known frame covers",
        "number of atoms of the molecule with bonded neighbours that no training or reference frame has, or that in the structure or in a \
         frame of its runs are at a distance outside theirs, of bonded atoms by more than 0.1 Å, of others closer by more than 0.2 Å",
        "",
        Some(0.0),
        Theme::Amount,
        "what no frame has is extrapolated, and no error was measured there",
        amount::uncovered_atoms,
    ),
    row(
        "timestep_over_safe",
        "time step / longest safe step",
        "longest time step of the runs at constant energy over the longest that the ladder of time steps found safe on \
         the molecule",
        "",
        Some(1.0),
        Theme::Amount,
        "runs at a step that is not safe say nothing of those at one that is",
        amount::timestep_over_safe,
    ),
    row(
        "runs_left_out",
        "runs of the campaign left out",
        "number of runs that the campaign file asks for and that --only or --shard left out",
        "",
        Some(0.0),
        Theme::Amount,
        "a part of the evidence that was asked for is no evidence",
        amount::runs_left_out,
    ),
    Criterion {
        scope: Scope::Checks,
        evidence: Evidence::Checks(amount::chance_of_false_pass),
        ..row(
            "false_pass_chance",
            "chance of a pass by chance",
            "Σ p over the checks that pass, p the probability that the true value is beyond the bar, by Student's t, where the \
             value has a statistical error: at most so often one of them passes by chance",
            "",
            Some(0.05),
            Theme::Amount,
            "each check passes by an interval of 95 %, but a model has hundreds of them",
            |_| Finding::Missing(String::new()),
        )
    },
];
