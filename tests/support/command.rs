//! muxcool as a command that says something and ends.

use std::process::{Command, Output, Stdio};

/// With nothing to read, and the log levels of its configuration: not those of
/// who runs the tests.
pub fn muxcool(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muxcool"));
    command
        .args(args)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// What a command has printed.
pub fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("UTF-8")
}

/// What a command has complained of.
pub fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("UTF-8")
}
