//! The configuration as a whole.

use super::diagnosis::Diagnosis;
use super::json::Node;
use super::notes::Notes;
use super::plan::{InboundPlan, OutboundPlan, Plan};
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
        ("api", ""),
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
        ("services", ""),
        ("env", ""),
        ("version", ""),
    ],
};

const OLD_INBOUND: &str = "use \"inbounds\": [{…}]";
const OLD_OUTBOUND: &str = "use \"outbounds\": [{…}]";

/// Reads and checks everything. Of what is wrong the rest is still read, to
/// find all mistakes at once.
pub(super) fn read(root: &Node, mut notes: Notes) -> Diagnosis {
    match Fields::open_noting(root, &ROOT, &mut notes) {
        Some(fields) => sections(fields, notes),
        None => Diagnosis::of_nothing(notes),
    }
}

fn sections(fields: Fields<'_>, mut notes: Notes) -> Diagnosis {
    let mut tags = new_tags(&fields);
    let log = notes.keep(logging::read(fields.get("log")));
    let control = notes.keep(control::read(fields.get("control")));
    let metrics = metrics::read(fields.get("metrics"), &mut notes);
    let metrics = notes.keep(metrics).flatten();
    let policy = Policy::read(fields.get("policy"), &mut notes);
    let inbounds = inbounds(&fields, &policy, &mut tags, &mut notes);
    let outbounds = outbounds(&fields, &policy, &mut tags, &mut notes);
    let reverse = fields.get("reverse");
    let reverse = reverse::read(reverse, policy.mux(), &mut tags, &mut notes);
    let Routing { options, marks } = rules(&fields, &inbounds, &tags, &mut notes);
    let root = &fields.node().mark;
    fields.finish_noting(&mut notes);

    let whole = Whole {
        root,
        inbounds: &inbounds,
        outbounds: &outbounds,
        reverse: &reverse,
        router: &options,
        rules: &marks,
        tags: &tags,
    };
    whole.warn(&mut notes);
    let plan = Plan {
        log: log.unwrap_or_default(),
        control: control.unwrap_or_default(),
        metrics,
        inbounds,
        outbounds,
        router: options,
        listeners: policy.inbounds(),
        drain: policy.drain(),
        mux: policy.mux().clone(),
        bridges: reverse.bridges,
        portals: reverse.portals,
        warnings: Vec::new(),
    };
    Diagnosis::of(plan, marks, notes)
}

fn inbounds(
    fields: &Fields<'_>,
    policy: &Policy,
    tags: &mut AllTags,
    notes: &mut Notes,
) -> Vec<InboundPlan> {
    let list = fields.list("inbounds");
    entries(list, &mut tags.inbounds, notes, |node, tags, notes| {
        inbound::read(node, policy, tags, notes)
    })
}

fn outbounds(
    fields: &Fields<'_>,
    policy: &Policy,
    tags: &mut AllTags,
    notes: &mut Notes,
) -> Vec<OutboundPlan> {
    let list = fields.list("outbounds");
    entries(list, &mut tags.outbounds, notes, |node, tags, notes| {
        outbound::read(node, policy, tags, notes)
    })
}

fn rules(
    fields: &Fields<'_>,
    inbounds: &[InboundPlan],
    tags: &AllTags,
    notes: &mut Notes,
) -> Routing {
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
fn observatory(node: Option<&Node>, notes: &mut Notes) {
    if let Some(node) = node.filter(|node| !node.is_empty()) {
        notes.add(&node.mark, OUTBOUNDS_TELL);
    }
}

const OUTBOUNDS_TELL: &str = "has no effect: nothing is probed, and balancers go by the connections \
                              that their outbounds make";
