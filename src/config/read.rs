//! Objects with known keys.

use std::cell::Cell;

use super::error::ConfigError;
use super::json::{Member, Node, Value};
use super::notes::Notes;
use super::words::{instead, quoted};

/// The keys that an object may have; case does not matter.
pub(super) struct Keys {
    /// Those that are read.
    pub(super) known: &'static [&'static str],
    /// Those that V2Ray or Xray knows and we do not: the key, and what to do
    /// instead if there is anything. They may be there as long as their value
    /// is empty.
    pub(super) unsupported: &'static [(&'static str, &'static str)],
}

/// An object that is being read.
pub(super) struct Fields<'a> {
    node: &'a Node,
    members: &'a [Member],
    keys: &'static Keys,
    /// One bit for each known key that was asked for.
    taken: Cell<u64>,
}

impl<'a> Fields<'a> {
    /// Starts on `node`, which must be an object without unknown keys.
    pub(super) fn open(node: &'a Node, keys: &'static Keys) -> Result<Self, ConfigError> {
        let fields = Self::unchecked(node, keys)?;
        let unknown = fields.unknown().next();
        match unknown {
            Some(error) => Err(error),
            None => Ok(fields),
        }
    }

    /// As [`open`](Self::open), but adds each unknown key to `notes` and goes
    /// on; `None` if `node` is no object.
    pub(super) fn open_noting(
        node: &'a Node,
        keys: &'static Keys,
        notes: &mut Notes,
    ) -> Option<Self> {
        let fields = notes.keep(Self::unchecked(node, keys))?;
        fields.unknown().for_each(|error| notes.blame(error));
        Some(fields)
    }

    /// Whether it has a key that nobody knows.
    pub(super) fn has_unknown(&self) -> bool {
        self.unknown().next().is_some()
    }

    /// The object.
    pub(super) fn node(&self) -> &'a Node {
        self.node
    }

    /// The value of a known key; `null` is as good as nothing.
    pub(super) fn get(&self, key: &str) -> Option<&'a Node> {
        self.take(key);
        self.find(key)
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, key: &str) -> Result<&'a Node, ConfigError> {
        self.get(key)
            .ok_or_else(|| self.node.error(format!("{} is missing", quoted(key))))
    }

    /// The elements of an array; none if it is not there.
    pub(super) fn list(&self, key: &str) -> Result<&'a [Node], ConfigError> {
        self.get(key).map_or(Ok(&[]), Node::elements)
    }

    /// The value of a key that has another name in Xray; not under both.
    pub(super) fn either(&self, key: &str, newer: &str) -> Result<Option<&'a Node>, ConfigError> {
        let older = self.get(key);
        match self.get(newer).filter(|node| !node.is_empty()) {
            Some(node) if older.is_some_and(|node| !node.is_empty()) => {
                let what = format!("{} is there, too, and means the same", quoted(key));
                Err(node.error(what).help("leave one of them out"))
            }
            Some(node) => Ok(Some(node)),
            None => Ok(older),
        }
    }

    /// As [`either`](Self::either), for a key that must be there.
    pub(super) fn need_either(&self, key: &str, newer: &str) -> Result<&'a Node, ConfigError> {
        match self.either(key, newer)? {
            Some(node) => Ok(node),
            None => self.need(key),
        }
    }

    /// As [`either`](Self::either), for the elements of an array.
    pub(super) fn list_either(&self, key: &str, newer: &str) -> Result<&'a [Node], ConfigError> {
        self.either(key, newer)?.map_or(Ok(&[]), Node::elements)
    }

    /// `true` or `false`; false if it is not there.
    pub(super) fn flag(&self, key: &str) -> Result<bool, ConfigError> {
        self.get(key).map_or(Ok(false), Node::boolean)
    }

    /// A string; empty if it is not there.
    pub(super) fn text(&self, key: &str) -> Result<&'a str, ConfigError> {
        self.get(key).map_or(Ok(""), Node::string)
    }

    /// Refuses what V2Ray would do and we cannot.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        self.check_taken();
        match self.unsupported().next() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// As [`finish`](Self::finish), but adds each mistake to `notes`.
    pub(super) fn finish_noting(self, notes: &mut Notes) {
        self.check_taken();
        self.unsupported().for_each(|error| notes.blame(error));
    }

    fn check_taken(&self) {
        debug_assert_eq!(
            self.taken.get().count_ones() as usize,
            self.keys.known.len(),
            "a known key is never read: {:?}",
            self.keys.known
        );
    }

    fn unchecked(node: &'a Node, keys: &'static Keys) -> Result<Self, ConfigError> {
        Ok(Self {
            node,
            members: node.members()?,
            keys,
            taken: Cell::new(0),
        })
    }

    fn unknown(&self) -> impl Iterator<Item = ConfigError> {
        let is_known = |key: &str| self.keys.all().any(|known| known.eq_ignore_ascii_case(key));
        let unknown = self.members.iter().filter(move |m| !is_known(&m.key));
        unknown.map(|member| self.keys.unknown(member))
    }

    fn unsupported(&self) -> impl Iterator<Item = ConfigError> {
        self.keys.unsupported.iter().filter_map(|(key, instead)| {
            let value = self.find(key).filter(|value| !value.is_empty())?;
            let error = value.error("not supported by muxcool");
            Some(match *instead {
                "" => error,
                instead => error.help(instead),
            })
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

impl Keys {
    fn all(&self) -> impl Iterator<Item = &'static str> {
        let unsupported = self.unsupported.iter().map(|(key, _)| *key);
        self.known.iter().copied().chain(unsupported)
    }

    fn unknown(&self, member: &Member) -> ConfigError {
        let error = member.mark.error("unknown key");
        match instead(&member.key, self.known.iter().copied()) {
            Some(help) => error.help(help),
            None => error,
        }
    }
}
