//! Rules that never match, for an earlier one takes all that they would.

use std::cell::Cell;
use std::ops::RangeInclusive;

use super::notes::Notes;
use super::warnings::{Whole, matches};
use crate::limits::MAX_RULE_COMPARISONS;
use crate::router::{Condition, DomainPattern, Rule};

impl Whole<'_> {
    /// Only what is certain: an earlier rule each of whose conditions holds
    /// whenever one of the later rule does.
    pub(super) fn warn_of_shadows(&self, notes: &Notes) {
        let budget = Budget(Cell::new(MAX_RULE_COMPARISONS));
        let rules = &self.plan.router.rules;
        for (index, (rule, mark)) in rules.iter().zip(self.rules).enumerate() {
            let mut before = rules.iter().zip(self.rules).take(index);
            let Some((_, earlier)) = before.find(|(earlier, _)| covers(earlier, rule, &budget))
            else {
                continue;
            };
            let place = earlier.place();
            notes.add(
                mark,
                format_args!(
                    "this rule never matches: that in line {} ({}) takes all that it would",
                    place.line, place.path
                ),
            );
        }
    }
}

/// How much is still compared.
struct Budget(Cell<usize>);

impl Budget {
    /// Whether there is any left; uses up one.
    fn spend(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left > 0
    }
}

/// Whether the earlier rule holds whenever the later one does.
fn covers(earlier: &Rule, later: &Rule, budget: &Budget) -> bool {
    earlier.conditions.iter().all(|wide| {
        let mut narrow = later.conditions.iter();
        always_holds(wide) || narrow.any(|narrow| includes(wide, narrow, budget))
    })
}

fn always_holds(condition: &Condition) -> bool {
    match condition {
        Condition::Network { tcp, udp } => *tcp && *udp,
        Condition::Port(ranges) => ranges
            .iter()
            .any(|r| *r.start() == 0 && *r.end() == u16::MAX),
        _ => false,
    }
}

/// Whether the one condition holds whenever the other does.
fn includes(wide: &Condition, narrow: &Condition, budget: &Budget) -> bool {
    match (wide, narrow) {
        (Condition::InboundTag(wide), Condition::InboundTag(narrow))
        | (Condition::User(wide), Condition::User(narrow)) => {
            all_in(wide, narrow, budget, |wide, narrow| wide == narrow)
        }
        (Condition::Domain(wide), Condition::Domain(narrow)) => {
            all_in(wide, narrow, budget, pattern_includes)
        }
        (Condition::Ip(wide), Condition::Ip(narrow))
        | (Condition::Source(wide), Condition::Source(narrow)) => {
            all_in(wide, narrow, budget, |wide, narrow| wide.contains(narrow))
        }
        (Condition::Port(wide), Condition::Port(narrow))
        | (Condition::SourcePort(wide), Condition::SourcePort(narrow)) => {
            all_in(wide, narrow, budget, range_includes)
        }
        (
            Condition::Network { tcp, udp },
            Condition::Network {
                tcp: narrow_tcp,
                udp: narrow_udp,
            },
        ) => (*tcp || !narrow_tcp) && (*udp || !narrow_udp),
        (Condition::Protocol(wide), Condition::Protocol(narrow)) => {
            all_in(wide, narrow, budget, |wide, narrow| {
                narrow.starts_with(wide.as_str())
            })
        }
        _ => false,
    }
}

/// Whether each of `narrow` is included in one of `wide`.
fn all_in<T>(wide: &[T], narrow: &[T], budget: &Budget, included: impl Fn(&T, &T) -> bool) -> bool {
    narrow.iter().all(|narrow| {
        wide.iter()
            .any(|wide| budget.spend() && included(wide, narrow))
    })
}

fn range_includes(wide: &RangeInclusive<u16>, narrow: &RangeInclusive<u16>) -> bool {
    wide.start() <= narrow.start() && narrow.end() <= wide.end()
}

/// Whether every name that fits `narrow` fits `wide`.
fn pattern_includes(wide: &DomainPattern, narrow: &DomainPattern) -> bool {
    use DomainPattern::*;

    match (wide, narrow) {
        (wide, Full(name)) => matches(wide, name),
        // What is under a name ends with it, and what contains a text contains
        // all parts of that.
        (Domain(_), Domain(name)) => matches(wide, name),
        (Keyword(part), Domain(text) | Keyword(text) | Dotless(text))
        | (Dotless(part), Dotless(text)) => text.contains(part.as_str()),
        (Regex(wide), Regex(narrow)) => wide.as_str() == narrow.as_str(),
        _ => false,
    }
}
