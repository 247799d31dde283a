//! Formats errors on labelled frames.

use std::fmt::Write as _;

use md_driver::measure::evaluate::Evaluated;
use md_results::{frames, number};

/// Formats evaluations as a table in Markdown, a line for each set of frames, and below it the warnings.
pub fn markdown(evaluations: &[Evaluated]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "frames",
        "n",
        "force RMSE (eV/Å)",
        "force MAE (eV/Å)",
        "R²",
        "reference rms force (eV/Å)",
        "energy RMSE, one shift per composition removed (meV/atom)",
    ]);
    let or_none = |x: Option<String>| x.unwrap_or_else(|| "-".to_owned());
    for e in evaluations.iter().map(|e| &e.evaluation) {
        let force = e.force.as_ref();
        let rmse = force.map(|f| {
            let error =
                f.rmse_standard_error_ev_per_angstrom.map_or(String::new(), |se| format!(" ± {se:.4}"));
            format!("{:.4}{error}", f.rmse_ev_per_angstrom)
        });
        table.add_row([
            e.frames.clone(),
            e.counted_frames(),
            or_none(rmse),
            or_none(force.map(|f| format!("{:.4}", f.mae_ev_per_angstrom))),
            or_none(force.and_then(|f| f.r2).map(|r2| format!("{r2:.4}"))),
            or_none(force.map(|f| format!("{:.3}", f.reference_rms_ev_per_angstrom))),
            or_none(e.energy.as_ref().map(|e| format!("{:.2}", e.rmse_mev_per_atom))),
        ]);
    }
    if let [_, _, ..] = evaluations {
        let n_frames: usize = evaluations.iter().map(|e| e.evaluation.n_frames).sum();
        let all = pooled_rmse(evaluations).map(|rmse| format!("{rmse:.4}"));
        table.add_row(["all".to_owned(), n_frames.to_string(), or_none(all)]);
    }
    let mut text = format!("{table}\n");
    // The files have the model in common.
    for assumption in evaluations.iter().take(1).flat_map(|e| &e.assumptions) {
        let _ = writeln!(text, "\nAssumed: {assumption}");
    }
    for e in evaluations {
        let no_errors = e.no_forces.iter().chain(&e.no_energies);
        for warning in
            no_errors.map(|why| format!("{}: {why}", e.evaluation.frames)).chain(e.warnings.clone())
        {
            let _ = writeln!(text, "\nWarning: {warning}");
        }
    }
    text
}

/// Returns the force RMSE (eV/Å) over all frames with forces; `None` if there are none.
fn pooled_rmse(evaluations: &[Evaluated]) -> Option<f64> {
    let forces = || evaluations.iter().filter_map(|e| e.evaluation.force.as_ref());
    let atoms: usize = forces().map(|f| f.n_atoms).sum();
    let squared: f64 = forces().map(|f| f.n_atoms as f64 * f.rmse_ev_per_angstrom.powi(2)).sum();
    (atoms > 0).then(|| (squared / atoms as f64).sqrt())
}

/// Formats a value with its standard error.
fn with_error(value: Option<f64>, standard_error: Option<f64>, unit: &str) -> String {
    let Some(value) = value else { return "undefined".to_owned() };
    let error = standard_error.map_or(String::new(), |error| format!(" ± {}", number(error)));
    format!("{}{error}{unit}", number(value))
}

/// Formats one evaluation as lines of text.
pub fn text(evaluated: &Evaluated) -> String {
    let e = &evaluated.evaluation;
    let mut text = format!("{} on {}: {}", e.model, e.frames, frames(e.n_frames));
    if e.n_repeated > 0 {
        text += &format!(", {} of them repeat others", e.n_repeated);
    }
    if e.n_without_forces > 0 {
        let with_forces = e.n_frames - e.n_without_forces;
        text += &format!("; {with_forces} of {} have forces", frames(e.n_frames));
    }
    text.push('\n');
    for assumption in &evaluated.assumptions {
        let _ = writeln!(text, "  assumed: {assumption}");
    }
    for warning in &evaluated.warnings {
        let _ = writeln!(text, "  warning: {warning}");
    }
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<34} {value}");
    };
    let optional = |value: Option<f64>, unit: &str| {
        value.map_or("undefined".to_owned(), |v| format!("{} {unit}", number(v)).trim_end().to_owned())
    };
    match &e.force {
        Some(f) => {
            let error = f.rmse_standard_error_ev_per_angstrom;
            line("force RMSE", with_error(Some(f.rmse_ev_per_angstrom), error, " eV/Å"));
            line("  predicting zero would give", format!("{} eV/Å", number(f.reference_rms_ev_per_angstrom)));
            line("  as a part of that", with_error(f.relative_rmse, f.relative_rmse_standard_error, ""));
            line("  slope (1 is right)", with_error(f.slope, f.slope_standard_error, ""));
            line("  x, y, z", format!("{} eV/Å", f.rmse_xyz_ev_per_angstrom.map(number).join(", ")));
            for (element, rmse) in &f.rmse_by_element_ev_per_angstrom {
                line(&format!("  {element}"), format!("{} eV/Å", number(*rmse)));
            }
            line("force MAE", format!("{} eV/Å", number(f.mae_ev_per_angstrom)));
            line("largest error of an atom", format!("{} eV/Å", number(f.max_ev_per_angstrom)));
            line("R²", optional(f.r2, ""));
            line("  x, y, z", f.r2_xyz.map(|r| optional(r, "")).join(", "));
            line("angle, median", optional(f.angle_median_deg, "degrees"));
            line("angle, 95th percentile", optional(f.angle_p95_deg, "degrees"));
            line(
                "atoms without a force direction",
                format!("{} of {} ({} missed)", f.n_without_direction, f.n_atoms, f.n_missed_direction),
            );
            line("cosine, mean", optional(f.cosine_mean, ""));
            line("magnitude MAE", format!("{} eV/Å", number(f.magnitude_mae_ev_per_angstrom)));
        }
        None => line("forces", evaluated.no_forces.clone().unwrap_or_default()),
    }
    match &e.energy {
        Some(energy) => {
            line("energy MAE, shift removed", format!("{} meV/atom", number(energy.mae_mev_per_atom)));
            let rmse = with_error(
                Some(energy.rmse_mev_per_atom),
                energy.rmse_standard_error_mev_per_atom,
                " meV/atom (one shift per composition)",
            );
            line("energy RMSE, shift removed", rmse);
            line("  a constant would give", optional(energy.reference_spread_mev_per_atom, "meV/atom"));
            line("  rank correlation", optional(energy.rank_correlation, ""));
            for (composition, shift) in &energy.shift_ev {
                line(&format!("  shift removed, {composition}"), format!("{} eV", number(*shift)));
            }
        }
        None => line("energies", evaluated.no_energies.clone().unwrap_or_default()),
    }
    text
}
