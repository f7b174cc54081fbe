//! A configuration that runs, until it is told to stop.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use log::{error, info, warn};
use parking_lot::Mutex;

use super::args::{SourceArgs, VERSION_LINE};
use super::doctor::load;
use super::failure::Failure;
use super::signals::StopSignals;
use super::{status, supervisor};
use crate::app::control::{Answer, Commands, ControlSocket};
use crate::app::{App, Report, logging};
use crate::config::{ControlPlan, LogPlan, LogTarget, Plan};

/// Runs what `sources` name until the process is told to stop.
pub(super) fn run(sources: SourceArgs) -> Result<(), Failure> {
    let plan = load(&sources)?;
    let signals = || StopSignals::register_with_hangup().map_err(no_signals);
    run_from(Some(sources), plan, signals, |_| Ok(()))
}

/// Runs a plan that is in no file until the process is told to stop. `started`
/// is called when it is at work.
pub(super) fn run_plan(
    plan: Plan,
    started: impl FnOnce(&App) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let signals = || StopSignals::register().map_err(no_signals);
    run_from(None, plan, signals, started)
}

fn run_from(
    sources: Option<SourceArgs>,
    plan: Plan,
    catch: impl FnOnce() -> Result<StopSignals, Failure>,
    started: impl FnOnce(&App) -> Result<(), Failure>,
) -> Result<(), Failure> {
    prepare_log(&plan.log)?.put_in_force().map_err(no_log)?;
    warn_of(&plan.warnings);
    let signals = catch()?;
    let running = Arc::new(Running {
        control: plan.control.clone(),
        log: Mutex::new(plan.log.clone()),
        app: App::start(plan)?,
        turn: Mutex::new(()),
        sources,
    });
    let _control = ControlSocket::open(&running.control, commands(&running));
    enter(Phase::Ready);
    started(&running.app)?;
    signals.wait(|| {
        let _ = running.reload(); // the log says how it went
    });
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

/// What runs, and what it came from.
struct Running {
    /// Where the configuration is, if it is in files.
    sources: Option<SourceArgs>,
    control: ControlPlan,
    /// How it logs now.
    log: Mutex<LogPlan>,
    app: App,
    /// Held from the first look at the files to the end, so that what was read
    /// last is what is in force. Only other reloads wait for it.
    turn: Mutex<()>,
}

impl Running {
    /// Goes over to what the files say now. The log tells the outcome.
    fn reload(&self) -> Result<Report, Failure> {
        let _turn = self.turn.lock();
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

    fn read_again(&self) -> Result<Report, Failure> {
        let sources = self.sources.as_ref().ok_or(Failure::NoFiles)?;
        if sources.have_standard_input() {
            return Err(Failure::ReadOnce);
        }
        let plan = load(sources)?;
        let log = prepare_log(&plan.log)?;
        let (warnings, log_plan) = (plan.warnings.clone(), plan.log.clone());
        let control = plan.control.clone();
        let report = self.app.reload(plan)?;
        log.put_in_force().map_err(no_log)?;
        *self.log.lock() = log_plan;
        warn_of(&warnings);
        if control != self.control {
            warn!("control: the socket stays as it is until the program is started anew");
        }
        Ok(report)
    }

    /// Whatever is wrong with the configuration, their files may have been
    /// renamed.
    fn reopen_logs(&self) {
        let plan = self.log.lock().clone();
        let log = prepare_log(&plan).and_then(|log| log.put_in_force().map_err(no_log));
        let access = self.app.reopen_access_log().map_err(Failure::from);
        for failed in [log, access].into_iter().filter_map(Result::err) {
            warn!("{failed}");
        }
    }
}

/// What may be asked for at the control socket.
fn commands(running: &Arc<Running>) -> Commands {
    let reloading = running.clone();
    Commands::new()
        .with("status", status::command(running.app.census().clone()))
        .with("reload", move |_| answer(reloading.reload()))
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
