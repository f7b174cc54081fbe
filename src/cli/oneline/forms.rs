//! The forms that arguments have.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use ipnet::IpNet;

use crate::net::Address;
use crate::reverse::Announcement;

/// Where to listen: `ADDRESS:PORT`, or `PORT` alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listen {
    /// The whole machine's, unless one is given.
    pub(super) ip: Option<IpAddr>,
    pub(super) port: u16,
}

/// A port for visitors of a service: `PORT=NAME` or `ADDRESS:PORT=NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Publish {
    pub(super) at: Listen,
    pub(super) name: String,
}

/// Where a service is: `NAME=HOST:PORT`, or `NAME=PORT` on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Serve {
    pub(super) name: String,
    pub(super) target: HostPort,
}

/// A local port and what is behind it: `PORT=HOST:PORT` or
/// `ADDRESS:PORT=HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Local {
    pub(super) at: Listen,
    pub(super) target: HostPort,
}

/// `HOST:PORT`, IPv6 in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPort {
    pub(super) host: Address,
    pub(super) port: u16,
}

/// What may be reached: a host or a range of addresses, with ports or without,
/// or ports alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allow {
    pub(super) hosts: Hosts,
    pub(super) ports: Option<RangeInclusive<u16>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hosts {
    All,
    Name(String),
    Range(IpNet),
}

/// What an argument should look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FormError(&'static str);

impl Listen {
    /// Its address, or else that one.
    pub(super) fn or(self, ip: IpAddr) -> SocketAddr {
        SocketAddr::new(self.ip.unwrap_or(ip), self.port)
    }

    /// Its address, or else all of this machine's.
    pub(super) fn or_all(self) -> SocketAddr {
        self.or(Ipv4Addr::UNSPECIFIED.into())
    }

    /// Its address, or else that which only this machine reaches.
    pub(super) fn or_loopback(self) -> SocketAddr {
        self.or(Ipv4Addr::LOCALHOST.into())
    }
}

impl FromStr for Listen {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        const WRONG: FormError =
            FormError("write ADDRESS:PORT or PORT, such as 0.0.0.0:8443, [::]:8443 or 8443");
        let (ip, port) = match text.rsplit_once(':') {
            Some((ip, port)) => (Some(listen_ip(ip).ok_or(WRONG)?), port),
            None => (None, text),
        };
        let port = port.parse().map_err(|_| WRONG)?;
        Ok(Self { ip, port })
    }
}

impl FromStr for Publish {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        const WRONG: FormError = FormError("write PORT=NAME, such as 8080=web");
        let (at, name) = text.split_once('=').ok_or(WRONG)?;
        let at = at.parse().map_err(|_| WRONG)?;
        let name = service_name(name)?;
        Ok(Self { at, name })
    }
}

impl FromStr for Serve {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        const WRONG: FormError = FormError("write NAME=HOST:PORT, such as web=127.0.0.1:80");
        let (name, target) = text.split_once('=').ok_or(WRONG)?;
        let name = service_name(name)?;
        let target = match target.parse() {
            Ok(port) if port != 0 => HostPort {
                host: Address::LOCALHOST,
                port,
            },
            _ => target.parse().map_err(|_| WRONG)?,
        };
        Ok(Self { name, target })
    }
}

impl fmt::Display for Serve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.target)
    }
}

impl FromStr for Local {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        const WRONG: FormError =
            FormError("write PORT=HOST:PORT, such as 5432=db.example.com:5432");
        let (at, target) = text.split_once('=').ok_or(WRONG)?;
        Ok(Self {
            at: at.parse().map_err(|_| WRONG)?,
            target: target.parse().map_err(|_| WRONG)?,
        })
    }
}

impl FromStr for HostPort {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        const WRONG: FormError = FormError("write HOST:PORT, with IPv6 in brackets");
        let (host, port) = text.rsplit_once(':').ok_or(WRONG)?;
        let host = host_of(host).ok_or(WRONG)?;
        match port.parse() {
            Ok(port) if port != 0 => Ok(Self { host, port }),
            _ => Err(WRONG),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Allow {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        const WRONG: FormError = FormError(
            "write HOST, HOST:PORT, RANGE:PORT-PORT or :PORT, such as db.example.com:5432, \
             10.0.0.0/8, [fd00::/8]:443 or :80-88",
        );
        if let Some(hosts) = hosts(text) {
            return Ok(Self { hosts, ports: None });
        }
        let (host, ports) = text.rsplit_once(':').ok_or(WRONG)?;
        let hosts = match host {
            "" => Hosts::All,
            _ if host.contains(':') && !host.starts_with('[') => return Err(WRONG),
            _ => hosts(host).ok_or(WRONG)?,
        };
        let ports = Some(port_range(ports).ok_or(WRONG)?);
        Ok(Self { hosts, ports })
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for FormError {}

fn listen_ip(text: &str) -> Option<IpAddr> {
    match text {
        "" => Some(Ipv4Addr::UNSPECIFIED.into()),
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        _ if text.contains(':') && !text.starts_with('[') => None,
        _ => text.parse::<Address>().ok()?.ip(),
    }
}

/// In front of a port IPv6 has brackets.
fn host_of(text: &str) -> Option<Address> {
    match text.contains(':') && !text.starts_with('[') {
        true => None,
        false => text.parse().ok(),
    }
}

fn service_name(text: &str) -> Result<String, FormError> {
    match Announcement::is_service(text) {
        true => Ok(text.to_owned()),
        false => Err(FormError(
            "a service's name has small letters, digits and hyphens, such as \"web\"",
        )),
    }
}

fn hosts(text: &str) -> Option<Hosts> {
    let inner = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    if let Ok(net) = inner.unwrap_or(text).parse() {
        return Some(Hosts::Range(net));
    }
    match text.parse().ok()? {
        Address::Ip(ip) => Some(Hosts::Range(ip.into())),
        Address::Domain(name) => Some(Hosts::Name(name.to_string())),
    }
}

fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range: RangeInclusive<u16> = first.parse().ok()?..=last.parse().ok()?;
    (!range.is_empty()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Option<String> {
        let listen = text.parse::<Listen>().ok()?;
        Some(listen.or_all().to_string())
    }

    #[test]
    fn places_to_listen() {
        let table = [
            ("8443", Some("0.0.0.0:8443")),
            (":8443", Some("0.0.0.0:8443")),
            ("127.0.0.1:0", Some("127.0.0.1:0")),
            ("localhost:1", Some("127.0.0.1:1")),
            ("[::1]:1", Some("[::1]:1")),
            ("::1", None),
            ("::1:1", None),
            ("example.com:1", None),
            ("1:65536", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(listen(text).as_deref(), expected, "{text}");
        }
        let private: Listen = "1080".parse().unwrap();
        assert_eq!(private.or_loopback().to_string(), "127.0.0.1:1080");
    }

    #[test]
    fn services_and_where_they_are() {
        let publish: Publish = "192.0.2.1:80=web".parse().unwrap();
        assert_eq!(
            (publish.at.or_all().to_string(), publish.name.as_str()),
            ("192.0.2.1:80".into(), "web")
        );
        for (text, shown) in [
            ("web=80", "web=127.0.0.1:80"),
            ("db-1=db.example.com:5432", "db-1=db.example.com:5432"),
            ("a=[::1]:1", "a=[::1]:1"),
        ] {
            assert_eq!(text.parse::<Serve>().unwrap().to_string(), shown);
        }
        for text in [
            "web", "web=", "=80", "Web=80", "web=0", "web=h:0", "a=::1:1",
        ] {
            assert!(text.parse::<Serve>().is_err(), "{text}");
        }
        for text in ["80", "80=", "x=web", "80=WEB"] {
            assert!(text.parse::<Publish>().is_err(), "{text}");
        }
        let local: Local = "5432=db:1".parse().unwrap();
        assert_eq!(local.at.or_loopback().to_string(), "127.0.0.1:5432");
        assert_eq!(local.target.to_string(), "db:1");
    }

    #[test]
    fn what_may_be_reached() {
        let range = |text: &str| Hosts::Range(text.parse().unwrap());
        let table = [
            ("db.example.com", Hosts::Name("db.example.com".into()), None),
            ("db:5432", Hosts::Name("db".into()), Some(5432..=5432)),
            ("10.0.0.0/8", range("10.0.0.0/8"), None),
            ("10.0.0.1:1-2", range("10.0.0.1/32"), Some(1..=2)),
            ("[fd00::/8]:443", range("fd00::/8"), Some(443..=443)),
            ("::1", range("::1/128"), None),
            (":80", Hosts::All, Some(80..=80)),
        ];
        for (text, hosts, ports) in table {
            assert_eq!(text.parse(), Ok(Allow { hosts, ports }), "{text}");
        }
        for text in ["", ":", "a b", "a:2-1", "a:x", "fd00::/8:443:x"] {
            assert!(text.parse::<Allow>().is_err(), "{text}");
        }
    }
}
