//! Headings, sentences and tables, shared by all formats: plain text, Markdown and HTML have the same wording.

use comfy_table::{ContentArrangement, Table, presets};
use md_results::{Status, Verdict};
use minijinja::value::Serde;
use minijinja::{Environment, context};
use serde::Serialize;

use crate::ReportError;

/// Number of columns of the plain text.
const WIDTH: u16 = 140;

/// A document with a title.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Document {
    /// Title of the document.
    pub(crate) title: String,
    /// Contents below the title.
    pub(crate) blocks: Vec<Block>,
}

/// A part of a [`Document`].
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Block {
    /// Heading of a section.
    Heading { text: String },
    /// Heading of a subsection.
    Subheading { text: String },
    /// A paragraph.
    Paragraph { text: Words },
    /// A list of sentences.
    List { items: Vec<Words> },
    /// A table whose rows are as long as the header.
    Rows { header: Vec<String>, rows: Vec<Vec<Words>> },
}

/// Text with a tone.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Words {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

/// Colour of a text, in formats with colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tone {
    Plain,
    Good,
    Doubt,
    Bad,
}

impl From<String> for Words {
    fn from(text: String) -> Self {
        Words { text, tone: Tone::Plain }
    }
}

impl From<&str> for Words {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<Status> for Words {
    fn from(status: Status) -> Self {
        let tone = match status {
            Status::NotApplicable => Tone::Plain,
            Status::Pass => Tone::Good,
            Status::Fail => Tone::Bad,
            Status::Undecided | Status::Skipped => Tone::Doubt,
        };
        Words { text: status.label().to_owned(), tone }
    }
}

impl From<Verdict> for Words {
    fn from(verdict: Verdict) -> Self {
        let tone = match verdict {
            Verdict::Approved => Tone::Good,
            Verdict::Rejected => Tone::Bad,
            Verdict::Restricted | Verdict::Incomplete => Tone::Doubt,
        };
        Words { text: verdict.label().to_owned(), tone }
    }
}

impl Document {
    /// Creates an empty document with a title.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Document { title: title.into(), blocks: Vec::new() }
    }

    /// Starts a section.
    pub(crate) fn heading(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Heading { text: text.into() });
    }

    /// Starts a subsection.
    pub(crate) fn subheading(&mut self, text: impl Into<String>) {
        self.blocks.push(Block::Subheading { text: text.into() });
    }

    /// Appends a paragraph.
    pub(crate) fn paragraph(&mut self, text: impl Into<Words>) {
        self.blocks.push(Block::Paragraph { text: text.into() });
    }

    /// Appends a list, unless it is empty.
    pub(crate) fn list(&mut self, items: impl IntoIterator<Item = impl Into<Words>>) {
        let items: Vec<Words> = items.into_iter().map(Into::into).collect();
        if !items.is_empty() {
            self.blocks.push(Block::List { items });
        }
    }

    /// Appends a table, unless it has no rows.
    pub(crate) fn table<const N: usize>(
        &mut self,
        header: [&str; N],
        rows: impl IntoIterator<Item = [Words; N]>,
    ) {
        let rows: Vec<Vec<Words>> = rows.into_iter().map(Vec::from).collect();
        if !rows.is_empty() {
            self.blocks.push(Block::Rows { header: header.map(str::to_owned).to_vec(), rows });
        }
    }

    /// Renders the document for a terminal, without colours.
    pub(crate) fn text(&self) -> String {
        let mut parts = vec![self.title.clone()];
        for block in &self.blocks {
            parts.push(match block {
                Block::Heading { text } => format!("\n{text}"),
                Block::Subheading { text } => format!("\n{text}"),
                Block::Paragraph { text } => text.text.clone(),
                Block::List { items } => {
                    items.iter().map(|i| format!("  {}", i.text)).collect::<Vec<_>>().join("\n")
                }
                Block::Rows { header, rows } => {
                    let mut table = Table::new();
                    table.load_preset(presets::UTF8_BORDERS_ONLY).force_no_tty().set_width(WIDTH);
                    table.set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
                    for row in rows {
                        table.add_row(row.iter().map(|cell| &cell.text));
                    }
                    table.to_string()
                }
            });
        }
        parts.join("\n") + "\n"
    }

    /// Renders the document as GitHub-flavoured Markdown.
    pub(crate) fn markdown(&self) -> Result<String, ReportError> {
        self.render("report.md", include_str!("document/report.md.jinja"))
    }

    /// Renders the document as a self-contained page.
    pub(crate) fn html(&self) -> Result<String, ReportError> {
        self.render("report.html", include_str!("document/report.html.jinja"))
    }

    fn render(&self, name: &str, template: &str) -> Result<String, ReportError> {
        let mut environment = Environment::new();
        environment.add_filter("escape_markdown", |text: String| escape_markdown(&text));
        let tables: Vec<String> = self.blocks.iter().map(markdown_table).collect();
        let context = context! { document => Serde(self), tables => tables };
        Ok(environment.render_named_str(name, template, context)?)
    }
}

/// Renders a table with aligned columns; empty for other blocks.
fn markdown_table(block: &Block) -> String {
    let Block::Rows { header, rows } = block else { return String::new() };
    let mut table = Table::new();
    table.load_preset(presets::ASCII_MARKDOWN).force_no_tty();
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|h| escape_markdown(h)));
    for row in rows {
        table.add_row(row.iter().map(|cell| {
            let text = escape_markdown(&cell.text);
            if cell.tone == Tone::Plain { text } else { format!("**{text}**") }
        }));
    }
    table.to_string()
}

/// Escapes text for one line of Markdown. Characters without a meaning in their place, such as the sign in `<= 1`,
/// stay.
fn escape_markdown(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut escaped = String::with_capacity(line.len());
    let mut before = ' ';
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        let after = rest.peek().copied().unwrap_or(' ');
        let begins = escaped.is_empty();
        match c {
            '<' if after.is_ascii_alphabetic() || "/!?".contains(after) => escaped.push_str("&lt;"),
            '&' if after.is_ascii_alphabetic() || after == '#' => escaped.push_str("&amp;"),
            '\\' | '|' | '*' | '`' | '[' | '~' | '$' => escaped.extend(['\\', c]),
            '_' if !(before.is_alphanumeric() && after.is_alphanumeric()) => escaped.push_str("\\_"),
            '#' | '>' if begins => escaped.extend(['\\', c]),
            '-' | '+' if begins && after == ' ' => escaped.extend(['\\', c]),
            _ => escaped.push(c),
        }
        before = c;
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        let mut document = Document::new("models & <molecules>");
        document.heading("What");
        document.paragraph("a|b <script>x</script>");
        document.list(["one", "two"]);
        document.table(["name", "status"], [["m|1\nand <b>".into(), Status::Fail.into()]]);
        document.table(["nothing"], []);
        document
    }

    #[test]
    fn document_markdown_renders_tables_and_escapes_html() {
        let expected = "\
# models & &lt;molecules>

## What

a\\|b &lt;script>x&lt;/script>

- one
- two

| name            | status   |
|-----------------|----------|
| m\\|1 and &lt;b> | **FAIL** |
";
        assert_eq!(document().markdown().unwrap(), expected);
    }

    #[test]
    fn document_html_escapes_text_and_colours_status() {
        let page = document().html().unwrap();
        assert!(page.starts_with("<!doctype html>"), "{page}");
        for part in [
            "<title>models &amp; &lt;molecules&gt;</title>",
            "<p class=\"plain\">a|b &lt;script&gt;x&lt;&#x2f;script&gt;</p>",
            "<li class=\"plain\">two</li>",
            "<th>name</th>",
            "<td class=\"bad\">FAIL</td>",
            "prefers-color-scheme: dark",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(!page.contains("<script") && !page.contains("http"), "{page}");
    }

    #[test]
    fn document_text_has_every_part() {
        let text = document().text();
        for part in ["models & <molecules>\n", "\nWhat\n", "a|b <script>x</script>\n", "\n  two\n", "FAIL"] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }

    #[test]
    fn escape_markdown_escapes_only_active_syntax() {
        for (text, escaped) in [
            ("force_rmse_ev <= 0.2", "force_rmse_ev <= 0.2"),
            ("_a_ *b*", "\\_a\\_ \\*b\\*"),
            ("# no heading", "\\# no heading"),
            ("- no list", "\\- no list"),
            ("-0.5", "-0.5"),
            ("&amp; R&D", "&amp;amp; R&amp;D"),
            ("back\\slash\ntwo", "back\\\\slash two"),
        ] {
            assert_eq!(escape_markdown(text), escaped);
        }
    }
}
