//! In which order writers that wait for a pipe's room are let in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::limits::PIPE_PATIENCE;
use crate::sync::Bell;
use crate::sync::shim::Mutex;

/// Those who wait: first those who have something left of their turns, then the
/// others, both in the order in which they came (deficit round robin, as in
/// RFC 8290). So who writes little does not wait for those who write much,
/// however many they are, and each of these writes much when it is let in.
#[derive(Default)]
pub(super) struct Queue {
    last: u64,
    waiters: BTreeMap<Place, Waiter>,
}

/// Whom others let go first has the smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Not enough is left of the writer's turn, or it takes none.
    is_later: bool,
    number: u64,
}

struct Waiter {
    since: Instant,
    /// Rings when he is to look again; his own, so that nobody else is woken.
    bell: Arc<Bell>,
}

/// What one of a pipe's writers has written in its turn. The next one begins
/// when all have been let in who waited when this one began: so who waits is
/// overtaken by each other writer for what is left of its turn, and one more.
#[derive(Debug, Default)]
pub struct Turn(Mutex<Had>);

#[derive(Debug)]
struct Had {
    /// The last who came before the turn began.
    after: u64,
    bytes: usize,
}

/// A writer that is new has had its turn: else ever new ones would go before
/// those who wait.
impl Default for Had {
    fn default() -> Self {
        Self {
            after: u64::MAX,
            bytes: usize::MAX,
        }
    }
}

impl Queue {
    /// For a writer that wants `charge` let in, where a turn is `quantum` bytes.
    pub(super) fn place(&mut self, turn: Option<&Turn>, charge: usize, quantum: usize) -> Place {
        let is_later = !turn.is_some_and(|turn| self.is_left(turn, charge, quantum));
        self.last += 1;
        Place {
            is_later,
            number: self.last,
        }
    }

    fn is_left(&self, turn: &Turn, charge: usize, quantum: usize) -> bool {
        let mut had = turn.0.lock();
        if self.firsts().all(|(first, _)| first.number > had.after) {
            *had = self.new_turn();
        }
        had.bytes.saturating_add(charge) <= quantum
    }

    /// Who has this place was let in.
    pub(super) fn entered(&self, place: Place, turn: &Turn, charge: usize) {
        let mut had = turn.0.lock();
        if place.is_later {
            *had = self.new_turn();
        }
        had.bytes = had.bytes.saturating_add(charge);
    }

    fn new_turn(&self) -> Had {
        Had {
            after: self.last,
            bytes: 0,
        }
    }

    /// Whether nobody has waited for long who goes before `place`.
    pub(super) fn lets_in(&self, place: Place) -> bool {
        self.firsts()
            .all(|(first, waiter)| *first >= place || waiter.since.elapsed() < PIPE_PATIENCE)
    }

    /// Who has this place waits, for the first time or again, until the bell
    /// rings.
    pub(super) fn wait(&mut self, place: Place) -> Arc<Bell> {
        let new = || Waiter {
            since: Instant::now(),
            bell: Arc::default(),
        };
        let waiter = self.waiters.entry(place).or_insert_with(new);
        waiter.bell = Arc::default();
        waiter.bell.clone()
    }

    /// Returns whether anybody waited there.
    pub(super) fn leave(&mut self, place: Place) -> bool {
        self.waiters.remove(&place).is_some()
    }

    /// Of the first who waits.
    pub(super) fn first_bell(&self) -> Option<Arc<Bell>> {
        let (_, first) = self.waiters.first_key_value()?;
        Some(first.bell.clone())
    }

    pub(super) fn ring_all(&self) {
        for waiter in self.waiters.values() {
            waiter.bell.ring();
        }
    }

    /// The first of all, and of those who have had their turns.
    fn firsts(&self) -> impl Iterator<Item = (&Place, &Waiter)> {
        let later = Place {
            is_later: true,
            number: 0,
        };
        let firsts = [
            self.waiters.iter().next(),
            self.waiters.range(later..).next(),
        ];
        firsts.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const QUANTUM: usize = 1000;

    impl Queue {
        /// As if he who has this place had come then.
        pub(in crate::pipe) fn came(&mut self, place: Place, since: Instant) {
            self.wait(place);
            self.waiters.get_mut(&place).unwrap().since = since;
        }

        fn comes(&mut self, turn: &Turn, charge: usize) -> Place {
            let place = self.place(Some(turn), charge, QUANTUM);
            self.wait(place);
            place
        }

        fn lets_first_in(&mut self, turn: &Turn, charge: usize) -> Place {
            let (first, _) = self.waiters.pop_first().unwrap();
            self.entered(first, turn, charge);
            first
        }
    }

    #[test]
    fn who_writes_little_goes_before_those_who_have_had_their_turns() {
        let mut queue = Queue::default();
        let somebody = queue.place(None, 1, QUANTUM);
        queue.wait(somebody);
        let (busy, little) = ([(); 3].map(|()| Turn::default()), Turn::default());
        let first = queue.comes(&little, 600);
        let places = busy.each_ref().map(|turn| queue.comes(turn, 600));
        assert!(queue.leave(somebody));

        // New ones go in the order in which they came, and have 400 bytes left.
        assert_eq!(queue.lets_first_in(&little, 600), first);
        for charge in [300, 100] {
            let before_all = queue.comes(&little, charge);
            assert_eq!(queue.lets_first_in(&little, charge), before_all);
        }
        let behind_all = queue.comes(&little, 1);
        for (turn, place) in busy.iter().zip(places) {
            assert_eq!(queue.lets_first_in(turn, 600), place);
            queue.comes(turn, 600);
        }
        assert_eq!(queue.lets_first_in(&little, 1), behind_all);
    }

    #[derive(Debug, Clone)]
    enum Op {
        /// This writer comes with as many bytes, unless it waits.
        Come(usize, usize),
        LetIn,
    }

    fn op() -> impl Strategy<Value = Op> {
        let come = (0..5_usize, 1..=2 * QUANTUM).prop_map(|(who, len)| Op::Come(who, len));
        prop_oneof![come, Just(Op::LetIn)]
    }

    /// Who waits, and with how much; and by how much each other has overtaken.
    type Line = BTreeMap<Place, (usize, usize, [usize; 5])>;

    fn let_first_in(queue: &mut Queue, turns: &[Turn; 5], line: &mut Line) {
        let Some((first, (who, len, _))) = line.pop_first() else {
            return;
        };
        assert_eq!(queue.lets_first_in(&turns[who], len), first);
        for (place, (_, _, overtaken)) in line {
            if place.number < first.number {
                overtaken[who] += len;
                assert!(overtaken[who] <= 2 * QUANTUM);
            }
        }
    }

    proptest! {
        #[test]
        fn nobody_is_overtaken_for_more_than_two_turns_of_each(
            ops in prop::collection::vec(op(), 1..500),
        ) {
            let mut queue = Queue::default();
            let turns = [(); 5].map(|()| Turn::default());
            let mut line = Line::new();
            for op in ops {
                match op {
                    Op::Come(who, len) if line.values().all(|(waits, ..)| *waits != who) => {
                        line.insert(queue.comes(&turns[who], len), (who, len, [0; 5]));
                    }
                    Op::Come(..) => {}
                    Op::LetIn => let_first_in(&mut queue, &turns, &mut line),
                }
            }
        }
    }
}
