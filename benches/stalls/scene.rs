//! Measurements: in which order they are taken, and what becomes of those
//! that fail.

use std::{collections::BTreeMap, fs, sync::Mutex, thread, time::Instant};

use crate::{
    common::failure::{self, Failure},
    figure::{Cell, Peak, Reading},
    pairing::Pairing,
    scale::Scale,
};

pub struct Scene {
    pub scale: Scale,
    start: Instant,
}

impl Scene {
    pub fn new(scale: Scale) -> Self {
        Self {
            scale,
            start: Instant::now(),
        }
    }

    /// Measures the pairings in turn, so many times, so that what else the
    /// machine does meets all of them.
    pub fn compare<S>(
        &self,
        what: &str,
        pairings: &[Pairing],
        rounds: usize,
        measure: impl Fn(&Stage) -> Result<S, Failure>,
    ) -> Vec<Series<S>> {
        let mut all: Vec<Series<S>> = pairings.iter().copied().map(Series::new).collect();
        for round in 1..=rounds {
            for series in &mut all {
                self.say(what, series.pairing, (round, rounds));
                series.take(&self.scale, &measure);
            }
        }
        all
    }

    /// Measures the pairings at the same time, once: for figures that take
    /// long and load the processors little.
    pub fn together<S: Send>(
        &self,
        what: &str,
        pairings: &[Pairing],
        measure: impl Fn(&Stage) -> Result<S, Failure> + Sync,
    ) -> Vec<Series<S>> {
        let mut all: Vec<Series<S>> = pairings.iter().copied().map(Series::new).collect();
        thread::scope(|threads| {
            for series in &mut all {
                self.say(what, series.pairing, (1, 1));
                threads.spawn(|| series.take(&self.scale, &measure));
            }
        });
        all
    }

    fn say(&self, what: &str, pairing: Pairing, (round, rounds): (usize, usize)) {
        let seconds = self.start.elapsed().as_secs_f64();
        eprintln!("[{seconds:4.0} s] {what}: {pairing}, round {round} of {rounds}");
    }
}

/// Where one measurement takes place.
pub struct Stage<'a> {
    pub scale: &'a Scale,
    pub pairing: Pairing,
    peaks: &'a Peaks,
}

impl Stage<'_> {
    /// Notes the memory of a process that is about to end.
    pub fn note_peak(&self, role: &str, pid: u32) {
        let Some(bytes) = peak_of(pid) else { return };
        let mut peaks = self.peaks.lock().expect("peaks");
        let highest = peaks.entry(role.to_owned()).or_default();
        *highest = bytes.max(*highest);
    }
}

/// What the rounds of one pairing gave.
pub struct Series<S> {
    pub pairing: Pairing,
    samples: Result<Vec<S>, String>,
    peaks: Peaks,
}

impl<S> Series<S> {
    /// The samples, unless a round has failed.
    pub fn samples(&self) -> Option<&[S]> {
        self.samples.as_deref().ok()
    }

    pub fn cell(&self, read: impl FnOnce(&[S]) -> Reading) -> Cell {
        let reading = self.samples.as_deref().map(read).map_err(String::clone);
        Cell {
            who: self.pairing.to_string(),
            reading: reading.map(|reading| self.judged(reading)),
            peaks: self.peaks(),
        }
    }

    fn new(pairing: Pairing) -> Self {
        Self {
            pairing,
            samples: Ok(Vec::new()),
            peaks: Peaks::default(),
        }
    }

    /// One round, unless an earlier one has failed.
    fn take(&mut self, scale: &Scale, measure: impl Fn(&Stage) -> Result<S, Failure>) {
        let Ok(samples) = &mut self.samples else {
            return;
        };
        let stage = Stage {
            scale,
            pairing: self.pairing,
            peaks: &self.peaks,
        };
        match failure::attempt(|| measure(&stage)) {
            Ok(sample) => samples.push(sample),
            Err(why) => self.samples = Err(why),
        }
    }

    fn judged(&self, reading: Reading) -> Reading {
        let met = reading.met.filter(|_| self.pairing.is_judged());
        reading.met(met)
    }

    fn peaks(&self) -> Vec<Peak> {
        let peaks = self.peaks.lock().expect("peaks");
        let peak = |(role, bytes): (&String, &u64)| Peak {
            role: role.clone(),
            bytes: *bytes,
        };
        peaks.iter().map(peak).collect()
    }
}

type Peaks = Mutex<BTreeMap<String, u64>>;

/// `VmHWM` of `/proc/PID/status`, which is in KiB.
fn peak_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes * 1024)
}
