//! Who may use an inbound, and how long a stranger is listened to (section
//! 2.6).

use rand::RngExt;

use super::Client;
use super::auth_id::{AuthId, AuthIdReader};
use super::kdf::{command_key, sha256};
use crate::limits::{VMESS_CLOCK, VMESS_DRAIN, VMESS_DRAIN_JITTER};

/// One who may use an inbound.
pub(super) struct KnownUser {
    pub(super) client: Client,
    pub(super) command_key: [u8; 16],
    reader: AuthIdReader,
}

/// All of them.
pub(super) struct Users {
    users: Vec<KnownUser>,
    drain: Drain,
}

/// Whose an auth id is.
pub(super) enum Shown<'a> {
    /// A user's, who says this time.
    User(&'a KnownUser, i64),
    /// A user's, whose clock is so many seconds ahead of ours.
    Clock(i64),
    Nobody,
}

impl Users {
    pub(super) fn new(clients: Vec<Client>) -> Self {
        let user = |client: Client| {
            let command_key = command_key(&client.id);
            KnownUser {
                reader: AuthIdReader::new(&command_key),
                command_key,
                client,
            }
        };
        let users: Vec<KnownUser> = clients.into_iter().map(user).collect();
        let drain = Drain::new(&users);
        Self { users, drain }
    }

    /// Whose `id` is. Takes as long for an unknown one as for any known one.
    pub(super) fn find(&self, id: &AuthId, now: i64) -> Shown<'_> {
        let mut shown = Shown::Nobody;
        for user in &self.users {
            if let Some(time) = user.reader.time(id) {
                shown = match time >= 0 && time.abs_diff(now) <= VMESS_CLOCK {
                    true => Shown::User(user, time),
                    false => Shown::Clock(time.saturating_sub(now)),
                };
            }
        }
        shown
    }

    /// Bytes after which a stranger's connection is ended.
    pub(super) fn drain_len(&self) -> usize {
        self.drain.base + rand::rng().random_range(0..self.drain.jitter)
    }
}

/// Strangers see the same from one attempt to the next, and another inbound
/// do something else: both numbers come from what only its users know.
struct Drain {
    base: usize,
    jitter: usize,
}

impl Drain {
    fn new(users: &[KnownUser]) -> Self {
        let keys: Vec<&[u8]> = [&b"drain"[..]]
            .into_iter()
            .chain(users.iter().map(|user| &user.command_key[..]))
            .collect();
        let [a, b, c, ..] = sha256(&keys);
        let (least, spread) = VMESS_DRAIN;
        Self {
            base: least + usize::from(u16::from_be_bytes([a, b])) % spread,
            jitter: 1 + usize::from(c) % VMESS_DRAIN_JITTER,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::super::auth_id::make_auth_id;
    use super::*;
    use crate::limits::MAX_HANDSHAKE;

    const NOW: i64 = 1_700_000_000;

    fn users(ids: impl IntoIterator<Item = u128>) -> Users {
        let client = |id| Client {
            id: Uuid::from_u128(id),
            email: "".into(),
        };
        Users::new(ids.into_iter().map(client).collect())
    }

    #[test]
    fn a_user_is_known_while_the_clocks_agree_to_two_minutes() {
        let users = users([1, 2, 3]);
        let key = command_key(&Uuid::from_u128(2));
        let find = |time| users.find(&make_auth_id(&key, time, [9; 4]), NOW);
        for ahead in [-120, -119, 0, 119, 120] {
            let known =
                matches!(find(NOW + ahead), Shown::User(user, _) if user.client.id.as_u128() == 2);
            assert!(known, "{ahead}");
        }
        for ahead in [-125, -121, 121, 125] {
            assert!(matches!(find(NOW + ahead), Shown::Clock(by) if by == ahead));
        }
        assert!(matches!(find(-1), Shown::Clock(_)));
        assert!(matches!(find(i64::MIN), Shown::Clock(_)));
        let stranger = command_key(&Uuid::from_u128(4));
        let id = make_auth_id(&stranger, NOW, [9; 4]);
        assert!(matches!(users.find(&id, NOW), Shown::Nobody));
    }

    #[test]
    fn strangers_are_listened_to_for_the_same_time_but_for_a_few_bytes() {
        let mut bases = BTreeSet::new();
        for id in 0..50 {
            let users = users([id]);
            let lens: BTreeSet<usize> = (0..300).map(|_| users.drain_len()).collect();
            let (least, most) = (*lens.first().unwrap(), *lens.last().unwrap());
            assert!(most - least < VMESS_DRAIN_JITTER);
            assert!(least >= 54 && most < MAX_HANDSHAKE, "{least} to {most}");
            bases.insert(least);
        }
        assert!(bases.len() > 40, "users make no difference: {bases:?}");
    }
}
