//! Whole programs on both ends of a tunnel, ours and V2Ray 4, in all
//! pairings: what goes in at one end comes out at the other.
//!
//! A pairing is named near_far: visitors arrive at the near program (portal,
//! mux client), targets are behind the far one (bridge, mux server). V2Ray at
//! both ends checks the harness itself.

#![cfg(all(target_os = "linux", feature = "cli"))]

#[path = "interop/published.rs"]
mod published;
#[path = "interop/samples.rs"]
mod samples;
mod support;

use std::{
    collections::HashSet,
    io::Read,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use support::{
    PATIENCE,
    bytes::KeyedBytes,
    client::{self, Datagrams, Entry},
    config::Carrier::{
        self, Socks, SocksTls, SocksWs, SocksWss, Vless, VlessTls, VlessWs, VlessWss, VmessTls,
        VmessWs, VmessWss,
    },
    program::{
        Kind::{Muxcool, V2ray},
        v2ray_or_skip,
    },
    sockets,
    target::{BANNER, Order, TcpTarget, UdpEcho},
    tunnel::{
        Plan,
        Shape::{self, Forward, Plain, Reverse},
    },
};

macro_rules! tunnels {
    ($($(#[$attribute:meta])* $name:ident: $shape:ident, $carrier:ident, $near:ident, $far:ident;)*) => {$(
        mod $name {
            use super::*;

            const PLAN: Plan = Plan {
                shape: $shape,
                carrier: $carrier,
                near: $near,
                far: $far,
            };

            #[test]
            $(#[$attribute])*
            fn parallel_streams() {
                super::parallel_streams(PLAN);
            }

            #[test]
            $(#[$attribute])*
            fn datagrams() {
                super::datagrams(PLAN);
            }

            #[test]
            $(#[$attribute])*
            fn short_connections() {
                super::short_connections(PLAN);
            }

            #[test]
            $(#[$attribute])*
            fn banner_first() {
                super::banner_first(PLAN);
            }
        }
    )*};
}

tunnels! {
    reverse_vless_us_us: Reverse, Vless, Muxcool, Muxcool;
    reverse_vless_us_v2ray: Reverse, Vless, Muxcool, V2ray;
    reverse_vless_v2ray_us: Reverse, Vless, V2ray, Muxcool;
    reverse_vless_v2ray_v2ray: Reverse, Vless, V2ray, V2ray;

    reverse_socks_us_us: Reverse, Socks, Muxcool, Muxcool;
    reverse_socks_us_v2ray: Reverse, Socks, Muxcool, V2ray;
    reverse_socks_v2ray_us: Reverse, Socks, V2ray, Muxcool;
    #[ignore = "checks the harness alone, as do those that are not ignored"]
    reverse_socks_v2ray_v2ray: Reverse, Socks, V2ray, V2ray;

    forward_vless_us_us: Forward, Vless, Muxcool, Muxcool;
    forward_vless_us_v2ray: Forward, Vless, Muxcool, V2ray;
    forward_vless_v2ray_us: Forward, Vless, V2ray, Muxcool;
    #[ignore = "checks the harness alone, as do those that are not ignored"]
    forward_vless_v2ray_v2ray: Forward, Vless, V2ray, V2ray;

    forward_socks_us_us: Forward, Socks, Muxcool, Muxcool;
    forward_socks_us_v2ray: Forward, Socks, Muxcool, V2ray;
    forward_socks_v2ray_us: Forward, Socks, V2ray, Muxcool;
    forward_socks_v2ray_v2ray: Forward, Socks, V2ray, V2ray;

    reverse_vless_tls_us_us: Reverse, VlessTls, Muxcool, Muxcool;
    reverse_vless_tls_us_v2ray: Reverse, VlessTls, Muxcool, V2ray;
    reverse_vless_tls_v2ray_us: Reverse, VlessTls, V2ray, Muxcool;
    #[ignore = "checks the harness alone, as do those that are not ignored"]
    reverse_vless_tls_v2ray_v2ray: Reverse, VlessTls, V2ray, V2ray;

    #[ignore = "takes long; SOCKS in both layers at once is tested, and VLESS in each"]
    reverse_socks_tls_us_us: Reverse, SocksTls, Muxcool, Muxcool;
    #[ignore = "takes long; SOCKS in both layers at once is tested, and VLESS in each"]
    reverse_socks_tls_us_v2ray: Reverse, SocksTls, Muxcool, V2ray;
    #[ignore = "takes long; SOCKS in both layers at once is tested, and VLESS in each"]
    reverse_socks_tls_v2ray_us: Reverse, SocksTls, V2ray, Muxcool;
    #[ignore = "checks the harness alone, as do those that are not ignored"]
    reverse_socks_tls_v2ray_v2ray: Reverse, SocksTls, V2ray, V2ray;

    forward_vless_tls_us_us: Forward, VlessTls, Muxcool, Muxcool;
    forward_vless_tls_us_v2ray: Forward, VlessTls, Muxcool, V2ray;
    forward_vless_tls_v2ray_us: Forward, VlessTls, V2ray, Muxcool;
    #[ignore = "checks the harness alone, as do those that are not ignored"]
    forward_vless_tls_v2ray_v2ray: Forward, VlessTls, V2ray, V2ray;

    #[ignore = "takes long; SOCKS in both layers at once is tested, and VLESS in each"]
    forward_socks_tls_us_us: Forward, SocksTls, Muxcool, Muxcool;
    #[ignore = "takes long; SOCKS in both layers at once is tested, and VLESS in each"]
    forward_socks_tls_us_v2ray: Forward, SocksTls, Muxcool, V2ray;
    #[ignore = "takes long; SOCKS in both layers at once is tested, and VLESS in each"]
    forward_socks_tls_v2ray_us: Forward, SocksTls, V2ray, Muxcool;
    #[ignore = "checks the harness alone, as do those that are not ignored"]
    forward_socks_tls_v2ray_v2ray: Forward, SocksTls, V2ray, V2ray;

    reverse_vless_ws_us_us: Reverse, VlessWs, Muxcool, Muxcool;
    reverse_vless_ws_us_v2ray: Reverse, VlessWs, Muxcool, V2ray;
    reverse_vless_ws_v2ray_us: Reverse, VlessWs, V2ray, Muxcool;

    #[ignore = "takes long; SOCKS in both layers at once is tested, and VLESS in each"]
    reverse_socks_ws_us_us: Reverse, SocksWs, Muxcool, Muxcool;
    #[ignore = "takes long; SOCKS in both layers at once is tested, and VLESS in each"]
    reverse_socks_ws_us_v2ray: Reverse, SocksWs, Muxcool, V2ray;
    #[ignore = "takes long; SOCKS in both layers at once is tested, and VLESS in each"]
    reverse_socks_ws_v2ray_us: Reverse, SocksWs, V2ray, Muxcool;

    forward_vless_ws_us_us: Forward, VlessWs, Muxcool, Muxcool;
    forward_vless_ws_us_v2ray: Forward, VlessWs, Muxcool, V2ray;
    forward_vless_ws_v2ray_us: Forward, VlessWs, V2ray, Muxcool;

    #[ignore = "takes long; SOCKS in both layers at once is tested, and VLESS in each"]
    forward_socks_ws_us_us: Forward, SocksWs, Muxcool, Muxcool;
    #[ignore = "takes long; SOCKS in both layers at once is tested, and VLESS in each"]
    forward_socks_ws_us_v2ray: Forward, SocksWs, Muxcool, V2ray;
    #[ignore = "takes long; SOCKS in both layers at once is tested, and VLESS in each"]
    forward_socks_ws_v2ray_us: Forward, SocksWs, V2ray, Muxcool;
}

/// What "auto" is on this machine, too.
const VMESS_GCM: Carrier = Carrier::Vmess("aes-128-gcm");
const VMESS_CHACHA: Carrier = Carrier::Vmess("chacha20-poly1305");
const VMESS_NONE: Carrier = Carrier::Vmess("none");
const VMESS_AUTO: Carrier = Carrier::Vmess("auto");

tunnels! {
    reverse_vmess_us_us: Reverse, VMESS_GCM, Muxcool, Muxcool;
    reverse_vmess_us_v2ray: Reverse, VMESS_GCM, Muxcool, V2ray;
    reverse_vmess_v2ray_us: Reverse, VMESS_GCM, V2ray, Muxcool;
    #[ignore = "checks the harness alone, as do those that are not ignored"]
    reverse_vmess_v2ray_v2ray: Reverse, VMESS_GCM, V2ray, V2ray;

    forward_vmess_us_us: Forward, VMESS_AUTO, Muxcool, Muxcool;
    forward_vmess_us_v2ray: Forward, VMESS_AUTO, Muxcool, V2ray;
    forward_vmess_v2ray_us: Forward, VMESS_AUTO, V2ray, Muxcool;
    #[ignore = "checks the harness alone, as do those that are not ignored"]
    forward_vmess_v2ray_v2ray: Forward, VMESS_AUTO, V2ray, V2ray;

    plain_vmess_us_v2ray: Plain, VMESS_GCM, Muxcool, V2ray;
    plain_vmess_v2ray_us: Plain, VMESS_GCM, V2ray, Muxcool;
}

/// Only what another cipher or another layer may change: bodies of streams and of
/// datagrams, through one tunnel. And all of it, for who has the time.
macro_rules! bodies {
    ($($name:ident: $shape:ident, $carrier:ident, $near:ident, $far:ident;)*) => {
        $(
            #[test]
            fn $name() {
                streams_and_datagrams(Plan {
                    shape: $shape,
                    carrier: $carrier,
                    near: $near,
                    far: $far,
                });
            }
        )*

        tunnels! {
            $(
                #[ignore = "takes long; each layer is tested on its own"]
                $name: $shape, $carrier, $near, $far;
            )*
        }
    };
}

bodies! {
    plain_vmess_chacha_us_v2ray: Plain, VMESS_CHACHA, Muxcool, V2ray;
    plain_vmess_chacha_v2ray_us: Plain, VMESS_CHACHA, V2ray, Muxcool;
    plain_vmess_none_us_v2ray: Plain, VMESS_NONE, Muxcool, V2ray;
    plain_vmess_none_v2ray_us: Plain, VMESS_NONE, V2ray, Muxcool;

    reverse_vless_wss_us_us: Reverse, VlessWss, Muxcool, Muxcool;
    reverse_vless_wss_us_v2ray: Reverse, VlessWss, Muxcool, V2ray;
    reverse_vless_wss_v2ray_us: Reverse, VlessWss, V2ray, Muxcool;
    reverse_socks_wss_us_us: Reverse, SocksWss, Muxcool, Muxcool;
    reverse_socks_wss_us_v2ray: Reverse, SocksWss, Muxcool, V2ray;
    reverse_socks_wss_v2ray_us: Reverse, SocksWss, V2ray, Muxcool;
    forward_vless_wss_us_us: Forward, VlessWss, Muxcool, Muxcool;
    forward_vless_wss_us_v2ray: Forward, VlessWss, Muxcool, V2ray;
    forward_vless_wss_v2ray_us: Forward, VlessWss, V2ray, Muxcool;
    forward_socks_wss_us_us: Forward, SocksWss, Muxcool, Muxcool;
    forward_socks_wss_us_v2ray: Forward, SocksWss, Muxcool, V2ray;
    forward_socks_wss_v2ray_us: Forward, SocksWss, V2ray, Muxcool;

    reverse_vmess_tls_us_us: Reverse, VmessTls, Muxcool, Muxcool;
    reverse_vmess_tls_us_v2ray: Reverse, VmessTls, Muxcool, V2ray;
    reverse_vmess_tls_v2ray_us: Reverse, VmessTls, V2ray, Muxcool;
    reverse_vmess_ws_us_us: Reverse, VmessWs, Muxcool, Muxcool;
    reverse_vmess_ws_us_v2ray: Reverse, VmessWs, Muxcool, V2ray;
    reverse_vmess_ws_v2ray_us: Reverse, VmessWs, V2ray, Muxcool;
    reverse_vmess_wss_us_us: Reverse, VmessWss, Muxcool, Muxcool;
    reverse_vmess_wss_us_v2ray: Reverse, VmessWss, Muxcool, V2ray;
    reverse_vmess_wss_v2ray_us: Reverse, VmessWss, V2ray, Muxcool;
    forward_vmess_tls_us_us: Forward, VmessTls, Muxcool, Muxcool;
    forward_vmess_tls_us_v2ray: Forward, VmessTls, Muxcool, V2ray;
    forward_vmess_tls_v2ray_us: Forward, VmessTls, V2ray, Muxcool;
    forward_vmess_ws_us_us: Forward, VmessWs, Muxcool, Muxcool;
    forward_vmess_ws_us_v2ray: Forward, VmessWs, Muxcool, V2ray;
    forward_vmess_ws_v2ray_us: Forward, VmessWs, V2ray, Muxcool;
    forward_vmess_wss_us_us: Forward, VmessWss, Muxcool, Muxcool;
    forward_vmess_wss_us_v2ray: Forward, VmessWss, Muxcool, V2ray;
    forward_vmess_wss_v2ray_us: Forward, VmessWss, V2ray, Muxcool;
}

const STREAMS: u64 = 24;
const STREAM_BYTES: u64 = 256 * 1024;

fn parallel_streams(plan: Plan) {
    let target = TcpTarget::known_bytes();
    plan.run(&[target.address()], |tunnel| {
        place_all(&tunnel.entries(target.address()));
    });
}

fn streams_and_datagrams(plan: Plan) {
    let (target, echo) = (TcpTarget::known_bytes(), UdpEcho::start());
    plan.run(&[target.address(), echo.address()], |tunnel| {
        place_all(&tunnel.entries(target.address()));
        exchange_all(&tunnel.entries(echo.address()));
    });
}

/// Streams that all run at the same time, both ways, each with bytes of its
/// own.
fn place_all(entries: &[Entry]) {
    thread::scope(|threads| {
        for (key, entry) in (0..STREAMS).zip(entries.iter().cycle()) {
            threads.spawn(move || {
                let order = Order {
                    key,
                    upload: STREAM_BYTES,
                    download: STREAM_BYTES,
                };
                let placed = entry
                    .connect()
                    .and_then(|stream| client::place(order, stream));
                placed.unwrap_or_else(|error| panic!("stream {key} by {entry:?}: {error}"));
            });
        }
    });
}

const DATAGRAMS: u64 = 100;
const DATAGRAM_BYTES: usize = 1200;

/// Datagrams under way at once: few enough for every queue on the path.
const WINDOW: u64 = 4;

fn datagrams(plan: Plan) {
    let target = UdpEcho::start();
    plan.run(&[target.address()], |tunnel| {
        exchange_all(&tunnel.entries(target.address()));
    });
}

fn exchange_all(entries: &[Entry]) {
    for entry in entries {
        let flow = entry.datagrams().expect("UDP flow");
        for first in (0..DATAGRAMS).step_by(WINDOW as usize) {
            exchange_window(&flow, first..first + WINDOW, entry);
        }
    }
}

fn exchange_window(flow: &Datagrams, keys: std::ops::Range<u64>, entry: &Entry) {
    let sent: HashSet<Vec<u8>> = keys
        .clone()
        .map(|key| KeyedBytes::vec(key, DATAGRAM_BYTES))
        .collect();
    for datagram in &sent {
        flow.send(datagram).expect("send a datagram");
    }
    let mut back = HashSet::new();
    while back.len() < sent.len() {
        match flow.receive() {
            Ok(datagram) => assert!(back.insert(datagram), "a datagram of {keys:?} came twice"),
            Err(error) => panic!("{} of {keys:?} by {entry:?} came: {error}", back.len()),
        }
    }
    assert_eq!(back, sent, "datagrams {keys:?} by {entry:?}");
}

const VISITORS: u64 = 8;

/// V2Ray remembers requests of VMess in a cuckoo filter of 2^15 buckets with a
/// byte for each: after n of them one in 4 million / n passes for a repetition,
/// and is never answered. A thousand have one among them in every eighth run, a
/// few dozen in one of ten thousand.
fn visits(plan: Plan) -> u64 {
    let each_is_a_request = plan.shape == Plain && matches!(plan.carrier, Carrier::Vmess(_));
    match plan.far {
        V2ray if each_is_a_request => 24,
        _ => 1000,
    }
}

/// Time over which the visits are spread. A reverse tunnel's first carrier
/// drains after 256 of them, its portal looks every 2 s, and so does its
/// bridge before it opens another: all that is to happen among visits. A mux
/// client opens another after 128 sessions at once.
fn visiting_time(shape: Shape) -> Duration {
    match shape {
        Reverse => Duration::from_secs(8),
        Forward | Plain => Duration::from_secs(1),
    }
}

fn short_connections(plan: Plan) {
    let target = TcpTarget::echo();
    plan.run(&[target.address()], |tunnel| {
        let entries = tunnel.entries(target.address());
        visit_all(&entries, visits(plan), visiting_time(plan.shape));
        let carriers = sockets::peers(tunnel.carrier_port()).len();
        assert!(
            carriers > 1 || plan.shape == Plain,
            "all visits went over {carriers} carrier"
        );
    });
}

fn visit_all(entries: &[Entry], visits: u64, time: Duration) {
    let start = Instant::now();
    let interval = time / visits as u32;
    thread::scope(|threads| {
        for visitor in 0..VISITORS {
            threads.spawn(move || {
                for visit in (visitor..visits).step_by(VISITORS as usize) {
                    let turn = start + interval * visit as u32;
                    thread::sleep(turn.saturating_duration_since(Instant::now()));
                    let entry = &entries[visit as usize / VISITORS as usize % entries.len()];
                    client::visit(entry, visit, PATIENCE)
                        .unwrap_or_else(|error| panic!("visit {visit} by {entry:?}: {error}"));
                }
            });
        }
    });
}

/// A server that speaks first, to a client that waits for it; by name as
/// well.
fn banner_first(plan: Plan) {
    let target = TcpTarget::banner();
    plan.run(&[target.address()], |tunnel| {
        let mut entries = tunnel.entries(target.address());
        entries.push(Entry::Socks {
            proxy: tunnel.proxy(),
            host: "localhost".to_owned(),
            port: target.address().port(),
        });
        for entry in entries {
            let mut stream = entry.connect().expect("connect");
            let mut banner = vec![0; BANNER.len()];
            let read = stream.read_exact(&mut banner);
            read.unwrap_or_else(|error| panic!("banner by {entry:?}: {error}"));
            assert_eq!(banner, BANNER, "banner by {entry:?}");
            client::echo(&mut stream, b"HELO visitor\r\n").expect("dialogue");
        }
    });
}

/// A configuration with settings of ours still is one for V2Ray.
#[test]
fn v2ray_reads_past_the_settings_of_carriers() {
    if !v2ray_or_skip() {
        return;
    }
    let fixture = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/config/valid/policy-mux.json"
    );
    let test = Command::new("v2ray")
        .args(["-test", "-config", fixture])
        .output()
        .expect("V2Ray runs");
    let said = String::from_utf8_lossy(&test.stdout);
    assert!(test.status.success(), "{said}");
}
