//! A portal that restarts while ten bridges serve it: they come back, and not
//! all at one moment.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use muxcool::limits::{HEARTBEAT, REDIAL_BACKOFF};
use muxcool::link::{DispatchError, Dispatcher, Link, Request};
use muxcool::reverse::Bridge;
use parking_lot::Mutex;

use crate::mux_support::frames::Script;
use crate::mux_support::tasks::wait_until_quiet;
use crate::reverse_support::time::Time;
use crate::reverse_support::{DOMAIN, bridge_options};
use crate::support::threads::ThreadCheck;

const BRIDGES: usize = 10;

/// Dials that are closer together than this meet the portal together.
const MOMENT: Duration = Duration::from_millis(250);

/// A portal that is there or not, and when it was dialled.
#[derive(Default)]
struct Place {
    down: AtomicBool,
    carriers: Mutex<Vec<Script>>,
    /// By moments since the last look.
    dials: Mutex<BTreeMap<u32, usize>>,
    moment: Mutex<u32>,
}

impl Dispatcher for Place {
    fn dispatch(&self, _: &Request, _: Link) -> Result<(), DispatchError> {
        Err(DispatchError::Refused("nobody visits"))
    }

    fn connect(&self, _: &Request) -> Result<Link, DispatchError> {
        let moment = *self.moment.lock();
        *self.dials.lock().entry(moment).or_default() += 1;
        if self.down.load(Ordering::SeqCst) {
            return Err(DispatchError::Unreachable(
                io::ErrorKind::ConnectionRefused.into(),
            ));
        }
        let (link, script) = Script::new();
        self.carriers.lock().push(script);
        Ok(link)
    }
}

impl Place {
    fn go_down(&self) {
        self.down.store(true, Ordering::SeqCst);
        let lost = std::mem::take(&mut *self.carriers.lock());
        for mut script in lost {
            script.carrier.abort();
        }
    }

    fn pass(&self, time: &Time, span: Duration) {
        for _ in 0..span.div_duration_f64(MOMENT) as u32 {
            wait_until_quiet();
            *self.moment.lock() += 1;
            time.pass(MOMENT);
        }
    }

    /// Dials of each moment in which there were any, since the last look.
    fn dials(&self) -> Vec<usize> {
        std::mem::take(&mut *self.dials.lock())
            .into_values()
            .collect()
    }

    fn carriers(&self) -> usize {
        self.carriers.lock().len()
    }
}

#[test]
fn ten_bridges_come_back_one_by_one() {
    let threads = ThreadCheck::begin();
    let time = Time::new();
    let place = Arc::new(Place::default());
    let bridges: Vec<Bridge> = (0..BRIDGES)
        .map(|n| {
            let options = bridge_options(&format!("bridge-{n}"), DOMAIN);
            Bridge::new(options, place.clone(), &time.timer).unwrap()
        })
        .collect();
    place.pass(&time, 2 * HEARTBEAT);
    assert_eq!(place.carriers(), BRIDGES);
    assert_eq!(place.dials(), [BRIDGES], "one carrier is enough for each");

    // Each tries at once, and then ever more rarely.
    place.go_down();
    wait_until_quiet();
    assert_eq!(place.dials(), [BRIDGES]);
    let (first, longest) = REDIAL_BACKOFF;
    place.pass(&time, 2 * first);
    let soon: usize = place.dials().iter().sum();
    assert!((BRIDGES..=4 * BRIDGES).contains(&soon), "{soon} dials");
    place.pass(&time, longest);
    place.dials();

    // By now chance has spread them.
    place.pass(&time, 4 * longest);
    let dials = place.dials();
    let all: usize = dials.iter().sum();
    assert!((4 * BRIDGES..=8 * BRIDGES).contains(&all), "{all} dials");
    assert!(
        dials.len() > all / 2,
        "in {} moments: {dials:?}",
        dials.len()
    );
    assert!(dials.iter().all(|dials| *dials < BRIDGES), "{dials:?}");

    place.down.store(false, Ordering::SeqCst);
    place.pass(&time, longest + MOMENT);
    assert_eq!(place.carriers(), BRIDGES, "all are back");
    let dials = place.dials();
    assert_eq!(dials.iter().sum::<usize>(), BRIDGES);
    assert!(dials.len() > BRIDGES / 2, "{dials:?}");
    drop((bridges, place));
    threads.finish();
}
