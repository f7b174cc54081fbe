//! A configuration that runs, until it is told to stop.

use std::fmt::Display;
use std::time::Duration;

use log::{error, info, warn};

use super::args::{SourceArgs, VERSION_LINE};
use super::doctor::load;
use super::failure::Failure;
use super::signals::StopSignals;
use super::terminal::Terminal;
use super::{status, supervisor};
use crate::app::control::{Answer, Commands, ControlSocket};
use crate::app::{App, Report, StartError, logging};
use crate::config::{ControlPlan, LogPlan, LogTarget, Plan};
use crate::limits::CONTROL_CLIENTS;
use crate::sync::shim::{Receiver, Sender, bounded, select};

/// What a plan is made from, at the start and again at each reload.
pub(super) trait Source {
    /// The plan as it is now.
    fn read(&mut self) -> Result<Plan, Failure>;

    /// What that came from, for the user to know the program by.
    fn name(&self) -> String;

    /// The plan that was read last is in force.
    fn in_force(&mut self, _: &App) -> Result<(), Failure> {
        Ok(())
    }

    /// Why the plan that was read last cannot be.
    fn cannot_be(&self, e: StartError) -> Failure {
        e.into()
    }
}

/// Files of configuration.
struct Files {
    sources: SourceArgs,
    were_read: bool,
}

impl Source for Files {
    fn read(&mut self) -> Result<Plan, Failure> {
        match self.were_read && self.sources.have_standard_input() {
            true => Err(Failure::ReadOnce),
            false => {
                self.were_read = true;
                load(&self.sources)
            }
        }
    }

    fn name(&self) -> String {
        self.sources.names().join(", ")
    }
}

/// Runs what `sources` name until the process is told to stop.
pub(super) fn run(sources: SourceArgs) -> Result<(), Failure> {
    run_from(Files {
        sources,
        were_read: false,
    })
}

/// Runs the plan of a source until the process is told to stop.
pub(super) fn run_from(mut source: impl Source) -> Result<(), Failure> {
    let terminal = Terminal::of_process();
    let plan = source.read()?;
    prepare_log(&plan.log)?.put_in_force().map_err(no_log)?;
    warn_of(&plan.warnings);
    let signals = StopSignals::register_with_hangup().map_err(no_signals)?;
    let (control, log) = (plan.control.clone(), plan.log.clone());
    let app = App::start(plan).map_err(|e| source.cannot_be(e))?;
    app.census().name_configuration(source.name());
    let (ask, asked) = bounded(CONTROL_CLIENTS); // each asks once
    let _control = ControlSocket::open(&control, commands(&app, ask.clone()));
    enter(Phase::Ready);
    source.in_force(&app)?;
    let mut running = Running {
        source,
        control,
        log,
        app,
    };
    running.work(&signals, &terminal, &asked);
    drop((ask, asked)); // whoever still asks hears that it ends
    let app = &running.app;
    enter(Phase::Stopping(app.patience()));
    app.drain(app.patience(), signals.to_hurry());
    app.close();
    info!("stopped");
    Ok(())
}

/// Whoever supervises the program wants to know these.
enum Phase<'a> {
    Ready,
    Reloading,
    Reloaded(&'a Report),
    NotReloaded(&'a Failure),
    /// Connections get as long as this.
    Stopping(Duration),
}

/// As important as in V2Ray, so that a default configuration shows them.
fn enter(phase: Phase<'_>) {
    match &phase {
        Phase::Ready => warn!("{} started", *VERSION_LINE),
        Phase::Reloading => info!("reading the configuration again"),
        Phase::Reloaded(report) => warn!("reloaded: {report}"),
        Phase::NotReloaded(why) => say_each_line("not reloaded, everything stays: ", why),
        Phase::Stopping(_) => {}
    }
    tell_supervisor(&phase);
}

fn tell_supervisor(phase: &Phase<'_>) {
    match phase {
        Phase::Ready => supervisor::ready("At work"),
        Phase::Reloading => supervisor::reloading(),
        Phase::Reloaded(_) => supervisor::ready("At work with what was read again"),
        Phase::NotReloaded(_) => {
            supervisor::ready("At work as before: what was read again is wrong, see the log");
        }
        Phase::Stopping(patience) => supervisor::stopping(*patience),
    }
}

fn say_each_line(what: &str, why: impl Display) {
    let why = why.to_string();
    why.lines().for_each(|line| error!("{what}{line}"));
}

/// Somebody who asks for a reload, and wants to know how it went.
type Asker = Sender<Answer>;

/// What runs, and what it came from. It is reloaded by one thread, so that what
/// was read last is what is in force.
struct Running<S> {
    source: S,
    control: ControlPlan,
    /// How it logs now.
    log: LogPlan,
    app: App,
}

impl<S: Source> Running<S> {
    /// Reloads whenever it is asked to, until the process is told to stop.
    fn work(&mut self, signals: &StopSignals, terminal: &Terminal, asked: &Receiver<Asker>) {
        while !signals.to_stop().is_done() {
            select! {
                recv(signals.to_stop().event()) -> _ => {}
                recv(signals.hangups()) -> hangup => match hangup {
                    Ok(()) if terminal.is_gone() => return info!("the terminal is gone"),
                    Ok(()) => drop(self.reload()), // the log says how it went
                    Err(_) => {}
                },
                recv(asked) -> asker => if let Ok(asker) = asker {
                    let _ = asker.try_send(answer(self.reload())); // he may have gone
                },
            }
        }
    }

    /// Goes over to what the source says now. The log tells the outcome.
    fn reload(&mut self) -> Result<Report, Failure> {
        enter(Phase::Reloading);
        let outcome = self.read_again();
        match &outcome {
            Ok(report) => enter(Phase::Reloaded(report)),
            Err(why) => {
                self.reopen_logs();
                enter(Phase::NotReloaded(why));
            }
        }
        outcome
    }

    fn read_again(&mut self) -> Result<Report, Failure> {
        let plan = self.source.read()?;
        let log = prepare_log(&plan.log)?;
        let (warnings, log_plan) = (plan.warnings.clone(), plan.log.clone());
        let control = plan.control.clone();
        let report = self.app.reload(plan);
        let report = report.map_err(|e| self.source.cannot_be(e))?;
        log.put_in_force().map_err(no_log)?;
        self.log = log_plan;
        warn_of(&warnings);
        if control != self.control {
            warn!("control: the socket stays as it is until the program is started anew");
        }
        self.source.in_force(&self.app)?;
        Ok(report)
    }

    /// Whatever is wrong with the configuration, their files may have been
    /// renamed.
    fn reopen_logs(&self) {
        let log = prepare_log(&self.log).and_then(|log| log.put_in_force().map_err(no_log));
        let access = self.app.reopen_access_log().map_err(Failure::from);
        for failed in [log, access].into_iter().filter_map(Result::err) {
            warn!("{failed}");
        }
    }
}

/// What may be asked for at the control socket.
fn commands(app: &App, ask: Sender<Asker>) -> Commands {
    Commands::new()
        .with("status", status::command(app.census().clone()))
        .with("reload", move |_| ask_for_reload(&ask))
}

/// Waits until the thread that reloads has done so.
fn ask_for_reload(ask: &Sender<Asker>) -> Answer {
    let (asker, told) = bounded(1);
    let sent = ask.try_send(asker).map_err(drop);
    let told = sent.and_then(|()| told.recv().map_err(drop));
    told.unwrap_or_else(|()| Err(StartError::Ending.to_string()))
}

fn answer(outcome: Result<Report, Failure>) -> Answer {
    let report = outcome.map_err(|why| why.to_string())?;
    Ok(report.to_string().into())
}

fn prepare_log(plan: &LogPlan) -> Result<logging::Prepared, Failure> {
    logging::prepare(plan).map_err(|e| match &plan.error {
        LogTarget::File(path) => Failure::LogFile(path.clone(), e),
        _ => no_log(e),
    })
}

fn warn_of(warnings: &[String]) {
    warnings.iter().for_each(|warning| warn!("{warning}"));
}

fn no_log(e: std::io::Error) -> Failure {
    Failure::System("cannot log", e)
}

fn no_signals(e: std::io::Error) -> Failure {
    Failure::System("cannot catch signals", e)
}
