//! Our client, and a server that takes End for the end of the answer too.

use std::io::ErrorKind;
use std::time::Duration;

use muxcool::limits::{END_QUIET, SESSION_PIPE};
use muxcool::mux::{ClientOptions, ClientStrategy, MuxError, MuxStream};

use crate::mux_support::frames::{Frame, KEEP, NEW};
use crate::mux_support::rig::{App, Client};
use crate::mux_support::scene::scene;
use crate::mux_support::speaker::{Signal, signals};
use crate::mux_support::tasks::wait_until;
use crate::mux_support::time::Time;
use crate::mux_support::{keyed, tcp, udp};

/// A client on a clock that does not probe.
fn client(time: &Time) -> Client {
    let mut options = time.client_options();
    options.carrier.liveness = None;
    Client::with(options)
}

/// Waits until as many Ends are due: nothing else is on this clock.
fn until_due(time: &Time, count: usize) {
    let expected = format!("Timer({count} tasks)");
    wait_until("they are due", || format!("{:?}", time.timer) == expected);
}

/// An application that has asked and has nothing more to say.
fn asked(time: &Time, client: &mut Client) -> (App, u16) {
    let (mut app, id) = client.opened();
    app.party.write(b"question");
    app.party.close();
    client.script.expect(Frame::keep(id, b"question"));
    until_due(time, 1);
    client.script.sync();
    assert!(client.script.seen.is_empty());
    (app, id)
}

#[test]
fn end_waits_until_the_answer_has_been_quiet() {
    let _scene = scene();
    let time = Time::new();
    let mut client = client(&time);
    let (mut app, id) = asked(&time, &mut client);
    let almost = END_QUIET - Duration::from_millis(1);
    for n in 0..4 {
        time.pass(almost);
        client.script.send(Frame::keep(id, &keyed(2, n * 10, 10)));
        client.script.sync();
        assert!(client.script.seen.is_empty());
    }
    assert_eq!(app.party.read(40), keyed(2, 0, 40));
    // Quiet is what has been quiet for the whole of that time, and at the most
    // for twice as long.
    time.pass(almost);
    client.script.sync();
    assert!(client.script.seen.is_empty());
    for _ in 0..3 {
        time.pass(END_QUIET / 2);
    }
    client.script.expect(Frame::end(id, false));
    // What comes all the same is delivered.
    client.script.send(Frame::keep(id, b" and more"));
    client.script.send(Frame::end(id, false));
    assert_eq!(app.party.read_to_end(), b" and more");
    app.outcome().unwrap();
    client.script.sync();
    assert!(client.script.seen.is_empty());
    client.worker.close();
}

#[test]
fn end_follows_the_peers_own_at_once() {
    let _scene = scene();
    let time = Time::new();
    let mut client = client(&time);
    let (mut app, id) = asked(&time, &mut client);
    let answer = keyed(2, 0, 300_000);
    for piece in answer.chunks(8192) {
        client.script.send(Frame::keep(id, piece));
    }
    client.script.send(Frame::end(id, false));
    client.script.expect(Frame::end(id, false));
    assert!(app.party.read_to_end() == answer);
    app.outcome().unwrap();
    wait_until("it is gone", || client.worker.active_connections() == 0);
    // Nothing is left to be sent later.
    time.pass(10 * END_QUIET);
    client.script.sync();
    assert!(client.script.seen.is_empty());
    client.worker.close();
}

#[test]
fn the_server_may_end_first() {
    let _scene = scene();
    let time = Time::new();
    let mut client = client(&time);
    let (mut app, id) = client.opened();
    client.script.send(Frame::end(id, false));
    assert_eq!(app.party.read_to_end(), b"");
    app.party.write(b"still going up");
    client.script.expect(Frame::keep(id, b"still going up"));
    app.party.close();
    client.script.expect(Frame::end(id, false));
    app.outcome().unwrap();
    client.worker.close();
}

#[test]
fn an_error_while_end_is_due_is_an_error() {
    let _scene = scene();
    let time = Time::new();
    let mut client = client(&time);
    let (mut app, id) = asked(&time, &mut client);
    client.script.send(Frame::keep(id, b"half an ans"));
    client.script.send(Frame::end(id, true));
    app.party.read_to_error();
    assert!(matches!(app.outcome(), Err(MuxError::SessionReset)));
    time.pass(10 * END_QUIET);
    client.script.sync();
    assert!(client.script.seen.is_empty(), "no End for what has ended");
    client.worker.close();
}

/// V2Ray ends a session with the error bit a second after End, whatever has
/// come of it (section 8.2).
#[test]
fn an_error_after_a_quiet_answer_ends_it_and_cuts_it_if_more_had_come() {
    let _scene = scene();
    for more in [false, true] {
        let time = Time::new();
        let mut client = client(&time);
        let (mut app, id) = asked(&time, &mut client);
        client.script.send(Frame::keep(id, b"answer"));
        assert_eq!(app.party.read(6), b"answer");
        time.pass(END_QUIET);
        time.pass(END_QUIET);
        client.script.expect(Frame::end(id, false));
        if more {
            client.script.send(Frame::keep(id, b" that goes o"));
        }
        client.script.send(Frame::end(id, true));
        let (_, end) = app.party.drain();
        assert_eq!(end.is_err(), more, "{end:?}");
        assert_eq!(app.outcome().is_err(), more);
        client.worker.close();
    }
}

#[test]
fn a_session_whose_end_is_due_does_not_count() {
    let _scene = scene();
    let time = Time::new();
    let mut options = time.client_options();
    options.carrier.liveness = None;
    options.strategy = ClientStrategy {
        max_concurrency: 1,
        max_connection: 0,
    };
    let mut client = Client::with(options);
    let (mut app, id) = client.opened();
    assert!(client.worker.is_full());
    app.party.close();
    wait_until("there is a place", || !client.worker.is_full());
    assert_eq!(client.worker.active_connections(), 1, "it is still there");
    let (second, _) = client.opened();
    assert!(client.worker.is_full());
    client.script.send(Frame::keep(id, b"whole all the same"));
    client.script.send(Frame::end(id, false));
    assert_eq!(app.party.read_to_end(), b"whole all the same");
    app.outcome().unwrap();
    wait_until("it is gone", || client.worker.active_connections() == 1);
    assert!(client.worker.is_full(), "its place was given back twice");
    drop(second);
    client.worker.close();
}

#[test]
fn a_carrier_that_is_lost_while_end_is_due_is_an_error() {
    let _scene = scene();
    for orderly in [true, false] {
        let time = Time::new();
        let mut client = client(&time);
        let (mut app, _) = asked(&time, &mut client);
        match orderly {
            true => client.script.carrier.close(),
            false => client.script.carrier.abort(),
        }
        app.party.read_to_error();
        assert!(matches!(app.outcome(), Err(MuxError::CarrierLost)));
        time.pass(10 * END_QUIET);
        client.worker.close();
    }
}

#[test]
fn a_visitor_that_leaves_while_end_is_due_is_reported_at_once() {
    let _scene = scene();
    let time = Time::new();
    let mut client = client(&time);
    let (app, id) = asked(&time, &mut client);
    app.party.reader.handle().interrupt();
    client.script.send(Frame::keep(id, b"nobody wants it"));
    client.script.expect(Frame::end(id, true));
    assert!(app.outcome().is_err());
    time.pass(10 * END_QUIET);
    client.script.sync();
    assert!(client.script.seen.is_empty());
    client.worker.close();
}

#[test]
fn without_a_quiet_time_end_is_sent_at_once() {
    let _scene = scene();
    let time = Time::new();
    let mut options = ClientOptions {
        carrier: time.options(),
        ..ClientOptions::default()
    };
    options.carrier.end_quiet = Duration::ZERO;
    let mut client = Client::with(options);
    let (mut app, id) = client.opened();
    app.party.close();
    client.script.expect(Frame::end(id, false));
    client.script.send(Frame::keep(id, b"answer"));
    client.script.send(Frame::end(id, false));
    assert_eq!(app.party.read_to_end(), b"answer");
    app.outcome().unwrap();
    client.worker.close();
}

/// A server that turns out to be a muxcool peer understands a half-close.
#[test]
fn a_hello_sends_the_end_that_is_due_and_errors_are_errors() {
    let _scene = scene();
    let time = Time::new();
    let mut client = client(&time);
    let (mut app, id) = asked(&time, &mut client);
    let hello = Signal::Hello { window: 1 << 20 };
    client.script.send(signals(&hello.bytes()));
    client.script.expect(Frame::end(id, false));
    time.pass(10 * END_QUIET);
    client.script.send(Frame::end(id, true));
    app.party.read_to_error();
    assert!(app.outcome().is_err());
    client.worker.close();
}

fn stream(client: &mut Client) -> MuxStream {
    let stream = client.worker.open(tcp()).unwrap();
    assert_eq!(client.script.frame().status, NEW);
    stream
}

#[test]
fn a_stream_that_is_dropped_waits_for_nothing() {
    let _scene = scene();
    let time = Time::new();
    let mut client = client(&time);
    for half_closed in [false, true] {
        let stream = stream(&mut client);
        let id = stream.id();
        stream.send(b"and that is all").unwrap();
        if half_closed {
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
        drop(stream);
        client.script.expect(Frame::keep(id, b"and that is all"));
        client.script.expect(Frame::end(id, false));
        client.script.send(Frame::end(id, false));
    }
    wait_until("they are gone", || client.worker.active_connections() == 0);
    client.worker.close();
}

#[test]
fn a_datagram_session_has_no_half_close() {
    let _scene = scene();
    let time = Time::new();
    let mut client = client(&time);
    let stream = client.worker.open(udp()).unwrap();
    assert_eq!(client.script.frame().status, NEW);
    stream.send(b"datagram").unwrap();
    assert_eq!(client.script.frame().status, KEEP);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    client.script.expect(Frame::end(stream.id(), false));
    let error = stream.send(b"more").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    client.worker.close();
}

#[test]
fn many_ends_are_due_at_once() {
    let _scene = scene();
    let time = Time::new();
    let mut client = client(&time);
    let mut apps: Vec<(App, u16)> = (0..50).map(|_| client.opened()).collect();
    for (app, _) in &mut apps {
        app.party.close();
    }
    until_due(&time, 50);
    time.pass(END_QUIET);
    let ids: Vec<u16> = apps.iter().map(|(_, id)| *id).collect();
    let mut ended: Vec<u16> = ids.iter().map(|_| client.script.frame().id).collect();
    ended.sort_unstable();
    assert_eq!(ended, ids);
    for (mut app, id) in apps {
        client
            .script
            .send(Frame::keep(id, &keyed(2, 0, SESSION_PIPE / 8)));
        client.script.send(Frame::end(id, false));
        assert!(app.party.read_to_end() == keyed(2, 0, SESSION_PIPE / 8));
        app.outcome().unwrap();
    }
    client.worker.close();
}
