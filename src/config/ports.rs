//! Ports and ranges of them.

use std::ops::RangeInclusive;

use super::error::ConfigError;
use super::json::{Node, Value};
use super::words::quoted;
use crate::limits::MAX_PORT_RANGE;

impl Node {
    /// The ports of an inbound: a number, `"N"`, `"A-B"`, or `"env:NAME"` for
    /// the text of an environment variable. 0 alone means any free port.
    pub(super) fn listen_ports(&self) -> Result<RangeInclusive<u16>, ConfigError> {
        let ports = match &self.value {
            Value::String(text) => self.range(text, &environment)?,
            Value::Number(_) => self.single()?,
            _ => return Err(self.unexpected("a port, or a range such as \"1000-1010\"")),
        };
        if *ports.start() == 0 && *ports.end() > 0 {
            return Err(self.error("a range cannot start at port 0"));
        }
        if ports.len() > MAX_PORT_RANGE {
            return Err(self
                .error(format!("{} ports are too many", ports.len()))
                .help(format!("use at most {MAX_PORT_RANGE}")));
        }
        Ok(ports)
    }

    /// The ports of a rule: a number, or a list such as `"53,443,1000-2000"`.
    pub(super) fn port_list(&self) -> Result<Vec<RangeInclusive<u16>>, ConfigError> {
        match &self.value {
            Value::String(text) => {
                let entries = text.split(',').map(str::trim).filter(|e| !e.is_empty());
                entries.map(|e| self.range(e, &environment)).collect()
            }
            // As a number V2Ray takes 0 for "no such condition met, ever".
            Value::Number(_) => Ok(vec![self.port().map(|port| port..=port)?]),
            _ => Err(self.unexpected("a port, or a string such as \"53,1000-2000\"")),
        }
    }

    fn single(&self) -> Result<RangeInclusive<u16>, ConfigError> {
        let port = self.whole(0..=i64::from(u16::MAX))? as u16;
        Ok(port..=port)
    }

    fn range(
        &self,
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<RangeInclusive<u16>, ConfigError> {
        let Some(name) = text.strip_prefix("env:") else {
            return self.plain_range(text);
        };
        match environment(name) {
            Some(text) => self.plain_range(&text),
            None => {
                let what = format!("the environment variable {} is not set", quoted(name));
                Err(self.error(what))
            }
        }
    }

    /// `"N"` or `"A-B"`.
    pub(super) fn plain_range(&self, text: &str) -> Result<RangeInclusive<u16>, ConfigError> {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let (from, to) = (self.port_text(from)?, self.port_text(to)?);
        if from > to {
            return Err(self
                .error(format!("the range {from}-{to} is reversed"))
                .help(format!("use \"{to}-{from}\"")));
        }
        Ok(from..=to)
    }

    fn port_text(&self, text: &str) -> Result<u16, ConfigError> {
        text.parse().map_err(|_| {
            self.error(format!("{} is no port", quoted(text)))
                .help("use 0 to 65535")
        })
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::super::json::parse;
    use super::*;

    #[test]
    fn ports_of_inbounds() {
        let cases = [
            ("80", Ok(80..=80)),
            ("0", Ok(0..=0)),
            ("\"80\"", Ok(80..=80)),
            ("\"80-90\"", Ok(80..=90)),
            ("\"90-80\"", Err("the range 90-80 is reversed")),
            ("\"0-9\"", Err("a range cannot start at port 0")),
            ("\"1-65535\"", Err("65535 ports are too many")),
            ("65536", Err("65536 is out of range")),
            ("-1", Err("-1 is out of range")),
            ("80.5", Err("expected a whole number, found 80.5")),
            ("\"80,90\"", Err("\"80,90\" is no port")),
            ("\" 80\"", Err("\" 80\" is no port")),
            (
                "[80]",
                Err("expected a port, or a range such as \"1000-1010\", found an array"),
            ),
            (
                "\"env:MUXCOOL_NO_SUCH_VARIABLE\"",
                Err("the environment variable \"MUXCOOL_NO_SUCH_VARIABLE\" is not set"),
            ),
        ];
        for (text, wanted) in cases {
            let ports = parse("f", text).unwrap().listen_ports();
            assert_eq!(
                ports.as_ref().map_err(ConfigError::what),
                wanted.as_ref().map_err(|e| *e)
            );
        }
    }

    #[test]
    fn ports_of_rules() {
        let read = |text: &str| parse("f", text).unwrap().port_list();
        assert_eq!(read("53").unwrap(), [53..=53]);
        assert_eq!(read("\"0\"").unwrap(), [0..=0]);
        assert_eq!(
            read("\" 53, 443 ,1000-2000,\"").unwrap(),
            [53..=53, 443..=443, 1000..=2000]
        );
        assert!(read("0").is_err());
        assert!(read("[53]").is_err());
    }

    #[test]
    fn a_port_may_come_from_the_environment() {
        let node = parse("f", "\"\"").unwrap();
        let environment = |name: &str| (name == "P").then(|| "8080".to_owned());
        assert_eq!(node.range("env:P", &environment).unwrap(), 8080..=8080);
        assert!(node.range("env:Q", &environment).is_err());
    }
}
