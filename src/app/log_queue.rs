//! What lies between those who log and where the log goes: that may be slow,
//! or a pipe that nobody reads, and whoever logs serves somebody.

use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::stamp;
use crate::limits::LOG_QUEUE;
use crate::sync::{deadline_in, spawn};

/// The queueing side. What is written to it, a whole line each time, is copied
/// and written by a thread of its own, `log`, which ends when this is dropped.
///
/// Lines for which there is no room, [`LOG_QUEUE`], and those that cannot be
/// written, are lost. A line says how many as soon as one can be written again.
pub(super) struct LogQueue(Arc<Shared>);

/// Whoever waits for what is queued.
#[derive(Clone)]
pub(super) struct Watch(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Something is queued, or was written, or the queue is closed.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    text: Vec<u8>,
    /// Lines for which there was no room.
    lost: u64,
    /// Lines that were ever queued, and of these ever written, or lost then.
    queued: u64,
    written: u64,
    closed: bool,
}

/// What the thread takes at once.
struct Batch {
    text: Vec<u8>,
    lines: u64,
    lost: u64,
}

impl LogQueue {
    /// A queue in front of `sink`.
    ///
    /// # Errors
    /// Only when no thread can be started.
    pub(super) fn new(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let mut scribe = Scribe {
            shared: shared.clone(),
            sink,
            lost: 0,
            is_torn: false,
        };
        spawn("log", move || scribe.run())?;
        Ok(Self(shared))
    }

    pub(super) fn watch(&self) -> Watch {
        Watch(self.0.clone())
    }

    /// Queues a line, if there is room.
    fn push(&self, line: &[u8]) {
        let mut state = self.0.state.lock();
        if state.text.len() + line.len() > LOG_QUEUE {
            state.lost += 1;
            return;
        }
        state.text.extend_from_slice(line);
        state.queued += 1;
        drop(state);
        self.0.changed.notify_all();
    }
}

/// One of those who write to a queue.
pub(super) struct Lines(pub(super) Arc<LogQueue>);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    /// Never waits: see [`Watch::wait`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogQueue {
    fn drop(&mut self) {
        self.0.state.lock().closed = true;
        self.0.changed.notify_all();
    }
}

impl Watch {
    /// Waits until all that is queued by now is written, `limit` at the most.
    /// Returns whether it is.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        let deadline = deadline_in(limit);
        let mut state = self.0.state.lock();
        let queued = state.queued;
        while state.written < queued {
            if self.0.changed.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.written >= queued
    }
}

impl Shared {
    /// Waits for something to write; `None` at the end.
    fn take(&self) -> Option<Batch> {
        let mut state = self.state.lock();
        while state.text.is_empty() {
            if state.closed {
                return None;
            }
            self.changed.wait(&mut state);
        }
        Some(Batch {
            text: mem::take(&mut state.text),
            lines: state.queued - state.written,
            lost: mem::take(&mut state.lost),
        })
    }

    fn wrote(&self, lines: u64) {
        self.state.lock().written += lines;
        self.changed.notify_all();
    }
}

/// The thread's side.
struct Scribe<W> {
    shared: Arc<Shared>,
    sink: W,
    /// Lines that are lost and of which nothing was said.
    lost: u64,
    /// The last line that could be written was not written to its end.
    is_torn: bool,
}

impl<W: Write> Scribe<W> {
    fn run(&mut self) {
        while let Some(batch) = self.shared.take() {
            self.lost += batch.lost;
            let rest = self.put(&batch.text);
            self.lost += lines(batch.text.get(rest..).unwrap_or_default());
            if rest == batch.text.len() && self.lost > 0 {
                self.confess();
            }
            self.shared.wrote(batch.lines);
        }
    }

    fn confess(&mut self) {
        let (stamp, lost) = (stamp::now(), self.lost);
        let place = module_path!();
        let line = format!("{stamp} [Warning] {place}: {lost} lines of the log are lost\n");
        if self.put(line.as_bytes()) == line.len() {
            self.lost = 0;
        }
    }

    /// Writes as much as can be; says how much of `text` that is.
    fn put(&mut self, text: &[u8]) -> usize {
        if self.is_torn {
            match self.sink.write_all(b"\n") {
                Ok(()) => self.is_torn = false,
                Err(_) => return 0,
            }
        }
        let mut written = 0;
        while let Some(rest) = text.get(written..).filter(|rest| !rest.is_empty()) {
            match self.sink.write(rest) {
                Ok(len) if len > 0 => written += len,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                _ => break,
            }
        }
        let last = text.get(..written).and_then(<[u8]>::last);
        self.is_torn = last.is_some_and(|byte| *byte != b'\n');
        written
    }
}

fn lines(text: &[u8]) -> u64 {
    text.iter().filter(|byte| **byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::{Receiver, Sender, unbounded};

    use super::*;
    use crate::limits::JOIN_DEADLINE;

    /// Takes as much of each write as it is told, or fails if that is nothing;
    /// without an order it waits for one.
    struct Slow {
        orders: Receiver<usize>,
        seen: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.orders.recv() {
                Ok(0) => Err(io::ErrorKind::StorageFull.into()),
                Ok(most) => {
                    let len = most.min(bytes.len());
                    self.seen.lock().extend_from_slice(&bytes[..len]);
                    Ok(len)
                }
                Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (LogQueue, Sender<usize>, Arc<Mutex<Vec<u8>>>) {
        let (tell, orders) = unbounded();
        let seen = Arc::<Mutex<Vec<u8>>>::default();
        let sink = Slow {
            orders,
            seen: seen.clone(),
        };
        (LogQueue::new(sink).unwrap(), tell, seen)
    }

    /// The lines of a text; those that have a time without it.
    fn shown(seen: &Mutex<Vec<u8>>) -> Vec<String> {
        let text = String::from_utf8(seen.lock().clone()).unwrap();
        let from = |line: &str| line.find('[').unwrap_or(0);
        let lines = text.lines().map(|line| line[from(line)..].to_owned());
        lines.collect()
    }

    fn confession(lost: u64) -> String {
        format!("[Warning] muxcool::app::log_queue: {lost} lines of the log are lost")
    }

    #[test]
    fn lines_are_written_in_their_order() {
        let (queue, orders, seen) = slow();
        for n in 0..100 {
            orders.send(usize::MAX).unwrap();
            queue.push(format!("line {n}\n").as_bytes());
        }
        assert!(queue.watch().wait(JOIN_DEADLINE));
        let expected: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
        assert_eq!(shown(&seen), expected);
    }

    /// Nobody waits for a pipe that nobody reads. When it is read again, what
    /// was kept is there, and the number of what was not.
    #[test]
    fn a_sink_that_blocks_costs_lines_and_no_time() {
        let (queue, orders, seen) = slow();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        let fit = LOG_QUEUE / line.len();
        queue.push(&line);
        while !queue.0.state.lock().text.is_empty() {
            std::thread::yield_now(); // until the first is being written
        }
        for _ in 0..fit + 77 {
            queue.push(&line); // would never return if it waited
        }
        assert!(queue.0.state.lock().text.len() <= LOG_QUEUE);
        assert!(!queue.watch().wait(Duration::from_millis(1)));
        for _ in 0..3 {
            orders.send(usize::MAX).unwrap();
        }
        assert!(queue.watch().wait(JOIN_DEADLINE));
        let shown = shown(&seen);
        assert_eq!(shown.len(), 1 + fit + 1);
        assert_eq!(shown.last(), Some(&confession(77)));
    }

    /// A disk that is full for a while.
    #[test]
    fn lines_that_cannot_be_written_are_counted_and_never_run_together() {
        let (queue, orders, seen) = slow();
        let write = |queue: &LogQueue, line: &str, told: &[usize]| {
            told.iter().for_each(|most| orders.send(*most).unwrap());
            queue.push(line.as_bytes());
            assert!(queue.watch().wait(JOIN_DEADLINE));
        };
        write(&queue, "one\n", &[9]);
        write(&queue, "two\n", &[0]);
        write(&queue, "three\n", &[3, 0]);
        write(&queue, "four\n", &[0]);
        write(&queue, "five\n", &[1, 9, 0]);
        write(&queue, "six\n", &[9, 999]);
        write(&queue, "seven\n", &[9]);
        let expected = ["one", "thr", "five", "six", &confession(3), "seven"];
        assert_eq!(shown(&seen), expected);
    }

    #[test]
    fn a_sink_that_is_closed_keeps_nobody() {
        let (queue, orders, _seen) = slow();
        drop(orders);
        for _ in 0..10 {
            queue.push(b"nobody reads this\n");
        }
        assert!(queue.watch().wait(JOIN_DEADLINE));
    }

    #[test]
    fn the_thread_ends_with_the_queue_and_writes_what_is_left() {
        let (queue, orders, seen) = slow();
        queue.push(b"last\n");
        let watch = queue.watch();
        drop(queue);
        orders.send(9).unwrap();
        assert!(watch.wait(JOIN_DEADLINE));
        assert_eq!(shown(&seen), ["last"]);
        while Arc::strong_count(&watch.0) > 1 {
            std::thread::yield_now();
        }
    }
}
