//! What goes wrong with ids, and with what users send.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Instant, SystemTime},
};

use muxcool::net::{Destination, Network};
use muxcool::proxy::vless::wire::write_request;
use serde_json::json;
use uuid::Uuid;

use super::raw::{RESPONSE_LEN, Raw};
use super::support::{
    PATIENCE, eventually,
    ports::{free_port, loopback},
    program::{Kind, Program},
    target::TcpTarget,
};
use super::{ID, assert_ended, assert_one, dial, log, unusual};

/// More than anybody is waited for who has no right to be heard.
const MORE: usize = 10_000;

struct Scene {
    server: Program,
    vless: SocketAddr,
    vmess: SocketAddr,
    echo: TcpTarget,
}

impl Scene {
    fn start() -> Self {
        let ports = [free_port(), free_port()];
        let inbound = |protocol: &str, port: u16, mut settings: serde_json::Value| {
            settings["clients"] = json!([{ "id": ID }]);
            json!({
                "tag": protocol,
                "listen": "127.0.0.1",
                "port": port,
                "protocol": protocol,
                "settings": settings,
            })
        };
        let config = json!({
            "log": log(),
            "inbounds": [
                inbound("vless", ports[0], json!({ "decryption": "none" })),
                inbound("vmess", ports[1], json!({})),
            ],
            "outbounds": [{ "protocol": "freedom" }],
        });
        Self {
            server: Program::start(Kind::Muxcool, "server", &config),
            vless: loopback(ports[0]),
            vmess: loopback(ports[1]),
            echo: TcpTarget::echo(),
        }
    }

    fn target(&self) -> Destination {
        (Network::Tcp, self.echo.address()).into()
    }

    /// A user's VMess request, made now.
    fn request(&self, id: Uuid) -> Raw {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.expect("a clock").as_secs() as i64;
        Raw::new(id, self.target(), now)
    }

    /// A user who is being served: he sends something, and gets it back.
    fn served(&self) -> (TcpStream, Raw, Vec<u8>) {
        let mut raw = self.request(id());
        let request = [raw.head(), raw.chunk(b"hello")].concat();
        let mut visitor = dial(self.vmess);
        visitor.write_all(&request).expect("a request");
        let mut response = [0; RESPONSE_LEN + 1];
        visitor.read_exact(&mut response).expect("an answer");
        (visitor, raw, request)
    }

    /// Fails unless the server says one line, with these words, and goes on
    /// serving who was there and who comes.
    fn expect(self, words: &str, (mut staying, mut raw): (TcpStream, Raw)) {
        let said = eventually(Instant::now() + PATIENCE, || {
            match unusual(&self.server).is_empty() {
                true => Err(()),
                false => Ok(()),
            }
        });
        said.expect("a line");
        staying.write_all(&raw.chunk(b"more")).expect("more");
        staying.read_exact(&mut [0]).expect("more");
        drop(self.served());
        assert_one(&unusual(&self.server), Some(words));
        drop(staying);
        self.server.finish();
    }
}

fn id() -> Uuid {
    ID.parse().expect("an id")
}

/// With as much behind it as it takes until nobody waits for more.
fn say_in_vain(address: SocketAddr, request: &[u8]) {
    let mut visitor = dial(address);
    // He may be cut off before that.
    let _ = visitor.write_all(&[request, &[0x55; MORE]].concat());
    assert_ended(visitor);
}

#[test]
fn an_unknown_id_of_vless() {
    let scene = Scene::start();
    let (staying, raw, _) = scene.served();
    let mut request = Vec::new();
    write_request(&mut request, &Uuid::nil(), &scene.target());
    say_in_vain(scene.vless, &request);
    scene.expect("unknown user id", (staying, raw));
}

#[test]
fn an_unknown_id_of_vmess() {
    let scene = Scene::start();
    let (staying, raw, _) = scene.served();
    say_in_vain(scene.vmess, &scene.request(Uuid::nil()).head());
    scene.expect("unknown user id", (staying, raw));
}

#[test]
fn a_request_of_vmess_that_comes_twice() {
    let scene = Scene::start();
    let (staying, raw, request) = scene.served();
    say_in_vain(scene.vmess, &request);
    scene.expect("a request that came before", (staying, raw));
}

#[test]
fn a_body_of_vmess_that_is_damaged() {
    let scene = Scene::start();
    let (staying, raw, _) = scene.served();
    let (mut visitor, mut other, _) = scene.served();
    let mut chunk = other.chunk(b"more");
    chunk[5] ^= 1;
    visitor.write_all(&chunk).expect("a chunk");
    assert_ended(visitor);
    scene.expect("a chunk of the body is damaged", (staying, raw));
}
