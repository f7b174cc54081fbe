//! `muxcool forward serve` and `muxcool forward dial`.

use super::OneLiner;
use super::args::{ForwardDialArgs, ForwardServeArgs};
use super::forms::{Allow, Hosts, Local};
use super::identity::Identity;
use super::invitation::{Invitation, hosts};
use super::json::{Json, object};
use super::pieces;
use super::token::{Purpose, Token};
use super::tokens;
use crate::cli::failure::Failure;
use crate::limits::MAX_CONCURRENCY;
use crate::net::Network;

/// Tags, which no local port's can be.
const CLIENTS: &str = "clients";
const DIRECT: &str = "direct";
const SOCKS: &str = "socks";

const ANYWHERE: &str = "whoever has the token gets wherever this machine gets: --allow sets bounds \
                        to that";

pub(super) fn serve(
    args: &ForwardServeArgs,
    unkept: &mut Option<Identity>,
) -> Result<OneLiner, Failure> {
    let at = args.listen.or_all();
    let hosts = hosts(&args.host.hosts, at.ip())?;
    let identity = Identity::open(&args.state, "forward", at.port(), &args.host.hosts, unkept)?;
    let entrance = pieces::entrance(CLIENTS, at, &identity);
    let direct = object! { "tag": DIRECT, "protocol": "freedom" };
    let json = pieces::configuration(vec![
        ("inbounds", Json::List(vec![entrance])),
        ("outbounds", Json::List(vec![pieces::nowhere(), direct])),
        ("routing", object! { "rules": rules(&args.allow) }),
    ]);
    let unbounded = args.allow.is_empty().then(|| ANYWHERE.to_owned());
    Ok(OneLiner {
        name: "muxcool forward serve",
        json,
        notes: unbounded.into_iter().collect(),
        invitation: Some(Invitation {
            entrance: CLIENTS,
            command: "muxcool forward dial",
            rest: " --socks 127.0.0.1:1080".into(),
            hint: "Instead of a SOCKS proxy, or beside it: --local PORT=HOST:PORT.",
            token: Token {
                purpose: Purpose::Forward,
                id: identity.id,
                pin: identity.pin,
                hosts,
                port: at.port(),
                services: Vec::new(),
            },
        }),
    })
}

fn rules(allow: &[Allow]) -> Json {
    if allow.is_empty() {
        return Json::List(vec![pieces::rule(&[CLIENTS], Vec::new(), DIRECT)]);
    }
    let rule = |allow| pieces::rule(&[CLIENTS], conditions(allow), DIRECT);
    allow.iter().map(rule).collect()
}

fn conditions(allow: &Allow) -> Vec<(&'static str, Json)> {
    let hosts = match &allow.hosts {
        Hosts::All => None,
        Hosts::Name(name) => Some(("domain", Json::texts([format!("full:{name}")]))),
        Hosts::Range(net) => Some(("ip", Json::texts([net]))),
    };
    let ports = allow.ports.iter().map(|ports| {
        let ports = format!("{}-{}", ports.start(), ports.end());
        ("port", Json::text(ports))
    });
    hosts.into_iter().chain(ports).collect()
}

pub(super) fn dial(args: &ForwardDialArgs) -> Result<OneLiner, Failure> {
    let tokens = tokens::read(&args.tokens, Purpose::Forward)?;
    let inbounds = inbounds(args);
    if inbounds.is_empty() {
        let help = "nothing to do: give --socks PORT, or --local PORT=HOST:PORT";
        return Err(Failure::Usage(help.into()));
    }
    let places: Vec<String> = tokens.iter().map(Token::place).collect();
    let mut way = pieces::way_to(&places.join(", "), &tokens);
    let concurrency = Json::Number(MAX_CONCURRENCY.into());
    way.push((
        "mux",
        object! { "enabled": Json::Flag(true), "concurrency": concurrency },
    ));
    let json = pieces::configuration(vec![
        ("inbounds", Json::List(inbounds)),
        ("outbounds", Json::List(vec![Json::Object(way)])),
    ]);
    Ok(OneLiner {
        name: "muxcool forward dial",
        json,
        notes: Vec::new(),
        invitation: None,
    })
}

fn inbounds(args: &ForwardDialArgs) -> Vec<Json> {
    let mut inbounds = Vec::new();
    if let Some(listen) = args.socks {
        let at = listen.or_loopback();
        inbounds.push(object! {
            "tag": SOCKS,
            "listen": Json::text(at.ip()),
            "port": at.port(),
            "protocol": "socks",
            "settings": object! { "udp": Json::Flag(true) },
        });
    }
    let mut tags: Vec<String> = Vec::new();
    let mut open = |local: &Local, network| {
        let at = local.at.or_loopback();
        let name = local.target.to_string();
        let tag = pieces::door_tag(&tags, &name, network, at.port());
        inbounds.push(pieces::door(&tag, at, &local.target, network));
        tags.push(tag);
    };
    args.local.iter().for_each(|l| open(l, Network::Tcp));
    args.local_udp.iter().for_each(|l| open(l, Network::Udp));
    inbounds
}
