//! Formats the estimated cost of a campaign.

use std::fmt::Write as _;
use std::time::Duration;

use md_driver::campaign::{Forecast, Seconds};
use md_results::number;

/// Formats the forecast. `free_mib` is the free disk space.
pub fn text(forecast: &Forecast, free_mib: Option<f64>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header(["model", "runs", "steps", "ps", "dynamics", "gates", "the rest"]);
    for model in &forecast.models {
        let time = |of: fn(&Seconds) -> f64| {
            model.seconds.as_ref().map_or_else(|| "no checkpoint".to_owned(), |s| duration(of(s)))
        };
        table.add_row([
            model.name.clone(),
            model.runs.to_string(),
            model.steps.to_string(),
            number(model.simulated_ps),
            time(|s| s.dynamics),
            time(|s| s.gates),
            time(|s| s.rest),
        ]);
    }
    let runs: usize = forecast.models.iter().map(|m| m.runs).sum();
    let steps: u64 = forecast.models.iter().map(|m| m.steps).sum();
    let mut text = format!("{table}\n{runs} runs, {steps} steps\n");
    let _ = writeln!(
        text,
        "time: about {} on {} threads, if every model runs in full length",
        duration(forecast.seconds()),
        forecast.threads
    );
    if forecast.extra_ps > 0.0 {
        let _ = writeln!(
            text,
            "  and replicas of up to {} ps per model while checks are undecided",
            number(forecast.extra_ps)
        );
    }
    match forecast.memory_mib {
        Some(mib) => {
            let _ =
                writeln!(text, "memory: about {} MiB, whatever the length of the runs", number(mib.ceil()));
        }
        None => {
            let _ = writeln!(text, "memory: not known on this system");
        }
    }
    let _ = write!(
        text,
        "disk: about {} MiB (trajectories {}, results, report and state {})",
        number(forecast.disk_mib().ceil()),
        number(forecast.trajectories_mib.ceil()),
        number(forecast.results_mib.ceil())
    );
    let _ = match free_mib {
        Some(free) if free < forecast.disk_mib() => {
            writeln!(text, ": MORE than the {} MiB that are free", number(free.floor()))
        }
        Some(free) => writeln!(text, " of {} MiB that are free", number(free.floor())),
        None => writeln!(text),
    };
    text
}

/// Formats seconds.
fn duration(seconds: f64) -> String {
    let rounded = if seconds < 10.0 { (10.0 * seconds).ceil() / 10.0 } else { seconds.ceil() };
    humantime::format_duration(Duration::from_secs_f64(rounded)).to_string()
}
