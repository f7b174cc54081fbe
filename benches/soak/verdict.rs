//! Which endings are legitimate.
//!
//! A connection may fail if it was there while something was wrong with its
//! tunnel. Whatever happens, none may end in order with bytes missing, bring
//! bytes of another one, or be whole at one end only. What V2Ray makes of a lost
//! connection is its own affair: of an end beside it only the bytes are judged.

use std::collections::{BTreeMap, HashMap};

use crate::{
    chronicle::Chronicle,
    support::streams::Ending,
    visitors::{Purpose, Visit},
};

#[derive(Default)]
pub struct Verdict {
    pub by_purpose: BTreeMap<Purpose, u64>,
    pub whole: u64,
    /// Lost, with an error, while something was wrong.
    pub lost_to_faults: u64,
    /// Ended by the visitor's own doing.
    pub aborted: u64,
    /// Beside V2Ray, ended as V2Ray pleased.
    pub v2ray: u64,
    /// What should not have been.
    pub errors: Vec<String>,
}

type AtTarget = HashMap<Option<u64>, Vec<Ending>>;

impl Verdict {
    pub fn add(&mut self, chronicle: &Chronicle, visits: &[Visit], at_target: &AtTarget) {
        for visit in visits {
            *self.by_purpose.entry(visit.purpose).or_default() += 1;
            let [near, far] = chronicle.are_ours(visit.from, visit.until);
            let troubled = chronicle.is_troubled(visit.from, visit.until);
            let fault = self
                .fault_of_visitor(visit, near, troubled)
                .or_else(|| fault_of_target(visit, at_target, near && far));
            if let Some(fault) = fault {
                let (key, purpose) = (visit.order.key, visit.purpose.name());
                self.errors.push(format!("{purpose} {key}: {fault}"));
            }
        }
        // Who broke off before he had told his order may do so with an error.
    }

    fn fault_of_visitor(&mut self, visit: &Visit, near: bool, troubled: bool) -> Option<String> {
        let counter = match (&visit.ending, visit.purpose) {
            (Ending::Whole, _) => &mut self.whole,
            (Ending::Wrong(_), _) => return Some(format!("{:?}", visit.ending)),
            _ if !near => &mut self.v2ray,
            (Ending::Broken(std::io::ErrorKind::ConnectionAborted), Purpose::Abort) => {
                &mut self.aborted
            }
            (Ending::Hung(_), Purpose::Datagrams) if troubled => &mut self.lost_to_faults,
            (Ending::Broken(_), _) if troubled => &mut self.lost_to_faults,
            (ending, _) => {
                let time = visit.until - visit.from;
                return Some(format!("{ending:?} after {time:.1?}"));
            }
        };
        *counter += 1;
        None
    }
}

fn fault_of_target(visit: &Visit, at_target: &AtTarget, ours: bool) -> Option<String> {
    if visit.purpose == Purpose::Datagrams {
        return None;
    }
    let endings = at_target.get(&Some(visit.order.key));
    let endings = endings.map(Vec::as_slice).unwrap_or_default();
    let wrong = |ending: &&Ending| match ending {
        Ending::Wrong(_) => true,
        other => ours && other.is_forbidden(),
    };
    if endings.len() > 1 {
        return Some(format!("served {} times", endings.len()));
    }
    if let Some(ending) = endings.iter().find(wrong) {
        return Some(format!("at its target: {ending:?}"));
    }
    let whole = visit.ending == Ending::Whole;
    let differs = whole && ours && *endings != [Ending::Whole];
    differs.then(|| format!("whole, but at its target: {endings:?}"))
}
