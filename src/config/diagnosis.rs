//! Everything that is wrong with a configuration, not only the first thing.

use std::path::PathBuf;

use super::error::{ConfigError, Place};
use super::json::{Mark, Node};
use super::notes::{Notes, Warning};
use super::plan::Plan;
use super::{file, json, merge, root};

/// What was found in a configuration: a plan, or all that keeps it from being
/// one, up to [`MAX_CONFIG_ERRORS`](crate::limits::MAX_CONFIG_ERRORS).
#[derive(Debug)]
pub struct Diagnosis {
    plan: Option<Plan>,
    rules: Vec<Mark>,
    errors: Vec<ConfigError>,
    warnings: Vec<Warning>,
}

/// Reads and checks the configuration `text` to the end; messages call it
/// `name`.
pub fn examine(name: &str, text: &str) -> Diagnosis {
    let notes = Notes::default();
    let parsed = json::read(name, text, &notes);
    let node = notes.keep(parsed);
    conclude(node, notes, &[name.to_owned()])
}

/// The same for several files as one configuration, as
/// [`load_all`](super::load_all) has them. If one cannot be read, the others
/// are not looked at for what it may have.
pub fn examine_all(paths: &[PathBuf]) -> Diagnosis {
    let notes = Notes::default();
    let names: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    let nodes: Vec<_> = paths
        .iter()
        .map(|path| {
            let read = file::read(path);
            let parsed = read.and_then(|(name, text)| json::read(&name, &text, &notes));
            notes.keep(parsed)
        })
        .collect();
    let merged = nodes
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .and_then(|nodes| merge_all(nodes, &notes));
    conclude(merged, notes, &names)
}

impl Diagnosis {
    /// Of what could be read.
    pub(super) fn of(plan: Plan, rules: Vec<Mark>, notes: Notes) -> Self {
        let (errors, warnings) = notes.into_parts();
        let lines = warnings.iter().map(Warning::to_string).collect();
        Self {
            plan: Some(Plan {
                warnings: lines,
                ..plan
            }),
            rules,
            errors,
            warnings,
        }
    }

    /// Of a text with nothing to read in it.
    pub(super) fn of_nothing(notes: Notes) -> Self {
        let (errors, warnings) = notes.into_parts();
        Self {
            plan: None,
            rules: Vec::new(),
            errors,
            warnings,
        }
    }

    /// All that is wrong, by file and line.
    pub fn errors(&self) -> &[ConfigError] {
        &self.errors
    }

    /// What is allowed but probably not meant, by file and line. What leads
    /// where is only looked at when nothing is wrong.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// As much as could be read: if there are errors, what is wrong is left out
    /// of it, or has a default in its place. Such a plan is to be looked at,
    /// not to be run.
    pub fn readable(&self) -> Option<&Plan> {
        self.plan.as_ref()
    }

    /// Where the plan's rule with this index stands.
    pub fn rule_place(&self, index: usize) -> Option<Place> {
        self.rules.get(index).map(Mark::place)
    }

    /// The plan.
    ///
    /// # Errors
    /// All that is wrong, by file and line; at least one.
    pub fn into_plan(self) -> Result<Plan, Vec<ConfigError>> {
        match self.plan {
            Some(plan) if self.errors.is_empty() => Ok(plan),
            _ => Err(self.errors),
        }
    }

    fn sorted(mut self, files: &[String]) -> Self {
        let rank = |file: &str| files.iter().position(|name| name == file);
        self.errors.sort_by_cached_key(|error| {
            let place = error.place().map(|place| (place.line, place.column));
            (rank(error.file_name()), place)
        });
        self.errors.dedup_by_key(|error| error.to_string());
        self.warnings.sort_by_cached_key(|warning| {
            let Place {
                file, line, column, ..
            } = warning.place();
            (rank(file), *line, *column)
        });
        self
    }
}

fn merge_all(nodes: Vec<Node>, notes: &Notes) -> Option<Node> {
    let mut nodes = nodes.into_iter();
    let Some(mut all) = nodes.next() else {
        return json::read("configuration", "{}", notes).ok();
    };
    for node in nodes {
        let merged = merge::merge(&mut all, node);
        notes.keep(merged)?;
    }
    Some(all)
}

fn conclude(node: Option<Node>, notes: Notes, files: &[String]) -> Diagnosis {
    let diagnosis = match node {
        Some(node) => root::read(&node, notes),
        None => Diagnosis::of_nothing(notes),
    };
    diagnosis.sorted(files)
}
