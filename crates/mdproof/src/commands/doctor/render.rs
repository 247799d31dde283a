//! Formats the items for readers.

use comfy_table::{Cell, Color};

use super::judge::{Item, Status};
use crate::render::{coloured, new_table};

/// Formats a table of items and the numbers of warnings and problems; escape codes only if `colour` is set.
pub(super) fn render(items: &[Item], colour: bool) -> String {
    let mut table = new_table(colour);
    let any_advice = items.iter().any(|item| item.advice.is_some());
    table.set_header(["what", "status", "found"].into_iter().chain(any_advice.then_some("what to do")));
    for item in items {
        let advice = any_advice.then(|| Cell::new(item.advice.as_deref().unwrap_or("")));
        let status = coloured(item.status.label(), status_colour(item.status));
        table.add_row([Cell::new(&item.subject), status, Cell::new(&item.found)].into_iter().chain(advice));
    }
    let count = |status| items.iter().filter(|item| item.status == status).count();
    let (problems, warnings) = (count(Status::Problem), count(Status::Warning));
    format!("{table}\n{}, {}\n", counted(problems, "problem"), counted(warnings, "warning"))
}

fn counted(n: usize, what: &str) -> String {
    match n {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

fn status_colour(status: Status) -> Color {
    match status {
        Status::Ok => Color::Green,
        Status::Warning => Color::Yellow,
        Status::Problem => Color::Red,
    }
}
