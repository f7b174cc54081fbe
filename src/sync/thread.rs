use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use log::error;
use parking_lot::{Condvar, Mutex};

use crate::limits::{MAX_THREADS, THREAD_STACK};

/// Threads that went through [`spawn`] and have not ended.
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// Starts a thread, unless the process has [`MAX_THREADS`] already.
///
/// This is the only place that starts threads. Linux keeps 15 bytes of `name`,
/// which may be any text: tags are part of names.
///
/// # Errors
/// What the system says, or [`io::ErrorKind::WouldBlock`] at the limit.
pub fn spawn<T, F>(name: &str, body: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let ticket = Ticket::take()?;
    let run = move || {
        let _ticket = ticket;
        body()
    };
    thread::Builder::new()
        .name(name.replace('\0', "")) // with NUL it would panic
        .stack_size(THREAD_STACK)
        .spawn(run)
}

/// One live thread's place in the count.
struct Ticket;

impl Ticket {
    fn take() -> io::Result<Self> {
        let ticket = Ticket; // from here on, dropping gives the place back
        if LIVE.fetch_add(1, Ordering::Relaxed) >= MAX_THREADS {
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                format!("all {MAX_THREADS} threads are in use"),
            ));
        }
        Ok(ticket)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The threads of one owner, which waits for all of them when it closes.
///
/// A panic in a member ends that member only and is logged.
#[derive(Debug, Clone, Default)]
pub struct Crew {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    members: Mutex<Vec<(ThreadId, String)>>,
    left: Condvar,
}

impl Crew {
    /// An owner without threads.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a member.
    ///
    /// # Errors
    /// As [`spawn`].
    pub fn spawn<F>(&self, name: &str, body: F) -> io::Result<()>
    where
        F: FnOnce() + Send + 'static,
    {
        let crew = self.clone();
        let owned_name = name.to_owned();
        // Held until the member is listed, so that it cannot leave before.
        let mut members = self.shared.members.lock();
        let handle = spawn(name, move || crew.run_member(body))?;
        members.push((handle.thread().id(), owned_name));
        Ok(())
    }

    fn run_member(&self, body: impl FnOnce()) {
        let outcome = catch_unwind(AssertUnwindSafe(body));
        let me = thread::current();
        if outcome.is_err() {
            error!("thread {} panicked", me.name().unwrap_or("?"));
        }
        self.shared.members.lock().retain(|(id, _)| *id != me.id());
        self.shared.left.notify_all();
    }

    /// Waits until no member is left but the calling thread, `limit` at the
    /// most. Returns the names of those still there.
    pub fn join(&self, limit: Duration) -> Vec<String> {
        let deadline = Instant::now() + limit;
        let me = thread::current().id();
        let mut members = self.shared.members.lock();
        while members.iter().any(|(id, _)| *id != me) {
            if self
                .shared
                .left
                .wait_until(&mut members, deadline)
                .timed_out()
            {
                break;
            }
        }
        let others = members.iter().filter(|(id, _)| *id != me);
        others.map(|(_, name)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Done;

    #[test]
    fn joining_waits_for_members_and_names_those_left() {
        let crew = Crew::new();
        let gate = Arc::new(Done::new());
        let inner = gate.clone();
        crew.spawn("waits", move || inner.wait()).unwrap();
        assert_eq!(crew.join(Duration::from_millis(1)), ["waits"]);
        gate.signal();
        assert!(crew.join(Duration::from_secs(5)).is_empty());
    }

    #[test]
    fn a_panicking_member_leaves() {
        let crew = Crew::new();
        crew.spawn("panics", || panic!("on purpose")).unwrap();
        assert!(crew.join(Duration::from_secs(5)).is_empty());
    }

    #[test]
    fn a_member_may_join_its_own_crew() {
        let crew = Crew::new();
        let inner = crew.clone();
        let (tell, told) = crossbeam_channel::bounded(1);
        crew.spawn("self", move || {
            let _ = tell.send(inner.join(Duration::from_secs(5)));
        })
        .unwrap();
        assert!(told.recv().unwrap().is_empty());
    }
}
