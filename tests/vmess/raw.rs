//! A VMess client, or server, made of the codec alone.

use std::collections::VecDeque;

use muxcool::buf::Buf;
use muxcool::net::Destination;
use muxcool::proxy::vmess::wire::{
    BodyKeys, Direction, HeaderSeal, Options, RequestHeader, SEALED_LENGTH, TAG, read_header,
    seal_request, seal_response, write_header,
};
use muxcool::proxy::vmess::{Opener, Sealer, Security, command_key, make_auth_id};
use rand::RngExt;
use uuid::Uuid;

use super::loopback::Peer;

/// Bytes of a response.
pub const RESPONSE_LEN: usize = SEALED_LENGTH + 4 + TAG;

/// What both ends of a connection know.
pub struct Raw {
    command_key: [u8; 16],
    time: i64,
    pub header: RequestHeader,
    sent: Option<Sealer>,
    answered: Option<Sealer>,
    heard: Option<Opener>,
}

impl Raw {
    /// For a request of that time, with padded chunks in AES.
    pub fn new(id: Uuid, target: Destination, time: i64) -> Self {
        let mut random = rand::rng();
        let header = RequestHeader {
            keys: BodyKeys {
                key: random.random(),
                iv: random.random(),
            },
            answer: 7,
            options: Options::usual(Security::Aes128Gcm),
            security: Security::Aes128Gcm,
            target,
        };
        Self {
            command_key: command_key(&id),
            time,
            header,
            sent: None,
            answered: None,
            heard: None,
        }
    }

    /// For the request that comes from `client`.
    pub fn of_request(id: Uuid, client: &mut Peer) -> Self {
        let key = command_key(&id);
        let id: [u8; 16] = client.take(16).try_into().unwrap();
        let length = client.take(SEALED_LENGTH).try_into().unwrap();
        let nonce = client.take(8).try_into().unwrap();
        let seal = HeaderSeal::of_request(&key, &id, &nonce);
        let len = seal.open_length(&length).unwrap();
        let plain = seal.open(&client.take(len + TAG)).unwrap();
        let header = read_header(&plain).unwrap();
        Self {
            command_key: key,
            header: header.clone(),
            ..Self::new(Uuid::nil(), header.target, 0)
        }
    }

    pub fn set(&mut self, security: Security, options: Options) {
        self.header.security = security;
        self.header.options = options;
    }

    /// The request, each time with an auth id of its own.
    pub fn head(&self) -> Vec<u8> {
        self.head_with(|_| {})
    }

    /// The same, with a change to its plain text.
    pub fn head_with(&self, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut plain = Vec::new();
        write_header(&mut plain, &self.header, &[]);
        change(&mut plain);
        let mut random = rand::rng();
        let id = make_auth_id(&self.command_key, self.time, random.random());
        seal_request(&self.command_key, id, random.random(), &plain)
    }

    /// A chunk from the client.
    pub fn chunk(&mut self, payload: &[u8]) -> Vec<u8> {
        seal(self.sealer(Direction::Request), payload)
    }

    /// The client's last chunk.
    pub fn end(&mut self) -> Vec<u8> {
        end(self.sealer(Direction::Request))
    }

    /// What a server says first.
    pub fn response(&mut self) -> Vec<u8> {
        seal_response(&self.header.keys.of_response(), self.header.answer)
    }

    /// A chunk from the server.
    pub fn answer(&mut self, payload: &[u8]) -> Vec<u8> {
        seal(self.sealer(Direction::Response), payload)
    }

    /// The server's last chunk.
    pub fn last(&mut self) -> Vec<u8> {
        end(self.sealer(Direction::Response))
    }

    /// The server's next payload is this, behind the response if nothing has
    /// come before.
    #[track_caller]
    pub fn expect(&mut self, visitor: &mut Peer, payload: &[u8]) {
        let mut got = Vec::new();
        while got.len() < payload.len() {
            let out = self.hear(visitor);
            got.extend(out.iter().flat_map(Buf::as_slice).copied());
        }
        assert_eq!(got, payload);
    }

    /// The server ends its direction, with a chunk, and the connection.
    #[track_caller]
    pub fn expect_end(&mut self, visitor: &mut Peer) {
        while !self.heard.as_ref().is_some_and(Opener::has_ended) {
            assert!(self.hear(visitor).is_empty(), "payload before the end");
        }
        visitor.expect_end();
    }

    fn hear(&mut self, visitor: &mut Peer) -> VecDeque<Buf> {
        if self.heard.is_none() {
            assert_eq!(visitor.take(RESPONSE_LEN), self.response());
        }
        let header = &self.header;
        let opener = self
            .heard
            .get_or_insert_with(|| Opener::new(header, Direction::Response));
        let mut out = VecDeque::new();
        let bytes = visitor.take(opener.missing());
        opener.push(Buf::copy_of(&bytes), &mut out).unwrap();
        out
    }

    fn sealer(&mut self, direction: Direction) -> &mut Sealer {
        let header = &self.header;
        let place = match direction {
            Direction::Request => &mut self.sent,
            Direction::Response => &mut self.answered,
        };
        place.get_or_insert_with(|| Sealer::new(header, direction))
    }
}

fn seal(sealer: &mut Sealer, payload: &[u8]) -> Vec<u8> {
    let mut out = VecDeque::new();
    sealer.seal(Buf::copy_of(payload), &mut out);
    out.iter().flat_map(Buf::as_slice).copied().collect()
}

fn end(sealer: &mut Sealer) -> Vec<u8> {
    let mut out = VecDeque::new();
    sealer.end(&mut out);
    out.iter().flat_map(Buf::as_slice).copied().collect()
}
