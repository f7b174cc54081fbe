//! Bounded channels with crossbeam's interface.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use crossbeam_channel::{
    RecvError, RecvTimeoutError, SendError, SendTimeoutError, TryRecvError, TrySendError,
};
use shuttle::rand::{Rng, thread_rng};
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::thread;

use super::bell::{Bell, Ringer};
use super::time::at_some_time;

struct Channel<T> {
    /// Never held at a step of the schedule, nor while a message is dropped.
    state: std::sync::Mutex<State<T>>,
}

struct State<T> {
    queue: VecDeque<T>,
    capacity: usize,
    senders: usize,
    receivers: usize,
    waiting: Vec<Arc<Bell>>,
}

impl<T> Channel<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap()
    }

    /// Wakes all that wait; each looks for itself whether it has to go on.
    fn changed(&self) {
        let waiting = std::mem::take(&mut self.state().waiting);
        for bell in waiting {
            bell.ring(Ringer::Thread);
        }
    }

    fn push(&self, value: T) -> Result<(), TrySendError<T>> {
        let mut state = self.state();
        if state.receivers == 0 {
            return Err(TrySendError::Disconnected(value));
        }
        if state.queue.len() >= state.capacity {
            return Err(TrySendError::Full(value));
        }
        state.queue.push_back(value);
        drop(state);
        self.changed();
        Ok(())
    }

    fn pop(&self) -> Result<T, TryRecvError> {
        let mut state = self.state();
        let Some(value) = state.queue.pop_front() else {
            return Err(match state.senders {
                0 => TryRecvError::Disconnected,
                _ => TryRecvError::Empty,
            });
        };
        drop(state);
        self.changed();
        Ok(value)
    }
}

/// Something that a thread can wait for together with others.
pub trait Port {
    /// Whether there is nothing to wait for any more.
    fn is_ready(&self) -> bool;
    /// Has `bell` rung when that may have changed.
    fn enlist(&self, bell: &Arc<Bell>);
}

/// Every use of a channel begins with one.
fn step() {
    AtomicBool::new(false).load(Ordering::SeqCst);
}

/// Waits until one of `ports` is ready, and says which: any of those that are.
/// What the caller does with that port at once goes without waiting.
pub fn wait_any(ports: &[&dyn Port]) -> usize {
    step();
    loop {
        let ready: Vec<usize> = (0..ports.len())
            .filter(|port| ports[*port].is_ready())
            .collect();
        if !ready.is_empty() {
            return ready[thread_rng().gen_range(0..ready.len())];
        }
        let bell = Bell::new();
        for port in ports {
            port.enlist(&bell);
        }
        bell.wait();
    }
}

/// Makes a channel that holds `capacity` messages.
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let state = State {
        queue: VecDeque::new(),
        capacity,
        senders: 1,
        receivers: 1,
        waiting: Vec::new(),
    };
    let channel = Arc::new(Channel {
        state: std::sync::Mutex::new(state),
    });
    (Sender(channel.clone()), Receiver(channel))
}

/// A channel on which nothing ever comes.
pub fn never<T>() -> Receiver<T> {
    let (sender, receiver) = bounded(0);
    std::mem::forget(sender);
    receiver
}

/// A channel on which an instant comes at some time.
pub fn after(_wait: Duration) -> Receiver<Instant> {
    let (sender, receiver) = bounded(1);
    std::mem::forget(sender.clone());
    at_some_time(move || {
        let _ = sender.try_send(Instant::now());
    });
    receiver
}

/// The same.
pub fn at(_deadline: Instant) -> Receiver<Instant> {
    after(Duration::ZERO)
}

/// The sending end of a channel.
pub struct Sender<T>(Arc<Channel<T>>);

#[allow(missing_docs)]
impl<T> Sender<T> {
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        step();
        self.0.push(value)
    }

    pub fn send_timeout(&self, value: T, limit: Duration) -> Result<(), SendTimeoutError<T>> {
        match wait_any(&[&self.sending(), &after(limit)]) {
            0 => {
                let sent = self.send_now(value);
                sent.map_err(|SendError(value)| SendTimeoutError::Disconnected(value))
            }
            _ => Err(SendTimeoutError::Timeout(value)),
        }
    }

    pub fn len(&self) -> usize {
        step();
        self.0.state().queue.len()
    }

    pub fn is_full(&self) -> bool {
        step();
        let state = self.0.state();
        state.queue.len() >= state.capacity
    }

    /// For `select!`.
    pub fn sending(&self) -> Sending<'_, T> {
        Sending(self)
    }

    /// After [`wait_any`].
    pub fn send_now(&self, value: T) -> Result<(), SendError<T>> {
        self.0.push(value).map_err(|e| SendError(e.into_inner()))
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state().senders += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        step();
        let mut state = self.0.state();
        state.senders -= 1;
        let last = state.senders == 0;
        drop(state);
        if last {
            self.0.changed();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

/// A sender that waits for room.
pub struct Sending<'a, T>(&'a Sender<T>);

impl<T> Port for Sending<'_, T> {
    fn is_ready(&self) -> bool {
        let state = self.0.0.state();
        state.queue.len() < state.capacity || state.receivers == 0
    }

    fn enlist(&self, bell: &Arc<Bell>) {
        self.0.0.state().waiting.push(bell.clone());
    }
}

/// The receiving end of a channel.
pub struct Receiver<T>(Arc<Channel<T>>);

#[allow(missing_docs)]
impl<T> Receiver<T> {
    pub fn recv(&self) -> Result<T, RecvError> {
        wait_any(&[self]);
        self.recv_now()
    }

    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        step();
        let received = self.0.pop();
        if received.is_err() {
            thread::yield_now(); // it may look again until another thread goes on
        }
        received
    }

    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        match wait_any(&[self, &after(limit)]) {
            0 => self
                .recv_now()
                .map_err(|RecvError| RecvTimeoutError::Disconnected),
            _ => Err(RecvTimeoutError::Timeout),
        }
    }

    pub fn len(&self) -> usize {
        step();
        self.0.state().queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn try_iter(&self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.try_recv().ok())
    }

    /// For `select!`.
    pub fn receiving(&self) -> &Self {
        self
    }

    /// After [`wait_any`].
    pub fn recv_now(&self) -> Result<T, RecvError> {
        self.0.pop().map_err(|_| RecvError)
    }
}

impl<T> Port for Receiver<T> {
    fn is_ready(&self) -> bool {
        let state = self.0.state();
        !state.queue.is_empty() || state.senders == 0
    }

    fn enlist(&self, bell: &Arc<Bell>) {
        self.0.state().waiting.push(bell.clone());
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.0.state().receivers += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        step();
        let mut state = self.0.state();
        state.receivers -= 1;
        if state.receivers > 0 {
            return;
        }
        let left = std::mem::take(&mut state.queue);
        drop(state);
        drop(left);
        self.0.changed();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}
