//! What must not come twice (section 2.6).

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use super::auth_id::AuthId;
use super::kdf::sha256;
use super::wire::BodyKeys;
use crate::limits::{VMESS_CLOCK, VMESS_REMEMBERED, VMESS_SESSION};

/// Seconds that are remembered, and forgotten, together.
const SPAN: i64 = 10;

/// What the inbounds of a process remember of requests: whatever comes a second
/// time, to whichever of them, is refused.
#[derive(Debug)]
pub(super) struct Replays {
    auth_ids: Mutex<Memory>,
    sessions: Mutex<Memory>,
}

static SHARED: LazyLock<Arc<Replays>> = LazyLock::new(|| Arc::new(Replays::new(VMESS_REMEMBERED)));

impl Replays {
    /// What all inbounds share.
    pub(super) fn shared() -> Arc<Self> {
        SHARED.clone()
    }

    /// Remembers `most` of each kind.
    pub(super) fn new(most: usize) -> Self {
        Self {
            auth_ids: Mutex::new(Memory::new(most)),
            sessions: Mutex::new(Memory::new(most)),
        }
    }

    /// Notes an auth id that says `time`; false if it came before, or is as old
    /// as others that had to be forgotten.
    pub(super) fn is_new_auth_id(&self, id: &AuthId, time: i64, now: i64) -> bool {
        let mut known = self.auth_ids.lock();
        known.forget_until(now - VMESS_CLOCK as i64);
        !known.may_have_forgotten(time) && known.add(time, *id)
    }

    /// Notes the body keys of a user; false if he has used them before.
    pub(super) fn is_new_session(&self, command_key: &[u8; 16], keys: &BodyKeys, now: i64) -> bool {
        let mut known = self.sessions.lock();
        known.forget_until(now - VMESS_SESSION);
        let digest = sha256(&[command_key, &keys.key, &keys.iv]);
        let mut item = [0; 16];
        item.copy_from_slice(&digest[..16]);
        // The same may stand in another span.
        !known.has(&item) && known.add(now, item)
    }
}

/// Items by the time that each belongs to.
#[derive(Debug)]
struct Memory {
    spans: BTreeMap<i64, HashSet<[u8; 16]>>,
    count: usize,
    most: usize,
    /// The last span of which some was forgotten early.
    lost: i64,
}

impl Memory {
    fn new(most: usize) -> Self {
        Self {
            spans: BTreeMap::new(),
            count: 0,
            most,
            lost: i64::MIN,
        }
    }

    fn has(&self, item: &[u8; 16]) -> bool {
        self.spans.values().any(|span| span.contains(item))
    }

    /// Returns whether it was not there.
    fn add(&mut self, time: i64, item: [u8; 16]) -> bool {
        let span = self.spans.entry(time.div_euclid(SPAN)).or_default();
        let added = span.insert(item);
        self.count += usize::from(added);
        if self.count > self.most {
            self.lost = self.forget_first().unwrap_or(self.lost);
        }
        added
    }

    /// Forgets what belongs to times before `time`.
    fn forget_until(&mut self, time: i64) {
        let first = time.div_euclid(SPAN);
        while self.spans.keys().next().is_some_and(|span| *span < first) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) -> Option<i64> {
        let (span, items) = self.spans.pop_first()?;
        self.count -= items.len();
        Some(span)
    }

    fn may_have_forgotten(&self, time: i64) -> bool {
        time.div_euclid(SPAN) <= self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn id(number: u64) -> AuthId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        id
    }

    fn keys(number: u8) -> BodyKeys {
        BodyKeys {
            key: [number; 16],
            iv: [7; 16],
        }
    }

    #[test]
    fn an_auth_id_is_refused_as_long_as_its_time_is_good() {
        let clock = VMESS_CLOCK as i64;
        for ahead in [-clock, -1, 0, 1, clock] {
            let replays = Replays::new(100);
            assert!(replays.is_new_auth_id(&id(1), NOW + ahead, NOW));
            for later in 0..=ahead + clock {
                let again = replays.is_new_auth_id(&id(1), NOW + ahead, NOW + later);
                assert!(!again, "{ahead} s ahead, {later} s later");
            }
        }
    }

    #[test]
    fn what_is_too_old_to_be_accepted_is_forgotten() {
        let replays = Replays::new(1_000_000);
        for second in 0..10_000_i64 {
            let new = replays.is_new_auth_id(&id(second as u64), NOW + second, NOW + second);
            assert!(new);
        }
        let known = replays.auth_ids.lock();
        let most = VMESS_CLOCK as usize + SPAN as usize + 1;
        assert!(known.count <= most, "{}", known.count);
        assert_eq!(
            known.count,
            known.spans.values().map(HashSet::len).sum::<usize>()
        );
    }

    /// More than can be remembered: what was forgotten stays refused, by its
    /// age, and what is new is accepted all the same.
    #[test]
    fn a_full_memory_refuses_the_old_and_takes_the_new() {
        let replays = Replays::new(100);
        for number in 0..1_000 {
            let time = NOW + number / 10;
            assert!(replays.is_new_auth_id(&id(number as u64), time, time));
        }
        let now = NOW + 99;
        for number in 0..1_000 {
            let time = NOW + number / 10;
            assert!(
                !replays.is_new_auth_id(&id(number as u64), time, now),
                "{number}"
            );
        }
        assert!(replays.auth_ids.lock().count <= 100);
        assert!(replays.is_new_auth_id(&id(5_000), now, now));
    }

    #[test]
    fn body_keys_are_refused_for_three_minutes() {
        let replays = Replays::new(100);
        let (user, other) = ([1; 16], [2; 16]);
        assert!(replays.is_new_session(&user, &keys(1), NOW));
        assert!(replays.is_new_session(&other, &keys(1), NOW));
        assert!(replays.is_new_session(&user, &keys(2), NOW));
        assert!(!replays.is_new_session(&user, &keys(1), NOW + VMESS_SESSION));
        let later = NOW + VMESS_SESSION + 2 * SPAN;
        assert!(replays.is_new_session(&user, &keys(1), later));
    }

    #[test]
    fn the_memory_of_body_keys_is_bounded() {
        let replays = Replays::new(10);
        for number in 0..100 {
            let now = NOW + i64::from(number) * SPAN;
            assert!(replays.is_new_session(&[1; 16], &keys(number), now));
        }
        assert!(replays.sessions.lock().count <= 10);
    }
}
