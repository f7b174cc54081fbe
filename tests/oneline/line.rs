//! A command of one line as a process, and what it prints.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::support::{PATIENCE, eventually};

/// A running command. Dropping it kills it, and shows what it has printed if
/// the test has failed.
pub struct Line {
    child: Child,
    directory: TempDir,
    what: String,
}

impl Line {
    pub fn start(args: &[&str]) -> Self {
        Self::start_with(args, &[])
    }

    pub fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let directory = TempDir::new().expect("temporary directory");
        let file = |name| File::create(directory.path().join(name)).expect("file for output");
        let child = command(args)
            .envs(variables.iter().copied())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn()
            .expect("start muxcool");
        Self {
            child,
            directory,
            what: args.join(" "),
        }
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).expect("a signal");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The token that it prints, with what stands behind it up to a blank.
    pub fn token(&self) -> String {
        self.wait_for("a token", || token_in(&self.stdout()))
    }

    /// Where its inbound with this tag listens.
    pub fn address(&self, tag: &str) -> SocketAddr {
        let before = format!("[{tag}] listening on ");
        self.wait_for(&before, || {
            let log = self.log();
            let line = log.lines().find_map(|line| line.split_once(&before));
            line?.1.parse().ok()
        })
    }

    /// Waits for a line of the log.
    pub fn says(&self, text: &str) {
        self.says_times(text, 1);
    }

    /// Waits until it has been said so many times.
    pub fn says_times(&self, text: &str, times: usize) {
        let said = || self.log().matches(text).count() >= times;
        self.wait_for(text, || said().then_some(()));
    }

    pub fn stdout(&self) -> String {
        self.read("stdout")
    }

    pub fn log(&self) -> String {
        self.read("stderr")
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.directory.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn wait_for<T>(&self, what: &str, look: impl Fn() -> Option<T>) -> T {
        let found = eventually(Instant::now() + PATIENCE, || look().ok_or(()));
        found.unwrap_or_else(|()| panic!("`muxcool {}` never says {what:?}", self.what))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- muxcool {}\n{}{}", self.what, self.stdout(), self.log());
        }
        assert!(thread::panicking() || !self.log().contains("panicked"));
    }
}

/// Runs a command that ends by itself.
pub fn output(args: &[&str]) -> Output {
    command(args).output().expect("run muxcool")
}

/// The first token in a text.
pub fn token_in(text: &str) -> Option<String> {
    let mut words = text.split_whitespace();
    words.find(|word| word.starts_with("AQ")).map(str::to_owned)
}

/// A file of that text, which goes with the directory.
pub fn file(directory: &TempDir, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, text).expect("write a file");
    path
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muxcool"));
    command.args(args).stdin(Stdio::null());
    for variable in ["RUST_LOG", "MUXCOOL_TOKEN", "STATE_DIRECTORY"] {
        command.env_remove(variable);
    }
    command.env("XDG_STATE_HOME", "/dev/null");
    command
}
