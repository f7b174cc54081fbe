//! Bounds on a mux server's sessions: how many run, and how many are dialled.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::bounded;
use muxcool::limits::{DIALLING_PER_CARRIER, LOG_LINES, SERVER_SESSIONS, SESSIONS_PER_PROCESS};
use muxcool::link::{DispatchError, Link, Request};
use muxcool::mux::CarrierOptions;
use muxcool::sync::Quota;

use crate::mux_support::frames::{END, Frame};
use crate::mux_support::rig::Server;
use crate::mux_support::scene::scene;
use crate::mux_support::targets::{By, next};
use crate::mux_support::tasks::{names, wait_until};
use crate::mux_support::{logs, tcp};

#[test]
fn a_carrier_refuses_sessions_beyond_its_own_bound_and_lives() {
    const SESSIONS: u16 = 3;
    let _scene = scene();
    let mut server = Server::with(&CarrierOptions {
        sessions: SESSIONS.into(),
        ..CarrierOptions::default()
    });
    let mut held: Vec<_> = (1..=SESSIONS)
        .map(|id| server.open(id, &tcp(), None))
        .collect();
    for id in 10..40 {
        server.script.send(Frame::open(id, &tcp(), Some(b"lost")));
        server.script.expect(Frame::end(id, true));
    }
    let refusals = logs::lines().into_iter();
    let refusals = refusals.filter(|line| line.contains("session refused, 3 run here"));
    assert!((1..30).contains(&refusals.count()), "a few lines, not all");

    held.pop().unwrap().abort();
    assert_eq!(server.script.frame().status, END);
    wait_until("its thread ends", || {
        names("mux-in-").len() < SESSIONS.into()
    });
    held.push(server.open(50, &tcp(), None));
    drop(held);
    server.worker.close();
}

#[test]
fn carriers_that_share_a_bound_are_counted_together() {
    let _scene = scene();
    let options = CarrierOptions {
        all_sessions: Some(Quota::new(2)),
        ..CarrierOptions::default()
    };
    let [mut one, mut other] = [(); 2].map(|()| Server::with(&options));
    let first = one.open(1, &tcp(), None);
    let mut second = other.open(1, &tcp(), None);
    for server in [&mut one, &mut other] {
        server.script.send(Frame::open(2, &tcp(), None));
        server.script.expect(Frame::end(2, true));
    }
    // What one gives back the other may have.
    second.abort();
    drop(second);
    assert_eq!(other.script.frame(), Frame::end(1, true));
    wait_until("its thread ends", || names("mux-in-").len() == 1);
    let third = one.open(3, &tcp(), None);
    drop((first, third));
    one.worker.close();
    other.worker.close();
}

/// Their sum leaves threads for everything else, and one carrier has most of
/// them if it wants.
const _: () = assert!(SERVER_SESSIONS < SESSIONS_PER_PROCESS);
const _: () = assert!(2 * SESSIONS_PER_PROCESS < muxcool::limits::MAX_THREADS);

/// As many targets as may be dialled at once do not answer. Whoever comes then
/// waits, is not dialled if the peer takes it back, and otherwise has its turn.
#[test]
fn dials_of_a_carrier_take_turns_and_nobody_is_refused() {
    const DIALLING: usize = 4;
    let _scene = scene();
    let dials = Arc::new(AtomicUsize::new(0));
    let (answer, answers) = bounded::<()>(0);
    let counter = dials.clone();
    let dispatcher = By(move |_: &Request, link: Link| {
        counter.fetch_add(1, Ordering::SeqCst);
        let _ = answers.recv(); // the target answers
        let Link {
            mut reader,
            mut writer,
        } = link;
        while reader.read()?.is_some() {}
        Ok::<(), DispatchError>(writer.close()?)
    });
    let mut server = Server::dispatching_with(
        Arc::new(dispatcher),
        &CarrierOptions {
            dialling: DIALLING,
            ..CarrierOptions::default()
        },
    );
    for id in 1..=3 * DIALLING as u16 {
        server.script.send(Frame::open(id, &tcp(), Some(b"hello")));
        // Threads need not begin in the order in which they are started.
        let wanted = DIALLING.min(id.into());
        wait_until("the first are dialled", || {
            dials.load(Ordering::SeqCst) == wanted
        });
    }
    server.script.sync();
    wait_until("all have a thread", || {
        names("mux-in-").len() == 3 * DIALLING
    });
    assert!(server.script.seen.is_empty(), "{:?}", server.script.seen);

    // The peer takes back a third; their threads end at once. An orderly End
    // takes nothing back: that target still gets its hello.
    for id in 2 * DIALLING as u16 + 1..=3 * DIALLING as u16 {
        server.script.send(Frame::end(id, true));
    }
    for id in 1..=2 * DIALLING as u16 {
        server.script.send(Frame::end(id, false));
    }
    server.script.sync();
    wait_until("they are gone", || names("mux-in-").len() == 2 * DIALLING);
    assert_eq!(dials.load(Ordering::SeqCst), DIALLING);
    drop(answer);
    let mut ended: Vec<u16> = (0..2 * DIALLING)
        .map(|_| {
            let frame = server.script.frame();
            assert_eq!((frame.status, frame.option), (END, 0), "{frame:?}");
            frame.id
        })
        .collect();
    ended.sort();
    assert_eq!(ended, (1..=2 * DIALLING as u16).collect::<Vec<_>>());
    assert_eq!(dials.load(Ordering::SeqCst), 2 * DIALLING);
    server.worker.close();
}

/// Sessions whose targets have answered are not being dialled any more, however
/// long they last: four times as many as may be dialled at once.
#[test]
fn sessions_that_are_under_way_are_nobodys_turn() {
    let _scene = scene();
    let dispatcher = By(|_: &Request, link: Link| {
        let Link {
            mut reader,
            mut writer,
        } = link;
        while let Some(buf) = reader.read()? {
            writer.write(&mut [buf].into())?;
        }
        Ok::<(), DispatchError>(writer.close()?)
    });
    let mut server = Server::dispatching_with(
        Arc::new(dispatcher),
        &CarrierOptions {
            dialling: 4,
            ..CarrierOptions::default()
        },
    );
    for id in 1..=16 {
        server.script.send(Frame::open(id, &tcp(), Some(b"ping")));
        server.script.expect(Frame::keep(id, b"ping"));
    }
    assert_eq!(server.worker.active_connections(), 16);
    server.worker.close();
}

/// A New and its End, as fast as they can be sent, for targets that take their
/// time: what runs is bounded, nothing is left, and the carrier works on.
#[test]
fn early_ends_leave_no_work_behind() {
    const PAIRS: u16 = 10_000;
    let _scene = scene();
    let dials = Arc::new(AtomicUsize::new(0));
    let counter = dials.clone();
    let (answer, answers) = bounded::<()>(0);
    let dispatcher = By(move |_: &Request, link: Link| {
        counter.fetch_add(1, Ordering::SeqCst);
        let _ = answers.recv();
        drop(link);
        Ok(())
    });
    let mut server = Server::dispatching(Arc::new(dispatcher));
    for id in 1..=PAIRS {
        server.script.send(Frame::open(id, &tcp(), None));
        server.script.send(Frame::end(id, true));
    }
    server.script.sync();
    assert_eq!(server.worker.active_connections(), 0);
    wait_until("only dials go on", || {
        names("mux-in-").len() <= DIALLING_PER_CARRIER
    });
    drop(answer);
    wait_until("nothing is left", || names("mux-in-").is_empty());
    assert!(dials.load(Ordering::SeqCst) <= DIALLING_PER_CARRIER);
    server.script.seen.clear();
    server.script.send(Frame::open(PAIRS + 1, &tcp(), None));
    server.script.expect(Frame::end(PAIRS + 1, true));
    server.worker.close();
}

/// Every session fails, and the log says so a few times.
#[test]
fn failing_sessions_do_not_fill_the_log() {
    const SESSIONS: u16 = 200;
    let _scene = scene();
    let refuse = |_: &Request, _: Link| Err(DispatchError::Refused("nobody is there"));
    let mut server = Server::dispatching(Arc::new(By(refuse)));
    let start = std::time::Instant::now();
    for id in 1..=SESSIONS {
        server.script.send(Frame::open(id, &tcp(), None));
        server.script.expect(Frame::end(id, true));
    }
    server.worker.close();
    let intervals = start.elapsed().as_secs() as usize + 1;
    let lines = logs::lines();
    let said = lines.iter().filter(|line| line.contains("nobody is there"));
    let said = said.count();
    assert!(said >= LOG_LINES as usize, "{said} lines");
    assert!(said <= intervals * LOG_LINES as usize, "{said} lines");
}

/// The next session is served as if nothing had been.
#[test]
fn a_flood_on_one_carrier_is_not_felt_on_another() {
    let _scene = scene();
    let mut flooded = Server::with(&CarrierOptions {
        sessions: 2,
        ..CarrierOptions::default()
    });
    let mut quiet = Server::new();
    for id in 1..=5_000 {
        flooded.script.send(Frame::open(id, &tcp(), None));
    }
    flooded.script.sync();
    let mut target = quiet.open(1, &tcp(), Some(b"hello"));
    assert_eq!(target.read(5), b"hello");
    let held: Vec<_> = (0..2).map(|_| next(&flooded.targets)).collect();
    assert!(names("mux-in-").len() <= 3);
    drop((held, target));
    flooded.worker.close();
    quiet.worker.close();
}
