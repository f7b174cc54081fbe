//! The reverse-proxy and mux examples that guides of V2Ray and Xray publish, as
//! they are in `examples/published`: each works with our programs, and with V2Ray
//! in any of the roles.

use std::{
    collections::HashMap,
    fs,
    io::Read,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::samples;
use super::support::{
    certificate::Certificate,
    client::{self, Entry},
    eventually,
    ports::{free_port, loopback},
    program::{
        Kind::{self, Muxcool, V2ray},
        Program, v2ray_or_skip,
    },
    sockets,
    target::{Order, TcpTarget},
};

/// A test for each row: the roles of a sample, and who plays each.
macro_rules! published {
    ($($name:ident: $test:ident($sample:literal, [$($kind:ident),+]);)*) => {$(
        #[test]
        fn $name() {
            let kinds = [$($kind),+];
            if !kinds.contains(&V2ray) || v2ray_or_skip() {
                $test($sample, kinds);
            }
        }
    )*};
}

published! {
    manual_us_us: port("manual", [Muxcool, Muxcool]);
    manual_us_v2ray: port("manual", [Muxcool, V2ray]);
    manual_v2ray_us: port("manual", [V2ray, Muxcool]);

    guide_us_us: port("guide", [Muxcool, Muxcool]);
    guide_us_v2ray: port("guide", [Muxcool, V2ray]);
    guide_v2ray_us: port("guide", [V2ray, Muxcool]);

    guide_home_us_us_us: home("guide-home", [Muxcool, Muxcool, Muxcool]);
    guide_home_v2ray_us_us: home("guide-home", [V2ray, Muxcool, Muxcool]);
    guide_home_us_v2ray_us: home("guide-home", [Muxcool, V2ray, Muxcool]);
    guide_home_us_us_v2ray: home("guide-home", [Muxcool, Muxcool, V2ray]);

    xray_us_us: port("xray", [Muxcool, Muxcool]);
    xray_us_v2ray: port("xray", [Muxcool, V2ray]);
    xray_v2ray_us: port("xray", [V2ray, Muxcool]);

    xray_vmess_us_us_us: home("xray-vmess", [Muxcool, Muxcool, Muxcool]);
    xray_vmess_v2ray_us_us: home("xray-vmess", [V2ray, Muxcool, Muxcool]);
    xray_vmess_us_v2ray_us: home("xray-vmess", [Muxcool, V2ray, Muxcool]);
    xray_vmess_us_us_v2ray: home("xray-vmess", [Muxcool, Muxcool, V2ray]);

    xray_ws_us_us_us: home("xray-ws", [Muxcool, Muxcool, Muxcool]);
    xray_ws_v2ray_us_us: home("xray-ws", [V2ray, Muxcool, Muxcool]);
    xray_ws_us_v2ray_us: home_down("xray-ws", [Muxcool, V2ray, Muxcool]);
    xray_ws_us_us_v2ray: home("xray-ws", [Muxcool, Muxcool, V2ray]);

    guide_mux_us_us: mux("guide-mux", [Muxcool, Muxcool]);
    guide_mux_us_v2ray: mux("guide-mux", [Muxcool, V2ray]);
    guide_mux_v2ray_us: mux("guide-mux", [V2ray, Muxcool]);

    tls_mux_us_us: mux("tls-mux", [Muxcool, Muxcool]);
    tls_mux_us_v2ray: mux("tls-mux", [Muxcool, V2ray]);
    tls_mux_v2ray_us: mux("tls-mux", [V2ray, Muxcool]);
}

/// Visitors come to a port of the portal, which stands for the service.
fn port(sample: &str, [portal, bridge]: [Kind; 2]) {
    let lab = Lab::new();
    let portal = lab.start(portal, &format!("{sample}-portal"));
    let bridge = lab.start(bridge, &format!("{sample}-bridge"));
    lab.carries(&Entry::Door(portal.entrance("visitors")));
    portal.program.finish();
    bridge.program.finish();
}

/// Clients of the portal reach what the bridge reaches, and ask for it by a
/// local proxy.
fn home(sample: &str, kinds: [Kind; 3]) {
    home_with(sample, kinds, STREAM_BYTES);
}

/// As [`home`], for a portal of V2Ray whose bridge comes by WebSocket: it loses
/// bytes of what its visitors by VLESS send, and breaks the framing, where all
/// three are V2Ray as well ("invalid metalen", once in ten runs).
fn home_down(sample: &str, kinds: [Kind; 3]) {
    home_with(sample, kinds, 0);
}

fn home_with(sample: &str, [client, portal, bridge]: [Kind; 3], upload: u64) {
    let lab = Lab::new();
    let portal = lab.start(portal, &format!("{sample}-portal"));
    let bridge = match sample {
        "guide-home" => lab.start(bridge, "guide-bridge"),
        _ => lab.start(bridge, &format!("{sample}-bridge")),
    };
    let client = lab.start(client, &format!("{sample}-client"));
    let entry = Entry::socks(client.proxy(), lab.service.address());
    lab.carries_with(&entry, upload);
    for part in [client, portal, bridge] {
        part.program.finish();
    }
}

/// Connections share carriers to the server. It is asked for a name, for what
/// leads to private addresses is told from the rest.
fn mux(sample: &str, [client, server]: [Kind; 2]) {
    let lab = Lab::new();
    let server = lab.start(server, &format!("{sample}-server"));
    let client = lab.start(client, &format!("{sample}-client"));
    let carriers = || sockets::peers(server.carrier_port()).len();

    let private = Entry::socks(client.proxy(), lab.service.address());
    match sample {
        // From the client itself.
        "tls-mux" => lab.carries(&private),
        _ => assert_leads_nowhere(&private),
    }
    let before = carriers();
    lab.carries(&Entry::Socks {
        proxy: client.proxy(),
        host: "localhost".to_owned(),
        port: lab.service.address().port(),
    });
    let made = carriers();
    assert!(before < STREAMS as usize && (1..STREAMS as usize).contains(&made));
    client.program.finish();
    server.program.finish();
}

/// Whoever is asked for it, the connection breaks without a byte.
fn assert_leads_nowhere(entry: &Entry) {
    let read = entry.connect().and_then(|mut stream| {
        let order = Order {
            key: 0,
            upload: 0,
            download: 1,
        };
        std::io::Write::write_all(&mut stream, &order.encode())?;
        stream.read(&mut [0])
    });
    match read {
        Ok(length) => assert_eq!(length, 0, "bytes from a private address"),
        Err(error) => {
            let slow = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
            assert!(!slow.contains(&error.kind()), "{error}");
        }
    }
}

/// How long a tunnel may take until its first request works, and how long one
/// of the requests that try it.
const OPENING: Duration = Duration::from_secs(15);
const ATTEMPT: Duration = Duration::from_secs(2);

const STREAMS: u64 = 12;
const STREAM_BYTES: u64 = 64 * 1024;

/// What stands for the machines of a sample.
struct Lab {
    service: TcpTarget,
    certificate: Certificate,
    /// By the port in the sample.
    ports: Mutex<HashMap<u64, u16>>,
}

/// A program of a sample, and its configuration.
struct Part {
    program: Program,
    text: Value,
}

impl Lab {
    fn new() -> Self {
        Self {
            service: TcpTarget::known_bytes(),
            certificate: Certificate::for_name(samples::SERVER),
            ports: Mutex::default(),
        }
    }

    fn start(&self, kind: Kind, name: &str) -> Part {
        let mut text = samples::read(name);
        text["log"] = json!({ "loglevel": "info" });
        samples::settle(
            &mut text,
            &self.certificate,
            self.service.address(),
            |port| {
                let mut ports = self.ports.lock().expect("no test panics with it");
                *ports.entry(port).or_insert_with(free_port)
            },
        );
        if kind == V2ray {
            samples::put_in_words_of_v2ray(&mut text);
        }
        Part {
            program: Program::start(kind, name, &text),
            text,
        }
    }

    /// Streams go both ways, once the first one does.
    fn carries(&self, entry: &Entry) {
        self.carries_with(entry, STREAM_BYTES);
    }

    fn carries_with(&self, entry: &Entry, upload: u64) {
        let first = eventually(Instant::now() + OPENING, || {
            let stream = entry.connect_within(ATTEMPT)?;
            client::place(order(0, upload), stream)
        });
        first.unwrap_or_else(|error| panic!("nothing goes by {entry:?}: {error}"));
        thread::scope(|threads| {
            for key in 1..=STREAMS {
                threads.spawn(move || {
                    let placed = entry
                        .connect()
                        .and_then(|s| client::place(order(key, upload), s));
                    placed.unwrap_or_else(|error| panic!("stream {key} by {entry:?}: {error}"));
                });
            }
        });
    }
}

fn order(key: u64, upload: u64) -> Order {
    Order {
        key,
        upload,
        download: STREAM_BYTES,
    }
}

impl Part {
    /// Where the inbound with this tag listens.
    fn entrance(&self, tag: &str) -> SocketAddr {
        self.listener(|inbound| inbound["tag"] == tag)
    }

    /// Where the SOCKS proxy listens.
    fn proxy(&self) -> SocketAddr {
        self.listener(|inbound| inbound["protocol"] == "socks")
    }

    /// The port of a server with a single inbound.
    fn carrier_port(&self) -> u16 {
        self.listener(|_| true).port()
    }

    fn listener(&self, is_meant: impl Fn(&Value) -> bool) -> SocketAddr {
        let mut inbounds = self.text["inbounds"].as_array().into_iter().flatten();
        let found = inbounds.find(|inbound| is_meant(inbound));
        let port = found.and_then(|inbound| inbound["port"].as_u64());
        loopback(port.expect("an inbound with a port") as u16)
    }
}

/// As they are: only the certificates that they name have to be there.
#[test]
fn every_sample_is_accepted_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = Certificate::for_name(samples::SERVER);
    for name in ["portal", "server"] {
        let file = |end: &str| folder.path().join(format!("{name}.{end}"));
        fs::write(file("pem"), &certificate.chain).expect("a file");
        fs::write(file("key"), &certificate.key).expect("a file");
    }
    let samples = samples::paths();
    assert!(samples.len() >= 18, "{samples:?}");
    for sample in samples {
        let test = test_in(&folder, &sample);
        assert!(test.0, "{}: {}", sample.display(), test.1);
    }
}

fn test_in(folder: &tempfile::TempDir, sample: &PathBuf) -> (bool, String) {
    let test = Command::new(env!("CARGO_BIN_EXE_muxcool"))
        .args(["test", "-c"])
        .arg(sample)
        .current_dir(folder.path())
        .env_remove("RUST_LOG")
        .output()
        .expect("muxcool runs");
    let said = String::from_utf8_lossy(&test.stderr).into_owned();
    (test.status.success(), said)
}

/// The translation for V2Ray does what it says, so that rows with V2Ray test
/// what is in the samples.
#[test]
fn words_of_v2ray_mean_the_same() {
    let mut text = json!({
        "inbounds": [{ "protocol": "tunnel", "settings": {
            "rewriteAddress": "127.0.0.1", "rewritePort": 80, "allowedNetwork": "tcp",
        } }],
        "outbounds": [
            { "protocol": "vmess", "settings": { "address": "127.0.0.1", "port": 1, "id": "x" } },
        ],
        "routing": { "rules": [{ "ip": ["geoip:private"], "outboundTag": "a" }] },
    });
    samples::put_in_words_of_v2ray(&mut text);
    assert_eq!(text["inbounds"][0]["protocol"], "dokodemo-door");
    assert_eq!(text["inbounds"][0]["settings"]["port"], 80);
    let server = &text["outbounds"][0]["settings"]["vnext"][0];
    assert_eq!(
        (&server["port"], &server["users"][0]["id"]),
        (&json!(1), &json!("x"))
    );
    let rule = &text["routing"]["rules"][0];
    assert_eq!(rule["type"], "field");
    assert!(rule["ip"].as_array().is_some_and(|ranges| ranges.len() > 1));
}
