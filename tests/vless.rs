//! VLESS inbound and outbound, over loopback.

mod loopback;

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use loopback::{
    PATIENCE, Peer, Site, Target, closed_port, freedom, idle, read_exactly, read_to_end, write,
};
use muxcool::limits::MUX_DOMAIN;
use muxcool::link::{DispatchError, Link, LinkError, Outbound as _, Request};
use muxcool::net::{Destination, Network};
use muxcool::proxy::ProxyError;
use muxcool::proxy::blackhole;
use muxcool::proxy::vless::wire::{MAX_SENT_PACKET, write_request};
use muxcool::proxy::vless::{
    Client, Inbound, InboundOptions, Outbound, OutboundOptions, Server, oversized_datagrams,
};
use uuid::{Uuid, uuid};

const ID: Uuid = uuid!("b831381d-6324-4d53-ad4f-8cda48b30811");
const STRANGER: Uuid = uuid!("b831381d-6324-4d53-ad4f-8cda48b30812");

fn options() -> InboundOptions {
    let client = |id, email: &str| Client {
        id,
        email: email.into(),
    };
    InboundOptions {
        clients: vec![
            client(Uuid::nil(), ""),
            client(ID, "old@example.com"),
            client(ID, "a@example.com"),
        ],
    }
}

fn site() -> Site {
    Site::new(freedom(), |context| Inbound::new(context, options()))
}

fn outbound(servers: &[SocketAddr]) -> Outbound {
    let server = |address: &SocketAddr| Server {
        address: address.ip().into(),
        port: address.port(),
        users: vec![ID],
    };
    let options = OutboundOptions {
        servers: servers.iter().map(server).collect(),
        send_through: None,
    };
    Outbound::new("out".into(), options, idle())
}

/// A link to `target` by way of `site`.
fn connect(site: &Site, target: Destination) -> Link {
    let outbound = outbound(&[site.address]);
    outbound.connect(&Request::new(target)).unwrap()
}

fn header(id: Uuid, target: &Destination) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_request(&mut bytes, &id, target);
    bytes
}

fn tcp(address: SocketAddr) -> Destination {
    (Network::Tcp, address).into()
}

#[test]
fn streams_arrive_whole_and_each_direction_ends_on_its_own() {
    let site = site();
    let target = Target::new();
    let mut link = connect(&site, target.destination());
    let data: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    let sent = data.clone();
    let writing = std::thread::spawn(move || {
        write(link.writer.as_mut(), &sent);
        link.writer.close().unwrap();
        link
    });
    let mut peer = target.accept();
    assert_eq!(peer.rest(), (data.clone(), true));
    let mut link = writing.join().unwrap();
    peer.send("answer after the end");
    peer.end();
    let (answer, end) = read_to_end(link.reader.as_mut());
    assert_eq!(answer, b"answer after the end");
    assert!(end.is_ok());
    assert!(site.end().is_ok());
    let request = site.request();
    assert_eq!(
        request.user.as_deref(),
        Some("a@example.com"),
        "the last of two"
    );
    assert_eq!(request.target, target.destination());
    assert_eq!(&*request.inbound, "in");
    assert!(request.source.is_some_and(|from| from.ip().is_loopback()));
}

#[test]
fn a_header_may_come_in_single_bytes() {
    let site = site();
    let target = Target::new();
    let mut visitor = site.visit();
    for byte in header(Uuid::nil(), &target.destination()) {
        visitor.send([byte]);
    }
    visitor.send("payload");
    let mut peer = target.accept();
    peer.expect("payload");
    assert_eq!(site.request().user, None, "a client without a name");
    peer.send("x");
    visitor.expect(b"\0\0x");
}

#[test]
fn payload_may_follow_the_header_at_once() {
    let site = site();
    let target = Target::new();
    let mut visitor = site.visit();
    let payload = vec![9; 5_000];
    visitor.send([header(ID, &target.destination()), payload.clone()].concat());
    target.accept().expect(payload);
}

#[test]
fn the_response_header_waits_for_the_first_byte() {
    let site = site();
    let target = Target::new();
    let mut visitor = site.visit();
    visitor.send(header(ID, &target.destination()));
    let mut peer = target.accept();
    visitor.expect_silence();
    peer.send("x");
    visitor.expect(b"\0\0x");
    peer.end();
    visitor.expect_end();
}

#[test]
fn a_target_without_a_byte_gives_no_response_header() {
    let site = site();
    let target = Target::new();
    let mut visitor = site.visit();
    visitor.send(header(ID, &target.destination()));
    target.accept().end();
    visitor.expect_end();
    let mut link = connect(&site, target.destination());
    link.writer.flush().unwrap();
    target.accept().end();
    assert!(matches!(read_to_end(link.reader.as_mut()), (none, Ok(())) if none.is_empty()));
}

/// What is wrong, what is sent, and what the inbound must say about it.
type BadHeader = (&'static str, Vec<u8>, fn(&ProxyError) -> bool);

fn bad_headers() -> Vec<BadHeader> {
    let good = header(ID, &Destination::tcp("192.0.2.1", 80).unwrap());
    let with = |at: usize, bytes: &[u8]| [&good[..at], bytes].concat();
    let stranger = header(STRANGER, &Destination::tcp("192.0.2.1", 80).unwrap());
    let malformed = |e: &ProxyError| matches!(e, ProxyError::Malformed(_));
    let refused = |e: &ProxyError| matches!(e, ProxyError::Refused(_));
    let address = |e: &ProxyError| matches!(e, ProxyError::Address(_));
    vec![
        ("version", vec![1], malformed),
        ("unknown id, no more", stranger[..17].to_vec(), refused),
        ("unknown id", stranger, refused),
        ("addons", with(17, &[1, 0x0a]), malformed),
        ("command", with(17, &[0, 4]), malformed),
        ("address type", with(17, &[0, 1, 0, 80, 9]), address),
        (
            "domain",
            with(17, &[0, 1, 0, 80, 2, 3, b'a', b' ', b'b']),
            address,
        ),
    ]
}

#[test]
fn who_sends_no_good_header_is_cut_off_without_a_byte() {
    let site = site();
    for (what, bytes, expected) in bad_headers() {
        let mut visitor = site.visit();
        visitor.send(bytes);
        assert_eq!(visitor.rest(), (vec![], true), "{what}");
        let error = site.end().unwrap_err();
        assert!(expected(&error), "{what}: {error:?}");
    }
    assert!(site.requests.is_empty(), "nothing was passed on");
}

#[test]
fn unread_bytes_behind_an_unknown_id_get_no_answer_either() {
    let site = site();
    let mut visitor = site.visit();
    let target = Destination::tcp("192.0.2.1", 80).unwrap();
    visitor.send([header(STRANGER, &target), vec![0; 5_000]].concat());
    assert!(visitor.rest().0.is_empty());
    assert!(matches!(site.end(), Err(ProxyError::Refused(_))));
}

#[test]
fn nobody_is_known_where_no_client_is_configured() {
    let site = Site::new(freedom(), |context| {
        Inbound::new(context, InboundOptions::default())
    });
    let mut visitor = site.visit();
    visitor.send(&header(Uuid::nil(), &Destination::tcp("192.0.2.1", 80).unwrap())[..17]);
    visitor.expect_end();
    assert!(matches!(site.end(), Err(ProxyError::Refused(_))));
}

#[test]
fn half_a_header_ends_at_the_deadline_and_an_early_end_at_once() {
    let limit = Duration::from_millis(20);
    let hurried =
        Site::with_handshake(limit, freedom(), |context| Inbound::new(context, options()));
    let mut visitor = hurried.visit();
    visitor.send([0, 1, 2]);
    visitor.expect_closed();
    assert!(matches!(hurried.end(), Err(ProxyError::Timeout)));
    let site = site();
    let mut visitor = site.visit();
    visitor.send([0, 1, 2]);
    visitor.end();
    visitor.expect_end();
    let end = site.end();
    assert!(matches!(end, Err(ProxyError::Io(e)) if e.kind() == ErrorKind::UnexpectedEof));
}

#[test]
fn the_command_mux_goes_to_the_mux_domain() {
    let nowhere = blackhole::OutboundOptions::default();
    let nowhere = Arc::new(blackhole::Outbound::new("none".into(), nowhere));
    let site = Site::new(nowhere, |context| Inbound::new(context, options()));
    let mut visitor = site.visit();
    visitor.send(header(ID, &Destination::tcp(MUX_DOMAIN, 9527).unwrap()));
    visitor.expect_reset();
    let target = site.request().target;
    assert_eq!(target, Destination::tcp(MUX_DOMAIN, 0).unwrap());
}

/// What a server sees of an outbound's link after `start`.
fn seen_by_server(target: Destination, start: impl FnOnce(&mut Link), expected: &[u8]) {
    let server = Target::new();
    let mut link = outbound(&[server.address])
        .connect(&Request::new(target))
        .unwrap();
    start(&mut link);
    server.accept().expect(expected);
}

#[test]
fn a_request_goes_with_its_payload_or_alone() {
    let target = Destination::tcp("example.com", 443).unwrap();
    let alone = header(ID, &target);
    let together = [&alone[..], b"payload"].concat();
    seen_by_server(
        target.clone(),
        |link| write(link.writer.as_mut(), b"payload"),
        &together,
    );
    seen_by_server(target.clone(), |link| link.writer.flush().unwrap(), &alone);
    seen_by_server(target.clone(), |link| link.writer.close().unwrap(), &alone);
    let try_write = |link: &mut Link| assert_eq!(link.writer.try_write(b"payload").unwrap(), 7);
    seen_by_server(target, try_write, &together);
    let mux = Destination::tcp(MUX_DOMAIN, 9527).unwrap();
    let expected = [&[0][..], ID.as_bytes(), &[0, 3]].concat();
    seen_by_server(mux, |link| link.writer.flush().unwrap(), &expected);
}

#[test]
fn a_server_that_answers_with_another_version_is_an_error() {
    let server = Target::new();
    let request = Request::new(Destination::tcp("192.0.2.1", 80).unwrap());
    let mut link = outbound(&[server.address]).connect(&request).unwrap();
    link.writer.flush().unwrap();
    server.accept().send([1, 0, b'x']);
    let (none, end) = read_to_end(link.reader.as_mut());
    assert!(none.is_empty());
    assert!(matches!(end, Err(LinkError::Protocol(_))), "{end:?}");
}

#[test]
fn servers_take_turns_and_a_dead_one_is_passed_over() {
    let (first, second) = (Target::new(), Target::new());
    let outbound = outbound(&[first.address, closed_port(), second.address]);
    let request = Request::new(Destination::tcp("192.0.2.1", 80).unwrap());
    for server in [&first, &second, &second, &first] {
        let _link = outbound.connect(&request).unwrap();
        server.accept();
    }
}

#[test]
fn no_server_is_an_error() {
    let request = Request::new(Destination::tcp("192.0.2.1", 80).unwrap());
    let refused = outbound(&[closed_port()]).connect(&request);
    assert!(matches!(refused, Err(DispatchError::Unreachable(_))));
    let nobody = outbound(&[]).connect(&request);
    assert!(matches!(nobody, Err(DispatchError::Refused(_))));
}

#[test]
fn a_reset_of_the_target_is_one_at_the_other_end() {
    let site = site();
    let target = Target::new();
    let mut link = connect(&site, target.destination());
    write(link.writer.as_mut(), b"request");
    let mut peer = target.accept();
    peer.expect("request");
    peer.send("part");
    assert_eq!(read_exactly(link.reader.as_mut(), 4), b"part");
    peer.reset();
    let (rest, end) = read_to_end(link.reader.as_mut());
    assert!(rest.is_empty());
    assert!(matches!(end, Err(LinkError::Reset)), "{end:?}");
    assert!(site.end().is_err());
}

#[test]
fn an_abort_is_a_reset_to_the_target() {
    let site = site();
    let target = Target::new();
    let mut link = connect(&site, target.destination());
    write(link.writer.as_mut(), b"part");
    let mut peer = target.accept();
    peer.expect("part");
    link.writer.abort();
    drop(link);
    peer.expect_reset();
    assert!(site.end().is_err());
}

#[test]
fn a_refused_target_ends_the_visitor_without_a_byte() {
    let site = site();
    let mut visitor = site.visit();
    visitor.send(header(ID, &tcp(closed_port())));
    visitor.expect_reset();
    let end = site.end();
    let unreachable =
        |e: &ProxyError| matches!(e, ProxyError::Dispatch(DispatchError::Unreachable(_)));
    assert!(end.as_ref().is_err_and(unreachable), "{end:?}");
}

#[test]
fn a_closing_server_resets_its_visitors_and_leaves_no_thread() {
    let site = site();
    let target = Target::new();
    let mut visitor = site.visit();
    visitor.send([&header(ID, &target.destination())[..], b"x"].concat());
    let mut peer: Peer = target.accept();
    peer.expect("x");
    site.server.close();
    visitor.expect_reset();
    peer.expect_reset();
    assert!(site.end().is_err());
}

/// A target for datagrams, and a link to it by way of a site.
fn datagrams() -> (Site, UdpSocket, Link) {
    let site = site();
    let target = UdpSocket::bind("127.0.0.1:0").unwrap();
    target.set_read_timeout(Some(PATIENCE)).unwrap();
    let destination = (Network::Udp, target.local_addr().unwrap()).into();
    let link = connect(&site, destination);
    (site, target, link)
}

fn receive(target: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut packet = [0; 70_000];
    let (len, from) = target.recv_from(&mut packet).unwrap();
    (packet[..len].to_vec(), from)
}

#[test]
fn datagrams_keep_their_borders_both_ways() {
    let (_site, target, mut link) = datagrams();
    for len in [1, 0, 1_200, MAX_SENT_PACKET] {
        write(link.writer.as_mut(), &vec![7; len]);
        let (packet, from) = receive(&target);
        assert_eq!(packet, vec![7; len]);
        target.send_to(&packet, from).unwrap();
        let answer = link.reader.read_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(answer.as_slice(), packet);
    }
}

#[test]
fn datagrams_that_a_v2ray_peer_would_cut_are_dropped() {
    let (_site, target, mut link) = datagrams();
    let before = oversized_datagrams();
    write(link.writer.as_mut(), &[7; MAX_SENT_PACKET + 1]);
    write(link.writer.as_mut(), b"after");
    let (packet, from) = receive(&target);
    assert_eq!(packet, b"after");
    target.send_to(&[7; 60_000], from).unwrap();
    target.send_to(b"answer", from).unwrap();
    let answer = link.reader.read_timeout(PATIENCE).unwrap().unwrap();
    assert_eq!(answer.as_slice(), b"answer");
    assert!(oversized_datagrams() >= before + 2);
}

#[test]
fn a_frame_of_any_length_is_one_datagram() {
    let (site, target, _link) = datagrams();
    let mut visitor = site.visit();
    let destination = (Network::Udp, target.local_addr().unwrap()).into();
    visitor.send(header(ID, &destination));
    visitor.send([&5_000_u16.to_be_bytes()[..], &[7; 5_000]].concat());
    let (packet, from) = receive(&target);
    assert_eq!(packet, [7; 5_000]);
    target.send_to(b"abc", from).unwrap();
    visitor.expect(b"\0\0\0\x03abc");
}

#[test]
fn a_stream_that_ends_within_a_datagram_is_an_error() {
    let (site, target, _link) = datagrams();
    let mut visitor = site.visit();
    let destination = (Network::Udp, target.local_addr().unwrap()).into();
    visitor.send([&header(ID, &destination)[..], &[0, 9, 1]].concat());
    visitor.end();
    visitor.expect_reset();
    let end = site.end();
    let protocol = |e: &ProxyError| {
        matches!(
            e,
            ProxyError::Dispatch(DispatchError::Link(LinkError::Protocol(_)))
        )
    };
    assert!(end.as_ref().is_err_and(protocol), "{end:?}");
}
