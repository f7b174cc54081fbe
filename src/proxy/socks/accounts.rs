use std::sync::Arc;

use subtle::{Choice, ConstantTimeEq};

use super::Account;
use super::wire::Credentials;

/// Who may use an inbound.
pub(super) struct Accounts {
    known: Vec<(Arc<str>, Vec<u8>)>,
}

impl Accounts {
    pub(super) fn new(accounts: &[Account]) -> Self {
        let entry = |account: &Account| {
            let password = account.password.clone().into_bytes();
            (Arc::from(account.user.as_str()), password)
        };
        Self {
            known: accounts.iter().map(entry).collect(),
        }
    }

    /// The name of the user whose credentials these are.
    ///
    /// All accounts are compared, each in constant time, so that the time
    /// taken says neither which part was wrong nor where it began to be.
    pub(super) fn check(&self, given: &Credentials) -> Option<Arc<str>> {
        let mut found = None;
        for (user, password) in &self.known {
            let same_user = user.as_bytes().ct_eq(&given.user);
            let same_password = password.as_slice().ct_eq(&given.password);
            if is_true(same_user & same_password) {
                found = Some(user.clone());
            }
        }
        found
    }
}

fn is_true(choice: Choice) -> bool {
    choice.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::timing::{FAR_APART, MANY, spread};

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials {
            user: user.into(),
            password: password.into(),
        }
    }

    #[test]
    fn only_the_right_password_of_a_known_user_will_do() {
        let account = |user: &str, password: &str| Account {
            user: user.into(),
            password: password.into(),
        };
        let accounts = Accounts::new(&[account("ann", "one"), account("bob", "two")]);
        let check = |user, password| accounts.check(&credentials(user, password));
        assert_eq!(check("ann", "one").as_deref(), Some("ann"));
        assert_eq!(check("bob", "two").as_deref(), Some("bob"));
        for (user, password) in [
            ("ann", "two"),
            ("ann", ""),
            ("", ""),
            ("bob", "twox"),
            ("Ann", "one"),
        ] {
            assert_eq!(check(user, password), None, "{user} {password}");
        }
        assert_eq!(Accounts::new(&[]).check(&credentials("", "")), None);
    }

    /// Attack class 13, for words of one length: that of a wrong one is no
    /// secret of ours.
    #[test]
    fn the_time_does_not_tell_which_part_was_wrong() {
        let account = |n| Account {
            user: format!("user {n:03}"),
            password: format!("word {n:03}"),
        };
        let known: Vec<Account> = (0..MANY).map(account).collect();
        let accounts = Accounts::new(&known);
        let inputs = [
            credentials("user 000", "word 000"),
            credentials("user 063", "word 063"),
            credentials("user 000", "word 063"),
            credentials("user 063", "-ord 063"),
            credentials("-ser 000", "word 000"),
            credentials("--------", "--------"),
        ];
        let spread = spread(&inputs, |given| accounts.check(given).is_some());
        assert!(spread < FAR_APART, "{spread}");
    }
}
