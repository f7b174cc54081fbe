//! VMess inbound and outbound, over loopback.

mod loopback;
#[path = "vmess/raw.rs"]
mod raw;

use std::io::Write;
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loopback::{PATIENCE, Site, Target, freedom, idle, read_exactly, read_to_end, write};
use muxcool::buf::Buf;
use muxcool::limits::{MAX_HANDSHAKE, MUX_DOMAIN, VMESS_DRAIN_JITTER};
use muxcool::link::{DispatchError, Link, LinkError, Outbound as _, Request};
use muxcool::net::{Destination, Network};
use muxcool::proxy::blackhole;
use muxcool::proxy::vmess::wire::Options;
use muxcool::proxy::vmess::{
    Client, Inbound, InboundOptions, MAX_SENT_PACKET, Outbound, OutboundOptions, Security, Server,
    User, oversized_datagrams,
};
use muxcool::proxy::{InboundContext, ProxyError};
use raw::{RESPONSE_LEN, Raw};
use socket2::{Domain, Socket, Type};
use uuid::{Uuid, uuid};

const ID: Uuid = uuid!("b831381d-6324-4d53-ad4f-8cda48b30811");
const STRANGER: Uuid = uuid!("b831381d-6324-4d53-ad4f-8cda48b30812");

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs().cast_signed()
}

fn options() -> InboundOptions {
    let client = |id, email: &str| Client {
        id,
        email: email.into(),
    };
    InboundOptions {
        clients: vec![client(Uuid::nil(), ""), client(ID, "a@example.com")],
        only_encrypted: false,
    }
}

fn site() -> Site {
    Site::new(freedom(), |context| Inbound::new(context, options()))
}

/// A clock that a test sets.
#[derive(Clone)]
struct TestClock(Arc<AtomicI64>);

impl TestClock {
    const START: i64 = 1_700_000_000;

    fn new() -> Self {
        Self(Arc::new(AtomicI64::new(Self::START)))
    }

    fn set(&self, seconds: i64) {
        self.0.store(Self::START + seconds, Ordering::SeqCst);
    }

    fn site(&self) -> Site {
        let clock = self.0.clone();
        Site::new(freedom(), |context| {
            Inbound::new(context, options()).with_clock(move || clock.load(Ordering::SeqCst))
        })
    }
}

fn outbound_as(user: User, servers: &[SocketAddr]) -> Outbound {
    let server = |address: &SocketAddr| Server {
        address: address.ip().into(),
        port: address.port(),
        users: vec![user.clone()],
    };
    let options = OutboundOptions {
        servers: servers.iter().map(server).collect(),
        send_through: None,
    };
    Outbound::new("out".into(), options, idle())
}

fn outbound(servers: &[SocketAddr]) -> Outbound {
    outbound_as(User::new(ID), servers)
}

/// A link to `target` by way of `site`.
fn connect(site: &Site, target: Destination) -> Link {
    let outbound = outbound(&[site.address]);
    outbound.connect(&Request::new(target)).unwrap()
}

fn every_kind_of_user() -> Vec<User> {
    let user = |security, sealed_sizes| User {
        id: ID,
        security,
        sealed_sizes,
    };
    vec![
        user(None, false),
        user(Some(Security::Aes128Gcm), false),
        user(Some(Security::Aes128Gcm), true),
        user(Some(Security::Chacha20Poly1305), false),
        user(Some(Security::Chacha20Poly1305), true),
        user(Some(Security::None), false),
    ]
}

#[test]
fn streams_arrive_whole_and_each_direction_ends_on_its_own() {
    let site = site();
    for user in every_kind_of_user() {
        let target = Target::new();
        let outbound = outbound_as(user, &[site.address]);
        let request = Request::new(target.destination());
        let mut link = outbound.connect(&request).unwrap();
        let data: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
        let sent = data.clone();
        let writing = std::thread::spawn(move || {
            write(link.writer.as_mut(), &sent);
            link.writer.close().unwrap();
            link
        });
        let mut peer = target.accept();
        assert_eq!(peer.rest(), (data, true));
        let mut link = writing.join().unwrap();
        peer.send("answer after the end");
        peer.end();
        let (answer, end) = read_to_end(link.reader.as_mut());
        assert_eq!(answer, b"answer after the end");
        assert!(end.is_ok());
        assert!(site.end().is_ok());
        let request = site.request();
        assert_eq!(request.user.as_deref(), Some("a@example.com"));
        assert!(!request.anonymous);
        assert_eq!(request.target, target.destination());
        assert_eq!(&*request.inbound, "in");
        assert!(request.source.is_some_and(|from| from.ip().is_loopback()));
    }
}

#[test]
fn both_directions_carry_much_at_once() {
    const BYTES: usize = 8 * 1024 * 1024;
    let site = site();
    let target = Target::echo();
    let mut link = connect(&site, (Network::Tcp, target).into());
    let data: Vec<u8> = (0..BYTES).map(|i| (i / 7) as u8).collect();
    let sent = data.clone();
    let writing = std::thread::spawn(move || {
        for piece in sent.chunks(100_000) {
            write(link.writer.as_mut(), piece);
        }
        link.writer.close().unwrap();
        link.writer
    });
    let got = read_exactly(link.reader.as_mut(), BYTES);
    assert!(got == data);
    writing.join().unwrap();
}

#[test]
fn a_request_may_come_in_single_bytes() {
    let site = site();
    let target = Target::new();
    let mut client = Raw::new(Uuid::nil(), target.destination(), now());
    let mut visitor = site.visit();
    let bytes = [client.head(), client.chunk(b"payload")].concat();
    for byte in bytes {
        visitor.send([byte]);
    }
    let mut peer = target.accept();
    peer.expect("payload");
    assert_eq!(site.request().user, None, "a client without a name");
    peer.send("x");
    client.expect(&mut visitor, b"x");
}

#[test]
fn the_response_waits_for_the_first_byte() {
    let site = site();
    let target = Target::new();
    let mut client = Raw::new(ID, target.destination(), now());
    let mut visitor = site.visit();
    visitor.send(client.head());
    let mut peer = target.accept();
    visitor.expect_silence();
    peer.send("x");
    client.expect(&mut visitor, b"x");
    peer.end();
    client.expect_end(&mut visitor);
}

/// Both are silent, and neither ends its side of the connection.
#[test]
fn after_the_last_chunk_the_shorter_idle_time_applies() {
    let site = Site::new(freedom(), |context| {
        let mut idle = idle();
        idle.times.after_read = Duration::from_millis(20);
        Inbound::new(InboundContext { idle, ..context }, options())
    });
    let target = Target::new();
    let mut client = Raw::new(ID, target.destination(), now());
    let mut visitor = site.visit();
    visitor.send([client.head(), client.chunk(b"all")].concat());
    let mut peer = target.accept();
    peer.expect("all");
    visitor.expect_silence();
    visitor.send(client.end());
    visitor.expect_reset();
    peer.expect_end();
    drop(peer);
    assert!(site.end().is_err());
}

#[test]
fn a_target_without_a_byte_gives_a_response_and_an_end() {
    let site = site();
    let target = Target::new();
    let mut client = Raw::new(ID, target.destination(), now());
    let mut visitor = site.visit();
    visitor.send(client.head());
    target.accept().end();
    client.expect_end(&mut visitor);
    let mut link = connect(&site, target.destination());
    link.writer.flush().unwrap();
    target.accept().end();
    assert!(matches!(read_to_end(link.reader.as_mut()), (none, Ok(())) if none.is_empty()));
}

/// The end of a direction is its last chunk, not the end of the connection.
#[test]
fn a_clients_end_is_passed_on_while_its_connection_stays_open() {
    let site = site();
    let target = Target::new();
    let mut client = Raw::new(ID, target.destination(), now());
    let mut visitor = site.visit();
    visitor.send([client.head(), client.chunk(b"all"), client.end()].concat());
    let mut peer = target.accept();
    assert_eq!(peer.rest(), (b"all".to_vec(), true));
    peer.send("answer");
    client.expect(&mut visitor, b"answer");
    peer.end();
    client.expect_end(&mut visitor);
}

#[test]
fn a_body_that_is_cut_or_damaged_resets_the_target() {
    let site = site();
    for damage in ["cut between chunks", "cut in a chunk", "damaged"] {
        let target = Target::new();
        let mut client = Raw::new(ID, target.destination(), now());
        let mut visitor = site.visit();
        visitor.send([client.head(), client.chunk(b"good")].concat());
        let mut peer = target.accept();
        peer.expect("good");
        let mut chunk = client.chunk(b"more");
        match damage {
            "cut between chunks" => {}
            "cut in a chunk" => visitor.send(&chunk[..10]),
            _ => {
                chunk[5] ^= 1;
                visitor.send(chunk);
            }
        }
        if damage != "damaged" {
            visitor.end();
        }
        peer.expect_reset();
        let end = site.end();
        assert!(
            matches!(
                end,
                Err(ProxyError::Dispatch(DispatchError::Link(
                    LinkError::Protocol(_)
                )))
            ),
            "{damage}: {end:?}"
        );
        visitor.expect_reset();
    }
}

/// What a server that has spoken like this makes of a client's link.
fn heard_from(words: impl FnOnce(&mut Raw) -> Vec<u8>) -> (Vec<u8>, Result<(), LinkError>) {
    let server = Target::new();
    let outbound = outbound(&[server.address]);
    let destination = Destination::tcp("192.0.2.1", 80).unwrap();
    let mut link = outbound.connect(&Request::new(destination)).unwrap();
    link.writer.flush().unwrap();
    let mut visitor = server.accept();
    let mut raw = Raw::of_request(ID, &mut visitor);
    visitor.send(words(&mut raw));
    visitor.end();
    read_to_end(link.reader.as_mut())
}

#[test]
fn a_servers_end_is_its_last_chunk() {
    let (got, end) = heard_from(|raw| [raw.response(), raw.answer(b"all"), raw.last()].concat());
    assert_eq!((got.as_slice(), end.is_ok()), (&b"all"[..], true));
    let (got, end) = heard_from(|raw| [raw.response(), raw.answer(b"some")].concat());
    assert_eq!(got, b"some");
    assert!(matches!(end, Err(LinkError::Protocol(_))), "{end:?}");
    let cut = |raw: &mut Raw| {
        let mut words = [raw.response(), raw.answer(b"some"), raw.last()].concat();
        words.pop();
        words
    };
    assert!(matches!(heard_from(cut).1, Err(LinkError::Protocol(_))));
}

/// So V2Ray's server ends whose target says nothing.
#[test]
fn a_response_without_a_body_is_an_empty_answer() {
    let (got, end) = heard_from(Raw::response);
    assert!(got.is_empty() && end.is_ok(), "{end:?}");
}

#[test]
fn no_response_or_a_foreign_one_is_an_error() {
    let cases: [fn(&mut Raw) -> Vec<u8>; 4] = [
        |_| Vec::new(),
        |raw| raw.response()[..20].to_vec(),
        |raw| {
            let mut words = raw.response();
            words[3] ^= 1;
            words
        },
        |raw| {
            raw.header.answer ^= 1;
            raw.response()
        },
    ];
    for words in cases {
        let (got, end) = heard_from(words);
        assert!(got.is_empty());
        assert!(matches!(end, Err(LinkError::Protocol(_))), "{end:?}");
    }
}

/// A stranger's bytes, and whatever makes him one.
fn strangers(clock: i64) -> Vec<(&'static str, Vec<u8>)> {
    let target = Destination::tcp("192.0.2.1", 80).unwrap();
    let head = |id, time| Raw::new(id, target.clone(), time).head();
    let damaged = |at: usize| {
        let mut head = head(ID, clock);
        head[at] ^= 1;
        head
    };
    vec![
        ("unknown id", head(STRANGER, clock)),
        ("late", head(ID, clock - 121)),
        ("early", head(ID, clock + 121)),
        ("auth id", damaged(3)),
        ("length", damaged(17)),
        ("nonce", damaged(35)),
        ("header", damaged(50)),
    ]
}

/// Whether somebody who says no more than `len` bytes is cut off, and not left
/// to end by himself. Nothing may come back.
fn is_cut_off(site: &Site, head: &[u8], len: usize) -> bool {
    let mut visitor = site.visit();
    let _ = visitor
        .0
        .write_all(&[head, &vec![0x55; len - head.len()]].concat());
    let _ = visitor.0.shutdown(Shutdown::Write);
    let (heard, clean) = visitor.rest();
    assert!(heard.is_empty());
    !clean
}

/// After about how many bytes a stranger is cut off.
fn patience(site: &Site, head: &[u8]) -> usize {
    let (mut least, mut most) = (head.len(), MAX_HANDSHAKE);
    while most - least > 1 {
        let middle = least.midpoint(most);
        match is_cut_off(site, head, middle) {
            true => most = middle,
            false => least = middle,
        }
    }
    most
}

#[test]
fn a_stranger_hears_nothing_until_he_is_cut_off() {
    let site = TestClock::new().site();
    for (what, head) in strangers(TestClock::START) {
        let mut visitor = site.visit();
        visitor.send(&head);
        visitor.expect_silence();
        visitor.send(vec![0x55; 8_000]);
        visitor.expect_reset();
        let error = site.end().unwrap_err();
        assert!(
            matches!(error, ProxyError::Refused(_) | ProxyError::Malformed(_)),
            "{what}: {error:?}"
        );
        let mut visitor = site.visit();
        visitor.send(&head[..15]);
        visitor.expect_silence();
        visitor.send(&head[15..]);
        visitor.end();
        visitor.expect_end();
        site.end().unwrap_err();
    }
    assert!(site.requests.is_empty(), "nothing was passed on");
}

#[test]
fn strangers_are_cut_off_after_about_the_same_whatever_they_did() {
    let site = TestClock::new().site();
    let lens: Vec<usize> = strangers(TestClock::START)
        .iter()
        .map(|(_, head)| patience(&site, head))
        .collect();
    let (least, most) = (lens.iter().min().unwrap(), lens.iter().max().unwrap());
    assert!(most - least < VMESS_DRAIN_JITTER, "{lens:?}");
    assert!(*most < MAX_HANDSHAKE, "never");
}

#[test]
fn a_request_is_served_once() {
    let clock = TestClock::new();
    let site = clock.site();
    let target = Target::new();
    let mut client = Raw::new(ID, target.destination(), TestClock::START);
    let head = client.head();
    let mut visitor = site.visit();
    visitor.send([head.clone(), client.chunk(b"once")].concat());
    target.accept().expect("once");
    site.request();
    drop(visitor);
    assert!(site.end().is_err(), "the body was cut");
    for later in [0, 1, 60, 119, 120, 121, 1_000] {
        clock.set(later);
        let mut visitor = site.visit();
        visitor.send(&head);
        visitor.expect_silence();
        visitor.end();
        visitor.expect_end();
        let error = site.end().unwrap_err();
        let text = error.to_string();
        let expected = match later {
            ..=120 => "a request that came before",
            _ => "a clock that differs by more than two minutes",
        };
        assert_eq!(text, expected, "{later} s later");
    }
    assert!(site.requests.is_empty());
}

/// The same keys under another auth id: only the user himself can do that.
#[test]
fn body_keys_are_used_once() {
    let site = TestClock::new().site();
    let target = Target::new();
    let mut client = Raw::new(ID, target.destination(), TestClock::START);
    let (first, second) = (client.head(), client.head());
    let mut visitor = site.visit();
    visitor.send([first, client.chunk(b"once")].concat());
    target.accept().expect("once");
    drop(visitor);
    site.end().unwrap_err();
    let mut visitor = site.visit();
    visitor.send(second);
    visitor.expect_end();
    let error = site.end().unwrap_err();
    assert_eq!(error.to_string(), "body keys that were used before");
}

/// A change to a request that only a user can make.
type Mistake = (&'static str, fn(&mut Vec<u8>));

#[test]
fn a_users_own_mistakes_end_the_connection_at_once() {
    let site = site();
    let target = Destination::tcp("192.0.2.1", 80).unwrap();
    let mistakes: [Mistake; 7] = [
        ("checksum", |plain| *plain.last_mut().unwrap() ^= 1),
        ("short", |plain| plain.truncate(20)),
        ("padding without mask", |plain| plain[34] = 0x09),
        ("old encryption", |plain| plain[35] = 1),
        ("unknown encryption", |plain| plain[35] = 15),
        ("command", |plain| plain[37] = 4),
        ("too long", |plain| plain.resize(2_000, 0)),
    ];
    for (what, change) in mistakes {
        let client = Raw::new(ID, target.clone(), now());
        let mut visitor = site.visit();
        visitor.send(client.head_with(change));
        assert!(visitor.rest().0.is_empty(), "{what}");
        let error = site.end().unwrap_err();
        assert!(
            matches!(error, ProxyError::Malformed(_)),
            "{what}: {error:?}"
        );
    }
    assert!(site.requests.is_empty(), "nothing was passed on");
}

#[test]
fn bodies_without_encryption_can_be_refused() {
    let options = InboundOptions {
        only_encrypted: true,
        ..options()
    };
    let site = Site::new(freedom(), |context| Inbound::new(context, options));
    let target = Destination::tcp("192.0.2.1", 80).unwrap();
    let mut client = Raw::new(ID, target, now());
    client.set(Security::None, Options::usual(Security::None));
    let mut visitor = site.visit();
    visitor.send(client.head());
    visitor.expect_end();
    assert!(matches!(site.end(), Err(ProxyError::Refused(_))));
}

/// What V2Ray 5 calls "zero".
#[test]
fn a_body_without_encryption_and_chunks_is_raw() {
    let site = site();
    let target = Target::new();
    let mut client = Raw::new(ID, target.destination(), now());
    client.set(Security::None, Options(0));
    let mut visitor = site.visit();
    visitor.send([client.head(), b"raw".to_vec()].concat());
    let mut peer = target.accept();
    peer.expect("raw");
    peer.send("answer");
    assert_eq!(visitor.take(RESPONSE_LEN), client.response());
    visitor.expect("answer");
    visitor.end();
    peer.expect_end();
    let udp = Destination::udp("192.0.2.1", 53).unwrap();
    let mut client = Raw::new(ID, udp, now());
    client.set(Security::None, Options(0));
    let mut visitor = site.visit();
    visitor.send(client.head());
    visitor.expect_end();
}

#[test]
fn half_a_request_ends_at_the_deadline_and_so_does_a_stranger() {
    let site = |limit: u64| {
        let limit = Duration::from_millis(limit);
        Site::with_handshake(limit, freedom(), |context| Inbound::new(context, options()))
    };
    let target = Destination::tcp("192.0.2.1", 80).unwrap();
    let head = Raw::new(ID, target.clone(), now()).head();
    let hurried = site(50);
    for len in [10, 20, 60] {
        let mut visitor = hurried.visit();
        visitor.send(&head[..len]);
        visitor.expect_closed();
        hurried.end().unwrap_err();
    }
    let site = site(1_000); // in which he is heard
    let mut visitor = site.visit();
    visitor.send(Raw::new(STRANGER, target, now()).head());
    visitor.expect_end();
    assert!(matches!(site.end(), Err(ProxyError::Refused(_))));
}

#[test]
fn the_command_mux_goes_to_the_mux_domain() {
    let nowhere = blackhole::OutboundOptions::default();
    let nowhere = Arc::new(blackhole::Outbound::new("none".into(), nowhere));
    let site = Site::new(nowhere, |context| Inbound::new(context, options()));
    let mut link = connect(&site, Destination::tcp(MUX_DOMAIN, 9527).unwrap());
    link.writer.flush().unwrap();
    let target = site.request().target;
    assert_eq!(target, Destination::tcp(MUX_DOMAIN, 0).unwrap());
}

#[test]
fn datagrams_keep_their_borders_and_large_ones_are_dropped() {
    let site = site();
    let echo = UdpSocket::bind("127.0.0.1:0").unwrap();
    echo.set_read_timeout(Some(PATIENCE)).unwrap();
    let target: Destination = (Network::Udp, echo.local_addr().unwrap()).into();
    for user in every_kind_of_user() {
        let outbound = outbound_as(user, &[site.address]);
        let mut link = outbound.connect(&Request::new(target.clone())).unwrap();
        let before = oversized_datagrams();
        let batch = [
            vec![1; 1],
            vec![2; MAX_SENT_PACKET],
            vec![3; MAX_SENT_PACKET + 1],
            vec![],
            vec![4; 700],
        ];
        let mut batch = batch.iter().map(|packet| Buf::copy_of(packet)).collect();
        link.writer.write(&mut batch).unwrap();
        for (byte, len) in [(1, 1), (2, MAX_SENT_PACKET), (4, 700)] {
            let mut packet = [0; 4_000];
            let (got, from) = echo.recv_from(&mut packet).unwrap();
            assert_eq!(packet[..got], vec![byte; len]);
            echo.send_to(&packet[..got], from).unwrap();
            let back = link.reader.read_timeout(PATIENCE).unwrap().unwrap();
            assert_eq!(back.as_slice(), vec![byte; len]);
        }
        assert!(oversized_datagrams() > before);
    }
}

#[test]
fn a_server_out_of_reach_is_passed_over() {
    let site = site();
    let target = Target::new();
    // Bound, so that nobody else has it, but not listening.
    let deaf = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    deaf.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let deaf_address = deaf.local_addr().unwrap().as_socket().unwrap();
    let outbound = outbound(&[deaf_address, site.address]);
    for _ in 0..3 {
        let request = Request::new(target.destination());
        let mut link = outbound.connect(&request).unwrap();
        write(link.writer.as_mut(), b"x");
        target.accept().expect("x");
    }
}

/// A request says the time at which it is sent, which may be later.
#[test]
fn a_request_says_when_it_is_sent() {
    let clock = TestClock::new();
    let site = clock.site();
    let target = Target::new();
    let theirs = clock.0.clone();
    let outbound = outbound(&[site.address]).with_clock(move || theirs.load(Ordering::SeqCst));
    let mut link = outbound
        .connect(&Request::new(target.destination()))
        .unwrap();
    clock.set(500);
    write(link.writer.as_mut(), b"later");
    target.accept().expect("later");
}

/// As many clients as there can be, at once: none is taken for another.
#[test]
fn many_requests_in_one_second_are_all_served() {
    let site = site();
    let echo = Target::echo();
    std::thread::scope(|threads| {
        for _ in 0..8 {
            threads.spawn(|| {
                for _ in 0..50 {
                    let mut link = connect(&site, (Network::Tcp, echo).into());
                    write(link.writer.as_mut(), b"hello");
                    assert_eq!(read_exactly(link.reader.as_mut(), 5), b"hello");
                    link.writer.close().unwrap();
                    assert!(matches!(read_to_end(link.reader.as_mut()), (_, Ok(()))));
                }
            });
        }
    });
}
