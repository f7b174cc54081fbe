//! The client's end of a carrier, and who picks carriers.

#[allow(dead_code)]
mod mux_support;

use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use muxcool::buf::Buf;
use muxcool::limits::{FRAME_PAYLOAD, IDLE_CHECK, PICKER_CLEANUP};
use muxcool::mux::{
    CarrierOptions, ClientManager, ClientOptions, ClientStrategy, ClientWorker,
    IncrementalWorkerPicker, MuxError, MuxServer, WorkerPicker,
};
use muxcool::net::Destination;
use muxcool::sync::{ManualClock, Timer};

use mux_support::frames::{Frame, KEEP, Script};
use mux_support::rig::Client;
use mux_support::scene::scene;
use mux_support::tasks::{PATIENCE, wait_until, wait_until_asleep};
use mux_support::wire::{Spec, wire};
use mux_support::{keyed, tcp, udp};

/// Makes carriers whose servers the test gets.
fn factory(
    options: ClientOptions,
) -> (
    impl Fn() -> Result<ClientWorker, MuxError> + Send + Sync + 'static,
    Receiver<MuxServer>,
) {
    let (made, servers) = unbounded();
    let make = move || {
        let wire = wire(Spec::default());
        made.send(MuxServer::new(wire.far).unwrap()).unwrap();
        ClientWorker::new(wire.near, options.clone())
    };
    (make, servers)
}

fn bounded_by(max_concurrency: u32, max_connection: u32) -> ClientOptions {
    ClientOptions {
        strategy: ClientStrategy {
            max_concurrency,
            max_connection,
        },
        ..ClientOptions::default()
    }
}

/// Accepts and echoes until its carrier ends; returns how many sessions came.
/// `come` counts those of all carriers.
fn echo_all(server: MuxServer, come: &AtomicUsize) -> usize {
    let mut ids = HashSet::new();
    while let Ok((_, stream)) = server.accept() {
        come.fetch_add(1, Ordering::SeqCst);
        assert!(ids.insert(stream.id()), "{} again", stream.id());
        let mut bytes: [u8; 64] = [0; 64];
        while let Ok(len @ 1..) = (&stream).read(&mut bytes) {
            (&stream).write_all(&bytes[..len]).unwrap();
        }
    }
    server.worker().close();
    assert!(!ids.contains(&0) && !ids.contains(&u16::MAX));
    ids.len()
}

#[test]
fn seventy_thousand_sessions_go_over_several_carriers() {
    let _scene = scene();
    const SESSIONS: usize = 70_000;
    const PER_CARRIER: u32 = 20_000;
    let (make, servers) = factory(bounded_by(8, PER_CARRIER));
    let picker = Arc::new(IncrementalWorkerPicker::new(make, Timer::global().unwrap()));
    let manager = ClientManager::new(picker.clone());
    let come = Arc::new(AtomicUsize::new(0));
    let counted = come.clone();
    let serving = std::thread::spawn(move || {
        let each = servers.iter().map(|server| {
            let counted = counted.clone();
            std::thread::spawn(move || echo_all(server, &counted))
        });
        let running: Vec<_> = each.collect();
        running
            .into_iter()
            .map(|t| t.join().unwrap())
            .collect::<Vec<usize>>()
    });
    for n in 0..SESSIONS {
        let stream = manager.open(tcp()).unwrap();
        if n % 100 == 0 || n == SESSIONS - 1 {
            (&stream).write_all(&keyed(n as u64, 0, 16)).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut back = Vec::new();
            (&stream).read_to_end(&mut back).unwrap();
            assert_eq!(back, keyed(n as u64, 0, 16));
        }
    }
    assert!(picker.workers() >= SESSIONS.div_ceil(PER_CARRIER as usize));
    // A server that cannot answer any more reads no further.
    wait_until("all sessions have come", || {
        come.load(Ordering::SeqCst) == SESSIONS
    });
    manager.close();
    drop((manager, picker)); // and with them the factory
    let served = serving.join().unwrap();
    assert!(served.iter().all(|count| *count <= PER_CARRIER as usize));
    assert_eq!(served.iter().sum::<usize>(), SESSIONS);
}

#[test]
fn racing_callers_all_get_a_session_and_no_carrier_too_many() {
    let _scene = scene();
    const LIMIT: u32 = 2;
    const CALLERS: usize = 40;
    for _ in 0..5 {
        let (make, servers) = factory(bounded_by(LIMIT, 0));
        let picker = Arc::new(IncrementalWorkerPicker::new(make, Timer::global().unwrap()));
        let manager = ClientManager::new(picker.clone());
        let streams: Vec<_> = std::thread::scope(|scope| {
            let open = || manager.open(tcp()).unwrap();
            let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(open)).collect();
            callers.into_iter().map(|c| c.join().unwrap()).collect()
        });
        assert_eq!(streams.len(), CALLERS);
        let servers: Vec<MuxServer> = servers.try_iter().collect();
        assert_eq!(servers.len(), picker.workers());
        for server in &servers {
            wait_until("its sessions have come", || {
                server.worker().active_connections() > 0
            });
            assert!(server.worker().active_connections() <= LIMIT);
        }
        drop(streams);
        manager.close();
        servers.iter().for_each(|server| server.worker().close());
    }
}

#[test]
fn closed_workers_are_dropped_at_the_clean_up() {
    let _scene = scene();
    let manual = ManualClock::new();
    let timer = Timer::new(manual.clock()).unwrap();
    let (make, servers) = factory(bounded_by(1, 0));
    let picker = Arc::new(IncrementalWorkerPicker::new(make, timer));
    assert_eq!(manual.waiters(), 0, "nothing to watch");
    let first = picker.pick_available().unwrap();
    let held = first.open(tcp()).unwrap();
    let second = picker.pick_available().unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    assert_eq!(picker.workers(), 2);
    let clean_up = || {
        wait_until("the clean-up is due", || manual.waiters() > 0);
        manual.advance(PICKER_CLEANUP);
    };
    first.close();
    drop(held);
    // It is not picked any more, and kept until then.
    let third = picker.pick_available().unwrap();
    assert!(Arc::ptr_eq(&second, &third));
    assert_eq!(picker.workers(), 2);
    clean_up();
    wait_until("it is dropped", || picker.workers() == 1);
    second.close();
    clean_up();
    wait_until("all are dropped", || picker.workers() == 0);
    // A new one is made as soon as one is wanted.
    let fourth = picker.pick_available().unwrap();
    assert!(!fourth.is_closed());
    picker.close();
    assert!(fourth.is_closed());
    assert!(matches!(picker.pick_available(), Err(MuxError::Closed)));
    servers
        .try_iter()
        .for_each(|server| server.worker().close());
}

#[test]
fn the_idle_check_never_closes_a_worker_under_a_session() {
    let _scene = scene();
    for _ in 0..60 {
        let manual = ManualClock::new();
        let wire = wire(Spec::default());
        let server = MuxServer::new(wire.far).unwrap();
        let options = ClientOptions {
            carrier: CarrierOptions {
                timer: Some(Timer::new(manual.clock()).unwrap()),
                liveness: None,
                ..CarrierOptions::default()
            },
            ..ClientOptions::default()
        };
        let client = ClientWorker::new(wire.near, options).unwrap();
        let ticking = std::thread::spawn(move || {
            for _ in 0..3 {
                manual.advance(IDLE_CHECK);
                std::thread::yield_now();
            }
        });
        match client.open(tcp()) {
            Ok(stream) => {
                ticking.join().unwrap();
                assert!(!client.is_closed());
                (&stream).write_all(b"alive").unwrap();
                let mut bytes = [0; 5];
                let (_, far) = server.accept().unwrap();
                (&far).read_exact(&mut bytes).unwrap();
                assert_eq!(&bytes, b"alive");
            }
            Err(e) => {
                assert!(matches!(e, MuxError::Closed), "{e:?}");
                ticking.join().unwrap();
            }
        }
        client.close();
        server.worker().close();
    }
}

#[test]
fn a_session_that_is_given_up_before_it_left_leaves_nothing_with_the_peer() {
    let _scene = scene();
    let wire = wire(Spec {
        capacity: 1,
        ..Spec::default()
    });
    let to_far = wire.to_far.clone();
    to_far.stall(); // so that all of it is still queued here
    let client = ClientWorker::new(wire.near, ClientOptions::default()).unwrap();
    let kept = client.connect(tcp()).unwrap();
    wait_until("the writer is busy", || to_far.passed() == 1);
    let given_up = [0; 3].map(|_| client.connect(tcp()).unwrap());
    drop(given_up);
    assert_eq!(client.active_connections(), 1);
    let last = client.connect(udp()).unwrap();
    to_far.resume();
    let mut script = Script::on(wire.far);
    script.expect(Frame::open(1, &tcp(), None));
    script.expect(Frame::open(5, &udp(), None));
    script.sync();
    assert!(script.seen.is_empty(), "{:?}", script.seen);
    drop((kept, last, script));
    client.close();
}

#[test]
fn what_a_stream_is_opened_with_goes_with_its_new_if_one_frame_holds_it() {
    let _scene = scene();
    let (link, mut script) = Script::new();
    let client = ClientWorker::new(link, ClientOptions::default()).unwrap();
    let large = keyed(7, 0, FRAME_PAYLOAD + 1);
    let firsts: [(Destination, &[u8]); 4] = [
        (tcp(), b"ask"),
        (tcp(), b""),
        (udp(), b"datagram"),
        (tcp(), &large),
    ];
    let open = |(to, first)| client.open_with(to, first).unwrap();
    let streams = firsts.map(open);
    script.expect(Frame::open(1, &tcp(), Some(b"ask")));
    script.expect(Frame::open(2, &tcp(), None));
    script.expect(Frame::open(3, &udp(), Some(b"datagram")));
    script.expect(Frame::open(4, &tcp(), None));
    script.expect(Frame::keep(4, &large[..FRAME_PAYLOAD]));
    script.expect(Frame::keep(4, &large[FRAME_PAYLOAD..]));
    script.send(Frame::keep(1, b"answer"));
    let mut answer = [0; 6];
    streams[0].set_read_timeout(Some(PATIENCE)).unwrap();
    (&streams[0]).read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer");
    drop((streams, script));
    client.close();
    let refused = client.open_with(tcp(), b"ask").unwrap_err();
    assert!(matches!(refused, MuxError::Closed), "{refused:?}");
}

#[test]
fn buffers_of_any_size_are_cut_into_frames() {
    let _scene = scene();
    for first_too in [true, false] {
        let mut client = Client::with(ClientOptions {
            first_payload_wait: Duration::from_secs(3600),
            ..ClientOptions::default()
        });
        let (near, far) = muxcool::link::pair(1024 * 1024);
        let mut app = mux_support::party::Party::from(near);
        let sent = keyed(1, 0, 200_000);
        let first = if first_too { 0 } else { 10 };
        if first > 0 {
            app.write(&sent[..first]);
        }
        let rest = Buf::copy_of(&sent[first..]);
        app.writer.write(&mut [rest].into()).unwrap();
        app.close();
        let worker = client.worker.clone();
        let dispatched = std::thread::spawn(move || worker.dispatch(&tcp(), far).expect("a place"));
        let new = client.script.frame();
        let mut got = new.payload().to_vec();
        while got.len() < sent.len() {
            let frame = client.script.frame();
            assert_eq!(frame.status, KEEP);
            assert!(frame.payload().len() <= FRAME_PAYLOAD);
            got.extend(frame.payload());
        }
        assert!(got == sent);
        client.script.send(Frame::end(1, false));
        client.script.expect(Frame::end(1, false));
        dispatched.join().unwrap().unwrap();
        client.worker.close();
    }
}

#[test]
fn closing_a_manager_ends_what_its_callers_wait_for() {
    let _scene = scene();
    let (make, servers) = factory(ClientOptions::default());
    let picker = IncrementalWorkerPicker::new(make, Timer::global().unwrap());
    let manager = Arc::new(ClientManager::new(picker));
    let (app, link) = muxcool::link::pair(1024);
    let inner = manager.clone();
    let dispatching = std::thread::Builder::new()
        .name("dispatches".into())
        .spawn(move || inner.dispatch(&tcp(), link))
        .unwrap();
    let server = servers.recv_timeout(PATIENCE).unwrap();
    let (_, stream) = server.accept().unwrap();
    wait_until_asleep("dispatches", 1);
    manager.close();
    assert!(matches!(
        dispatching.join().unwrap(),
        Err(MuxError::CarrierLost)
    ));
    assert!(matches!(manager.open(tcp()), Err(MuxError::Closed)));
    drop((app, stream));
    server.worker().close();
}

#[test]
fn a_dead_worker_is_passed_over() {
    let _scene = scene();
    let (make, servers) = factory(ClientOptions::default());
    let picker = IncrementalWorkerPicker::new(make, Timer::global().unwrap());
    let manager = ClientManager::new(picker);
    for _ in 0..20 {
        let stream = manager.open(tcp()).unwrap();
        let server = servers.recv_timeout(PATIENCE).unwrap();
        server.worker().close();
        let mut bytes = Vec::new();
        (&stream).read_to_end(&mut bytes).unwrap_err();
        // The very next request gets a carrier that lives.
    }
    manager.close();
}

#[test]
fn counts_are_those_of_the_sessions() {
    let _scene = scene();
    let client = Client::with(bounded_by(2, 3));
    let target = |port| Destination::tcp("192.0.2.1", port).unwrap();
    let mut open: Vec<_> = [1, 2]
        .map(|port| client.worker.connect(target(port)).unwrap())
        .into();
    assert!(client.worker.is_full() && !client.worker.is_closing());
    let full = client.worker.connect(target(3)).map(|_| ());
    assert!(matches!(full, Err(MuxError::SessionLimit)));
    open.pop();
    wait_until("it is gone", || client.worker.active_connections() == 1);
    let last = client.worker.connect(target(3)).unwrap();
    let used_up = client.worker.connect(target(4)).map(|_| ());
    assert!(matches!(used_up, Err(MuxError::IdsExhausted)));
    assert!(client.worker.is_closing() && !client.worker.is_closed());
    let stats = client.worker.stats();
    assert_eq!((stats.total, stats.active, stats.closing), (3, 2, true));
    drop((open, last));
    client.worker.close();
}
