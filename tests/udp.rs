//! UDP links and the server side's flows, over loopback.

use std::collections::VecDeque;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use muxcool::buf::Buf;
use muxcool::limits::{PARKED_DATAGRAMS, UDP_IDLE};
use muxcool::link::{DispatchError, Link, LinkError, Reader, Writer, relay};
use muxcool::net::{Destination, Network, Origin};
use muxcool::sync::{Done, ManualClock, Next, Timer};
use muxcool::transport::tcp::{Idle, IdleTimes};
use muxcool::transport::udp::{FlowLimits, Flows, Service, UdpReader, UdpWriter, connect};

const PATIENCE: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
const SIZES: [usize; 9] = [0, 1, 1200, 2047, 2048, 2049, 8193, 65_000, 65_507];

fn times() -> IdleTimes {
    IdleTimes {
        both: 300 * SECOND,
        after_read: SECOND,
        after_write: SECOND,
    }
}

fn system_idle() -> Idle {
    Idle {
        timer: Timer::global().unwrap(),
        times: times(),
    }
}

/// Idle times on a clock that stands still until told.
struct SlowMotion {
    manual: Arc<ManualClock>,
    idle: Idle,
}

impl SlowMotion {
    fn new() -> Self {
        let manual = ManualClock::new();
        let idle = Idle {
            timer: Timer::new(manual.clock()).unwrap(),
            times: times(),
        };
        Self { manual, idle }
    }

    /// Lets `step` pass, and returns when all that was due by then has run:
    /// the timer runs its tasks in the order of their deadlines.
    fn pass(&self, step: Duration) {
        let (tell, told) = bounded(1);
        let _last = self.idle.timer.schedule(step, move || {
            let _ = tell.try_send(());
            Next::Stop
        });
        self.manual.advance(step);
        eventually("the timer has caught up", || {
            // Any new task makes the timer look at the clock.
            drop(self.idle.timer.schedule(step, || Next::Stop));
            told.recv_timeout(Duration::from_millis(1)).is_ok()
        });
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

fn local_socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + len) as u8).collect()
}

fn send(writer: &mut dyn Writer, data: &[u8]) {
    writer
        .write(&mut VecDeque::from([Buf::copy_of(data)]))
        .unwrap();
}

/// A datagram link and the socket at its other end.
fn linked(idle: &Idle) -> (UdpReader, UdpWriter, UdpSocket) {
    let peer = local_socket();
    let (reader, writer) = connect(peer.local_addr().unwrap(), None, idle).unwrap();
    (reader, writer, peer)
}

/// One read on a thread of its own.
struct Reading {
    outcome: Receiver<(Result<Option<Buf>, LinkError>, UdpReader)>,
}

impl Reading {
    fn start(mut reader: UdpReader) -> Self {
        let (tell, outcome) = bounded(1);
        std::thread::spawn(move || tell.send((reader.read(), reader)));
        Self { outcome }
    }

    fn is_over(&self) -> bool {
        !self.outcome.is_empty()
    }

    fn wait(self) -> (Result<Option<Buf>, LinkError>, UdpReader) {
        self.outcome.recv_timeout(PATIENCE).expect("still reading")
    }
}

mod links {
    use super::*;

    #[test]
    fn datagrams_of_every_size_go_both_ways() {
        let (mut reader, mut writer, peer) = linked(&system_idle());
        let mut space = vec![0; 65_535];
        for size in SIZES {
            let data = pattern(size);
            send(&mut writer, &data);
            let (len, from) = peer.recv_from(&mut space).unwrap();
            assert_eq!(&space[..len], data, "{size} bytes out");
            peer.send_to(&data, from).unwrap();
            let back = reader.read_timeout(PATIENCE).unwrap().unwrap();
            assert_eq!(back.as_slice(), data, "{size} bytes back");
        }
        writer.close().unwrap();
    }

    #[test]
    fn writing_without_waiting_sends_whole_datagrams() {
        let (_reader, mut writer, peer) = linked(&system_idle());
        assert_eq!(writer.try_write(b"").unwrap(), 0);
        assert_eq!(writer.try_write(b"abc").unwrap(), 3);
        let mut space = [9; 8];
        assert_eq!(peer.recv(&mut space).unwrap(), 0);
        assert_eq!(peer.recv(&mut space).unwrap(), 3);
        assert_eq!(writer.dropped(), 0);
    }

    #[test]
    fn a_datagram_that_udp_cannot_carry_is_dropped_and_counted() {
        let (_reader, mut writer, peer) = linked(&system_idle());
        send(&mut writer, &[0; 65_508]);
        assert_eq!(writer.try_write(&[0; 65_508]).unwrap(), 65_508);
        assert_eq!(writer.dropped(), 2);
        send(&mut writer, b"next");
        assert_eq!(peer.recv(&mut [0; 8]).unwrap(), 4);
    }

    #[test]
    fn a33_strangers_are_not_taken_for_the_target() {
        let (mut reader, mut writer, peer) = linked(&system_idle());
        send(&mut writer, b"hello");
        let (_, from) = peer.recv_from(&mut [0; 8]).unwrap();
        local_socket().send_to(b"forged", from).unwrap();
        peer.send_to(b"real", from).unwrap();
        let first = reader.read_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(first.as_slice(), b"real");
    }

    #[test]
    fn a_refusal_does_not_end_the_flow() {
        // An address of its own: the port is still free when it is wanted again.
        let peer = UdpSocket::bind("127.0.0.9:0").unwrap();
        let target = peer.local_addr().unwrap();
        let (mut reader, mut writer) = connect(target, None, &system_idle()).unwrap();
        drop(peer);
        send(&mut writer, b"into the void");
        let soon = Duration::from_millis(50);
        assert!(matches!(
            reader.read_timeout(soon),
            Err(LinkError::TimedOut)
        ));
        send(&mut writer, b"again, with the refusal pending");
        let peer = UdpSocket::bind(target).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        send(&mut writer, b"knock");
        let (len, from) = peer.recv_from(&mut [0; 64]).unwrap();
        assert_eq!(len, 5);
        peer.send_to(b"who", from).unwrap();
        let answer = reader.read_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(answer.as_slice(), b"who");
    }

    #[test]
    fn an_interrupt_wakes_a_reader_with_an_error() {
        let (reader, mut writer, peer) = linked(&system_idle());
        let handle = reader.handle();
        let reading = Reading::start(reader);
        handle.interrupt();
        let (outcome, mut reader) = reading.wait();
        assert!(matches!(outcome, Err(LinkError::Reset)), "{outcome:?}");
        let again = reader.read_timeout(PATIENCE);
        assert!(matches!(again, Err(LinkError::Reset)), "{again:?}");
        send(&mut writer, b"the other half goes on");
        assert_eq!(peer.recv(&mut [0; 64]).unwrap(), 22);
    }

    #[test]
    fn an_aborted_or_dropped_writer_ends_both_halves_with_an_error() {
        let (reader, writer, _peer) = linked(&system_idle());
        let reading = Reading::start(reader);
        drop(writer);
        let (outcome, _) = reading.wait();
        assert!(matches!(outcome, Err(LinkError::Reset)), "{outcome:?}");

        let (reader, mut writer, _peer) = linked(&system_idle());
        let reading = Reading::start(reader);
        writer.handle().interrupt();
        let (outcome, _) = reading.wait();
        assert!(matches!(outcome, Err(LinkError::Reset)), "{outcome:?}");
        assert!(matches!(writer.try_write(b"x"), Err(LinkError::Reset)));
        assert!(matches!(writer.close(), Err(LinkError::Reset)));
    }

    #[test]
    fn an_idle_link_ends_in_an_orderly_way() {
        let time = SlowMotion::new();
        let (reader, mut writer, _peer) = linked(&time.idle);
        let reading = Reading::start(reader);
        time.pass(UDP_IDLE - SECOND);
        assert!(!reading.is_over());
        time.pass(SECOND);
        let (outcome, _) = reading.wait();
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
        assert!(matches!(writer.try_write(b"x"), Err(LinkError::Closed)));
    }

    #[test]
    fn packets_either_way_keep_a_link_alive() {
        let time = SlowMotion::new();
        let (mut reader, mut writer, peer) = linked(&time.idle);
        send(&mut writer, b"out");
        let (_, from) = peer.recv_from(&mut [0; 8]).unwrap();
        time.pass(UDP_IDLE);
        peer.send_to(b"", from).unwrap();
        assert!(reader.read_timeout(PATIENCE).unwrap().unwrap().is_empty());
        let reading = Reading::start(reader);
        time.pass(UDP_IDLE);
        assert!(!reading.is_over());
        time.pass(UDP_IDLE);
        let (outcome, _) = reading.wait();
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
    }

    #[test]
    fn replies_still_arrive_for_a_while_after_the_close() {
        let time = SlowMotion::new();
        let (mut reader, mut writer, peer) = linked(&time.idle);
        send(&mut writer, b"ask");
        writer.close().unwrap();
        assert!(matches!(writer.try_write(b"x"), Err(LinkError::Closed)));
        let (_, from) = peer.recv_from(&mut [0; 8]).unwrap();
        peer.send_to(b"answer", from).unwrap();
        let answer = reader.read_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(answer.as_slice(), b"answer");
        let reading = Reading::start(reader);
        time.pass(times().after_write);
        assert!(!reading.is_over(), "it was used since the last check");
        time.pass(times().after_write);
        let (outcome, _) = reading.wait();
        assert!(matches!(outcome, Ok(None)), "{outcome:?}");
    }
}

mod flows {
    use super::*;

    type Serve = dyn Fn(Destination, Link) -> Result<(), DispatchError> + Send + Sync;

    /// Datagrams `xREST` go to port `x`; replies carry `re:` in front.
    struct Prefixed {
        serve: Box<Serve>,
    }

    impl Service for Prefixed {
        fn open<'a>(&self, datagram: &'a [u8]) -> Option<(Destination, &'a [u8])> {
            let (port, payload) = datagram.split_first()?;
            let target = Destination::udp("127.0.0.1", (*port).into()).unwrap();
            Some((target, payload))
        }

        fn reply_header(&self, _: &Destination) -> Vec<u8> {
            b"re:".to_vec()
        }

        fn serve(&self, _: Origin, target: Destination, link: Link) -> Result<(), DispatchError> {
            (self.serve)(target, link)
        }
    }

    fn start(
        tag: &str,
        idle: &Idle,
        limits: FlowLimits,
        serve: impl Fn(Destination, Link) -> Result<(), DispatchError> + Send + Sync + 'static,
    ) -> Flows {
        let service = Prefixed {
            serve: Box::new(serve),
        };
        Flows::start_with(local_socket(), tag, idle, limits, service).unwrap()
    }

    fn echo(_: Destination, mut link: Link) -> Result<(), DispatchError> {
        while let Some(buf) = link.reader.read()? {
            link.writer.write(&mut VecDeque::from([buf]))?;
        }
        Ok(link.writer.close()?)
    }

    fn visitor(flows: &Flows) -> UdpSocket {
        let socket = local_socket();
        socket.connect(flows.local_addr()).unwrap();
        socket
    }

    fn ask(visitor: &UdpSocket, data: &[u8]) -> Vec<u8> {
        visitor.send(data).unwrap();
        let mut space = vec![0; 65_535];
        let len = visitor.recv(&mut space).unwrap();
        space[..len].to_vec()
    }

    /// Names of this process's threads that belong to the inbound `tag`.
    fn threads_of(tag: &str) -> Vec<String> {
        let ours = [format!("in-{tag}-"), format!("udp-{tag}-")];
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| ours.iter().any(|prefix| name.starts_with(prefix)))
            .collect()
    }

    fn assert_no_threads(tag: &str) {
        eventually(&format!("no thread of {tag} is left"), || {
            threads_of(tag).is_empty()
        });
    }

    /// Hands each flow's link to the test and keeps its thread until told.
    fn hold(links: Sender<Link>, release: Arc<Done>) -> impl Fn(Link) -> Result<(), DispatchError> {
        move |link| {
            let _ = links.send(link);
            release.wait();
            Ok(())
        }
    }

    #[test]
    fn datagrams_of_every_size_come_back() {
        let flows = start("ua", &system_idle(), FlowLimits::default(), echo);
        let visitor = visitor(&flows);
        for size in SIZES.map(|size| size.min(65_507 - 3)) {
            let mut data = vec![1];
            data.extend(pattern(size));
            let mut expected = b"re:".to_vec();
            expected.extend(pattern(size));
            assert_eq!(ask(&visitor, &data), expected, "{size} bytes");
        }
        assert_eq!(flows.stats().opened, 1);
        assert_eq!(flows.stats().unsent, 0);
        flows.close();
        assert_no_threads("ua");
    }

    #[test]
    fn a_relay_over_an_outbound_socket_works_both_ways() {
        let far = local_socket();
        let far_addr = far.local_addr().unwrap();
        let flows = start(
            "ub",
            &system_idle(),
            FlowLimits::default(),
            move |_, link| {
                let (reader, writer) = connect(far_addr, None, &system_idle()).unwrap();
                Ok(relay(link, Link::new(reader, writer))?)
            },
        );
        let visitor = visitor(&flows);
        let mut space = vec![0; 65_535];
        for size in [0, 1200, 65_000] {
            let mut data = vec![1];
            data.extend(pattern(size));
            visitor.send(&data).unwrap();
            let (len, from) = far.recv_from(&mut space).unwrap();
            assert_eq!(space[..len], pattern(size), "{size} bytes there");
            far.send_to(&pattern(size), from).unwrap();
            let len = visitor.recv(&mut space).unwrap();
            assert_eq!(&space[..3], b"re:");
            assert_eq!(space[3..len], pattern(size), "{size} bytes back");
        }
        flows.close();
        assert_no_threads("ub");
    }

    #[test]
    fn each_source_and_target_has_a_flow_of_its_own() {
        let flows = start("uc", &system_idle(), FlowLimits::default(), |to, link| {
            let mut link = link;
            while let Some(_asked) = link.reader.read()? {
                link.writer.try_write(to.port.to_string().as_bytes())?;
            }
            Ok(())
        });
        let (one, two) = (visitor(&flows), visitor(&flows));
        assert_eq!(ask(&one, &[7]), b"re:7");
        assert_eq!(ask(&one, &[8]), b"re:8");
        assert_eq!(ask(&one, &[7]), b"re:7");
        assert_eq!(ask(&two, &[7]), b"re:7");
        assert_eq!(flows.stats().opened, 3);
        assert_eq!(flows.live(), 3);
    }

    #[test]
    fn what_makes_no_sense_is_dropped_and_counted() {
        let flows = start("ud", &system_idle(), FlowLimits::default(), echo);
        let visitor = visitor(&flows);
        visitor.send(&[]).unwrap();
        assert_eq!(ask(&visitor, &[1, b'x']), b"re:x");
        assert_eq!(flows.stats().malformed, 1);
    }

    #[test]
    fn flows_beyond_the_limit_are_refused_until_one_ends() {
        let limits = FlowLimits {
            flows: 2,
            ..FlowLimits::default()
        };
        let flows = start("ue", &system_idle(), limits, |_, mut link| {
            let asked = link.reader.read()?.unwrap();
            link.writer.try_write(b"open")?;
            if asked.is_empty() {
                link.reader.read()?;
            }
            Ok(link.writer.close()?)
        });
        let visitor = visitor(&flows);
        assert_eq!(ask(&visitor, &[1]), b"re:open");
        assert_eq!(ask(&visitor, &[2]), b"re:open");
        visitor.send(&[3]).unwrap();
        visitor.send(&[4]).unwrap();
        eventually("two are refused", || flows.stats().refused == 2);
        assert_eq!((flows.live(), flows.stats().opened), (2, 2));
        visitor.send(b"\x01go").unwrap();
        eventually("a flow ends", || flows.live() == 1);
        assert_eq!(ask(&visitor, &[5]), b"re:open");
        flows.close();
        assert_no_threads("ue");
    }

    /// As many as one may have harm nothing; with more he is refused, and
    /// others are not.
    #[test]
    fn one_source_does_not_take_every_flow() {
        let limits = FlowLimits {
            flows: 4,
            flows_per_source: 2,
            ..FlowLimits::default()
        };
        let flows = start("ul", &system_idle(), limits, |_, mut link| {
            let asked = link.reader.read()?.unwrap();
            link.writer.try_write(b"open")?;
            if asked.is_empty() {
                link.reader.read()?;
            }
            Ok(link.writer.close()?)
        });
        let [one, again] = [visitor(&flows), visitor(&flows)];
        assert_eq!(ask(&one, &[1]), b"re:open");
        assert_eq!(ask(&again, &[1]), b"re:open");
        assert_eq!(flows.stats().refused, 0);
        again.send(&[2]).unwrap();
        eventually("another port makes no other source", || {
            flows.stats().refused == 1
        });
        let other = UdpSocket::bind("127.0.0.2:0").unwrap();
        other.set_read_timeout(Some(PATIENCE)).unwrap();
        other.connect(flows.local_addr()).unwrap();
        assert_eq!(ask(&other, &[1]), b"re:open");
        one.send(b"\x01go").unwrap();
        eventually("a flow ends", || flows.live() == 2);
        assert_eq!(ask(&again, &[2]), b"re:open");
        flows.close();
        assert_no_threads("ul");
    }

    /// Odd targets answer, even ones do not. All are ended by a reset, and then
    /// tell so.
    fn half_deaf(ends: Sender<u16>) -> impl Fn(Destination, Link) -> Result<(), DispatchError> {
        move |to, mut link| loop {
            match link.reader.read() {
                Ok(Some(_)) if to.port % 2 == 1 => link.writer.try_write(b"yes").map(drop)?,
                Ok(Some(_)) => {}
                outcome => {
                    assert!(matches!(outcome, Err(LinkError::Reset)), "{outcome:?}");
                    let _ = ends.send(to.port);
                    return Ok(());
                }
            }
        }
    }

    /// Whoever sends under forged addresses cannot keep others out: what nobody
    /// answers gives way, and only that.
    #[test]
    fn the_oldest_flow_without_an_answer_gives_way() {
        let limits = FlowLimits {
            flows: 3,
            answer: Duration::ZERO,
            ..FlowLimits::default()
        };
        let (tell, ends) = unbounded();
        let flows = start("um", &system_idle(), limits, half_deaf(tell));
        let visitor = visitor(&flows);
        assert_eq!(ask(&visitor, &[1]), b"re:yes");
        for deaf in [2, 4] {
            visitor.send(&[deaf]).unwrap();
        }
        for (next, cut) in [(3, 2), (5, 4)] {
            assert_eq!(ask(&visitor, &[next]), b"re:yes");
            assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), cut);
        }
        visitor.send(&[6]).unwrap();
        eventually("all have been answered, and stay", || {
            flows.stats().refused == 1
        });
        for answered in [1, 3, 5] {
            assert_eq!(ask(&visitor, &[answered]), b"re:yes");
        }
        let stats = flows.stats();
        assert_eq!((stats.opened, stats.cut, stats.refused), (5, 2, 1));
        flows.close();
        assert_no_threads("um");
    }

    #[test]
    fn a_flow_has_its_time_to_be_answered() {
        let limits = FlowLimits {
            flows: 1,
            answer: 60 * PATIENCE,
            ..FlowLimits::default()
        };
        let (tell, _ends) = unbounded();
        let flows = start("un", &system_idle(), limits, half_deaf(tell));
        let visitor = visitor(&flows);
        visitor.send(&[2]).unwrap();
        visitor.send(&[1]).unwrap();
        eventually("there is no room", || flows.stats().refused == 1);
        assert_eq!((flows.live(), flows.stats().cut), (1, 0));
    }

    /// Cut flows leave their places, of their source too, but not more threads
    /// than there are places.
    #[test]
    fn threads_of_flows_that_were_cut_are_bounded() {
        let limits = FlowLimits {
            flows: 2,
            flows_per_source: 3,
            answer: Duration::ZERO,
            ..FlowLimits::default()
        };
        let (give, links) = unbounded();
        let release = Arc::new(Done::new());
        let serve = hold(give, release.clone());
        let flows = start("uo", &system_idle(), limits, move |_, link| serve(link));
        let visitor = visitor(&flows);
        for target in 1..=5 {
            visitor.send(&[target]).unwrap();
        }
        eventually("the last is refused", || flows.stats().refused == 1);
        assert_eq!((flows.live(), flows.stats().cut), (4, 2));
        release.signal();
        drop(links);
        eventually("all have ended", || flows.live() == 0);
        for target in 1..=2 {
            visitor.send(&[target]).unwrap();
        }
        eventually("there is room again", || flows.stats().opened == 6);
        assert_eq!((flows.stats().refused, flows.stats().cut), (1, 2));
    }

    #[test]
    fn a_full_queue_drops_the_newest_and_holds_nobody_up() {
        let (give, links) = unbounded();
        let release = Arc::new(Done::new());
        let serve = hold(give, release.clone());
        let echo_on_two = move |to: Destination, link| match to.port {
            2 => echo(to, link),
            _ => serve(link),
        };
        let flows = start("uf", &system_idle(), FlowLimits::default(), echo_on_two);
        let visitor = visitor(&flows);
        let more = 10;
        for i in 0..PARKED_DATAGRAMS + more {
            let mut data = vec![1; 1201];
            data[1] = i as u8;
            visitor.send(&data).unwrap();
            let handled = i as u64 + 1;
            eventually("the datagram is handled", || {
                let stats = flows.stats();
                stats.taken + stats.overflowed == handled
            });
        }
        assert_eq!(flows.stats().overflowed, more as u64);
        assert_eq!(ask(&visitor, b"\x02other"), b"re:other");

        let mut link = links.recv_timeout(PATIENCE).unwrap();
        for i in 0..PARKED_DATAGRAMS {
            let buf = link.reader.read_timeout(PATIENCE).unwrap().unwrap();
            assert_eq!((buf.len(), buf.as_slice()[0]), (1200, i as u8));
        }
        let beyond = link.reader.read_timeout(Duration::ZERO);
        assert!(matches!(beyond, Err(LinkError::TimedOut)), "{beyond:?}");
        release.signal();
    }

    #[test]
    fn an_idle_flow_ends_in_an_orderly_way() {
        let time = SlowMotion::new();
        let (tell, told) = bounded(1);
        let limits = FlowLimits::default();
        let flows = start("ug", &time.idle, limits, move |to, link| {
            let ended = echo(to, link);
            let _ = tell.send(ended.is_ok());
            ended
        });
        let visitor = visitor(&flows);
        assert_eq!(ask(&visitor, b"\x01a"), b"re:a");
        time.pass(UDP_IDLE);
        assert_eq!(ask(&visitor, b"\x01b"), b"re:b");
        time.pass(UDP_IDLE);
        assert_eq!(flows.live(), 1, "it was used since the last check");
        // Twice: the last packet may have been noted after the last check.
        time.pass(UDP_IDLE);
        time.pass(UDP_IDLE);
        assert!(told.recv_timeout(PATIENCE).unwrap(), "not an orderly end");
        eventually("the thread ends", || flows.live() == 0);
        assert_eq!(ask(&visitor, b"\x01c"), b"re:c");
        assert_eq!(flows.stats().opened, 2);
        flows.close();
        assert_no_threads("ug");
    }

    #[test]
    fn closing_a_flows_writer_ends_it_and_the_next_datagram_opens_another() {
        let flows = start("uh", &system_idle(), FlowLimits::default(), |_, link| {
            let mut link = link;
            let asked = link.reader.read()?.unwrap();
            link.writer.try_write(asked.as_slice())?;
            link.writer.close()?;
            match link.reader.read()? {
                None => Ok(()),
                Some(_) => Err(DispatchError::Refused("more data after the end")),
            }
        });
        let visitor = visitor(&flows);
        for round in 1..=5 {
            assert_eq!(ask(&visitor, &[1, round]), [b'r', b'e', b':', round]);
            eventually("the flow ends", || flows.live() == 0);
            assert_eq!(flows.stats().opened, u64::from(round));
        }
    }

    #[test]
    fn closing_ends_blocked_flows_with_an_error_and_joins_all() {
        let (tell, told) = bounded(2);
        let flows = start(
            "ui",
            &system_idle(),
            FlowLimits::default(),
            move |_, mut link| {
                let _first = link.reader.read()?;
                let outcome = link.reader.read();
                let _ = tell.send(matches!(outcome, Err(LinkError::Reset)));
                Ok(())
            },
        );
        let visitor = visitor(&flows);
        visitor.send(&[1]).unwrap();
        visitor.send(&[2]).unwrap();
        eventually("both flows are there", || flows.stats().taken == 2);
        eventually("their threads are named", || {
            let names = threads_of("ui");
            ["in-ui-udp", "udp-ui-1", "udp-ui-2"]
                .iter()
                .all(|name| names.iter().any(|n| n.trim_end() == *name))
        });
        flows.close();
        assert_eq!(flows.live(), 0);
        for _ in 0..2 {
            assert!(told.recv_timeout(PATIENCE).unwrap(), "no reset seen");
        }
        assert_no_threads("ui");
        flows.close();
    }

    #[test]
    fn a_flow_whose_service_fails_leaves_room() {
        let limits = FlowLimits {
            flows: 1,
            ..FlowLimits::default()
        };
        let flows = start("uj", &system_idle(), limits, |_, _| {
            Err(DispatchError::Refused("on purpose"))
        });
        let visitor = visitor(&flows);
        for round in 1..=3 {
            visitor.send(&[1]).unwrap();
            eventually("a flow came and went", || {
                flows.stats().opened == round && flows.live() == 0
            });
        }
        assert_eq!(flows.stats().refused, 0);
    }

    #[test]
    fn destinations_of_flows_are_for_datagrams() {
        let (tell, told) = bounded(1);
        let flows = start("uk", &system_idle(), FlowLimits::default(), move |to, _| {
            let _ = tell.send(to);
            Ok(())
        });
        visitor(&flows).send(&[5]).unwrap();
        let target = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!((target.network, target.port), (Network::Udp, 5));
    }
}
