//! Tunnels by one line on each machine, without a configuration file.
//!
//! Each command makes the configuration that does what it says, and that is
//! run as any other is; `--export` prints it. One machine listens and prints
//! a command with a [token](token), which the other machine runs.
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

use log::warn;

use super::commands::say;
use super::failure::Failure;
use super::run::run_plan;
use crate::app::{App, StartError};
use crate::config;
use args::{BridgeArgs, ForwardCommand, PortalArgs};
use invitation::Invitation;
use json::Json;

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
    portal::make(args)?.execute(args.export.export)
}

pub(super) fn bridge(args: &BridgeArgs) -> Result<(), Failure> {
    bridge::make(args)?.execute(args.export.export)
}

pub(super) fn forward(command: &ForwardCommand) -> Result<(), Failure> {
    match command {
        ForwardCommand::Serve(args) => forward::serve(args)?.execute(args.export.export),
        ForwardCommand::Dial(args) => forward::dial(args)?.execute(args.export.export),
    }
}

impl OneLiner {
    fn execute(self, export: bool) -> Result<(), Failure> {
        let text = self.json.to_string();
        match export {
            true => {
                self.explain();
                say(text)
            }
            false => self.run(&text),
        }
    }

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

    fn run(self, text: &str) -> Result<(), Failure> {
        let plan = config::parse(self.name, text)?;
        let run = run_plan(plan, |app| {
            for note in &self.notes {
                warn!("{note}");
            }
            match self.invitation {
                Some(invitation) => invite(invitation, app),
                None => Ok(()),
            }
        });
        run.map_err(without_place)
    }
}

/// With the port that it really has, which may have been left to the system.
fn invite(invitation: Invitation, app: &App) -> Result<(), Failure> {
    let addresses = app.local_addrs(invitation.entrance);
    let port = addresses.first().map_or(0, |address| address.port());
    say(invitation.at(port))
}

/// Nobody has seen the text in which it stands.
fn without_place(failure: Failure) -> Failure {
    match failure {
        Failure::Start(StartError::Config(e)) => Failure::Wrong(e.what().to_owned()),
        other => other,
    }
}
