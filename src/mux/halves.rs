//! A session's two directions as the halves of a link.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::session::Session;
use crate::buf::Buf;
use crate::limits::SESSION_PIPE;
use crate::link::{Handle, Interrupt, Link, LinkError, Nowhere, PipeLinkWriter, Reader, Writer};
use crate::pipe::{PipeReader, pipe};
use crate::sync::shim::Mutex;
use crate::sync::{Done, Share};

/// The session as a link, for those who dispatch it.
pub(super) fn link(session: &Arc<Session>) -> Link {
    link_in_turn(session, None)
}

/// The same, where the session's target is still to be dialled: that is over
/// when the link is first used, for then somebody is there to use it, and the
/// place in `turn` is given back.
pub(super) fn link_in_turn(session: &Arc<Session>, turn: Option<Share>) -> Link {
    let turn = turn.map(|share| Arc::new(Mutex::new(Some(share))));
    let reader = SessionReader {
        session: session.clone(),
        source: None,
        forwarded: false,
        turn: turn.clone(),
    };
    let writer = SessionWriter {
        session: session.clone(),
        closed: false,
        turn,
    };
    Link::new(reader, writer)
}

/// Held by both halves until one of them is used.
type Turn = Option<Arc<Mutex<Option<Share>>>>;

fn end_turn(turn: &mut Turn) {
    if let Some(turn) = turn.take() {
        let share = turn.lock().take();
        drop(share);
    }
}

/// Ends the whole session with an error. Does not keep it: a session holds the
/// handles of those whom it is tied to, which may be its own.
struct FailSession(Weak<Session>);

impl FailSession {
    fn handle(session: &Arc<Session>) -> Handle {
        Arc::new(Self(Arc::downgrade(session)))
    }
}

impl Interrupt for FailSession {
    fn interrupt(&self) {
        if let Some(session) = self.0.upgrade() {
            session.fail();
        }
    }
}

/// What the session receives. It is best [forwarded](Reader::forward); read by
/// hand it goes through a pipe.
struct SessionReader {
    session: Arc<Session>,
    source: Option<PipeReader>,
    forwarded: bool,
    turn: Turn,
}

impl SessionReader {
    fn pipe(&mut self) -> &PipeReader {
        end_turn(&mut self.turn);
        let session = &self.session;
        self.source.get_or_insert_with(|| {
            let (reader, writer) = pipe(SESSION_PIPE);
            session.attach(Box::new(PipeLinkWriter::new(writer)), Nowhere::handle());
            reader
        })
    }
}

impl Reader for SessionReader {
    fn read(&mut self) -> Result<Option<Buf>, LinkError> {
        Ok(self.pipe().read()?)
    }

    fn read_timeout(&mut self, wait: Duration) -> Result<Option<Buf>, LinkError> {
        Ok(self.pipe().read_timeout(wait)?)
    }

    fn handle(&self) -> Handle {
        FailSession::handle(&self.session)
    }

    fn forward(
        &mut self,
        sink: Box<dyn Writer>,
        other: Handle,
    ) -> Result<Arc<Done>, Box<dyn Writer>> {
        if self.source.is_some() {
            return Err(sink);
        }
        self.forwarded = true;
        end_turn(&mut self.turn);
        self.session.attach(sink, other);
        Ok(self.session.received_all().clone())
    }
}

/// A session that nobody will ever read must not park what arrives: the peer
/// is told at its next data, as a socket would tell it.
impl Drop for SessionReader {
    fn drop(&mut self) {
        if self.source.is_some() || self.forwarded {
            return;
        }
        let (_, deaf) = pipe(SESSION_PIPE);
        self.session
            .attach(Box::new(PipeLinkWriter::new(deaf)), Nowhere::handle());
    }
}

/// What the session sends.
struct SessionWriter {
    session: Arc<Session>,
    closed: bool,
    turn: Turn,
}

impl Writer for SessionWriter {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        end_turn(&mut self.turn);
        while let Some(buf) = batch.pop_front() {
            self.session.send(buf)?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), LinkError> {
        self.closed = true;
        end_turn(&mut self.turn);
        self.session.end_local()
    }

    fn abort(&mut self) {
        self.session.fail();
    }

    fn handle(&self) -> Handle {
        FailSession::handle(&self.session)
    }
}

impl Drop for SessionWriter {
    fn drop(&mut self) {
        if !self.closed {
            self.session.fail();
        }
    }
}
