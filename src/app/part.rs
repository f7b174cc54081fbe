//! What an application consists of.

use std::sync::Arc;

use super::report::Changes;

/// A part of an application that runs.
pub(super) trait Part {
    /// Its name in the configuration; empty if it has none.
    fn tag(&self) -> &str;
}

/// The parts of one kind after a reload.
pub(super) struct Renewed<P> {
    /// All of them, in the order of the configuration.
    pub(super) all: Vec<Arc<P>>,
    /// Those that were not there before.
    pub(super) new: Vec<New<P>>,
    /// Those that were there before, and are not any more.
    pub(super) gone: Vec<Arc<P>>,
}

/// A part that was not there before, and what it replaces: the one that had its
/// tag.
pub(super) struct New<P> {
    pub(super) part: Arc<P>,
    pub(super) replaced: Option<Arc<P>>,
}

/// What becomes of a plan.
enum Fate<P, Plan> {
    Kept(Arc<P>),
    New(Plan),
}

impl<P: Part> Renewed<P> {
    /// Keeps of `running` what `is` as planned, and makes what is not there.
    ///
    /// `make` is given the plan and what is going to go.
    ///
    /// # Errors
    /// Those of `make`.
    pub(super) fn try_new<Plan, E>(
        running: &[Arc<P>],
        plans: Vec<Plan>,
        is: impl Fn(&P, &Plan) -> bool,
        mut make: impl FnMut(Plan, &[Arc<P>]) -> Result<P, E>,
    ) -> Result<Self, E> {
        let mut gone = running.to_vec();
        let fates = plans
            .into_iter()
            .map(|plan| match take(&mut gone, |part| is(part, &plan)) {
                Some(part) => Fate::Kept(part),
                None => Fate::New(plan),
            });
        let fates: Vec<Fate<P, Plan>> = fates.collect();
        let (mut all, mut new) = (Vec::new(), Vec::new());
        for fate in fates {
            all.push(match fate {
                Fate::Kept(part) => part,
                Fate::New(plan) => {
                    let part = Arc::new(make(plan, &gone)?);
                    let replaced = with_tag(&gone, part.tag());
                    new.push(New {
                        part: part.clone(),
                        replaced,
                    });
                    part
                }
            });
        }
        Ok(Self { all, new, gone })
    }

    /// What is another than before.
    pub(super) fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        for New { part, replaced } in &self.new {
            match replaced {
                Some(_) => changes.changed.push(part.tag().into()),
                None => changes.added.push(part.tag().into()),
            }
        }
        let news: Vec<&Arc<P>> = self.new.iter().map(|new| &new.part).collect();
        let has_successor = |part: &Arc<P>| self.successor_of(part).is_some();
        let removed = self.gone.iter().filter(|part| !has_successor(part));
        changes.removed = removed.map(|part| part.tag().into()).collect();
        let is_new = |part: &Arc<P>| news.iter().any(|new| Arc::ptr_eq(new, part));
        let kept = self.all.iter().filter(|part| !is_new(part));
        changes.kept = kept.map(|part| part.tag().into()).collect();
        changes
    }

    /// What takes the place of a part that has gone.
    pub(super) fn successor_of(&self, gone: &Arc<P>) -> Option<&Arc<P>> {
        let replaces = |new: &&New<P>| {
            let replaced = new.replaced.as_ref();
            replaced.is_some_and(|replaced| Arc::ptr_eq(replaced, gone))
        };
        self.new.iter().find(replaces).map(|new| &new.part)
    }
}

/// The part that has this tag; an empty one names none.
pub(super) fn with_tag<P: Part>(parts: &[Arc<P>], tag: &str) -> Option<Arc<P>> {
    let is_it = |part: &&Arc<P>| !tag.is_empty() && part.tag() == tag;
    parts.iter().find(is_it).cloned()
}

fn take<P>(parts: &mut Vec<Arc<P>>, is: impl Fn(&P) -> bool) -> Option<Arc<P>> {
    let found = parts.iter().position(|part| is(part))?;
    Some(parts.remove(found))
}
