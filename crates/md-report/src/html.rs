//! `report.html`: a campaign in one self-contained file that needs no network.
//!
//! Templates write the tables. Curves are embedded as JSON in the format of [Plotly], each in its own `<script>`, and
//! are drawn when the enclosing section is opened, so that hundreds of them do not slow down the page. A missing
//! measurement is named, with the reason, in its place.
//!
//! [Plotly]: https://plotly.com/javascript/

mod budget;
mod causes;
mod comparison;
mod criteria;
mod figure;
mod findings;
mod forces;
mod items;
mod panels;
mod runs;
mod scans;
mod trajectories;

use md_results::{Definition, Results, Role};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};
use serde::Serialize;

use crate::ReportError;
use budget::Budget;
use figure::Figures;
use items::Index;
pub use trajectories::{Trajectory, trajectories};

const PAGE: &str = include_str!("../assets/report.html");
const MACROS: &str = include_str!("../assets/macros.html");
const STYLE: &str = include_str!("../assets/report.css");
const SCRIPTS: [&str; 4] = [
    include_str!("../assets/tables.js"),
    include_str!("../assets/plots.js"),
    include_str!("../assets/viewer.js"),
    include_str!("../assets/page.js"),
];
const PLOTLY: &str = include_str!("../assets/vendor/plotly-basic-4.1.1.min.js");

/// Returns the report of `results` as HTML. `definitions` explains the criteria and sets the order of the tables.
/// `frames` are animated; without frames the report says so.
///
/// # Errors
/// [`ReportError::Template`] and [`ReportError::Data`], which no results should cause.
pub fn html(
    results: &Results,
    definitions: &[Definition],
    frames: &[Trajectory],
) -> Result<String, ReportError> {
    let mut figures = Figures::default();
    let pareto = comparison::pareto(results, &mut figures);
    let (index, budget) = (Index::new(results), Budget::new(results));
    let panels = panels::of_models(results, &index, &budget, &mut figures);
    let plotted = figures
        .into_iter()
        .map(|(id, figure)| Ok(context! { id, json => embedded(&figure)? }))
        .collect::<Result<Vec<Value>, ReportError>>()?;
    let models: Vec<String> = results.models.iter().map(|m| m.name.clone()).collect();
    let molecules: Vec<String> = results.molecules.iter().map(|m| m.name.clone()).collect();
    let context = context! {
        style => Value::from_safe_string(STYLE.to_owned()),
        scripts => Value::from_safe_string(SCRIPTS.join("\n")),
        plotly => Value::from_safe_string(PLOTLY.to_owned()),
        unfinished => crate::words::unfinished(results),
        remarks => &results.remarks,
        left_out => &budget.notes,
        campaign => Value::from(Serde(&results.campaign)),
        provenance => Value::from(Serde(findings::provenance(results))),
        machine => Value::from(Serde(findings::machine(results))),
        checkpoints => Value::from(Serde(findings::checkpoints(results))),
        verdicts => Value::from(Serde(findings::verdicts(results))),
        findings => Value::from(Serde(findings::findings(results, &budget))),
        economy => Value::from(Serde(&results.economy)),
        failures => Value::from(Serde(findings::failures(results))),
        models,
        molecules,
        candidates => results.models.iter().filter(|m| m.role == Role::Candidate).count(),
        uses => Value::from(Serde(criteria::uses(results))),
        tables => Value::from(Serde(criteria::tables(results, definitions, &budget))),
        seed => Value::from(Serde(comparison::seed_table(results))),
        outcomes => Value::from(Serde(comparison::outcomes(results))),
        pareto => Value::from(Serde(pareto)),
        panels => Value::from(Serde(panels)),
        trajectories => frames.len(),
        trajectory_data => embedded(&trajectories::for_viewer(results, &budget, frames))?,
        figures => plotted,
    };
    Ok(environment()?.get_template("report.html")?.render(context)?)
}

fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_template("macros.html", MACROS)?;
    environment.add_template("report.html", PAGE)?;
    Ok(environment)
}

/// Serialises JSON for a `<script>`: `<` occurs only in strings, where it may be escaped.
fn embedded(value: &impl Serialize) -> Result<Value, serde_json::Error> {
    Ok(Value::from_safe_string(serde_json::to_string(value)?.replace('<', "\\u003c")))
}

/// Returns the last component of a path, used as a short name.
fn file_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}
