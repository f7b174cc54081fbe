use std::fmt::Display;
use std::io::{self, Write};

use log::LevelFilter;
use uuid::Uuid;

use super::args::{Command, DemoArgs, TlsCommand, VERSION_LINE};
use super::certificate;
use super::failure::Failure;
use super::signals::StopSignals;
use super::{doctor, explain, oneline, package, reload, run, status};
use crate::app::{demo, logging};

pub(super) fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(sources) => run::run(sources),
        Command::Reload(args) => say(reload::ask_to_reload(&args)?),
        Command::Test(args) => doctor::test(&args),
        Command::Explain(args) => explain::answer(&args),
        Command::Status(args) => status::show(&args),
        Command::Demo(args) => show(&args),
        Command::Portal(args) => oneline::portal(&args),
        Command::Bridge(args) => oneline::bridge(&args),
        Command::Forward(command) => oneline::forward(&command),
        Command::Uuid(args) => say(make_id(args.input.as_deref())),
        Command::Tls(TlsCommand::Cert(args)) => say(certificate::make(&args)?),
        Command::Completions(args) => package::completions(&args),
        Command::Man(args) => package::manual(&args),
        Command::Unit(args) => package::unit(&args),
        Command::Version => say(&*VERSION_LINE),
    }
}

/// Of a text, the name-based id that Xray makes of it (section 1.6).
fn make_id(text: Option<&str>) -> Uuid {
    match text {
        Some(text) => Uuid::new_v5(&Uuid::nil(), text.as_bytes()),
        None => Uuid::new_v4(),
    }
}

fn show(args: &DemoArgs) -> Result<(), Failure> {
    logging::to_stderr(LevelFilter::Warn).map_err(|e| Failure::System("cannot log", e))?;
    if args.check {
        return say(demo::check(args.port)?);
    }
    let signals = catch_signals()?;
    let demo = demo::start(args.port, true)?;
    say(demo.greeting())?;
    signals.to_stop().wait();
    demo.close();
    Ok(())
}

fn catch_signals() -> Result<StopSignals, Failure> {
    StopSignals::register().map_err(|e| Failure::System("cannot catch signals", e))
}

/// Prints to standard output.
pub(super) fn say(text: impl Display) -> Result<(), Failure> {
    let written = writeln!(io::stdout(), "{text}");
    written.map_err(|e| Failure::System("cannot print", e))
}

/// Prints what has its line ends.
pub(super) fn say_exactly(text: &[u8]) -> Result<(), Failure> {
    let written = io::stdout().write_all(text);
    written.map_err(|e| Failure::System("cannot print", e))
}
