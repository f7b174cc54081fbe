use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::balancer::Turn;
use crate::buf::Buf;
use crate::link::{Handle, Link, LinkError, Reader, Writer};
use crate::sync::Done;

/// The link, which keeps `turn` as long as it is read.
pub(super) fn during(link: Link, turn: Option<Turn>) -> Link {
    let Some(turn) = turn else {
        return link;
    };
    let reader = During {
        inner: link.reader,
        _turn: turn,
    };
    Link {
        reader: Box::new(reader),
        writer: link.writer,
    }
}

struct During {
    inner: Box<dyn Reader>,
    _turn: Turn,
}

impl Reader for During {
    fn read(&mut self) -> Result<Option<Buf>, LinkError> {
        self.inner.read()
    }

    fn read_timeout(&mut self, wait: Duration) -> Result<Option<Buf>, LinkError> {
        self.inner.read_timeout(wait)
    }

    fn read_idling(&mut self, idle: &mut dyn FnMut()) -> Result<Option<Buf>, LinkError> {
        self.inner.read_idling(idle)
    }

    fn prefer(&mut self, len: usize) {
        self.inner.prefer(len);
    }

    fn conclude(&mut self) {
        self.inner.conclude();
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.inner.peer()
    }

    fn handle(&self) -> Handle {
        self.inner.handle()
    }

    fn forward(
        &mut self,
        sink: Box<dyn Writer>,
        other: Handle,
    ) -> Result<Arc<Done>, Box<dyn Writer>> {
        self.inner.forward(sink, other)
    }
}
