//! The inputs that fuzzing has found worth keeping, through the functions that
//! the fuzz targets call. How to fuzz is said in `fuzz/Cargo.toml`.

#[path = "fuzz/src/lib.rs"]
mod fuzz;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A corpus is the smallest that covers what a long run has covered.
const MOST_FILES: usize = 700;
const MOST_BYTES: u64 = 1024 * 1024;

/// Panics of any thread: a worker's own threads catch theirs, and go on.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// The files in a folder, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Whether `check` lets an input pass, and no thread panics.
fn passes(check: fuzz::Check, input: &[u8]) -> bool {
    let before = PANICS.load(Ordering::SeqCst);
    let returned = catch_unwind(AssertUnwindSafe(|| check(input))).is_ok();
    returned && PANICS.load(Ordering::SeqCst) == before
}

/// One test for all: threads of one input must not be taken for another's.
#[test]
fn every_input_of_every_target_keeps_the_promises() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        report(info);
    }));
    let mut failed = Vec::new();
    for (name, check) in fuzz::TARGETS {
        let inputs = files(&project().join("corpus").join(name));
        assert!(!inputs.is_empty(), "{name} has no inputs");
        for path in inputs {
            if !passes(check, &fs::read(&path).unwrap()) {
                failed.push(path);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(
        !passes(|_| panic!("on purpose"), b""),
        "a panic goes unnoticed"
    );
}

#[test]
fn the_corpus_is_small() {
    let inputs = files(&project().join("corpus"))
        .into_iter()
        .flat_map(|folder| files(&folder));
    let sizes: Vec<u64> = inputs
        .map(|path| fs::metadata(path).unwrap().len())
        .collect();
    assert!(sizes.len() <= MOST_FILES, "{} files", sizes.len());
    assert!(sizes.iter().sum::<u64>() <= MOST_BYTES);
}

/// Every target is a program for libFuzzer, with a corpus, and in the table.
#[test]
fn no_target_is_forgotten() {
    let stems = |folder: &str| -> BTreeSet<String> {
        let names = files(&project().join(folder)).into_iter();
        names
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect()
    };
    let table: BTreeSet<String> = fuzz::TARGETS
        .iter()
        .map(|(name, _)| (*name).into())
        .collect();
    assert_eq!(stems("fuzz_targets"), table);
    assert_eq!(stems("corpus"), table);
    let manifest = fs::read_to_string(project().join("Cargo.toml")).unwrap();
    for name in &table {
        let line = format!("name = \"{name}\"");
        assert!(manifest.contains(&line), "{name} is not built");
    }
}
