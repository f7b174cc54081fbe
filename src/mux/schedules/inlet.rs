//! What arrives: the consumer goes to and fro between the carrier's reader,
//! whoever attaches it, and drainers; bytes stay in order, and an orderly end
//! comes after all of them or not at all.

use std::collections::VecDeque;
use std::sync::Arc;

use shuttle::thread::{self, JoinHandle};

use super::below;
use crate::buf::Buf;
use crate::link::{Handle, Interrupt, LinkError, Writer};
use crate::mux::bounds::Bounds;
use crate::mux::inlet::{ConsumerGone, Inlet, Step};
use crate::mux::options::CarrierOptions;
use crate::mux::wakes::Wakes;
use crate::net::Network;
use crate::sync::shim::Mutex;
use crate::sync::{Time, explore};

const PIECES: u8 = 5;

/// What a consumer was given.
#[derive(Default)]
struct Given {
    bytes: Vec<u8>,
    closed: bool,
    aborted: bool,
    interrupted: bool,
}

/// Takes now and then nothing, or fails once it was interrupted.
struct Consumer(Arc<Mutex<Given>>);

impl Consumer {
    fn take(&self, data: &[u8]) -> Result<(), LinkError> {
        let mut given = self.0.lock();
        assert!(!given.closed && !given.aborted, "written to after its end");
        if given.interrupted {
            return Err(LinkError::Reset);
        }
        given.bytes.extend(data);
        Ok(())
    }
}

impl Writer for Consumer {
    fn write(&mut self, batch: &mut VecDeque<Buf>) -> Result<(), LinkError> {
        while let Some(buf) = batch.pop_front() {
            thread::yield_now();
            self.take(buf.as_slice())?;
        }
        Ok(())
    }

    fn try_write(&mut self, data: &[u8]) -> Result<usize, LinkError> {
        let len = below(data.len() + 1);
        if len == 0 {
            return Err(LinkError::WouldBlock);
        }
        self.take(&data[..len]).map(|()| len)
    }

    fn close(&mut self) -> Result<(), LinkError> {
        let mut given = self.0.lock();
        assert!(!given.closed && !given.aborted, "ended twice");
        given.closed = true;
        Ok(())
    }

    fn abort(&mut self) {
        self.0.lock().aborted = true;
    }

    fn handle(&self) -> Handle {
        Arc::new(Interrupts(self.0.clone()))
    }
}

struct Interrupts(Arc<Mutex<Given>>);

impl Interrupt for Interrupts {
    fn interrupt(&self) {
        self.0.lock().interrupted = true;
    }
}

/// An inlet that is full with one buffer, and what its consumer is given.
struct Scene {
    inlet: Arc<Inlet>,
    given: Arc<Mutex<Given>>,
}

impl Scene {
    fn new() -> Self {
        let options = CarrierOptions {
            parked: 1,
            ..CarrierOptions::default()
        };
        let bounds = Bounds::new(&options, Arc::default());
        Self {
            inlet: Arc::new(Inlet::new(Network::Tcp, false, bounds)),
            given: Arc::default(),
        }
    }

    fn attach(&self) -> JoinHandle<()> {
        let (inlet, consumer) = (self.inlet.clone(), Consumer(self.given.clone()));
        thread::spawn(move || follow(&inlet, inlet.attach(Box::new(consumer), &|_| {})))
    }

    /// The carrier's reader: pieces of two bytes that count up, and their end.
    fn deliver(&self) -> JoinHandle<()> {
        let inlet = self.inlet.clone();
        thread::spawn(move || {
            for piece in 0..PIECES {
                let data = [2 * piece, 2 * piece + 1];
                let step = inlet.deliver(&data, &|_| {}, &|_| {}, &Wakes::default());
                follow(&inlet, step);
            }
            inlet.finish();
        })
    }

    /// Everything has ended; returns whether in an orderly way.
    fn ended(&self) -> bool {
        self.inlet.done().wait();
        assert_eq!(self.inlet.parked(), 0);
        let given = self.given.lock();
        assert!((0..given.bytes.len() as u8).eq(given.bytes.iter().copied()));
        assert!(!given.closed || given.bytes.len() == 2 * usize::from(PIECES));
        given.closed
    }
}

/// Does what the inlet asks for, as a session would.
fn follow(inlet: &Arc<Inlet>, step: Result<Step, ConsumerGone>) {
    match step {
        Ok(Step::None) | Err(ConsumerGone::Failed) => {}
        Err(ConsumerGone::Stalled) => panic!("time stands still"),
        Ok(Step::Drain(consumer)) => {
            let inlet = inlet.clone();
            thread::spawn(move || {
                let _ = inlet.drain(consumer, &|_| {});
            });
        }
    }
}

#[test]
fn all_that_arrives_is_given_in_order_and_then_the_end() {
    explore(Time::StandsStill, || {
        let scene = Scene::new();
        let threads = [scene.attach(), scene.deliver()];
        assert!(scene.ended());
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn an_abort_at_any_time_ends_it_and_is_never_taken_for_the_end() {
    explore(Time::StandsStill, || {
        let scene = Scene::new();
        let inlet = scene.inlet.clone();
        let aborting = thread::spawn(move || inlet.abort());
        let threads = [scene.attach(), scene.deliver(), aborting];
        for thread in threads {
            thread.join().unwrap();
        }
        if !scene.ended() {
            let given = scene.given.lock();
            assert!(given.aborted || given.interrupted);
        }
    });
}

/// The peer turns out to keep to credit while the carrier's reader waits for
/// room, with nobody to make any.
#[test]
fn credit_frees_the_carriers_reader() {
    explore(Time::StandsStill, || {
        let scene = Scene::new();
        let delivering = scene.deliver();
        scene.inlet.rely_on_credit();
        delivering.join().unwrap();
        let attaching = scene.attach();
        assert!(scene.ended());
        attaching.join().unwrap();
    });
}
