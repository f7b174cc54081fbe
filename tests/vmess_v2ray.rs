//! What the real V2Ray's VMess server takes from our outbound.

#![cfg(all(target_os = "linux", feature = "cli"))]

mod loopback;
mod support;

use std::collections::VecDeque;
use std::thread;

use loopback::{idle, read_exactly};
use muxcool::buf::Buf;
use muxcool::limits::{BUFFER_CLASSES, MAX_VMESS_CHUNK};
use muxcool::link::{Outbound as _, Request};
use muxcool::net::{Address, Network};
use muxcool::proxy::vmess::{Outbound, OutboundOptions, Security, Server, User};
use support::config::{self, Carrier, Endpoint};
use support::ports::free_port;
use support::program::{Kind, Program, v2ray_or_skip};
use uuid::Uuid;

const CHUNKS: usize = 50;

/// V2Ray writes chunks of 2 KiB and reads any that a size field can name.
#[test]
fn the_largest_chunks_arrive() {
    if !v2ray_or_skip() {
        return;
    }
    let payload = BUFFER_CLASSES[BUFFER_CLASSES.len() - 1];
    assert!(payload > MAX_VMESS_CHUNK, "not the largest chunk");
    let id = Uuid::new_v4();
    let endpoint = Endpoint::new(Carrier::Vmess("auto"), free_port()).with_id(id);
    let server = Program::start(Kind::V2ray, "server", &config::mux_server(&endpoint));
    let target = loopback::Target::echo();
    for security in [
        Security::Aes128Gcm,
        Security::Chacha20Poly1305,
        Security::None,
    ] {
        let user = User {
            security: Some(security),
            ..User::new(id)
        };
        let outbound = outbound(&endpoint, user);
        let request = Request::new((Network::Tcp, target).into());
        let mut link = outbound.connect(&request).unwrap();
        let chunk: Vec<u8> = (0..payload).map(|i| (i / 11) as u8).collect();
        let sent = chunk.clone();
        let writing = thread::spawn(move || {
            for _ in 0..CHUNKS {
                let mut batch = VecDeque::from([Buf::copy_of(&sent)]);
                link.writer.write(&mut batch).unwrap();
            }
            link.writer
        });
        let got = read_exactly(link.reader.as_mut(), CHUNKS * payload);
        assert!(got == chunk.repeat(CHUNKS), "{security:?}");
        drop(writing.join().unwrap());
    }
    server.finish();
}

/// V2Ray's clients would send such a server the old header.
#[test]
fn a_server_takes_our_header_whatever_its_alter_id() {
    if !v2ray_or_skip() {
        return;
    }
    let id = Uuid::new_v4();
    let endpoint = Endpoint::new(Carrier::Vmess("auto"), free_port()).with_id(id);
    let mut config = config::mux_server(&endpoint);
    let number = config.pointer_mut("/inbounds/0/settings/clients/0/alterId");
    *number.expect("a client") = 64.into();
    let server = Program::start(Kind::V2ray, "server", &config);
    let target = loopback::Target::echo();
    let outbound = outbound(&endpoint, User::new(id));
    let request = Request::new((Network::Tcp, target).into());
    let mut link = outbound.connect(&request).unwrap();
    loopback::write(link.writer.as_mut(), b"hello");
    assert_eq!(read_exactly(link.reader.as_mut(), 5), b"hello");
    drop(link);
    server.finish();
}

fn outbound(endpoint: &Endpoint, user: User) -> Outbound {
    let options = OutboundOptions {
        servers: vec![Server {
            address: Address::LOCALHOST,
            port: endpoint.port(),
            users: vec![user],
        }],
        send_through: None,
    };
    Outbound::new("out".into(), options, idle())
}
