//! The freedom outbound, over loopback.

mod loopback;

use std::io::ErrorKind;
use std::net::UdpSocket;

use loopback::{PATIENCE, Target, closed_port, idle, read_exactly, read_to_end, write};
use muxcool::link::{DispatchError, Link, LinkError, Outbound as _, Request};
use muxcool::net::{Destination, Network};
use muxcool::proxy::freedom::{DomainStrategy, FinalRule, Outbound, OutboundOptions};

fn connect(options: OutboundOptions, target: Destination) -> Result<Link, DispatchError> {
    Outbound::new("direct".into(), options, idle()).connect(&Request::new(target))
}

fn echoes(options: OutboundOptions, target: Destination) {
    let mut link = connect(options, target).unwrap();
    write(link.writer.as_mut(), b"hello");
    assert_eq!(read_exactly(link.reader.as_mut(), 5), b"hello");
    link.writer.close().unwrap();
    let (rest, end) = read_to_end(link.reader.as_mut());
    assert!(rest.is_empty() && end.is_ok());
}

#[test]
fn a_stream_goes_both_ways_and_each_ends_on_its_own() {
    let target = (Network::Tcp, Target::echo()).into();
    echoes(OutboundOptions::default(), target);
}

#[test]
fn a_closed_port_is_refused_as_such() {
    let target = (Network::Tcp, closed_port()).into();
    match connect(OutboundOptions::default(), target) {
        Err(DispatchError::Unreachable(e)) => assert_eq!(e.kind(), ErrorKind::ConnectionRefused),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_redirect_replaces_host_port_or_both() {
    let echo = Target::echo();
    let nowhere = Destination::tcp("nowhere.invalid", 1).unwrap();
    let options = OutboundOptions {
        redirect_address: Some(echo.ip().into()),
        redirect_port: echo.port(),
        ..OutboundOptions::default()
    };
    echoes(options, nowhere.clone());
    let host = OutboundOptions {
        redirect_address: Some(echo.ip().into()),
        ..OutboundOptions::default()
    };
    let port_kept = Destination::tcp("nowhere.invalid", echo.port()).unwrap();
    echoes(host, port_kept);
    let port = OutboundOptions {
        redirect_port: echo.port(),
        ..OutboundOptions::default()
    };
    echoes(port, Destination::tcp("127.0.0.1", 1).unwrap());
}

/// Where the name has no address of the family, it is dialled as it is.
#[test]
fn every_strategy_reaches_a_name_that_the_system_knows() {
    let echo = Target::echo();
    for domain_strategy in [
        DomainStrategy::AsIs,
        DomainStrategy::UseIpv4,
        DomainStrategy::UseIp,
    ] {
        let options = OutboundOptions {
            domain_strategy,
            ..OutboundOptions::default()
        };
        let name = match domain_strategy {
            // A name of both families may lead to either.
            DomainStrategy::UseIp => "127.0.0.1",
            _ => "localhost",
        };
        echoes(options, Destination::tcp(name, echo.port()).unwrap());
    }
}

/// A name as well as an address: what it stands for is looked at.
#[test]
fn final_rules_are_about_what_is_dialled() {
    let (service, other) = (Target::echo(), Target::echo());
    let rule = |allow, ports: &[u16]| FinalRule {
        allow,
        tcp: true,
        udp: true,
        ports: ports.iter().map(|port| *port..=*port).collect(),
        nets: Vec::new(),
    };
    let options = OutboundOptions {
        final_rules: vec![rule(true, &[service.port()]), rule(false, &[])],
        ..OutboundOptions::default()
    };
    for name in ["127.0.0.1", "localhost"] {
        echoes(
            options.clone(),
            Destination::tcp(name, service.port()).unwrap(),
        );
        let forbidden = Destination::tcp(name, other.port()).unwrap();
        let outcome = connect(options.clone(), forbidden);
        assert!(
            matches!(outcome, Err(DispatchError::Forbidden(_))),
            "{name}"
        );
    }
    let redirected = OutboundOptions {
        redirect_port: other.port(),
        ..options
    };
    let outcome = connect(
        redirected,
        Destination::tcp("127.0.0.1", service.port()).unwrap(),
    );
    assert!(matches!(outcome, Err(DispatchError::Forbidden(_))));
}

#[test]
fn the_local_address_is_the_one_told() {
    let target = Target::new();
    let options = OutboundOptions {
        send_through: Some("127.0.0.2".parse().unwrap()),
        ..OutboundOptions::default()
    };
    let _link = connect(options, target.destination()).unwrap();
    let peer = target.accept().0.peer_addr().unwrap();
    assert_eq!(peer.ip().to_string(), "127.0.0.2");
}

#[test]
fn a_reset_is_an_error_and_what_came_before_it_is_kept() {
    let target = Target::new();
    let mut link = connect(OutboundOptions::default(), target.destination()).unwrap();
    let mut peer = target.accept();
    peer.send("part");
    assert_eq!(read_exactly(link.reader.as_mut(), 4), b"part");
    peer.reset();
    let (rest, end) = read_to_end(link.reader.as_mut());
    assert!(rest.is_empty());
    assert!(matches!(end, Err(LinkError::Reset)), "{end:?}");
}

#[test]
fn an_abort_is_a_reset_to_the_target() {
    let target = Target::new();
    let mut link = connect(OutboundOptions::default(), target.destination()).unwrap();
    let mut peer = target.accept();
    write(link.writer.as_mut(), b"part");
    peer.expect("part");
    link.writer.abort();
    drop(link);
    peer.expect_reset();
}

#[test]
fn datagrams_keep_their_borders() {
    let target = UdpSocket::bind("127.0.0.1:0").unwrap();
    target.set_read_timeout(Some(PATIENCE)).unwrap();
    let destination = (Network::Udp, target.local_addr().unwrap()).into();
    let mut link = connect(OutboundOptions::default(), destination).unwrap();
    for len in [3, 0, 2_048, 9_000] {
        write(link.writer.as_mut(), &vec![7; len]);
        let mut packet = [0; 10_000];
        let (got, from) = target.recv_from(&mut packet).unwrap();
        assert_eq!(got, len);
        target.send_to(&packet[..len], from).unwrap();
        let answer = link.reader.read_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(answer.len(), len);
    }
}
