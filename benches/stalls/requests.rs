//! Short requests at a steady pace, whatever becomes of those before.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle, Scope},
    time::{Duration, Instant},
};

use crate::support::client::{self, Entry};

/// From one request's start to the next one's.
const EVERY: Duration = Duration::from_millis(50);

/// How long each step of a request may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// One connection with one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    pub started: Instant,
    pub ended: Instant,
    pub served: bool,
}

/// Requests until it is finished or dropped.
pub struct Requests {
    made: Arc<Mutex<Vec<Request>>>,
    stop: Option<Sender<()>>,
    pacer: Option<JoinHandle<()>>,
}

impl Requests {
    pub fn start(door: SocketAddr) -> Self {
        let made = Arc::<Mutex<Vec<Request>>>::default();
        let (stop, stopped) = mpsc::channel();
        let pacer = {
            let made = Arc::clone(&made);
            thread::spawn(move || {
                thread::scope(|threads| {
                    while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                        request(threads, door, &made);
                    }
                });
            })
        };
        Self {
            made,
            stop: Some(stop),
            pacer: Some(pacer),
        }
    }

    /// Those that have come to their end so far.
    pub fn so_far(&self) -> Vec<Request> {
        self.made.lock().expect("requests").clone()
    }

    /// All, in the order of their starts, once the last has ended.
    pub fn finish(mut self) -> Vec<Request> {
        self.stop();
        let mut all = self.so_far();
        all.sort_by_key(|request| request.started);
        all
    }

    fn stop(&mut self) {
        self.stop = None;
        if let Some(pacer) = self.pacer.take() {
            let _ = pacer.join();
        }
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.stop();
    }
}

fn request<'scope>(
    threads: &'scope Scope<'scope, '_>,
    door: SocketAddr,
    made: &'scope Mutex<Vec<Request>>,
) {
    threads.spawn(move || {
        let started = Instant::now();
        let served = client::visit(&Entry::Door(door), 1, PATIENCE).is_ok();
        let request = Request {
            started,
            ended: Instant::now(),
            served,
        };
        made.lock().expect("requests").push(request);
    });
}
