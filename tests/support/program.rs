//! muxcool and V2Ray as processes.

use std::{
    collections::HashSet,
    env,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    eventually,
    sockets::{self, Protocol},
};

/// How long a program may take until it listens, or to end when asked to.
const DEADLINE: Duration = Duration::from_secs(15);

/// Lines of a program's log that a failed test shows.
const LOG_TAIL: usize = 40;

/// How a program of Go's exits that panicked.
const GO_PANICKED: i32 = 2;

/// Which program plays a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Muxcool,
    V2ray,
}

impl Kind {
    fn command(self, limits: &str, config: &Path) -> Command {
        let (program, arguments): (_, &[_]) = match self {
            Self::Muxcool => (env!("CARGO_BIN_EXE_muxcool"), &["run", "-c"]),
            Self::V2ray => ("v2ray", &["-config"]),
        };
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{limits}\nexec \"$0\" \"$@\""), program]);
        command.args(arguments).arg(config).stdin(Stdio::null());
        // The levels of the configuration are meant, not those of who runs the tests.
        command.env_remove("RUST_LOG");
        command
    }
}

/// A running program with its configuration and its log. Dropping it kills
/// it, and shows the log's tail if the test has failed.
pub struct Program {
    role: String,
    kind: Kind,
    /// Shell commands that limit it.
    limits: String,
    listeners: Vec<(Protocol, u16)>,
    directory: TempDir,
    child: Option<Child>,
}

impl Program {
    /// Starts the program and waits until all inbounds of `config` listen.
    pub fn start(kind: Kind, role: &str, config: &Value) -> Self {
        Self::start_limited(kind, role, config, "")
    }

    /// As [`start`](Self::start), after the shell's commands `limits`.
    pub fn start_limited(kind: Kind, role: &str, config: &Value, limits: &str) -> Self {
        let directory = TempDir::new().expect("temporary directory");
        fs::write(directory.path().join(CONFIG), config.to_string()).expect("write configuration");
        let mut program = Self {
            role: format!("{role} ({kind:?})"),
            kind,
            limits: limits.to_owned(),
            listeners: listeners_of(config),
            directory,
            child: None,
        };
        program.launch();
        program
    }

    /// SIGKILL: no destructor runs, the system closes the sockets.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGSTOP: it does nothing any more, and its sockets stay open.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT: it goes on after [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Id of the process, as long as it has not been killed.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Kills the program and starts it anew on the same ports.
    pub fn restart(&mut self) {
        self.kill();
        self.launch();
    }

    /// Starts V2Ray again if it has fallen over its own feet: the VLESS inbound
    /// of 4.34 gives a connection's first buffer back when the connection ends,
    /// though its mux may still be reading it, which is a panic of Go's now and
    /// then. Any other end stays one.
    pub fn stand_up_if_v2ray_fell(&mut self) {
        let status = self.exit_status();
        let fell = status.is_some_and(|status| status.code() == Some(GO_PANICKED));
        if self.kind == Kind::V2ray && fell {
            eprintln!("the {} fell and is started again", self.role);
            self.restart();
        }
    }

    /// Fails if the program has ended by itself.
    pub fn assert_alive(&mut self) {
        if let Some(status) = self.exit_status() {
            panic!("the {} ended by itself: {status}", self.role);
        }
    }

    /// Ends the program as an operator would (SIGTERM), and fails unless it
    /// was alive, ends in time and well, and no thread of it has panicked.
    pub fn finish(mut self) {
        self.assert_alive();
        self.signal("TERM");
        let status = eventually(Instant::now() + DEADLINE, || self.exit_status().ok_or(()));
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => panic!("the {} ended with {status} on SIGTERM", self.role),
            Err(()) => panic!("the {} goes on after SIGTERM", self.role),
        }
        assert!(!self.log().contains("panicked"), "a thread panicked");
    }

    /// Writes another configuration, for its next start or SIGHUP.
    pub fn rewrite(&self, text: &str) {
        fs::write(self.config_path(), text).expect("write configuration");
    }

    /// Where its configuration is.
    pub fn config_path(&self) -> PathBuf {
        self.directory.path().join(CONFIG)
    }

    /// SIGHUP.
    pub fn hang_up(&self) {
        self.signal("HUP");
    }

    /// SIGTERM, once.
    pub fn ask_to_stop(&self) {
        self.signal("TERM");
    }

    /// Waits until the program has ended by itself, and says how. Fails if it
    /// has not within `bound`, or a thread of it has panicked.
    pub fn ends_within(&mut self, bound: Duration) -> ExitStatus {
        let status = eventually(Instant::now() + bound, || self.exit_status().ok_or(()));
        let status = status.unwrap_or_else(|()| panic!("the {} goes on", self.role));
        assert!(!self.log().contains("panicked"), "a thread panicked");
        status
    }

    /// Waits for a line of the log.
    pub fn says(&self, text: &str) {
        let said = eventually(Instant::now() + DEADLINE, || {
            self.log().contains(text).then_some(()).ok_or(())
        });
        said.unwrap_or_else(|()| panic!("the {} never says {text:?}", self.role));
    }

    /// Everything that the program has printed since its first start.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn launch(&mut self) {
        let log = self.open_log().expect("log file");
        let mut command = self
            .kind
            .command(&self.limits, &self.directory.path().join(CONFIG));
        command
            .stdout(log.try_clone().expect("log file"))
            .stderr(log);
        match command.spawn() {
            Ok(child) => self.child = Some(child),
            Err(error) => panic!("cannot start the {}: {error}", self.role),
        }
        self.wait_until_listening();
    }

    fn wait_until_listening(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        let missing = eventually(deadline, || {
            self.assert_alive();
            match self.missing_listener() {
                None => Ok(()),
                Some(listener) => Err(listener),
            }
        });
        if let Err((protocol, port)) = missing {
            panic!("the {} does not listen on {protocol:?} {port}", self.role);
        }
    }

    /// A port that the program does not listen on yet. Panics if another
    /// process listens there, as the two would share the visitors.
    fn missing_listener(&self) -> Option<(Protocol, u16)> {
        let pid = self.child.as_ref()?.id();
        if sockets::held_by(pid).is_empty() {
            // To look for them among all sockets of the system costs more than the start.
            return self.listeners.first().copied();
        }
        let find = |(protocol, port)| sockets::listeners(protocol, port);
        let found: Vec<_> = self.listeners.iter().copied().map(find).collect();
        // Only now: one that it has opened meanwhile would look foreign.
        let held = sockets::held_by(pid);
        let is_missing = |(wanted, found): &(&(Protocol, u16), HashSet<u64>)| {
            let is_own = |inode: &u64| held.contains(inode);
            let own = found.iter().any(is_own);
            assert!(
                !own || found.iter().all(is_own),
                "{wanted:?} of the {} has another listener",
                self.role
            );
            !own
        };
        let missing = self.listeners.iter().zip(found).find(is_missing);
        missing.map(|(wanted, _)| *wanted)
    }

    fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.as_mut()?.try_wait().expect("wait for a child")
    }

    /// The standard library knows no signal but SIGKILL.
    fn signal(&self, name: &str) {
        let Some(pid) = self.pid() else { return };
        let sent = Command::new("kill")
            .args(["-s", name, &pid.to_string()])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "send SIG{name}");
    }

    fn open_log(&self) -> io::Result<File> {
        File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn print_log_tail(&self) {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(LOG_TAIL)..];
        eprintln!("--- log of the {}, last lines ---", self.role);
        eprintln!("{}", tail.join("\n"));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            self.print_log_tail();
        }
    }
}

/// Whether V2Ray 4 can be had. If not, the caller's test is over: it says
/// that it was skipped, or fails where V2Ray must be present, that is with
/// `CI=true` or `MUXCOOL_REQUIRE_V2RAY=1`.
#[must_use]
pub fn v2ray_or_skip() -> bool {
    static ABSENCE: OnceLock<Option<String>> = OnceLock::new();
    let Some(reason) = ABSENCE.get_or_init(absence_of_v2ray) else {
        return true;
    };
    let required = env::var("CI").is_ok_and(|value| value == "true")
        || env::var("MUXCOOL_REQUIRE_V2RAY").is_ok_and(|value| value == "1");
    assert!(!required, "V2Ray 4 is required here: {reason}");
    let test = thread::current().name().unwrap_or("test").to_owned();
    // Not by eprintln!, which the harness hides when a test passes.
    let _ = writeln!(io::stderr(), "{test}: skipped, {reason}");
    false
}

const CONFIG: &str = "config.json";

fn absence_of_v2ray() -> Option<String> {
    let output = match Command::new("v2ray").arg("-version").output() {
        Ok(output) => output,
        Err(error) => return Some(format!("v2ray does not run: {error}")),
    };
    let version = String::from_utf8_lossy(&output.stdout);
    if version.starts_with("V2Ray 4.") {
        return None;
    }
    Some("v2ray on the PATH is not version 4".to_owned())
}

/// What a configuration makes a program listen on.
fn listeners_of(config: &Value) -> Vec<(Protocol, u16)> {
    let inbounds = config["inbounds"].as_array().into_iter().flatten();
    inbounds.flat_map(listeners_of_inbound).collect()
}

fn listeners_of_inbound(inbound: &Value) -> Vec<(Protocol, u16)> {
    let port = inbound["port"].as_u64().expect("an inbound has a port");
    let port = u16::try_from(port).expect("a port has 16 bits");
    let settings = &inbound["settings"];
    let network = settings["network"].as_str().unwrap_or("tcp");
    let tcp = network.contains("tcp").then_some((Protocol::Tcp, port));
    let udp = network.contains("udp") || settings["udp"] == true;
    let udp = udp.then_some((Protocol::Udp, port));
    tcp.into_iter().chain(udp).collect()
}
