//! What a router does with a request, and why.

use std::sync::Arc;

use super::matching::Subject;
use super::{Router, Rule, Way};
use crate::link::{Outbound, Request};

/// What the rules say of a request.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The times that the rules were gone through; the last decides.
    pub passes: Vec<Pass>,
    /// The outbounds that may take it: more than one if a balancer picks,
    /// none if there are none.
    pub outbounds: Vec<Arc<str>>,
}

/// The rules, up to the first whose conditions all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// Whether the target's name was resolved for `ip` conditions.
    pub resolving: bool,
    /// What became of each rule that was looked at, in order.
    pub verdicts: Vec<Verdict>,
}

/// What became of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All its conditions hold: it decides.
    Decides,
    /// The condition with this index is the first that does not hold.
    Unmet(usize),
}

impl Explanation {
    /// The rule that decides, by its index; `None` if it is left to the
    /// default outbound.
    pub fn rule(&self) -> Option<usize> {
        self.passes.last().and_then(Pass::rule)
    }
}

impl Pass {
    /// The rule that decides, by its index.
    pub fn rule(&self) -> Option<usize> {
        let mut verdicts = self.verdicts.iter();
        verdicts.position(|verdict| *verdict == Verdict::Decides)
    }
}

impl Router {
    /// Tells what [`pick`](Self::pick) does with `request`, and why. No
    /// balancer takes note of it.
    pub fn explain(&self, request: &Request) -> Explanation {
        let mut passes = Vec::new();
        for subject in self.passes(request) {
            passes.push(self.pass(&subject));
            if passes.last().is_some_and(|pass| pass.rule().is_some()) {
                break;
            }
        }
        let mut explanation = Explanation {
            passes,
            outbounds: Vec::new(),
        };
        let rule = explanation.rule();
        let rule = rule.and_then(|index| self.options.rules.get(index));
        explanation.outbounds = self.may_take(rule);
        explanation
    }

    fn pass(&self, subject: &Subject<'_>) -> Pass {
        let mut verdicts = Vec::new();
        for rule in &self.options.rules {
            match rule.first_unmet(subject) {
                Some(index) => verdicts.push(Verdict::Unmet(index)),
                None => {
                    verdicts.push(Verdict::Decides);
                    break;
                }
            }
        }
        Pass {
            resolving: subject.resolves(),
            verdicts,
        }
    }

    /// Those of a balancer, or the one that everything else ends at.
    fn may_take(&self, rule: Option<&Rule>) -> Vec<Arc<str>> {
        if let Some(Way::Balancer(tag)) = rule.map(|rule| &rule.outbound)
            && let Some(balancer) = self.balancers.iter().find(|b| b.options().tag == *tag)
        {
            let of_balancer = self.outbounds.select(|tag| balancer.options().selects(tag));
            if !of_balancer.is_empty() {
                return tags(&of_balancer);
            }
        }
        let picked = self.outbound_of(rule);
        picked.map_or_else(|_| Vec::new(), |(outbound, _)| tags(&[outbound]))
    }
}

fn tags(outbounds: &[Arc<dyn Outbound>]) -> Vec<Arc<str>> {
    outbounds
        .iter()
        .map(|outbound| outbound.tag().into())
        .collect()
}
