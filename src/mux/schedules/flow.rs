//! Credit: no more is taken than was granted, and nobody waits for credit that
//! is there.

use std::sync::Arc;
use std::time::Instant;

use shuttle::thread;

use crate::link::LinkError;
use crate::mux::extension::Hello;
use crate::mux::flow::Flow;
use crate::mux::options::CarrierOptions;
use crate::mux::peer::Peer;
use crate::sync::{Time, explore};

const WINDOW: u32 = 10;

fn flow() -> Arc<Flow> {
    let peer = Peer::new(Instant::now());
    peer.said_hello(Hello {
        window: WINDOW,
        datagram: 0,
        capabilities: 0,
    });
    Arc::new(Flow::new(
        &peer,
        true,
        &CarrierOptions::default(),
        Arc::default(),
    ))
}

/// Takes up to `wanted` bytes in pieces; returns how many it got.
fn take(flow: &Flow, wanted: usize) -> usize {
    let mut taken = 0;
    while taken < wanted {
        match flow.take(3.min(wanted - taken), None) {
            Ok(len) => taken += len,
            Err(e) => {
                assert!(matches!(e, LinkError::Reset));
                break;
            }
        }
    }
    taken
}

#[test]
fn credit_wakes_all_who_wait_for_it() {
    explore(Time::StandsStill, || {
        let flow = flow();
        let senders = [0; 3].map(|_| {
            let flow = flow.clone();
            thread::spawn(move || take(&flow, 10))
        });
        for offset in [13, 20, 30] {
            flow.grant(offset);
        }
        for sender in senders {
            assert_eq!(sender.join().unwrap(), 10);
        }
    });
}

#[test]
fn the_end_frees_all_and_no_more_than_was_granted_is_taken() {
    explore(Time::StandsStill, || {
        let flow = flow();
        let senders = [0; 3].map(|_| {
            let flow = flow.clone();
            thread::spawn(move || take(&flow, 10))
        });
        let ending = flow.clone();
        let ending = thread::spawn(move || ending.end());
        flow.grant(17);
        let taken: usize = senders.map(|sender| sender.join().unwrap()).iter().sum();
        assert!(taken <= 17);
        ending.join().unwrap();
    });
}

/// Nobody grants any more: what one gives back is what the other waits for.
#[test]
fn credit_that_is_given_back_is_anothers() {
    explore(Time::StandsStill, || {
        let flow = flow();
        let len = flow.take(8, None).unwrap();
        let returning = flow.clone();
        let returning = thread::spawn(move || returning.give_back(len));
        let taken = thread::spawn(move || take(&flow, WINDOW as usize));
        assert_eq!(taken.join().unwrap(), WINDOW as usize);
        returning.join().unwrap();
    });
}

#[test]
fn who_gives_up_waiting_has_taken_nothing() {
    explore(Time::Passes, || {
        let flow = flow();
        let senders = [0; 2].map(|_| {
            let flow = flow.clone();
            thread::spawn(move || match flow.take(9, Some(Instant::now())) {
                Ok(len) => len,
                Err(e) => {
                    assert!(matches!(e, LinkError::TimedOut));
                    0
                }
            })
        });
        flow.grant(18);
        let taken: usize = senders.map(|sender| sender.join().unwrap()).iter().sum();
        assert_eq!(take(&flow, 18 - taken), 18 - taken);
    });
}
