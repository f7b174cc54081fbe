//! Medians, percentiles, and how far apart the rounds were.

use std::{fmt, time::Duration};

/// The median of some rounds, with the lowest and the highest.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub median: f64,
    lowest: f64,
    highest: f64,
}

impl Spread {
    /// Of no values, all is NaN.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        Self {
            median: median(&values),
            lowest: at_share(&values, 0.0),
            highest: at_share(&values, 1.0),
        }
    }

    /// From the lowest to the highest.
    pub fn width(&self) -> f64 {
        self.highest - self.lowest
    }
}

impl fmt::Display for Spread {
    /// With the precision asked for, two digits by default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        write!(f, "{:.digits$}", self.median)?;
        if self.lowest < self.highest {
            write!(f, " ({:.digits$}..{:.digits$})", self.lowest, self.highest)?;
        }
        Ok(())
    }
}

/// The duration in milliseconds that `share` of them do not exceed.
pub fn percentile(times: &[Duration], share: f64) -> f64 {
    let mut times: Vec<f64> = times.iter().map(|time| milliseconds(*time)).collect();
    times.sort_by(f64::total_cmp);
    at_share(&times, share)
}

pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Between the two in the middle, if there are two.
fn median(sorted: &[f64]) -> f64 {
    let middle = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let count = sorted.len();
    (middle(count.saturating_sub(1) / 2) + middle(count / 2)) / 2.0
}

/// Nearest rank.
fn at_share(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (share * last as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
