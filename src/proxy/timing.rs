//! For tests: whether the time that a comparison takes tells what it compared.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rounds, in each of which every kind of input has its turn.
const ROUNDS: usize = 301;

/// Calls of one turn: more than a clock's tick together, and less than a
/// scheduler's.
const CALLS: usize = 16;

/// What no difference between inputs comes near, and a comparison that leaves
/// off at the first that fits, or fails, is far beyond with [`MANY`] entries.
pub(crate) const FAR_APART: f64 = 1.7;

/// Entries to compare with.
pub(crate) const MANY: usize = 64;

/// How many times as long `compare` takes for the slowest of `inputs` as for
/// the fastest, by their medians.
///
/// All take turns, in another order each round, so that whatever else the
/// machine does befalls all alike: no absolute time counts. Differences of some
/// percent drown; a finer statistic would find caches and alignment, too, and
/// so fail by chance.
pub(crate) fn spread<I, T>(inputs: &[I], mut compare: impl FnMut(&I) -> T) -> f64 {
    let mut times = vec![Vec::with_capacity(ROUNDS); inputs.len()];
    for round in 0..ROUNDS {
        for turn in 0..inputs.len() {
            let kind = (round + turn) % inputs.len();
            let begin = Instant::now();
            for _ in 0..CALLS {
                black_box(compare(black_box(&inputs[kind])));
            }
            times[kind].push(begin.elapsed());
        }
    }
    let medians = times.into_iter().map(|times| median(times).as_secs_f64());
    let (least, most) = medians.fold((f64::MAX, 0.0_f64), |(least, most), time| {
        (least.min(time), most.max(time))
    });
    most / least
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// The measure itself: it tells a search that leaves off from one that does
/// not.
#[test]
fn a_search_that_ends_early_is_told_by_its_time() {
    let entries: Vec<u128> = (0..MANY as u128).map(|n| n << 64).collect();
    let inputs = [entries[0], entries[MANY - 1], 1];
    let early = spread(&inputs, |wanted| entries.iter().find(|e| *e == wanted));
    assert!(early > 2.0 * FAR_APART, "{early}");
    let whole = spread(&inputs, |wanted| {
        entries
            .iter()
            .fold(0, |found, e| found | u8::from(e == wanted))
    });
    assert!(whole < FAR_APART, "{whole}");
}
