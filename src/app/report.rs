//! What a reload has changed.

use std::fmt;

use crate::escape::Escaped;

/// What a reload has changed, and what not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Where visitors come in.
    pub inbounds: Changes,
    /// Where connections go out.
    pub outbounds: Changes,
    /// Ends of reverse tunnels that visitors come to.
    pub portals: Changes,
    /// Ends of reverse tunnels that reach the services.
    pub bridges: Changes,
    /// Whether the rules, or their balancers, are others.
    pub rules: bool,
    /// Certificates of inbounds that stay, which were read again for their
    /// files have changed.
    pub certificates: usize,
    /// Whether something else is logged, or elsewhere.
    pub log: bool,
    /// Whether connections may go on for another time when the program stops.
    pub drain: bool,
    /// Whether monitors ask elsewhere.
    pub metrics: bool,
}

/// Tags of what was there before a reload or is there after it; empty ones are
/// of what has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Was not there before.
    pub added: Vec<String>,
    /// Was there with other settings.
    pub changed: Vec<String>,
    /// Is not there any more.
    pub removed: Vec<String>,
    /// Goes on as it was.
    pub kept: Vec<String>,
}

impl Report {
    /// Whether everything is as it was before.
    pub fn is_nothing(&self) -> bool {
        let parts = self.parts();
        let parts = parts.iter().all(|(_, changes)| changes.are_none());
        let others = self.others().iter().any(|(_, changed)| *changed);
        parts && !others && self.certificates == 0
    }

    fn others(&self) -> [(&'static str, bool); 4] {
        [
            ("rules changed", self.rules),
            ("log changed", self.log),
            ("drain changed", self.drain),
            ("metrics changed", self.metrics),
        ]
    }

    fn parts(&self) -> [(&'static str, &Changes); 4] {
        [
            ("inbounds", &self.inbounds),
            ("outbounds", &self.outbounds),
            ("portals", &self.portals),
            ("bridges", &self.bridges),
        ]
    }
}

impl Changes {
    /// Whether all that there was, and nothing else, is there.
    pub fn are_none(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }

    /// Whether there never was anything.
    fn are_of_nothing(&self) -> bool {
        self.are_none() && self.kept.is_empty()
    }
}

/// `inbounds: added [web], 2 kept; rules changed`
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all: Vec<String> = Vec::new();
        if self.is_nothing() {
            all.push("nothing has changed".into());
        }
        let parts = self.parts().into_iter();
        let parts = parts.filter(|(_, changes)| !changes.are_of_nothing());
        all.extend(parts.map(|(name, changes)| format!("{name}: {changes}")));
        let others = self.others().into_iter();
        all.extend(
            others
                .filter(|(_, changed)| *changed)
                .map(|(what, _)| what.into()),
        );
        if self.certificates > 0 {
            all.push(format!("certificates read again: {}", self.certificates));
        }
        f.write_str(&all.join("; "))
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            ("added", &self.added),
            ("changed", &self.changed),
            ("removed", &self.removed),
        ];
        let named = named.iter().filter(|(_, tags)| !tags.is_empty());
        let mut all: Vec<String> = named
            .map(|(what, tags)| format!("{what} {}", Tags(tags)))
            .collect();
        if !self.kept.is_empty() {
            all.push(format!("{} kept", self.kept.len()));
        }
        f.write_str(&all.join(", "))
    }
}

/// In brackets, as elsewhere in the log.
struct Tags<'a>(&'a [String]);

impl fmt::Display for Tags<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags = self.0.iter().enumerate();
        tags.into_iter().try_for_each(|(index, tag)| {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}[{}]", Escaped(tag.as_bytes()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(tags: &[&str]) -> Vec<String> {
        tags.iter().map(|tag| (*tag).to_owned()).collect()
    }

    #[test]
    fn it_names_what_is_another_and_counts_the_rest() {
        let report = Report {
            inbounds: Changes {
                added: tags(&["a\n", "b"]),
                changed: tags(&[""]),
                kept: tags(&["c", "d"]),
                ..Changes::default()
            },
            outbounds: Changes {
                kept: tags(&["out"]),
                ..Changes::default()
            },
            bridges: Changes {
                removed: tags(&["bridge"]),
                ..Changes::default()
            },
            rules: true,
            certificates: 2,
            log: true,
            ..Report::default()
        };
        let line = r"inbounds: added [a\x0a] [b], changed [], 2 kept; outbounds: 1 kept; bridges: removed [bridge]; rules changed; log changed; certificates read again: 2";
        assert_eq!(report.to_string(), line);
    }

    #[test]
    fn nothing_is_said_to_be_nothing() {
        let mut report = Report::default();
        assert!(report.is_nothing());
        assert_eq!(report.to_string(), "nothing has changed");
        report.outbounds.kept = tags(&["out"]);
        assert!(report.is_nothing());
        assert_eq!(report.to_string(), "nothing has changed; outbounds: 1 kept");
    }
}
