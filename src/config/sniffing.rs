//! `sniffing` of an inbound (section 5.4).

use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::read::{Fields, Keys};
use super::value::Item;
use super::words::quoted;
use crate::net::{Address, Domain};
use crate::sniff::SniffingOptions;

const SNIFFING: Keys = Keys {
    known: &["enabled", "destOverride", "domainsExcluded", "routeOnly"],
    unsupported: &[
        ("metadataOnly", "what is found out is in the payload alone"),
        ("ipsExcluded", ""),
    ],
};

/// What `destOverride` may name.
#[derive(Clone, Copy)]
enum Source {
    Http,
    Tls,
    /// Xray's, for datagrams.
    Quic,
    FakeDns,
}

const SOURCES: [(&str, Source); 5] = [
    ("http", Source::Http),
    ("tls", Source::Tls),
    ("quic", Source::Quic),
    ("fakedns", Source::FakeDns),
    ("fakedns+others", Source::FakeDns),
];

/// Reads the object; `None` if there is none, or it is not enabled.
pub(super) fn read(node: Option<&Node>, notes: &Notes) -> Option<SniffingOptions> {
    let fields = Fields::open_leniently(node?, &SNIFFING, notes)?;
    let mut options = SniffingOptions {
        route_only: fields.flag("routeOnly"),
        excluded: fields.each("domainsExcluded", name),
        ..SniffingOptions::default()
    };
    let enabled = fields.flag("enabled");
    fields.each("destOverride", |item| {
        match item.choice("protocol", &SOURCES)? {
            Source::Http => options.http = true,
            Source::Tls => options.tls = true,
            Source::Quic if enabled => notes.add(&item.node.mark, NO_QUIC),
            Source::FakeDns if enabled => return Err(no_fake_dns(item)),
            Source::Quic | Source::FakeDns => {}
        }
        Ok(())
    });
    if enabled {
        fields.refuse_unsupported();
    }
    enabled.then_some(options)
}

fn name(item: Item<'_>) -> Result<Domain, ConfigError> {
    match item.text.to_ascii_lowercase().parse() {
        Ok(Address::Domain(name)) => Ok(name),
        _ => Err(item
            .error(format!("{} is no host name", quoted(item.text)))
            .help("only whole names can be excluded")),
    }
}

fn no_fake_dns(item: Item<'_>) -> ConfigError {
    item.error(format!("{} is not supported by muxcool", quoted(item.text)))
        .help("use \"http\" and \"tls\"")
}

const NO_QUIC: &str = "\"quic\" changes nothing: only streams are sniffed, not datagrams";
