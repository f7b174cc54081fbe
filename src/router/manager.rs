use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::link::Outbound;

/// The outbounds that are there, by tag, and which of them takes what no rule
/// decides.
///
/// Any number may have an empty tag, as in the reference; no rule leads to
/// them, but the first outbound is the default with or without a tag.
#[derive(Default)]
pub struct OutboundManager {
    entries: Mutex<Vec<Entry>>,
}

struct Entry {
    outbound: Arc<dyn Outbound>,
    rank: Rank,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rank {
    /// The first of these is the default.
    Configured,
    /// The first of these is, as long as there is none of the others.
    Extra,
}

impl OutboundManager {
    /// A manager without outbounds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an outbound; the first one added becomes the default.
    ///
    /// # Errors
    /// [`DuplicateTag`] if the tag is taken; nothing is changed then.
    pub fn add_handler(&self, outbound: Arc<dyn Outbound>) -> Result<(), DuplicateTag> {
        self.add(outbound, Rank::Configured)
    }

    /// Adds an outbound beside those of the configuration, such as a portal's:
    /// it is the default only while there is no other kind (section 5.1).
    ///
    /// # Errors
    /// As [`add_handler`](Self::add_handler).
    pub fn add_extra_handler(&self, outbound: Arc<dyn Outbound>) -> Result<(), DuplicateTag> {
        self.add(outbound, Rank::Extra)
    }

    fn add(&self, outbound: Arc<dyn Outbound>, rank: Rank) -> Result<(), DuplicateTag> {
        let mut entries = self.entries.lock();
        let tag = outbound.tag();
        if position(&entries, tag).is_some() {
            return Err(DuplicateTag { tag: tag.into() });
        }
        entries.push(Entry { outbound, rank });
        Ok(())
    }

    /// Takes out the outbound with this tag, if there is one. What it carries
    /// goes on; the caller closes it.
    pub fn remove_handler(&self, tag: &str) -> Option<Arc<dyn Outbound>> {
        let mut entries = self.entries.lock();
        let found = position(&entries, tag)?;
        Some(entries.remove(found).outbound)
    }

    /// The outbound with this tag.
    pub fn get(&self, tag: &str) -> Option<Arc<dyn Outbound>> {
        let entries = self.entries.lock();
        let found = position(&entries, tag)?;
        entries.get(found).map(|entry| entry.outbound.clone())
    }

    /// The outbounds whose tag is as wanted, in the order in which they were
    /// added.
    pub fn select(&self, wanted: impl Fn(&str) -> bool) -> Vec<Arc<dyn Outbound>> {
        let entries = self.entries.lock();
        let outbounds = entries.iter().map(|entry| &entry.outbound);
        let is_meant = |o: &&Arc<dyn Outbound>| !o.tag().is_empty() && wanted(o.tag());
        outbounds.filter(is_meant).cloned().collect()
    }

    /// The outbound that takes what no rule decides; `None` if there is none
    /// at all.
    pub fn default_handler(&self) -> Option<Arc<dyn Outbound>> {
        let entries = self.entries.lock();
        let mut configured = entries.iter().filter(|e| e.rank == Rank::Configured);
        let chosen = configured.next().or(entries.first())?;
        Some(chosen.outbound.clone())
    }

    /// Takes out all outbounds and closes them, the last one added first.
    pub fn close(&self) {
        let entries = std::mem::take(&mut *self.entries.lock());
        for entry in entries.iter().rev() {
            entry.outbound.close();
        }
    }
}

impl fmt::Debug for OutboundManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.entries.lock();
        let tags = entries.iter().map(|entry| entry.outbound.tag());
        f.debug_list().entries(tags).finish()
    }
}

/// An outbound was added under a tag that another one has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuplicateTag {
    /// The tag.
    pub tag: String,
}

impl fmt::Display for DuplicateTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is an outbound {:?} already", self.tag)
    }
}

impl std::error::Error for DuplicateTag {}

/// Where the outbound with this tag is; an empty tag names none.
fn position(entries: &[Entry], tag: &str) -> Option<usize> {
    let named = |entry: &Entry| !tag.is_empty() && entry.outbound.tag() == tag;
    entries.iter().position(named)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::link::{DispatchError, Link, Request};

    struct Named(&'static str, Arc<AtomicUsize>);

    impl Outbound for Named {
        fn tag(&self) -> &str {
            self.0
        }

        fn connect(&self, _: &Request) -> Result<Link, DispatchError> {
            Err(DispatchError::Refused("not in this test"))
        }

        fn close(&self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn named(tag: &'static str) -> Arc<dyn Outbound> {
        Arc::new(Named(tag, Arc::default()))
    }

    fn default_tag(manager: &OutboundManager) -> Option<String> {
        manager.default_handler().map(|o| o.tag().to_owned())
    }

    #[test]
    fn the_first_configured_outbound_is_the_default() {
        let manager = OutboundManager::new();
        assert!(manager.default_handler().is_none());
        manager.add_extra_handler(named("portal")).unwrap();
        assert_eq!(default_tag(&manager).as_deref(), Some("portal"));
        manager.add_handler(named("first")).unwrap();
        manager.add_handler(named("second")).unwrap();
        assert_eq!(default_tag(&manager).as_deref(), Some("first"));
        manager.remove_handler("first");
        assert_eq!(default_tag(&manager).as_deref(), Some("second"));
        manager.remove_handler("second");
        assert_eq!(default_tag(&manager).as_deref(), Some("portal"));
    }

    #[test]
    fn a_tag_is_given_once() {
        let manager = OutboundManager::new();
        manager.add_handler(named("a")).unwrap();
        let refused = DuplicateTag { tag: "a".into() };
        assert_eq!(manager.add_handler(named("a")), Err(refused.clone()));
        assert_eq!(manager.add_extra_handler(named("a")), Err(refused));
        assert!(manager.add_handler(named("A")).is_ok());
        assert!(manager.remove_handler("a").is_some());
        assert!(manager.remove_handler("a").is_none());
        assert!(manager.get("a").is_none());
        assert!(manager.add_handler(named("a")).is_ok());
    }

    #[test]
    fn outbounds_without_a_tag_are_reached_as_the_default_only() {
        let manager = OutboundManager::new();
        manager.add_handler(named("")).unwrap();
        manager.add_handler(named("")).unwrap();
        assert!(manager.get("").is_none());
        assert!(manager.remove_handler("").is_none());
        assert_eq!(default_tag(&manager).as_deref(), Some(""));
    }

    #[test]
    fn closing_closes_each_once() {
        let closed = Arc::new(AtomicUsize::new(0));
        let manager = OutboundManager::new();
        for tag in ["a", "b", ""] {
            let outbound = Arc::new(Named(tag, closed.clone()));
            manager.add_handler(outbound).unwrap();
        }
        manager.close();
        manager.close();
        assert_eq!(closed.load(Ordering::Relaxed), 3);
        assert!(manager.default_handler().is_none());
    }
}
