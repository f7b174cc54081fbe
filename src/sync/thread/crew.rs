use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::reserve::Job;
use super::{panics, start, task};
use crate::sync::deadline_in;
use crate::sync::shim::{Condvar, Mutex};

/// The tasks of one owner, which waits for all of them when it closes.
///
/// A panic in a member ends that member only; it is logged and counted.
#[derive(Debug, Clone, Default)]
pub struct Crew {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Names by number.
    members: Mutex<HashMap<u64, Arc<str>>>,
    left: Condvar,
}

impl Crew {
    /// An owner without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a member.
    ///
    /// # Errors
    /// As [`spawn`](super::spawn).
    pub fn spawn<F>(&self, name: &str, body: F) -> io::Result<()>
    where
        F: FnOnce() + Send + 'static,
    {
        let membership = Membership::new(self.shared.clone(), name);
        let number = membership.number;
        start(Job::new(number, name, move || membership.run(body)))
    }

    /// Waits until no member is left but the calling one, `limit` at the most.
    /// Returns the names of those still there.
    pub fn join(&self, limit: Duration) -> Vec<String> {
        let deadline = deadline_in(limit);
        let me = task::current();
        let mut members = self.shared.members.lock();
        while members.keys().any(|number| *number != me) {
            let waited = self.shared.left.wait_until(&mut members, deadline);
            if waited.timed_out() {
                break;
            }
        }
        let others = members.iter().filter(|(number, _)| **number != me);
        others.map(|(_, name)| name.to_string()).collect()
    }
}

/// A member's entry. Dropping it, run or not, takes it off the list.
struct Membership {
    shared: Arc<Shared>,
    number: u64,
    name: Arc<str>,
}

impl Membership {
    fn new(shared: Arc<Shared>, name: &str) -> Self {
        let name: Arc<str> = name.into();
        let number = task::new_number();
        shared.members.lock().insert(number, name.clone());
        Self {
            shared,
            number,
            name,
        }
    }

    fn run(self, body: impl FnOnce()) {
        let _ = panics::caught(&self.name, body);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.shared.members.lock().remove(&self.number);
        self.shared.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Done;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[test]
    fn joining_waits_for_members_and_names_those_left() {
        let crew = Crew::new();
        let gate = Arc::new(Done::new());
        let inner = gate.clone();
        crew.spawn("waits", move || inner.wait()).unwrap();
        assert_eq!(crew.join(Duration::from_millis(1)), ["waits"]);
        gate.signal();
        assert!(crew.join(Duration::MAX).is_empty());
    }

    #[test]
    fn a_panicking_member_leaves_and_is_counted() {
        let crew = Crew::new();
        let before = panics::panics();
        crew.spawn("panics", || panic!("on purpose")).unwrap();
        assert!(crew.join(PATIENCE).is_empty());
        assert!(panics::panics() > before);
    }

    #[test]
    fn a_member_may_join_its_own_crew() {
        let crew = Crew::new();
        let inner = crew.clone();
        let (tell, told) = crossbeam_channel::bounded(1);
        crew.spawn("self", move || {
            let _ = tell.send(inner.join(PATIENCE));
        })
        .unwrap();
        assert!(told.recv().unwrap().is_empty());
    }
}
