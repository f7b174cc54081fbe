//! JSON as text.

use std::fmt::{self, Write};

/// Blanks for each level.
const INDENT: &str = "  ";

/// Longest value, in bytes, that is put on one line.
const LINE: usize = 76;

/// A value to be printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json {
    Text(String),
    Number(u64),
    Flag(bool),
    List(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    pub(super) fn text(text: impl fmt::Display) -> Self {
        Json::Text(text.to_string())
    }

    pub(super) fn texts<T: fmt::Display>(texts: impl IntoIterator<Item = T>) -> Self {
        texts.into_iter().map(Json::text).collect()
    }

    fn write(&self, out: &mut String, depth: usize) -> fmt::Result {
        let line = self.on_one_line();
        match self {
            Json::List(items) if line.len() > LINE => {
                let items = items.iter().map(|item| (None, item));
                write_lines(out, depth, "[]", items)
            }
            Json::Object(members) if line.len() > LINE => {
                let members = members.iter().map(|(key, value)| (Some(*key), value));
                write_lines(out, depth, "{}", members)
            }
            _ => out.write_str(&line),
        }
    }

    fn on_one_line(&self) -> String {
        match self {
            Json::Text(text) => quoted(text),
            Json::Number(number) => number.to_string(),
            Json::Flag(flag) => flag.to_string(),
            Json::List(items) => {
                let items: Vec<_> = items.iter().map(Json::on_one_line).collect();
                format!("[{}]", items.join(", "))
            }
            Json::Object(members) => {
                let member =
                    |(key, value): &(_, Json)| format!("\"{key}\": {}", value.on_one_line());
                let members: Vec<_> = members.iter().map(member).collect();
                format!("{{ {} }}", members.join(", "))
            }
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::text(text)
    }
}

impl From<u16> for Json {
    fn from(number: u16) -> Self {
        Json::Number(number.into())
    }
}

impl FromIterator<Json> for Json {
    fn from_iter<I: IntoIterator<Item = Json>>(items: I) -> Self {
        Json::List(items.into_iter().collect())
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out, 0)?;
        f.write_str(&out)
    }
}

/// An object of pairs, in their order.
macro_rules! object {
    ($($key:literal: $value:expr),* $(,)?) => {
        $crate::cli::oneline::json::Json::Object(vec![
            $(($key, $crate::cli::oneline::json::Json::from($value))),*
        ])
    };
}
pub(super) use object;

fn write_lines<'a>(
    out: &mut String,
    depth: usize,
    brackets: &str,
    entries: impl Iterator<Item = (Option<&'static str>, &'a Json)>,
) -> fmt::Result {
    let (open, close) = brackets.split_at(1);
    out.write_str(open)?;
    for (index, (key, value)) in entries.enumerate() {
        let comma = if index == 0 { "\n" } else { ",\n" };
        write!(out, "{comma}{}", INDENT.repeat(depth + 1))?;
        if let Some(key) = key {
            write!(out, "\"{key}\": ")?;
        }
        value.write(out, depth + 1)?;
    }
    write!(out, "\n{}{close}", INDENT.repeat(depth))
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let code = c as u32; // control characters are below 0x100
                out.push_str(&format!("\\u{code:04x}"));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_is_on_one_line() {
        let value = object! { "a": 1u16, "b": Json::texts(["x", "y"]), "c": Json::Flag(true) };
        assert_eq!(
            value.to_string(),
            r#"{ "a": 1, "b": ["x", "y"], "c": true }"#
        );
        let long = object! { "a": Json::texts(["x".repeat(50), "y".repeat(50)]) };
        let lines: Vec<String> = long.to_string().lines().map(str::to_owned).collect();
        assert_eq!(lines[1], "  \"a\": [");
        assert_eq!(lines.len(), 6);
    }

    proptest! {
        #[test]
        fn other_readers_read_the_same(texts: Vec<String>, number: u16) {
            let value = object! { "texts": Json::texts(&texts), "number": number };
            let read: serde_json::Value = serde_json::from_str(&value.to_string()).unwrap();
            prop_assert_eq!(&read["texts"], &serde_json::json!(texts));
            prop_assert_eq!(&read["number"], &serde_json::json!(number));
        }
    }
}
