use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use crate::limits::{LOOKUP_WAIT, LOOKUPS, MAX_ADDRESSES};
use crate::net::Address;
use crate::sync::Quota;

/// The socket addresses of a host, by the system's resolver:
/// [`MAX_ADDRESSES`] at the most.
///
/// It takes as long as the system does. [`LOOKUPS`] of them go on at once;
/// others wait for their turn, [`LOOKUP_WAIT`] at the most.
///
/// # Errors
/// What the resolver says, [`io::ErrorKind::NotFound`] for an empty answer, or
/// [`io::ErrorKind::TimedOut`] without a turn.
pub fn resolve(address: &Address, port: u16) -> io::Result<Vec<SocketAddr>> {
    static TURNS: LazyLock<Arc<Quota>> = LazyLock::new(|| Quota::new(LOOKUPS));
    match address {
        Address::Ip(ip) => Ok(vec![SocketAddr::new(*ip, port)]),
        Address::Domain(name) => in_turn(&TURNS, LOOKUP_WAIT, || {
            (name.as_str(), port).to_socket_addrs()
        }),
    }
}

fn in_turn<I: Iterator<Item = SocketAddr>>(
    turns: &Arc<Quota>,
    wait: Duration,
    look_up: impl FnOnce() -> io::Result<I>,
) -> io::Result<Vec<SocketAddr>> {
    let turn = turns.take_timeout(wait);
    let turn = turn.ok_or_else(|| {
        io::Error::new(io::ErrorKind::TimedOut, "too many names are being resolved")
    })?;
    let found: Vec<SocketAddr> = look_up()?.take(MAX_ADDRESSES).collect();
    drop(turn);
    match found.is_empty() {
        true => Err(io::Error::new(
            io::ErrorKind::NotFound,
            "name has no address",
        )),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;
    use crate::limits::JOIN_DEADLINE;

    fn answer(count: u16) -> impl Iterator<Item = SocketAddr> {
        (1..=count).map(|n| SocketAddr::from(([192, 0, 2, 1], n)))
    }

    #[test]
    fn a_long_answer_is_cut_and_an_empty_one_is_an_error() {
        let turns = Quota::new(1);
        let look_up = |count| in_turn(&turns, Duration::ZERO, || Ok(answer(count)));
        assert_eq!(look_up(10_000).unwrap().len(), MAX_ADDRESSES);
        let few = look_up(MAX_ADDRESSES as u16).unwrap();
        assert!(few.into_iter().eq(answer(MAX_ADDRESSES as u16)));
        assert_eq!(look_up(0).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(turns.taken(), 0);
    }

    /// A resolver that does not answer takes its turns and no more: others
    /// fail in time, and are served once it has answered.
    #[test]
    fn as_many_as_may_are_resolved_at_once() {
        let turns = Quota::new(2);
        let (release, released) = bounded::<()>(0);
        std::thread::scope(|scope| {
            let stuck = [(); 2].map(|()| {
                scope.spawn(|| {
                    in_turn(&turns, JOIN_DEADLINE, || {
                        let _ = released.recv();
                        Ok(answer(1))
                    })
                })
            });
            while turns.taken() < 2 {
                std::thread::yield_now();
            }
            let hasty = in_turn(&turns, Duration::ZERO, || Ok(answer(1)));
            assert_eq!(hasty.unwrap_err().kind(), io::ErrorKind::TimedOut);
            let patient = scope.spawn(|| in_turn(&turns, JOIN_DEADLINE, || Ok(answer(1))));
            drop(release);
            for one in stuck.into_iter().chain([patient]) {
                assert!(one.join().unwrap().is_ok());
            }
        });
    }

    #[test]
    fn a_failure_gives_its_turn_back() {
        let turns = Quota::new(1);
        for _ in 0..3 {
            let failed = in_turn(&turns, Duration::ZERO, || {
                Err::<std::iter::Empty<_>, _>(io::ErrorKind::Other.into())
            });
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::Other);
        }
    }
}
