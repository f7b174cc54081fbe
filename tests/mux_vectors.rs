//! What the reference's mux workers did in scripted runs (V2Ray 4.34), and
//! what ours do: all of `server_behaviour` and `client_behaviour` in
//! `vectors/frames.json`. Where we differ on purpose, a table says how and why.

#[allow(dead_code)]
mod mux_support;
#[path = "support/reference.rs"]
mod reference;

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use muxcool::limits::IDLE_CHECK;
use muxcool::link::{DispatchError, Dispatcher, Link, LinkError, Request};
use muxcool::mux::{CarrierOptions, ClientOptions, MuxError, ServerWorker};
use muxcool::net::{Destination, Network};
use muxcool::sync::{ManualClock, Timer};
use serde_json::Value;

use mux_support::frames::{Frame, Script, parse};
use mux_support::rig::{App, Client};
use mux_support::scene::scene;
use mux_support::targets::{By, Taking, Target, Targets, next};
use mux_support::tasks::wait_until;
use mux_support::{tcp, udp};
use reference::unhex;

fn file() -> Value {
    serde_json::from_str(include_str!("vectors/frames.json")).unwrap()
}

fn run_of(kind: &str, name: &str) -> Value {
    let runs = file()[kind].as_array().unwrap().clone();
    runs.into_iter()
        .find(|run| run["name"] == name)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
}

fn text<'a>(run: &'a Value, key: &str) -> &'a str {
    run[key].as_str().unwrap_or_default()
}

fn texts(run: &Value, key: &str) -> Vec<String> {
    let list = run[key].as_array().unwrap();
    list.iter().map(|t| t.as_str().unwrap().into()).collect()
}

/// Two runs in which the same things happen in any order.
fn sorted(mut frames: Vec<Frame>) -> Vec<Frame> {
    frames.sort_by_key(Frame::bytes);
    frames
}

// --- The server -------------------------------------------------------------

/// What came of a run.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    output: Vec<Frame>,
    dispatched: Vec<String>,
    got: Vec<String>,
    active: u32,
    closed: bool,
}

impl Outcome {
    fn of_the_reference(run: &Value) -> Self {
        Self {
            output: sorted(parse(&unhex(text(run, "output_hex")))),
            dispatched: texts(run, "dispatched"),
            got: texts(run, "targets_got")
                .iter()
                .map(|t| end_of(t))
                .collect(),
            active: run["active_sessions"].as_u64().unwrap() as u32,
            closed: run["worker_closed"].as_bool().unwrap(),
        }
    }
}

/// The reference's closed-pipe error is any error to us.
fn end_of(got: &str) -> String {
    let got = got.replace("[io: read/write on closed pipe]", "[error]");
    let whole = "030a11181f262d343b42";
    got.replace("<2048 bytes>", &format!("{whole}..2048"))
}

/// A server worker whose input has been fed.
struct Run {
    script: Script,
    /// The end of its input, which is fed later.
    held_back: Vec<u8>,
    worker: ServerWorker,
    targets: Receiver<Target>,
    taken: Vec<Target>,
    input_closed: bool,
}

impl Run {
    /// Feeds the run's input, but for what is held back.
    fn feed(run: &Value, dispatcher: Arc<dyn Dispatcher>, targets: Receiver<Target>) -> Self {
        let (link, mut script) = Script::new();
        let origin = Request::new(tcp());
        let worker = ServerWorker::start(link, dispatcher, origin).unwrap();
        let mut input = unhex(text(run, "input_hex"));
        let held_back = match text(run, "name") {
            FAILS_LATER => input.split_off(input.len() - END_FRAME),
            _ => Vec::new(),
        };
        script.carrier.write(&input);
        Self {
            script,
            held_back,
            worker,
            targets,
            taken: Vec::new(),
            input_closed: false,
        }
    }

    fn target(&mut self) -> &mut Target {
        let target = next(&self.targets);
        self.taken.push(target);
        self.taken.last_mut().unwrap()
    }

    /// Takes the targets that nobody has asked for, and what they hold.
    fn outcome(mut self) -> Outcome {
        if self.worker.wait_closed(Some(Duration::ZERO)) || self.input_closed {
            assert!(self.worker.wait_closed(None));
        } else {
            self.script.sync();
        }
        while let Ok(target) = self.targets.try_recv() {
            self.taken.push(target);
        }
        // Sessions start side by side; the vectors name the first one first,
        // which is the datagram one.
        self.taken
            .sort_by_key(|t| std::cmp::Reverse(t.destination().to_string()));
        let got = self.taken.iter_mut().map(describe).collect();
        let dispatched = self.taken.iter().map(|t| t.destination().to_string());
        let dispatched = dispatched.collect();
        let (active, closed) = (self.worker.active_connections(), self.worker.is_closed());
        let output = if closed {
            let carrier = &mut self.script.carrier;
            wait_until("the link is closed", || carrier.try_write(&[0]).is_err());
            parse(&self.script.carrier.drain().0)
        } else {
            self.script.finish()
        };
        drop(self.taken);
        self.worker.close();
        Outcome {
            output: sorted(output),
            dispatched,
            got,
            active,
            closed,
        }
    }
}

/// Everything a target has, as the vectors write it.
fn describe(target: &mut Target) -> String {
    let mut bytes = Vec::new();
    let end = loop {
        match target.reader.read_timeout(Duration::ZERO) {
            Ok(Some(buf)) => bytes.extend(buf.as_slice().to_vec()),
            Ok(None) => break "eof",
            Err(LinkError::TimedOut) => break "open",
            Err(_) => break "error",
        }
    };
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    match bytes.len() {
        2048 => format!("{}..2048 [{end}]", &hex[..20]),
        _ => format!("{hex} [{end}]"),
    }
}

/// Its session has its target before it fails, for nobody is dialled for one that
/// has failed before.
const FAILS_LATER: &str = "new-tcp-end-with-error-option";

/// Bytes of a frame without a target and without data.
const END_FRAME: usize = 6;

/// What the targets do once the input has been fed.
type Play = fn(&mut Run);

fn nothing(_: &mut Run) {}

fn wait_for_one(run: &mut Run) {
    run.target();
}

fn wait_for_two(run: &mut Run) {
    run.target();
    run.target();
}

fn wait_for_close(run: &mut Run) {
    run.input_closed = true;
}

fn reply_and_close(run: &mut Run) {
    let target = run.target();
    target.write(b"pong");
    target.close();
}

fn reply_late_and_close(run: &mut Run) {
    run.script.sync();
    let target = run.target();
    target.write(b"late");
    target.close();
}

fn interrupt(run: &mut Run) {
    run.target().abort();
}

fn end_with_error(run: &mut Run) {
    run.target();
    let end = std::mem::take(&mut run.held_back);
    run.script.carrier.write(&end);
    run.script.sync();
}

fn two_datagrams_back(run: &mut Run) {
    let target = run.target();
    target.write(b"d1");
    target.write(b"d2");
}

const SERVER_RUNS: [(&str, Play); 18] = [
    (
        "new-tcp-with-data-then-target-replies-and-closes",
        reply_and_close,
    ),
    ("new-tcp-target-interrupts", interrupt),
    ("keep-unknown-session-without-data", nothing),
    ("end-unknown-session", nothing),
    (
        "end-unknown-session-with-data-is-drained-then-new-works",
        wait_for_one,
    ),
    ("keepalive-plain-no-reply", nothing),
    ("unknown-status-0", wait_for_close),
    ("unknown-status-5", wait_for_close),
    ("metalen-513", wait_for_close),
    ("metalen-3", wait_for_close),
    ("bad-address-type-0", nothing),
    ("new-tcp-end-then-target-still-sends", reply_late_and_close),
    (FAILS_LATER, end_with_error),
    ("new-no-data-then-keep", wait_for_one),
    ("keep-udp-packet-3000-kills-connection", wait_for_two),
    ("new-udp-packet-2048-ok", wait_for_two),
    ("udp-session-two-packets-each-way", two_datagrams_back),
    (
        "xudp-new-with-global-id-and-keep-with-address-on-434",
        wait_for_one,
    ),
];

/// These need a dispatcher of their own, or look closer; a test each.
const SERVER_RUNS_APART: [&str; 4] = [
    "new-dispatch-fails",
    "keep-to-session-whose-writer-is-dead",
    "new-with-data-to-dead-writer",
    "new-udp-empty-packet",
];

/// Changes the reference's outcome into ours.
struct Difference {
    name: &'static str,
    ours: fn(&mut Outcome),
    reason: &'static str,
}

const SERVER_DIFFERENCES: [Difference; 5] = [
    Difference {
        name: "new-tcp-with-data-then-target-replies-and-closes",
        ours: |outcome| {
            outcome.got = vec!["70696e67 [open]".into()];
            outcome.active = 1;
        },
        reason: "section 13: the target's end is a half-close, the client may go on sending",
    },
    Difference {
        name: "new-tcp-target-interrupts",
        ours: |outcome| outcome.got = vec![" [error]".into()],
        reason: "A13: what was cut does not look like an orderly end, on this side neither",
    },
    Difference {
        name: "bad-address-type-0",
        ours: |outcome| {
            outcome.output = vec![Frame::end(1, true)];
            outcome.closed = false;
        },
        reason: "A28: one bad address refuses one session, the carrier lives",
    },
    Difference {
        name: "new-tcp-end-with-error-option",
        ours: |outcome| outcome.output.clear(),
        reason: "A17: the peer has forgotten the id, and needs no End for it",
    },
    Difference {
        name: "keep-udp-packet-3000-kills-connection",
        ours: |outcome| {
            outcome.dispatched.push("tcp:192.0.2.1:80".into());
            outcome.got = outcome.got.iter().map(|_| String::new()).collect();
            outcome.got.push("6f6b [open]".into());
            outcome.active = 2;
            outcome.closed = false;
        },
        reason: "A27: a large datagram costs its session nothing and its carrier neither",
    },
];

#[test]
fn every_run_of_the_reference_is_here() {
    let file = file();
    let ours = SERVER_RUNS.map(|(name, _)| name);
    for run in file["server_behaviour"].as_array().unwrap() {
        let name = text(run, "name");
        assert!(
            ours.contains(&name) || SERVER_RUNS_APART.contains(&name),
            "{name}"
        );
    }
    for difference in SERVER_DIFFERENCES {
        assert!(ours.contains(&difference.name), "{}", difference.name);
    }
    for run in file["client_behaviour"].as_array().unwrap() {
        let name = text(run, "name");
        assert!(CLIENT_RUNS.contains(&name), "{name}");
    }
}

#[test]
fn the_server_does_as_the_reference_did() {
    let _scene = scene();
    for (name, play) in SERVER_RUNS {
        let run = run_of("server_behaviour", name);
        let mut expected = Outcome::of_the_reference(&run);
        let (dispatcher, targets) = Targets::start(Taking::ByHand);
        let mut fed = Run::feed(&run, dispatcher, targets);
        play(&mut fed);
        let mut outcome = fed.outcome();
        let difference = SERVER_DIFFERENCES.iter().find(|d| d.name == name);
        if let Some(difference) = difference {
            let reference = Outcome::of_the_reference(&run);
            (difference.ours)(&mut expected);
            assert_ne!(expected, reference, "no difference: {}", difference.reason);
        }
        if name.starts_with("keep-udp-packet-3000") {
            let first = std::mem::take(&mut outcome.got[0]);
            assert_eq!(
                first.len(),
                (10 + 3000) * 2 + " [open]".len(),
                "both datagrams"
            );
        }
        assert_eq!(outcome, expected, "{name}");
    }
}

#[test]
fn new_dispatch_fails() {
    let _scene = scene();
    let run = run_of("server_behaviour", "new-dispatch-fails");
    let (told, tell) = crossbeam_channel::unbounded();
    let dispatcher = Arc::new(By(move |request: &Request, _link| {
        told.send(request.target.to_string()).unwrap();
        Err(DispatchError::Refused("dispatch refused"))
    }));
    let mut fed = Run::feed(&run, dispatcher, crossbeam_channel::never());
    // The reference ends the carrier; A29: only the session ends.
    fed.script.expect(Frame::end(1, true));
    let outcome = fed.outcome();
    assert_eq!(tell.recv().unwrap(), "tcp:192.0.2.1:80");
    assert_eq!((outcome.output, outcome.active), (vec![], 0));
    assert!(!outcome.closed);
}

/// A target that has no use for what comes, and stays until it is released.
fn deaf(released: Receiver<()>) -> Arc<dyn Dispatcher> {
    Arc::new(By(move |_: &Request, link: Link| {
        let Link { reader, writer } = link;
        drop(reader);
        let _ = released.recv();
        drop(writer);
        Ok(())
    }))
}

#[test]
fn data_for_a_dead_writer_is_answered_with_one_end() {
    let _scene = scene();
    for (name, ids) in [
        ("keep-to-session-whose-writer-is-dead", vec![1]),
        ("new-with-data-to-dead-writer", vec![1, 2]),
    ] {
        let run = run_of("server_behaviour", name);
        let (release, released) = bounded(0);
        let mut fed = Run::feed(&run, deaf(released), crossbeam_channel::never());
        fed.script.sync();
        wait_until("the sessions end", || fed.worker.active_connections() == 0);
        drop(release);
        let output = fed.outcome().output;
        let ends: Vec<Frame> = output.into_iter().filter(|f| f.status == 3).collect();
        // The reference sends two for the first: A17.
        let expected: Vec<Frame> = ids.iter().map(|id| Frame::end(*id, true)).collect();
        assert_eq!(ends, expected, "{name}");
    }
}

#[test]
fn new_udp_empty_packet() {
    let _scene = scene();
    let run = run_of("server_behaviour", "new-udp-empty-packet");
    let (dispatcher, targets) = Targets::start(Taking::ByHand);
    let mut fed = Run::feed(&run, dispatcher, targets);
    fed.script.sync();
    // Sessions start side by side, so in any order.
    let mut networks = Vec::new();
    for _ in 0..2 {
        let target = fed.target();
        let network = target.destination().network;
        if network == Network::Udp {
            // The reference loses it (A30).
            assert_eq!(target.datagram(), b"");
        }
        networks.push(network);
    }
    networks.sort_by_key(|network| *network == Network::Tcp);
    assert_eq!(networks, [Network::Udp, Network::Tcp]);
    let expected = Outcome::of_the_reference(&run);
    let outcome = fed.outcome();
    assert_eq!(outcome.output, expected.output);
    assert_eq!(outcome.active, expected.active);
    assert!(outcome.got.contains(&"6f6b [open]".to_owned()));
    assert!(outcome.got.contains(&" [open]".to_owned()));
}

// --- The client -------------------------------------------------------------

const CLIENT_RUNS: [&str; 13] = [
    "tcp-no-first-payload-new-without-data-after-100ms",
    "tcp-then-keep",
    "tcp-first-payload-in-new",
    "keep-delivers",
    "end-closes-app-reader; app may still write; bytes still go out as Keep",
    "end-with-error-interrupts-both",
    "app-side-interrupt-sends-end-with-error-option",
    "keep-unknown-session-answered-with-end",
    "unknown-status-closes-worker",
    "udp-first-two-packets",
    "udp-replies",
    "transport-eof-closes-worker",
    "idle-worker-closes-at-first-16s-tick",
];

/// The frames that the reference's client sent in a run.
fn sent(name: &str) -> Vec<Frame> {
    parse(&unhex(text(&run_of("client_behaviour", name), "sent_hex")))
}

/// Dispatches an application's link and compares what goes out.
fn opened_app(client: &mut Client, name: &str, target: Destination, first: &[u8]) -> App {
    let app = client.app(target, first);
    for frame in sent(name) {
        client.script.expect(frame);
    }
    app
}

fn tcp_app(client: &mut Client) -> App {
    opened_app(client, CLIENT_RUNS[0], tcp(), b"")
}

#[test]
fn the_client_sends_new_and_keep_as_the_reference() {
    let _scene = scene();
    let mut client = Client::new();
    let mut app = tcp_app(&mut client);
    app.party.write(b"abc");
    assert_eq!(sent("tcp-then-keep"), [client.script.frame()]);

    client.script.send(Frame::keep(1, b"xxx"));
    assert_eq!(app.party.read(3), b"xxx");
    assert!(app.party.is_quiet(), "keep-delivers");

    let run = run_of("client_behaviour", CLIENT_RUNS[4]);
    client.script.send(Frame::end(1, false));
    assert_eq!(app.party.read_to_end(), b"");
    app.party.write(b"after-end");
    assert_eq!(sent(CLIENT_RUNS[4]), [client.script.frame()]);
    // Section 13: a half-closed session is still one; the reference forgets it.
    assert_eq!(run["active"], 0);
    assert_eq!(client.worker.active_connections(), 1);

    app.party.close();
    client.script.expect(Frame::end(1, false));
    app.outcome().unwrap();
    assert_eq!(client.worker.active_connections(), 0);
    client.worker.close();
}

#[test]
fn the_client_puts_the_first_payload_into_new() {
    let _scene = scene();
    let mut client = Client::with(ClientOptions {
        first_payload_wait: Duration::from_secs(60),
        ..ClientOptions::default()
    });
    let app = opened_app(&mut client, "tcp-first-payload-in-new", tcp(), b"abc");
    client.worker.close();
    assert!(matches!(app.outcome(), Err(MuxError::CarrierLost)));
}

#[test]
fn an_end_with_error_interrupts_both() {
    let _scene = scene();
    let mut client = Client::new();
    let mut app = tcp_app(&mut client);
    client.script.send(Frame::end(1, true));
    assert_eq!(app.party.read_to_error(), b"");
    wait_until("writes fail", || app.party.try_write(b"x").is_err());
    assert!(matches!(app.outcome(), Err(MuxError::SessionReset)));
    assert_eq!(client.worker.active_connections(), 0);
    // The reference answers with an End of its own; A17: the peer has
    // forgotten the id.
    assert_eq!(
        sent("end-with-error-interrupts-both"),
        [Frame::end(1, true)]
    );
    client.script.sync();
    assert!(client.script.finish().is_empty());
    client.worker.close();
}

#[test]
fn an_interrupt_on_the_application_side_sends_end_with_error() {
    let _scene = scene();
    let mut client = Client::new();
    let mut app = tcp_app(&mut client);
    app.party.abort();
    for frame in sent("app-side-interrupt-sends-end-with-error-option") {
        client.script.expect(frame);
    }
    assert!(matches!(app.outcome(), Err(MuxError::Aborted)));
    client.worker.close();
}

#[test]
fn the_client_answers_unknown_sessions_with_end() {
    let _scene = scene();
    let mut client = Client::new();
    client.script.send(Frame::keep(9, b"data"));
    for frame in sent("keep-unknown-session-answered-with-end") {
        client.script.expect(frame);
    }
    client.worker.close();
}

#[test]
fn an_unknown_status_closes_the_client() {
    let _scene = scene();
    let mut client = Client::new();
    client.script.carrier.write(&unhex("000400010500"));
    assert!(client.worker.wait_closed(None));
    // The reference closes the link in an orderly way; we do not: it failed.
    assert_eq!(
        text(&run_of("client_behaviour", CLIENT_RUNS[8]), "sent_hex"),
        " [eof]"
    );
    assert_eq!(client.script.carrier.read_to_error(), b"");
    client.worker.close();
}

#[test]
fn the_clients_datagrams_are_framed_as_by_the_reference() {
    let _scene = scene();
    let mut client = Client::with(ClientOptions {
        first_payload_wait: Duration::from_secs(60),
        ..ClientOptions::default()
    });
    let mut app = client.app(udp(), b"q1");
    app.party.write(b"q2");
    for frame in sent("udp-first-two-packets") {
        client.script.expect(frame);
    }
    client.script.send(Frame::keep(1, b"a1"));
    client.script.send(Frame::keep(1, b"a2"));
    assert_eq!(app.party.datagram(), b"a1");
    assert_eq!(app.party.datagram(), b"a2");
    assert!(app.party.is_quiet(), "udp-replies");
    client.worker.close();
    assert!(app.outcome().is_err());
}

#[test]
fn the_carriers_end_closes_the_client() {
    let _scene = scene();
    let mut client = Client::new();
    let app = tcp_app(&mut client);
    let frames = client.script.finish();
    assert!(client.worker.is_closed());
    assert!(frames.is_empty(), "{frames:?}");
    assert!(matches!(app.outcome(), Err(MuxError::CarrierLost)));
    client.worker.close();
}

#[test]
fn an_idle_client_closes() {
    let _scene = scene();
    let manual = ManualClock::new();
    let client = Client::with(ClientOptions {
        carrier: CarrierOptions {
            timer: Some(Timer::new(manual.clock()).unwrap()),
            liveness: None,
            ..CarrierOptions::default()
        },
        ..ClientOptions::default()
    });
    let seconds = text(&run_of("client_behaviour", CLIENT_RUNS[12]), "seconds").to_owned();
    assert_eq!(seconds.parse(), Ok(IDLE_CHECK.as_secs_f64()));
    // The reference closes at the first check; A24: only after a whole idle
    // period, so at the second.
    for _ in 0..2 {
        assert!(!client.worker.is_closed());
        wait_until("the monitor waits", || manual.waiters() == 1);
        manual.advance(IDLE_CHECK);
    }
    assert!(client.worker.wait_closed(None));
    assert_eq!(client.script.finish(), []);
    client.worker.close();
}
