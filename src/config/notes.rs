//! What is found while reading: mistakes, and warnings.

use std::cell::RefCell;
use std::fmt::{self, Display};

use super::error::{ConfigError, Place};
use super::json::Mark;
use crate::limits::MAX_CONFIG_ERRORS;

/// What is allowed but probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    place: Place,
    what: String,
}

/// All that was found so far. Whoever reads a part adds what he finds.
#[derive(Default)]
pub(super) struct Notes {
    errors: RefCell<Vec<ConfigError>>,
    warnings: RefCell<Vec<Warning>>,
}

impl Warning {
    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What is probably not meant, without its place.
    pub fn what(&self) -> &str {
        &self.what
    }
}

impl Notes {
    /// Adds a warning, with its place.
    pub(super) fn add(&self, mark: &Mark, what: impl Display) {
        self.add_at(&mark.place(), what);
    }

    /// Adds a warning, with its place.
    pub(super) fn add_at(&self, place: &Place, what: impl Display) {
        self.warnings.borrow_mut().push(Warning {
            place: place.clone(),
            what: what.to_string(),
        });
    }

    /// Adds a mistake. Reading goes on, to find others.
    pub(super) fn blame(&self, error: ConfigError) {
        if !self.is_full() {
            self.errors.borrow_mut().push(error);
        }
    }

    /// What was read, unless it is wrong; then that is added.
    pub(super) fn keep<T>(&self, read: Result<T, ConfigError>) -> Option<T> {
        read.map_err(|error| self.blame(error)).ok()
    }

    /// How much is wrong.
    pub(super) fn mistakes(&self) -> usize {
        self.errors.borrow().len()
    }

    /// Whether anything is wrong.
    pub(super) fn has_errors(&self) -> bool {
        self.mistakes() > 0
    }

    /// Whether so much is wrong that looking for more is of no use.
    pub(super) fn is_full(&self) -> bool {
        self.mistakes() >= MAX_CONFIG_ERRORS
    }

    /// Mistakes and warnings, each in the order in which they were added.
    pub(super) fn into_parts(self) -> (Vec<ConfigError>, Vec<Warning>) {
        (self.errors.into_inner(), self.warnings.into_inner())
    }
}

/// The place, and what is probably not meant.
impl Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}
