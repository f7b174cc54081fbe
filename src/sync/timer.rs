use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use super::shim::{Mutex, MutexGuard, Receiver, Sender, bounded, never, select};
use super::{Clock, Done, Spawned, deadline_after, spawn};

/// What a periodic task wants after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Run again after this time.
    After(Duration),
    /// Never again.
    Stop,
}

type Callback = Box<dyn FnMut() -> Next + Send>;

/// One thread, `timer`, that runs short callbacks when they are due.
///
/// A callback must not block: it holds up all others. It sets flags, sends
/// with `try_send`, interrupts links. The thread is woken by the next deadline
/// or by a task that is due before it, and joined when the last handle is
/// dropped, except for the process-wide one, which lives until the process
/// exits.
#[derive(Clone)]
pub struct Timer {
    owner: Arc<Owner>,
}

/// The same one.
impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.owner, &other.owner)
    }
}

struct Owner {
    shared: Arc<Shared>,
    thread: Mutex<Option<Spawned<()>>>,
}

struct Shared {
    clock: Clock,
    tasks: Mutex<Tasks>,
    next_id: AtomicU64,
    nudge: Sender<()>,
    stop: Done,
}

/// Invariant: `deadlines` has one entry for each task that is not running.
#[derive(Default)]
struct Tasks {
    sleep: Sleep,
    deadlines: BTreeMap<(Instant, u64), ()>,
    by_id: HashMap<u64, Task>,
}

/// What the thread does.
#[derive(Default)]
enum Sleep {
    /// It looks at the deadlines before it sleeps.
    #[default]
    Awake,
    /// It sleeps until then, or until it is nudged.
    Until(Option<Instant>),
}

struct Task {
    deadline: Instant,
    /// Absent while it runs.
    callback: Option<Callback>,
    /// Set when it is rescheduled while it runs.
    moved: bool,
}

static GLOBAL: LazyLock<io::Result<Timer>> = LazyLock::new(|| Timer::new(Clock::system()));

impl Timer {
    /// A timer of its own, for tests with a clock of their own.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn new(clock: Clock) -> io::Result<Self> {
        let (nudge, nudged) = bounded(1);
        let shared = Arc::new(Shared {
            clock,
            tasks: Mutex::default(),
            next_id: AtomicU64::new(0),
            nudge,
            stop: Done::new(),
        });
        let inner = shared.clone();
        let thread = spawn("timer", move || inner.run(&nudged))?;
        let owner = Owner {
            shared,
            thread: Mutex::new(Some(thread)),
        };
        Ok(Self {
            owner: Arc::new(owner),
        })
    }

    /// The process's timer, on the system's clock, started at the first use.
    ///
    /// # Errors
    /// When its thread could not be started.
    pub fn global() -> io::Result<Self> {
        match &*GLOBAL {
            Ok(timer) => Ok(timer.clone()),
            Err(e) => Err(io::Error::new(e.kind(), e.to_string())),
        }
    }

    /// The clock that it goes by.
    pub fn clock(&self) -> &Clock {
        &self.owner.shared.clock
    }

    /// Runs `callback` first after `delay` and then as it says itself, until
    /// the returned [`Periodic`] is dropped.
    pub fn schedule(
        &self,
        delay: Duration,
        callback: impl FnMut() -> Next + Send + 'static,
    ) -> Periodic {
        let shared = &self.owner.shared;
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        let deadline = deadline_after(shared.clock.now(), delay);
        let mut tasks = shared.tasks.lock();
        tasks.add(id, deadline, Box::new(callback));
        shared.nudge_for(tasks, deadline);
        Periodic {
            timer: self.clone(),
            id,
        }
    }

    /// Runs `callback` after each `interval`.
    pub fn every(
        &self,
        interval: Duration,
        mut callback: impl FnMut() + Send + 'static,
    ) -> Periodic {
        self.schedule(interval, move || {
            callback();
            Next::After(interval)
        })
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.owner.shared.tasks.lock().by_id.len();
        write!(f, "Timer({tasks} tasks)")
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.stop.signal();
        let Some(thread) = self.thread.lock().take() else {
            return;
        };
        // The last handle may be dropped inside a callback.
        if !thread.is_current() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Wakes the thread if it would sleep past `deadline`. Most deadlines are
    /// far away and never come, and a wake-up costs more than they do.
    fn nudge_for(&self, mut tasks: MutexGuard<'_, Tasks>, deadline: Instant) {
        let oversleeps = tasks.sleep.is_beyond(deadline);
        if oversleeps {
            tasks.sleep = Sleep::Awake; // one nudge is enough
        }
        drop(tasks);
        if oversleeps {
            let _ = self.nudge.try_send(());
        }
    }

    fn run(&self, nudged: &Receiver<()>) {
        while !self.stop.is_done() {
            self.run_due();
            let wake_at = self.tasks.lock().fall_asleep();
            let alarm = wake_at.map_or_else(never, |at| self.clock.at(at));
            select! {
                recv(alarm) -> _ => {}
                recv(nudged) -> _ => {}
                recv(self.stop.event()) -> _ => {}
            }
            self.tasks.lock().sleep = Sleep::Awake;
        }
    }

    fn run_due(&self) {
        loop {
            let now = self.clock.now();
            let Some((id, mut callback)) = self.tasks.lock().take_due(now) else {
                return;
            };
            let next = callback();
            let now = self.clock.now();
            // Bound first: a callback that is dropped here must not run its
            // captures' destructors under the lock.
            let leftover = self.tasks.lock().put_back(id, callback, next, now);
            drop(leftover);
        }
    }
}

impl Sleep {
    fn is_beyond(&self, deadline: Instant) -> bool {
        match self {
            Sleep::Awake => false,
            Sleep::Until(wake_at) => wake_at.is_none_or(|wake_at| deadline < wake_at),
        }
    }
}

impl Tasks {
    fn add(&mut self, id: u64, deadline: Instant, callback: Callback) {
        self.deadlines.insert((deadline, id), ());
        let task = Task {
            deadline,
            callback: Some(callback),
            moved: false,
        };
        self.by_id.insert(id, task);
    }

    /// Returns until when.
    fn fall_asleep(&mut self) -> Option<Instant> {
        let first = self.first_deadline();
        self.sleep = Sleep::Until(first);
        first
    }

    fn first_deadline(&self) -> Option<Instant> {
        self.deadlines.keys().next().map(|(at, _)| *at)
    }

    fn take_due(&mut self, now: Instant) -> Option<(u64, Callback)> {
        while self.first_deadline()? <= now {
            let ((_, id), ()) = self.deadlines.pop_first()?;
            let task = self.by_id.get_mut(&id);
            if let Some(callback) = task.and_then(|task| task.callback.take()) {
                return Some((id, callback));
            }
        }
        None
    }

    /// Returns the callback when it is not wanted any more.
    fn put_back(
        &mut self,
        id: u64,
        callback: Callback,
        next: Next,
        now: Instant,
    ) -> Option<Callback> {
        let Some(task) = self.by_id.get_mut(&id) else {
            return Some(callback); // dropped while it ran
        };
        let Next::After(wait) = next else {
            self.by_id.remove(&id);
            return Some(callback);
        };
        if !std::mem::take(&mut task.moved) {
            task.deadline = deadline_after(now, wait);
        }
        task.callback = Some(callback);
        self.deadlines.insert((task.deadline, id), ());
        None
    }

    fn reschedule(&mut self, id: u64, deadline: Instant) {
        let Some(task) = self.by_id.get_mut(&id) else {
            return;
        };
        if task.callback.is_some() {
            self.deadlines.remove(&(task.deadline, id));
            self.deadlines.insert((deadline, id), ());
        } else {
            task.moved = true;
        }
        task.deadline = deadline;
    }

    fn remove(&mut self, id: u64) -> Option<Task> {
        let task = self.by_id.remove(&id)?;
        self.deadlines.remove(&(task.deadline, id));
        Some(task)
    }
}

/// A task of a [`Timer`]; dropping it cancels the task. A run that is under
/// way at that moment still ends.
#[derive(Debug)]
pub struct Periodic {
    timer: Timer,
    id: u64,
}

impl Periodic {
    /// Makes the next run happen after `delay` from now.
    pub fn reschedule(&self, delay: Duration) {
        let shared = &self.timer.owner.shared;
        let deadline = deadline_after(shared.clock.now(), delay);
        let mut tasks = shared.tasks.lock();
        tasks.reschedule(self.id, deadline);
        shared.nudge_for(tasks, deadline);
    }
}

impl Drop for Periodic {
    fn drop(&mut self) {
        // The guard ends with the statement, before the task is dropped.
        let task = self.timer.owner.shared.tasks.lock().remove(self.id);
        drop(task);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::ManualClock;

    const SECOND: Duration = Duration::from_secs(1);
    const PATIENCE: Duration = Duration::from_secs(10);

    fn wait_for_alarm(clock: &ManualClock) {
        wait_for_alarms(clock, 1);
    }

    fn wait_for_alarms(clock: &ManualClock, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while clock.waiters() < count {
            assert!(Instant::now() < deadline, "the timer set no alarm");
            std::thread::yield_now();
        }
    }

    #[test]
    fn runs_each_interval_until_dropped() {
        let manual = ManualClock::new();
        let timer = Timer::new(manual.clock()).unwrap();
        let (tell, told) = bounded(1);
        let task = timer.every(SECOND, move || tell.try_send(()).unwrap());
        for _ in 0..3 {
            wait_for_alarm(&manual);
            manual.advance(SECOND);
            told.recv_timeout(PATIENCE).unwrap();
        }
        drop(task);
        assert!(told.recv_timeout(PATIENCE).is_err(), "its sender is gone");
    }

    #[test]
    fn a49_a_task_may_be_moved_and_may_stop_itself() {
        let manual = ManualClock::new();
        let timer = Timer::new(manual.clock()).unwrap();
        let (tell, told) = bounded(1);
        let task = timer.schedule(100 * SECOND, move || {
            tell.try_send(()).unwrap();
            Next::Stop
        });
        task.reschedule(SECOND);
        wait_for_alarm(&manual);
        manual.advance(SECOND);
        told.recv_timeout(PATIENCE).unwrap();
        assert!(told.recv_timeout(PATIENCE).is_err(), "its sender is gone");
    }

    #[test]
    fn an_earlier_deadline_cuts_the_sleep_short() {
        let manual = ManualClock::new();
        let timer = Timer::new(manual.clock()).unwrap();
        let (tell, told) = bounded(1);
        let _far = timer.every(100 * SECOND, || ());
        wait_for_alarms(&manual, 1);
        let _near = timer.every(SECOND, move || tell.try_send(()).unwrap());
        wait_for_alarms(&manual, 2);
        manual.advance(SECOND);
        told.recv_timeout(PATIENCE).unwrap();
    }

    #[test]
    fn only_a_deadline_before_the_next_alarm_wakes_the_thread() {
        let mut tasks = Tasks::default();
        let now = Instant::now();
        assert!(!tasks.sleep.is_beyond(now), "it is awake");
        assert_eq!(tasks.fall_asleep(), None);
        assert!(tasks.sleep.is_beyond(now + SECOND));
        tasks.add(1, now + SECOND, Box::new(|| Next::Stop));
        assert_eq!(tasks.fall_asleep(), Some(now + SECOND));
        assert!(!tasks.sleep.is_beyond(now + SECOND));
        assert!(tasks.sleep.is_beyond(now));
    }

    /// The rest of the tasks is not held up by it.
    #[test]
    fn a_task_may_be_due_never() {
        let manual = ManualClock::new();
        let timer = Timer::new(manual.clock()).unwrap();
        let never = timer.every(Duration::MAX, || panic!("it is due"));
        never.reschedule(Duration::MAX);
        let (tell, told) = bounded(1);
        let _last = timer.schedule(SECOND, move || {
            tell.try_send(()).unwrap();
            Next::After(Duration::MAX)
        });
        wait_for_alarm(&manual);
        manual.advance(100 * SECOND);
        told.recv_timeout(PATIENCE).unwrap();
        assert!(manual.clock().after(Duration::MAX).try_recv().is_err());
    }

    #[test]
    fn a_callback_may_drop_its_own_handle() {
        let timer = Timer::new(Clock::system()).unwrap();
        let slot: Arc<Mutex<Option<Periodic>>> = Arc::default();
        let inner = slot.clone();
        let (tell, told) = bounded(1);
        let mut guard = slot.lock();
        *guard = Some(timer.schedule(Duration::ZERO, move || {
            let own = inner.lock().take();
            drop(own);
            let _ = tell.try_send(());
            Next::After(Duration::ZERO)
        }));
        drop(guard);
        told.recv_timeout(PATIENCE).unwrap();
        assert!(told.recv_timeout(PATIENCE).is_err(), "it ran twice");
    }
}
