//! Formats speed and memory as a table.

use md_driver::measure::speed::TIMESTEP_FS;
use md_results::{Performance, number};

/// Formats measurements and machine as tables.
pub fn text(performance: &Performance) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_BORDERS_ONLY);
    table.set_header([
        "model",
        "molecule",
        "atoms",
        "batch",
        "device",
        "threads",
        "path",
        "call ms",
        "p99",
        "step ms",
        "molecule-steps/s",
        "ns/day",
        "GFLOP/s",
        "of GEMM",
        "peak MiB",
        "speedup",
    ]);
    let or_dash = |x: Option<f64>| x.map_or("-".to_owned(), number);
    for s in &performance.speed {
        table.add_row([
            s.model.clone(),
            s.molecule.clone(),
            s.atoms.to_string(),
            s.batch.to_string(),
            s.device.clone(),
            s.threads.map_or("-".to_owned(), |n| n.to_string()),
            s.path.clone(),
            number(s.ms_per_call_p50),
            number(s.ms_per_call_p99),
            number(s.ms_per_step),
            or_dash(s.molecule_steps_per_s),
            or_dash(s.ns_per_day),
            or_dash(s.gflop_per_s),
            s.fraction_of_gemm_rate.map_or("-".to_owned(), |f| format!("{:.0} %", 100.0 * f)),
            or_dash(s.peak_memory_mib),
            format!("{}x", number(s.speedup_vs_first)),
        ]);
    }
    let mut text = format!("{table}\nns/day at {TIMESTEP_FS} fs. This machine:");
    for (n, m) in performance.machine.iter().enumerate() {
        text += &format!(
            "{} {} thread{}: products of matrices {} GFLOP/s in f32, {} in f64; memory {} GB/s",
            if n == 0 { "" } else { ";" },
            m.threads,
            if m.threads == 1 { "" } else { "s" },
            number(m.gemm_f32_gflop_per_s),
            number(m.gemm_f64_gflop_per_s),
            number(m.memory_gb_per_s),
        );
    }
    text += "\n";
    for (model, assumed) in &performance.assumptions {
        assumed.iter().for_each(|value| text += &format!("{model}: assumed: {value}\n"));
    }
    text
}
