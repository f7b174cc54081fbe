//! The names of inbounds and outbounds: each once, and none dangling.

use std::sync::Arc;

use super::error::ConfigError;
use super::json::{Mark, Node};
use super::read::Fields;
use super::value::Item;
use super::words::{instead, quoted};

/// The names that share one space.
pub(super) struct Tags {
    /// What they name, for messages.
    kinds: &'static str,
    taken: Vec<(Arc<str>, Mark)>,
    /// Whether all of them are known, as far as what was read is right.
    complete: bool,
}

/// Both spaces that rules look in.
pub(super) struct AllTags {
    pub(super) inbounds: Tags,
    pub(super) outbounds: Tags,
}

impl Default for AllTags {
    fn default() -> Self {
        Self {
            inbounds: Tags::inbound(),
            outbounds: Tags::outbound(),
        }
    }
}

impl AllTags {
    /// See [`Tags::doubt`].
    pub(super) fn doubt(&mut self) {
        self.inbounds.doubt();
        self.outbounds.doubt();
    }
}

impl Tags {
    /// Those of inbounds and bridges.
    fn inbound() -> Self {
        Self::of("inbound or bridge")
    }

    /// Those of outbounds and portals.
    fn outbound() -> Self {
        Self::of("outbound or portal")
    }

    /// Those of balancers.
    pub(super) fn balancer() -> Self {
        Self::of("balancer")
    }

    fn of(kinds: &'static str) -> Self {
        Self {
            kinds,
            taken: Vec::new(),
            complete: true,
        }
    }

    /// Adds the name that stands at `node`; nothing, and the empty text, give
    /// no name, which any number of them may have.
    pub(super) fn add(&mut self, node: Option<&Node>) -> Result<Arc<str>, ConfigError> {
        let Some(node) = node else {
            return Ok("".into());
        };
        let tag: Arc<str> = node.string()?.into();
        if tag.is_empty() {
            return Ok(tag);
        }
        if let Some(first) = self.mark(&tag) {
            return Err(taken_twice(node, &tag, first));
        }
        self.taken.push((tag.clone(), node.mark.clone()));
        Ok(tag)
    }

    /// Takes what is wrong otherwise for what it is called, so that whoever
    /// names it is not blamed as well.
    pub(super) fn recover(&mut self, node: &Node) {
        match tag_of(node) {
            Some(tag) if self.mark(&tag).is_none() => self.taken.push((tag, node.mark.clone())),
            Some(_) => {}
            None => self.doubt(),
        }
    }

    /// From now on any name may be one: where they are defined is wrong.
    pub(super) fn doubt(&mut self) {
        self.complete = false;
    }

    /// Whether a name that is not among them is none.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    /// All of them.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.taken.iter().map(|(name, _)| &**name)
    }

    /// The place of a name.
    pub(super) fn mark(&self, tag: &str) -> Option<&Mark> {
        let found = self.taken.iter().find(|(name, _)| **name == *tag);
        found.map(|(_, mark)| mark)
    }

    /// The name that `item` refers to.
    pub(super) fn resolve(&self, item: Item<'_>) -> Result<Arc<str>, ConfigError> {
        let known = self.taken.iter().map(|(name, _)| name);
        if let Some(tag) = known.clone().find(|name| ***name == *item.text) {
            return Ok(tag.clone());
        }
        if !self.complete {
            return Ok(item.text.into());
        }
        let what = format!("no {} is called {}", self.kinds, quoted(item.text));
        let error = item.error(what);
        Err(match instead(item.text, known.map(|name| &**name)) {
            Some(help) => error.help(help),
            None => error.help("none has a tag"),
        })
    }
}

/// What was read of the entries of a list.
pub(super) struct Entries<T> {
    pub(super) all: Vec<T>,
    /// Whether nothing is wrong with it, for each of them.
    pub(super) sound: Vec<bool>,
}

/// Reads each element of the list under `key`, in which everything has a name.
pub(super) fn entries<'a, T>(
    fields: &Fields<'a>,
    key: &str,
    tags: &mut Tags,
    mut read: impl FnMut(&'a Node, &mut Tags) -> Option<T>,
) -> Entries<T> {
    let notes = fields.notes();
    let before = notes.mistakes();
    let nodes = fields.list(key);
    if notes.mistakes() > before {
        tags.doubt();
    }
    let (mut all, mut sound) = (Vec::new(), Vec::new());
    for node in nodes {
        if notes.is_full() {
            tags.doubt();
            break;
        }
        let before = notes.mistakes();
        let entry = read(node, tags);
        let is_sound = notes.mistakes() == before;
        if !is_sound {
            tags.recover(node);
        }
        sound.extend(entry.is_some().then_some(is_sound));
        all.extend(entry);
    }
    Entries { all, sound }
}

/// The tag that an object gives itself, whatever else it says.
fn tag_of(node: &Node) -> Option<Arc<str>> {
    let members = node.members().ok()?;
    let tag = members.iter().find(|m| m.key.eq_ignore_ascii_case("tag"))?;
    let text = tag.value.string().ok()?;
    (!text.is_empty()).then(|| text.into())
}

fn taken_twice(node: &Node, tag: &str, first: &Mark) -> ConfigError {
    let place = first.place();
    node.error(format!("the tag {} is taken", quoted(tag)))
        .help(format!("{} in line {} has it", place.path, place.line))
}
