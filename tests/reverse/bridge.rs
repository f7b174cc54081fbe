//! What a bridge does with a carrier: the control session, sessions, the end.

use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::bounded;
use muxcool::buf::Buf;
use muxcool::limits::{CONTROL_DOMAINS, HEARTBEAT, JOIN_DEADLINE, SESSION_PIPE};
use muxcool::link::{DispatchError, Dispatcher, Handle, Link, LinkError, Request, Writer};
use muxcool::net::{Destination, Network};
use muxcool::reverse::{Bridge, Control, ReverseError};

use crate::mux_support::frames::{Frame, KEEP, Script};
use crate::mux_support::targets::By;
use crate::mux_support::tasks::{PATIENCE, names, wait_until_quiet};
use crate::mux_support::{keyed, tcp, udp};
use crate::reverse_support::site::{Answers, CONTROL, Site, TAG, open_control};
use crate::reverse_support::time::Time;
use crate::reverse_support::{
    DOMAIN, NETWORKS, assert_failed, assert_no_threads, bridge_options, carrier, control_spellings,
    control_target,
};
use crate::support::threads::ThreadCheck;

#[test]
fn names_that_cannot_be_are_refused() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let start = |tag: &str, domain: &str| {
        let options = bridge_options(tag, domain);
        let nowhere = Arc::new(By(|_: &Request, _| Ok(())));
        Bridge::new(options, nowhere, &time.timer).map(drop)
    };
    assert!(matches!(start("", DOMAIN), Err(ReverseError::EmptyTag)));
    assert!(matches!(start(TAG, ""), Err(ReverseError::EmptyDomain)));
    for no_name in ["192.0.2.1", "[::1]", "a b", "*"] {
        let refused = start(TAG, no_name);
        assert!(matches!(refused, Err(ReverseError::BadDomain(_))));
    }
    assert!(start(TAG, DOMAIN).is_ok());
    threads.finish();
}

/// A tag is the user's choice; a thread's name may not be.
#[test]
fn a_tag_may_be_any_text() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    for tag in [
        "a tag that is longer than fifteen bytes",
        "\0",
        "\u{1f309}",
        "\n",
    ] {
        let options = bridge_options(tag, DOMAIN);
        let nowhere = Arc::new(By(|_: &Request, _| Ok(())));
        Bridge::new(options, nowhere, &time.timer).unwrap();
    }
    threads.finish();
}

#[test]
fn it_asks_for_its_domain_under_its_own_tag() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let dial = site.dial();
    assert_eq!(dial.request.target, carrier());
    assert_eq!(&*dial.request.inbound, TAG);
    assert_eq!(dial.request.source, None);
    assert_eq!(dial.request.user, None);
    assert!(names("bridge-").contains(&format!("bridge-{TAG}")));
    drop(site);
    threads.finish();
}

/// A proxy's header that waits for the first payload would wait for ever: the
/// portal speaks first, and only once it has seen the header.
#[test]
fn a_header_that_is_held_back_is_sent_at_once() {
    let threads = ThreadCheck::begin();
    let answers = Answers::default();
    answers.push(|| {
        let (link, script) = Script::new();
        let writer = Holding {
            header: Some(Buf::copy_of(b"HEADER")),
            inner: link.writer,
        };
        let link = Link {
            reader: link.reader,
            writer: Box::new(writer),
        };
        Ok((link, Some(script)))
    });
    let site = Site::answering(answers);
    let mut script = site.carrier();
    assert_eq!(script.carrier.read(6), b"HEADER");
    open_control(&mut script);
    drop((site, script));
    threads.finish();
}

/// Sends a header with the first payload, or when it is flushed.
struct Holding {
    header: Option<Buf>,
    inner: Box<dyn Writer>,
}

impl Writer for Holding {
    fn write(&mut self, batch: &mut std::collections::VecDeque<Buf>) -> Result<(), LinkError> {
        if let Some(header) = self.header.take() {
            batch.push_front(header);
        }
        self.inner.write(batch)
    }

    fn flush(&mut self) -> Result<(), LinkError> {
        self.write(&mut [].into())
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.inner.close()
    }

    fn abort(&mut self) {
        self.inner.abort();
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }
}

#[test]
fn sessions_go_to_the_dispatcher_under_the_bridges_tag() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut script = site.controlled();
    for (id, to) in (2..).zip([tcp(), udp(), carrier()]) {
        let (up, down) = (keyed(id.into(), 0, 600), keyed(99, 0, 700));
        script.send(Frame::open(id, &to, Some(&up)));
        let mut target = site.target();
        assert_eq!(*target.destination(), to);
        assert_eq!(&*target.request.inbound, TAG);
        assert_eq!(
            (&target.request.source, &target.request.user),
            (&None, &None)
        );
        assert_eq!(target.read(up.len()), up);
        target.write(&down);
        script.expect(Frame::keep(id, &down));
        target.close();
        script.expect(Frame::end(id, false));
        script.send(Frame::end(id, false));
        assert_eq!(target.read_to_end(), b"");
    }
    drop((site, script));
    threads.finish();
}

/// A28, A29: the carrier and the other sessions live on.
#[test]
fn a28_a29_a_bad_or_refused_target_costs_its_session_only() {
    let threads = ThreadCheck::begin();
    let inside: Arc<dyn Dispatcher> = Arc::new(By(|request: &Request, mut link: Link| {
        if request.target.port == 1 {
            return Err(DispatchError::Refused("nobody listens"));
        }
        while let Some(buf) = link.reader.read()? {
            link.writer.write(&mut [buf].into())?;
        }
        Ok(link.writer.close()?)
    }));
    let site = Site::inside(Answers::default(), inside, crossbeam_channel::never());
    let mut script = site.controlled();
    script.send(Frame::open(2, &tcp(), Some(b"before")));
    script.expect(Frame::keep(2, b"before"));

    let refused = Destination::tcp("192.0.2.1", 1).unwrap();
    script.send(Frame::open(3, &refused, Some(b"lost")));
    script.expect(Frame::end(3, true));
    let mut no_name = Frame::open(4, &Destination::tcp("a.b", 80).unwrap(), Some(b"lost"));
    let at = no_name.extra.len() - 3;
    no_name.extra[at] = b'$';
    script.send(no_name);
    script.expect(Frame::end(4, true));

    script.send(Frame::keep(2, b"after"));
    script.expect(Frame::keep(2, b"after"));
    assert_eq!(site.count_dials(), 0);
    drop((site, script));
    threads.finish();
}

/// A39: portals of all versions, under whatever spelling of their name.
#[test]
fn a39_every_control_name_is_taken_in() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut previous = site.carrier();
    for name in control_spellings() {
        open_named(&mut previous, CONTROL, Network::Udp, &name);
        site.time.pass(HEARTBEAT); // long enough to be replaced at once
        drain_by(&mut previous, CONTROL);
        let next = site.carrier(); // so it was obeyed
        previous = next;
    }
    assert!(site.targets.is_empty());
    drop((site, previous));
    threads.finish();
}

/// A38: whoever asks for the name again, or for a stream, is no portal; and
/// nobody outside is asked what the name means.
#[test]
fn a38_a_control_name_is_taken_in_once_and_only_for_datagrams() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut script = site.controlled();
    let mut id = CONTROL;
    for name in control_spellings() {
        for network in NETWORKS {
            id += 1;
            open_named(&mut script, id, network, &name);
            script.expect(Frame::end(id, true));
        }
    }
    script.sync();
    assert!(site.targets.is_empty(), "one was dialled outwards");
    assert_eq!(site.count_dials(), 0, "one was obeyed");

    // The portal's own session is unharmed.
    site.time.pass(HEARTBEAT);
    drain_by(&mut script, CONTROL);
    let successor = site.carrier();
    drop((site, script, successor));
    threads.finish();
}

/// A38: whoever comes right behind the portal's session, on a thread that may
/// be faster, does not get its place.
#[test]
fn a38_the_first_session_under_a_control_name_is_the_portals() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut script = site.carrier();
    for _ in 0..100 {
        let target = control_target(CONTROL_DOMAINS[0]);
        let active = Control::active(&mut rand::rng()).encode();
        let both = [1, 2].map(|id| Frame::open(id, &target, Some(&active)).bytes());
        script.carrier.write(&both.concat());
        script.expect(Frame::end(2, true));
        site.time.pass(HEARTBEAT);
        assert_eq!(site.count_dials(), 0);
        drain_by(&mut script, 1);
        script = site.carrier();
    }
    drop((site, script));
    threads.finish();
}

/// A38: the place of the portal's session is not taken by a stream.
#[test]
fn a38_a_stream_to_a_control_name_does_not_lock_the_portal_out() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut script = site.carrier();
    open_named(&mut script, 7, Network::Tcp, CONTROL_DOMAINS[0]);
    script.expect(Frame::end(7, true));
    open_named(&mut script, 8, Network::Udp, CONTROL_DOMAINS[0]);
    site.time.pass(HEARTBEAT);
    drain_by(&mut script, 8);
    let successor = site.carrier();
    drop((site, script, successor));
    threads.finish();
}

/// A48: a datagram that is no message is passed over, the next one counts.
#[test]
fn a48_malformed_control_messages_are_skipped() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut script = site.controlled();
    for malformed in [&b"\xff"[..], b"", b"\x08", &[0x9a; 2048], b"\x00\x01"] {
        script.send(Frame::keep(CONTROL, malformed));
    }
    script.sync();
    assert!(script.seen.is_empty(), "{:?}", script.seen);
    assert_eq!(site.count_dials(), 0);
    site.time.pass(HEARTBEAT);
    drain_by(&mut script, CONTROL);
    let successor = site.carrier();
    drop((site, script, successor));
    threads.finish();
}

#[test]
fn a_bridge_answers_heartbeats_with_nothing() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut script = site.controlled();
    for _ in 0..100 {
        let beat = Control::active(&mut rand::rng()).encode();
        script.send(Frame::keep(CONTROL, &beat));
    }
    script.sync();
    assert!(script.seen.is_empty(), "{:?}", script.seen);
    drop((site, script));
    threads.finish();
}

/// A45: the reference's bridge goes on dispatching after its close.
#[test]
fn a45_closing_ends_its_carriers_and_sessions_and_joins_their_threads() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut script = site.controlled();
    script.send(Frame::open(2, &tcp(), Some(b"hello")));
    let mut target = site.target();
    assert_eq!(target.read(5), b"hello");
    let closing = std::thread::spawn(move || {
        target.read_to_error();
        assert_failed(target.try_write(b"x"));
    });
    site.bridge.close();
    closing.join().unwrap();
    assert_no_threads("bridge-");
    assert_no_threads("mux-");

    // What was on its way is not taken any more, and nothing is dialled.
    let _ = script
        .carrier
        .try_write(&Frame::open(3, &tcp(), None).bytes());
    site.bridge.close();
    for _ in 0..10 {
        site.time.pass(HEARTBEAT);
    }
    assert!(site.targets.is_empty());
    assert_eq!(site.count_dials(), 0);
    drop((site, script));
    threads.finish();
}

/// A45: a dial may take longer than a close waits.
#[test]
fn a45_a_dial_that_succeeds_after_the_close_brings_nothing_in() {
    let threads = ThreadCheck::begin();
    let (release, released) = crossbeam_channel::bounded::<Script>(0);
    let answers = Answers::default();
    let (wire_in, wire_out) = crossbeam_channel::bounded(1);
    answers.push(move || {
        let (link, mut script) = Script::new();
        script.send(Frame::open(1, &tcp(), Some(b"too late")));
        let _ = released.recv(); // until the test lets go of its end
        wire_in.send(script).unwrap();
        Ok((link, None))
    });
    let site = Site::answering(answers);
    wait_until_quiet();
    let start = Instant::now();
    site.bridge.close();
    assert!(start.elapsed() < PATIENCE, "the close waits for the dial");
    drop(release);
    let mut script = wire_out.recv_timeout(PATIENCE).unwrap();
    script.carrier.read_to_error();
    assert_no_threads("bridge-");
    assert!(site.targets.is_empty(), "a session was dispatched");
    drop(site);
    threads.finish();
}

#[test]
fn a45_closing_does_not_wait_for_each_carrier_that_takes_nothing() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut carriers = Vec::new();
    // Each drains at once, so that there are many of them.
    for _ in 0..40 {
        let mut script = site.controlled();
        script.send(Frame::open(2, &tcp(), None));
        let mut target = site.target();
        site.time.pass(HEARTBEAT);
        drain_by(&mut script, CONTROL);
        // More than the carrier takes.
        let piece = vec![0; SESSION_PIPE];
        let stuck = std::thread::spawn(move || while target.try_write(&piece).is_ok() {});
        carriers.push((script, stuck));
    }
    site.bridge.close();
    assert_no_threads("bridge-");
    assert_no_threads("mux-");
    for (_, stuck) in carriers {
        stuck.join().unwrap();
    }
    drop(site);
    threads.finish();
}

fn open_named(script: &mut Script, id: u16, network: Network, name: &str) {
    let target = Destination::new(network, name.parse().unwrap(), 0);
    let active = Control::active(&mut rand::rng()).encode();
    script.send(Frame::open(id, &target, Some(&active)));
}

fn drain_by(script: &mut Script, id: u16) {
    let drain = Control::drain(&mut rand::rng()).encode();
    script.send(Frame::keep(id, &drain));
}

#[test]
fn a_control_session_that_ends_leaves_the_carrier_in_use() {
    let threads = ThreadCheck::begin();
    let site = Site::new();
    let mut script = site.carrier();
    let target = control_target(CONTROL_DOMAINS[1]);
    script.send(Frame::open(CONTROL, &target, None));
    script.send(Frame::end(CONTROL, false));
    script.expect(Frame::end(CONTROL, false));
    script.send(Frame::open(2, &tcp(), Some(b"hello")));
    let mut opened = site.target();
    assert_eq!(opened.read(5), b"hello");
    opened.write(b"there");
    let answer = script.frame();
    assert_eq!((answer.id, answer.status), (2, KEEP));
    assert_eq!(site.count_dials(), 0);
    drop((opened, site, script));
    threads.finish();
}

/// The system may look for a name for as long as it likes. What becomes of the
/// dial in the end concerns nobody any more.
#[test]
fn closing_waits_for_no_dial() {
    let threads = ThreadCheck::begin();
    let (dialling, dialled) = bounded(1);
    let (release, released) = bounded::<()>(0);
    let answers = Answers::default();
    answers.push(move || {
        dialling.send(()).unwrap();
        let _ = released.recv();
        Ok((Script::new().0, None))
    });
    let site = Site::answering(answers);
    dialled.recv_timeout(PATIENCE).unwrap();
    let begin = Instant::now();
    site.bridge.close();
    assert!(begin.elapsed() < JOIN_DEADLINE);
    drop(release);
    assert_no_threads("bridge-");
    drop(site);
    threads.finish();
}
