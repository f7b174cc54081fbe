//! A whole SOCKS outbound, to a server that says the input.

use std::time::Duration;

use muxcool::link::{self, Request};
use muxcool::net::Network;
use muxcool::proxy::socks::wire::{self, Decoded};
use muxcool::proxy::socks::{Account, Outbound, OutboundOptions, Server};
use muxcool::wire::Cursor;

use super::memory::End;
use super::pieces::Pieces;
use super::sockets::{bounded, destination, drain, idle, serve};

/// It has a user name and a password.
const PASSWORD: u8 = 1;

const HANDSHAKE: Duration = Duration::from_secs(60);

/// What it says first, without a password and with one.
const GREETINGS: [&[u8]; 2] = [b"\x05\x01\x00", b"\x05\x01\x02\x01\x04user\x04pass"];
/// What it asks for then.
const REQUEST: &[u8] = b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50";

pub fn check(data: &[u8]) {
    let pieces = Pieces::new(data);
    let words = bounded(pieces.stream);
    let password = pieces.choice & PASSWORD != 0;
    let (got, heard) = serve(words, |addr| {
        let server = Server {
            address: addr.ip().into(),
            port: addr.port(),
            users: accounts(password),
        };
        let options = OutboundOptions {
            servers: vec![server],
        };
        let outbound = Outbound::new("out".into(), options, idle(), HANDSHAKE, None);
        let request = Request::new(destination(Network::Tcp));
        let mut link = link::Outbound::connect(&outbound, &request).ok()?;
        let got = drain(link.reader.as_mut());
        let _ = link.writer.close();
        Some(got)
    });
    let greeting = GREETINGS[usize::from(password)];
    let mut cursor = Cursor::new(words);
    let welcome = is_welcome(&mut cursor, password);
    let said = match welcome {
        Ok(true) => [greeting, REQUEST].concat(),
        _ => greeting.to_vec(),
    };
    assert!(said.starts_with(&heard), "said {heard:?}");
    let agreed = welcome.and_then(|welcome| Ok(welcome && is_served(&mut cursor)?));
    match (agreed, got) {
        (Ok(true), Some((got, end))) => {
            assert_eq!((&*got.concat(), end), (cursor.rest(), End::Orderly));
        }
        (Ok(true), None) => panic!("refused a server that agrees"),
        (_, Some(_)) => panic!("took a server that refuses"),
        (_, None) => {}
    }
}

fn accounts(password: bool) -> Vec<Account> {
    let account = Account {
        user: "user".into(),
        password: "pass".into(),
    };
    password.then_some(account).into_iter().collect()
}

/// Whether the server, by what it says, lets the client in.
fn is_welcome(cursor: &mut Cursor, password: bool) -> Decoded<bool> {
    let method = match password {
        true => wire::METHOD_PASSWORD,
        false => wire::METHOD_NONE,
    };
    if wire::read_method(cursor)? != method {
        return Ok(false);
    }
    Ok(!password || wire::read_password_status(cursor)? == wire::PASSWORD_GOOD)
}

/// Whether it does what it is asked.
fn is_served(cursor: &mut Cursor) -> Decoded<bool> {
    if wire::read_reply_code(cursor)? != wire::SUCCEEDED {
        return Ok(false);
    }
    wire::read_target(cursor).map(|_| true)
}
