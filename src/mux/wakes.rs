//! Whom a carrier's reader has to wake.
//!
//! To wake a thread costs about as much as to read a frame, and one that is
//! woken for each takes turns with the carrier's reader. So as long as there is
//! more to read, those who wait for something in this process wait for some more
//! of it, within a bound; before the carrier's reader waits it wakes them.

use std::cell::{Cell, RefCell};

use crate::limits::WAKES_TOGETHER;
use crate::pipe::Wake;

/// Those who are still to be woken.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    waiting: RefCell<Vec<Wake>>,
    /// Bytes that were read since some were last woken.
    read: Cell<usize>,
}

impl Wakes {
    /// Has somebody woken with the others.
    pub(super) fn add(&self, wake: Wake) {
        if wake.is_due() {
            self.waiting.borrow_mut().push(wake);
        }
    }

    /// So many bytes have been read.
    pub(super) fn received(&self, len: usize) {
        self.read.set(self.read.get() + len);
    }

    /// Whether they have waited long enough.
    pub(super) fn are_due(&self) -> bool {
        self.read.get() >= WAKES_TOGETHER
    }

    /// Wakes all of them.
    pub(super) fn send(&self) {
        self.read.set(0);
        self.waiting.borrow_mut().clear();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::buf::Buf;
    use crate::pipe::pipe;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Writes until somebody is to be woken for it; returns how often.
    fn write_until_awaited(wakes: &Wakes, write: impl Fn() -> Wake) -> usize {
        let deadline = Instant::now() + PATIENCE;
        for count in 1.. {
            wakes.add(write());
            if !wakes.waiting.borrow().is_empty() {
                return count;
            }
            assert!(Instant::now() < deadline, "nobody waits");
            thread::sleep(Duration::from_millis(1));
        }
        unreachable!("more writes than there are numbers");
    }

    #[test]
    fn who_sleeps_is_woken_for_all_that_has_come() {
        let wakes = Wakes::default();
        let (reader, writer) = pipe(64 * 1024);
        let (found, finds) = std::sync::mpsc::channel();
        thread::spawn(move || {
            while let Ok(Some(_)) = reader.read() {
                let _ = found.send(());
            }
        });
        for _ in 0..10 {
            let write = || writer.try_write_quietly(Buf::copy_of(b"x")).unwrap();
            let written = write_until_awaited(&wakes, write);
            wakes.received(WAKES_TOGETHER - 1);
            assert!(!wakes.are_due());
            wakes.received(1);
            assert!(wakes.are_due());
            wakes.send();
            assert!(!wakes.are_due());
            for _ in 0..written {
                finds.recv_timeout(PATIENCE).unwrap();
            }
        }
        writer.close();
    }
}
