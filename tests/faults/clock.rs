//! A clock that is set, forwards or backwards, changes nothing but the stamps
//! of log lines: nothing else reads it, but for protocols that carry the date.
//! Times are taken from the clock that only goes on, which tests inject.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::scan::Scan;

/// How the wall clock can be read, here or in crates that we use directly.
const WALL_CLOCK: [&[&str]; 6] = [
    &["SystemTime"],
    &["UNIX_EPOCH"],
    &["Timestamp", "::", "now"],
    &["Zoned", "::", "now"],
    &["clock_gettime"],
    &["elapsed_since_epoch"],
];

/// Who may: log lines say when. Requests of VMess carry the time of day, as the
/// protocol has it, and are refused when it is far off. Certificates are valid
/// by the date, and their files bear one. A metric says when the program started.
/// systemd is told the time since the machine's start.
const READERS: [&str; 5] = [
    "app/stamp.rs",
    "app/status/census.rs",
    "cli/supervisor.rs",
    "proxy/vmess/",
    "transport/tls/",
];

pub fn nothing_but_log_lines_goes_by_the_time_of_day() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = sources(&root);
    assert!(files.len() > 100, "the sources are elsewhere");
    let mut readers: Vec<String> = files
        .iter()
        .filter(|file| reads_the_time_of_day(&fs::read_to_string(file).expect("a source")))
        .map(|file| {
            file.strip_prefix(&root)
                .expect("a root")
                .display()
                .to_string()
        })
        .collect();
    assert!(
        readers.contains(&READERS[0].to_owned()),
        "it is not noticed"
    );
    readers.retain(|file| !READERS.iter().any(|reader| file.starts_with(reader)));
    assert!(readers.is_empty(), "{readers:?} go by the time of day");
}

fn reads_the_time_of_day(source: &str) -> bool {
    let scan = Scan::new(&[], source);
    WALL_CLOCK.iter().any(|name| scan.contains(name))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => sources(&path),
            path if path.extension().is_some_and(|e| e == "rs") => vec![path],
            _ => Vec::new(),
        })
        .collect()
}
