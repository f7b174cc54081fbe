use std::error::Error;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::{ClientStrategy, Roster};
use crate::limits::{
    DEAD_AFTER, DIALLING_PER_CARRIER, END_QUIET, FIRST_PAYLOAD_WAIT, INITIAL_WINDOW,
    LARGEST_WINDOW, LEAST_ROOM, LONGEST_WAIT, MAX_SESSION_ID, MAX_WINDOW, PARKED_PER_PROCESS,
    PARKED_PER_SESSION, PROBE_AFTER, SERVER_SESSIONS, SESSIONS_PER_PROCESS, SHORTEST_PROBE,
    STALLED_SESSION, SUSPECT_AFTER, UNREAD,
};
use crate::sync::{Quota, Timer};

/// Settings of a carrier, the same on both ends, which need not agree.
///
/// Every default is a constant in [`limits`](crate::limits), named with its
/// field. What is out of range is an [`OptionsError`] of the constructor that
/// takes it.
///
/// ```
/// # use muxcool::mux::{CarrierOptions, ClientOptions};
/// let carrier = CarrierOptions { window: 1024 * 1024, ..Default::default() };
/// let options = ClientOptions { carrier, ..Default::default() };
/// # assert!(options.carrier.check().is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct CarrierOptions {
    /// Whether to speak with muxcool peers what others read past: credit,
    /// pings, drain (section 11). On by default.
    pub extensions: bool,
    /// Whether a server that dispatches sessions asks muxcool clients where
    /// these come from, and believes it (section 15). Only for clients that
    /// were dialled, such as portals: others could say anything. Needs
    /// `extensions`; off by default, and on for bridges.
    pub origins: bool,
    /// Bytes of each session's stream that a muxcool peer may send before it
    /// is granted more. [`LEAST_ROOM`] to `max_window`; defaults to
    /// [`INITIAL_WINDOW`].
    pub window: u32,
    /// Bytes to which that may grow where the path needs it: what a paused
    /// reader may cost. `window` to [`LARGEST_WINDOW`]; defaults to
    /// [`MAX_WINDOW`].
    pub max_window: u64,
    /// Bytes that one session of a plain peer may park, beyond what its
    /// consumer takes at once, before the carrier's reader waits for it
    /// (section 12). [`LEAST_ROOM`] to [`PARKED_PER_PROCESS`]; defaults to
    /// [`PARKED_PER_SESSION`].
    pub parked: usize,
    /// How long a session may take nothing at all while it holds its carrier
    /// up, before it is ended. Above zero, to [`LONGEST_WAIT`]; defaults to
    /// [`STALLED_SESSION`].
    pub stalled_session: Duration,
    /// How long a plain server's answer must be quiet before it is sent an End
    /// that would cut it (section 13). Up to [`LONGEST_WAIT`]; zero does not
    /// wait. Defaults to [`END_QUIET`].
    pub end_quiet: Duration,
    /// When a silent peer is probed, suspected and given up (section 14);
    /// `None` leaves all of that to the transport.
    pub liveness: Option<LivenessTimes>,
    /// Sessions that a server runs at once for this carrier; more are refused.
    /// 1 to [`MAX_SESSION_ID`]; defaults to [`SERVER_SESSIONS`].
    pub sessions: usize,
    /// Sessions whose targets a server dials at once; others wait for their
    /// turn. 1 to [`MAX_SESSION_ID`]; defaults to [`DIALLING_PER_CARRIER`].
    pub dialling: usize,
    /// Sessions at once of all carriers that share this. By default those of
    /// the process do, and there may be [`SESSIONS_PER_PROCESS`].
    pub all_sessions: Option<Arc<Quota>>,
    /// Where the carriers are listed that these options are for. By default a
    /// roster of their own.
    pub roster: Arc<Roster>,
    /// Runs the probes. By default the process's timer.
    pub timer: Option<Timer>,
}

/// When a silent peer is probed, suspected and given up: these three count from
/// the last byte that was received, and each must be longer than the one
/// before. And when one is given up that does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LivenessTimes {
    /// Silence after which it is probed. At least [`SHORTEST_PROBE`]; defaults
    /// to [`PROBE_AFTER`].
    pub probe: Duration,
    /// Silence after which other carriers are preferred. Defaults to
    /// [`SUSPECT_AFTER`].
    pub suspect: Duration,
    /// Silence after which the carrier is ended. At most [`LONGEST_WAIT`];
    /// defaults to [`DEAD_AFTER`].
    pub dead: Duration,
    /// How long the peer may take nothing of a write that waits for it (of a
    /// carrier's lane, half a MiB at the most) before the carrier is ended,
    /// whatever it says meanwhile. Above zero, to [`LONGEST_WAIT`]; defaults to
    /// [`UNREAD`].
    pub unread: Duration,
}

/// Settings of a [`ClientWorker`](super::ClientWorker).
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How many sessions it takes. By default without bounds.
    pub strategy: ClientStrategy,
    /// How long New waits for a session's first payload, to carry it; zero
    /// never waits. A server that speaks first is delayed by this. Defaults to
    /// [`FIRST_PAYLOAD_WAIT`].
    pub first_payload_wait: Duration,
    /// Whether the worker stays when it is idle, until it [drains](
    /// super::ClientWorker::drain). Not by default.
    pub keep_idle: bool,
    /// What both ends have.
    pub carrier: CarrierOptions,
}

/// Why [`CarrierOptions`] cannot be used: which of them is out of its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionsError {
    /// `window` is smaller than a frame may be.
    Window,
    /// `max_window` is smaller than `window`, or too large.
    MaxWindow,
    /// `parked` is smaller than a frame may be, or more than all sessions of
    /// the process may park.
    Parked,
    /// `stalled_session` is zero or too long.
    StalledSession,
    /// `end_quiet` is too long.
    EndQuiet,
    /// `sessions` is none, or more than there are ids.
    Sessions,
    /// `dialling` is none, or more than there are ids.
    Dialling,
    /// `probe` is too short.
    Probe,
    /// `suspect` is not longer than `probe`.
    Suspect,
    /// `dead` is not longer than `suspect`, or too long.
    Dead,
    /// `unread` is zero or too long.
    Unread,
}

impl CarrierOptions {
    /// Whether every field is in its range.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), OptionsError> {
        let window = u64::from(self.window);
        let shortest = Duration::from_nanos(1);
        within(window, LEAST_ROOM as u64..=u64::MAX, OptionsError::Window)?;
        within(
            self.max_window,
            window..=LARGEST_WINDOW,
            OptionsError::MaxWindow,
        )?;
        within(
            self.parked,
            LEAST_ROOM..=PARKED_PER_PROCESS,
            OptionsError::Parked,
        )?;
        within(
            self.stalled_session,
            shortest..=LONGEST_WAIT,
            OptionsError::StalledSession,
        )?;
        within(
            self.end_quiet,
            Duration::ZERO..=LONGEST_WAIT,
            OptionsError::EndQuiet,
        )?;
        let ids = 1..=usize::from(MAX_SESSION_ID);
        within(self.sessions, ids.clone(), OptionsError::Sessions)?;
        within(self.dialling, ids, OptionsError::Dialling)?;
        self.liveness.map_or(Ok(()), |times| times.check())
    }

    /// Which sessions count together.
    pub(super) fn all_sessions(&self) -> Arc<Quota> {
        static PROCESS: LazyLock<Arc<Quota>> = LazyLock::new(|| Quota::new(SESSIONS_PER_PROCESS));
        self.all_sessions.as_ref().unwrap_or(&PROCESS).clone()
    }
}

impl LivenessTimes {
    fn check(&self) -> Result<(), OptionsError> {
        if self.probe < SHORTEST_PROBE {
            return Err(OptionsError::Probe);
        }
        if self.suspect <= self.probe {
            return Err(OptionsError::Suspect);
        }
        if self.dead <= self.suspect || self.dead > LONGEST_WAIT {
            return Err(OptionsError::Dead);
        }
        let shortest = Duration::from_nanos(1);
        within(self.unread, shortest..=LONGEST_WAIT, OptionsError::Unread)
    }
}

impl Default for CarrierOptions {
    fn default() -> Self {
        Self {
            extensions: true,
            origins: false,
            window: INITIAL_WINDOW,
            max_window: MAX_WINDOW,
            parked: PARKED_PER_SESSION,
            stalled_session: STALLED_SESSION,
            end_quiet: END_QUIET,
            sessions: SERVER_SESSIONS,
            dialling: DIALLING_PER_CARRIER,
            all_sessions: None,
            liveness: Some(LivenessTimes::default()),
            roster: Roster::new(),
            timer: None,
        }
    }
}

/// The same settings; where the carriers are listed is none.
impl PartialEq for CarrierOptions {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            extensions,
            origins,
            window,
            max_window,
            parked,
            stalled_session,
            end_quiet,
            liveness,
            sessions,
            dialling,
            all_sessions,
            roster: _,
            timer,
        } = self;
        *extensions == other.extensions
            && *origins == other.origins
            && *window == other.window
            && *max_window == other.max_window
            && *parked == other.parked
            && *stalled_session == other.stalled_session
            && *end_quiet == other.end_quiet
            && *liveness == other.liveness
            && *sessions == other.sessions
            && *dialling == other.dialling
            && *all_sessions == other.all_sessions
            && *timer == other.timer
    }
}

impl Default for LivenessTimes {
    fn default() -> Self {
        Self {
            probe: PROBE_AFTER,
            suspect: SUSPECT_AFTER,
            dead: DEAD_AFTER,
            unread: UNREAD,
        }
    }
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            strategy: ClientStrategy::default(),
            first_payload_wait: FIRST_PAYLOAD_WAIT,
            keep_idle: false,
            carrier: CarrierOptions::default(),
        }
    }
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OptionsError::Window => "the initial window is smaller than a frame",
            OptionsError::MaxWindow => {
                "the largest window is smaller than the initial one, or above 1 GiB"
            }
            OptionsError::Parked => {
                "what a session may park is less than a frame, or more than the process may park"
            }
            OptionsError::StalledSession => {
                "the time of a stalled session is zero, or longer than a day"
            }
            OptionsError::EndQuiet => "the quiet time before End is longer than a day",
            OptionsError::Sessions => "a carrier has 1 to 65534 sessions",
            OptionsError::Dialling => "1 to 65534 sessions of a carrier are dialled at once",
            OptionsError::Probe => "a silent peer would be probed too soon",
            OptionsError::Suspect => "a peer must be silent for longer to be suspect than probed",
            OptionsError::Dead => {
                "a peer must be silent for longer to be dead than suspect, and for a day at the most"
            }
            OptionsError::Unread => {
                "the time in which a peer must read is zero, or longer than a day"
            }
        })
    }
}

impl Error for OptionsError {}

fn within<T: PartialOrd>(
    value: T,
    range: RangeInclusive<T>,
    error: OptionsError,
) -> Result<(), OptionsError> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NANOSECOND: Duration = Duration::from_nanos(1);

    type Change = fn(&mut CarrierOptions);

    fn changed(change: Change) -> CarrierOptions {
        let mut options = CarrierOptions::default();
        change(&mut options);
        options
    }

    fn times(change: impl FnOnce(&mut LivenessTimes), options: &mut CarrierOptions) {
        let mut times = LivenessTimes::default();
        change(&mut times);
        options.liveness = Some(times);
    }

    #[test]
    fn the_ends_of_every_range_are_in_it() {
        let right: [Change; 13] = [
            |_| {},
            |o| o.window = LEAST_ROOM as u32,
            |o| o.window = MAX_WINDOW as u32,
            |o| o.max_window = INITIAL_WINDOW.into(),
            |o| o.max_window = LARGEST_WINDOW,
            |o| o.parked = PARKED_PER_PROCESS,
            |o| (o.stalled_session, o.end_quiet) = (LONGEST_WAIT, LONGEST_WAIT),
            |o| (o.stalled_session, o.end_quiet) = (NANOSECOND, Duration::ZERO),
            |o| o.liveness = None,
            |o| times(|t| t.unread = NANOSECOND, o),
            |o| times(|t| t.unread = LONGEST_WAIT, o),
            |o| (o.sessions, o.dialling) = (1, 1),
            |o| o.sessions = MAX_SESSION_ID.into(),
        ];
        for (n, change) in right.into_iter().enumerate() {
            assert_eq!(changed(change).check(), Ok(()), "{n}");
        }
    }

    #[test]
    fn what_is_beyond_them_is_named() {
        let wrong: [(Change, OptionsError); 16] = [
            (|o| o.window = LEAST_ROOM as u32 - 1, OptionsError::Window),
            (
                |o| o.window = MAX_WINDOW as u32 + 1,
                OptionsError::MaxWindow,
            ),
            (
                |o| o.max_window = u64::from(INITIAL_WINDOW) - 1,
                OptionsError::MaxWindow,
            ),
            (
                |o| o.max_window = LARGEST_WINDOW + 1,
                OptionsError::MaxWindow,
            ),
            (|o| o.parked = LEAST_ROOM - 1, OptionsError::Parked),
            (|o| o.parked = PARKED_PER_PROCESS + 1, OptionsError::Parked),
            (
                |o| o.stalled_session = Duration::ZERO,
                OptionsError::StalledSession,
            ),
            (|o| o.end_quiet = Duration::MAX, OptionsError::EndQuiet),
            (|o| o.sessions = 0, OptionsError::Sessions),
            (|o| o.dialling = usize::MAX, OptionsError::Dialling),
            (
                |o| times(|t| t.probe = Duration::ZERO, o),
                OptionsError::Probe,
            ),
            (|o| times(|t| t.suspect = t.probe, o), OptionsError::Suspect),
            (|o| times(|t| t.dead = t.suspect, o), OptionsError::Dead),
            (
                |o| times(|t| t.dead = LONGEST_WAIT + NANOSECOND, o),
                OptionsError::Dead,
            ),
            (
                |o| times(|t| t.unread = Duration::ZERO, o),
                OptionsError::Unread,
            ),
            (
                |o| times(|t| t.unread = LONGEST_WAIT + NANOSECOND, o),
                OptionsError::Unread,
            ),
        ];
        for (change, expected) in wrong {
            assert_eq!(changed(change).check(), Err(expected));
        }
    }
}
