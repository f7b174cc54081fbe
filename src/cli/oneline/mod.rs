//! Tunnels by one line on each machine, without a configuration file.
//!
//! Each command makes the configuration that does what it says, and that is
//! run as any other is; `--export` prints it. One machine listens and prints
//! a command with a [token], which the other machine runs.
//!
//! A forwarding has two commands, `serve` and `dial`, for each of its ends has
//! options that would mean nothing at the other.

pub(super) mod args;
mod bridge;
mod forms;
mod forward;
mod identity;
mod invitation;
mod json;
mod pieces;
mod portal;
mod token;
mod tokens;

use std::io::{self, Write};

use super::commands::say;
use super::failure::Failure;
use super::run::{Source, run_from};
use crate::app::{App, StartError};
use crate::config::{self, Plan};
use args::{BridgeArgs, ForwardCommand, PortalArgs};
use invitation::Invitation;
use json::Json;
use token::Token;

/// What a command is about to do.
struct OneLiner {
    /// The command.
    name: &'static str,
    json: Json,
    /// What the operator should know.
    notes: Vec<String>,
    invitation: Option<Invitation>,
}

pub(super) fn portal(args: &PortalArgs) -> Result<(), Failure> {
    let mut unkept = None;
    execute(args.export.export, || portal::make(args, &mut unkept))
}

pub(super) fn bridge(args: &BridgeArgs) -> Result<(), Failure> {
    execute(args.export.export, || bridge::make(args))
}

pub(super) fn forward(command: &ForwardCommand) -> Result<(), Failure> {
    match command {
        ForwardCommand::Serve(args) => {
            let mut unkept = None;
            execute(args.export.export, || forward::serve(args, &mut unkept))
        }
        ForwardCommand::Dial(args) => execute(args.export.export, || forward::dial(args)),
    }
}

fn execute(
    export: bool,
    mut make: impl FnMut() -> Result<OneLiner, Failure>,
) -> Result<(), Failure> {
    match export {
        true => {
            let line = make()?;
            line.explain();
            say(line.json)
        }
        false => run_from(Made {
            make,
            name: "",
            invitation: None,
            invited: None,
        }),
    }
}

impl OneLiner {
    /// Of what is exported, that which is not in it goes to standard error.
    fn explain(&self) {
        let mut stderr = io::stderr();
        for note in &self.notes {
            let _ = writeln!(stderr, "warning: {note}");
        }
        match &self.invitation {
            Some(invitation) if invitation.token.port != 0 => {
                let _ = writeln!(stderr, "{invitation}");
            }
            _ => {}
        }
    }
}

/// The configuration that a command makes; at a reload anew, for the tokens
/// and the identity may be in files.
struct Made<F> {
    make: F,
    /// The command that it is made by.
    name: &'static str,
    invitation: Option<Invitation>,
    /// By what was printed last.
    invited: Option<Token>,
}

impl<F: FnMut() -> Result<OneLiner, Failure>> Source for Made<F> {
    fn read(&mut self) -> Result<Plan, Failure> {
        let line = (self.make)()?;
        let mut plan = config::parse(line.name, &line.json.to_string())?;
        plan.warnings.extend(line.notes);
        self.name = line.name;
        self.invitation = line.invitation;
        Ok(plan)
    }

    fn name(&self) -> String {
        self.name.to_owned()
    }

    /// Prints the invitation, if it is another one, with the port that was got,
    /// which may have been left to the system.
    fn in_force(&mut self, app: &App) -> Result<(), Failure> {
        let Some(invitation) = self.invitation.take() else {
            return Ok(());
        };
        let addresses = app.local_addrs(invitation.entrance);
        let port = addresses.first().map_or(0, |address| address.port());
        let invitation = invitation.at(port);
        if self.invited.as_ref() == Some(&invitation.token) {
            return Ok(());
        }
        say(&invitation)?;
        self.invited = Some(invitation.token);
        Ok(())
    }

    /// Nobody has seen the text in which its place is.
    fn cannot_be(&self, e: StartError) -> Failure {
        match e {
            StartError::Config(e) if e.is_passing() => Failure::NotNow(e.what().to_owned()),
            StartError::Config(e) => Failure::Wrong(e.what().to_owned()),
            other => other.into(),
        }
    }
}
