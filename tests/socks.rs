//! SOCKS and dokodemo-door, inbound and outbound, over loopback.

mod loopback;
#[path = "support/tasks.rs"]
mod tasks;

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use loopback::{PATIENCE, Target, closed_port};
use muxcool::buf::Buf;
use muxcool::link::{DispatchError, Dispatcher, Link, LinkError, Outbound as _, Request, relay};
use muxcool::net::{Address, Destination, Network};
use muxcool::proxy::socks::{self, Account, Server as SocksServer};
use muxcool::proxy::{Inbound, InboundContext, ProxyError, dokodemo};
use muxcool::sync::Timer;
use muxcool::transport::stream::Connection;
use muxcool::transport::tcp::{DialOptions, Idle, IdleTimes, Server, dial, listen, split};
use muxcool::transport::udp::{self, Flows};
use tasks::{names, wait_until};

/// A name that the test's dispatcher knows as loopback.
const NAME: &str = "echo.test";

fn idle() -> Idle {
    let second = Duration::from_secs(1);
    Idle {
        timer: Timer::global().unwrap(),
        times: IdleTimes {
            both: 300 * second,
            after_read: second,
            after_write: second,
        },
    }
}

/// Goes straight to targets on loopback, and tells the test who asked.
struct Direct {
    seen: Sender<Request>,
}

impl Dispatcher for Direct {
    fn dispatch(&self, request: &Request, link: Link) -> Result<(), DispatchError> {
        let _ = self.seen.send(request.clone());
        Ok(relay(link, self.connect(request)?)?)
    }

    fn connect(&self, request: &Request) -> Result<Link, DispatchError> {
        let ip = match &request.target.address {
            Address::Ip(ip) => *ip,
            Address::Domain(name) if name.as_str() == NAME => Ipv4Addr::LOCALHOST.into(),
            Address::Domain(_) => return Err(DispatchError::Refused("unknown name")),
        };
        assert!(ip.is_loopback(), "only loopback is ever a target");
        let target = SocketAddr::new(ip, request.target.port);
        let linked = match request.target.network {
            Network::Tcp => dial(&[target], &DialOptions::default()).map(|stream| {
                let (reader, writer) = split(Arc::new(stream), Some(&idle()));
                Link::new(reader, writer)
            }),
            Network::Udp => udp::connect(target, None, &idle())
                .map(|(reader, writer)| Link::new(reader, writer)),
        };
        linked.map_err(DispatchError::Unreachable)
    }
}

fn context(tag: &str, handshake: Duration) -> (InboundContext, Receiver<Request>) {
    let (seen, requests) = unbounded();
    let ctx = InboundContext {
        tag: tag.into(),
        dispatcher: Arc::new(Direct { seen }),
        handshake,
        idle: idle(),
        access: None,
    };
    (ctx, requests)
}

/// A running inbound.
struct Running {
    server: Server,
    flows: Option<Flows>,
    requests: Receiver<Request>,
    outcomes: Receiver<Result<(), ProxyError>>,
}

impl Running {
    fn start(
        (tag, handshake): (&str, Duration),
        listener: TcpListener,
        inbound: impl Inbound + 'static,
        flows: Option<Flows>,
        requests: Receiver<Request>,
    ) -> Self {
        let (tell, outcomes) = unbounded();
        let server = Server::start(listener, tag, move |visitor| {
            let _ = tell.send(inbound.serve(Connection::accepted(visitor, handshake)));
        });
        Self {
            server: server.unwrap(),
            flows,
            requests,
            outcomes,
        }
    }

    fn addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    fn connect(&self) -> TcpStream {
        patient(TcpStream::connect(self.addr()).unwrap())
    }

    fn request(&self) -> Request {
        self.requests.recv_timeout(PATIENCE).expect("no request")
    }

    fn outcome(&self) -> Result<(), ProxyError> {
        self.outcomes.recv_timeout(PATIENCE).expect("still serving")
    }

    /// All that the server answers to `input` until it closes.
    fn answer(&self, input: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        stream.write_all(input).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    }

    fn close(&self) {
        self.server.close();
        if let Some(flows) = &self.flows {
            flows.close();
        }
    }
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn socks_on(tag: &str, ip: &str, options: &socks::InboundOptions, handshake: Duration) -> Running {
    let (ctx, requests) = context(tag, handshake);
    // The UDP port of the same number may belong to somebody else.
    for _ in 0..20 {
        let listener = listen(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
        let local = listener.local_addr().unwrap();
        let flows = match options.udp {
            true => match udp::bind(local) {
                Ok(socket) => Some(socks_flows(ctx.clone(), options, socket)),
                Err(_) => continue,
            },
            false => None,
        };
        let inbound = socks::Inbound::new(ctx, options, local);
        return Running::start((tag, handshake), listener, inbound, flows, requests);
    }
    panic!("no port is free for both");
}

fn socks_flows(ctx: InboundContext, options: &socks::InboundOptions, socket: UdpSocket) -> Flows {
    let flows = socks::prepare_udp(ctx, options, udp::Seat::New(socket)).unwrap();
    flows.open();
    flows
}

fn start_socks(tag: &str, options: &socks::InboundOptions) -> Running {
    socks_on(tag, "127.0.0.1", options, PATIENCE)
}

fn open_to_all() -> socks::InboundOptions {
    socks::InboundOptions::default()
}

fn with_udp() -> socks::InboundOptions {
    socks::InboundOptions {
        udp: true,
        ..open_to_all()
    }
}

fn account(user: &str, password: &str) -> Account {
    Account {
        user: user.into(),
        password: password.into(),
    }
}

fn with_passwords() -> socks::InboundOptions {
    socks::InboundOptions {
        accounts: Some(vec![account("ann", "secret"), account("bob", "other")]),
        ..open_to_all()
    }
}

fn udp_echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let local = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut space = vec![0; 65_535];
        while let Ok((len, from)) = socket.recv_from(&mut space) {
            let _ = socket.send_to(&space[..len], from);
        }
    });
    local
}

fn assert_no_threads(tag: &str) {
    let ours = [format!("in-{tag}"), format!("udp-{tag}-")];
    wait_until(&format!("no thread of {tag} is left"), || {
        ours.iter().all(|prefix| names(prefix).is_empty())
    });
}

fn request_5(command: u8, target: &[u8], port: u16) -> Vec<u8> {
    let mut bytes = vec![5, command, 0];
    bytes.extend(target);
    bytes.extend(port.to_be_bytes());
    bytes
}

fn by_name(name: &str) -> Vec<u8> {
    let mut bytes = vec![3, name.len() as u8];
    bytes.extend(name.as_bytes());
    bytes
}

const BY_IP: [u8; 5] = [1, 127, 0, 0, 1];

fn reply_naming(local: SocketAddr) -> Vec<u8> {
    let mut bytes = vec![5, 0, 0];
    match local.ip() {
        IpAddr::V4(ip) => {
            bytes.push(1);
            bytes.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.push(4);
            bytes.extend(ip.octets());
        }
    }
    bytes.extend(local.port().to_be_bytes());
    bytes
}

fn concat(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn read_exactly(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

const NOT_SUPPORTED: [u8; 10] = [5, 7, 0, 1, 0, 0, 0, 0, 0, 0];
const REJECTED_4: [u8; 8] = [0, 0x5B, 0, 0, 0, 0, 0, 0];
const GRANTED_4: [u8; 8] = [0, 0x5A, 0, 0, 0, 0, 0, 0];

mod inbound {
    use super::*;

    #[test]
    fn what_is_refused_gets_the_answer_of_the_reference() {
        let open = start_socks("sa", &open_to_all());
        let guarded = start_socks("sb", &with_passwords());
        let cases: &[(&str, &Running, Vec<u8>, Vec<u8>)] = &[
            ("not SOCKS", &open, b"GET / HTTP/1.1\r\n".to_vec(), vec![]),
            ("version 6", &open, vec![6, 1, 0], vec![]),
            ("no methods", &open, vec![5, 0], vec![5, 0xFF]),
            ("only passwords", &open, vec![5, 1, 2], vec![5, 0xFF]),
            ("no passwords", &guarded, vec![5, 2, 0, 1], vec![5, 0xFF]),
            (
                "wrong password",
                &guarded,
                b"\x05\x01\x02\x01\x03ann\x05other".to_vec(),
                vec![5, 2, 1, 0xFF],
            ),
            (
                "unknown user",
                &guarded,
                b"\x05\x01\x02\x01\x03eve\x06secret".to_vec(),
                vec![5, 2, 1, 0xFF],
            ),
            (
                "nobody",
                &guarded,
                vec![5, 1, 2, 1, 0, 0],
                vec![5, 2, 1, 0xFF],
            ),
            (
                "BIND, before its address",
                &open,
                vec![5, 1, 0, 5, 2, 0],
                concat(&[&[5, 0], &NOT_SUPPORTED]),
            ),
            (
                "unknown command",
                &open,
                vec![5, 1, 0, 5, 9, 0],
                concat(&[&[5, 0], &NOT_SUPPORTED]),
            ),
            (
                "UDP ASSOCIATE with UDP off",
                &open,
                vec![5, 1, 0, 5, 3, 0],
                concat(&[&[5, 0], &NOT_SUPPORTED]),
            ),
            ("address type", &open, vec![5, 1, 0, 5, 1, 0, 2], vec![5, 0]),
            (
                "empty domain",
                &open,
                vec![5, 1, 0, 5, 1, 0, 3, 0, 0, 80],
                vec![5, 0],
            ),
            (
                "bad domain",
                &open,
                concat(&[&[5, 1, 0], &request_5(1, &by_name("a$b\n.com"), 80)]),
                vec![5, 0],
            ),
            (
                "SOCKS4 BIND",
                &open,
                b"\x04\x02\x00\x50\x7f\x00\x00\x01me\x00".to_vec(),
                REJECTED_4.to_vec(),
            ),
            (
                "SOCKS4a with a bad domain",
                &open,
                b"\x04\x01\x00\x50\x00\x00\x00\x01me\x00a b\x00".to_vec(),
                vec![],
            ),
            (
                "SOCKS4 where passwords are needed",
                &guarded,
                vec![4, 1],
                REJECTED_4.to_vec(),
            ),
        ];
        for (what, server, input, expected) in cases {
            assert_eq!(server.answer(input), *expected, "{what}");
            assert!(server.outcome().is_err(), "{what}");
        }
        assert!(open.requests.is_empty() && guarded.requests.is_empty());
    }

    #[test]
    fn a_refusal_arrives_although_more_was_sent() {
        let server = start_socks("so", &with_passwords());
        let mut stream = server.connect();
        let mut input = vec![5, 1, 0];
        input.resize(100_000, 0);
        stream.write_all(&input).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, [5, 0xFF]);
        drop(stream);
        assert!(matches!(server.outcome(), Err(ProxyError::Refused(_))));
    }

    #[test]
    fn everything_may_come_in_one_segment() {
        let server = start_socks("sc", &with_passwords());
        let echo = Target::echo();
        let mut stream = server.connect();
        let request = request_5(1, &by_name(NAME), echo.port());
        // The password message's version is not looked at.
        let hello = b"\x05\x02\x00\x02\x77\x03ann\x06secret";
        stream
            .write_all(&concat(&[hello, &request, b"payload"]))
            .unwrap();
        let expected = concat(&[&[5, 2, 1, 0], &reply_naming(server.addr()), b"payload"]);
        assert_eq!(read_exactly(&mut stream, expected.len()), expected);

        let request = server.request();
        let target = Destination::tcp(NAME, echo.port()).unwrap();
        assert_eq!(request.target, target);
        assert_eq!(request.user.as_deref(), Some("ann"));
        assert_eq!(&*request.inbound, "sc");
        assert_eq!(request.source, Some(stream.local_addr().unwrap()));

        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
        server.outcome().unwrap();
    }

    #[test]
    fn streams_are_opened_by_all_the_ways_of_asking() {
        let server = start_socks("sd", &open_to_all());
        let echo = Target::echo();
        let port = echo.port().to_be_bytes();
        let hello: &[u8] = &[5, 1, 0];
        let answer_5 = concat(&[&[5, 0], &reply_naming(server.addr())]);
        let socks4 = |ip: &[u8], rest: &[u8]| concat(&[&[4, 1], &port, ip, rest]);
        let named = format!("me\0{NAME}\0");
        let cases: &[(&str, Vec<u8>, &[u8])] = &[
            (
                "address",
                concat(&[hello, &request_5(1, &BY_IP, echo.port())]),
                &answer_5,
            ),
            (
                "name",
                concat(&[hello, &request_5(1, &by_name(NAME), echo.port())]),
                &answer_5,
            ),
            (
                "address as a name",
                concat(&[hello, &request_5(1, &by_name("127.0.0.1"), echo.port())]),
                &answer_5,
            ),
            (
                "mapped address",
                concat(&[
                    hello,
                    &request_5(
                        1,
                        &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 127, 0, 0, 1],
                        echo.port(),
                    ),
                ]),
                &answer_5,
            ),
            (
                "Tor's F0",
                concat(&[hello, &request_5(0xF0, &BY_IP, echo.port())]),
                &answer_5,
            ),
            (
                "Tor's F1",
                concat(&[hello, &request_5(0xF1, &BY_IP, echo.port())]),
                &answer_5,
            ),
            (
                "version and reserved byte of no meaning",
                concat(&[hello, &[9, 1, 0x77], &BY_IP, &port]),
                &answer_5,
            ),
            ("SOCKS4", socks4(&[127, 0, 0, 1], b"me\0"), &GRANTED_4),
            (
                "SOCKS4 of nobody",
                socks4(&[127, 0, 0, 1], b"\0"),
                &GRANTED_4,
            ),
            (
                "SOCKS4a",
                socks4(&[0, 0, 0, 1], named.as_bytes()),
                &GRANTED_4,
            ),
            (
                "SOCKS4a by a first byte of 0",
                socks4(&[0, 9, 9, 9], named.as_bytes()),
                &GRANTED_4,
            ),
        ];
        for (what, input, answer) in cases {
            let mut stream = server.connect();
            stream.write_all(input).unwrap();
            assert_eq!(read_exactly(&mut stream, answer.len()), *answer, "{what}");
            stream.write_all(what.as_bytes()).unwrap();
            let back = read_exactly(&mut stream, what.len());
            assert_eq!(back, what.as_bytes(), "{what}");
            let request = server.request();
            assert_eq!(request.target.port, echo.port());
            assert_eq!(request.user, None);
        }
    }

    #[test]
    fn answers_may_be_awaited_one_by_one() {
        let server = start_socks("se", &with_passwords());
        let echo = Target::echo();
        let mut stream = server.connect();
        let request = request_5(1, &BY_IP, echo.port());
        let reply = reply_naming(server.addr());
        let steps: [(&[u8], &[u8]); 3] = [
            (&[5, 1, 2], &[5, 2]),
            (b"\x01\x03bob\x05other", &[1, 0]),
            (&request, &reply),
        ];
        for (question, answer) in steps {
            for byte in question {
                stream.write_all(&[*byte]).unwrap();
            }
            assert_eq!(read_exactly(&mut stream, answer.len()), answer);
        }
        assert_eq!(server.request().user.as_deref(), Some("bob"));
    }

    #[test]
    fn a_target_that_refuses_shows_as_success_and_then_a_reset() {
        let server = start_socks("sf", &open_to_all());
        let mut stream = server.connect();
        let request = request_5(1, &BY_IP, closed_port().port());
        stream.write_all(&concat(&[&[5, 1, 0], &request])).unwrap();
        let expected = concat(&[&[5, 0], &reply_naming(server.addr())]);
        assert_eq!(read_exactly(&mut stream, expected.len()), expected);
        let end = stream.read(&mut [0; 1]).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::ConnectionReset);
        let outcome = server.outcome();
        assert!(
            matches!(
                outcome,
                Err(ProxyError::Dispatch(DispatchError::Unreachable(_)))
            ),
            "{outcome:?}"
        );
    }

    #[test]
    fn a_visitor_that_says_too_little_is_shown_out() {
        let limit = Duration::from_millis(50);
        let server = socks_on("sg", "127.0.0.1", &open_to_all(), limit);
        let inputs: [&[u8]; 4] = [
            b"",
            b"\x05",
            b"\x05\x01\x00\x05\x01\x00\x03\x09exam",
            b"\x04\x01",
        ];
        for input in inputs {
            let mut stream = server.connect();
            stream.write_all(input).unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer); // a reset if it was not heard in time
            assert!(answer.len() <= 2, "{answer:?}");
            let outcome = server.outcome();
            assert!(matches!(outcome, Err(ProxyError::Timeout)), "{outcome:?}");
        }
    }

    #[test]
    fn a_visitor_that_leaves_early_is_forgotten() {
        let server = start_socks("sh", &open_to_all());
        let mut stream = server.connect();
        stream.write_all(&[5, 3, 0]).unwrap();
        drop(stream);
        assert!(matches!(server.outcome(), Err(ProxyError::Io(_))));
    }

    #[test]
    fn an_association_names_the_right_address() {
        let elsewhere: IpAddr = "192.0.2.7".parse().unwrap();
        let plain = start_socks("si", &with_udp());
        let told = start_socks(
            "sj",
            &socks::InboundOptions {
                ip: Some(elsewhere),
                ..with_udp()
            },
        );
        let anywhere: IpAddr = "127.0.0.1".parse().unwrap();
        let second: IpAddr = "127.0.0.2".parse().unwrap();
        let all = socks_on("sk", "0.0.0.0", &with_udp(), PATIENCE);
        let unspecified: IpAddr = Ipv4Addr::UNSPECIFIED.into();
        let cases = [
            (&plain, anywhere, anywhere),
            (&told, anywhere, elsewhere),
            (&all, anywhere, anywhere),
            (&all, second, unspecified),
        ];
        for (server, from, expected) in cases {
            let mut stream = connect_from(from, server.addr().port());
            let request = request_5(3, &[1, 0, 0, 0, 0], 0);
            stream.write_all(&concat(&[&[5, 1, 0], &request])).unwrap();
            let relay = SocketAddr::new(expected, server.addr().port());
            let answer = concat(&[&[5, 0], &reply_naming(relay)]);
            assert_eq!(read_exactly(&mut stream, answer.len()), answer);
        }
    }

    fn connect_from(from: IpAddr, port: u16) -> TcpStream {
        let options = DialOptions {
            local: Some(from),
            ..DialOptions::default()
        };
        patient(dial(&[(Ipv4Addr::LOCALHOST, port).into()], &options).unwrap())
    }

    #[test]
    fn visitors_of_a_listener_everywhere_keep_their_ipv4_address() {
        let server = socks_on("sn", "0.0.0.0", &with_udp(), PATIENCE);
        let port = server.addr().port();
        let mut stream = connect_from(Ipv4Addr::LOCALHOST.into(), port);
        let request = request_5(1, &BY_IP, Target::echo().port());
        stream.write_all(&concat(&[&[5, 1, 0], &request])).unwrap();
        let named = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port);
        let answer = concat(&[&[5, 0], &reply_naming(named)]);
        assert_eq!(read_exactly(&mut stream, answer.len()), answer);
        assert_eq!(server.request().source, Some(stream.local_addr().unwrap()));

        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.connect(("127.0.0.1", port)).unwrap();
        let echo = udp_echo().port().to_be_bytes();
        let packet = concat(&[&[0, 0, 0], &BY_IP, &echo, b"x"]);
        socket.send(&packet).unwrap();
        let mut space = [0; 64];
        assert_eq!(socket.recv(&mut space).unwrap(), packet.len());
        assert_eq!(server.request().source, Some(socket.local_addr().unwrap()));
    }

    #[test]
    fn an_ipv6_listener_names_itself_so() {
        let server = socks_on("sl", "::1", &with_udp(), PATIENCE);
        let echo = Target::echo();
        for (command, port) in [(1, echo.port()), (3, 0)] {
            let mut stream = server.connect();
            let request = request_5(command, &BY_IP, port);
            stream.write_all(&concat(&[&[5, 1, 0], &request])).unwrap();
            let answer = concat(&[&[5, 0], &reply_naming(server.addr())]);
            assert_eq!(read_exactly(&mut stream, answer.len()), answer);
        }
    }

    #[test]
    fn closing_ends_every_connection_and_joins_all_threads() {
        let server = start_socks("sm", &with_udp());
        let echo = Target::echo();
        let mut streams = Vec::new();
        for (command, port) in [(1, echo.port()), (3, 0)] {
            let mut stream = server.connect();
            let request = request_5(command, &BY_IP, port);
            stream.write_all(&concat(&[&[5, 1, 0], &request])).unwrap();
            read_exactly(&mut stream, 12);
            streams.push(stream);
        }
        let silent = server.connect();
        streams.push(silent);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let udp_target = udp_echo();
        client
            .send_to(
                &concat(&[&[0, 0, 0], &BY_IP, &udp_target.port().to_be_bytes(), b"x"]),
                server.addr(),
            )
            .unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(client.recv(&mut [0; 64]).unwrap(), 11);
        wait_until("all are being served", || server.requests.len() == 2);

        server.close();
        for mut stream in streams {
            match stream.read(&mut [0; 1]) {
                Ok(0) => {}
                Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
                other => panic!("still open: {other:?}"),
            }
        }
        assert_no_threads("sm");
    }
}

mod datagrams {
    use super::*;

    /// A client of the inbound's UDP port.
    struct Client {
        socket: UdpSocket,
        space: Vec<u8>,
    }

    impl Client {
        fn new(server: &Running) -> Self {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect(server.addr()).unwrap();
            Self {
                socket,
                space: vec![0; 65_535],
            }
        }

        fn ask(&mut self, header: &[u8], payload: &[u8]) -> Vec<u8> {
            self.socket.send(&concat(&[header, payload])).unwrap();
            let len = self.socket.recv(&mut self.space).unwrap();
            self.space[..len].to_vec()
        }
    }

    fn header(target: &[u8], port: u16) -> Vec<u8> {
        concat(&[&[0, 0, 0], target, &port.to_be_bytes()])
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 13 + len) as u8).collect()
    }

    #[test]
    fn every_size_comes_back_with_the_address_that_was_asked_for() {
        let server = start_socks("da", &with_udp());
        let echo = udp_echo();
        let mut client = Client::new(&server);
        for target in [BY_IP.to_vec(), by_name(NAME)] {
            let header = header(&target, echo.port());
            for size in [0, 1, 1200, 2048, 9000, 65_000] {
                let expected = concat(&[&header, &pattern(size)]);
                assert_eq!(client.ask(&header, &pattern(size)), expected, "{size}");
            }
        }
        let requests = [server.request(), server.request()];
        let source = client.socket.local_addr().unwrap();
        assert!(requests.iter().all(|r| r.source == Some(source)));
        let target = Destination::udp(NAME, echo.port()).unwrap();
        assert_eq!(requests[1].target, target);
        assert!(server.requests.is_empty(), "one flow for each target");
        server.close();
        assert_no_threads("da");
    }

    #[test]
    fn what_is_no_datagram_is_dropped() {
        let server = start_socks("db", &with_udp());
        let echo = udp_echo();
        let mut client = Client::new(&server);
        let port = echo.port().to_be_bytes();
        let bad: [Vec<u8>; 5] = [
            vec![],
            vec![0, 0],
            concat(&[&[0, 0, 1], &BY_IP, &port, b"fragment"]),
            concat(&[&[0, 0, 0, 2], &port, b"unknown address type"]),
            concat(&[&[0, 0, 0], &by_name("a b"), &port, b"bad name"]),
        ];
        for datagram in &bad {
            client.socket.send(datagram).unwrap();
        }
        // The reserved bytes are not looked at, nor sent back.
        let odd = concat(&[&[7, 7, 0], &BY_IP, &port]);
        let good = header(&BY_IP, echo.port());
        assert_eq!(client.ask(&odd, b"good"), concat(&[&good, b"good"]));
        let stats = server.flows.as_ref().unwrap().stats();
        assert_eq!((stats.malformed, stats.opened), (bad.len() as u64, 1));
    }

    #[test]
    fn datagrams_do_not_depend_on_an_association() {
        let server = start_socks("dc", &with_udp());
        let echo = udp_echo();
        let mut client = Client::new(&server);
        let header = header(&BY_IP, echo.port());
        assert_eq!(client.ask(&header, b"none"), concat(&[&header, b"none"]));

        let mut association = server.connect();
        association
            .write_all(&concat(&[&[5, 1, 0], &request_5(3, &BY_IP, 0)]))
            .unwrap();
        read_exactly(&mut association, 12);
        association.write_all(b"thrown away").unwrap();
        association.shutdown(Shutdown::Write).unwrap();
        assert_eq!(association.read(&mut [0; 1]).unwrap(), 0);
        server.outcome().unwrap();
        assert_eq!(client.ask(&header, b"after"), concat(&[&header, b"after"]));
    }
}

mod outbound {
    use super::*;

    fn outbound(servers: Vec<SocksServer>, handshake: Duration) -> socks::Outbound {
        let options = socks::OutboundOptions { servers };
        socks::Outbound::new("out".into(), options, idle(), handshake, None)
    }

    fn server(addr: SocketAddr, users: &[Account]) -> SocksServer {
        SocksServer {
            address: addr.ip().into(),
            port: addr.port(),
            users: users.to_vec(),
        }
    }

    fn to(running: &Running, users: &[Account]) -> socks::Outbound {
        outbound(vec![server(running.addr(), users)], PATIENCE)
    }

    fn tcp_request(port: u16) -> Request {
        Request::new(Destination::tcp(NAME, port).unwrap())
    }

    fn udp_request(port: u16) -> Request {
        Request::new(Destination::udp(NAME, port).unwrap())
    }

    fn send(link: &mut Link, data: &[u8]) {
        let mut batch = VecDeque::from([Buf::copy_of(data)]);
        link.writer.write(&mut batch).unwrap();
    }

    fn echoes(link: &mut Link, data: &[u8]) {
        send(link, data);
        let mut back = Vec::new();
        while back.len() < data.len() {
            let buf = link.reader.read_timeout(PATIENCE).unwrap().unwrap();
            back.extend_from_slice(buf.as_slice());
        }
        assert_eq!(back, data);
    }

    #[test]
    fn streams_go_through_our_own_inbound() {
        let echo = Target::echo();
        let cases = [
            (start_socks("oa", &open_to_all()), None),
            (start_socks("ob", &with_passwords()), Some("ann")),
        ];
        for (running, user) in &cases {
            let users: Vec<_> = user.iter().map(|user| account(user, "secret")).collect();
            let mut link = to(running, &users)
                .connect(&tcp_request(echo.port()))
                .unwrap();
            echoes(&mut link, b"hello");
            assert_eq!(running.request().user.as_deref(), *user);
            link.writer.close().unwrap();
            assert!(link.reader.read_timeout(PATIENCE).unwrap().is_none());
            running.outcome().unwrap();
        }
    }

    #[test]
    fn datagrams_go_through_our_own_inbound() {
        let echo = udp_echo();
        let unnamed = socks::InboundOptions {
            ip: Some(Ipv4Addr::UNSPECIFIED.into()),
            ..with_udp()
        };
        for (tag, options) in [("oc", with_udp()), ("od", unnamed)] {
            let running = start_socks(tag, &options);
            let mut link = to(&running, &[])
                .connect(&udp_request(echo.port()))
                .unwrap();
            for size in [0, 1, 1200, 65_000] {
                let data = vec![size as u8; size];
                send(&mut link, &data);
                let back = link.reader.read_timeout(PATIENCE).unwrap().unwrap();
                assert_eq!(back.as_slice(), data, "{size} bytes");
            }
            assert_eq!(link.writer.try_write(b"try").unwrap(), 3);
            let back = link.reader.read_timeout(PATIENCE).unwrap().unwrap();
            assert_eq!(back.as_slice(), b"try");
            let quiet = link.reader.read_timeout(Duration::from_millis(1));
            assert!(matches!(quiet, Err(LinkError::TimedOut)), "{quiet:?}");
            drop(link);
            running.outcome().unwrap();
            running.close();
            assert_no_threads(tag);
        }
    }

    #[test]
    fn a_wrong_password_and_a_missing_one_are_refusals() {
        let running = start_socks("oe", &with_passwords());
        for users in [vec![account("ann", "wrong")], vec![]] {
            let refused = to(&running, &users).connect(&tcp_request(80)).unwrap_err();
            assert!(matches!(refused, DispatchError::Refused(_)), "{refused:?}");
        }
    }

    #[test]
    fn a_server_without_udp_refuses() {
        let running = start_socks("of", &open_to_all());
        let refused = to(&running, &[]).connect(&udp_request(53)).unwrap_err();
        assert!(
            matches!(
                refused,
                DispatchError::Refused("proxy: command not supported")
            ),
            "{refused:?}"
        );
    }

    #[test]
    fn servers_take_turns_and_one_that_is_down_is_passed_over() {
        let echo = Target::echo();
        let (one, two) = (
            start_socks("og", &open_to_all()),
            start_socks("oh", &open_to_all()),
        );
        let down = closed_port();
        let both = outbound(
            vec![server(one.addr(), &[]), server(two.addr(), &[])],
            PATIENCE,
        );
        for _ in 0..4 {
            let mut link = both.connect(&tcp_request(echo.port())).unwrap();
            echoes(&mut link, b"x");
        }
        assert_eq!((one.requests.len(), two.requests.len()), (2, 2));

        let half = outbound(vec![server(down, &[]), server(one.addr(), &[])], PATIENCE);
        for _ in 0..3 {
            let mut link = half.connect(&tcp_request(echo.port())).unwrap();
            echoes(&mut link, b"x");
        }
        let none = outbound(vec![server(down, &[])], PATIENCE);
        let failed = none.connect(&tcp_request(echo.port())).unwrap_err();
        assert!(
            matches!(failed, DispatchError::Unreachable(_)),
            "{failed:?}"
        );
    }

    /// A SOCKS server that follows `script` for one connection.
    fn scripted(script: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        std::thread::spawn(move || script(patient(listener.accept().unwrap().0)));
        local
    }

    fn expect(stream: &mut TcpStream, bytes: &[u8]) {
        assert_eq!(read_exactly(stream, bytes.len()), bytes);
    }

    #[test]
    fn greeting_and_password_travel_together() {
        let (tell, told) = unbounded();
        let addr = scripted(move |mut stream| {
            let mut space = [0; 64];
            let len = stream.read(&mut space).unwrap();
            let _ = tell.send(space[..len].to_vec());
            stream.write_all(&[5, 2, 1, 0]).unwrap();
            let len = stream.read(&mut space).unwrap();
            let _ = tell.send(space[..len].to_vec());
            // The first bytes of the target's come with the reply.
            stream
                .write_all(b"\x05\x00\x00\x03\x01x\x00\x00early")
                .unwrap();
        });
        let users = [account("me", "pw")];
        let mut link = outbound(vec![server(addr, &users)], PATIENCE)
            .connect(&tcp_request(0x1234))
            .unwrap();
        let greeting = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(greeting, b"\x05\x01\x02\x01\x02me\x02pw");
        let request = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(request, b"\x05\x01\x00\x03\x09echo.test\x12\x34");
        let early = link.reader.read_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(early.as_slice(), b"early");
    }

    #[test]
    fn a_server_that_does_not_speak_socks_is_an_error() {
        for answer in [
            &b"HTTP/1.1 400"[..],
            b"\x05\xff",
            b"\x04\x00",
            b"\x05\x00\x05\x00\x00\x09",
        ] {
            let addr = scripted(move |mut stream| {
                stream.write_all(answer).unwrap();
                let _ = stream.read_to_end(&mut Vec::new());
            });
            let outcome = outbound(vec![server(addr, &[])], PATIENCE).connect(&tcp_request(1));
            assert!(outcome.is_err(), "{answer:?}");
        }
    }

    #[test]
    fn a_silent_server_is_given_up() {
        let addr = scripted(|mut stream| {
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let limit = Duration::from_millis(50);
        let failed = outbound(vec![server(addr, &[])], limit)
            .connect(&tcp_request(1))
            .unwrap_err();
        let DispatchError::Other(inner) = failed else {
            panic!("{failed:?}");
        };
        let inner = inner.downcast::<ProxyError>().unwrap();
        assert!(matches!(*inner, ProxyError::Timeout), "{inner:?}");
    }

    /// Grants an association at `relay`, and hands over its connection.
    fn grant(relay: SocketAddr, control: Sender<TcpStream>) -> SocketAddr {
        scripted(move |mut stream| {
            expect(&mut stream, &[5, 1, 0]);
            stream.write_all(&[5, 0]).unwrap();
            expect(&mut stream, b"\x05\x03\x00\x03\x09echo.test\x00\x35");
            stream.write_all(&reply_naming(relay)).unwrap();
            let _ = control.send(stream);
        })
    }

    fn associated() -> (Link, UdpSocket, TcpStream) {
        let relay = UdpSocket::bind("127.0.0.1:0").unwrap();
        relay.set_read_timeout(Some(PATIENCE)).unwrap();
        let (give, controls) = unbounded();
        let addr = grant(relay.local_addr().unwrap(), give);
        let link = outbound(vec![server(addr, &[])], PATIENCE)
            .connect(&udp_request(53))
            .unwrap();
        let control = controls.recv_timeout(PATIENCE).unwrap();
        (link, relay, control)
    }

    #[test]
    fn packets_are_wrapped_and_unwrapped() {
        let (mut link, relay, mut control) = associated();
        send(&mut link, b"question");
        let mut space = [0; 64];
        let (len, client) = relay.recv_from(&mut space).unwrap();
        let expected = b"\x00\x00\x00\x03\x09echo.test\x00\x35question";
        assert_eq!(&space[..len], expected);

        control.write_all(b"means nothing").unwrap();
        for packet in [
            &b""[..],
            b"\x00\x00",
            b"\x00\x00\x01\x01\x7f\x00\x00\x01\x00\x35fragment",
            // Of another source than the target: not looked at.
            b"\x00\x00\x00\x01\xc0\x00\x02\x01\x00\x07answer",
        ] {
            relay.send_to(packet, client).unwrap();
        }
        let answer = link.reader.read_timeout(PATIENCE).unwrap().unwrap();
        assert_eq!(answer.as_slice(), b"answer");
    }

    #[test]
    fn the_end_of_the_association_ends_the_link() {
        let (mut link, _relay, control) = associated();
        drop(control);
        let end = link.reader.read_timeout(PATIENCE);
        assert!(matches!(end, Ok(None)), "{end:?}");
        let late = link.writer.try_write(b"x");
        assert!(matches!(late, Err(LinkError::Reset)), "{late:?}");
    }

    #[test]
    fn a_reset_of_the_association_is_not_an_orderly_end() {
        let (mut link, _relay, control) = associated();
        let socket = socket2::SockRef::from(&control);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
        drop(control);
        for _ in 0..2 {
            let end = link.reader.read_timeout(PATIENCE);
            assert!(matches!(end, Err(LinkError::Reset)), "{end:?}");
        }
    }

    #[test]
    fn an_interrupt_wakes_a_reader_and_the_control_connection_ends() {
        let (link, _relay, mut control) = associated();
        let Link { mut reader, writer } = link;
        let handle = reader.handle();
        let (tell, told) = unbounded();
        std::thread::spawn(move || tell.send(reader.read()));
        handle.interrupt();
        let outcome = told.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(outcome, Err(LinkError::Reset)), "{outcome:?}");
        drop(writer);
        assert_eq!(control.read(&mut [0; 1]).unwrap(), 0);
    }
}

mod dokodemo_door {
    use super::*;

    fn options(target: SocketAddr) -> dokodemo::InboundOptions {
        dokodemo::InboundOptions {
            address: target.ip().into(),
            port: target.port(),
            tcp: true,
            udp: true,
        }
    }

    #[test]
    fn a_server_may_speak_first() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = options(listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"220 ready").unwrap();
            let mut question = [0; 4];
            stream.read_exact(&mut question).unwrap();
            stream.write_all(&question).unwrap();
        });
        let (ctx, requests) = context("ka", PATIENCE);
        let inbound = dokodemo::Inbound::new(ctx, &options);
        let front = TcpListener::bind("127.0.0.1:0").unwrap();
        let running = Running::start(("ka", PATIENCE), front, inbound, None, requests);
        let mut stream = running.connect();
        assert_eq!(read_exactly(&mut stream, 9), b"220 ready");
        stream.write_all(b"QUIT").unwrap();
        assert_eq!(read_exactly(&mut stream, 4), b"QUIT");
        let request = running.request();
        assert_eq!(request.target.network, Network::Tcp);
        assert_eq!(request.source, Some(stream.local_addr().unwrap()));
        running.close();
        assert_no_threads("ka");
    }

    #[test]
    fn datagrams_go_to_the_target_and_back() {
        let (ctx, requests) = context("kb", PATIENCE);
        let socket = udp::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let seat = udp::Seat::New(socket);
        let flows = dokodemo::prepare_udp(ctx, &options(udp_echo()), seat).unwrap();
        flows.open();
        let visitors = [0; 2].map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect(flows.local_addr()).unwrap();
            socket
        });
        let mut space = vec![0; 65_535];
        for size in [0, 1200, 65_000] {
            for (i, visitor) in visitors.iter().enumerate() {
                let data = vec![i as u8; size];
                visitor.send(&data).unwrap();
                let len = visitor.recv(&mut space).unwrap();
                assert_eq!(space[..len], data);
            }
        }
        assert_eq!(requests.len(), 2);
        assert_eq!(flows.stats().opened, 2);
        flows.close();
        assert_no_threads("kb");
    }
}
