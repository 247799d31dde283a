//! The comment line: `key=value` pairs.

use std::iter::Peekable;
use std::str::Chars;

use super::error::XyzProblem;

/// The pairs of a comment line, in order. Words without `=` are omitted.
#[derive(Debug, PartialEq)]
pub(super) struct Comment(Vec<(String, String)>);

impl Comment {
    /// Parses any text; only an extended comment line (one that contains `Properties=` or `properties=`) can be invalid.
    pub(super) fn parse(line: &str) -> Result<Self, XyzProblem> {
        let mut pairs = Vec::new();
        let mut tokens = Tokens { rest: line.chars().peekable(), unclosed: None };
        while tokens.skip_spaces() {
            let key = tokens.read(true);
            tokens.skip_spaces();
            if tokens.rest.next_if_eq(&'=').is_some() {
                tokens.skip_spaces();
                let value = if tokens.at_nested() { tokens.read_nested() } else { tokens.read(false) };
                pairs.push((key, value));
            }
        }
        match tokens.unclosed {
            Some(quote) if line.contains("Properties=") || line.contains("properties=") => {
                Err(XyzProblem::Unclosed(quote))
            }
            _ => Ok(Comment(pairs)),
        }
    }

    /// Removes and returns the value of a key that may occur once.
    pub(super) fn take(&mut self, key: &str) -> Result<Option<String>, XyzProblem> {
        let mut values = self.0.extract_if(.., |(k, _)| k == key);
        let value = values.next();
        if values.next().is_some() {
            return Err(XyzProblem::RepeatedKey(key.to_owned()));
        }
        Ok(value.map(|(_, v)| v))
    }

    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    pub(super) fn into_pairs(self) -> Vec<(String, String)> {
        self.0
    }
}

struct Tokens<'a> {
    rest: Peekable<Chars<'a>>,
    /// The missing closing delimiter of the last text read, if the line ended first.
    unclosed: Option<char>,
}

impl Tokens<'_> {
    /// Skips spaces and returns whether anything is left.
    fn skip_spaces(&mut self) -> bool {
        while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
        self.rest.peek().is_some()
    }

    /// Whether a list of lists follows.
    fn at_nested(&self) -> bool {
        let mut rest = self.rest.clone();
        rest.next() == Some('[') && rest.find(|c| !c.is_whitespace()) == Some('[')
    }

    /// Reads a list of lists, without its outer brackets.
    fn read_nested(&mut self) -> String {
        let (mut text, mut depth) = (String::new(), 0_usize);
        for c in self.rest.by_ref() {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
            text.push(c);
            if depth == 0 {
                return text[1..text.len() - 1].to_owned();
            }
        }
        self.unclosed = Some(']');
        text
    }

    /// Reads text up to a space (or, in a key, up to `=`) outside quotes.
    fn read(&mut self, key: bool) -> String {
        let mut text = String::new();
        let mut quote = None;
        while let Some(c) =
            self.rest.next_if(|&c| quote.is_some() || !(c.is_whitespace() || (key && c == '=')))
        {
            match (quote, c) {
                (_, '\\') => text.extend(self.rest.next()),
                (Some(close), _) if c == close => quote = None,
                (None, '"' | '\'') => quote = Some(c),
                (None, '{') => quote = Some('}'),
                (None, '[') => quote = Some(']'),
                _ => text.push(c),
            }
        }
        self.unclosed = quote;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(line: &str) -> Vec<(String, String)> {
        Comment::parse(line).unwrap().into_pairs()
    }

    /// Each line as split by `ase.io.extxyz.key_val_str_to_dict` (3.29).
    #[test]
    fn comment_pairs_match_ase() {
        let cases: [(&str, &[(&str, &str)]); 11] = [
            ("", &[]),
            ("flag", &[]),
            ("energy=-1.5 flag step=3", &[("energy", "-1.5"), ("step", "3")]),
            (r#"name="two words" pbc='T T F'"#, &[("name", "two words"), ("pbc", "T T F")]),
            ("virial={1 2 3} d=[4, 5]", &[("virial", "1 2 3"), ("d", "4, 5")]),
            (r#"a="say \"hi\"" b=c\ d"#, &[("a", "say \"hi\""), ("b", "c d")]),
            ("energy = -1.5 x= 2", &[("energy", "-1.5"), ("x", "2")]),
            ("smiles=C=O q=1", &[("smiles", "C=O"), ("q", "1")]),
            (r#""a key"=1"#, &[("a key", "1")]),
            (r#"j="_JSON {\"a\": [1, 2]}" k=0"#, &[("j", r#"_JSON {"a": [1, 2]}"#), ("k", "0")]),
            ("  lead=1\ttab=2  ", &[("lead", "1"), ("tab", "2")]),
        ];
        for (line, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
            assert_eq!(pairs(line), expected, "{line}");
        }
    }

    /// ASE's older reader drops inner brackets and ends at a space; the specification of libAtoms has lists of lists.
    #[test]
    fn comment_keeps_lists_of_lists() {
        let expected = [("x".to_owned(), "[1, 2], [3, 4]".to_owned()), ("y".to_owned(), "5".to_owned())];
        assert_eq!(pairs("x=[[1, 2], [3, 4]] y=5"), expected);
        assert_eq!(pairs("x = [ [1, 2], [3, 4]] y=5")[1], expected[1]);
        let error = Comment::parse("Lattice=[[1, 2], [3 properties=species:S:1:pos:R:3").unwrap_err();
        assert!(error.to_string().contains("opens a ] that is never closed"), "{error}");
    }

    #[test]
    fn comment_rejects_open_quote_only_if_extended() {
        assert_eq!(pairs("the 5' end, 300 K"), []);
        let error = Comment::parse(r#"name="oops Properties=species:S:1:pos:R:3 energy=1"#).unwrap_err();
        assert!(error.to_string().contains("opens a \" that is never closed"), "{error}");
    }

    #[test]
    fn comment_take_rejects_repeated_key() {
        let mut comment = Comment::parse("energy=1 other=2 other=3 energy=4").unwrap();
        let error = comment.take("energy").unwrap_err();
        assert_eq!(error.to_string(), "the comment line gives \"energy\" twice: remove one");
        assert_eq!(comment.take("absent").unwrap(), None);
    }
}
