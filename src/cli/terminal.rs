//! The terminal by which the program was started.

use std::io::{IsTerminal, stderr, stdin, stdout};

/// Which of the standard streams led to a terminal at the start.
///
/// SIGHUP is said of a terminal that has been closed, as well as of files to be
/// read again. Who wants the program to outlive its terminal starts it without
/// one, as `nohup` does.
pub(super) struct Terminal([bool; 3]);

impl Terminal {
    pub(super) fn of_process() -> Self {
        Self(streams())
    }

    /// There was one, and it has been closed.
    pub(super) fn is_gone(&self) -> bool {
        let mut both = self.0.into_iter().zip(streams());
        both.any(|(was, is)| was && !is)
    }
}

/// Whether they lead to a terminal; the system knows none that was closed.
fn streams() -> [bool; 3] {
    [
        stdin().is_terminal(),
        stdout().is_terminal(),
        stderr().is_terminal(),
    ]
}
