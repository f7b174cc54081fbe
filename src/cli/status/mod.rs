//! `muxcool status`.

mod table;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rustix::termios::tcgetwinsize;
use serde_json::{Value, json};

use super::args::StatusArgs;
use super::commands::say;
use super::failure::Failure;
use crate::app::control::{Answer, AskError, Request, ask};
use crate::app::status::{Census, Snapshot};
use crate::limits::{STATUS_PATIENCE, STATUS_STREAMS, STATUS_WATCH};

/// Streams that a table shows unless more are wanted.
const SHOWN: usize = 20;

/// Cursor to the first place, and what follows is cleared.
const REDRAW: &str = "\x1b[H\x1b[J";

/// The answer to the command `status`: a [`Snapshot`], with `streams` of the
/// streams, or as many as are ever told of.
pub(super) fn command(census: Arc<Census>) -> impl Fn(&Request) -> Answer + Send + Sync + 'static {
    move |request| {
        let wanted = request.get("streams").and_then(Value::as_u64);
        let wanted = wanted.and_then(|wanted| usize::try_from(wanted).ok());
        let streams = wanted.unwrap_or(STATUS_STREAMS).min(STATUS_STREAMS);
        serde_json::to_value(census.snapshot(streams)).map_err(|e| e.to_string())
    }
}

/// Prints how the program does that is meant, once or again and again.
pub(super) fn show(args: &StatusArgs) -> Result<(), Failure> {
    let socket = args.target.find()?;
    let mut before = None;
    loop {
        let value = fetch(&socket, args)?;
        match args.json {
            true => say(&value)?,
            false => {
                let now = read(&socket, value)?;
                say(frame(args, &now, before.as_ref()))?;
                before = Some(now);
            }
        }
        if !args.watch {
            return Ok(());
        }
        thread::sleep(STATUS_WATCH);
    }
}

/// A table has those streams that have the most bytes, which takes all.
fn fetch(socket: &Path, args: &StatusArgs) -> Result<Value, Failure> {
    let streams = args.streams.filter(|_| args.json);
    let request = json!({ "command": "status", "streams": streams });
    ask(socket, &request, STATUS_PATIENCE).map_err(|e| Failure::Ask(socket.into(), e))
}

fn read(socket: &Path, value: Value) -> Result<Snapshot, Failure> {
    let read = serde_json::from_value(value);
    read.map_err(|_| Failure::Ask(socket.into(), AskError::Nonsense))
}

/// One look, on a terminal that is watched in place of the one before.
fn frame(args: &StatusArgs, now: &Snapshot, before: Option<&Snapshot>) -> String {
    let terminal = args.watch && io::stdout().is_terminal();
    let streams = args.streams.unwrap_or(SHOWN);
    let table = table::render(now, before, streams);
    match terminal {
        true => format!("{REDRAW}{}", fitting(&table)),
        false => table,
    }
}

/// As many lines as the terminal has.
fn fitting(table: &str) -> String {
    let rows = tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_row);
    let most = match rows {
        0 => usize::MAX,
        rows => usize::from(rows).saturating_sub(2),
    };
    let lines: Vec<&str> = table.lines().take(most).collect();
    lines.join("\n")
}
