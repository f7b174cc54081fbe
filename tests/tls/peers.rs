//! Against rustls alone, on sockets: what our own ends would not do.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use muxcool::link::{Link, pair};
use muxcool::transport::tls::{Client, Options, Server};
use rustls::pki_types::CertificateDer;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion, version,
};

use super::certificate::Certificate;
use super::rig::{
    NAME, PATIENCE, ROOM, apart, failure, pattern, read, shake, showing, trusting, try_pair, write,
};

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn config(certificate: &Certificate, version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from(certificate.der.clone()))
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// A server of ours that sends back what comes, and a client that is none.
fn echo(version: &'static SupportedProtocolVersion, talk: impl FnOnce(&mut Stream)) {
    let certificate = Certificate::for_name(NAME);
    let server = Server::new(&showing(&certificate)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let serving = thread::spawn(move || {
        let link: Link = listener.accept().unwrap().0.into();
        let mut link = server.accept(link, Instant::now() + PATIENCE).unwrap();
        while let Some(buf) = link.reader.read_timeout(PATIENCE).unwrap() {
            link.writer.write(&mut [buf].into()).unwrap();
        }
        link.writer.close().unwrap();
    });
    let config = Arc::new(config(&certificate, version));
    let name = NAME.try_into().unwrap();
    let client = ClientConnection::new(config, name).unwrap();
    let mut stream = StreamOwned::new(client, socket);
    talk(&mut stream);
    stream.conn.send_close_notify();
    stream.flush().unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    serving.join().unwrap();
}

fn exchange(stream: &mut Stream) {
    let data = pattern(10_000);
    stream.write_all(&data).unwrap();
    let mut back = vec![0; data.len()];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(back, data);
}

#[test]
fn tls_1_2_and_1_3() {
    for version in [&version::TLS12, &version::TLS13] {
        echo(version, |stream| {
            exchange(stream);
            assert_eq!(stream.conn.protocol_version(), Some(version.version));
        });
    }
}

/// The reading half learns of it, and what the writing half sends next is
/// under the new key, too.
#[test]
fn keys_that_change_meanwhile() {
    echo(&version::TLS13, |stream| {
        for _ in 0..5 {
            exchange(stream);
            stream.conn.refresh_traffic_keys().unwrap();
        }
        exchange(stream);
    });
}

fn agree(server: Option<&[&str]>, client: Option<&[&str]>) -> Result<(), String> {
    let names = |names: Option<&[&str]>| {
        names.map(|names| names.iter().map(|name| (*name).to_owned()).collect())
    };
    let certificate = Certificate::for_name(NAME);
    let server = Options {
        alpn: names(server),
        ..showing(&certificate)
    };
    let client = Options {
        alpn: names(client),
        ..trusting(&certificate)
    };
    let (near, far) = try_pair(&server, &client, NAME);
    far.map(drop).map_err(|e| e.to_string())?;
    near.map(drop).map_err(|e| e.to_string())
}

#[test]
fn protocols_are_agreed_on_unless_none_is_common() {
    assert_eq!(agree(None, None), Ok(()));
    assert_eq!(agree(None, Some(&[])), Ok(()));
    assert_eq!(agree(None, Some(&["http/1.1"])), Ok(()));
    assert_eq!(agree(Some(&["h2"]), None), Ok(()));
    let why = agree(None, Some(&["spdy"])).unwrap_err();
    assert!(why.contains("any known protocol"), "{why}");
}

/// Bytes that the server sends in a handshake over `client`.
fn handshake_bytes(client: &Client, server: &Server) -> usize {
    let (ends, (mut near_end, far_end)) = apart();
    let (mut from, mut to) = (far_end.reader, far_end.writer);
    let mut back = near_end.writer;
    let counting = thread::spawn(move || {
        let mut count = 0;
        while let Ok(Some(buf)) = from.read_timeout(PATIENCE) {
            count += buf.len();
            if back.write(&mut [buf].into()).is_err() {
                break;
            }
        }
        count
    });
    let passing = thread::spawn(move || {
        while let Ok(Some(buf)) = near_end.reader.read_timeout(PATIENCE) {
            if to.write(&mut [buf].into()).is_err() {
                break;
            }
        }
    });
    let (near, far) = shake(client, server, NAME, ends);
    let (mut near, mut far) = (near.unwrap(), far.unwrap());
    write(far.writer.as_mut(), b"x").unwrap();
    assert_eq!(read(near.reader.as_mut(), 1).unwrap(), b"x"); // after the tickets
    drop((near, far));
    passing.join().unwrap();
    counting.join().unwrap()
}

#[test]
fn sessions_are_resumed_if_both_want_it() {
    let certificate = Certificate::for_name(NAME);
    let resume = |options: Options, resumption| Options {
        resumption,
        ..options
    };
    for (near, far, resumed) in [
        (true, true, true),
        (false, true, false),
        (true, false, false),
    ] {
        let server = Server::new(&resume(showing(&certificate), far)).unwrap();
        let client = Client::new(&resume(trusting(&certificate), near)).unwrap();
        let first = handshake_bytes(&client, &server);
        let second = handshake_bytes(&client, &server);
        assert_eq!(second + 200 < first, resumed, "{first} and {second} bytes");
    }
}

#[test]
fn a_name_that_nobody_can_have_is_refused() {
    let certificate = Certificate::for_name(NAME);
    let client = Client::new(&trusting(&certificate)).unwrap();
    let (near, _far) = pair(ROOM);
    let odd = "a..b".parse();
    if let Ok(odd) = odd {
        let outcome = client.connect(near, &odd, Instant::now() + PATIENCE);
        assert_eq!(failure(outcome), "TLS needs another server name");
    }
}
