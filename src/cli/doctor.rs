//! `muxcool test`: everything that is wrong, and what is probably not meant.

use std::fmt::{self, Display};
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use clap::builder::styling::{AnsiColor, Style};
use serde_json::{Value, json};

use super::args::SourceArgs;
use super::commands::say;
use super::failure::Failure;
use super::readers;
use crate::app::{App, StartError, expired_certificates};
use crate::config::{ConfigError, Diagnosis, Place, Plan, examine_all};
use crate::error::chain;

/// What `muxcool test` takes.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub(super) struct TestArgs {
    #[command(flatten)]
    pub(super) sources: SourceArgs,

    /// Print what is found as JSON, on one line
    #[arg(long)]
    pub(super) json: bool,
}

/// What was found in a configuration, by file and line.
#[derive(Debug, Default)]
pub(super) struct Findings {
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
}

#[derive(Debug)]
struct Finding {
    /// As a line of text.
    line: String,
    file: Option<String>,
    place: Option<Place>,
    what: String,
    help: Option<String>,
}

/// Prints what is found, and if nothing is wrong, that.
pub(super) fn test(args: &TestArgs) -> Result<(), Failure> {
    let paths = args.sources.paths()?;
    let diagnosis = examine_all(&paths);
    let findings = Findings::new(&diagnosis, &paths);
    if args.json {
        say(findings.to_json())?;
        return findings.verdict();
    }
    findings.print();
    if findings.errors.is_empty() {
        say("Configuration OK.")?;
    }
    findings.verdict()
}

/// The plan, with its warnings.
///
/// # Errors
/// [`Failure::Unsound`] with all that is wrong.
pub(super) fn load(sources: &SourceArgs) -> Result<Plan, Failure> {
    let (diagnosis, mut plan) = load_diagnosed(sources)?;
    drop(diagnosis);
    let paths = sources.paths()?;
    plan.warnings.extend(of_files(&paths, &plan));
    Ok(plan)
}

/// The same with what tells where its rules stand.
pub(super) fn load_diagnosed(sources: &SourceArgs) -> Result<(Diagnosis, Plan), Failure> {
    let paths = sources.paths()?;
    let diagnosis = examine_all(&paths);
    let findings = Findings::new(&diagnosis, &paths);
    match diagnosis.readable().cloned() {
        Some(plan) if findings.errors.is_empty() => Ok((diagnosis, plan)),
        _ => Err(Failure::Unsound(findings)),
    }
}

/// Warnings about the files, and those that they name.
fn of_files(paths: &[PathBuf], plan: &Plan) -> impl Iterator<Item = String> + use<> {
    let open = readers::warnings(paths, plan);
    open.into_iter().chain(expired_certificates(plan))
}

impl Findings {
    fn new(diagnosis: &Diagnosis, paths: &[PathBuf]) -> Self {
        let mut errors: Vec<Finding> = diagnosis.errors().iter().map(Finding::error).collect();
        let warnings = diagnosis.warnings().iter();
        let mut warnings: Vec<Finding> = warnings
            .map(|warning| Finding {
                line: warning.to_string(),
                file: Some(warning.place().file.to_string()),
                place: Some(warning.place().clone()),
                what: warning.what().to_owned(),
                help: None,
            })
            .collect();
        if let Some(plan) = diagnosis.readable() {
            let unusable = App::check_all(plan);
            errors.extend(unusable.iter().map(Finding::start));
            warnings.extend(of_files(paths, plan).map(Finding::plain));
        }
        sort(&mut errors, paths);
        Self { errors, warnings }
    }

    fn verdict(&self) -> Result<(), Failure> {
        match self.errors.is_empty() {
            true => Ok(()),
            false => Err(Failure::Reported),
        }
    }

    /// On standard error, with colours if that is a terminal. What it cannot
    /// take has nobody to be told to.
    pub(super) fn print(&self) {
        let mut stderr = anstream::stderr();
        let red = AnsiColor::Red.on_default().bold();
        let yellow = AnsiColor::Yellow.on_default().bold();
        print_all(&mut stderr, "error", red, &self.errors);
        print_all(&mut stderr, "warning", yellow, &self.warnings);
        if self.errors.len() + self.warnings.len() > 1 {
            let _ = writeln!(stderr, "{}", self.counts());
        }
    }

    /// Such as "2 errors, 1 warning".
    fn counts(&self) -> String {
        let counts = [
            count(self.errors.len(), "error"),
            count(self.warnings.len(), "warning"),
        ];
        let counts: Vec<String> = counts.into_iter().flatten().collect();
        counts.join(", ")
    }

    fn to_json(&self) -> Value {
        let all = |list: &[Finding]| -> Value { list.iter().map(Finding::to_json).collect() };
        json!({
            "ok": self.errors.is_empty(),
            "errors": all(&self.errors),
            "warnings": all(&self.warnings),
        })
    }
}

/// What is wrong first, for where one line is all there is.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(first) = self.errors.first() {
            f.write_str(&first.line)?;
        }
        match self.errors.len() {
            0 | 1 => Ok(()),
            all => write!(f, " (and {} more: muxcool test tells them)", all - 1),
        }
    }
}

impl Finding {
    fn error(error: &ConfigError) -> Self {
        Self {
            line: error.to_string(),
            file: Some(error.file_name().to_owned()),
            place: error.place().cloned(),
            what: match std::error::Error::source(error) {
                Some(source) => format!("{}: {source}", error.what()),
                None => error.what().to_owned(),
            },
            help: error.suggestion().map(str::to_owned),
        }
    }

    fn start(error: &StartError) -> Self {
        match error {
            StartError::Config(error) => Self::error(error),
            _ => Self::plain(chain(error)),
        }
    }

    fn plain(line: String) -> Self {
        Self {
            what: line.clone(),
            line,
            file: None,
            place: None,
            help: None,
        }
    }

    fn to_json(&self) -> Value {
        let place = self.place.as_ref();
        json!({
            "file": self.file,
            "line": place.map(|place| place.line),
            "column": place.map(|place| place.column),
            "key": place.map(|place| place.path.as_str()),
            "what": self.what,
            "help": self.help,
        })
    }
}

/// By the order of the files, then by line.
fn sort(findings: &mut [Finding], paths: &[PathBuf]) {
    let names: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    findings.sort_by_cached_key(|finding| {
        let file = finding.file.as_ref();
        let rank = names.iter().position(|name| Some(name) == file);
        let place = finding.place.as_ref();
        (rank, place.map(|place| (place.line, place.column)))
    });
}

fn print_all(out: &mut impl Write, word: &str, style: Style, findings: &[Finding]) {
    for finding in findings {
        let _ = writeln!(out, "{style}{word}:{style:#} {}", finding.line);
    }
}

fn count(number: usize, word: &str) -> Option<String> {
    match number {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{number} {word}s")),
    }
}

/// Prints to standard output, with colours if that is a terminal.
pub(super) fn say_in_colour(text: impl Display) -> Result<(), Failure> {
    let written: io::Result<()> = writeln!(anstream::stdout(), "{text}");
    written.map_err(|e| Failure::System("cannot print", e))
}
