//! The program; see [`muxcool::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    muxcool::cli::main()
}
