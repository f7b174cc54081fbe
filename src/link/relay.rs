use std::collections::VecDeque;
use std::sync::Arc;

use super::{Handle, Link, LinkError, Reader, Writer};
use crate::limits::FIRST_PAYLOAD_WAIT;
use crate::sync::{Done, spawn};

/// Moves everything from `reader` to `writer`, and its end: an orderly one
/// closes the writer, an error aborts it.
///
/// # Errors
/// The first error of either half.
pub fn copy(reader: &mut dyn Reader, writer: &mut dyn Writer) -> Result<(), LinkError> {
    let copied = copy_to_end(reader, writer);
    if copied.is_err() {
        writer.abort();
    }
    copied
}

fn copy_to_end(reader: &mut dyn Reader, writer: &mut dyn Writer) -> Result<(), LinkError> {
    let mut batch = VecDeque::with_capacity(1);
    while let Some(buf) = reader.read()? {
        batch.push_back(buf);
        writer.write(&mut batch)?;
    }
    writer.close()
}

/// As [`copy`], but a first payload that is at hand goes together with what
/// `writer` holds back, and if there is none, that goes alone.
fn copy_with_first_payload(
    reader: &mut dyn Reader,
    writer: &mut dyn Writer,
) -> Result<(), LinkError> {
    let started = send_first_payload(reader, writer);
    match started {
        Ok(true) => copy(reader, writer),
        Ok(false) => writer.close(),
        Err(e) => {
            writer.abort();
            Err(e)
        }
    }
}

/// Returns whether more may follow.
fn send_first_payload(reader: &mut dyn Reader, writer: &mut dyn Writer) -> Result<bool, LinkError> {
    match reader.read_timeout(FIRST_PAYLOAD_WAIT) {
        Ok(Some(buf)) => writer.write(&mut VecDeque::from([buf])).map(|()| true),
        Ok(None) => writer.flush().map(|()| false),
        Err(LinkError::TimedOut) => writer.flush().map(|()| true),
        Err(e) => Err(e),
    }
}

/// Moves everything both ways between two links, until both directions have
/// ended. Each direction ends on its own; an error in one ends both.
///
/// Runs on the calling thread, and on one more if neither link's reader can
/// [forward](Reader::forward).
///
/// # Errors
/// The first error of any half.
pub fn relay(near: Link, far: Link) -> Result<(), LinkError> {
    let (near_writer, far_reader) = (near.writer, far.reader);
    let (near_reader, far_writer) = match forward(near.reader, far.writer, far_reader.as_ref()) {
        Ok(done) => return copy_beside(&done, far_reader, near_writer),
        Err(halves) => halves,
    };
    match forward(far_reader, near_writer, near_reader.as_ref()) {
        Ok(done) => copy_beside(&done, near_reader, far_writer),
        Err((far_reader, near_writer)) => {
            let up = Direction::new(near_reader, far_writer);
            let down = Direction::new(far_reader, near_writer);
            relay_on_two_threads(up, down)
        }
    }
}

type Halves = (Box<dyn Reader>, Box<dyn Writer>);

/// Gives the halves back if the reader cannot forward.
fn forward(
    mut reader: Box<dyn Reader>,
    writer: Box<dyn Writer>,
    back: &dyn Reader,
) -> Result<Forwarded, Halves> {
    match reader.forward(writer, back.handle()) {
        Ok(done) => Ok(Forwarded {
            done,
            _reader: reader,
        }),
        Err(writer) => Err((reader, writer)),
    }
}

/// A direction that its reader drives by itself.
struct Forwarded {
    done: Arc<Done>,
    _reader: Box<dyn Reader>,
}

/// Moves one direction while the other one is forwarded. A forwarding reader
/// shares its fate with the writer beside it, so aborting that ends both.
fn copy_beside(
    forwarded: &Forwarded,
    mut reader: Box<dyn Reader>,
    mut writer: Box<dyn Writer>,
) -> Result<(), LinkError> {
    let copied = copy_with_first_payload(reader.as_mut(), writer.as_mut());
    forwarded.done.wait();
    copied
}

struct Direction {
    reader: Box<dyn Reader>,
    writer: Box<dyn Writer>,
    handles: [Handle; 2],
}

impl Direction {
    fn new(reader: Box<dyn Reader>, writer: Box<dyn Writer>) -> Self {
        // The writer first: woken by its reader's failure it must not have
        // the time to end in an orderly way.
        let handles = [writer.handle(), reader.handle()];
        Self {
            reader,
            writer,
            handles,
        }
    }

    /// Copies to the end; after an error interrupts the `other` direction.
    fn run(mut self, other: &[Handle]) -> Result<(), LinkError> {
        let copied = copy_with_first_payload(self.reader.as_mut(), self.writer.as_mut());
        if copied.is_err() {
            other.iter().for_each(|handle| handle.interrupt());
        }
        copied
    }
}

fn relay_on_two_threads(up: Direction, down: Direction) -> Result<(), LinkError> {
    let (up_handles, down_handles) = (up.handles.clone(), down.handles.clone());
    let down = spawn("relay", move || down.run(&up_handles))?;
    let up = up.run(&down_handles);
    // A panic over there was reported by its thread and dropped its halves,
    // which ended this direction too.
    let down = down.join().unwrap_or(Err(LinkError::Reset));
    up.and(down)
}
