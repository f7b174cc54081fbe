//! What is measured, as it is printed and written.

use crate::{common::spread::Spread, peer::Peer};

/// One quantity.
pub struct Line {
    pub what: String,
    pub unit: &'static str,
    /// Digits behind the point.
    pub digits: usize,
    pub better: Better,
    /// Ratios to peers that are asked for.
    pub floors: Vec<(Peer, f64)>,
    /// What is asked of the value itself.
    pub least: Option<f64>,
}

#[derive(Clone, Copy, Debug)]
pub enum Better {
    More,
    Less,
}

impl Line {
    pub fn new(what: impl Into<String>, unit: &'static str, better: Better) -> Self {
        Self {
            what: what.into(),
            unit,
            digits: 0,
            better,
            floors: Vec::new(),
            least: None,
        }
    }

    pub fn digits(mut self, digits: usize) -> Self {
        self.digits = digits;
        self
    }

    pub fn floor(mut self, peer: Peer, ratio: f64) -> Self {
        self.floors.push((peer, ratio));
        self
    }

    pub fn least(mut self, value: f64) -> Self {
        self.least = Some(value);
        self
    }

    pub fn label(&self) -> String {
        if self.unit.is_empty() {
            self.what.clone()
        } else {
            format!("{}, {}", self.what, self.unit)
        }
    }
}

/// Quantities that are taken together.
pub struct Row {
    pub name: &'static str,
    pub lines: Vec<Line>,
    pub series: Vec<Series>,
    /// Share of the processors' time that other programs took meanwhile.
    pub taken_by_others: f64,
}

/// What the rounds of one peer gave.
pub struct Series {
    pub peer: Peer,
    /// For each round the values of all lines, or why there are none.
    pub rounds: Result<Vec<Vec<f64>>, String>,
}

impl Row {
    pub fn has(&self, peer: Peer) -> bool {
        let series = self.series.iter().find(|series| series.peer == peer);
        series.is_some_and(|series| series.rounds.is_ok())
    }

    /// Median of a line, if it was taken.
    pub fn median(&self, line: usize, peer: Peer) -> Option<f64> {
        self.values(line, peer)
            .map(|values| Spread::of(values).median)
    }

    /// What the rounds gave for a line, if none failed.
    pub fn values(&self, line: usize, peer: Peer) -> Option<Vec<f64>> {
        let series = self.series.iter().find(|series| series.peer == peer)?;
        let rounds = series.rounds.as_ref().ok()?;
        let values = rounds.iter().filter_map(|round| round.get(line).copied());
        Some(values.collect())
    }

    /// How many times as good we are as a peer.
    pub fn ratio(&self, line: usize, peer: Peer) -> Option<f64> {
        let ours = self.median(line, Peer::Muxcool)?;
        let theirs = self.median(line, peer)?;
        Some(match self.lines.get(line)?.better {
            Better::More => ours / theirs,
            Better::Less => theirs / ours,
        })
    }
}
