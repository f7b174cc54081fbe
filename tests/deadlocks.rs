//! With the feature `deadlocks`, threads that wait for each other's locks end
//! the process and say where they wait.

#![cfg(all(unix, feature = "deadlocks"))]

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use muxcool::sync::{Done, spawn};
use parking_lot::Mutex;

const IN_CHILD: &str = "MUXCOOL_TEST_DEADLOCK";

const SIGABRT: i32 = 6;

/// Runs itself again, as the process that ends.
#[test]
fn a_deadlock_ends_the_process_with_the_places() {
    if env::var_os(IN_CHILD).is_some() {
        return deadlock();
    }
    let child = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "a_deadlock_ends_the_process_with_the_places",
            "--nocapture",
        ])
        .env(IN_CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert_eq!(child.status.signal(), Some(SIGABRT), "{said}");
    for number in [1, 2] {
        assert!(
            said.contains(&format!("deadlocked thread {number}")),
            "{said}"
        );
    }
}

/// Two threads of the crate's take two locks in different orders.
fn deadlock() {
    let locks = [Arc::new(Mutex::new(())), Arc::new(Mutex::new(()))];
    let both_have_one = Arc::new(Barrier::new(2));
    for (first, second) in [(0, 1), (1, 0)] {
        let (first, second) = (locks[first].clone(), locks[second].clone());
        let both_have_one = both_have_one.clone();
        let takes_both = move || {
            let _first = first.lock();
            both_have_one.wait();
            let _second = second.lock();
        };
        let _ = spawn("deadlocks-here", takes_both).unwrap();
    }
    Done::new().wait_timeout(Duration::from_secs(60));
}
