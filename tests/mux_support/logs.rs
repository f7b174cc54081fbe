//! What the crate logs, kept for tests that look at it.

use std::sync::Once;

use log::{LevelFilter, Log, Metadata, Record};
use parking_lot::Mutex;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Keeper;

impl Log for Keeper {
    fn enabled(&self, _: &Metadata) -> bool {
        true
    }

    fn log(&self, record: &Record) {
        LINES.lock().push(record.args().to_string());
    }

    fn flush(&self) {}
}

/// Forgets what was logged so far, and keeps what is from now on.
pub fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Keeper).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
    LINES.lock().clear();
}

pub fn lines() -> Vec<String> {
    LINES.lock().clone()
}

/// Panics of the crate's threads since [`start`].
pub fn panics() -> Vec<String> {
    let lines = lines();
    let panics = lines.into_iter().filter(|line| line.contains("panicked"));
    panics.collect()
}
