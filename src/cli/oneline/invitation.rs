use std::fmt;
use std::net::IpAddr;

use super::token::{PLACEHOLDER, Token};
use crate::cli::failure::Failure;
use crate::net::Address;

/// What is printed for the other machine.
pub(super) struct Invitation {
    /// Tag of the inbound to which the token leads.
    pub(super) entrance: &'static str,
    pub(super) command: &'static str,
    /// The rest of the command, after the token.
    pub(super) rest: String,
    /// What is to be said of the rest.
    pub(super) hint: &'static str,
    pub(super) token: Token,
}

impl Invitation {
    /// The same with the port that was got.
    pub(super) fn at(self, port: u16) -> Self {
        let token = Token { port, ..self.token };
        Self { token, ..self }
    }
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command,
            rest,
            token,
            hint,
            ..
        } = self;
        let place = match token.hosts.is_empty() {
            true => format!("@{PLACEHOLDER}"),
            false => String::new(),
        };
        writeln!(f, "On the other machine:\n")?;
        writeln!(f, "    {command} {token}{place}{rest}\n")?;
        if !place.is_empty() {
            writeln!(f, "{NO_HOST}")?;
        }
        if token.hosts.iter().all(is_loopback) && place.is_empty() {
            writeln!(f, "{LOOPBACK}")?;
        }
        writeln!(f, "{hint}")?;
        f.write_str("Keep the token secret: whoever has it can do the same.")
    }
}

const NO_HOST: &str = "Put in this machine's name or address for HOST, as the other machine \
                       reaches it; --host here does that.";
const LOOPBACK: &str = "No other machine can reach this one by its loopback address.";

/// Where this machine is to be dialled: as it was told, or else where it
/// listens; nothing if that says nothing.
pub(super) fn hosts(given: &[String], listens_on: IpAddr) -> Result<Vec<Address>, Failure> {
    if given.is_empty() {
        let known = (!listens_on.is_unspecified()).then(|| listens_on.into());
        return Ok(known.into_iter().collect());
    }
    let host = |text: &String| {
        let wrong = || format!("--host {text:?} is no name or address (a port is not part of it)");
        text.parse().map_err(|_| Failure::Usage(wrong()))
    };
    given.iter().map(host).collect()
}

fn is_loopback(host: &Address) -> bool {
    host.ip().is_some_and(|ip| ip.is_loopback())
}
