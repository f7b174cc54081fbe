use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use log::{LevelFilter, info, warn};
use uuid::Uuid;

use super::args::{Command, DemoArgs, SourceArgs, TlsCommand, VERSION_LINE};
use super::certificate;
use super::failure::Failure;
use super::signals::StopSignals;
use super::{oneline, readers, status};
use crate::app::control::{Commands, ControlSocket};
use crate::app::{App, demo, logging};
use crate::config::{LogPlan, LogTarget, Plan, load_all};

pub(super) fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(sources) => run(&sources),
        Command::Test(sources) => test(&sources),
        Command::Status(args) => status::show(&args),
        Command::Demo(args) => show(&args),
        Command::Portal(args) => oneline::portal(&args),
        Command::Bridge(args) => oneline::bridge(&args),
        Command::Forward(command) => oneline::forward(&command),
        Command::Uuid(args) => say(make_id(args.input.as_deref())),
        Command::Tls(TlsCommand::Cert(args)) => say(certificate::make(&args)?),
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

fn run(sources: &SourceArgs) -> Result<(), Failure> {
    run_plan(load(sources)?, |_| Ok(()))
}

/// Runs a plan until it is told to stop. `started` is called when it is at
/// work.
pub(super) fn run_plan(
    plan: Plan,
    started: impl FnOnce(&App) -> Result<(), Failure>,
) -> Result<(), Failure> {
    start_logging(&plan.log)?;
    for warning in &plan.warnings {
        warn!("{warning}");
    }
    let signals = catch_signals()?;
    let (drain, control) = (plan.drain, plan.control.clone());
    let app = App::start(plan)?;
    let commands = Commands::new().with("status", status::command(app.census().clone()));
    let _control = ControlSocket::open(&control, commands);
    // As important as in V2Ray, so that a default configuration shows it.
    warn!("{} started", *VERSION_LINE);
    started(&app)?;
    signals.to_stop().wait();
    app.drain(drain, signals.to_hurry());
    app.close();
    info!("stopped");
    Ok(())
}

fn test(sources: &SourceArgs) -> Result<(), Failure> {
    let plan = load(sources)?;
    App::check(&plan)?;
    for warning in plan.warnings {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    say("Configuration OK.")
}

fn show(args: &DemoArgs) -> Result<(), Failure> {
    log_to_stderr(LevelFilter::Warn)?;
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

fn load(sources: &SourceArgs) -> Result<Plan, Failure> {
    let paths = sources.paths()?;
    let mut plan = load_all(&paths)?;
    plan.warnings.extend(readers::warnings(&paths, &plan));
    Ok(plan)
}

fn start_logging(plan: &LogPlan) -> Result<(), Failure> {
    match &plan.error {
        LogTarget::Off => log_to_stderr(LevelFilter::Off),
        LogTarget::Console => log_to_stderr(plan.level),
        LogTarget::File(path) => log_to_file(plan.level, path),
    }
}

fn log_to_stderr(level: LevelFilter) -> Result<(), Failure> {
    logging::to_stderr(level).map_err(|e| Failure::System("cannot log", e))
}

fn log_to_file(level: LevelFilter, path: &Path) -> Result<(), Failure> {
    logging::to_file(level, path).map_err(|e| Failure::LogFile(path.into(), e))
}

/// Prints to standard output.
pub(super) fn say(text: impl Display) -> Result<(), Failure> {
    let written = writeln!(io::stdout(), "{text}");
    written.map_err(|e| Failure::System("cannot print", e))
}
