//! Tables for a terminal.

pub mod dashboard;
pub mod evaluations;
pub mod forecast;
pub mod speed;

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

/// Creates a table with borders; escape codes only if `colour` is set.
pub fn new_table(colour: bool) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
        table.set_width(140);
    }
    table
}

/// Creates a cell with bold coloured text.
pub fn coloured(text: &str, colour: Color) -> Cell {
    Cell::new(text).fg(colour).add_attribute(Attribute::Bold)
}
