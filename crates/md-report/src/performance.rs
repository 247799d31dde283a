//! Plots of speed and memory.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use md_results::{Performance, Speed};
use plotters::coord::ranged1d::ValueFormatter;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Width and height, pixels; the width excludes the legend.
const SIZE: (u32, u32) = (900, 500);
const PLOT_WIDTH: u32 = 660;

/// Line height of the legend, pixels.
const LINE: i32 = 20;

/// Anchor of the text of the legend.
const LEFT: Pos = Pos { h_pos: HPos::Left, v_pos: VPos::Center };

/// A plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// File name.
    pub name: &'static str,
    /// Contents of the file.
    pub svg: String,
}

/// A plot could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("plot {name} cannot be drawn: {message}")]
pub struct PlotError {
    name: &'static str,
    message: String,
}

/// Points (x, y) by series name.
type Series = BTreeMap<String, Vec<(f64, f64)>>;

/// Values that a logarithmic axis can show. No measurement is smaller or larger; zero has no logarithm, and marks between
/// numbers too far apart would be drawn without end.
const SHOWN: RangeInclusive<f64> = 1e-9..=1e15;

/// Plots time against size, speed of the models, memory, and throughput of batches. A point that cannot be measured (zero,
/// not finite, absurdly small or large) is left out, and so is a plot without points.
///
/// # Errors
/// The plotting library rejects the numbers.
pub fn performance(performance: &Performance) -> Result<Vec<Plot>, PlotError> {
    let rows = &performance.speed;
    let paths = by_name(rows, |s| s.path.clone()).len();
    let name = |s: &Speed| if paths > 1 { format!("{} ({})", s.model, s.path) } else { s.model.clone() };

    let alone = || rows.iter().filter(|s| s.batch == 1);
    let mut sizes = Series::new();
    for s in alone() {
        sizes.entry(name(s)).or_default().push((s.atoms as f64, s.ms_per_step));
    }
    let mut batches = Series::new();
    for s in rows {
        let rate = s.molecule_steps_per_s.unwrap_or(s.steps_per_s * s.batch as f64);
        batches.entry(format!("{}, {}", name(s), s.molecule)).or_default().push((s.batch as f64, rate));
    }
    let models = by_name(rows, name);
    let place = |s: &Speed| models.iter().position(|m| *m == name(s)).unwrap_or(0) as f64;
    let (mut speeds, mut memory) = (Series::new(), Series::new());
    for s in alone() {
        speeds.entry(s.molecule.clone()).or_default().push((place(s), s.steps_per_s));
        if let Some(mib) = s.peak_memory_mib {
            memory.entry(s.molecule.clone()).or_default().push((place(s), mib));
        }
    }
    let plots = [
        over_numbers("time_against_size.svg", "Time of an NVE step", ["atoms", "ms"], sizes)?,
        over_names("speed_against_model.svg", "NVE steps per second", "steps/s", &models, speeds)?,
        over_names("memory.svg", "Peak memory of the process so far", "MiB", &models, memory)?,
        over_numbers(
            "batch_throughput.svg",
            "Throughput of batches",
            ["molecules in lock step", "molecule-steps/s"],
            batches,
        )?,
    ];
    Ok(plots.into_iter().flatten().collect())
}

/// Returns the distinct names in the order of the rows.
fn by_name(rows: &[Speed], name: impl Fn(&Speed) -> String) -> Vec<String> {
    let mut names = Vec::new();
    for name in rows.iter().map(name) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Plots lines over a logarithmic axis.
fn over_numbers(
    name: &'static str,
    title: &str,
    axes: [&str; 2],
    series: Series,
) -> Result<Option<Plot>, PlotError> {
    let series = kept(series, |(x, y)| SHOWN.contains(x) && SHOWN.contains(y));
    let Some([x, y]) = ranges(&series) else { return Ok(None) };
    let svg = draw(title, axes, x.log_scale(), y.log_scale(), |x| format!("{x}"), usize::MAX, true, series);
    finish(name, svg)
}

/// Plots points over names.
fn over_names(
    name: &'static str,
    title: &str,
    unit: &str,
    names: &[String],
    series: Series,
) -> Result<Option<Plot>, PlotError> {
    let series = kept(series, |(_, y)| SHOWN.contains(y));
    let Some([_, y]) = ranges(&series) else { return Ok(None) };
    let x = -0.5..names.len() as f64 - 0.5;
    let label = |x: &f64| {
        let whole = (x - x.round()).abs() < 1e-6 && *x > -0.25;
        names.get(x.round().max(0.0) as usize).filter(|_| whole).cloned().unwrap_or_default()
    };
    let places = 2 * names.len() + 1;
    let svg = draw(title, ["", unit], x, y.log_scale(), label, places, false, series);
    finish(name, svg)
}

fn finish(name: &'static str, svg: Result<String, String>) -> Result<Option<Plot>, PlotError> {
    svg.map(|svg| Some(Plot { name, svg })).map_err(|message| PlotError { name, message })
}

/// Returns the points that can be shown, without series that have none.
fn kept(mut series: Series, can_be_shown: impl Fn(&(f64, f64)) -> bool) -> Series {
    series.values_mut().for_each(|points| points.retain(&can_be_shown));
    series.retain(|_, points| !points.is_empty());
    series
}

/// Returns the ranges of the points with a margin by a factor; `None` without points on a logarithmic axis.
fn ranges(series: &Series) -> Option<[Range<f64>; 2]> {
    let all = || series.values().flatten();
    let range = |of: fn(&(f64, f64)) -> f64| {
        let (low, high) =
            all().map(of).fold((f64::INFINITY, 0.0), |(a, b): (f64, f64), x| (a.min(x), b.max(x)));
        low / 1.5..high * 1.5
    };
    let [x, y] = [range(|p| p.0), range(|p| p.1)];
    // Without points the range is empty and its start infinite.
    (y.start > 0.0 && y.start < y.end && y.end.is_finite()).then_some([x, y])
}

fn draw<X, Y>(
    title: &str,
    [x_title, y_title]: [&str; 2],
    x: X,
    y: Y,
    x_label: impl Fn(&f64) -> String,
    x_labels: usize,
    lines: bool,
    series: Series,
) -> Result<String, String>
where
    X: plotters::coord::ranged1d::AsRangedCoord<Value = f64>,
    Y: plotters::coord::ranged1d::AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut svg = String::new();
    let text = |error: &dyn std::error::Error| error.to_string();
    {
        let whole = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        whole.fill(&WHITE).map_err(|e| text(&e))?;
        let (area, legend) = whole.split_horizontally(PLOT_WIDTH);
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 20))
            .margin(15)
            .x_label_area_size(45)
            .y_label_area_size(75)
            .build_cartesian_2d(x, y)
            .map_err(|e| text(&e))?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc(x_title)
            .y_desc(y_title)
            .x_labels(x_labels.min(10))
            .x_label_formatter(&x_label)
            .y_label_formatter(&|y| format!("{y}"))
            .axis_desc_style(("sans-serif", 15))
            .label_style(("sans-serif", 13))
            .draw()
            .map_err(|e| text(&e))?;
        for (n, (label, mut points)) in series.into_iter().enumerate() {
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let colour = Palette99::pick(n).to_rgba();
            if lines {
                chart.draw_series(LineSeries::new(points.iter().copied(), colour)).map_err(|e| text(&e))?;
            }
            chart
                .draw_series(points.iter().map(|&p| Circle::new(p, 4, colour.filled())))
                .map_err(|e| text(&e))?;
            let y = LINE * (n as i32 + 3);
            legend.draw(&Circle::new((8, y), 4, colour.filled())).map_err(|e| text(&e))?;
            let style = ("sans-serif", 13).into_font().into_text_style(&legend).pos(LEFT);
            legend.draw(&Text::new(label, (20, y), style)).map_err(|e| text(&e))?;
        }
        whole.present().map_err(|e| text(&e))?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(model: &str, atoms: usize, batch: usize, ms: f64) -> Speed {
        serde_json::from_value(serde_json::json!({
            "model": model, "molecule": format!("m{atoms}"), "atoms": atoms, "batch": batch, "device": "cpu",
            "path": "native-f32", "ms_per_call_p50": ms, "ms_per_call_p99": ms, "calls": 100, "ms_per_step": ms,
            "steps_per_s": 1e3 / ms, "cold_100_steps_s": 0.1, "peak_memory_MiB": 50.0, "speedup_vs_first": 1.0,
        }))
        .unwrap()
    }

    #[test]
    fn performance_plots_mark_every_measurement() {
        let speed =
            vec![row("a", 3, 1, 0.04), row("a", 13, 1, 0.2), row("b", 3, 1, 0.02), row("a", 3, 64, 0.8)];
        let plots = performance(&Performance { speed, ..Performance::default() }).unwrap();
        let marks: Vec<_> = plots.iter().map(|p| (p.name, p.svg.matches("<circle").count())).collect();
        // The legend has one more for each series.
        let expected = [
            ("time_against_size.svg", 3 + 2),
            ("speed_against_model.svg", 3 + 2),
            ("memory.svg", 3 + 2),
            ("batch_throughput.svg", 4 + 3),
        ];
        assert_eq!(marks, expected);
        assert!(
            plots[0].svg.contains("Time of an NVE step") && plots[0].svg.contains("\nb\n"),
            "{}",
            plots[0].svg
        );
    }

    /// An axis that starts at zero, or spans all numbers, would be marked for ever.
    #[test]
    fn performance_leaves_out_points_that_cannot_be_measured() {
        let absurd = [0.0, -0.0, f64::NAN, -1.0, f64::MIN_POSITIVE, 1e-310, 1e300, f64::MAX, f64::INFINITY];
        for ms in absurd {
            let mut odd = row("a", 4, 1, 1.0);
            (odd.ms_per_step, odd.steps_per_s, odd.peak_memory_mib) = (ms, ms, Some(ms));
            let performance = |speed| performance(&Performance { speed, ..Performance::default() }).unwrap();
            assert_eq!(performance(vec![odd.clone()]), [], "{ms}");
            let with = performance(vec![row("a", 3, 1, 0.04), odd]);
            let without = performance(vec![row("a", 3, 1, 0.04)]);
            assert_eq!(with, without, "{ms}");
        }
        let (mut batch, mut atoms) = (row("a", 3, 1, 1.0), row("a", 3, 1, 1.0));
        (batch.batch, atoms.atoms) = (0, 0);
        let plots =
            performance(&Performance { speed: vec![batch, atoms], ..Performance::default() }).unwrap();
        assert_eq!(plots.len(), 3, "there is no logarithm of no atoms, but a bar for each model");
    }

    #[test]
    fn performance_without_measurements_draws_no_plot() {
        assert!(performance(&Performance::default()).unwrap().is_empty());
    }
}
