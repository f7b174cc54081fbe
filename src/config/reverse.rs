//! `reverse`: bridges and portals (section 9).

use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::read::{Fields, Keys};
use super::tags::{AllTags, Tags, entries};
use super::targets;
use super::value::Item;
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
    notes: &mut Notes,
) -> Reverse {
    let Some(node) = node else {
        return Reverse::default();
    };
    let Some(fields) = Fields::open_noting(node, &REVERSE, notes) else {
        tags.doubt();
        return Reverse::default();
    };
    if fields.has_unknown() {
        tags.doubt();
    }
    let (bridges, portals) = (fields.list("bridges"), fields.list("portals"));
    let reverse = Reverse {
        bridges: entries(bridges, &mut tags.inbounds, notes, |n, tags, _| {
            bridge(n, carrier, tags)
        }),
        portals: entries(portals, &mut tags.outbounds, notes, |n, tags, _| {
            portal(n, carrier, tags)
        }),
    };
    fields.finish_noting(notes);
    reverse
}

fn bridge(
    node: &Node,
    carrier: &CarrierOptions,
    tags: &mut Tags,
) -> Result<BridgeOptions, ConfigError> {
    let fields = Fields::open(node, &BRIDGE)?;
    let mut bridge = BridgeOptions::new(tag(&fields, tags)?, domain(fields.need("domain")?)?);
    bridge.allow_targets = fields.get("allowTargets").map(targets::read).transpose()?;
    bridge.announcement = announcement(&fields, &bridge.domain)?;
    bridge.carrier = carrier.clone();
    fields.finish()?;
    Ok(bridge)
}

fn portal(
    node: &Node,
    carrier: &CarrierOptions,
    tags: &mut Tags,
) -> Result<PortalOptions, ConfigError> {
    let fields = Fields::open(node, &PORTAL)?;
    let mut portal = PortalOptions::new(tag(&fields, tags)?, domain(fields.need("domain")?)?);
    portal.services = services(&fields)?;
    portal.carrier = carrier.clone();
    if let Some(control) = fields.get("controlDomain") {
        let names = CONTROL_DOMAINS.map(|name| (name, name));
        portal.control_domain = control.choice("control domain", &names)?.into();
    }
    fields.finish()?;
    Ok(portal)
}

/// What a bridge says of itself, if that can be said in a name.
fn announcement(fields: &Fields<'_>, domain: &str) -> Result<Announcement, ConfigError> {
    let announcement = Announcement {
        services: services(fields)?,
        standby: fields.flag("standby")?,
    };
    match fields.get("services") {
        Some(node) if !announcement.fits(domain) => Err(node
            .error("the names are too long to be announced together")
            .help("use shorter ones, or a bridge for each half")),
        _ => Ok(announcement),
    }
}

/// Names of services, each a label.
fn services(fields: &Fields<'_>) -> Result<Vec<String>, ConfigError> {
    let Some(node) = fields.get("services") else {
        return Ok(Vec::new());
    };
    let name = |item: Item<'_>| match Announcement::is_service(item.text) {
        true => Ok(item.text.to_owned()),
        false => Err(item
            .error(format!("{} is no name of a service", quoted(item.text)))
            .help("use small letters, digits and hyphens")),
    };
    node.strings()?.into_iter().map(name).collect()
}

fn tag(fields: &Fields<'_>, tags: &mut Tags) -> Result<String, ConfigError> {
    let node = fields.need("tag")?;
    let tag = tags.add(Some(node))?;
    match tag.is_empty() {
        true => Err(node
            .error("an empty tag")
            .help("rules need one to name this")),
        false => Ok(tag.to_string()),
    }
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
