//! Warnings, gathered while reading.

use std::fmt::Display;

use super::error::Place;
use super::json::Mark;

/// What is allowed but probably not meant.
#[derive(Default)]
pub(super) struct Notes(Vec<String>);

impl Notes {
    /// Adds one, with its place.
    pub(super) fn add(&mut self, mark: &Mark, what: impl Display) {
        self.add_at(&mark.place(), what);
    }

    /// Adds one, with its place.
    pub(super) fn add_at(&mut self, place: &Place, what: impl Display) {
        self.0.push(format!("{place}: {what}"));
    }

    /// All of them, in the order in which they were added.
    pub(super) fn into_lines(self) -> Vec<String> {
        self.0
    }
}
