//! What a single value may say.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::ConfigError;
use super::json::{Member, Node, Value};
use super::notes::Notes;
use super::words::{instead, quoted};
use crate::net::Address;

/// One string of a list.
#[derive(Clone, Copy)]
pub(super) struct Item<'a> {
    /// Its place; that of the whole list if that is written as `"a,b"`.
    pub(super) node: &'a Node,
    pub(super) text: &'a str,
}

/// The networks that a list names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Networks {
    pub(super) tcp: bool,
    pub(super) udp: bool,
}

impl Networks {
    /// The networks that a list names; none if it is not there.
    pub(super) fn read(list: Vec<Item<'_>>, notes: &Notes) -> Self {
        let mut networks = Self::default();
        for item in list {
            match notes.keep(item.choice("network", &[("tcp", true), ("udp", false)])) {
                Some(true) => networks.tcp = true,
                Some(false) => networks.udp = true,
                None => {}
            }
        }
        networks
    }
}

impl Node {
    pub(super) fn members(&self) -> Result<&[Member], ConfigError> {
        match &self.value {
            Value::Object(members) => Ok(members),
            _ => Err(self.unexpected("an object")),
        }
    }

    pub(super) fn elements(&self) -> Result<&[Node], ConfigError> {
        match &self.value {
            Value::Array(elements) => Ok(elements),
            Value::Object(_) => Err(self.unexpected("an array").help("put brackets around it")),
            _ => Err(self.unexpected("an array")),
        }
    }

    pub(super) fn string(&self) -> Result<&str, ConfigError> {
        match &self.value {
            Value::String(text) => Ok(text),
            Value::Number(_) | Value::Bool(_) => Err(self
                .unexpected("a string")
                .help("put double quotes around it")),
            _ => Err(self.unexpected("a string")),
        }
    }

    pub(super) fn boolean(&self) -> Result<bool, ConfigError> {
        let wrong = || self.unexpected("true or false");
        match &self.value {
            Value::Bool(value) => Ok(*value),
            Value::String(text) if matches!(text.as_str(), "true" | "false") => {
                Err(wrong().help("remove the quotes"))
            }
            _ => Err(wrong()),
        }
    }

    /// A whole number in `range`.
    pub(super) fn whole(&self, range: RangeInclusive<i64>) -> Result<i64, ConfigError> {
        match &self.value {
            Value::Number(text) => self.whole_of(text, range),
            Value::String(text) if text.parse::<i64>().is_ok() => {
                Err(self.unexpected("a number").help("remove the quotes"))
            }
            _ => Err(self.unexpected("a number")),
        }
    }

    fn whole_of(&self, text: &str, range: RangeInclusive<i64>) -> Result<i64, ConfigError> {
        if text.contains(['.', 'e', 'E']) {
            return Err(self.error(format!("expected a whole number, found {text}")));
        }
        let value = text.parse().ok().filter(|value| range.contains(value));
        value.ok_or_else(|| {
            self.error(format!("{} is out of range", shown(text)))
                .help(format!("use {} to {}", range.start(), range.end()))
        })
    }

    pub(super) fn uint32(&self) -> Result<u32, ConfigError> {
        self.whole(0..=i64::from(u32::MAX))
            .map(|value| value as u32)
    }

    /// A port that something can be reached at.
    pub(super) fn port(&self) -> Result<u16, ConfigError> {
        self.whole(1..=i64::from(u16::MAX))
            .map(|value| value as u16)
    }

    pub(super) fn seconds(&self) -> Result<Duration, ConfigError> {
        self.uint32().map(|s| Duration::from_secs(s.into()))
    }

    /// As [`seconds`](Self::seconds), where 0 would end everything at once.
    pub(super) fn some_seconds(&self) -> Result<Duration, ConfigError> {
        let seconds = self.seconds()?;
        if seconds.is_zero() {
            return Err(self
                .error("0 seconds would end every connection at once")
                .help("use 1 or more"));
        }
        Ok(seconds)
    }

    /// `["a", "b"]` or `"a,b"`; like V2Ray we trim nothing, but take no empty
    /// entry. What is wrong is noted, and left out.
    pub(super) fn items<'a>(&'a self, notes: &Notes) -> Vec<Item<'a>> {
        let mut items: Vec<Item<'_>> = match &self.value {
            Value::Array(elements) => elements
                .iter()
                .filter_map(|node| notes.keep(node.string().map(|text| Item { node, text })))
                .collect(),
            Value::String(text) => text
                .split(',')
                .map(|text| Item { node: self, text })
                .collect(),
            _ => {
                notes.blame(self.unexpected("an array of strings, or one string"));
                Vec::new()
            }
        };
        items.retain(|item| {
            let is_empty = item.text.is_empty();
            if is_empty {
                notes.blame(item.error("an empty entry"));
            }
            !is_empty
        });
        items
    }

    /// One of the names in `table`, in any case.
    pub(super) fn choice<T: Copy>(
        &self,
        what: &str,
        table: &[(&str, T)],
    ) -> Result<T, ConfigError> {
        let item = Item {
            node: self,
            text: self.string()?,
        };
        item.choice(what, table)
    }

    /// An IP address, with or without brackets, or a host name.
    pub(super) fn address(&self) -> Result<Address, ConfigError> {
        let text = self.string()?;
        text.parse().map_err(|_| {
            let help = match has_port(text) {
                true => "the port has a key of its own",
                false => "use an IP address or a host name",
            };
            self.error(format!("{} is no host", quoted(text)))
                .help(help)
        })
    }

    pub(super) fn ip(&self) -> Result<IpAddr, ConfigError> {
        let text = self.string()?;
        text.parse::<Address>()
            .ok()
            .and_then(|address| address.ip())
            .ok_or_else(|| self.error(format!("{} is no IP address", quoted(text))))
    }

    /// Whether it says no more than a missing value would.
    pub(super) fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null | Value::Bool(false) => true,
            Value::Bool(true) => false,
            Value::Number(text) => text == "0",
            Value::String(text) => text.is_empty(),
            Value::Array(elements) => elements.is_empty(),
            Value::Object(members) => members.iter().all(|member| member.value.is_empty()),
        }
    }
}

impl Item<'_> {
    pub(super) fn error(&self, what: impl Into<String>) -> ConfigError {
        self.node.error(what)
    }

    /// One of the names in `table`, in any case.
    pub(super) fn choice<T: Copy>(
        &self,
        what: &str,
        table: &[(&str, T)],
    ) -> Result<T, ConfigError> {
        let found = table
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(self.text));
        found.map(|(_, value)| *value).ok_or_else(|| {
            let error = self.error(format!("unknown {what} {}", quoted(self.text)));
            match instead(self.text, table.iter().map(|(name, _)| *name)) {
                Some(help) => error.help(help),
                None => error,
            }
        })
    }
}

/// Whether the text is a host, and a port behind it.
pub(super) fn has_port(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| host.parse::<Address>().is_ok() && port.parse::<u16>().is_ok())
}

/// A number as it is written, unless it is absurdly long.
fn shown(number: &str) -> &str {
    if number.len() > 24 {
        "the number"
    } else {
        number
    }
}
