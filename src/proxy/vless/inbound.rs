use std::io::{self, BufRead};

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use uuid::Uuid;

use super::datagrams::{PacketReader, PacketWriter};
use super::held::{Alone, HeldWriter};
use super::wire::{self, HeaderError};
use super::{Client, InboundOptions};
use crate::link::{Link, Request};
use crate::net::{Network, Origin};
use crate::proxy::{self, InboundContext, ProxyError};
use crate::transport::stream::{Connection, Handshake};
use crate::wire::Cursor;

/// Serves VLESS clients.
///
/// Who does not show a known id, or sends what is no header, is cut off at
/// once and gets no byte. The response header goes out with the target's first
/// bytes, or not at all if there are none (section 1.2).
pub struct Inbound {
    context: InboundContext,
    clients: Vec<Client>,
}

impl Inbound {
    /// An inbound for the clients that `options` names.
    pub fn new(context: InboundContext, options: InboundOptions) -> Self {
        Self {
            context,
            clients: options.clients,
        }
    }

    fn negotiate(&self, handshake: &mut Handshake, origin: Origin) -> Result<Request, ProxyError> {
        let id = read_part(handshake, wire::read_id)?;
        let client = find(&self.clients, &id).ok_or(ProxyError::Refused("unknown user id"))?;
        let (_, target) = read_part(handshake, wire::read_order)?;
        Ok(Request {
            user: (!client.email.is_empty()).then(|| client.email.clone()),
            anonymous: false,
            ..self.context.request(target, origin)
        })
    }
}

impl proxy::Inbound for Inbound {
    fn serve(&self, visitor: Connection) -> Result<(), ProxyError> {
        let origin = visitor.origin()?;
        let mut handshake = Handshake::new(visitor);
        let request = self.negotiate(&mut handshake, origin)?;
        let link = handshake.finish(Some(&self.context.idle));
        let link = body(link, request.target.network);
        Ok(self.context.dispatcher.dispatch(&request, link)?)
    }
}

/// The client with this id; the last one if there are several (section 1.4).
/// Takes as long for an unknown id as for any known one.
fn find<'a>(clients: &'a [Client], id: &Uuid) -> Option<&'a Client> {
    let mut place = 0_u64;
    let mut known = Choice::from(0);
    for (index, client) in (0..).zip(clients) {
        let matches = client.id.as_bytes().ct_eq(id.as_bytes());
        place.conditional_assign(&index, matches);
        known |= matches;
    }
    let place = usize::try_from(place).ok()?;
    clients.get(place).filter(|_| known.into())
}

/// The connection after its header (section 1.3).
fn body(link: Link, network: Network) -> Link {
    let reader = link.reader;
    let writer = HeldWriter::new(link.writer, &wire::RESPONSE, Alone::Dropped);
    match network {
        Network::Tcp => Link {
            reader,
            writer: Box::new(writer),
        },
        Network::Udp => Link::new(PacketReader::new(reader), PacketWriter::new(writer)),
    }
}

/// Reads until `parse` has what it wants, and leaves what comes after it.
fn read_part<T>(
    handshake: &mut Handshake,
    parse: impl Fn(&mut Cursor) -> Result<T, HeaderError>,
) -> Result<T, ProxyError> {
    let mut bytes = Vec::new();
    loop {
        let input = handshake.fill_buf()?;
        if input.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let (known, added) = (bytes.len(), input.len());
        bytes.extend_from_slice(input);
        let mut cursor = Cursor::new(&bytes);
        match parse(&mut cursor) {
            Ok(part) => {
                handshake.consume(bytes.len() - cursor.remaining() - known);
                return Ok(part);
            }
            Err(e) if e.is_incomplete() => handshake.consume(added),
            Err(e) => return Err(e.into()),
        }
    }
}

impl From<HeaderError> for ProxyError {
    fn from(e: HeaderError) -> Self {
        match e {
            HeaderError::Truncated(_) => ProxyError::Malformed("header is cut short"),
            HeaderError::Version(_) => ProxyError::Malformed("not VLESS version 0"),
            HeaderError::Addons(_) => ProxyError::Malformed("bad addons"),
            HeaderError::Command(_) => ProxyError::Malformed("unknown command"),
            HeaderError::Address(inner) => ProxyError::Address(inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::timing::{FAR_APART, MANY, spread};

    fn clients(count: usize) -> Vec<Client> {
        let client = |n| Client {
            id: Uuid::from_u128(u128::MAX / (n + 2)),
            email: "".into(),
        };
        (0..count as u128).map(client).collect()
    }

    #[test]
    fn the_client_is_the_one_with_all_of_the_id() {
        let clients = clients(MANY);
        for (n, client) in clients.iter().enumerate() {
            let found = find(&clients, &client.id).unwrap();
            assert!(std::ptr::eq(found, &clients[n]));
            for bit in 0..128 {
                let other = Uuid::from_u128(client.id.as_u128() ^ 1 << bit);
                assert!(find(&clients, &other).is_none_or(|found| found.id == other));
            }
        }
        assert!(find(&[], &Uuid::nil()).is_none());
    }

    /// Attack class 13: neither whether an id is known, nor how much of it is,
    /// nor whose it is.
    #[test]
    fn the_time_does_not_tell_what_an_id_resembles() {
        let clients = clients(MANY);
        let (first, last) = (clients[0].id, clients[MANY - 1].id);
        let like = |id: Uuid, bit: u32| Uuid::from_u128(id.as_u128() ^ 1 << bit);
        let inputs = [
            first,
            last,
            like(first, 0),
            like(first, 127),
            like(last, 0),
            like(last, 127),
            Uuid::nil(),
        ];
        let spread = spread(&inputs, |id| find(&clients, id).is_some());
        assert!(spread < FAR_APART, "{spread}");
    }
}
