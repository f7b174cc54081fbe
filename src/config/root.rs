//! The configuration as a whole.

use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::plan::Plan;
use super::policy::Policy;
use super::read::{Fields, Keys};
use super::routing::{self, Names};
use super::tags::Tags;
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

/// Reads and checks everything.
pub(super) fn plan(root: &Node) -> Result<Plan, ConfigError> {
    let fields = Fields::open(root, &ROOT)?;
    let mut notes = Notes::default();
    let (mut inbound_tags, mut outbound_tags) = (Tags::inbound(), Tags::outbound());

    let log = logging::read(fields.get("log"))?;
    let control = control::read(fields.get("control"))?;
    let metrics = metrics::read(fields.get("metrics"), &mut notes)?;
    let policy = Policy::read(fields.get("policy"), &mut notes)?;
    let inbounds = entries(fields.list("inbounds")?, |node| {
        inbound::read(node, &policy, &mut inbound_tags, &mut notes)
    })?;
    let outbounds = entries(fields.list("outbounds")?, |node| {
        outbound::read(node, &policy, &mut outbound_tags, &mut notes)
    })?;
    let reverse = reverse::read(
        fields.get("reverse"),
        policy.mux(),
        &mut inbound_tags,
        &mut outbound_tags,
    )?;
    let names = Names {
        inbounds: &inbound_tags,
        outbounds: &outbound_tags,
        sniffed: inbounds.iter().any(|inbound| inbound.sniffing.is_some()),
    };
    let router = routing::read(fields.get("routing"), &names, &mut notes)?;
    for key in ["observatory", "burstObservatory"] {
        observatory(fields.get(key), &mut notes);
    }
    fields.finish()?;

    let whole = Whole {
        root: &root.mark,
        inbounds: &inbounds,
        outbounds: &outbounds,
        reverse: &reverse,
        router: &router,
        inbound_tags: &inbound_tags,
        outbound_tags: &outbound_tags,
    };
    whole.warn(&mut notes);
    Ok(Plan {
        log,
        control,
        metrics,
        inbounds,
        outbounds,
        router,
        listeners: policy.inbounds(),
        drain: policy.drain(),
        mux: policy.mux().clone(),
        bridges: reverse.bridges,
        portals: reverse.portals,
        warnings: notes.into_lines(),
    })
}

/// What balancers of V2Ray 5 and Xray go by. Ours ask their outbounds.
fn observatory(node: Option<&Node>, notes: &mut Notes) {
    if let Some(node) = node.filter(|node| !node.is_empty()) {
        notes.add(&node.mark, OUTBOUNDS_TELL);
    }
}

const OUTBOUNDS_TELL: &str = "has no effect: nothing is probed, and balancers go by the connections \
                              that their outbounds make";

fn entries<T>(
    nodes: &[Node],
    read: impl FnMut(&Node) -> Result<T, ConfigError>,
) -> Result<Vec<T>, ConfigError> {
    nodes.iter().map(read).collect()
}
