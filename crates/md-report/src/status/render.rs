use super::{CampaignStatus, CriterionStatus, METRICS, ModelStatus, StageStatus, State};
use crate::ReportError;
use crate::document::{Document, Tone, Words};
use crate::words::duration;

/// Number of characters of a progress bar.
const BAR: usize = 20;

/// Formats the status for a terminal, without colours: bars, criteria, obstacles, numbers.
pub fn text(status: &CampaignStatus) -> String {
    let mut page = Document::new(headline(status));
    for model in &status.models {
        page.heading(model_line(model));
        page.list(model.stages.iter().map(stage_line));
    }
    for model in status.models.iter().filter(|m| !m.criteria.is_empty()) {
        page.heading(format!("criteria of {}", model.name));
        page.table(["criterion", "value", "target", "status", "where"], model.criteria.iter().map(criterion));
    }
    page.heading("blockers");
    page.list(blockers(status));
    page.heading("metrics");
    metrics(&mut page, status);
    page.heading("next");
    page.list(next(status));
    page.text()
}

/// Formats the status for a stand-up meeting: Markdown with the headings Completed, Plan, Blockers, Metrics and Next.
///
/// # Errors
/// [`ReportError::Template`], which no records should cause.
pub fn standup(status: &CampaignStatus) -> Result<String, ReportError> {
    let mut page = Document::new(headline(status));
    let or_none = |lines: Vec<String>| if lines.is_empty() { vec!["none".to_owned()] } else { lines };
    page.heading("Completed");
    let over = |model: &ModelStatus| {
        let stages = model.stages.iter().filter(|s| s.stage.over && model.state != State::Finished);
        let line =
            |s: &StageStatus| format!("{}: {}, {}", model.name, s.stage.name, duration(s.stage.elapsed_s));
        let mut lines: Vec<String> = stages.map(line).collect();
        lines.extend((model.state == State::Finished).then(|| model_line(model)));
        lines
    };
    page.list(or_none(status.models.iter().flat_map(over).collect()));
    page.heading("Plan");
    let open = |model: &ModelStatus| {
        if model.state == State::Finished {
            return Vec::new();
        }
        let stages = model.stages.iter().filter(|s| !s.stage.over);
        let lines: Vec<String> = stages.map(|s| format!("{}: {}", model.name, stage_line(s))).collect();
        if lines.is_empty() { vec![model_line(model)] } else { lines }
    };
    page.list(or_none(status.models.iter().flat_map(open).collect()));
    page.heading("Blockers");
    page.list(blockers(status));
    page.heading("Metrics");
    metrics(&mut page, status);
    page.heading("Next");
    page.list(next(status));
    page.markdown()
}

fn headline(status: &CampaignStatus) -> String {
    let Some(campaign) = &status.campaign else { return "no campaign: nothing was run here".to_owned() };
    let done = status.models.iter().filter(|m| m.state == State::Finished).count();
    let mut parts =
        vec![status.state.label().to_owned(), format!("{done} of {} models measured", status.models.len())];
    if status.state != State::Finished {
        parts.extend(status.runs.map(|[made, planned]| format!("{made} of {planned} runs made")));
    }
    parts.extend(status.elapsed_s.map(|s| format!("{} since {}", duration(s), began(status))));
    if status.state == State::Running {
        parts.extend(status.silent_s.map(|s| format!("last written {} ago", duration(s))));
    }
    format!("{campaign}: {}", parts.join(", "))
}

fn began(status: &CampaignStatus) -> &str {
    status.started.as_deref().unwrap_or("its begin")
}

fn model_line(model: &ModelStatus) -> String {
    let state = model.verdict.map_or(model.state.label(), |v| v.label());
    match &model.summary {
        Some(summary) => format!("{}: {state}: {summary}", model.name),
        None => format!("{}: {state}", model.name),
    }
}

/// Formats a stage: `physics gates: [##########----------] 50 %, 12 of 24, 3m left: what can be seen`.
fn stage_line(status: &StageStatus) -> String {
    let stage = &status.stage;
    let mut parts = vec![match status.fraction {
        Some(fraction) => format!("{}, {} of {}", bar(fraction), stage.done, stage.total),
        None => format!("{} done", stage.done),
    }];
    if stage.over {
        parts.push(format!("over after {}", duration(stage.elapsed_s)));
    } else {
        parts.extend(status.remaining_s.map(|s| format!("{} left", duration(s))));
    }
    let note = if stage.note.is_empty() { String::new() } else { format!(": {}", stage.note) };
    format!("{}: {}{note}", stage.name, parts.join(", "))
}

/// Formats a fraction from 0 to 1 as a bar and in whole percent, rounded down so that only 1 gives 100.
fn bar(fraction: f64) -> String {
    let filled = (fraction * BAR as f64).floor() as usize;
    format!("[{}{}] {:.0} %", "#".repeat(filled), "-".repeat(BAR - filled), (100.0 * fraction).floor())
}

fn criterion(criterion: &CriterionStatus) -> [Words; 5] {
    let known = |text: &Option<String>, otherwise: &str| text.as_deref().unwrap_or(otherwise).into();
    [
        criterion.title.as_str().into(),
        known(&criterion.value, "pending"),
        known(&criterion.target, "-"),
        criterion.status.map_or("-".into(), Words::from),
        known(&criterion.place, "-"),
    ]
}

fn blockers(status: &CampaignStatus) -> Vec<Words> {
    if status.blockers.is_empty() {
        return vec!["none".into()];
    }
    status.blockers.iter().map(|b| Words { text: b.words.clone(), tone: Tone::Bad }).collect()
}

/// Appends a row for every measured model.
fn metrics(page: &mut Document, status: &CampaignStatus) {
    let titles: Vec<String> = METRICS
        .iter()
        .map(|key| {
            let mut all = status.models.iter().flat_map(|m| &m.metrics);
            all.find(|m| m.key == *key).map_or((*key).to_owned(), |m| format!("{} ({})", m.title, m.unit))
        })
        .collect();
    let cell = |model: &ModelStatus, key: &str| -> Words {
        let metric = model.metrics.iter().find(|m| m.key == key);
        metric.map_or("not measured".into(), |m| format!("{} ({})", m.words, m.molecule).into())
    };
    let measured = status.models.iter().filter(|m| m.state == State::Finished);
    let rows: Vec<[Words; 4]> = measured
        .map(|m| {
            let [a, b, c] = METRICS.map(|key| cell(m, key));
            [m.name.as_str().into(), a, b, c]
        })
        .collect();
    if rows.is_empty() {
        page.paragraph("none yet");
    }
    page.table(["model", &titles[0], &titles[1], &titles[2]], rows);
}

fn next(status: &CampaignStatus) -> Vec<Words> {
    if status.next.is_empty() {
        return vec!["nothing".into()];
    }
    status.next.iter().map(|line| line.as_str().into()).collect()
}
