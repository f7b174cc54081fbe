use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::turns::Turns;
use crate::limits::{LOOKUP_WAIT, LOOKUPS, LOOKUPS_PER_SOURCE, MAX_ADDRESSES};
use crate::net::Address;
use crate::sync::spawn;

/// Whose turn it is to ask.
pub(crate) static TURNS: LazyLock<Arc<Turns>> =
    LazyLock::new(|| Turns::new(LOOKUPS, LOOKUPS_PER_SOURCE));

/// The socket addresses of a host, by the system's resolver:
/// [`MAX_ADDRESSES`] at the most.
///
/// The system takes as long as it likes, and cannot be stopped. So it is asked
/// on a thread of its own, and no caller waits for longer than [`LOOKUP_WAIT`].
/// [`LOOKUPS`] go on at once, those for which nobody waits any more included,
/// and of one source [`LOOKUPS_PER_SOURCE`]; others wait for their turn, which
/// counts as time of theirs.
///
/// # Errors
/// What the resolver says, [`io::ErrorKind::NotFound`] for an empty answer,
/// [`io::ErrorKind::TimedOut`] without an answer or a turn, and as
/// [`spawn`] without a thread.
pub fn resolve(address: &Address, port: u16) -> io::Result<Vec<SocketAddr>> {
    resolve_for(None, address, port)
}

/// As [`resolve`], on behalf of a visitor who comes from `source`: no source
/// takes everybody's turn.
///
/// # Errors
/// As `resolve`.
pub fn resolve_for(
    source: Option<IpAddr>,
    address: &Address,
    port: u16,
) -> io::Result<Vec<SocketAddr>> {
    match address {
        Address::Ip(ip) => Ok(vec![SocketAddr::new(*ip, port)]),
        Address::Domain(name) => {
            let name = name.clone();
            in_turn(&TURNS, source, LOOKUP_WAIT, move || {
                (name.as_str(), port).to_socket_addrs()
            })
        }
    }
}

/// The turn is over when the system has answered, not when the caller leaves.
fn in_turn<I: Iterator<Item = SocketAddr>>(
    turns: &Arc<Turns>,
    source: Option<IpAddr>,
    wait: Duration,
    look_up: impl FnOnce() -> io::Result<I> + Send + 'static,
) -> io::Result<Vec<SocketAddr>> {
    let deadline = Instant::now() + wait;
    let turn = turns.take(source, wait);
    let turn = turn.ok_or_else(|| late("too many names are being resolved"))?;
    let (tell, told) = bounded(1);
    spawn("lookup", move || {
        let found = look_up().map(|found| found.take(MAX_ADDRESSES).collect());
        drop(turn);
        let _ = tell.send(found);
    })?;
    let found: Vec<SocketAddr> = match told.recv_deadline(deadline) {
        Ok(found) => found?,
        Err(RecvTimeoutError::Timeout) => return Err(late("name is not resolved in time")),
        Err(RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::Other.into()), // a panic
    };
    match found.is_empty() {
        true => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "name has no address",
        )),
        false => Ok(found),
    }
}

fn late(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::limits::JOIN_DEADLINE;

    fn answer(count: u16) -> impl Iterator<Item = SocketAddr> {
        (1..=count).map(|n| SocketAddr::from(([192, 0, 2, 1], n)))
    }

    #[test]
    fn a_long_answer_is_cut_and_an_empty_one_is_an_error() {
        let turns = Turns::new(1, 1);
        let look_up = |count| in_turn(&turns, None, JOIN_DEADLINE, move || Ok(answer(count)));
        assert_eq!(look_up(10_000).unwrap().len(), MAX_ADDRESSES);
        let few = look_up(MAX_ADDRESSES as u16).unwrap();
        assert!(few.into_iter().eq(answer(MAX_ADDRESSES as u16)));
        assert_eq!(look_up(0).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(turns.taken(), 0);
    }

    const MOMENT: Duration = Duration::from_millis(10);

    fn is_late(outcome: io::Result<Vec<SocketAddr>>) -> bool {
        outcome.is_err_and(|e| e.kind() == io::ErrorKind::TimedOut)
    }

    /// A resolver that does not answer costs its callers their time and no
    /// more. Its turns are taken until it has answered: others fail in time,
    /// and are served after that.
    #[test]
    fn as_many_as_may_are_resolved_at_once() {
        let turns = Turns::new(2, 2);
        let (release, released) = bounded::<()>(0);
        for taken in 1..=2 {
            let released = released.clone();
            let hangs = in_turn(&turns, None, MOMENT, move || {
                let _ = released.recv();
                Ok(answer(1))
            });
            assert!(is_late(hangs));
            assert_eq!(turns.taken(), taken);
        }
        assert!(is_late(in_turn(&turns, None, MOMENT, || Ok(answer(1)))));
        thread::scope(|scope| {
            let patient = scope.spawn(|| in_turn(&turns, None, JOIN_DEADLINE, || Ok(answer(1))));
            drop(release);
            assert!(patient.join().unwrap().is_ok());
        });
        let all: Vec<_> = (0..2).map(|_| turns.take(None, JOIN_DEADLINE)).collect();
        assert!(all.iter().all(Option::is_some), "a turn is lost");
    }

    #[test]
    fn a_failure_gives_its_turn_back() {
        let turns = Turns::new(1, 1);
        for _ in 0..3 {
            let failed = in_turn(&turns, None, JOIN_DEADLINE, || {
                Err::<std::iter::Empty<_>, _>(io::ErrorKind::Other.into())
            });
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::Other);
        }
    }
}
