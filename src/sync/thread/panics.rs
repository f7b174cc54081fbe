//! A panic ends the task that it happens in, and nothing else.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::atomic::{AtomicU64, Ordering};

use log::error;

use super::task::{Panicked, current};

thread_local! {
    /// Where the panic under way on this thread happened.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

static PANICS: AtomicU64 = AtomicU64::new(0);

/// Tasks of this process that have panicked.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// From now on the log says where a task has panicked, and the panic hook is
/// not called for it, which would print to standard error. To be called once,
/// by a program rather than by a library.
pub fn report_panics() {
    let previous = take_hook();
    set_hook(Box::new(move |panic| match current() {
        0 => previous(panic),
        _ => PLACE.set(place(panic)),
    }));
}

fn place(panic: &PanicHookInfo<'_>) -> Option<String> {
    panic.location().map(|place| format!(" at {place}"))
}

/// Calls `body`. A panic in it is counted, and logged with `name`.
pub(super) fn caught<T>(name: &str, body: impl FnOnce() -> T) -> Result<T, Panicked> {
    if cfg!(feature = "schedules") {
        return Ok(body()); // it fails the test
    }
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        let count = PANICS.fetch_add(1, Ordering::Relaxed) + 1;
        let place = PLACE.take().unwrap_or_default();
        let said = message(payload.as_ref());
        error!("thread {name} panicked{place}: {said} (panic {count} of this process)");
        discard(payload);
        Panicked
    })
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// A payload may panic itself when it is dropped.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(another);
    }
}
