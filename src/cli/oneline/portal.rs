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

pub(super) fn make(args: &PortalArgs, unkept: &mut Option<Identity>) -> Result<OneLiner, Failure> {
    let doors = doors(args);
    if doors.is_empty() {
        let help = "nothing is published: say what visitors get to, such as --publish 8080=web";
        return Err(Failure::Usage(help.into()));
    }
    let at = args.listen.or_all();
    check_ports(at, &doors)?;
    let hosts = hosts(&args.host.hosts, at.ip())?;
    let identity = Identity::open(&args.state, "portal", at.port(), &args.host.hosts, unkept)?;
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

/// Who of this command has an address cannot be told from another program that
/// has it once it is asked for.
fn check_ports(listen: SocketAddr, doors: &[Door]) -> Result<(), Failure> {
    let entrance = (Network::Tcp, listen);
    let taken: Vec<_> = std::iter::once(entrance)
        .chain(doors.iter().map(|door| (door.network, door.at)))
        .collect();
    for (index, door) in doors.iter().enumerate() {
        let others = &taken[..=index];
        let same = |(network, at): &(Network, SocketAddr)| {
            *network == door.network && overlap(*at, door.at)
        };
        if let Some(first) = others.iter().position(same) {
            let (port, name) = (door.at.port(), &door.name);
            let whose = match first {
                0 => "--listen".to_owned(),
                _ => format!("--publish of {}", doors[first - 1].name),
            };
            let what = format!("{port}={name}: {whose} has port {port} already, choose another");
            return Err(Failure::Usage(what));
        }
    }
    Ok(())
}

/// Whether one socket would be in the other's way.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (everywhere || one.ip() == other.ip())
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
