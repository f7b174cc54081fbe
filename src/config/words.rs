//! How messages quote, list and guess.

use std::collections::HashSet;

use crate::limits::MAX_LOGGED_TEXT;

/// Names that a message lists at the most.
const LISTED: usize = 12;

/// Bytes at the start of a name that are enough to guess it.
const PREFIX: usize = 4;

/// `text` in quotes, escaped, and cut where it is too long for a message.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_LOGGED_TEXT) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// What to write instead of `text`: the known name that is nearest, or all of
/// them; `None` if there are no names.
pub(super) fn instead<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.collect();
    match nearest(text, &known) {
        Some(name) => Some(format!("did you mean {}?", quoted(name))),
        None if known.is_empty() => None,
        None => Some(format!("known here: {}", listed(&known))),
    }
}

/// The known name that is nearest to `text`, if one is near.
pub(super) fn nearest<'a>(text: &str, known: &[&'a str]) -> Option<&'a str> {
    let text: String = text.chars().take(MAX_LOGGED_TEXT).collect();
    let text = text.trim().to_lowercase();
    misspelt(&text, known)
        .or_else(|| shortened(&text, known))
        .or_else(|| lengthened(&text, known))
}

/// The name that takes the fewest edits, if they are few.
fn misspelt<'a>(text: &str, known: &[&'a str]) -> Option<&'a str> {
    let tolerance = (text.chars().count() / 3).max(1);
    known
        .iter()
        .map(|name| (strsim::osa_distance(text, &name.to_lowercase()), *name))
        .filter(|(edits, name)| *edits <= tolerance && *edits < name.chars().count())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// The name that starts with `text`.
fn shortened<'a>(text: &str, known: &[&'a str]) -> Option<&'a str> {
    let starts = |name: &&&str| name.to_lowercase().starts_with(text);
    let enough = text.len() >= PREFIX;
    known.iter().filter(|_| enough).find(starts).copied()
}

/// The name that `text` starts with.
fn lengthened<'a>(text: &str, known: &[&'a str]) -> Option<&'a str> {
    let is_start = |name: &&&str| name.len() >= PREFIX && text.starts_with(&name.to_lowercase());
    known.iter().find(is_start).copied()
}

fn listed(known: &[&str]) -> String {
    let mut seen = HashSet::new();
    let names = known
        .iter()
        .filter(|name| !name.is_empty() && seen.insert(plain(name)));
    let mut names: Vec<String> = names.take(LISTED + 1).map(|name| quoted(name)).collect();
    if names.len() > LISTED {
        names[LISTED] = "…".into();
    }
    names.join(", ")
}

/// The name without what its spellings differ in.
fn plain(name: &str) -> String {
    name.to_lowercase().replace(['-', '_'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_proposed() {
        let known = ["protocol", "port", "tag", "settings"];
        let cases = [
            ("protcol", Some("protocol")),
            ("porotcol", Some("protocol")),
            ("setings", Some("settings")),
            ("TAG ", Some("tag")),
            ("prt", Some("port")),
            ("proto", Some("protocol")),
            ("warn", None),
            ("sett", Some("settings")),
            ("portNumber", Some("port")),
            ("tagName", None),
            ("x", None),
            ("streamSettings", None),
            ("", None),
        ];
        for (text, guess) in cases {
            assert_eq!(nearest(text, &known), guess, "{text}");
        }
    }

    #[test]
    fn without_a_guess_the_names_are_listed() {
        let text = instead("zzz", ["a", "b"].into_iter());
        assert_eq!(text.as_deref(), Some("known here: \"a\", \"b\""));
        let text = instead("zzz", ["UseIP", "", "Use_IP", "AsIs"].into_iter());
        assert_eq!(text.as_deref(), Some("known here: \"UseIP\", \"AsIs\""));
        let many: Vec<String> = (0..20).map(|n| format!("name{n}")).collect();
        let text = instead("zzz", many.iter().map(String::as_str)).unwrap();
        assert!(text.ends_with("\"name11\", …"), "{text}");
        assert_eq!(instead("zzz", std::iter::empty()), None);
    }

    #[test]
    fn quotes_are_escaped_and_cut() {
        assert_eq!(quoted("a\n\u{1b}"), r#""a\n\u{1b}""#);
        assert_eq!(
            quoted(&"é".repeat(1000)).chars().count(),
            MAX_LOGGED_TEXT + 3
        );
    }
}
