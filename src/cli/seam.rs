//! STUB, to be replaced: the places where the command line meets the
//! application layer, which is written elsewhere. The names are its own;
//! everything here says that it is not there.

#![allow(dead_code)]

use std::fmt;

use crate::config::Plan;

/// Will be `app::StartError`.
#[derive(Debug)]
pub(super) struct StartError(NotWritten);

/// Will be what `app::App::wait` returns.
#[derive(Debug)]
pub(super) struct RunError(NotWritten);

/// Will be `app::App`.
pub(super) struct App;

impl App {
    pub(super) fn start(_plan: Plan) -> Result<Self, StartError> {
        Err(StartError(NotWritten("the application layer")))
    }

    /// Returns when it has been closed or has failed.
    pub(super) fn wait(&self) -> Result<(), RunError> {
        Err(RunError(NotWritten("the application layer")))
    }

    /// Ends it in an orderly way; from any thread, any number of times.
    pub(super) fn close(&self) {}
}

/// Will be `app::demo`.
pub(super) mod demo {
    use std::fmt::Display;

    use super::{NotWritten, RunError, StartError};

    /// Serves on `port`, 0 for any.
    pub(in crate::cli) fn start(_port: u16) -> Result<Demo, StartError> {
        Err(StartError(NotWritten("the demo")))
    }

    /// Fetches through the tunnel and compares; what is returned is printed.
    pub(in crate::cli) fn check(_port: u16) -> Result<impl Display, RunError> {
        Err::<String, _>(RunError(NotWritten("the demo")))
    }

    pub(in crate::cli) struct Demo;

    impl Demo {
        /// What a newcomer is told: the address, and what to do with it.
        pub(in crate::cli) fn greeting(&self) -> impl Display {
            ""
        }

        /// As `App::wait`.
        pub(in crate::cli) fn wait(&self) -> Result<(), RunError> {
            Err(RunError(NotWritten("the demo")))
        }

        /// As `App::close`.
        pub(in crate::cli) fn close(&self) {}
    }
}

#[derive(Debug)]
pub(super) struct NotWritten(&'static str);

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not in this build", self.0)
    }
}

impl std::error::Error for NotWritten {}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for StartError {}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for RunError {}
