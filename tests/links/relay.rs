//! `relay` and `copy`, over every pair of link kinds.

use muxcool::link::{Handle, Link, LinkError, copy, relay};

use crate::ends::{Job, Kind, SIDES, content, ends, flood, receive, send};
use crate::tasks::wait_until_asleep;

/// Rounds of what depends on which thread is faster.
const ROUNDS: usize = 60;

/// A relay under way, and the outer ends of its two links.
struct Running {
    near: Link,
    far: Link,
    relay: Job<Result<(), LinkError>>,
    what: String,
}

impl Running {
    fn start((near_kind, far_kind): (Kind, Kind)) -> Self {
        let (near, inner_near) = ends(near_kind);
        let (inner_far, far) = ends(far_kind);
        Self {
            near,
            far,
            relay: Job::start("relay-up", move || relay(inner_near, inner_far)),
            what: format!("{near_kind:?} to {far_kind:?}"),
        }
    }
}

#[test]
fn everything_arrives_both_ways_and_both_ends() {
    for sides in SIDES {
        let Running {
            mut near,
            mut far,
            relay,
            what,
        } = Running::start(sides);
        let (up, down) = (content(1, 700_000), content(2, 900_000));
        let (up_sent, down_sent) = (up.clone(), down.clone());
        let near_sends = Job::start("near-sends", move || {
            send(near.writer.as_mut(), &up_sent).unwrap();
            near.writer.close().unwrap();
            near.writer
        });
        let far_sends = Job::start("far-sends", move || {
            send(far.writer.as_mut(), &down_sent).unwrap();
            far.writer.close().unwrap();
            far.writer
        });
        let far_reader = Job::start("far-reads", move || receive(far.reader.as_mut()));
        let at_near = receive(near.reader.as_mut());
        let at_far = far_reader.finish(&what);
        assert!(at_near.end.is_ok() && at_far.end.is_ok(), "{what}");
        assert!(at_near.data == down && at_far.data == up, "{what}");
        assert!(relay.finish(&what).is_ok(), "{what}");
        near_sends.finish(&what);
        far_sends.finish(&what);
    }
}

/// The answer may be as long as it likes after the question has ended.
#[test]
fn one_direction_ends_while_the_other_goes_on() {
    for sides in SIDES {
        for near_first in [true, false] {
            let Running {
                near,
                far,
                relay,
                what,
            } = Running::start(sides);
            let (mut first, mut second) = match near_first {
                true => (near, far),
                false => (far, near),
            };
            send(first.writer.as_mut(), b"question").unwrap();
            first.writer.close().unwrap();
            let question = receive(second.reader.as_mut());
            assert!(question.end.is_ok(), "{what}");
            assert_eq!(question.data, b"question", "{what}");

            let answer = content(3, 300_000);
            let sent = answer.clone();
            let answering = Job::start("answers", move || {
                send(second.writer.as_mut(), &sent).unwrap();
                second.writer.close().unwrap();
                second
            });
            let received = receive(first.reader.as_mut());
            assert!(received.end.is_ok() && received.data == answer, "{what}");
            assert!(relay.finish(&what).is_ok(), "{what}");
            answering.finish(&what);
        }
    }
}

/// How one side of a connection goes away without an orderly end.
type Cut = fn(Link);

const CUTS: [(&str, Cut); 3] = [
    ("abort", |mut link| link.writer.abort()),
    ("drop", drop),
    ("interrupt", |link| link.writer.handle().interrupt()),
];

#[test]
fn a_cut_arrives_as_an_error_on_the_other_side() {
    for sides in SIDES {
        for (how, cut) in CUTS {
            for near_first in [true, false] {
                let Running {
                    near,
                    far,
                    relay,
                    what,
                } = Running::start(sides);
                let what = format!("{what}, {how}");
                let (mut cutting, mut other) = match near_first {
                    true => (near, far),
                    false => (far, near),
                };
                send(cutting.writer.as_mut(), b"half of it").unwrap();
                assert!(other.reader.read().unwrap().is_some(), "{what}");
                cut(cutting);
                let received = receive(other.reader.as_mut());
                assert!(received.end.is_err(), "{what}: a clean end");
                assert!(relay.finish(&what).is_err(), "{what}");
            }
        }
    }
}

/// A cut of one direction must not let the other one end in an orderly way,
/// whichever of the relay's threads is faster.
#[test]
fn a_cut_under_traffic_is_never_a_clean_end() {
    for sides in SIDES {
        for round in 0..ROUNDS {
            let Running {
                mut near,
                far,
                relay,
                what,
            } = Running::start(sides);
            let Link {
                reader: mut far_reader,
                writer: mut far_writer,
            } = far;
            let download = Job::start("download", move || flood(far_writer.as_mut()));
            let uploaded = Job::start("upload", move || receive(far_reader.as_mut()));
            for _ in 0..=round % 7 {
                send(near.writer.as_mut(), &content(4, 20_000)).unwrap();
                near.reader.read().unwrap().unwrap();
            }
            drop(near);
            let uploaded = uploaded.finish(&what);
            assert!(uploaded.end.is_err(), "{what}: a clean end, round {round}");
            download.finish(&what);
            assert!(relay.finish(&what).is_err(), "{what}");
        }
    }
}

/// The far side does not read, so all writers are stuck when the cut comes.
#[test]
fn a_cut_wakes_a_relay_that_is_stuck_in_writing() {
    for sides in SIDES {
        for _ in 0..5 {
            let Running {
                near,
                mut far,
                relay,
                what,
            } = Running::start(sides);
            let Link {
                reader: _near_reader,
                writer: mut near_writer,
            } = near;
            let handle: Handle = near_writer.handle();
            let stuck = Job::start("stuck-writer", move || {
                let error = flood(near_writer.as_mut());
                (error, near_writer)
            });
            wait_until_asleep("stuck-writer", 1);
            handle.interrupt();
            let (error, _writer) = stuck.finish(&what);
            assert!(matches!(error, LinkError::Reset), "{what}: {error:?}");
            let received = receive(far.reader.as_mut());
            assert!(received.end.is_err(), "{what}: a clean end");
            assert!(relay.finish(&what).is_err(), "{what}");
        }
    }
}

#[test]
fn copy_carries_data_and_the_kind_of_end() {
    for (from, to) in SIDES {
        for orderly in [true, false] {
            let what = format!("{from:?} to {to:?}");
            let (mut source, mut inner_source) = ends(from);
            let (mut inner_target, mut target) = ends(to);
            let copying = Job::start("copies", move || {
                let reader = inner_source.reader.as_mut();
                copy(reader, inner_target.writer.as_mut())
            });
            send(source.writer.as_mut(), b"data").unwrap();
            assert!(target.reader.read().unwrap().is_some(), "{what}");
            match orderly {
                true => source.writer.close().unwrap(),
                false => source.writer.abort(),
            }
            let received = receive(target.reader.as_mut());
            assert_eq!(received.end.is_ok(), orderly, "{what}");
            assert_eq!(copying.finish(&what).is_ok(), orderly, "{what}");
        }
    }
}

#[test]
fn a_link_of_pipes_tells_the_ends_apart() {
    let (mut near, mut far) = ends(Kind::Pipe);
    near.writer.close().unwrap();
    assert!(matches!(far.reader.read(), Ok(None)));
    assert!(matches!(
        send(near.writer.as_mut(), b"late"),
        Err(LinkError::Closed)
    ));
    // Half-open: the other direction still works.
    send(far.writer.as_mut(), b"answer").unwrap();
    assert_eq!(near.reader.read().unwrap().unwrap().as_slice(), b"a");
    drop(far);
    assert!(matches!(near.reader.read(), Err(LinkError::Reset)));
}
