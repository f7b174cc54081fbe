//! Log lines in V2Ray's form, on standard error or in a file:
//!
//! ```text
//! 2006/01/02 15:04:05 [Warning] muxcool::mux: carrier 3 is closed
//! ```
//!
//! The time is local. Nobody who logs waits: a thread of its own writes the
//! lines. One that cannot be written is lost, and nothing else; the next that
//! can says how many were. Where a task panics is part of the log, not of
//! standard error.

use std::env;
use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write};
use std::sync::{Arc, Once};

use env_logger::fmt::Formatter;
use env_logger::{Builder, Logger, Target, WriteStyle};
use log::{Level, LevelFilter, Log, Metadata, Record};
use parking_lot::RwLock;

use super::log_queue::{Lines, LogQueue};
use super::stamp;
use crate::config::{LogPlan, LogTarget};
use crate::limits::LOG_FLUSH;
use crate::sync::report_panics;

/// Overrides the level of the configuration; env_logger's own syntax, such as
/// `debug` or `muxcool::mux=trace`.
const LEVEL_VARIABLE: &str = "RUST_LOG";

/// The log of this process, which is another's after a reload.
static LOG: Switch = Switch(RwLock::new(None));

/// A log that is not in force yet; what can fail has been done.
pub struct Prepared {
    logger: Logger,
    queue: Arc<LogQueue>,
    to_stderr: bool,
}

/// Sends the log of this process to standard error, from `level` on.
///
/// # Errors
/// When the process has another logger already, or no thread can be started.
pub fn to_stderr(level: LevelFilter) -> io::Result<()> {
    Prepared::to_stderr(level)?.put_in_force()
}

/// What the plan wants. A file is opened anew, whether it was open or not.
///
/// # Errors
/// When the file cannot be opened, or no thread can be started.
pub fn prepare(plan: &LogPlan) -> io::Result<Prepared> {
    match &plan.error {
        LogTarget::Off => Prepared::to_stderr(LevelFilter::Off),
        LogTarget::Console => Prepared::to_stderr(plan.level),
        LogTarget::File(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path)?;
            let queue = Arc::new(LogQueue::new(file)?);
            Ok(Prepared::new(plan.level, WriteStyle::Never, queue, false))
        }
    }
}

/// Waits until what was logged is written, [`LOG_FLUSH`] at the most; for who
/// is about to end the process. Returns whether it is.
pub fn flush() -> bool {
    let current = LOG.current();
    current.is_none_or(|log| log.queue.watch().wait(LOG_FLUSH))
}

impl Prepared {
    /// What is queued already goes first, so they share the queue.
    fn to_stderr(level: LevelFilter) -> io::Result<Self> {
        let style = match shows_colors() {
            true => WriteStyle::Always,
            false => WriteStyle::Never,
        };
        let queue = match LOG.current().filter(|log| log.to_stderr) {
            Some(log) => log.queue.clone(),
            None => Arc::new(LogQueue::new(io::stderr())?),
        };
        Ok(Self::new(level, style, queue, true))
    }

    fn new(level: LevelFilter, style: WriteStyle, queue: Arc<LogQueue>, to_stderr: bool) -> Self {
        stamp::prepare();
        let logger = builder(level, Target::Pipe(Box::new(Lines(queue.clone()))))
            .write_style(style)
            .parse_env(LEVEL_VARIABLE)
            .build();
        Self {
            logger,
            queue,
            to_stderr,
        }
    }

    /// Logs this way from now on.
    ///
    /// # Errors
    /// When the process has another logger already.
    pub fn put_in_force(self) -> io::Result<()> {
        let level = self.logger.filter();
        if LOG.replace(self).is_none() {
            log::set_logger(&LOG).map_err(io::Error::other)?;
        }
        log::set_max_level(level);
        if level >= LevelFilter::Error {
            static REPORTED: Once = Once::new();
            REPORTED.call_once(report_panics);
        }
        Ok(())
    }
}

/// Its lock is held no longer than it takes to read or replace what is in it.
struct Switch(RwLock<Option<Arc<Prepared>>>);

impl Switch {
    fn replace(&self, log: Prepared) -> Option<Arc<Prepared>> {
        self.0.write().replace(Arc::new(log))
    }

    fn current(&self) -> Option<Arc<Prepared>> {
        self.0.read().clone()
    }
}

impl Log for Switch {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.current()
            .is_some_and(|log| log.logger.enabled(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        if let Some(log) = self.current() {
            log.logger.log(record);
        }
    }

    /// Never waits: see [`flush`].
    fn flush(&self) {}
}

/// As programs do it: on a terminal that can, and where nobody minds.
fn shows_colors() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stderr().is_terminal() && !is_dumb && !is_set("NO_COLOR")
}

fn builder(level: LevelFilter, target: Target) -> Builder {
    let mut builder = Builder::new();
    builder
        .filter_level(level)
        .target(target)
        .format(write_record);
    builder
}

fn write_record(out: &mut Formatter, record: &Record) -> io::Result<()> {
    let (stamp, level) = (stamp::now(), level_name(record.level()));
    let style = out.default_level_style(record.level());
    let message = one_line(record.args());
    let target = record.target();
    writeln!(out, "{stamp} {style}[{level}]{style:#} {target}: {message}")
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::Error => "Error",
        Level::Warn => "Warning",
        Level::Info => "Info",
        Level::Debug => "Debug",
        Level::Trace => "Trace",
    }
}

/// The message on one line: peers' text is escaped where it is logged, and
/// should that be forgotten once, it still forges no line here.
fn one_line(message: &fmt::Arguments) -> String {
    let mut line = OneLine(String::new());
    let _ = line.write_fmt(*message); // stops where a Display fails
    line.0
}

struct OneLine(String);

impl fmt::Write for OneLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c.is_control() {
                self.0.extend(c.escape_default());
            } else {
                self.0.push(c);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Full;

    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log_to(builder: &mut Builder, level: Level, message: &str) {
        let logger = builder.build();
        let mut record = Record::builder();
        record.level(level).target("muxcool::mux");
        logger.log(&record.args(format_args!("{message}")).build());
    }

    /// What is logged, without the time, which is checked for its length.
    fn logged(filter: LevelFilter, rust_log: &str, level: Level, message: &str) -> String {
        let sink = Sink::default();
        let mut builder = builder(filter, Target::Pipe(Box::new(sink.clone())));
        log_to(builder.parse_filters(rust_log), level, message);
        let text = String::from_utf8(sink.0.lock().clone()).unwrap();
        text.get("2006/01/02 15:04:05 ".len()..)
            .unwrap_or_default()
            .into()
    }

    #[test]
    fn lines_have_the_form_of_the_family() {
        let table = [
            (Level::Error, "[Error] muxcool::mux: it is so\n"),
            (Level::Warn, "[Warning] muxcool::mux: it is so\n"),
            (Level::Info, "[Info] muxcool::mux: it is so\n"),
            (Level::Debug, "[Debug] muxcool::mux: it is so\n"),
        ];
        for (level, line) in table {
            assert_eq!(logged(LevelFilter::Debug, "", level, "it is so"), line);
        }
    }

    #[test]
    fn the_level_is_that_of_the_configuration_unless_overridden() {
        let table = [
            (LevelFilter::Warn, "", Level::Warn, true),
            (LevelFilter::Warn, "", Level::Info, false),
            (LevelFilter::Off, "", Level::Error, false),
            (LevelFilter::Off, "debug", Level::Debug, true),
            (LevelFilter::Debug, "error", Level::Warn, false),
            (LevelFilter::Warn, "muxcool::mux=debug", Level::Debug, true),
            (
                LevelFilter::Warn,
                "muxcool::link=debug",
                Level::Debug,
                false,
            ),
        ];
        for (filter, rust_log, level, shown) in table {
            let text = logged(filter, rust_log, level, "x");
            assert_eq!(!text.is_empty(), shown, "{filter} {rust_log:?} {level}");
        }
    }

    #[test]
    fn a32_a_message_is_one_line_whatever_it_holds() {
        let forged = "bad name \"x\r\n2026/01/02 [Warning] forged \x1b[31m\u{9b}\" \u{e4}";
        let line = logged(LevelFilter::Info, "", Level::Info, forged);
        let shown = r#"bad name "x\r\n2026/01/02 [Warning] forged \u{1b}[31m\u{9b}" "#;
        assert_eq!(line, format!("[Info] muxcool::mux: {shown}\u{e4}\n"));
    }

    #[test]
    fn a_line_that_cannot_be_written_is_lost_quietly() {
        let mut builder = builder(LevelFilter::Info, Target::Pipe(Box::new(Full)));
        log_to(&mut builder, Level::Error, "nobody reads this");
    }
}
