//! `reverse`: bridges and portals (section 9).

use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::read::{Fields, Keys};
use super::tags::{AllTags, Tags, entries};
use super::targets;
use super::words::quoted;
use crate::limits::{CONTROL_DOMAINS, MUX_DOMAIN};
use crate::mux::CarrierOptions;
use crate::net::Address;
use crate::reverse::{Announcement, BridgeOptions, PortalOptions};

const REVERSE: Keys = Keys {
    known: &["bridges", "portals"],
    unsupported: &[],
};

const BRIDGE: Keys = Keys {
    known: &["tag", "domain", "allowTargets", "services", "standby"],
    unsupported: &[],
};

const PORTAL: Keys = Keys {
    known: &["tag", "domain", "controlDomain", "services"],
    unsupported: &[],
};

/// Both ends of reverse tunnels, if there are any.
#[derive(Default)]
pub(super) struct Reverse {
    pub(super) bridges: Vec<BridgeOptions>,
    pub(super) portals: Vec<PortalOptions>,
}

/// Reads `reverse`. The tags of bridges are inbounds', those of portals
/// outbounds'; the carriers of all have the same settings.
pub(super) fn read(
    node: Option<&Node>,
    carrier: &CarrierOptions,
    tags: &mut AllTags,
    notes: &Notes,
) -> Reverse {
    let Some(node) = node else {
        return Reverse::default();
    };
    let Some(fields) = Fields::open(node, &REVERSE, notes) else {
        tags.doubt();
        return Reverse::default();
    };
    if fields.has_unknown() {
        tags.doubt();
    }
    Reverse {
        bridges: entries(&fields, "bridges", &mut tags.inbounds, |node, tags| {
            bridge(node, carrier, tags, notes)
        })
        .all,
        portals: entries(&fields, "portals", &mut tags.outbounds, |node, tags| {
            portal(node, carrier, tags, notes)
        })
        .all,
    }
}

fn bridge(
    node: &Node,
    carrier: &CarrierOptions,
    tags: &mut Tags,
    notes: &Notes,
) -> Option<BridgeOptions> {
    let fields = Fields::open(node, &BRIDGE, notes)?;
    let (tag, domain) = (tag(&fields, tags), fields.need("domain", domain));
    let allowed = fields.get("allowTargets");
    let allowed = allowed.map(|node| targets::read(node, notes));
    let announcement = Announcement {
        services: services(&fields),
        standby: fields.flag("standby"),
    };
    let mut bridge = BridgeOptions::new(tag?, domain?);
    check_announcement(&fields, &announcement, &bridge.domain);
    bridge.allow_targets = allowed;
    bridge.announcement = announcement;
    bridge.carrier = carrier.clone();
    Some(bridge)
}

fn portal(
    node: &Node,
    carrier: &CarrierOptions,
    tags: &mut Tags,
    notes: &Notes,
) -> Option<PortalOptions> {
    let fields = Fields::open(node, &PORTAL, notes)?;
    let (tag, domain) = (tag(&fields, tags), fields.need("domain", domain));
    let services = services(&fields);
    let control = fields.read("controlDomain", |node| {
        node.choice("control domain", &CONTROL_DOMAINS.map(|name| (name, name)))
    });
    let mut portal = PortalOptions::new(tag?, domain?);
    portal.services = services;
    portal.carrier = carrier.clone();
    if let Some(control) = control {
        portal.control_domain = control.into();
    }
    Some(portal)
}

/// What a bridge says of itself has to fit into a name.
fn check_announcement(fields: &Fields<'_>, announcement: &Announcement, domain: &str) {
    if let Some(node) = fields.get("services")
        && !announcement.fits(domain)
    {
        let error = node.error("the names are too long to be announced together");
        let help = "use shorter ones, or a bridge for each half";
        fields.notes().blame(error.help(help));
    }
}

/// Names of services, each a label.
fn services(fields: &Fields<'_>) -> Vec<String> {
    fields.each("services", |item| {
        match Announcement::is_service(item.text) {
            true => Ok(item.text.to_owned()),
            false => Err(item
                .error(format!("{} is no name of a service", quoted(item.text)))
                .help("use small letters, digits and hyphens")),
        }
    })
}

fn tag(fields: &Fields<'_>, tags: &mut Tags) -> Option<String> {
    fields.need("tag", |node| {
        let tag = tags.add(Some(node))?;
        match tag.is_empty() {
            true => Err(node
                .error("an empty tag")
                .help("rules need one to name this")),
            false => Ok(tag.to_string()),
        }
    })
}

/// A name that reaches the other side unchanged and means nothing else there.
fn domain(node: &Node) -> Result<String, ConfigError> {
    let text = node.string()?;
    let reserved = || CONTROL_DOMAINS.contains(&text) || text == MUX_DOMAIN;
    let what = match text.parse() {
        _ if text.is_empty() => "an empty domain".to_owned(),
        Ok(Address::Domain(_)) if reserved() => {
            format!("{} has a meaning of its own", quoted(text))
        }
        Ok(Address::Domain(_)) => return Ok(text.to_owned()),
        _ => format!("{} is no name", quoted(text)),
    };
    Err(node
        .error(what)
        .help("make one up that portal and bridge share, such as \"tunnel.example.com\""))
}
