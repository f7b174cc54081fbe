use std::io::{self, BufRead, Read};
use std::sync::Arc;

use log::info;

use super::InboundOptions;
use super::clock::{self, UnixClock};
use super::opener::Opener;
use super::reader::BodyReader;
use super::replay::Replays;
use super::users::{KnownUser, Shown, Users};
use super::wire::{
    Direction, HeaderError, HeaderSeal, RequestHeader, SEALED_LENGTH, Security, TAG, read_header,
    seal_response,
};
use super::writer::{Body, BodyWriter, Head};
use crate::limits::{MAX_VMESS_HEADER, VMESS_REMEMBERED};
use crate::link::{Link, Request};
use crate::net::{Network, Origin};
use crate::proxy::{self, InboundContext, ProxyError};
use crate::sync::Complaints;
use crate::transport::stream::{Connection, Handshake};

/// Serves VMess clients.
///
/// Who does not show a known id, or one that came before, is listened to for a
/// while and gets no byte (section 2.6). The response header goes out with the
/// target's first bytes, or with their end if there are none.
pub struct Inbound {
    context: InboundContext,
    users: Users,
    only_encrypted: bool,
    replays: Arc<Replays>,
    now: UnixClock,
}

/// Requests with a time that is not ours.
static CLOCKS: Complaints = Complaints::new();

/// A request that is not accepted.
struct Refusal {
    why: ProxyError,
    /// Whether whoever sent it may be a stranger.
    from_stranger: bool,
}

impl Inbound {
    /// An inbound for the clients that `options` names.
    pub fn new(context: InboundContext, options: InboundOptions) -> Self {
        Self {
            context,
            users: Users::new(options.clients),
            only_encrypted: options.only_encrypted,
            replays: Replays::shared(),
            now: clock::system(),
        }
    }

    /// The same with another clock, in seconds since 1970, and a memory of its
    /// own for what must not come twice. For tests.
    pub fn with_clock(self, now: impl Fn() -> i64 + Send + Sync + 'static) -> Self {
        Self {
            replays: Arc::new(Replays::new(VMESS_REMEMBERED)),
            now: Arc::new(now),
            ..self
        }
    }

    fn negotiate(&self, handshake: &mut Counted) -> Result<(&KnownUser, RequestHeader), Refusal> {
        let id = handshake.array::<16>()?;
        let now = (self.now)();
        let (user, time) = match self.users.find(&id, now) {
            Shown::User(user, time) => (user, time),
            Shown::Clock(ahead) => return Err(self.clocks_differ(ahead)),
            Shown::Nobody => return Err(stranger("unknown user id")),
        };
        if !self.replays.is_new_auth_id(&id, time, now) {
            return Err(stranger("a request that came before"));
        }
        let length = handshake.array::<SEALED_LENGTH>()?;
        let nonce = handshake.array::<8>()?;
        let seal = HeaderSeal::of_request(&user.command_key, &id, &nonce);
        let len = seal.open_length(&length).map_err(|_| forged())?;
        if len > MAX_VMESS_HEADER {
            return Err(ProxyError::Malformed("header is too long").into());
        }
        let sealed = handshake.bytes(len + TAG)?;
        let plain = seal.open(&sealed).map_err(|_| forged())?;
        Ok((user, self.read(user, &plain, now)?))
    }

    /// Or it is old, and somebody has replayed it.
    fn clocks_differ(&self, ahead: i64) -> Refusal {
        if let Some(unsaid) = CLOCKS.turn() {
            let tag = &self.context.tag;
            info!("[{tag}] a user's clock is {ahead} s ahead of ours{unsaid}");
        }
        stranger("a clock that differs by more than two minutes")
    }

    /// Whoever made this knows the user's id.
    fn read(&self, user: &KnownUser, plain: &[u8], now: i64) -> Result<RequestHeader, ProxyError> {
        let header = read_header(plain)?;
        let is_new = self
            .replays
            .is_new_session(&user.command_key, &header.keys, now);
        if !is_new {
            return Err(ProxyError::Refused("body keys that were used before"));
        }
        if self.only_encrypted && header.security == Security::None {
            return Err(ProxyError::Refused("bodies must be encrypted"));
        }
        if header.is_raw() && header.target.network == Network::Udp {
            return Err(ProxyError::Refused("datagrams need chunks"));
        }
        Ok(header)
    }

    fn request(&self, user: &KnownUser, header: &RequestHeader, origin: Origin) -> Request {
        let email = &user.client.email;
        Request {
            user: (!email.is_empty()).then(|| email.clone()),
            anonymous: false,
            ..self.context.request(header.target.clone(), origin)
        }
    }
}

impl proxy::Inbound for Inbound {
    fn serve(&self, visitor: Connection) -> Result<(), ProxyError> {
        let origin = visitor.origin()?;
        let mut handshake = Counted {
            inner: Handshake::new(visitor),
            read: 0,
        };
        let (user, header) = match self.negotiate(&mut handshake) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                if refusal.from_stranger {
                    handshake.drain(self.users.drain_len());
                }
                return Err(refusal.why);
            }
        };
        let request = self.request(user, &header, origin);
        let link = handshake.inner.finish(Some(&self.context.idle));
        let link = body(link, &header, &self.context.tag);
        Ok(self.context.dispatcher.dispatch(&request, link)?)
    }
}

/// The connection after its header.
fn body(link: Link, header: &RequestHeader, tag: &Arc<str>) -> Link {
    let response = seal_response(&header.keys_of(Direction::Response), header.answer);
    let head = Head {
        make: Box::new(|| response),
        goes_alone: false,
    };
    let body = Body::new(header, Direction::Response);
    let writer = BodyWriter::new(link.writer, head, body);
    if header.is_raw() {
        return Link {
            reader: link.reader,
            writer: Box::new(writer),
        };
    }
    let opener = Opener::new(header, Direction::Request);
    Link::new(BodyReader::new(link.reader, opener, tag.clone()), writer)
}

/// A handshake, and how much of it was read.
struct Counted {
    inner: Handshake,
    read: usize,
}

impl Counted {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let bytes = self.inner.array()?;
        self.read += N;
        Ok(bytes)
    }

    fn bytes(&mut self, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.inner.read_exact(&mut bytes)?;
        self.read += len;
        Ok(bytes)
    }

    /// Reads until so many bytes have been read in all, and resets the
    /// connection; or to its end, or deadline, and closes it.
    fn drain(mut self, len: usize) {
        let mut left = len.saturating_sub(self.read);
        while left > 0 {
            let taken = match self.inner.fill_buf() {
                Ok([]) | Err(_) => return,
                Ok(bytes) => bytes.len().min(left),
            };
            self.inner.consume(taken);
            left -= taken;
        }
        self.inner.finish(None).writer.abort();
    }
}

fn stranger(why: &'static str) -> Refusal {
    Refusal {
        why: ProxyError::Refused(why),
        from_stranger: true,
    }
}

fn forged() -> Refusal {
    Refusal {
        why: HeaderError::Forged.into(),
        from_stranger: true,
    }
}

impl<E: Into<ProxyError>> From<E> for Refusal {
    fn from(e: E) -> Self {
        Self {
            why: e.into(),
            from_stranger: false,
        }
    }
}

impl From<HeaderError> for ProxyError {
    fn from(e: HeaderError) -> Self {
        match e {
            HeaderError::Forged => ProxyError::Malformed("header does not fit its keys"),
            HeaderError::Truncated(_) => ProxyError::Malformed("header is cut short"),
            HeaderError::Checksum => ProxyError::Malformed("header has a wrong checksum"),
            HeaderError::Security(_) => ProxyError::Malformed("unknown encryption"),
            HeaderError::Options(_) => ProxyError::Malformed("impossible options"),
            HeaderError::Command(_) => ProxyError::Malformed("unknown command"),
            HeaderError::Address(inner) => ProxyError::Address(inner),
            HeaderError::Answer => ProxyError::Malformed("response to another request"),
        }
    }
}
