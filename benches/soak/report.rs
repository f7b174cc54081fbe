//! What it came to.

use std::{fmt, process::ExitCode, time::Duration};

use crate::{Outcome, injector::Counts, tunnel::Lasting, verdict::Verdict, visitors::Purpose};

/// Errors that are shown.
const SHOWN: usize = 20;

/// By how much a program may seem to grow that does not: what an allocator
/// keeps, in bytes, and what happens to be under way.
const MEMORY: f64 = 24.0 * 1024.0 * 1024.0;
const FEW: usize = 6;

#[derive(Default)]
pub struct Report {
    pub time: Duration,
    /// Bytes, at both ends of streams.
    pub verified: u64,
    outcomes: Vec<Outcome>,
    verdict: Verdict,
}

impl Report {
    pub fn add(&mut self, outcome: Outcome, verdict: Verdict) {
        self.outcomes.push(outcome);
        let sum = &mut self.verdict;
        sum.whole += verdict.whole;
        sum.lost_to_faults += verdict.lost_to_faults;
        sum.aborted += verdict.aborted;
        sum.v2ray += verdict.v2ray;
        sum.errors.extend(verdict.errors);
        for (purpose, count) in verdict.by_purpose {
            *sum.by_purpose.entry(purpose).or_default() += count;
        }
    }

    pub fn exit_code(&self) -> ExitCode {
        let grew = self.outcomes.iter().any(Outcome::grew);
        match self.verdict.errors.is_empty() && !grew {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    fn faults(&self) -> Counts {
        let mut sum = Counts::new();
        for (name, count) in self.outcomes.iter().flat_map(|outcome| &outcome.faults) {
            *sum.entry(name).or_default() += count;
        }
        sum
    }
}

impl Outcome {
    fn grew(&self) -> bool {
        let grew = self.after.memory > self.before.memory + MEMORY
            || self.after.threads > self.before.threads + FEW
            || self.after.descriptors > self.before.descriptors + FEW;
        self.at_rest && grew
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = &self.verdict;
        let faults = self.faults();
        let sessions: u64 = verdict.by_purpose.values().sum();
        writeln!(f, "time                 {:.0} s", self.time.as_secs_f64())?;
        writeln!(f, "sessions opened      {sessions}")?;
        let purposes = verdict.by_purpose.iter();
        list(
            f,
            purposes.map(|(purpose, count)| (Purpose::name(*purpose), *count)),
        )?;
        writeln!(
            f,
            "bytes verified       {:.1} MB",
            self.verified as f64 / 1e6
        )?;
        writeln!(f, "faults injected      {}", faults.values().sum::<u64>())?;
        list(f, faults.iter().map(|(name, count)| (*name, *count)))?;
        writeln!(f, "endings")?;
        let endings = [
            ("whole", verdict.whole),
            ("lost, with an error, to a fault", verdict.lost_to_faults),
            ("aborted by the visitor", verdict.aborted),
            ("broken beside V2Ray", verdict.v2ray),
        ];
        list(f, endings.into_iter())?;
        for outcome in &self.outcomes {
            let name = match outcome.lasting {
                Lasting::Portal => "portal",
                Lasting::Bridge => "bridge",
            };
            let rest = if outcome.at_rest {
                ""
            } else {
                " (busy before)"
            };
            writeln!(f, "{name} at first      {}{rest}", outcome.before)?;
            writeln!(f, "{name} at the end    {}{rest}", outcome.after)?;
        }
        writeln!(f, "errors               {}", verdict.errors.len())?;
        for error in verdict.errors.iter().take(SHOWN) {
            writeln!(f, "  {error}")?;
        }
        Ok(())
    }
}

fn list(
    f: &mut fmt::Formatter<'_>,
    counts: impl Iterator<Item = (&'static str, u64)>,
) -> fmt::Result {
    for (name, count) in counts {
        writeln!(f, "  {name:32} {count:8}")?;
    }
    Ok(())
}
