//! What the system knows of this process's threads: their names, and whether
//! one of them waits for something.

// Each test program uses a part of it.
#![allow(dead_code)]

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bound of every wait in a test; reached only by a defect.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Names of the live threads that begin with `prefix`.
pub fn names(prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = tasks()
        .map(|task| task.name)
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

/// Waits until `condition` holds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::yield_now();
    }
}

/// Waits until there are `count` threads of this name and all of them sleep in
/// the system, that is, wait for another thread or for a socket.
pub fn wait_until_asleep(name: &str, count: usize) {
    wait_until(&format!("{count} of {name} asleep"), || {
        let asleep = tasks().filter(|task| task.name == name && task.state == 'S');
        asleep.count() == count
    });
}

/// Waits until every other thread of the process sleeps in the system. What
/// they were woken for has happened then, up to waits with a time limit.
pub fn wait_until_quiet() {
    let own = fs::read_link("/proc/thread-self").unwrap();
    let own = own.file_name().unwrap().to_str().unwrap().to_owned();
    let all_sleep = || tasks().all(|task| task.id == own || task.state == 'S');
    // Twice, for one of the last may wake one of the first while we look.
    wait_until("all threads asleep", || all_sleep() && all_sleep());
}

/// Whether all threads whose names begin with `prefix` sleep in the system.
pub fn all_asleep(prefix: &str) -> bool {
    let mut matching = tasks().filter(|task| task.name.starts_with(prefix));
    matching.all(|task| task.state == 'S')
}

struct Task {
    id: String,
    name: String,
    state: char,
}

fn tasks() -> impl Iterator<Item = Task> {
    let entries = fs::read_dir("/proc/self/task").unwrap();
    // A thread may end while we look.
    entries.filter_map(|entry| parse(&stat_of(&entry.ok()?.path())?))
}

/// It comes in one read, and another one would take as long: tests look often.
fn stat_of(task: &Path) -> Option<String> {
    let mut bytes = [0; 512];
    let len = File::open(task.join("stat")).ok()?.read(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
}

/// `id (name) state ...`
fn parse(stat: &str) -> Option<Task> {
    let (id, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    Some(Task {
        id: id.to_owned(),
        name: name.to_owned(),
        state: rest.chars().next()?,
    })
}
