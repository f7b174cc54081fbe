//! Short requests at a steady pace, whatever becomes of those before.

use std::{
    io,
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

const QUESTION: [u8; 64] = [1; 64];

/// One connection.
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
    /// Each stays for so long after its answer, and then makes sure that it is
    /// still served.
    pub fn start(door: SocketAddr, stay: Duration) -> Self {
        let made = Arc::<Mutex<Vec<Request>>>::default();
        let (stop, stopped) = mpsc::channel();
        let pacer = {
            let made = Arc::clone(&made);
            thread::spawn(move || {
                thread::scope(|threads| {
                    while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                        request(threads, door, stay, &made);
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
    stay: Duration,
    made: &'scope Mutex<Vec<Request>>,
) {
    threads.spawn(move || {
        let started = Instant::now();
        let served = visit(door, stay).is_ok();
        let request = Request {
            started,
            ended: Instant::now(),
            served,
        };
        made.lock().expect("requests").push(request);
    });
}

fn visit(door: SocketAddr, stay: Duration) -> io::Result<()> {
    let mut stream = Entry::Door(door).connect_within(PATIENCE)?;
    client::echo(&mut stream, &QUESTION)?;
    if stay.is_zero() {
        return Ok(());
    }
    thread::sleep(stay);
    client::echo(&mut stream, &QUESTION)
}
