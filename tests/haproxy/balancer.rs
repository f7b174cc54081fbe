//! HAProxy as a process.

use std::{
    env,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

/// Dropping it kills it, and shows what it has printed if the test has failed.
pub struct Balancer {
    child: Child,
    log: PathBuf,
}

impl Balancer {
    /// With that configuration, in the foreground. Its log is put beside it.
    pub fn start(config: &Path) -> Self {
        let log = config.with_extension("log");
        let child = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(config)
            .stdin(Stdio::null())
            .stderr(File::create(&log).expect("log file"))
            .spawn();
        Self {
            child: child.expect("start HAProxy"),
            log,
        }
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of HAProxy ---\n{}", self.log());
        }
    }
}

/// Whether HAProxy can be had. If not, the caller's test is over: it says that
/// it was skipped, or fails where HAProxy must be present, that is with
/// `CI=true` or `MUXCOOL_REQUIRE_HAPROXY=1`.
#[must_use]
pub fn haproxy_or_skip() -> bool {
    let version = Command::new("haproxy").arg("-v").output();
    if version.is_ok_and(|output| output.status.success()) {
        return true;
    }
    let required = env::var("CI").is_ok_and(|value| value == "true")
        || env::var("MUXCOOL_REQUIRE_HAPROXY").is_ok_and(|value| value == "1");
    assert!(!required, "HAProxy is required here");
    let test = thread::current().name().unwrap_or("test").to_owned();
    // Not by eprintln!, which the harness hides when a test passes.
    let _ = writeln!(io::stderr(), "{test}: skipped, haproxy does not run");
    false
}
