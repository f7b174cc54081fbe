//! Objects with known keys.

use std::cell::Cell;

use super::error::ConfigError;
use super::json::{Member, Node, Value};
use super::notes::Notes;
use super::value::Item;
use super::words::{instead, nearest, quoted};

/// The keys that an object may have; case does not matter.
pub(super) struct Keys {
    /// Those that are read.
    pub(super) known: &'static [&'static str],
    /// Those that V2Ray or Xray knows and we do not: the key, and what to do
    /// instead if there is anything. They may be there as long as their value
    /// is empty.
    pub(super) unsupported: &'static [(&'static str, &'static str)],
}

/// An object that is being read. What is wrong with it is noted, and reading
/// goes on: each getter gives what it would if that were not there. Whoever
/// opens one asks for each of its known keys, whatever else is wrong.
pub(super) struct Fields<'a> {
    node: &'a Node,
    members: &'a [Member],
    keys: &'static Keys,
    notes: &'a Notes,
    /// Mistakes that were noted before this was opened.
    before: usize,
    /// One bit for each known key that was asked for.
    taken: Cell<u64>,
}

impl<'a> Fields<'a> {
    /// Starts on `node`, and notes its keys that nobody knows, or that V2Ray
    /// would heed and we cannot; `None` if it is no object.
    pub(super) fn open(node: &'a Node, keys: &'static Keys, notes: &'a Notes) -> Option<Self> {
        let fields = Self::open_leniently(node, keys, notes)?;
        fields.refuse_unsupported();
        Some(fields)
    }

    /// The same without the keys that we cannot heed.
    pub(super) fn open_leniently(
        node: &'a Node,
        keys: &'static Keys,
        notes: &'a Notes,
    ) -> Option<Self> {
        let before = notes.mistakes();
        let fields = Self {
            node,
            members: notes.keep(node.members())?,
            keys,
            notes,
            before,
            taken: Cell::new(0),
        };
        let unknown = fields.unknown();
        unknown.for_each(|member| notes.blame(keys.unknown(member)));
        Some(fields)
    }

    /// Notes the keys that V2Ray would heed and we cannot.
    pub(super) fn refuse_unsupported(&self) {
        for (value, instead) in self.unsupported() {
            let error = value.error("not supported by muxcool");
            self.notes.blame(match instead {
                "" => error,
                instead => error.help(instead),
            });
        }
    }

    /// The object.
    pub(super) fn node(&self) -> &'a Node {
        self.node
    }

    /// Where to note what is wrong.
    pub(super) fn notes(&self) -> &'a Notes {
        self.notes
    }

    /// Whether nothing was found wrong in it so far, however deep.
    pub(super) fn is_sound(&self) -> bool {
        self.notes.mistakes() == self.before
    }

    /// Whether it has a key that nobody knows.
    pub(super) fn has_unknown(&self) -> bool {
        self.unknown().next().is_some()
    }

    /// The value of a known key; `null` is as good as nothing.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.take(key);
        self.find(key)
    }

    /// What the value of a key says.
    pub(super) fn read<T>(
        &self,
        key: &str,
        read: impl FnOnce(&'a Node) -> Result<T, ConfigError>,
    ) -> Option<T> {
        self.get(key).and_then(|node| self.notes.keep(read(node)))
    }

    /// As [`read`](Self::read), and `absent` if it is not there; `None` only if
    /// it is wrong.
    pub(super) fn read_or<T>(
        &self,
        key: &str,
        absent: T,
        read: impl FnOnce(&'a Node) -> Result<T, ConfigError>,
    ) -> Option<T> {
        let node = self.get(key);
        node.map_or(Some(absent), |node| self.notes.keep(read(node)))
    }

    /// Warns of a key by which V2Ray or Xray does the same in another way, so
    /// that it need not be refused.
    pub(super) fn pass_over(&self, key: &str, why: &str) {
        if let Some(node) = self.get(key).filter(|node| !node.is_empty()) {
            self.notes.add(&node.mark, why);
        }
    }

    /// The value of a key that must be there.
    pub(super) fn need_node(&self, key: &str) -> Option<&'a Node> {
        let node = self.get(key);
        if node.is_none() {
            self.miss(key, None);
        }
        node
    }

    /// What the value of a key says that must be there.
    pub(super) fn need<T>(
        &self,
        key: &str,
        read: impl FnOnce(&'a Node) -> Result<T, ConfigError>,
    ) -> Option<T> {
        let node = self.need_node(key)?;
        self.notes.keep(read(node))
    }

    /// Notes that a key is missing, and what would be right; not if it
    /// [is asked for](Self::is_asked_for).
    pub(super) fn miss(&self, key: &str, help: Option<&str>) {
        if self.is_asked_for(key) {
            return;
        }
        let error = self.node.error(format!("{} is missing", quoted(key)));
        self.notes.blame(match help {
            Some(help) => error.help(help),
            None => error,
        });
    }

    /// Whether what was noted of another key says that this one should be there.
    pub(super) fn is_asked_for(&self, key: &str) -> bool {
        let is_misspelt = |member: &Member| self.keys.meant_by(&member.key) == Some(key);
        let names_it = |(_, instead): (_, &str)| instead.contains(&quoted(key));
        self.unknown().any(is_misspelt) || self.unsupported().any(names_it)
    }

    /// The elements of an array; none if it is not there.
    pub(super) fn list(&self, key: &str) -> &'a [Node] {
        self.read(key, Node::elements).unwrap_or_default()
    }

    /// The value of a key that has another name in Xray; not under both.
    pub(super) fn either(&self, key: &str, newer: &str) -> Option<&'a Node> {
        let older = self.get(key);
        let newer = self.get(newer).filter(|node| !node.is_empty());
        if let Some(node) = newer
            && older.is_some_and(|node| !node.is_empty())
        {
            let what = format!("{} is there, too, and means the same", quoted(key));
            self.notes
                .blame(node.error(what).help("leave one of them out"));
        }
        newer.or(older)
    }

    /// As [`need`](Self::need), for a key that has another name in Xray.
    pub(super) fn need_either<T>(
        &self,
        key: &str,
        newer: &str,
        read: impl FnOnce(&'a Node) -> Result<T, ConfigError>,
    ) -> Option<T> {
        match self.either(key, newer) {
            Some(node) => self.notes.keep(read(node)),
            None => self.need(key, read),
        }
    }

    /// As [`either`](Self::either), for the elements of an array.
    pub(super) fn list_either(&self, key: &str, newer: &str) -> &'a [Node] {
        let node = self.either(key, newer);
        let elements = node.and_then(|node| self.notes.keep(node.elements()));
        elements.unwrap_or_default()
    }

    /// `true` or `false`; false if it is not there.
    pub(super) fn flag(&self, key: &str) -> bool {
        self.read(key, Node::boolean).unwrap_or_default()
    }

    /// A string; empty if it is not there.
    pub(super) fn text(&self, key: &str) -> &'a str {
        self.read(key, Node::string).unwrap_or_default()
    }

    /// The entries of a list of strings; none if it is not there.
    pub(super) fn items(&self, key: &str) -> Vec<Item<'a>> {
        self.get(key)
            .map_or_else(Vec::new, |node| node.items(self.notes))
    }

    /// What each entry of a list of strings says.
    pub(super) fn each<T>(
        &self,
        key: &str,
        mut read: impl FnMut(Item<'a>) -> Result<T, ConfigError>,
    ) -> Vec<T> {
        let items = self.items(key).into_iter();
        items
            .filter_map(|item| self.notes.keep(read(item)))
            .collect()
    }

    fn unknown(&self) -> impl Iterator<Item = &'a Member> {
        let keys = self.keys;
        let is_known = move |key: &str| keys.all().any(|known| known.eq_ignore_ascii_case(key));
        let members = self.members.iter();
        members.filter(move |member| !is_known(&member.key))
    }

    /// The values of such keys that say anything, and what to do instead.
    fn unsupported(&self) -> impl Iterator<Item = (&'a Node, &'static str)> {
        self.keys.unsupported.iter().filter_map(|(key, instead)| {
            let value = self.find(key).filter(|value| !value.is_empty())?;
            Some((value, *instead))
        })
    }

    fn find(&self, key: &str) -> Option<&'a Node> {
        self.members
            .iter()
            .find(|member| member.key.eq_ignore_ascii_case(key))
            .map(|member| &member.value)
            .filter(|value| !matches!(value.value, Value::Null))
    }

    fn take(&self, key: &str) {
        let index = self.keys.known.iter().position(|known| *known == key);
        debug_assert!(index.is_some(), "{key} is not among the known keys");
        self.taken.set(self.taken.get() | 1 << index.unwrap_or(0));
    }
}

/// A key that is not looked at because another is wrong would be a mistake that
/// is not told.
impl Drop for Fields<'_> {
    fn drop(&mut self) {
        let taken = self.taken.get().count_ones() as usize;
        debug_assert!(
            taken == self.keys.known.len() || std::thread::panicking(),
            "a known key is never read: {:?}",
            self.keys.known
        );
    }
}

impl Keys {
    fn all(&self) -> impl Iterator<Item = &'static str> {
        let unsupported = self.unsupported.iter().map(|(key, _)| *key);
        self.known.iter().copied().chain(unsupported)
    }

    /// The known key that an unknown one most probably stands for.
    fn meant_by(&self, unknown: &str) -> Option<&'static str> {
        nearest(unknown, self.known)
    }

    fn unknown(&self, member: &Member) -> ConfigError {
        let error = member.mark.error("unknown key");
        match instead(&member.key, self.known.iter().copied()) {
            Some(help) => error.help(help),
            None => error,
        }
    }
}
