//! Figures in the format of Plotly.

use serde::Serialize;
use serde_json::{Value, json};

/// Palette for colour-blind readers, visible on white and on black (Okabe and Ito, without black).
pub(super) const COLOURS: [&str; 7] =
    ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#A08F00"];

/// Returns the `n`-th colour.
pub(super) fn colour(n: usize) -> &'static str {
    COLOURS[n % COLOURS.len()]
}

/// A figure with its data and axes.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Figure {
    /// Model or molecule of the figure.
    #[serde(rename = "of")]
    pub subject: String,
    /// Title.
    pub title: String,
    /// Traces.
    pub data: Vec<Value>,
    /// Axes and auxiliary lines.
    pub layout: Value,
}

/// Name, unit and kind of an axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis<'a> {
    name: &'a str,
    unit: &'a str,
    kind: &'a str,
}

impl<'a> Axis<'a> {
    /// Creates a linear axis.
    pub(super) fn linear(name: &'a str, unit: &'a str) -> Self {
        Axis { name, unit, kind: "linear" }
    }

    /// Creates a logarithmic axis.
    pub(super) fn log(name: &'a str, unit: &'a str) -> Self {
        Axis { name, unit, kind: "log" }
    }

    /// Creates a categorical axis.
    pub(super) fn names(name: &'a str) -> Self {
        Axis { name, unit: "", kind: "category" }
    }

    fn layout(self) -> Value {
        let text = if self.unit.is_empty() {
            self.name.to_owned()
        } else {
            format!("{} ({})", self.name, self.unit)
        };
        json!({ "title": { "text": text }, "type": self.kind })
    }
}

impl Figure {
    /// Creates a figure without traces.
    pub(super) fn new(of: &str, title: &str, x: Axis<'_>, y: Axis<'_>) -> Self {
        let layout = json!({ "xaxis": x.layout(), "yaxis": y.layout(), "shapes": [] });
        Figure { subject: of.to_owned(), title: title.to_owned(), data: Vec::new(), layout }
    }

    /// Appends a trace.
    pub(super) fn push(&mut self, trace: Value) {
        self.data.push(trace);
    }

    /// Sets the initial range of an axis.
    pub(super) fn range(&mut self, axis: &str, range: [f64; 2]) {
        self.layout[axis]["range"] = json!(range);
    }

    /// Adds a horizontal line across the figure.
    pub(super) fn level(&mut self, y: f64, label: &str) {
        if let Some(shapes) = self.layout["shapes"].as_array_mut() {
            shapes.push(json!({
                "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y,
                "line": { "dash": "dot", "width": 1.5, "color": "#c0392b" },
                "label": { "text": label, "textposition": "end", "font": { "size": 10, "color": "#c0392b" } },
            }));
        }
    }
}

/// Creates a trace of connected points.
pub(super) fn line(name: &str, x: &[f64], y: &[f64], colour: &str) -> Value {
    json!({
        "type": "scatter", "mode": "lines", "name": name, "x": x, "y": y,
        "line": { "color": colour, "width": 1.5 },
    })
}

/// Creates a trace of separate points.
pub(super) fn points(name: &str, x: &[f64], y: &[f64], colour: &str) -> Value {
    json!({
        "type": "scatter", "mode": "markers", "name": name, "x": x, "y": y,
        "marker": { "color": colour, "size": 4, "opacity": 0.6 },
    })
}

/// Creates a bar chart over names, with error bars where an error is known.
pub(super) fn bars(
    name: &str,
    x: &[String],
    y: &[Option<f64>],
    error: &[Option<f64>],
    colour: &str,
) -> Value {
    json!({
        "type": "bar", "name": name, "x": x, "y": y, "marker": { "color": colour },
        "error_y": { "type": "data", "array": error, "color": "#888888", "visible": error.iter().any(Option::is_some) },
    })
}

/// Sets a field of a trace.
pub(super) fn with(mut trace: Value, field: &str, value: Value) -> Value {
    trace[field] = value;
    trace
}

/// Figures of a report, by the ids of their elements.
#[derive(Debug, Default)]
pub(super) struct Figures(Vec<(String, Figure)>);

impl Figures {
    /// Stores a figure and returns its id.
    pub(super) fn add(&mut self, figure: Figure) -> String {
        let id = format!("figure-{}", self.0.len());
        self.0.push((id.clone(), figure));
        id
    }
}

impl IntoIterator for Figures {
    type Item = (String, Figure);
    type IntoIter = std::vec::IntoIter<(String, Figure)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
