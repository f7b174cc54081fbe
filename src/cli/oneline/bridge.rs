//! `muxcool bridge`.

use super::OneLiner;
use super::args::BridgeArgs;
use super::forms::Serve;
use super::json::{Json, object};
use super::pieces::{self, TUNNEL};
use super::token::{Purpose, Token};
use super::tokens;
use crate::cli::failure::Failure;
use crate::reverse::Announcement;

pub(super) fn make(args: &BridgeArgs) -> Result<OneLiner, Failure> {
    let tokens = tokens::read(&args.tokens, Purpose::Bridge)?;
    check_services(&args.serve, &tokens)?;
    Ok(OneLiner {
        name: "muxcool bridge",
        json: configuration(args, &tokens),
        notes: notes(&args.serve, &tokens),
        invitation: None,
    })
}

fn check_services(serve: &[Serve], tokens: &[Token]) -> Result<(), Failure> {
    if serve.is_empty() {
        let names = published(tokens).map(|name| format!(" --serve {name}=HOST:PORT"));
        let mut names: String = names.collect();
        if names.is_empty() {
            names = " --serve NAME=HOST:PORT".into();
        }
        let what = format!("say where the services are:{names}");
        return Err(Failure::Usage(what));
    }
    for (index, one) in serve.iter().enumerate() {
        if serve[..index].iter().any(|other| other.name == one.name) {
            let what = format!("--serve {} is given twice", one.name);
            return Err(Failure::Usage(what));
        }
    }
    let announcement = Announcement {
        services: serve.iter().map(|one| one.name.clone()).collect(),
        standby: true,
    };
    match announcement.fits(TUNNEL) {
        true => Ok(()),
        false => Err(Failure::Usage(
            "these services' names are too long for one bridge: start two".into(),
        )),
    }
}

/// Names that the portals had when they made the tokens.
fn published(tokens: &[Token]) -> impl Iterator<Item = &str> {
    let services = tokens.iter().flat_map(|token| &token.services);
    services.map(String::as_str)
}

/// What does not fit together, as far as the tokens tell.
fn notes(serve: &[Serve], tokens: &[Token]) -> Vec<String> {
    let names: Vec<&str> = published(tokens).collect();
    let unknown = serve
        .iter()
        .filter(|one| !names.contains(&one.name.as_str()));
    let note = |one: &Serve| {
        let name = &one.name;
        let known = names.join(", ");
        format!(
            "--serve {name}: no portal had a service of that name when it made its token, only \
             {known}; visitors come if it has one now"
        )
    };
    unknown.map(note).collect()
}

fn configuration(args: &BridgeArgs, tokens: &[Token]) -> Json {
    let tags: Vec<String> = tokens.iter().map(Token::place).collect();
    let mut parts = Vec::new();
    if let Some(most) = args.max_conns {
        let most = Json::Number(most.into());
        parts.push(("policy", object! { "mux": object! { "allSessions": most } }));
    }
    let bridges: Json = tags.iter().map(|tag| bridge(tag, args)).collect();
    parts.extend([
        ("reverse", object! { "bridges": bridges }),
        ("outbounds", Json::List(outbounds(args, tokens))),
        (
            "routing",
            object! { "rules": Json::List(rules(&args.serve, &tags)) },
        ),
    ]);
    pieces::configuration(parts)
}

/// A bridge is called after its portal, and so is the way there.
fn way_tag(bridge: &str) -> String {
    format!("portal {bridge}")
}

fn bridge(tag: &str, args: &BridgeArgs) -> Json {
    let names = args.serve.iter().map(|one| &one.name);
    let mut members = vec![
        ("tag", tag.into()),
        ("domain", TUNNEL.into()),
        ("services", Json::texts(names)),
    ];
    if args.standby {
        members.push(("standby", Json::Flag(true)));
    }
    // Of a name any address, for it may have another one tomorrow.
    let allowed = args.serve.iter().map(|one| match one.target.host.ip() {
        Some(_) => one.target.to_string(),
        None => format!(":{}", one.target.port),
    });
    members.push(("allowTargets", Json::texts(allowed)));
    Json::Object(members)
}

fn outbounds(args: &BridgeArgs, tokens: &[Token]) -> Vec<Json> {
    let ways = tokens.iter().map(|token| {
        let tag = way_tag(&token.place());
        Json::Object(pieces::way_to(&tag, std::slice::from_ref(token)))
    });
    let services = args.serve.iter().map(|one| {
        let mut settings = vec![("redirect", Json::text(&one.target))];
        if let Some(version) = args.proxy_protocol {
            settings.push(("proxyProtocol", Json::Number(version as u64)));
        }
        object! {
            "tag": Json::text(one),
            "protocol": "freedom",
            "settings": Json::Object(settings),
        }
    });
    let nowhere = [pieces::nowhere()].into_iter();
    nowhere.chain(services).chain(ways).collect()
}

/// The bridges' own connections lead to their portals, what comes through them
/// to the services, and everything else nowhere.
fn rules(serve: &[Serve], tags: &[String]) -> Vec<Json> {
    let own = tags.iter().map(|tag| {
        let tunnel = Json::texts([format!("domain:{TUNNEL}")]);
        pieces::rule(
            std::slice::from_ref(tag),
            vec![("domain", tunnel)],
            &way_tag(tag),
        )
    });
    let services = serve.iter().map(|one| {
        let name = pieces::service(&one.name).host;
        let name = Json::texts([format!("full:{name}")]);
        pieces::rule(tags, vec![("domain", name)], &one.to_string())
    });
    own.chain(services).collect()
}
