//! Reads as much of Rust as it takes to see what a file uses.

use std::collections::HashMap;

/// Something that a file names by a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// In this package, from the root of it.
    Crate(String),
    /// In another one, or only a local name.
    Extern(String),
}

/// What is in a file, without its comments, texts and tests.
pub struct Scan {
    tokens: Vec<String>,
    pub targets: Vec<Target>,
}

impl Scan {
    /// `module` is the path of the file's module.
    pub fn new(module: &[String], source: &str) -> Self {
        let tokens = without_tests(tokens(source));
        let mut names = Names::default();
        names.collect(module, &tokens);
        let targets = names.targets(module, &tokens);
        Self { tokens, targets }
    }

    /// Whether `row` occurs.
    pub fn contains(&self, row: &[&str]) -> bool {
        self.tokens.windows(row.len()).any(|w| w == row)
    }

    /// Structs and enums that are declared public.
    pub fn type_names(&self) -> Vec<String> {
        let declares = |w: &&[String]| w[0] == "pub" && (w[1] == "struct" || w[1] == "enum");
        let declared = self.tokens.windows(3).filter(declares);
        declared.map(|w| w[2].clone()).collect()
    }
}

// ---------------------------------------------------------------------------
// Tokens
// ---------------------------------------------------------------------------

/// Words, `::`, and single signs. Comments are gone, a text is one `"`.
fn tokens(source: &str) -> Vec<String> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        at = match next_token(&chars, at) {
            (end, Some(token)) => {
                tokens.push(token);
                end
            }
            (end, None) => end,
        };
    }
    tokens
}

fn starts_with(chars: &[char], at: usize, text: &str) -> bool {
    text.chars()
        .enumerate()
        .all(|(i, c)| chars.get(at + i) == Some(&c))
}

/// Where the token at `at` ends, and what it is if it is to be kept.
fn next_token(chars: &[char], at: usize) -> (usize, Option<String>) {
    let text = Some("\"".to_owned());
    if starts_with(chars, at, "//") {
        let line = chars[at..].iter().position(|c| *c == '\n');
        return (line.map_or(chars.len(), |len| at + len), None);
    }
    if starts_with(chars, at, "/*") {
        return (end_of_comment(chars, at), None);
    }
    if let Some(end) = end_of_raw_text(chars, at) {
        return (end, text);
    }
    match chars[at] {
        '"' => (end_of_quoted(chars, at, '"'), text),
        '\'' if is_char_literal(chars, at) => (end_of_quoted(chars, at, '\''), text),
        ':' if starts_with(chars, at, "::") => (at + 2, Some("::".into())),
        c if c.is_whitespace() => (at + 1, None),
        c if is_word(c) => {
            let len = chars[at..].iter().take_while(|c| is_word(**c)).count();
            (at + len, Some(chars[at..at + len].iter().collect()))
        }
        c => (at + 1, Some(c.into())),
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn end_of_comment(chars: &[char], at: usize) -> usize {
    let (mut depth, mut at) = (0, at);
    while at < chars.len() {
        if starts_with(chars, at, "/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if starts_with(chars, at, "*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// `r"..."`, `r#"..."#`, also after `b` or `c`.
fn end_of_raw_text(chars: &[char], at: usize) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|p| {
        let after = at + p.len();
        starts_with(chars, at, p) && matches!(chars.get(after), Some('"' | '#'))
    })?;
    let hashes = chars[at + prefix.len()..]
        .iter()
        .take_while(|c| **c == '#')
        .count();
    let open = at + prefix.len() + hashes;
    if chars.get(open) != Some(&'"') {
        return None; // a raw identifier
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let end = (open + 1..chars.len()).find(|i| starts_with(chars, *i, &close));
    Some(end.map_or(chars.len(), |end| end + close.len()))
}

fn end_of_quoted(chars: &[char], at: usize, quote: char) -> usize {
    let mut at = at + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// Not a lifetime.
fn is_char_literal(chars: &[char], at: usize) -> bool {
    chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'')
}

/// Takes out what `#[cfg(test)]` stands in front of.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        if rest.len() >= MARK.len() && rest.iter().zip(MARK).all(|(t, m)| t == m) {
            at += MARK.len() + item_len(&rest[MARK.len()..]);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Tokens of an item: to its `;`, or to the end of its braces.
fn item_len(tokens: &[String]) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
        // A group in a `use` ends with braces too, and then comes the `;`.
        let is_use = tokens.iter().take(3).any(|t| t == "use");
        if token == "}" && depth == 0 && !is_use {
            return i + 1;
        }
    }
    tokens.len()
}

// ---------------------------------------------------------------------------
// Paths
// ---------------------------------------------------------------------------

/// What the file's own short names stand for.
#[derive(Default)]
struct Names {
    by_name: HashMap<String, Target>,
}

/// One path as it is written, and the name that it gets in a `use`.
struct Written {
    segments: Vec<String>,
    alias: Option<String>,
}

impl Names {
    /// From the `use` and `mod` declarations.
    fn collect(&mut self, module: &[String], tokens: &[String]) {
        for (i, token) in tokens.iter().enumerate() {
            if token == "mod" && tokens.get(i + 2).is_some_and(|t| t == ";") {
                let child = [module, &tokens[i + 1..i + 2]].concat().join("::");
                self.by_name
                    .insert(tokens[i + 1].clone(), Target::Crate(child));
            }
        }
        for (module, at) in uses(module, tokens) {
            for written in tree(&tokens[at..]).0 {
                let last = written.segments.last().cloned();
                if let Some(name) = written.alias.clone().or(last) {
                    let target = self.resolve(&module, &written.segments);
                    self.by_name.entry(name).or_insert(target);
                }
            }
        }
    }

    fn targets(&self, module: &[String], tokens: &[String]) -> Vec<Target> {
        let mut targets = Vec::new();
        for (module, at) in path_starts(module, tokens) {
            for written in tree(&tokens[at..]).0 {
                targets.push(self.resolve(&module, &written.segments));
            }
        }
        targets
    }

    fn resolve(&self, module: &[String], segments: &[String]) -> Target {
        let ups = segments.iter().take_while(|s| *s == "super").count();
        let (base, rest) = match segments[0].as_str() {
            "crate" | "muxcool" => (&[][..], &segments[1..]),
            "self" => (module, &segments[1..]),
            "super" => (
                &module[..module.len().saturating_sub(ups)],
                &segments[ups..],
            ),
            first => return self.resolve_name(first, &segments[1..]),
        };
        Target::Crate([base, rest].concat().join("::"))
    }

    fn resolve_name(&self, first: &str, rest: &[String]) -> Target {
        let join = |base: &str| {
            let rest = rest.iter().map(String::as_str);
            std::iter::once(base)
                .chain(rest)
                .collect::<Vec<_>>()
                .join("::")
        };
        match self.by_name.get(first) {
            Some(Target::Crate(base)) => Target::Crate(join(base)),
            Some(Target::Extern(base)) => Target::Extern(join(base)),
            None => Target::Extern(join(first)),
        }
    }
}

/// Follows the braces of inline modules. Returns each position together with
/// the module that it is in.
fn modules(module: &[String], tokens: &[String]) -> Vec<(Vec<String>, usize)> {
    let mut module = module.to_vec();
    let mut depth = 0;
    let mut inline = Vec::new();
    let mut positions = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" => {
                depth += 1;
                if i >= 2 && tokens[i - 2] == "mod" {
                    module.push(tokens[i - 1].clone());
                    inline.push(depth);
                }
            }
            "}" => {
                if inline.last() == Some(&depth) {
                    inline.pop();
                    module.pop();
                }
                depth -= 1;
            }
            _ => {}
        }
        positions.push((module.clone(), i));
    }
    positions
}

/// Positions behind each `use`.
fn uses(module: &[String], tokens: &[String]) -> Vec<(Vec<String>, usize)> {
    let mut found = modules(module, tokens);
    found.retain(|(_, i)| *i > 0 && tokens[i - 1] == "use" && tokens[*i] != "<");
    found
}

/// Positions where a path of more than one segment begins, or of one in a
/// `use`.
fn path_starts(module: &[String], tokens: &[String]) -> Vec<(Vec<String>, usize)> {
    let is_start = |i: usize| {
        let first = tokens[i].chars().next().is_some_and(is_word);
        let goes_on = tokens.get(i + 1).is_some_and(|t| t == "::");
        let before = i.checked_sub(1).map(|before| tokens[before].as_str());
        // Behind a sign like `{` of a group it is looked at again, as a name
        // of its own; that does no harm.
        let inside = matches!(before, Some("::" | "."));
        first && !inside && (goes_on || before == Some("use"))
    };
    let mut found = modules(module, tokens);
    found.retain(|(_, i)| is_start(*i));
    found
}

/// The paths of a tree such as `a::{b, c::d as e, self, f::*}`, and its length.
fn tree(tokens: &[String]) -> (Vec<Written>, usize) {
    let mut segments: Vec<String> = Vec::new();
    let mut at = 0;
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => return group(&segments, tokens, at),
            Some("self") if !segments.is_empty() => at += 1,
            Some("*") if !segments.is_empty() => at += 1,
            Some(word) if word.chars().all(is_word) => {
                segments.push(word.to_owned());
                at += 1;
            }
            _ => break,
        }
        if tokens.get(at).map(String::as_str) != Some("::") {
            break;
        }
        at += 1;
    }
    let mut alias = None;
    if tokens.get(at).map(String::as_str) == Some("as") {
        alias = tokens.get(at + 1).cloned();
        at += 2;
    }
    let written = Written { segments, alias };
    match written.segments.is_empty() {
        true => (Vec::new(), at),
        false => (vec![written], at),
    }
}

fn group(prefix: &[String], tokens: &[String], open: usize) -> (Vec<Written>, usize) {
    let mut all = Vec::new();
    let mut at = open + 1;
    while tokens.get(at).is_some_and(|t| t != "}") {
        if tokens[at] == "," {
            at += 1;
            continue;
        }
        let is_self = tokens[at] == "self";
        let (inner, len) = tree(&tokens[at..]);
        for mut written in inner {
            let own = if is_self {
                Vec::new()
            } else {
                written.segments
            };
            written.segments = [prefix, &own].concat();
            all.push(written);
        }
        at += len.max(1);
    }
    (all, at + 1)
}
