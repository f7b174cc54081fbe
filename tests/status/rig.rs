//! A reverse tunnel of two programs that can be asked how they do.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Output,
    time::Instant,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    PATIENCE,
    client::{self, Entry},
    command,
    config::{self, Carrier, Endpoint, Entrances},
    eventually,
    ports::{free_port, loopback},
    program::{Kind, Program},
    target::TcpTarget,
};

pub struct Rig {
    pub portal: Program,
    bridge_config: Value,
    /// Where this run's programs have their directories.
    home: TempDir,
    pub entry: Entry,
    /// For other targets.
    pub proxy: SocketAddr,
    pub metrics: SocketAddr,
    _target: TcpTarget,
}

impl Rig {
    /// A portal without a bridge yet, in front of an echo service.
    pub fn start() -> Self {
        let home = TempDir::new().unwrap();
        let target = TcpTarget::echo();
        let (door, proxy) = (free_port(), free_port());
        let entrances = Entrances {
            socks: proxy,
            doors: vec![(door, target.address())],
        };
        let endpoint = Endpoint::new(Carrier::Vless, free_port());
        let metrics = loopback(free_port());
        let mut portal = quick(config::portal(&entrances, &endpoint));
        portal["metrics"] = json!({ "listen": metrics.to_string() });
        Self {
            portal: launch(&home, "portal", &portal),
            bridge_config: quick(config::bridge(&endpoint)),
            home,
            entry: Entry::Door(loopback(door)),
            proxy: loopback(proxy),
            metrics,
            _target: target,
        }
    }

    /// A bridge, through which visitors get.
    pub fn bridge(&self) -> Program {
        let bridge = launch(&self.home, "bridge", &self.bridge_config);
        let worked = eventually(Instant::now() + PATIENCE, || {
            client::visit(&self.entry, 1, PATIENCE)
        });
        worked.expect("a visit works");
        bridge
    }

    /// Where the program has its control socket.
    pub fn socket(&self, program: &Program) -> PathBuf {
        let pid = program.pid().expect("it runs");
        self.home.path().join(format!("muxcool/{pid}.sock"))
    }

    /// The command, where it finds this run's programs and no others.
    pub fn ask(&self, args: &[&str]) -> Output {
        command(self.home.path(), args)
    }

    /// What `muxcool status --json` prints of the program.
    pub fn json(&self, program: &Program) -> Value {
        let pid = program.pid().expect("it runs").to_string();
        let output = self.ask(&["status", "--json", "--pid", &pid]);
        serde_json::from_str(&printed(&output)).expect("JSON")
    }

    /// Waits until the program says so of its only carrier.
    pub fn wait_for_state(&self, program: &Program, kind: &str, state: &str) {
        let seen = eventually(Instant::now() + PATIENCE, || {
            let carrier = &service(&self.json(program), kind)["carriers"][0];
            match carrier["state"] == state {
                true => Ok(()),
                false => Err(carrier.clone()),
            }
        });
        seen.unwrap_or_else(|last| panic!("never {state}: {last}"));
    }
}

/// The command with `home` as its directory for sockets and for temporary files.
pub fn command(home: &Path, args: &[&str]) -> Output {
    command::muxcool(args)
        .env_remove("RUNTIME_DIRECTORY")
        .env("XDG_RUNTIME_DIR", home)
        .env("TMPDIR", home)
        .output()
        .expect("it runs")
}

/// Of a command that went well.
pub fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// The only service of this kind.
pub fn service(snapshot: &Value, kind: &str) -> Value {
    let services = snapshot["services"].as_array().expect("services");
    let mut of_kind = services.iter().filter(|service| service["kind"] == kind);
    let only = of_kind
        .next()
        .unwrap_or_else(|| panic!("no {kind}: {snapshot}"));
    assert!(of_kind.next().is_none());
    only.clone()
}

/// Who falls silent is suspect soon.
fn quick(mut config: Value) -> Value {
    config["policy"] = json!({ "mux": { "probe": 1, "suspect": 2, "dead": 60 } });
    config
}

pub fn launch(home: &TempDir, role: &str, config: &Value) -> Program {
    let home = home.path().display();
    let environment = format!("unset RUNTIME_DIRECTORY; export XDG_RUNTIME_DIR='{home}'");
    Program::start_limited(Kind::Muxcool, role, config, &environment)
}
