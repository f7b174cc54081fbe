//! The server name in a TLS ClientHello (RFC 8446 section 4.1.2, RFC 6066
//! section 3).

use super::wire::{Protocol, Verdict};
use crate::wire::Cursor;

/// Record type of handshake messages.
const HANDSHAKE: u8 = 22;
/// Handshake message that a client begins with.
const CLIENT_HELLO: u8 = 1;
/// First byte of every version from SSL 3 to TLS 1.3.
const MAJOR: u8 = 3;
/// Most bytes of a record that is not encrypted.
const MAX_RECORD: usize = 1 << 14;
/// Extension in which the client names the server.
const SERVER_NAME: u16 = 0;
/// Kind of name in it.
const HOST_NAME: u8 = 0;

/// Why there is no server name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// It may be in what has not arrived.
    Short,
    /// It is no ClientHello.
    Malformed,
    /// It has none.
    Absent,
}

/// Looks for the server name, also in a hello of which the end has not come,
/// and in one that several records carry. One without a name is not told from
/// others.
pub(super) fn examine(bytes: &[u8]) -> Verdict {
    let (message, more) = message(bytes);
    match server_name(&message) {
        Ok(name) => Verdict::known(Protocol::Tls, name),
        Err(Missing::Short) if more => Verdict::WantsMore,
        Err(_) => Verdict::Unknown,
    }
}

/// What the records carry as far as they are there, and whether there may be
/// more.
fn message(bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut message = Vec::new();
    let mut cursor = Cursor::new(bytes);
    while cursor.remaining() > 0 {
        let Some(len) = record_length(&mut cursor) else {
            return (message, false);
        };
        let there = len.min(cursor.remaining());
        message.extend_from_slice(cursor.take(there, "record").unwrap_or_default());
    }
    (message, true)
}

/// Reads a record's head; of one that is cut, all that is there. `None` if it
/// is no head of a record with a handshake message.
fn record_length(cursor: &mut Cursor) -> Option<usize> {
    let there = cursor.remaining().min(5);
    let head = cursor.take(there, "record head").ok()?;
    let fits = |at: usize, wanted: u8| head.get(at).is_none_or(|byte| *byte == wanted);
    if !fits(0, HANDSHAKE) || !fits(1, MAJOR) {
        return None;
    }
    let &[_, _, _, high, low] = head else {
        return Some(0);
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    (1..=MAX_RECORD).contains(&len).then_some(len)
}

fn server_name(message: &[u8]) -> Result<&[u8], Missing> {
    let mut hello = client_hello(message)?;
    if hello.bytes(2)?.first() != Some(&MAJOR) {
        return Err(Missing::Malformed);
    }
    hello.bytes(32)?; // random
    let session_id = hello.u8()?;
    hello.bytes(session_id.into())?;
    let suites = hello.u16()?;
    hello.bytes(suites.into())?;
    let compressions = hello.u8()?;
    hello.bytes(compressions.into())?;
    if hello.is_at_end() {
        return Err(Missing::Absent);
    }
    let extensions = hello.u16()?;
    named_in(hello.part(extensions.into())?)
}

fn client_hello(message: &[u8]) -> Result<Part<'_>, Missing> {
    match message {
        [CLIENT_HELLO, a, b, c, body @ ..] => {
            let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            Ok(Part::new(body, len))
        }
        [CLIENT_HELLO, ..] | [] => Err(Missing::Short),
        _ => Err(Missing::Malformed),
    }
}

fn named_in(mut extensions: Part<'_>) -> Result<&[u8], Missing> {
    while !extensions.is_at_end() {
        let kind = extensions.u16()?;
        let len = extensions.u16()?;
        let mut data = extensions.part(len.into())?;
        if kind == SERVER_NAME {
            let names = data.u16()?;
            return host_in(data.part(names.into())?);
        }
    }
    Err(Missing::Absent)
}

fn host_in(mut names: Part<'_>) -> Result<&[u8], Missing> {
    while !names.is_at_end() {
        let kind = names.u8()?;
        let len = names.u16()?;
        let name = names.bytes(len.into())?;
        if kind == HOST_NAME {
            return Ok(name);
        }
    }
    Err(Missing::Absent)
}

/// Something of a declared length, of which the end may not have come.
struct Part<'a> {
    there: &'a [u8],
    len: usize,
}

impl<'a> Part<'a> {
    fn new(there: &'a [u8], len: usize) -> Self {
        let there = there.get(..len).unwrap_or(there);
        Self { there, len }
    }

    fn is_at_end(&self) -> bool {
        self.len == 0
    }

    /// The next `len` bytes, as far as they are there.
    fn part(&mut self, len: usize) -> Result<Part<'a>, Missing> {
        let part = Part::new(self.there, len);
        self.len = self.len.checked_sub(len).ok_or(Missing::Malformed)?;
        self.there = self.there.get(len..).unwrap_or_default();
        Ok(part)
    }

    /// The next `len` bytes, all of them.
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Missing> {
        let part = self.part(len)?;
        match part.there.len() == len {
            true => Ok(part.there),
            false => Err(Missing::Short),
        }
    }

    fn u8(&mut self) -> Result<u8, Missing> {
        let byte = self.bytes(1)?.first().copied();
        byte.ok_or(Missing::Short)
    }

    fn u16(&mut self) -> Result<u16, Missing> {
        let high = self.u8()?;
        Ok(u16::from_be_bytes([high, self.u8()?]))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::wire::{Sniffed, examine};
    use super::*;
    use crate::net::Domain;
    use crate::wire::Put;

    /// An extension.
    fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.put_u16(kind);
        bytes.put_u16(data.len() as u16);
        bytes.extend_from_slice(data);
        bytes
    }

    fn names(kind: u8, name: &[u8]) -> Vec<u8> {
        let mut list = Vec::new();
        list.put_u16(name.len() as u16 + 3);
        list.push(kind);
        list.put_u16(name.len() as u16);
        list.extend_from_slice(name);
        extension(SERVER_NAME, &list)
    }

    /// A ClientHello with these extensions.
    fn hello(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(32);
        body.extend([8; 32]);
        body.extend([0, 4, 0x13, 1, 0x13, 2, 1, 0]);
        body.put_u16(extensions.len() as u16);
        body.extend_from_slice(extensions);
        let mut message = vec![CLIENT_HELLO, 0];
        message.put_u16(body.len() as u16);
        message.extend(body);
        message
    }

    fn records(message: &[u8], size: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in message.chunks(size) {
            bytes.extend([HANDSHAKE, MAJOR, 1]);
            bytes.put_u16(part.len() as u16);
            bytes.extend_from_slice(part);
        }
        bytes
    }

    fn tls(host: Option<&str>) -> Verdict {
        Verdict::Known(Sniffed {
            protocol: Protocol::Tls,
            host: host.map(|name| Domain::new(name).unwrap()),
        })
    }

    #[test]
    fn the_server_name_is_found_among_others() {
        let other = extension(0x0a0a, &[0; 1200]);
        let name = names(HOST_NAME, b"Example.com");
        for extensions in [name.clone(), [other.clone(), name.clone()].concat()] {
            let bytes = records(&hello(&extensions), MAX_RECORD);
            assert_eq!(examine(&bytes), tls(Some("example.com")));
            assert_eq!(examine(&bytes[..bytes.len() - 1]), Verdict::WantsMore);
        }
        // What follows the name is not waited for.
        let bytes = records(&hello(&[name, other].concat()), MAX_RECORD);
        assert_eq!(examine(&bytes[..200]), tls(Some("example.com")));
    }

    #[test]
    fn what_is_no_name_is_still_tls() {
        for name in [b"192.0.2.1".as_slice(), b"a$b", b"a.com.", b"", b"\xff"] {
            let bytes = records(&hello(&names(HOST_NAME, name)), MAX_RECORD);
            assert_eq!(examine(&bytes), tls(None), "{name:?}");
        }
    }

    #[test]
    fn a_hello_without_a_name_and_other_messages_are_unknown() {
        let bare = records(&hello(&extension(10, &[0, 2, 0, 29])), MAX_RECORD);
        assert_eq!(examine(&bare), Verdict::Unknown);
        assert_eq!(examine(&bare[..bare.len() - 5]), Verdict::WantsMore);
        let odd = records(&hello(&names(1, b"a.com")), MAX_RECORD);
        assert_eq!(examine(&odd), Verdict::Unknown);
        let none = records(&hello(&[]), MAX_RECORD);
        assert_eq!(examine(&none), Verdict::Unknown);
        for first in [
            b"\x15\x03\x01".as_slice(),
            b"\x16\x02",
            b"\x16\x03\x01\0\0",
            b"\x16\x03\x01\x40\x01",
            b"\x16\x03\x01\0\x04\x02",
            b"\x16\x03\x01\0\x06\x01\0\0\x02\x02\0",
        ] {
            assert_eq!(examine(first), Verdict::Unknown, "{first:x?}");
        }
    }

    #[test]
    fn lengths_that_do_not_fit_are_malformed() {
        let good = hello(&names(HOST_NAME, b"a.com"));
        let at = good.len() - 5; // the name's first byte
        for place in [at - 1, at - 4, at - 6, at - 10] {
            let mut bad = good.clone();
            bad[place] += 200;
            let bytes = records(&bad, MAX_RECORD);
            assert_eq!(examine(&bytes), Verdict::Unknown, "{place}");
        }
    }

    proptest! {
        #[test]
        fn records_may_be_of_any_size(
            name in "[a-z][a-z0-9-]{0,60}",
            size in 1usize..300,
            before in 0usize..400,
        ) {
            let extensions = [extension(21, &vec![0; before]), names(HOST_NAME, name.as_bytes())];
            let bytes = records(&hello(&extensions.concat()), size);
            let verdicts: Vec<_> = (0..=bytes.len()).map(|len| examine(&bytes[..len])).collect();
            prop_assert_eq!(verdicts.last(), Some(&tls(Some(&name))));
            let decided = verdicts.iter().skip_while(|v| **v == Verdict::WantsMore);
            for verdict in decided {
                prop_assert_eq!(verdict, &tls(Some(&name)));
            }
        }

        #[test]
        fn a_damaged_hello_gets_one_verdict(
            at in 0usize..150,
            flip in 1u8..,
        ) {
            let extensions = [extension(21, &[0; 20]), names(HOST_NAME, b"a.com")].concat();
            let mut bytes = records(&hello(&extensions), 60);
            let at = at % bytes.len();
            bytes[at] ^= flip;
            let whole = examine(&bytes);
            let verdicts = (0..=bytes.len()).map(|len| examine(&bytes[..len]));
            for verdict in verdicts.skip_while(|v| *v == Verdict::WantsMore) {
                prop_assert_eq!(&verdict, &whole);
            }
        }
    }
}
