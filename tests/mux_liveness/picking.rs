//! Who gets the next session, and what becomes of a bridge that freezes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use muxcool::limits::{
    CONTROL_DOMAINS, DEAD_AFTER, LEAST_ROOM, PROBE_AFTER, SESSION_PIPE, SUSPECT_AFTER,
};
use muxcool::link::{DispatchError, Dispatcher, Link, Request};
use muxcool::mux::{
    ClientManager, ClientWorker, IncrementalWorkerPicker, MuxError, MuxStream, ServerWorker,
    WorkerPicker,
};
use muxcool::reverse::{Bridge, BridgeOptions, PortalWorker, StaticMuxPicker};
use parking_lot::Mutex;

use crate::mux_support::frames::NEW;
use crate::mux_support::scene::scene;
use crate::mux_support::speaker::{Signal, Speaker};
use crate::mux_support::stuck::wait_until_held_up;
use crate::mux_support::targets::By;
use crate::mux_support::tasks::{PATIENCE, wait_until};
use crate::mux_support::tcp;
use crate::mux_support::time::Time;
use crate::mux_support::wire::{Lane, Spec, wire};
use crate::{HELLO, is_ping, pass, pass_at_most, pass_until};

// --- Among carriers that are dialled ----------------------------------------------

/// A picker of workers whose peers the test plays. It can be told to make none.
struct Pool {
    picker: Box<dyn WorkerPicker>,
    peers: Arc<Mutex<Vec<Speaker>>>,
    unreachable: Arc<AtomicBool>,
}

impl Pool {
    fn new(time: &Time) -> Self {
        let peers: Arc<Mutex<Vec<Speaker>>> = Arc::default();
        let unreachable = Arc::new(AtomicBool::new(false));
        let (made, refuses) = (peers.clone(), unreachable.clone());
        let mut options = time.client_options();
        options.carrier.parked = LEAST_ROOM;
        options.carrier.stalled_session = Duration::from_secs(3600);
        let make = move || {
            if refuses.load(Ordering::SeqCst) {
                return Err(MuxError::NoWorker);
            }
            let (link, speaker) = Speaker::new();
            made.lock().push(speaker);
            ClientWorker::new(link, options.clone())
        };
        Self {
            picker: Box::new(IncrementalWorkerPicker::new(make, time.timer.clone())),
            peers,
            unreachable,
        }
    }

    fn pick(&self) -> Arc<ClientWorker> {
        self.picker.pick_available().unwrap()
    }

    /// The peer of the worker that was made last.
    fn peer(&self) -> Speaker {
        self.peers.lock().pop().unwrap()
    }

    /// A worker whose peer has answered once, and then no more.
    fn worker_in_doubt(&self, time: &Time) -> (Arc<ClientWorker>, Speaker, MuxStream) {
        let worker = self.pick();
        let mut silent = self.peer();
        let stream = worker.open(tcp()).unwrap();
        assert_eq!(silent.frame().status, NEW);
        silent.say(&[HELLO]);
        let nonce = silent.pinged();
        silent.say(&[Signal::Pong(nonce)]);
        silent.sync();
        pass(time, PROBE_AFTER + SUSPECT_AFTER);
        assert!(worker.is_doubtful());
        (worker, silent, stream)
    }
}

#[test]
fn a_worker_in_doubt_is_picked_only_if_no_other_can_be_made() {
    let _scene = scene();
    let time = Time::new();
    let pool = Pool::new(&time);
    let (first, mut silent, _stream) = pool.worker_in_doubt(&time);

    pool.unreachable.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(Arc::ptr_eq(&pool.pick(), &first), "better than none");
    }
    pool.unreachable.store(false, Ordering::SeqCst);
    let second = pool.pick();
    assert!(!Arc::ptr_eq(&second, &first));
    assert!(Arc::ptr_eq(&pool.pick(), &second), "made once");

    silent.say(&[]);
    silent.sync();
    assert!(Arc::ptr_eq(&pool.pick(), &first), "it is heard again");
    pool.picker.close();
}

#[test]
fn whoever_waits_for_a_dial_that_fails_gets_the_worker_in_doubt_too() {
    let _scene = scene();
    let time = Time::new();
    let pool = Pool::new(&time);
    let (first, mut silent, stream) = pool.worker_in_doubt(&time);
    pool.unreachable.store(true, Ordering::SeqCst);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert!(Arc::ptr_eq(&pool.pick(), &first));
                }
            });
        }
    });
    // But not one that is full, drains or is closed.
    silent.say(&[Signal::Drain]);
    silent.sync();
    assert!(pool.picker.pick_available().is_err());
    drop(stream);
    pool.picker.close();
}

#[test]
fn a_worker_that_is_held_up_is_avoided_as_well() {
    let _scene = scene();
    let time = Time::new();
    let pool = Pool::new(&time);
    let first = pool.pick();
    let mut peer = pool.peer();
    let stream = first.open(tcp()).unwrap();
    let total = SESSION_PIPE + 16 * LEAST_ROOM;
    peer.stream(stream.id(), &vec![7; total], LEAST_ROOM);
    wait_until_held_up(|| first.stats());
    assert!(first.is_doubtful());
    let second = pool.pick();
    assert!(!Arc::ptr_eq(&second, &first));
    let mut left = total;
    while left > 0 {
        left -= stream.recv().unwrap().unwrap().len();
    }
    peer.script().sync();
    assert!(Arc::ptr_eq(&pool.pick(), &first));
    drop(stream);
    pool.picker.close();
}

// --- Among carriers that bridges have opened --------------------------------------

/// A bridge's carrier as a portal has it, and a real bridge's end whose
/// sessions tell whose they are.
pub struct Tunnel {
    pub portal: Arc<PortalWorker>,
    pub bridge: ServerWorker,
    /// Stalled, it makes the bridge seem frozen.
    pub answers: Arc<Lane>,
}

impl Tunnel {
    pub fn new(time: &Time, served: &Arc<AtomicUsize>) -> Self {
        let wire = wire(Spec::default());
        let served = served.clone();
        let dispatcher = By(move |request: &Request, mut link: Link| {
            if request.target == tcp() {
                served.fetch_add(1, Ordering::SeqCst);
                link.writer.close()?;
            }
            while link.reader.read()?.is_some() {}
            Ok(())
        });
        let origin = Request::new(tcp());
        let options = time.options();
        let bridge =
            ServerWorker::start_with(wire.far, Arc::new(dispatcher), origin, &options, || {});
        let name = CONTROL_DOMAINS[0];
        let portal = PortalWorker::with_options(wire.near, name, time.options(), &time.timer);
        Self {
            portal: portal.unwrap(),
            bridge: bridge.unwrap(),
            answers: wire.to_near,
        }
    }
}

/// Sends visitors who wait for what the bridge answers; how many had it.
fn visit(portal: &ClientManager, visitors: usize) -> usize {
    let served = (0..visitors).filter(|_| {
        let stream = portal.open(tcp()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.recv().is_ok_and(|end| end.is_none())
    });
    served.count()
}

#[test]
fn no_visitor_is_put_on_a_bridge_that_has_frozen() {
    let _scene = scene();
    let time = Time::new();
    let picker = Arc::new(StaticMuxPicker::new(&time.timer));
    let counts = [0; 2].map(|_| Arc::new(AtomicUsize::new(0)));
    let tunnels = [0, 1].map(|n| Tunnel::new(&time, &counts[n]));
    for tunnel in &tunnels {
        assert!(picker.add(tunnel.portal.clone()));
        tunnel.portal.client().ping(PATIENCE).unwrap();
        tunnel.bridge.ping(PATIENCE).unwrap();
    }
    let portal = ClientManager::new(picker.clone());
    // The other one has more sessions, so that the frozen one would be picked.
    let other = tunnels[1].portal.client();
    let held: Vec<_> = (0..40).map(|_| other.open(tcp()).unwrap()).collect();
    wait_until("they are there", || counts[1].load(Ordering::SeqCst) == 40);
    tunnels[0].answers.stall();
    let ask_the_other = || {
        other.ping(PATIENCE).unwrap();
        tunnels[1].bridge.ping(PATIENCE).unwrap();
    };
    let passed = pass_until(&time, || {
        ask_the_other();
        tunnels[0].portal.client().is_doubtful()
    });
    assert_eq!(passed, SUSPECT_AFTER);
    assert!(!other.is_doubtful());
    assert_eq!(visit(&portal, 20), 20);
    assert_eq!(counts[1].load(Ordering::SeqCst), 60);
    assert_eq!(counts[0].load(Ordering::SeqCst), 0);
    let passed = pass_until(&time, || {
        ask_the_other();
        tunnels[0].portal.is_closed()
    });
    assert_eq!(passed, DEAD_AFTER - SUSPECT_AFTER);
    assert!(!tunnels[1].portal.is_closed());
    assert_eq!(visit(&portal, 20), 20);
    drop(held);
    for tunnel in tunnels {
        tunnel.portal.close();
        tunnel.bridge.close();
    }
}

#[test]
fn a_bridge_that_is_only_slow_gets_visitors_again() {
    let _scene = scene();
    let time = Time::new();
    let picker = Arc::new(StaticMuxPicker::new(&time.timer));
    let count = Arc::new(AtomicUsize::new(0));
    let tunnel = Tunnel::new(&time, &count);
    assert!(picker.add(tunnel.portal.clone()));
    tunnel.portal.client().ping(PATIENCE).unwrap();
    let portal = ClientManager::new(picker.clone());
    tunnel.answers.stall();
    pass(&time, PROBE_AFTER + SUSPECT_AFTER);
    // There is no other, so it is taken at its word.
    let stream = portal.open(tcp()).unwrap();
    tunnel.answers.resume();
    assert!(stream.recv().unwrap().is_none());
    assert!(!tunnel.portal.client().is_doubtful());
    assert_eq!(visit(&portal, 5), 5);
    drop(stream);
    tunnel.portal.close();
    tunnel.bridge.close();
}

// --- The bridge -------------------------------------------------------------------

/// Gives a bridge links whose far ends go to the test.
struct Dials(crossbeam_channel::Sender<(Speaker, Arc<Lane>)>);

impl Dispatcher for Dials {
    fn dispatch(&self, _: &Request, _: Link) -> Result<(), DispatchError> {
        Err(DispatchError::Refused("not in this test"))
    }

    fn connect(&self, _: &Request) -> Result<Link, DispatchError> {
        let wire = wire(Spec::default());
        let end = (Speaker::on(wire.far), wire.to_near);
        self.0.send(end).unwrap();
        Ok(wire.near)
    }
}

/// It does not wait until the silent carrier is dead, which may be so because
/// the bridge's own address has changed.
#[test]
fn a_bridge_dials_anew_when_its_portal_has_frozen() {
    let _scene = scene();
    let time = Time::new();
    let (dials, dialled): (_, Receiver<(Speaker, Arc<Lane>)>) = unbounded();
    let options = BridgeOptions::new("bridge", "portal.example");
    let bridge = Bridge::new(options, Arc::new(Dials(dials)), &time.timer).unwrap();
    let mut silent = Vec::new();
    for _ in 0..2 {
        let (mut portal, _) = dialled.recv_timeout(PATIENCE).unwrap();
        portal.say(&[HELLO]);
        let nonce = portal.until(is_ping);
        portal.say(&[Signal::Pong(nonce)]);
        portal.sync();
        assert!(dialled.is_empty(), "one carrier is enough");
        let has_dialled = || !dialled.is_empty();
        let waited = pass_at_most(&time, DEAD_AFTER - Duration::from_secs(1), has_dialled);
        assert!(waited >= SUSPECT_AFTER, "after {waited:?}");
        wait_until("its thread has come to that", has_dialled);
        silent.push(portal);
    }
    pass(&time, DEAD_AFTER);
    silent.into_iter().for_each(Speaker::reset);
    bridge.close();
}
