//! What must happen to the text before it is JSON: V2Ray's comments (`//`,
//! `/* */`, `#`) become spaces, so that everything else keeps its place, and
//! what no JSON can contain is refused with a better message than a parser of
//! tokens has.

use super::words::quoted;
use crate::limits::{MAX_CONFIG_DEPTH, MAX_CONFIG_ERRORS};

/// A mistake in the text itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TextError {
    /// Where, in bytes.
    pub(super) offset: usize,
    /// What is wrong.
    pub(super) what: String,
    /// What would be right.
    pub(super) help: Option<&'static str>,
}

impl TextError {
    pub(super) fn new(
        offset: usize,
        what: impl Into<String>,
        help: impl Into<Option<&'static str>>,
    ) -> Self {
        Self {
            offset,
            what: what.into(),
            help: help.into(),
        }
    }
}

/// The text with spaces in place of its comments; every other character is
/// where it was.
///
/// Quotes that are missing, or single, are mostly so in many places: `earlier`
/// gets those before the one that is the error, up to [`MAX_CONFIG_ERRORS`].
pub(super) fn without_comments(
    text: &str,
    earlier: &mut Vec<TextError>,
) -> Result<String, TextError> {
    let mut cleaner = Cleaner {
        rest: text,
        out: String::with_capacity(text.len()),
        depth: 0,
    };
    while earlier.len() < MAX_CONFIG_ERRORS
        && let Some(next) = cleaner.peek()
    {
        match next {
            '"' => cleaner.string()?,
            '#' => cleaner.line_comment(),
            '/' => cleaner.slash()?,
            '\'' => earlier.push(cleaner.single_quoted()?),
            '{' | '[' => cleaner.open()?,
            '}' | ']' => cleaner.close(),
            _ if next.is_ascii_alphabetic() => earlier.extend(cleaner.word()?),
            _ if is_json(next) => cleaner.keep(),
            _ => return Err(cleaner.stray(next)),
        }
    }
    match earlier.pop() {
        Some(last) => Err(last),
        None => Ok(cleaner.out),
    }
}

struct Cleaner<'a> {
    rest: &'a str,
    out: String,
    depth: usize,
}

impl Cleaner<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next();
        self.rest = chars.as_str();
        next
    }

    fn keep(&mut self) {
        if let Some(c) = self.next() {
            self.out.push(c);
        }
    }

    /// One space for each byte; lines stay lines.
    fn blank(&mut self) {
        match self.next() {
            Some('\n') => self.out.push('\n'),
            Some(c) => self.out.extend(std::iter::repeat_n(' ', c.len_utf8())),
            None => {}
        }
    }

    fn error(&self, what: &str, help: &'static str) -> TextError {
        TextError::new(self.out.len(), what, help)
    }

    fn open(&mut self) -> Result<(), TextError> {
        self.depth += 1;
        if self.depth > MAX_CONFIG_DEPTH {
            let what = format!("nested deeper than {MAX_CONFIG_DEPTH}");
            return Err(TextError::new(self.out.len(), what, None));
        }
        self.keep();
        Ok(())
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
        self.keep();
    }

    fn string(&mut self) -> Result<(), TextError> {
        let endless = self.error("this string does not end", "close it with a double quote");
        self.keep();
        loop {
            match self.peek() {
                None | Some('\n' | '\r') => return Err(endless),
                Some('"') => break,
                Some('\\') => {
                    self.keep();
                    self.keep();
                }
                Some(c) if c < ' ' => {
                    return Err(self.error("a control character in a string", "write it as \\u00…"));
                }
                Some(_) => self.keep(),
            }
        }
        self.keep();
        Ok(())
    }

    /// A mistake, behind which others can be found if it ends on its line.
    fn single_quoted(&mut self) -> Result<TextError, TextError> {
        let wrong = self.error("a string in single quotes", "use double quotes");
        let line = self.rest.lines().next().unwrap_or_default();
        match line.match_indices('\'').nth(1) {
            Some((last, _)) => {
                self.pass(last + 1);
                Ok(wrong)
            }
            None => Err(wrong),
        }
    }

    fn pass(&mut self, len: usize) {
        let (passed, rest) = self.rest.split_at(len);
        self.out.push_str(passed);
        self.rest = rest;
    }

    /// `true`, `false`, `null`, the `e` of a number, or a mistake.
    fn word(&mut self) -> Result<Option<TextError>, TextError> {
        let in_number = self.out.ends_with(|c: char| c.is_ascii_digit());
        let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$');
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let word = &self.rest[..end];
        if in_number || matches!(word, "true" | "false" | "null") {
            self.pass(end);
            return Ok(None);
        }
        let wrong = self.without_quotes(word)?;
        let ends = |c: char| c.is_whitespace() || ",:[]{}\"'#".contains(c);
        self.pass(self.rest.find(ends).unwrap_or(self.rest.len()));
        Ok(Some(wrong))
    }

    /// At the start it is not only the quotes that are missing, nor in the head
    /// of a section: that is an error of its own.
    fn without_quotes(&self, word: &str) -> Result<TextError, TextError> {
        let is_head = self.rest[word.len()..].starts_with("]\n");
        if matches!(self.out.trim(), "" | "[[") || self.out.trim() == "[" && is_head {
            let help = "a configuration begins with {; YAML and TOML are not read";
            return Err(TextError::new(self.out.len(), "this is no JSON", help));
        }
        if ["true", "false", "null", "none"].contains(&&*word.to_ascii_lowercase()) {
            let what = format!("{} is no value", quoted(word));
            return Ok(self.error(&what, "write true, false or null"));
        }
        let what = format!("{} has no quotes", quoted(word));
        Ok(self.error(&what, "put double quotes around it"))
    }

    fn slash(&mut self) -> Result<(), TextError> {
        if self.rest.starts_with("//") {
            self.line_comment();
            return Ok(());
        }
        if self.rest.starts_with("/*") {
            return self.block_comment();
        }
        Err(self.error("a lone /", "comments start with //, /* or #"))
    }

    fn line_comment(&mut self) {
        while !matches!(self.peek(), None | Some('\n')) {
            self.blank();
        }
    }

    fn block_comment(&mut self) -> Result<(), TextError> {
        let endless = self.error("this comment does not end", "close it with */");
        self.blank();
        self.blank();
        while !self.rest.starts_with("*/") {
            if self.rest.is_empty() {
                return Err(endless);
            }
            self.blank();
        }
        self.blank();
        self.blank();
        Ok(())
    }

    fn stray(&self, c: char) -> TextError {
        match c {
            '\u{feff}' => self.error("a byte order mark", "save the file as UTF-8 without one"),
            '\u{2018}'..='\u{201f}' => self.error("a typographic quote", "use plain double quotes"),
            c if c.is_whitespace() => self.error("a special kind of space", "use a plain one"),
            c => TextError::new(
                self.out.len(),
                format!("{} cannot stand here", quoted(&c.to_string())),
                None,
            ),
        }
    }
}

fn is_json(c: char) -> bool {
    c.is_ascii_graphic() || matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn without_comments(text: &str) -> Result<String, TextError> {
        super::without_comments(text, &mut Vec::new())
    }

    #[test]
    fn comments_become_spaces_and_strings_stay() {
        let cases = [
            ("{} // a\n{}", "{}     \n{}"),
            ("{} # a \" é\n[]", "{}         \n[]"),
            ("[/* a\n # */1]", "[    \n     1]"),
            (r##"{"a#//": "/*\"#"}"##, r##"{"a#//": "/*\"#"}"##),
            ("# only", "      "),
            ("/**/1", "    1"),
        ];
        for (text, cleaned) in cases {
            assert_eq!(without_comments(text).as_deref(), Ok(cleaned), "{text}");
        }
    }

    #[test]
    fn what_no_json_can_contain_is_refused_where_it_stands() {
        let cases = [
            ("{ \"a\": \"b\n}", 7, "this string does not end"),
            ("\"a\tb\"", 2, "a control character in a string"),
            ("\"a", 0, "this string does not end"),
            ("\"a\\", 0, "this string does not end"),
            ("{ 'a': 1 }", 2, "a string in single quotes"),
            ("\u{feff}{}", 0, "a byte order mark"),
            ("{ \u{201c}a\u{201d} }", 2, "a typographic quote"),
            ("{\u{a0}}", 1, "a special kind of space"),
            ("{\u{1}}", 1, "\"\\u{1}\" cannot stand here"),
            ("{} /* a", 3, "this comment does not end"),
            ("/*/", 0, "this comment does not end"),
            ("/ a", 0, "a lone /"),
            ("[yes]", 1, "\"yes\" has no quotes"),
            ("{port: 1}", 1, "\"port\" has no quotes"),
            ("# YAML\nport: 1", 7, "this is no JSON"),
            ("[[inbounds]]", 2, "this is no JSON"),
        ];
        for (text, offset, what) in cases {
            let error = without_comments(text).unwrap_err();
            assert_eq!((error.offset, error.what.as_str()), (offset, what));
        }
    }

    #[test]
    fn mistakes_without_end_are_told_up_to_a_number() {
        let mut earlier = Vec::new();
        let text = format!("[1, {}", "a, 'b', ".repeat(MAX_CONFIG_ERRORS));
        let last = super::without_comments(&text, &mut earlier).unwrap_err();
        assert_eq!(earlier.len() + 1, MAX_CONFIG_ERRORS);
        assert!(earlier.iter().all(|one| one.offset < last.offset));
    }

    #[test]
    fn depth_is_bounded() {
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(without_comments(&deep(MAX_CONFIG_DEPTH)).is_ok());
        let error = without_comments(&deep(MAX_CONFIG_DEPTH + 1)).unwrap_err();
        assert_eq!(error.offset, MAX_CONFIG_DEPTH);
    }

    proptest! {
        #[test]
        fn places_are_kept(text in "[ -~é\n/*#\"\\\\]{0,80}") {
            if let Ok(cleaned) = without_comments(&text) {
                prop_assert_eq!(cleaned.len(), text.len());
                let lines = |s: &str| s.match_indices('\n').map(|(at, _)| at).collect::<Vec<_>>();
                prop_assert_eq!(lines(&cleaned), lines(&text));
            }
        }
    }
}
