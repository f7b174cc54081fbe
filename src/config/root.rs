//! The configuration as a whole.

use super::diagnosis::Diagnosis;
use super::json::{Mark, Node};
use super::notes::Notes;
use super::plan::{InboundPlan, Plan};
use super::policy::Policy;
use super::read::{Fields, Keys};
use super::routing::{self, Names, Routing};
use super::tags::{AllTags, entries};
use super::warnings::Whole;
use super::{control, inbound, logging, metrics, outbound, reverse};

/// The keys of the whole.
pub(super) const ROOT: Keys = Keys {
    known: &[
        "log",
        "inbounds",
        "outbounds",
        "routing",
        "policy",
        "reverse",
        "observatory",
        "burstObservatory",
        "control",
        "metrics",
    ],
    unsupported: &[
        ("dns", "names are resolved by the system"),
        ("api", NO_API),
        ("stats", ""),
        (
            "transport",
            "use \"streamSettings\" of each inbound and outbound",
        ),
        ("port", OLD_INBOUND),
        ("inbound", OLD_INBOUND),
        ("inboundDetour", OLD_INBOUND),
        ("outbound", OLD_OUTBOUND),
        ("outboundDetour", OLD_OUTBOUND),
        ("fakedns", ""),
        ("browserForwarder", ""),
        ("services", V5),
        ("router", "V2Ray 4 has \"routing\""),
        ("env", ""),
        ("version", ""),
    ],
};

const NO_API: &str = "leave it out, with its inbound and its rule; `muxcool status` and \
                      \"metrics\" tell how the program does";
const V5: &str = "this is the form of V2Ray 5's own, read is that of V2Ray 4";
const OLD_INBOUND: &str = "use \"inbounds\": [{…}]";
const OLD_OUTBOUND: &str = "use \"outbounds\": [{…}]";

/// Reads and checks everything. Of what is wrong the rest is still read, to
/// find all mistakes at once.
pub(super) fn read(root: &Node, notes: Notes) -> Diagnosis {
    let read = Fields::open(root, &ROOT, &notes).map(|fields| sections(&fields));
    match read {
        Some((plan, rules)) => Diagnosis::of(plan, rules, notes),
        None => Diagnosis::of_nothing(notes),
    }
}

/// The plan, and where its rules stand.
fn sections(fields: &Fields<'_>) -> (Plan, Vec<Mark>) {
    let notes = fields.notes();
    let mut tags = new_tags(fields);
    let policy = Policy::read(fields.get("policy"), notes);
    let inbounds = entries(fields, "inbounds", &mut tags.inbounds, |node, tags| {
        inbound::read(node, &policy, tags, notes)
    });
    let outbounds = entries(fields, "outbounds", &mut tags.outbounds, |node, tags| {
        outbound::read(node, &policy, tags, notes)
    });
    let reverse = reverse::read(fields.get("reverse"), policy.mux(), &mut tags, notes);
    let Routing { options, marks } = rules(fields, &inbounds.all, &tags);

    let plan = Plan {
        log: logging::read(fields.get("log"), notes),
        control: control::read(fields.get("control"), notes),
        metrics: metrics::read(fields.get("metrics"), notes),
        inbounds: inbounds.all,
        outbounds: outbounds.all,
        router: options,
        listeners: policy.inbounds(),
        drain: policy.drain(),
        mux: policy.mux().clone(),
        bridges: reverse.bridges,
        portals: reverse.portals,
        warnings: Vec::new(),
    };
    let whole = Whole {
        root: &fields.node().mark,
        plan: &plan,
        sound_inbounds: &inbounds.sound,
        sound_outbounds: &outbounds.sound,
        rules: &marks,
        tags: &tags,
    };
    whole.warn(notes);
    (plan, marks)
}

fn rules(fields: &Fields<'_>, inbounds: &[InboundPlan], tags: &AllTags) -> Routing {
    let notes = fields.notes();
    let names = Names {
        tags,
        sniffed: notes.has_errors() || inbounds.iter().any(|i| i.sniffing.is_some()),
    };
    let routing = routing::read(fields.get("routing"), &names, notes);
    for key in ["observatory", "burstObservatory"] {
        observatory(fields.get(key), notes);
    }
    routing
}

/// What is missing may stand under a key that is misspelt.
fn new_tags(fields: &Fields<'_>) -> AllTags {
    let mut tags = AllTags::default();
    if fields.has_unknown() {
        tags.doubt();
    }
    tags
}

/// What balancers of V2Ray 5 and Xray go by. Ours ask their outbounds.
fn observatory(node: Option<&Node>, notes: &Notes) {
    if let Some(node) = node.filter(|node| !node.is_empty()) {
        notes.add(&node.mark, OUTBOUNDS_TELL);
    }
}

const OUTBOUNDS_TELL: &str = "has no effect: nothing is probed, and balancers go by the connections \
                              that their outbounds make";
