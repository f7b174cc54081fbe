//! The HTTP proxy inbound, over loopback: each row of section 3.3 and what a
//! hostile visitor or target might try.

mod loopback;

use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use loopback::{PATIENCE, Peer, Site, Target, closed_port, freedom};
use muxcool::limits::MAX_HTTP_HEAD;
use muxcool::link::DispatchError;
use muxcool::net::Destination;
use muxcool::proxy::http::{Inbound, InboundOptions};
use muxcool::proxy::socks::Account;
use muxcool::proxy::{ProxyError, blackhole};

const BAD_REQUEST: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
    Proxy-Connection: close\r\nContent-Length: 0\r\n\r\n";
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\
    Proxy-Connection: close\r\nContent-Length: 0\r\n\r\n";
const UNAUTHORIZED: &str = "HTTP/1.1 407 Proxy Authentication Required\r\n\
    Proxy-Authenticate: Basic realm=\"proxy\"\r\n\r\n";
const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";
const KEEP: &str = "Proxy-Connection: keep-alive\r\n";

fn site() -> Site {
    with_options(InboundOptions::default())
}

fn with_options(options: InboundOptions) -> Site {
    Site::new(freedom(), |context| Inbound::new(context, options))
}

/// Takes note of requests, and leads nowhere.
fn dead_end(options: InboundOptions) -> Site {
    let nowhere = blackhole::OutboundOptions::default();
    let nowhere = Arc::new(blackhole::Outbound::new("none".into(), nowhere));
    Site::new(nowhere, |context| Inbound::new(context, options))
}

fn transparent() -> InboundOptions {
    InboundOptions {
        allow_transparent: true,
        ..InboundOptions::default()
    }
}

/// A visitor has asked, and the target has the request's head, without the
/// fields that every forwarded request has.
fn asked(site: &Site, target: &Target, method: &str, rest: &str) -> (Peer, Peer) {
    let mut visitor = site.visit();
    let address = target.address;
    visitor.send(format!("{method} http://{address}/p {rest}"));
    let mut peer = target.accept();
    let line = format!("{method} /p HTTP/1.1\r\nHost: {address}\r\n");
    peer.expect(line);
    (visitor, peer)
}

fn get(site: &Site, target: &Target, fields: &str) -> (Peer, Peer) {
    let (visitor, mut peer) = asked(site, target, "GET", &format!("HTTP/1.1\r\n{fields}\r\n"));
    peer.expect("Connection: close\r\n\r\n");
    (visitor, peer)
}

#[test]
fn connect_answers_before_dialling_and_passes_on_what_came_with_it() {
    let (site, target) = (site(), Target::new());
    let mut visitor = site.visit();
    let address = target.address;
    visitor.send(format!(
        "CONNECT {address} HTTP/1.1\r\nHost: other.example:1\r\n\r\nearly"
    ));
    visitor.expect(ESTABLISHED);
    let mut peer = target.accept();
    peer.expect("early");
    visitor.send("late");
    peer.expect("late");
    peer.send("down");
    visitor.expect("down");
    visitor.end();
    peer.expect_end();
    peer.send("still");
    peer.end();
    visitor.expect("still");
    visitor.expect_end();
    assert!(site.end().is_ok());
    let request = site.request();
    assert_eq!(request.target, target.destination());
    assert_eq!((request.user, request.protocol), (None, None));
}

#[test]
fn connect_to_a_closed_port_shows_after_the_answer() {
    let site = site();
    let mut visitor = site.visit();
    visitor.send(format!("CONNECT {} HTTP/1.0\r\n\r\n", closed_port()));
    visitor.expect(ESTABLISHED);
    visitor.expect_reset();
    assert!(matches!(
        site.end(),
        Err(ProxyError::Dispatch(DispatchError::Unreachable(_)))
    ));
}

#[test]
fn the_port_is_80_unless_it_is_given() {
    let site = dead_end(InboundOptions::default());
    for (request, target) in [
        ("CONNECT example.com HTTP/1.1", ("example.com", 80)),
        ("CONNECT example.com: HTTP/1.1", ("example.com", 80)),
        ("connect [::1]:443 HTTP/1.1", ("::1", 443)),
        ("GET http://example.com HTTP/1.1", ("example.com", 80)),
        (
            "GET http://user:pw@Example.com:81/ HTTP/1.1",
            ("Example.com", 81),
        ),
    ] {
        site.visit().send(format!("{request}\r\n\r\n"));
        let expected = Destination::tcp(target.0, target.1).unwrap();
        assert_eq!(site.request().target, expected, "{request}");
    }
}

#[test]
fn what_is_no_request_is_closed_without_an_answer() {
    let site = dead_end(InboundOptions::default());
    let long = format!(
        "GET http://example.com/{} HTTP/1.1\r\n\r\n",
        "a".repeat(MAX_HTTP_HEAD)
    );
    for request in [
        "\u{16}\u{3}\u{1}\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET http://example.com/ HTTP/2.0\r\n\r\n",
        "GET example.com HTTP/1.1\r\n\r\n",
        "GET http://a$b.com/ HTTP/1.1\r\n\r\n",
        "GET http://example.com:99999/ HTTP/1.1\r\n\r\n",
        "CONNECT example.com:x HTTP/1.1\r\n\r\n",
        "CONNECT :443 HTTP/1.1\r\n\r\n",
        "CONNECT ::1:443 HTTP/1.1\r\n\r\n",
        &long,
    ] {
        let mut visitor = site.visit();
        // The last one may be cut off while it is being sent.
        let _ = visitor.0.write_all(request.as_bytes());
        assert!(visitor.rest().0.is_empty(), "{request:.40}");
        assert!(
            matches!(site.end(), Err(ProxyError::Malformed(_))),
            "{request:.40}"
        );
    }
    assert!(site.requests.is_empty());
}

#[test]
fn who_leaves_without_a_word_did_nothing_wrong_but_half_a_head_is() {
    let site = site();
    site.visit().end();
    assert!(site.end().is_ok());
    let mut visitor = site.visit();
    visitor.send("GET http");
    visitor.end();
    visitor.expect_end();
    assert!(matches!(site.end(), Err(ProxyError::Io(_))));
}

#[test]
fn a_head_must_come_in_time() {
    let limit = Duration::from_millis(20);
    let site = Site::with_handshake(limit, freedom(), |context| {
        Inbound::new(context, InboundOptions::default())
    });
    let mut visitor = site.visit();
    visitor.send("GET http");
    visitor.expect_closed();
    assert!(matches!(site.end(), Err(ProxyError::Timeout)));
}

#[test]
fn framing_that_could_be_read_in_two_ways_is_refused() {
    let site = dead_end(transparent());
    for (line, fields) in [
        (
            "POST http://a/",
            "Content-Length: 4\r\nTransfer-Encoding: chunked",
        ),
        ("POST http://a/", "Content-Length: 4\r\nContent-Length: 5"),
        ("POST http://a/", "Content-Length: 4, 4"),
        ("POST http://a/", "Transfer-Encoding: identity"),
        ("GET http://a/", "Host: a\r\nHost: b"),
        ("GET https://a/", "Host: a"),
        ("GET /", "A: no host"),
    ] {
        let mut visitor = site.visit();
        visitor.send(format!("{line} HTTP/1.1\r\n{fields}\r\n\r\nbody"));
        visitor.expect(BAD_REQUEST);
        visitor.expect_end();
        drop(visitor);
        assert!(
            matches!(site.end(), Err(ProxyError::Malformed(_))),
            "{fields}"
        );
    }
    assert!(site.requests.is_empty());
}

#[test]
fn origin_form_is_refused_unless_it_is_allowed() {
    let refusing = site();
    let mut visitor = refusing.visit();
    visitor.send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
    assert_eq!(visitor.rest(), (BAD_REQUEST.into(), true));
    let (site, target) = (with_options(transparent()), Target::new());
    let mut visitor = site.visit();
    visitor.send(format!(
        "GET /x?y HTTP/1.1\r\nHost: {}\r\n\r\n",
        target.address
    ));
    let head = target.accept().head();
    let expected = format!(
        "GET /x?y HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        target.address
    );
    assert_eq!(head, expected);
}

#[test]
fn only_accounts_get_through_if_there_are_any() {
    let account = Account {
        user: "ann".into(),
        password: "secret".into(),
    };
    let site = dead_end(InboundOptions {
        accounts: vec![account],
        ..InboundOptions::default()
    });
    let good = "Proxy-Authorization: Basic YW5uOnNlY3JldA==\r\n";
    let bad = "Proxy-Authorization: Basic YW5uOndyb25n\r\n";
    for line in [
        "CONNECT example.com:443",
        "GET http://example.com/",
        "GET /",
    ] {
        for field in ["", bad] {
            let mut visitor = site.visit();
            visitor.send(format!("{line} HTTP/1.1\r\n{field}\r\nmore"));
            assert_eq!(visitor.rest(), (UNAUTHORIZED.into(), true));
            drop(visitor);
            assert!(matches!(site.end(), Err(ProxyError::Refused(_))));
        }
    }
    site.visit()
        .send(format!("CONNECT example.com:443 HTTP/1.1\r\n{good}\r\n"));
    let request = site.request();
    assert_eq!(
        (request.user.as_deref(), request.protocol),
        (Some("ann"), None)
    );
    site.visit()
        .send(format!("GET http://example.com/ HTTP/1.1\r\n{good}\r\n"));
    let request = site.request();
    assert_eq!(request.user.as_deref(), Some("ann"));
    assert_eq!(request.protocol.as_deref(), Some("http/1.1"));
}

#[test]
fn a_plain_request_goes_on_in_origin_form_for_its_url() {
    let (site, target) = (site(), Target::new());
    let mut visitor = site.visit();
    let address = target.address;
    visitor.send(format!(
        "GET http://{address}?q#f HTTP/1.1\r\nHost: other\r\nUser-Agent: u\r\n\
        Connection: x-hop\r\nX-Hop: 1\r\n{KEEP}TE: trailers\r\nAccept: */*\r\n\r\n"
    ));
    let expected = format!(
        "GET /?q HTTP/1.1\r\nHost: {address}\r\nUser-Agent: u\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(target.accept().head(), expected);
}

#[test]
fn a_response_of_known_length_keeps_the_connection_for_who_wishes_so() {
    let (site, target) = (site(), Target::new());
    let (mut visitor, mut peer) = get(&site, &target, KEEP);
    for round in 0..3 {
        peer.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nN: {round}\r\n\r\nab"
        ));
        let head = format!(
            "HTTP/1.1 200 OK\r\nN: {round}\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\
            Keep-Alive: timeout=4\r\nProxy-Connection: keep-alive\r\n\r\nab"
        );
        visitor.expect(head);
        peer.expect_end();
        visitor.send(format!(
            "GET http://{}/{round} HTTP/1.1\r\n{KEEP}\r\n",
            target.address
        ));
        peer = target.accept();
        assert!(
            peer.head()
                .starts_with(&format!("GET /{round} HTTP/1.1\r\n"))
        );
    }
    assert_eq!(site.requests.len(), 4, "each request is dispatched anew");
    peer.send("HTTP/1.1 204 None\r\n\r\n");
    assert!(visitor.head().contains("Connection: keep-alive"));
    visitor.end();
    visitor.expect_end();
    assert!(site.end().is_ok());
}

#[test]
fn without_the_wish_the_connection_ends_after_the_response() {
    let (site, target) = (site(), Target::new());
    let (mut visitor, mut peer) = get(&site, &target, "Connection: keep-alive\r\n");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab");
    let all = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab";
    assert_eq!(visitor.rest(), (all.into(), true));
    drop(visitor);
    assert!(site.end().is_ok());
}

#[test]
fn requests_in_one_segment_are_answered_in_order() {
    let (site, target) = (site(), Target::new());
    let mut visitor = site.visit();
    let request = |n: u8| {
        format!(
            "PUT http://{}/{n} HTTP/1.1\r\n{KEEP}Content-Length: 1\r\n\r\n{n}",
            target.address
        )
    };
    visitor.send(format!("{}{}{}", request(1), request(2), request(3)));
    for n in 1..=3 {
        let mut peer = target.accept();
        assert!(peer.head().starts_with(&format!("PUT /{n} ")));
        peer.expect(n.to_string());
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{n}"));
        visitor.head();
        visitor.expect(n.to_string());
    }
}

#[test]
fn a_connect_may_follow_a_plain_request() {
    let (site, target) = (site(), Target::new());
    let (mut visitor, mut peer) = get(&site, &target, KEEP);
    peer.send("HTTP/1.1 304 Same\r\n\r\n");
    visitor.head();
    visitor.send(format!("CONNECT {} HTTP/1.1\r\n\r\nearly", target.address));
    visitor.expect(ESTABLISHED);
    target.accept().expect("early");
}

#[test]
fn a_response_of_unknown_length_lasts_until_the_target_ends() {
    let (site, target) = (site(), Target::new());
    let (mut visitor, mut peer) = get(&site, &target, KEEP);
    peer.send("HTTP/1.0 200 OK\r\n\r\none ");
    visitor.expect("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\none ");
    peer.send("two");
    visitor.expect("two");
    peer.end();
    visitor.expect_end();
    visitor.end();
    assert!(site.end().is_ok());
}

#[test]
fn chunks_are_passed_on_as_chunks_or_as_plain_bytes() {
    let (site, target) = (site(), Target::new());
    for (version, body) in [
        (
            "1.1",
            "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        ),
        ("1.0", "Connection: close\r\n\r\nabcde"),
    ] {
        let (mut visitor, mut peer) = asked(
            &site,
            &target,
            "GET",
            &format!("HTTP/{version}\r\n{KEEP}\r\n"),
        );
        peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n02\r\nde\r\n0\r\nT: t\r\n\r\n");
        let (all, clean) = visitor.rest();
        let all = String::from_utf8(all).unwrap();
        assert_eq!(all, format!("HTTP/1.1 200 OK\r\n{body}"));
        assert!(clean);
    }
}

#[test]
fn a_response_that_is_cut_is_a_reset_and_never_an_end() {
    let (site, target) = (site(), Target::new());
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\npart",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npartX\r\n0\r\n\r\n",
    ] {
        let (mut visitor, mut peer) = get(&site, &target, KEEP);
        peer.send(head);
        drop(peer);
        let (_, clean) = visitor.rest();
        assert!(!clean, "{head}");
        assert!(site.end().is_err());
    }
    let (mut visitor, mut peer) = get(&site, &target, "");
    peer.send("HTTP/1.1 200 OK\r\n\r\npart");
    visitor.expect("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart");
    peer.reset();
    visitor.expect_reset();
    assert!(site.end().is_err());
}

#[test]
fn a_target_without_a_response_is_unavailable() {
    let (site, target) = (site(), Target::new());
    for answer in [
        "",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA",
        "HTTP/1.1 101 Switched\r\n\r\n",
    ] {
        let (mut visitor, mut peer) = get(&site, &target, KEEP);
        peer.send(answer);
        drop(peer);
        assert_eq!(visitor.rest(), (UNAVAILABLE.into(), true), "{answer}");
        drop(visitor);
        assert!(site.end().is_err());
    }
    let mut visitor = site.visit();
    visitor.send(format!(
        "GET http://{}/ HTTP/1.1\r\n{KEEP}\r\n",
        closed_port()
    ));
    assert_eq!(visitor.rest(), (UNAVAILABLE.into(), true));
    drop(visitor);
    assert!(matches!(
        site.end(),
        Err(ProxyError::Dispatch(DispatchError::Unreachable(_)))
    ));
}

#[test]
fn a_blackhole_that_answers_is_a_target() {
    let forbidden = blackhole::OutboundOptions {
        response: blackhole::Response::Http,
    };
    let nowhere = Arc::new(blackhole::Outbound::new("none".into(), forbidden));
    let site = Site::new(nowhere, |context| {
        Inbound::new(context, InboundOptions::default())
    });
    let mut visitor = site.visit();
    visitor.send("GET http://example.com/ HTTP/1.1\r\n\r\n");
    let expected = "HTTP/1.1 403 Forbidden\r\nCache-Control: max-age=3600, public\r\n\
        Content-Length: 0\r\nConnection: close\r\n\r\n";
    assert_eq!(visitor.rest(), (expected.into(), true));
}

#[test]
fn bodies_of_requests_are_passed_on_with_a_framing_of_our_own() {
    let (site, target) = (site(), Target::new());
    let length = "HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello";
    let (_visitor, mut peer) = asked(&site, &target, "POST", length);
    peer.expect("Content-Length: 5\r\nConnection: close\r\n\r\nhello");
    let chunks =
        "HTTP/1.1\r\nTransfer-Encoding: CHUNKED\r\n\r\n003\r\nabc\r\n1;x\r\nd\r\n0\r\nT: t\r\n\r\n";
    let (mut visitor, mut peer) = asked(&site, &target, "POST", chunks);
    peer.expect(
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
    );
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert!(visitor.head().starts_with("HTTP/1.1 200 OK\r\n"));
    visitor.expect_end();
}

#[test]
fn a_bad_chunk_is_a_bad_request_and_no_end_for_the_target() {
    let (site, target) = (site(), Target::new());
    for chunks in ["x\r\n", "-1\r\n", "3\r\nabcd\r\n", "1\nA\r\n"] {
        let rest = format!("HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
        let (mut visitor, mut peer) = asked(&site, &target, "POST", &rest);
        let (_, clean) = peer.rest();
        assert!(!clean, "{chunks}");
        assert_eq!(visitor.rest(), (BAD_REQUEST.into(), true), "{chunks}");
        drop(visitor);
        assert!(matches!(site.end(), Err(ProxyError::Malformed(_))));
    }
}

#[test]
fn a_visitor_who_leaves_within_a_body_is_no_end_for_the_target() {
    let (site, target) = (site(), Target::new());
    for leave in [Peer::reset, |visitor: Peer| visitor.end()] {
        let rest = "HTTP/1.1\r\nContent-Length: 9\r\n\r\npart";
        let (visitor, mut peer) = asked(&site, &target, "POST", rest);
        peer.expect("Content-Length: 9\r\nConnection: close\r\n\r\npart");
        leave(visitor);
        peer.expect_reset();
        assert!(site.end().is_err());
    }
}

#[test]
fn interim_responses_come_before_the_body_is_sent() {
    let (site, target) = (site(), Target::new());
    let rest = "HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    let (mut visitor, mut peer) = asked(&site, &target, "PUT", rest);
    peer.expect("Expect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n");
    peer.send("HTTP/1.1 100 Continue\r\n\r\n");
    visitor.expect("HTTP/1.1 100 Continue\r\n\r\n");
    visitor.send("body");
    peer.expect("body");
    peer.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    assert!(visitor.head().starts_with("HTTP/1.1 201 Created\r\n"));
    visitor.expect_end();
}

#[test]
fn a_target_may_answer_before_it_has_read_everything() {
    let (site, target) = (site(), Target::new());
    let rest = format!("HTTP/1.1\r\n{KEEP}Content-Length: 1000000\r\n\r\nsome");
    let (mut visitor, mut peer) = asked(&site, &target, "PUT", &rest);
    peer.expect("Content-Length: 1000000\r\nConnection: close\r\n\r\nsome");
    peer.send("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    assert!(visitor.head().starts_with("HTTP/1.1 413 Too Large\r\n"));
    visitor.expect_end();
}

#[test]
fn large_bodies_stream_both_ways_at_once() {
    const SIZE: usize = 4_000_000;
    let (site, target) = (site(), Target::new());
    let rest = format!("HTTP/1.1\r\n{KEEP}Content-Length: {SIZE}\r\n\r\n");
    let (mut visitor, mut peer) = asked(&site, &target, "PUT", &rest);
    let echoing = thread::spawn(move || {
        peer.head();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
        let reader = peer.0.try_clone().unwrap();
        std::io::copy(&mut reader.take(SIZE as u64), &mut peer.0).unwrap();
    });
    let data: Vec<u8> = (0..SIZE).map(|i| (i % 251) as u8).collect();
    let mut writer = Peer(visitor.0.try_clone().unwrap());
    let sent = data.clone();
    let sending = thread::spawn(move || writer.send(sent));
    visitor.head();
    let mut got = vec![0; SIZE];
    visitor.0.read_exact(&mut got).unwrap();
    assert!(got == data);
    sending.join().unwrap();
    echoing.join().unwrap();
    visitor.end();
    visitor.expect_end();
    assert!(site.end().is_ok());
}

#[test]
fn a_visitor_who_is_gone_is_not_answered_for() {
    let (site, target) = (site(), Target::new());
    let (visitor, mut peer) = get(&site, &target, KEEP);
    visitor.reset();
    peer.expect_reset();
    assert!(site.end().is_err());
}

#[test]
fn a_closing_server_ends_what_waits_for_a_target() {
    let (site, target) = (site(), Target::new());
    let (mut visitor, mut peer) = get(&site, &target, KEEP);
    site.server.close();
    visitor.expect_reset();
    peer.expect_reset();
    assert!(site.ended.recv_timeout(PATIENCE).unwrap().is_err());
}

#[test]
fn a_kept_connection_is_not_kept_for_ever() {
    let limit = Duration::from_secs(1); // for the first request as well
    let site = Site::with_handshake(limit, freedom(), |context| {
        Inbound::new(context, InboundOptions::default())
    });
    let target = Target::new();
    let (mut visitor, mut peer) = get(&site, &target, KEEP);
    peer.send("HTTP/1.1 204 None\r\n\r\n");
    visitor.head();
    visitor.expect_end();
    assert!(site.end().is_ok());
}
