//! What carriers with a layer or encryption of their own carry, and whether the
//! directions of TLS wait for each other.

use std::{thread, time::Duration};

use super::{
    MULTIPLEXERS, Order, Plan,
    bulk::{self, processor_time, rate},
    delay::{self, time},
    rounds,
};
use crate::{
    common::{
        bulk::Bulk,
        failure::Failure,
        service::{Sink, Source},
    },
    extent::Extent,
    figure::{Better, Line},
    peer::Peer,
    process::Path,
    support::{config::Carrier, slow_link::Profile},
    tunnel::Tunnel,
};

/// Round trip and bytes per second of a link that is slower than the
/// processors encrypt, both ways at once.
const LINK: (Duration, u64) = (Duration::from_millis(20), 25_000_000);

/// Share of what either way carries alone that both at once have to reach.
const SHARE: f64 = 0.8;

pub const TLS: Plan = Plan {
    name: "tls",
    peers: MULTIPLEXERS,
    lines: |_| {
        vec![
            rate("TLS, one stream down").floor(Peer::V2ray, 1.3),
            processor_time(),
        ]
    },
    rounds,
    order: Order::InTurn,
    measure: |peer, extent| bulk::down(&ON_LOOPBACK, peer, extent),
};

pub const TLS_PING: Plan = Plan {
    name: "tls-ping",
    peers: MULTIPLEXERS,
    lines: |_| {
        vec![
            time("TLS, 64-byte ping, p50"),
            time("TLS, 64-byte ping, p99"),
            time("TLS, new connection to first byte, p50"),
        ]
    },
    rounds,
    order: Order::InTurn,
    measure: |peer, extent| delay::idle(&ON_LOOPBACK, peer, extent),
};

pub const WS: Plan = Plan {
    name: "ws",
    peers: MULTIPLEXERS,
    lines: |_| vec![rate("WebSocket, one stream down"), processor_time()],
    rounds,
    order: Order::InTurn,
    measure: |peer, extent| bulk::down(&Path::of(Carrier::VlessWs), peer, extent),
};

/// Both with the same cipher, AES-128-GCM.
pub const VMESS: Plan = Plan {
    name: "vmess",
    peers: MULTIPLEXERS,
    lines: |_| {
        vec![
            rate("VMess, one stream down").floor(Peer::V2ray, 1.3),
            processor_time(),
        ]
    },
    rounds,
    order: Order::InTurn,
    measure: |peer, extent| bulk::down(&Path::of(Carrier::Vmess("aes-128-gcm")), peer, extent),
};

/// Both ways share the processors, so there is no share to ask for.
pub const TLS_BOTH: Plan = Plan {
    name: "tls-both",
    peers: MULTIPLEXERS,
    lines: |_| {
        let all = rate("TLS, one stream each way at once, in all");
        vec![all.floor(Peer::V2ray, 1.3), share("of both alone")]
    },
    rounds,
    order: Order::InTurn,
    measure: |peer, extent| both(&ON_LOOPBACK, extent.warming, peer, extent),
};

pub const TLS_PACED: Plan = Plan {
    name: "tls-paced",
    peers: MULTIPLEXERS,
    lines: |_| {
        let megabytes = LINK.1 / 1_000_000;
        let what = format!("the same on a link of {megabytes} MB/s each way");
        vec![rate(&what), share("of both alone").least(SHARE)]
    },
    rounds,
    order: Order::InTurn,
    measure: |peer, extent| {
        let link = Profile::new(LINK.0, LINK.1);
        let path = Path {
            link: Some(link),
            ..ON_LOOPBACK
        };
        both(&path, extent.slow_start, peer, extent)
    },
};

const ON_LOOPBACK: Path = Path::of(Carrier::VlessTls);

fn share(what: &str) -> Line {
    Line::new(what, "", Better::More).digits(2)
}

/// What both ways carry at once, in all, and its share of what they carry
/// alone, each after it has flowed for `warming`.
fn both(path: &Path, warming: Duration, peer: Peer, extent: &Extent) -> Result<Vec<f64>, Failure> {
    let (source, sink) = (Source::endless(), Sink::start());
    let tunnel = Tunnel::start_on(path, peer, &[source.address(), sink.address()])?;
    let download = || Bulk::download(tunnel.door(source.address()));
    let upload = || Bulk::upload(tunnel.door(sink.address()), sink.arrived());
    let alone = |bulk: Bulk| {
        thread::sleep(warming);
        bulk.rate(extent.window)
    };
    let alone = alone(download()?) + alone(upload()?);
    let (down, up) = (download()?, upload()?);
    thread::sleep(warming);
    let at_once = thread::scope(|threads| {
        let up = threads.spawn(|| up.rate(extent.window));
        down.rate(extent.window) + up.join().expect("upload")
    });
    Ok(vec![at_once, at_once / alone])
}
