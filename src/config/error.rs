use std::fmt;
use std::io;
use std::sync::Arc;

/// Where in the configuration something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file's name, as it was given.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The keys that lead there, such as `inbounds[0].settings.clients[1].id`;
    /// empty for the whole.
    pub path: String,
}

/// Why a configuration cannot be used: one line that says where, what is
/// wrong, and as far as it is known what would be right.
#[derive(Debug)]
pub struct ConfigError {
    origin: Origin,
    what: String,
    help: Option<String>,
    source: Option<io::Error>,
    passing: bool,
}

#[derive(Debug)]
enum Origin {
    File(Arc<str>),
    Place(Place),
}

impl ConfigError {
    /// Something is wrong at `place`.
    pub fn at(place: Place, what: impl Into<String>) -> Self {
        Self {
            origin: Origin::Place(place),
            what: what.into(),
            help: None,
            source: None,
            passing: false,
        }
    }

    /// The file as a whole cannot be used.
    pub(super) fn file(name: &str, what: impl Into<String>) -> Self {
        Self {
            origin: Origin::File(name.into()),
            what: what.into(),
            help: None,
            source: None,
            passing: false,
        }
    }

    /// The file could not be read.
    pub(super) fn unreadable(name: &str, source: io::Error) -> Self {
        Self {
            source: Some(source),
            ..Self::file(name, "cannot read the configuration")
        }
    }

    /// Adds what would be right.
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says that it is not the file that is wrong, and that the same may be had
    /// at another time, such as a port that is taken.
    pub fn passing(mut self) -> Self {
        self.passing = true;
        self
    }

    /// Whether the same may be had at another time.
    pub fn is_passing(&self) -> bool {
        self.passing
    }

    /// The name of the file.
    pub fn file_name(&self) -> &str {
        match &self.origin {
            Origin::File(name) => name,
            Origin::Place(place) => &place.file,
        }
    }

    /// Where the mistake is, unless it is the file as a whole.
    pub fn place(&self) -> Option<&Place> {
        match &self.origin {
            Origin::File(_) => None,
            Origin::Place(place) => Some(place),
        }
    }

    /// What is wrong, without its place.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What would be right, if that is known.
    pub fn suggestion(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

/// `config.json:12:17: routing.rules[0].outboundTag`
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        Ok(())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::File(name) => write!(f, "{name}: {}", self.what)?,
            Origin::Place(place) => write!(f, "{place}: {}", self.what)?,
        }
        if let Some(help) = &self.help {
            write!(f, "; {help}")?;
        }
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
