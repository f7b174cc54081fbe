//! Our mux over an in-memory link and over loopback TCP, and beside it the
//! crates `yamux` and `tokio-yamux` over the same TCP.
//!
//! Both sides of a carrier are in this process. A stream is used as its
//! library wants it: ours by a thread of its own on either side, through `Read`
//! and `Write`; theirs by a task, through `AsyncRead` and `AsyncWrite`, with
//! one thread for all that happens on a side. A server that gets a new stream
//! gives it its thread, of the reserve that servers have, or task. A session of
//! one message is opened with it, as `yamux` does by itself.
//!
//! Theirs are driven by tokio, as in libp2p and tentacle, one current-thread
//! runtime a side: a side has all that its threads can use of a machine with
//! two processors, no work is moved between threads, and each side has a poller
//! of its own, where a runtime for the whole process would make one side wait
//! on the other's thread. `yamux` gets a buffered socket, for it is faster so.
//!
//! A row that makes no progress has no figure, and the run goes on: it is said
//! on the error output which it was.
//!
//! Where a row sends one small thing and waits for its answer (ping, session),
//! ours has more threads to wake than theirs: a carrier's reader on each side,
//! and whoever uses the stream.

mod load;
mod ours;
mod theirs;
mod tokio_yamux;
mod yamux;

use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use muxcool::limits::CARRIER_PIPE;
use muxcool::link::{self, Link};

use load::Load;
use theirs::Library;
use tokio_yamux::TokioYamux;
use yamux::Yamux;

const STREAMS: [usize; 3] = [1, 8, 64];

/// Name and bytes of a message, and how many of them are one round.
const MESSAGES: [(&str, usize, usize); 3] = [
    ("64B", 64, 8192),
    ("4KiB", 4096, 1024),
    ("32KiB", 32 * 1024, 256),
];

fn memory(criterion: &mut Criterion) {
    for (name, load) in transfers() {
        let mut group = open_group(criterion, &format!("mux/memory/{name}"));
        group.throughput(Throughput::Bytes(load.bytes()));
        ours_streams(&mut group, memory_links, load);
    }
    let mut group = open_group(criterion, "mux/memory/ping");
    ours_streams(&mut group, memory_links, Load::PING);
    drop(group);
    let mut group = open_group(criterion, "mux/memory/session");
    ours_sessions(&mut group, memory_links);
}

fn tcp(criterion: &mut Criterion) {
    for (name, load) in transfers() {
        let mut group = open_group(criterion, &format!("mux/tcp/{name}"));
        group.throughput(Throughput::Bytes(load.bytes()));
        ours_streams(&mut group, tcp_links, load);
        theirs_streams::<Yamux>(&mut group, "yamux", load);
        theirs_streams::<TokioYamux>(&mut group, "tokio-yamux", load);
    }
    for (name, load) in [("ping", Load::PING), ("64xping", Load::PINGS)] {
        let mut group = open_group(criterion, &format!("mux/tcp/{name}"));
        ours_streams(&mut group, tcp_links, load);
        theirs_streams::<Yamux>(&mut group, "yamux", load);
        theirs_streams::<TokioYamux>(&mut group, "tokio-yamux", load);
    }
    let mut group = open_group(criterion, "mux/tcp/session");
    ours_sessions(&mut group, tcp_links);
    theirs_sessions::<Yamux>(&mut group, "yamux");
    theirs_sessions::<TokioYamux>(&mut group, "tokio-yamux");
}

fn transfers() -> impl Iterator<Item = (String, Load)> {
    STREAMS.into_iter().flat_map(|streams| {
        MESSAGES.map(|(name, message, count)| {
            let load = Load::transfer(streams, message, count);
            (format!("{streams}x{name}"), load)
        })
    })
}

fn open_group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat);
    group
}

/// Criterion calls a benchmark once for each sample, and not at all if it is
/// filtered out: so the carrier is made at the first call.
fn ours_streams(group: &mut BenchmarkGroup<WallTime>, links: fn() -> (Link, Link), load: Load) {
    let mut streams = None;
    row(group, "muxcool", |rounds| {
        let streams = streams.get_or_insert_with(|| ours::Streams::open(links(), load));
        streams.run(rounds)
    });
}

fn theirs_streams<L: Library>(group: &mut BenchmarkGroup<WallTime>, name: &str, load: Load) {
    let mut streams = None;
    row(group, name, |rounds| {
        let open = || theirs::Streams::<L>::open(loopback(), load);
        streams.get_or_insert_with(open).run(rounds)
    });
}

/// A carrier has ids for 65 534 sessions, so each sample has one of its own.
fn ours_sessions(group: &mut BenchmarkGroup<WallTime>, links: fn() -> (Link, Link)) {
    row(group, "muxcool", |count| ours::sessions(links(), count));
    row(group, "muxcool-dispatcher", |count| {
        ours::dispatched_sessions(links(), count)
    });
}

fn theirs_sessions<L: Library>(group: &mut BenchmarkGroup<WallTime>, name: &str) {
    row(group, name, |count| {
        theirs::sessions::<L>(loopback(), count)
    });
}

/// A row that panics, as one does that hangs, is left out.
fn row(group: &mut BenchmarkGroup<WallTime>, name: &str, mut sample: impl FnMut(u64) -> Duration) {
    let measured = catch_unwind(AssertUnwindSafe(|| {
        group.bench_function(name, |b| b.iter_custom(&mut sample));
    }));
    if measured.is_err() {
        eprintln!("{name}: no figure for this row");
    }
}

fn memory_links() -> (Link, Link) {
    link::pair(CARRIER_PIPE)
}

fn tcp_links() -> (Link, Link) {
    let (near, far) = loopback();
    (near.into(), far.into())
}

/// Both ends of one connection.
fn loopback() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let near = TcpStream::connect(address).expect("a loopback connection");
    let (far, _) = listener.accept().expect("a loopback connection");
    for end in [&near, &far] {
        end.set_nodelay(true).expect("TCP_NODELAY");
    }
    (near, far)
}

fn settings() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(20)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(400))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! {
    name = mux;
    config = settings();
    targets = memory, tcp
}
criterion_main!(mux);
