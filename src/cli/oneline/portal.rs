//! `muxcool portal`.

use std::net::SocketAddr;

use super::OneLiner;
use super::args::PortalArgs;
use super::forms::{HostPort, Publish, Serve};
use super::identity::Identity;
use super::invitation::{Invitation, hosts};
use super::json::{Json, object};
use super::pieces::{self, TUNNEL};
use super::token::{Purpose, Token};
use crate::cli::failure::Failure;
use crate::net::{Address, Network};

/// Tags, which no service's can be.
const BRIDGES: &str = "bridges";
const PORTAL: &str = "portal";

/// Where services of these names mostly are.
const WELL_KNOWN: [(&str, u16); 5] = [
    ("web", 80),
    ("http", 80),
    ("https", 443),
    ("ssh", 22),
    ("dns", 53),
];

pub(super) fn make(args: &PortalArgs) -> Result<OneLiner, Failure> {
    let doors = doors(args);
    if doors.is_empty() {
        let help = "nothing is published: say what visitors get to, such as --publish 8080=web";
        return Err(Failure::Usage(help.into()));
    }
    let at = args.listen.or_all();
    let hosts = hosts(&args.host.hosts, at.ip())?;
    let identity = Identity::open(&args.state, "portal", at.port(), &args.host.hosts)?;
    let services = names(&doors);
    let json = configuration(at, &doors, &services, &identity);
    Ok(OneLiner {
        name: "muxcool portal",
        json,
        notes: Vec::new(),
        invitation: Some(Invitation {
            entrance: BRIDGES,
            command: "muxcool bridge",
            rest: serve_examples(&doors),
            hint: "The addresses behind --serve are guesses: put in where the services are.",
            token: Token {
                purpose: Purpose::Bridge,
                id: identity.id,
                pin: identity.pin,
                hosts,
                port: at.port(),
                services,
            },
        }),
    })
}

/// A port for the visitors of a service.
struct Door {
    name: String,
    network: Network,
    at: SocketAddr,
}

fn doors(args: &PortalArgs) -> Vec<Door> {
    let ip = args.listen.or_all().ip();
    let door = |publish: &Publish, network| Door {
        name: publish.name.clone(),
        network,
        at: publish.at.or(ip),
    };
    let streams = args.publish.iter().map(|p| door(p, Network::Tcp));
    let datagrams = args.publish_udp.iter().map(|p| door(p, Network::Udp));
    streams.chain(datagrams).collect()
}

/// Each once, in their order.
fn names(doors: &[Door]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for door in doors {
        if !names.contains(&door.name) {
            names.push(door.name.clone());
        }
    }
    names
}

fn configuration(at: SocketAddr, doors: &[Door], services: &[String], identity: &Identity) -> Json {
    let mut tags: Vec<String> = Vec::new();
    let mut inbounds = vec![pieces::entrance(BRIDGES, at, identity)];
    for door in doors {
        let tag = pieces::door_tag(&tags, &door.name, door.network, door.at.port());
        let target = pieces::service(&door.name);
        inbounds.push(pieces::door(&tag, door.at, &target, door.network));
        tags.push(tag);
    }
    let portal = object! { "tag": PORTAL, "domain": TUNNEL, "services": Json::texts(services) };
    let tunnel = Json::texts([format!("domain:{TUNNEL}")]);
    let rules = vec![
        pieces::rule(&tags, Vec::new(), PORTAL),
        pieces::rule(&[BRIDGES], vec![("domain", tunnel)], PORTAL),
    ];
    pieces::configuration(vec![
        ("inbounds", Json::List(inbounds)),
        ("outbounds", Json::List(vec![pieces::nowhere()])),
        ("reverse", object! { "portals": Json::List(vec![portal]) }),
        ("routing", object! { "rules": Json::List(rules) }),
    ])
}

/// A bridge on the services' own machine, as it mostly is.
fn serve_examples(doors: &[Door]) -> String {
    let example = |name: String| {
        let known = WELL_KNOWN.iter().find(|(known, _)| *known == name);
        let published = doors.iter().find(|door| door.name == name);
        let port = match (known, published) {
            (Some((_, port)), _) => *port,
            (None, Some(door)) if door.at.port() != 0 => door.at.port(),
            _ => 80,
        };
        let host = Address::LOCALHOST;
        let target = HostPort { host, port };
        let serve = Serve { name, target };
        format!(" --serve {serve}")
    };
    names(doors).into_iter().map(example).collect()
}
