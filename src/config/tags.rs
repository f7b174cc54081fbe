//! The names of inbounds and outbounds: each once, and none dangling.

use std::sync::Arc;

use super::error::ConfigError;
use super::json::{Mark, Node};
use super::value::Item;
use super::words::{instead, quoted};

/// The names that share one space.
pub(super) struct Tags {
    /// What they name, for messages.
    kinds: &'static str,
    taken: Vec<(Arc<str>, Mark)>,
}

impl Tags {
    /// Those of inbounds and bridges.
    pub(super) fn inbound() -> Self {
        Self::of("inbound or bridge")
    }

    /// Those of outbounds and portals.
    pub(super) fn outbound() -> Self {
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
        let what = format!("no {} is called {}", self.kinds, quoted(item.text));
        let error = item.error(what);
        Err(match instead(item.text, known.map(|name| &**name)) {
            Some(help) => error.help(help),
            None => error.help("none has a tag"),
        })
    }
}

fn taken_twice(node: &Node, tag: &str, first: &Mark) -> ConfigError {
    let place = first.place();
    node.error(format!("the tag {} is taken", quoted(tag)))
        .help(format!("{} in line {} has it", place.path, place.line))
}
