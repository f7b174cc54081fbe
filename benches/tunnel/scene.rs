//! Measurements: in which order they are taken, and what becomes of those
//! that fail.

use std::{thread, time::Instant};

use crate::{
    common::{failure, noise::Processors},
    extent::Extent,
    figure::{Line, Row, Series},
    peer::Peer,
    rows::{Order, Plan},
};

pub struct Scene {
    pub extent: Extent,
    pub peers: Vec<Peer>,
    start: Instant,
}

impl Scene {
    pub fn new(extent: Extent, peers: Vec<Peer>) -> Self {
        Self {
            extent,
            peers,
            start: Instant::now(),
        }
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Tells how far it is.
    pub fn say(&self, words: &str) {
        eprintln!("[{:4.0} s] {words}", self.seconds());
    }

    pub fn measure(&self, plan: &Plan) -> Row {
        let before = Processors::now();
        let lines = (plan.lines)(&self.extent);
        let mut series = self.series_of(plan);
        match plan.order {
            Order::InTurn => self.take_in_turn(plan, &lines, &mut series),
            Order::Together => self.take_together(plan, &lines, &mut series),
        }
        Row {
            name: plan.name,
            lines,
            series,
            taken_by_others: before.taken_by_others(),
        }
    }

    fn series_of(&self, plan: &Plan) -> Vec<Series> {
        let peers = self.peers.iter().filter(|peer| plan.peers.contains(peer));
        let empty = |peer: &Peer| Series {
            peer: *peer,
            rounds: Ok(Vec::new()),
        };
        peers.map(empty).collect()
    }

    /// All peers in each round, so that what else the machine does meets all.
    fn take_in_turn(&self, plan: &Plan, lines: &[Line], series: &mut [Series]) {
        let rounds = (plan.rounds)(&self.extent);
        for round in 1..=rounds {
            for each in &mut *series {
                let place = format!("{}, round {round} of {rounds}", plan.name);
                self.take(plan, lines, each, &place);
            }
        }
    }

    /// For figures that load the processors so little that none meets another.
    fn take_together(&self, plan: &Plan, lines: &[Line], series: &mut [Series]) {
        thread::scope(|threads| {
            for each in series {
                threads.spawn(|| self.take(plan, lines, each, plan.name));
            }
        });
    }

    /// One round, unless an earlier one has failed.
    fn take(&self, plan: &Plan, lines: &[Line], series: &mut Series, place: &str) {
        let Ok(rounds) = &mut series.rounds else {
            return;
        };
        let taken = failure::attempt(|| (plan.measure)(series.peer, &self.extent));
        self.say(&format!(
            "{place}: {} {}",
            series.peer,
            words(lines, &taken)
        ));
        match taken {
            Ok(values) => rounds.push(values),
            Err(why) => series.rounds = Err(why),
        }
    }
}

fn words(lines: &[Line], taken: &Result<Vec<f64>, String>) -> String {
    match taken {
        Ok(values) => {
            let words = lines.iter().zip(values).map(|(line, value)| {
                let digits = line.digits;
                format!("{value:.digits$} {}", line.unit)
            });
            words.collect::<Vec<_>>().join(", ")
        }
        Err(why) => format!("failed: {why}"),
    }
}
