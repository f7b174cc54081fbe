//! What one thread waits for, once.

use std::sync::Arc;

use shuttle::sync::{Condvar, Mutex};

/// Who rang.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ringer {
    Thread,
    Clock,
}

/// The first who rings it wakes its owner.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<Option<Ringer>>,
    sound: Condvar,
}

impl Bell {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn ring(&self, ringer: Ringer) {
        let mut rung = self.rung.lock().unwrap();
        rung.get_or_insert(ringer);
        drop(rung);
        self.sound.notify_all();
    }

    pub(super) fn wait(&self) -> Ringer {
        let mut rung = self.rung.lock().unwrap();
        loop {
            match *rung {
                Some(ringer) => return ringer,
                None => rung = self.sound.wait(rung).unwrap(),
            }
        }
    }
}
