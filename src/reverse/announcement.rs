use crate::limits::MAX_DOMAIN;
use crate::net::Domain;

/// First labels of a name in which a bridge says something of itself.
const ANNOUNCES: &str = "_bridge";
const ANNOUNCES_STANDBY: &str = "_standby";

/// What a bridge says of itself when it comes: it asks for
/// `_bridge.web.ssh.DOMAIN` instead of `DOMAIN`, or `_standby.web.ssh.DOMAIN`.
/// So a portal knows who serves what, and both ends of V2Ray do without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announcement {
    /// Names of the services that it has, each one label; none stands for
    /// all that the portal has.
    pub services: Vec<String>,
    /// It is to be used only while there is no other in good health.
    pub standby: bool,
}

impl Announcement {
    /// The name that a bridge with something to say asks for; the domain
    /// itself for one with nothing to say.
    pub fn name(&self, domain: &str) -> String {
        if *self == Self::default() {
            return domain.to_owned();
        }
        let first = match self.standby {
            true => ANNOUNCES_STANDBY,
            false => ANNOUNCES,
        };
        let services = self.services.iter().map(String::as_str);
        let labels: Vec<&str> = [first].into_iter().chain(services).collect();
        format!("{}.{domain}", labels.join("."))
    }

    /// What somebody says of itself who asks for `name`; `None` if it does not
    /// want to be a bridge of `domain`.
    pub fn read(name: &str, domain: &str) -> Option<Self> {
        if name == domain {
            return Some(Self::default());
        }
        let labels = name.strip_suffix(domain)?.strip_suffix('.')?;
        let mut labels = labels.split('.');
        let standby = match labels.next()? {
            ANNOUNCES => false,
            ANNOUNCES_STANDBY => true,
            _ => return None,
        };
        Some(Self {
            services: labels.map(str::to_owned).collect(),
            standby,
        })
    }

    /// Whether it can be said in a name.
    pub fn fits(&self, domain: &str) -> bool {
        let is_label = |name: &String| Self::is_service(name);
        self.services.iter().all(is_label) && self.name(domain).len() <= MAX_DOMAIN
    }

    /// Whether `name` can be a service's: a label of small letters, digits and
    /// hyphens, of which the latter are not first.
    pub fn is_service(name: &str) -> bool {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        Domain::new(name).is_ok() && name.bytes().all(allowed) && !name.starts_with('-')
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DOMAIN: &str = "tunnel.example.com";

    fn announcement(services: &[&str], standby: bool) -> Announcement {
        Announcement {
            services: services.iter().map(|name| (*name).into()).collect(),
            standby,
        }
    }

    #[test]
    fn names_say_what_a_bridge_is() {
        let table = [
            (announcement(&[], false), "tunnel.example.com"),
            (announcement(&[], true), "_standby.tunnel.example.com"),
            (
                announcement(&["web", "ssh"], false),
                "_bridge.web.ssh.tunnel.example.com",
            ),
        ];
        for (announced, name) in table {
            assert_eq!(announced.name(DOMAIN), name);
            assert_eq!(Announcement::read(name, DOMAIN), Some(announced));
        }
    }

    #[test]
    fn neighbours_are_no_bridges() {
        for name in [
            "web.tunnel.example.com",
            "_bridge.example.com",
            "_bridgetunnel.example.com",
            "x_bridge.web.tunnel.example.com",
            "",
        ] {
            assert_eq!(Announcement::read(name, DOMAIN), None, "{name}");
        }
    }

    #[test]
    fn only_what_fits_into_a_name_can_be_said() {
        let long = "a".repeat(200);
        let cases: [(&[&str], bool); 6] = [
            (&["web", "a-1"], true),
            (&["Web"], false),
            (&["a.b"], false),
            (&["-a"], false),
            (&[""], false),
            (&[&long, &long], false),
        ];
        for (services, fits) in cases {
            assert_eq!(announcement(services, false).fits(DOMAIN), fits);
        }
    }

    proptest! {
        #[test]
        fn what_is_said_is_understood(
            services in prop::collection::vec("[a-z0-9][a-z0-9-]{0,9}", 0..8),
            standby: bool,
        ) {
            let announced = Announcement { services, standby };
            let read = Announcement::read(&announced.name(DOMAIN), DOMAIN);
            // One that serves "nothing" and one with nothing to say are the same.
            prop_assert_eq!(read, Some(announced));
        }

        #[test]
        fn no_name_is_a_panic(name: String) {
            if let Some(read) = Announcement::read(&name, DOMAIN) {
                prop_assert!(read == Announcement::default() || read.name(DOMAIN) == name || read.services.is_empty());
            }
        }
    }
}
