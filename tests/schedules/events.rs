//! Events, quotas, crews, and the timer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muxcool::sync::{Crew, Done, ManualClock, Next, Quota, Time, Timer, explore};
use shuttle::thread;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_event_wakes_all_and_has_one_cause() {
    explore(Time::StandsStill, || {
        let done = Arc::new(Done::new());
        let waiting = [0, 1, 2].map(|kind| {
            let done = done.clone();
            thread::spawn(move || match kind {
                0 => done.wait(),
                1 => assert!(done.wait_timeout(SECOND)),
                _ => assert!(done.event().recv().is_err()),
            })
        });
        let causes = [0; 2].map(|_| {
            let done = done.clone();
            thread::spawn(move || done.signal())
        });
        let first = causes.map(|cause| cause.join().unwrap());
        assert_ne!(first[0], first[1]);
        for thread in waiting {
            thread.join().unwrap();
        }
        assert!(done.is_done());
    });
}

#[test]
fn a_wait_for_an_event_that_does_not_happen_ends() {
    explore(Time::Passes, || {
        let done = Arc::new(Done::new());
        assert!(!done.wait_timeout(SECOND));
        let signalling = done.clone();
        let signalling = thread::spawn(move || signalling.signal());
        let happened = done.wait_timeout(SECOND);
        signalling.join().unwrap();
        assert!(!happened || done.is_done());
    });
}

#[test]
fn no_more_than_a_quotas_places_are_taken_and_each_is_given_on() {
    explore(Time::StandsStill, || {
        let quota = Quota::new(2);
        let never = Arc::new(Done::new());
        let inside = Arc::new(AtomicUsize::new(0));
        let threads = [0, 1, 2, 3].map(|kind| {
            let (quota, never, inside) = (quota.clone(), never.clone(), inside.clone());
            thread::spawn(move || {
                for _ in 0..2 {
                    let share = match kind % 2 {
                        0 => quota.take_unless(&never),
                        _ => quota.take_timeout(SECOND),
                    };
                    assert!(share.is_some());
                    assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                    thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(quota.taken(), 0);
    });
}

#[test]
fn who_waits_for_a_place_can_be_sent_away() {
    explore(Time::StandsStill, || {
        let quota = Quota::new(1);
        let closed = Arc::new(Done::new());
        let held = quota.try_take().unwrap();
        let waiting = [0; 2].map(|_| {
            let (quota, closed) = (quota.clone(), closed.clone());
            thread::spawn(move || quota.take_unless(&closed).is_some())
        });
        closed.signal();
        drop(held);
        for thread in waiting {
            thread.join().unwrap();
        }
        assert_eq!(quota.taken(), 0);
    });
}

#[test]
fn a_crew_waits_for_its_members_and_their_own() {
    explore(Time::StandsStill, || {
        let crew = Crew::new();
        let ended = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            let (inner, ended) = (crew.clone(), ended.clone());
            crew.spawn("member", move || {
                let also = ended.clone();
                let own = move || {
                    also.fetch_add(1, Ordering::SeqCst);
                };
                inner.spawn("own", own).unwrap();
                ended.fetch_add(1, Ordering::SeqCst);
            })
            .unwrap();
        }
        assert!(crew.join(SECOND).is_empty());
        assert_eq!(ended.load(Ordering::SeqCst), 4);
    });
}

/// The thread may look for the next deadline, set its alarm, and fall asleep,
/// at any time while the deadline is set and time passes.
#[test]
fn no_deadline_is_overslept() {
    explore(Time::StandsStill, || {
        let clock = ManualClock::new();
        let timer = Timer::new(clock.clock()).unwrap();
        let _far = timer.every(100 * SECOND, || ());
        let done = Arc::new(Done::new());
        let tell = done.clone();
        let near = timer.schedule(SECOND, move || {
            tell.signal();
            Next::Stop
        });
        clock.advance(SECOND);
        done.wait();
        drop(near);
    });
}

#[test]
fn a_task_that_is_moved_or_dropped_while_it_runs_stays_so() {
    explore(Time::StandsStill, || {
        let clock = ManualClock::new();
        let timer = Timer::new(clock.clock()).unwrap();
        let (ran, moved) = (Arc::new(AtomicUsize::new(0)), Arc::new(Done::new()));
        let (count, tell) = (ran.clone(), moved.clone());
        let task = timer.schedule(SECOND, move || {
            if count.fetch_add(1, Ordering::SeqCst) == 1 {
                tell.signal();
            }
            Next::After(1000 * SECOND)
        });
        let ticking = clock.clone();
        let ticking = thread::spawn(move || ticking.advance(SECOND));
        // Before, in or after its first run: there is another one.
        task.reschedule(10 * SECOND);
        ticking.join().unwrap();
        clock.advance(10 * SECOND);
        if ran.load(Ordering::SeqCst) > 1 {
            moved.wait();
        }
        drop(task);
        drop(timer); // joins
        let before = ran.load(Ordering::SeqCst);
        clock.advance(10_000 * SECOND);
        assert_eq!(ran.load(Ordering::SeqCst), before);
    });
}
