//! Which of many sockets have something to do.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use rustix::{
    buffer::spare_capacity,
    event::epoll::{self, CreateFlags, Event, EventData, EventFlags},
    io::retry_on_intr,
};

/// Events of one wait.
const BATCH: usize = 256;

/// What a socket is waited for.
#[derive(Clone, Copy, Debug)]
pub enum For {
    Reading,
    Writing,
}

/// An instance of epoll. A socket that is closed leaves by itself.
pub struct Readiness {
    epoll: OwnedFd,
}

impl Readiness {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
        })
    }

    pub fn add(&self, socket: impl AsFd, number: u64) -> io::Result<()> {
        let data = EventData::new_u64(number);
        Ok(epoll::add(&self.epoll, socket, data, For::Reading.flags())?)
    }

    pub fn change(&self, socket: impl AsFd, number: u64, what: For) -> io::Result<()> {
        let data = EventData::new_u64(number);
        Ok(epoll::modify(&self.epoll, socket, data, what.flags())?)
    }

    /// Waits, without a bound, for the numbers of those that are ready.
    pub fn wait(&self) -> io::Result<Vec<u64>> {
        let mut events: Vec<Event> = Vec::with_capacity(BATCH);
        retry_on_intr(|| epoll::wait(&self.epoll, spare_capacity(&mut events), None))?;
        Ok(events.iter().map(|event| event.data.u64()).collect())
    }
}

impl For {
    fn flags(self) -> EventFlags {
        match self {
            Self::Reading => EventFlags::IN,
            Self::Writing => EventFlags::OUT,
        }
    }
}
