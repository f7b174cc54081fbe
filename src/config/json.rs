//! JSON text to a tree in which every value knows where it stands.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use jsonc_parser::ast;
use jsonc_parser::errors::{ParseError, ParseErrorKind};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::error::{ConfigError, Place};
use super::notes::Notes;
use super::text::{TextError, without_comments};

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) mark: Mark,
    pub(super) value: Value,
}

/// A value.
#[derive(Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// As it is written.
    Number(String),
    String(String),
    Array(Vec<Node>),
    Object(Vec<Member>),
}

/// Not what strings say: passwords and ids are among them.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Number(text) => f.write_str(text),
            Value::String(text) => write!(f, "a string of {} bytes", text.len()),
            Value::Array(elements) => f.debug_list().entries(elements).finish(),
            Value::Object(members) => f.debug_set().entries(members).finish(),
        }
    }
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) key: Rc<str>,
    /// The place of the key.
    pub(super) mark: Mark,
    pub(super) value: Node,
}

/// A place, cheap to keep: lines are counted only when somebody asks.
#[derive(Clone)]
pub(super) struct Mark {
    source: Rc<Source>,
    offset: usize,
    path: Rc<Path>,
}

struct Source {
    name: Arc<str>,
    text: String,
}

enum Path {
    Root,
    Key(Rc<Path>, Rc<str>),
    Index(Rc<Path>, usize),
}

/// Reads `text`, the content of the file `name`.
///
/// Only what is no JSON at all is an error here. Of quotes that are wrong all but
/// the last are noted, and so is a comma too many or too few; of a key that is
/// given twice the first is taken, and the other noted.
pub(super) fn read(name: &str, text: &str, notes: &Notes) -> Result<Node, ConfigError> {
    let root = Mark::root(name, text);
    let mut quotes = Vec::new();
    let cleaned = without_comments(text, &mut quotes);
    for earlier in quotes {
        notes.blame(root.text_error(earlier));
    }
    let mut cleaned = cleaned.map_err(|e| root.text_error(e))?;
    loop {
        let wrong = match parse_to_ast(&cleaned, &CollectOptions::default(), &strict()) {
            Ok(parsed) => return whole(parsed.value, &root, notes),
            Err(wrong) => wrong,
        };
        let error = root.text_error(explain(&wrong));
        match with_comma_mended(&cleaned, &wrong) {
            Some(mended) if !notes.is_full() => cleaned = mended,
            _ => return Err(error),
        }
        notes.blame(error);
    }
}

/// The same with the first mistake as the error.
#[cfg(test)]
pub(super) fn parse(name: &str, text: &str) -> Result<Node, ConfigError> {
    let notes = Notes::default();
    let node = read(name, text, &notes)?;
    let (errors, _) = notes.into_parts();
    errors.into_iter().next().map_or(Ok(node), Err)
}

/// Something is wrong in the file `name` behind the text `before`.
pub(super) fn mistake_after(name: &str, before: &str, what: &str) -> ConfigError {
    Mark::root(name, before).text_error(TextError::new(before.len(), what, None))
}

impl Node {
    /// What kind of value it is, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }

    /// An object without keys, as the value of a `key` that is not there.
    pub(super) fn empty_child(&self, key: &str) -> Node {
        let path = Path::Key(self.mark.path.clone(), key.into());
        Node {
            mark: self.mark.at(self.mark.offset, Rc::new(path)),
            value: Value::Object(Vec::new()),
        }
    }

    /// Something is wrong here.
    pub(super) fn error(&self, what: impl Into<String>) -> ConfigError {
        self.mark.error(what)
    }

    /// Something else should be here.
    pub(super) fn unexpected(&self, wanted: &str) -> ConfigError {
        self.error(format!("expected {wanted}, found {}", self.kind()))
    }
}

impl Mark {
    /// Something is wrong here.
    pub(super) fn error(&self, what: impl Into<String>) -> ConfigError {
        ConfigError::at(self.place(), what)
    }

    /// The place, written out.
    pub(super) fn place(&self) -> Place {
        let before = self.source.text.get(..self.offset).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Place {
            file: self.source.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            path: self.path.to_string(),
        }
    }

    /// The name of the file.
    pub(super) fn file_name(&self) -> &str {
        &self.source.name
    }

    fn root(name: &str, text: &str) -> Mark {
        let source = Source {
            name: name.into(),
            text: text.to_owned(),
        };
        Mark {
            source: Rc::new(source),
            offset: 0,
            path: Rc::new(Path::Root),
        }
    }

    fn text_error(&self, error: TextError) -> ConfigError {
        let there = self.at(error.offset, self.path.clone());
        let wrong = there.error(error.what);
        match error.help {
            Some(help) => wrong.help(help),
            None => wrong,
        }
    }

    fn at(&self, offset: usize, path: Rc<Path>) -> Mark {
        Mark {
            source: self.source.clone(),
            offset,
            path,
        }
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place())
    }
}

/// `inbounds[0].settings`; keys that are no plain words are quoted.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Path::Key(parent, key) if !is_plain(key) => write!(f, "{parent}[{key:?}]"),
            Path::Key(parent, key) => match **parent {
                Path::Root => f.write_str(key),
                _ => write!(f, "{parent}.{key}"),
            },
        }
    }
}

fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

fn strict() -> ParseOptions {
    ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

/// The text with a comma taken out or put in, where nothing else can be meant:
/// there is one behind the last entry, or none at the end of an entry's line.
fn with_comma_mended(text: &str, wrong: &ParseError) -> Option<String> {
    let (before, rest) = text.split_at_checked(wrong.range().start)?;
    let gap = rest.len() - rest.trim_start().len();
    let instead = match wrong.kind() {
        ParseErrorKind::TrailingCommasNotAllowed => " ",
        ParseErrorKind::ExpectedComma if rest[..gap].contains('\n') => ",",
        _ => return None,
    };
    Some([before, instead, rest.get(1..)?].concat())
}

fn whole(value: Option<ast::Value<'_>>, root: &Mark, notes: &Notes) -> Result<Node, ConfigError> {
    let empty = || {
        root.error("the configuration is empty")
            .help("the least is {}")
    };
    Ok(build(value.ok_or_else(empty)?, root, notes))
}

fn build(value: ast::Value<'_>, here: &Mark, notes: &Notes) -> Node {
    use jsonc_parser::common::Ranged;

    let mark = here.at(value.range().start, here.path.clone());
    let value = match value {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(b) => Value::Bool(b.value),
        ast::Value::NumberLit(n) => Value::Number(n.value.to_owned()),
        ast::Value::StringLit(s) => Value::String(s.value.into_owned()),
        ast::Value::Array(a) => Value::Array(build_array(a, &mark, notes)),
        ast::Value::Object(o) => Value::Object(build_object(o, &mark, notes)),
    };
    Node { mark, value }
}

fn build_array(array: ast::Array<'_>, here: &Mark, notes: &Notes) -> Vec<Node> {
    let element = |(index, value)| {
        let path = Path::Index(here.path.clone(), index);
        build(value, &here.at(here.offset, Rc::new(path)), notes)
    };
    array
        .elements
        .into_iter()
        .enumerate()
        .map(element)
        .collect()
}

/// Keys are the same if they differ only in case, as in Go, and none may
/// come twice.
fn build_object(object: ast::Object<'_>, here: &Mark, notes: &Notes) -> Vec<Member> {
    let mut members = Vec::with_capacity(object.properties.len());
    let mut seen: HashMap<String, usize> = HashMap::new();
    for property in object.properties {
        let member = build_member(property, here, notes);
        match seen.entry(member.key.to_ascii_lowercase()) {
            Entry::Occupied(first) if !notes.is_full() => {
                notes.blame(given_twice(&members[*first.get()], &member));
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(new) => {
                new.insert(members.len());
                members.push(member);
            }
        }
    }
    members
}

fn build_member(property: ast::ObjectProp<'_>, here: &Mark, notes: &Notes) -> Member {
    let key: Rc<str> = property.name.as_str().into();
    let path = Rc::new(Path::Key(here.path.clone(), key.clone()));
    let mark = here.at(property.range.start, path);
    Member {
        value: build(property.value, &mark, notes),
        key,
        mark,
    }
}

fn given_twice(first: &Member, second: &Member) -> ConfigError {
    let line = first.mark.place().line;
    second
        .mark
        .error("this key is given twice")
        .help(format!("line {line} has it already"))
}

fn explain(error: &ParseError) -> TextError {
    use ParseErrorKind::*;
    let (what, help) = match error.kind() {
        TrailingCommasNotAllowed => ("a comma after the last entry", Some("remove it")),
        ExpectedComma => ("a comma is missing here", None),
        ExpectedColonAfterObjectKey => ("a colon is missing here", None),
        ExpectedObjectValue => ("a value is missing here", None),
        ExpectedStringObjectProperty => {
            ("a key without quotes", Some("put double quotes around it"))
        }
        MultipleRootJsonValues => ("text after the end of the configuration", Some("remove it")),
        UnterminatedObject => ("this object does not end", Some("close it with }")),
        UnterminatedArray => ("this array does not end", Some("close it with ]")),
        UnexpectedWord => ("a word without quotes", Some("put double quotes around it")),
        UnexpectedTokenInObject => ("expected a key in double quotes, or }", None),
        UnexpectedComma => ("a comma that does not fit here", None),
        UnexpectedColon => ("a colon that does not fit here", None),
        UnexpectedCloseBrace => ("a } that does not fit here", None),
        UnexpectedCloseBracket => ("a ] that does not fit here", None),
        UnexpectedToken => ("a character that cannot stand here", None),
        String(_) => (
            "a wrong escape in a string",
            Some("a backslash is written \\\\"),
        ),
        _ => ("a malformed number", None),
    };
    TextError::new(error.range().start, what, help)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first<'a>(node: &'a Node, key: &str) -> &'a Node {
        let Value::Object(members) = &node.value else {
            panic!("not an object")
        };
        &members.iter().find(|m| &*m.key == key).unwrap().value
    }

    #[test]
    fn every_value_knows_its_place() {
        let tree = parse("f", "{ # c\n  \"a\": [1,\n\"é\", {\"b c\": null}]}").unwrap();
        let Value::Array(list) = &first(&tree, "a").value else {
            panic!("not an array")
        };
        assert_eq!(first(&tree, "a").mark.place().to_string(), "f:2:8: a");
        assert_eq!(list[1].mark.place().to_string(), "f:3:1: a[1]");
        assert_eq!(
            first(&list[2], "b c").mark.place().to_string(),
            "f:3:14: a[2][\"b c\"]"
        );
    }

    #[test]
    fn mistakes_in_the_text_are_named() {
        let cases = [
            ("", "f:1:1: the configuration is empty; the least is {}"),
            (
                "{\"a\": 1,}",
                "f:1:8: a comma after the last entry; remove it",
            ),
            ("[1,]", "f:1:3: a comma after the last entry; remove it"),
            ("[1 2]", "f:1:3: a comma is missing here"),
            ("{\"a\" 1}", "f:1:6: a colon is missing here"),
            ("{\"a\":}", "f:1:6: a } that does not fit here"),
            (
                "{a: 1}",
                "f:1:2: \"a\" has no quotes; put double quotes around it",
            ),
            (
                "{}\n{}",
                "f:2:1: text after the end of the configuration; remove it",
            ),
            (
                "{} true",
                "f:1:4: text after the end of the configuration; remove it",
            ),
            ("{\"a\": [1}", "f:1:9: a } that does not fit here"),
            (
                "{\n\"a\": {\"b\": 1}",
                "f:1:1: this object does not end; close it with }",
            ),
            ("[1", "f:1:1: this array does not end; close it with ]"),
            (
                "[yes]",
                "f:1:2: \"yes\" has no quotes; put double quotes around it",
            ),
            (
                "{1: 2}",
                "f:1:2: a key without quotes; put double quotes around it",
            ),
            ("[0x10]", "f:1:2: a malformed number"),
            ("[010]", "f:1:3: a comma is missing here"),
            (
                "[\"\\x\"]",
                "f:1:3: a wrong escape in a string; a backslash is written \\\\",
            ),
            (
                "{\"ab\": 1,\n \"aB\": 2}",
                "f:2:2: aB: this key is given twice; line 1 has it already",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(parse("f", text).unwrap_err().to_string(), message, "{text}");
        }
    }

    #[test]
    fn commas_are_told_together_and_what_stands_behind_them_is_read() {
        let text = "{\"a\": 1, # c\n \"b\": [2\n, ],\n \"c\": 3\n \"d\": 4,}";
        let notes = Notes::default();
        let tree = read("f", text, &notes).unwrap();
        assert_eq!(first(&tree, "d").mark.place().to_string(), "f:5:7: d");
        let told: Vec<_> = notes.into_parts().0.iter().map(|e| e.to_string()).collect();
        assert_eq!(
            told,
            [
                "f:3:1: a comma after the last entry; remove it",
                "f:4:8: a comma is missing here",
                "f:5:8: a comma after the last entry; remove it",
            ]
        );
    }

    #[test]
    fn quotes_are_told_together() {
        let text = "{log: 'none',\n 'id': b831-d3/x, # it's\n \"ok\": [yes, 'a\"b', True]}";
        let notes = Notes::default();
        let last = read("f", text, &notes).unwrap_err();
        let mut told = notes.into_parts().0;
        told.push(last);
        let told: Vec<_> = told.iter().map(|e| e.to_string()).collect();
        assert_eq!(
            told,
            [
                "f:1:2: \"log\" has no quotes; put double quotes around it",
                "f:1:7: a string in single quotes; use double quotes",
                "f:2:2: a string in single quotes; use double quotes",
                "f:2:8: \"b831\" has no quotes; put double quotes around it",
                "f:3:9: \"yes\" has no quotes; put double quotes around it",
                "f:3:14: a string in single quotes; use double quotes",
                "f:3:21: \"True\" is no value; write true, false or null",
            ]
        );
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = parse("f", &text);
        }

        #[test]
        fn text_that_looks_like_json_never_panics(
            text in "[\\[\\]{}:,\"'0-9a-e \n#/*\\\\.é+-]{0,60}"
        ) {
            let _ = parse("f", &text);
        }
    }
}
