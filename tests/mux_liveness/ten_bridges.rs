//! Ten bridges serve one portal, and some of them freeze under load.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use muxcool::limits::{DEAD_AFTER, SUSPECT_AFTER};
use muxcool::mux::{ClientManager, MuxStream};
use muxcool::reverse::StaticMuxPicker;

use super::picking::Tunnel;
use crate::mux_support::scene::scene;
use crate::mux_support::tasks::{PATIENCE, wait_until};
use crate::mux_support::tcp;
use crate::mux_support::time::Time;

const BRIDGES: usize = 10;

/// A visitor comes that often.
const EVERY: Duration = Duration::from_millis(50);

/// In which at most one visitor in ten may fail.
const EARLY: Duration = Duration::from_secs(10);

/// A portal with its bridges, and who is there.
struct Place {
    time: Time,
    manager: ClientManager,
    tunnels: Vec<Tunnel>,
    frozen: usize,
    /// How many at a time, whether they are served or wait in vain.
    staying: usize,
    visitors: VecDeque<MuxStream>,
}

impl Place {
    fn new(staying: usize) -> Self {
        let time = Time::new();
        let picker = Arc::new(StaticMuxPicker::new(&time.timer));
        let tunnels: Vec<Tunnel> = (0..BRIDGES)
            .map(|_| Tunnel::new(&time, &Arc::default()))
            .collect();
        for tunnel in &tunnels {
            assert!(picker.add(tunnel.portal.clone()));
        }
        let place = Self {
            time,
            manager: ClientManager::new(picker),
            tunnels,
            frozen: 0,
            staying,
            visitors: VecDeque::new(),
        };
        place.all_answer();
        place
    }

    /// Every bridge that is not frozen has been heard, and has heard the
    /// portal, without time passing. One whose carrier was used up has left.
    fn all_answer(&self) {
        for tunnel in &self.tunnels[self.frozen..] {
            let heard = tunnel.portal.client().ping(PATIENCE);
            assert!(heard.is_ok() || tunnel.portal.is_closed(), "{heard:?}");
            let heard = tunnel.bridge.ping(PATIENCE);
            assert!(heard.is_ok() || tunnel.bridge.is_closed(), "{heard:?}");
        }
    }

    fn freeze(&mut self, count: usize) {
        self.frozen = count;
        for tunnel in &self.tunnels[..count] {
            tunnel.answers.stall();
        }
    }

    /// Sessions ever opened on frozen bridges: nobody has served these.
    fn in_vain(&self) -> u32 {
        let frozen = self.tunnels[..self.frozen].iter();
        frozen.map(|t| t.portal.client().total_connections()).sum()
    }

    /// Lets visitors come for a while, each of whom stays until `staying`
    /// others have come. Returns how many came, and how many in vain.
    fn serve(&mut self, span: Duration) -> (u32, u32) {
        let before = self.in_vain();
        let count = span.div_duration_f64(EVERY) as u32;
        for _ in 0..count {
            self.time.pass(EVERY);
            self.all_answer();
            let visitor = self.manager.open(tcp()).expect("a carrier");
            self.visitors.push_back(visitor);
            if self.visitors.len() > self.staying {
                self.visitors.pop_front();
            }
        }
        (count, self.in_vain() - before)
    }

    fn close(self) {
        drop(self.visitors);
        for tunnel in self.tunnels {
            tunnel.portal.close();
            tunnel.bridge.close();
        }
    }
}

#[test]
fn hardly_a_visitor_is_given_to_a_bridge_that_has_frozen() {
    let _scene = scene();
    for (frozen, staying) in [(1, 0), (3, 0), (3, 40), (6, 40), (3, 200)] {
        let mut place = Place::new(staying);
        place.serve(Duration::from_secs(3));
        place.freeze(frozen);
        let (came, in_vain) = place.serve(EARLY);
        assert!(
            in_vain * 10 <= came,
            "{in_vain} of {came} with {frozen} frozen and {staying} at a time"
        );
        let suspects = &place.tunnels[..frozen];
        assert!(suspects.iter().all(|t| t.portal.client().is_doubtful()));
        assert_eq!(place.serve(EARLY).1, 0);
        wait_until("those that are frozen are given up", || {
            place.time.pass(DEAD_AFTER - SUSPECT_AFTER);
            place.all_answer();
            place.tunnels[..frozen].iter().all(|t| t.portal.is_closed())
        });
        place.close();
    }
}
