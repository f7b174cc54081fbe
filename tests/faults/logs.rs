//! Log lines that cannot be written are lost, and nothing else.

use serde_json::{Value, json};

use super::{
    REVERSE,
    lanes::{Lanes, Setting},
    orders::Orders,
    support::{
        PATIENCE, eventually,
        relay::{Fault, Relay},
        streams::{Ending, Manner},
    },
};
use std::time::Instant;

/// All that can be logged.
fn everything_to(error: Option<&str>, access: Option<&str>) -> Value {
    let mut log = json!({ "loglevel": "debug" });
    for (name, target) in [("error", error), ("access", access)] {
        if let Some(target) = target {
            log[name] = target.into();
        }
    }
    log
}

pub fn files_on_a_full_disk() {
    serve(Setting {
        log: everything_to(Some("/dev/full"), Some("/dev/full")),
        limits: "",
    });
}

pub fn terminals_on_a_full_disk() {
    serve(Setting {
        log: everything_to(None, None),
        limits: "exec >/dev/full 2>&1",
    });
}

pub fn closed_descriptors() {
    serve(Setting {
        log: everything_to(None, None),
        limits: "exec >&- 2>&-",
    });
}

/// Who read the log has ended: writing fails with a broken pipe.
pub fn pipes_that_nobody_reads() {
    serve(Setting {
        log: everything_to(None, None),
        limits: "d=$(mktemp -d) && mkfifo $d/log && exec 3<>$d/log >$d/log 2>&1 3<&- && rm -r $d",
    });
}

/// Who reads the log has stopped to, and the pipe is full: writing blocks.
pub fn pipes_that_are_full() {
    serve(Setting {
        log: everything_to(None, None),
        limits: "d=$(mktemp -d) && mkfifo $d/log && exec 3<>$d/log && \
                 dd if=/dev/zero of=$d/log bs=512 oflag=nonblock 2>/dev/null; \
                 exec >$d/log 2>&1 && rm -r $d",
    });
}

/// Streams are served, a carrier is lost and replaced, the programs end well.
fn serve(setting: Setting) {
    let orders = Orders::of(50_000, 50_000);
    let lanes = Lanes::start_with(REVERSE, 1, orders.service.address(), setting, Relay::start);
    let lane = &lanes.lanes[0];
    for _ in 0..2 {
        let opened = eventually(Instant::now() + PATIENCE, || {
            match orders.place(&lane.entry(), Manner::HalfClose) {
                Ending::Whole => Ok(()),
                other => Err(other),
            }
        });
        opened.expect("a stream");
        let endings = orders.place_many(8, &lane.entry(), Manner::HalfClose);
        assert_eq!(endings, vec![Ending::Whole; 8]);
        lane.relay.inflict(Fault::Reset);
    }
    orders.assert_none_forbidden(REVERSE.judged());
    lanes.finish();
}
