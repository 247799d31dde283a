//! Text of a file without the characters that control a terminal.

use serde_json::Value;

/// Returns `text` on one line: without control characters and marks that reverse the direction of writing, and with
/// spaces for tabs and ends of lines.
pub fn plain(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            '\n' | '\t' => Some(' '),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => None,
            c if c.is_control() => None,
            c => Some(c),
        })
        .collect()
}

/// Applies [`plain`] to every text in `value`, and to the names of its fields.
pub(crate) fn clean(value: &mut Value) {
    match value {
        Value::String(text) => {
            if plain(text) != *text {
                *text = plain(text);
            }
        }
        Value::Array(all) => all.iter_mut().for_each(clean),
        Value::Object(fields) => {
            fields.values_mut().for_each(clean);
            let bad: Vec<String> = fields.keys().filter(|key| plain(key) != **key).cloned().collect();
            for key in bad {
                if let Some(content) = fields.remove(&key) {
                    fields.insert(plain(&key), content);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn clean_removes_control_characters_from_texts_and_keys() {
        let mut value = json!({ "a\u{1b}[2J": ["\u{1b}[31mred\u{7}", "two\nlines", 1.0], "b": "\u{202e}né" });
        clean(&mut value);
        assert_eq!(value, json!({ "a[2J": ["[31mred", "two lines", 1.0], "b": "né" }));
    }
}
