//! A strict reader of Prometheus' text format, and what conventions ask for.

use std::collections::{BTreeMap, BTreeSet};

/// The samples of a page.
pub struct Exposition(BTreeMap<(String, Labels), f64>);

type Labels = BTreeMap<String, String>;

impl Exposition {
    /// Fails on anything that the format, or its conventions, do not allow.
    pub fn read(page: &str) -> Self {
        let mut lines = page
            .strip_suffix('\n')
            .expect("an end of the last line")
            .lines();
        let mut samples = BTreeMap::new();
        let mut families = BTreeSet::new();
        let mut family: Option<(String, String)> = None;
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, text) = help.split_once(' ').expect("a help text");
                assert!(!text.is_empty() && is_name(name), "{line}");
                let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE "));
                let (of, kind) = kind.and_then(|kind| kind.split_once(' ')).expect("a type");
                assert_eq!(of, name);
                assert!(families.insert(name.to_owned()), "{name} comes twice");
                check_conventions(name, kind);
                family = Some((name.to_owned(), kind.to_owned()));
                continue;
            }
            let (name, labels, value) = sample(line);
            let (of, kind) = family.as_ref().expect("a family before its samples");
            assert_eq!(name, of);
            assert!(kind == "gauge" || value >= 0.0, "{line}");
            let twice = samples.insert((name.to_owned(), labels), value);
            assert!(twice.is_none(), "twice: {line}");
        }
        Self(samples)
    }

    /// The only sample of this name whose labels have these values.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |of: &Labels| {
            labels
                .iter()
                .all(|(key, value)| of.get(*key).is_some_and(|v| v == value))
        };
        let mut found = self
            .0
            .iter()
            .filter(|((of, with), _)| of == name && has(with));
        let (_, value) = found
            .next()
            .unwrap_or_else(|| panic!("no {name} {labels:?}"));
        assert!(found.next().is_none(), "several {name} {labels:?}");
        *value
    }

    /// Every counter, by name and labels.
    pub fn counters(&self) -> impl Iterator<Item = (&(String, Labels), f64)> {
        let counters = self
            .0
            .iter()
            .filter(|((name, _), _)| name.ends_with("_total"));
        counters.map(|(key, value)| (key, *value))
    }

    /// All values that labels of this name have.
    pub fn label(&self, key: &str) -> BTreeSet<&str> {
        let labels = self.0.keys().filter_map(|(_, labels)| labels.get(key));
        labels.map(String::as_str).collect()
    }
}

fn check_conventions(name: &str, kind: &str) {
    assert!(name.starts_with("muxcool_"), "{name}");
    assert_eq!(
        name.ends_with("_total"),
        kind == "counter",
        "{name} is a {kind}"
    );
    assert!(["counter", "gauge"].contains(&kind), "{kind}");
    for unit in ["milliseconds", "_ms", "kilobytes", "_minutes"] {
        assert!(!name.contains(unit), "{name} has no base unit");
    }
}

fn is_name(name: &str) -> bool {
    let rest = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(rest)
}

fn sample(line: &str) -> (&str, Labels, f64) {
    let end = line.find(['{', ' ']).expect("a value");
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = read_labels(inner, &mut labels);
    }
    let value = rest.strip_prefix(' ').expect("a space");
    (name, labels, value.parse().expect("a number"))
}

/// Returns what follows the closing brace.
fn read_labels<'a>(mut rest: &'a str, labels: &mut Labels) -> &'a str {
    loop {
        let (key, value) = rest.split_once("=\"").expect("a label");
        assert!(is_name(key), "{key}");
        let mut text = String::new();
        let mut chars = value.char_indices();
        let end = loop {
            match chars.next().expect("an end of the value") {
                (at, '"') => break at,
                (_, '\\') => text.push(match chars.next().expect("an escape").1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    other => panic!("\\{other}"),
                }),
                (_, c) => text.push(c),
            }
        };
        assert!(labels.insert(key.to_owned(), text).is_none(), "{key} twice");
        rest = &value[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return rest.strip_prefix('}').expect("a brace"),
        }
    }
}

#[test]
#[should_panic(expected = "a family before its samples")]
fn a_sample_needs_a_family() {
    Exposition::read("muxcool_x 1\n");
}

#[test]
#[should_panic(expected = "twice")]
fn a_sample_comes_once() {
    Exposition::read("# HELP muxcool_x X.\n# TYPE muxcool_x gauge\nmuxcool_x 1\nmuxcool_x 2\n");
}
