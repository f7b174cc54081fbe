//! What the examples describe, on ports of this machine.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::balancer::Balancer;
use crate::support::{
    PATIENCE, eventually,
    ports::{free_port, loopback},
    program::{Kind, Program},
    target::TcpTarget,
};

const QUESTION: &[u8] = b"are you there?";

/// A visitor's own address, and the PROXY header that the service has got.
type Told = (SocketAddr, String);

pub struct Scene {
    /// For visitors.
    pub address: SocketAddr,
    pub portals: [Program; 2],
    bridge: Program,
    balancer: Balancer,
    _service: TcpTarget,
    _directory: TempDir,
}

/// Ports of one portal.
struct Ports {
    visitors: u16,
    bridges: u16,
    metrics: u16,
}

impl Scene {
    pub fn start() -> Self {
        Self::with_bridges_to(&[0, 1])
    }

    /// Whose bridge finds only these portals.
    pub fn with_bridges_to(found: &[usize]) -> Self {
        let service = TcpTarget::echo();
        let to = service.address().port();
        let ports = [(); 2].map(|()| Ports {
            visitors: free_port(),
            bridges: free_port(),
            metrics: free_port(),
        });
        let portals = ["one", "two"];
        let portals =
            [0, 1].map(|i| Program::start(Kind::Muxcool, portals[i], &portal(&ports[i], to)));
        let nowhere = free_port();
        let dialled = [0, 1].map(|i| match found.contains(&i) {
            true => ports[i].bridges,
            false => nowhere,
        });
        let bridge = Program::start(Kind::Muxcool, "bridge", &bridge(dialled, to));
        let directory = TempDir::new().expect("temporary directory");
        let address = loopback(free_port());
        let config = directory.path().join("haproxy.cfg");
        fs::write(&config, balancer(address, &ports)).expect("write configuration");
        Self {
            address,
            portals,
            bridge,
            balancer: Balancer::start(&config),
            _service: service,
            _directory: directory,
        }
    }

    /// Waits until visits work, and visitors come to these portals and to no
    /// others.
    pub fn wait_until_used(&self, expected: &[usize]) {
        let used = eventually(Instant::now() + PATIENCE, || {
            let before = self.visitors();
            for _ in 0..4 {
                visit(self.address, PATIENCE).map_err(|e| e.to_string())?;
            }
            let after = self.visitors();
            let used: Vec<usize> = (0..2).filter(|i| after[*i] > before[*i]).collect();
            match used == expected {
                true => Ok(()),
                false => Err(format!("used: {used:?}")),
            }
        });
        used.unwrap_or_else(|last| panic!("not {expected:?} alone: {last}"));
    }

    /// Who has come to each portal so far.
    pub fn visitors(&self) -> [usize; 2] {
        [0, 1].map(|i| self.portals[i].log().matches("for [tcp:127.0.0.1:").count())
    }

    /// How often HAProxy has found that this portal is of no use.
    pub fn losses(&self, portal: usize) -> usize {
        let name = ["one", "two"][portal];
        let line = format!("Server portals/{name} is DOWN");
        self.balancer.log().matches(&line).count()
    }

    pub fn finish(self) {
        self.bridge.finish();
        let [one, two] = self.portals;
        one.finish();
        two.finish();
    }
}

/// A question and its answer. Anybody's silence is a failure.
pub fn visit(address: SocketAddr, patience: Duration) -> io::Result<Told> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(QUESTION)?;
    let mut from_service = BufReader::new(&stream);
    let mut header = String::new();
    from_service.read_line(&mut header)?;
    let mut answer = vec![0; QUESTION.len()];
    from_service.read_exact(&mut answer)?;
    match answer == QUESTION {
        true => Ok((stream.local_addr()?, header)),
        false => Err(io::Error::other("another answer")),
    }
}

fn balancer(address: SocketAddr, ports: &[Ports; 2]) -> String {
    let mut text = example("haproxy.cfg");
    replace(&mut text, "bind :80", &format!("bind {address}"));
    for (server, ports) in ["10.0.0.11", "10.0.0.12"].iter().zip(ports) {
        let Ports {
            visitors, metrics, ..
        } = ports;
        let old = format!("{server}:8080 send-proxy-v2 check port 9090");
        let new = format!("127.0.0.1:{visitors} send-proxy-v2 check port {metrics}");
        replace(&mut text, &old, &new);
    }
    text
}

fn portal(ports: &Ports, service: u16) -> Value {
    let mut text = example("haproxy-portal.json");
    replace(&mut text, "10.0.0.11", "127.0.0.1");
    replace(&mut text, ":9090", &format!(":{}", ports.metrics));
    replace(&mut text, ": 8080", &format!(": {}", ports.visitors));
    replace(&mut text, ": 8443", &format!(": {}", ports.bridges));
    replace(&mut text, ": 80,", &format!(": {service},"));
    json_of(&text)
}

/// It says in a PROXY header who visits.
fn bridge(portals: [u16; 2], service: u16) -> Value {
    let mut text = example("haproxy-bridge.json");
    replace(&mut text, "127.0.0.1:80", &format!("127.0.0.1:{service}"));
    let mut config = json_of(&text);
    config["outbounds"][0]["settings"] = json!({ "proxyProtocol": 1 });
    for (outbound, port) in [1, 2].into_iter().zip(portals) {
        let server = &mut config["outbounds"][outbound]["settings"]["vnext"][0];
        server["address"] = "127.0.0.1".into();
        server["port"] = port.into();
    }
    config
}

fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    fs::read_to_string(folder.join(name)).expect("read an example")
}

fn replace(text: &mut String, old: &str, new: &str) {
    assert!(text.contains(old), "no {old:?} in the example");
    *text = text.replace(old, new);
}

/// Without the comments.
fn json_of(text: &str) -> Value {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    serde_json::from_str(&lines.collect::<String>()).expect("JSON")
}
