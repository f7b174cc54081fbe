use std::fs;
use std::io;
use std::path::{self, Path, PathBuf};

use super::args::SourceArgs;
use super::failure::Failure;

/// Read when no other is named.
const DEFAULT_FILE: &str = "config.json";

/// V2Ray's name for standard input.
const STANDARD_INPUT: &str = "stdin:";

impl SourceArgs {
    /// Whether standard input is among the files.
    pub(super) fn have_standard_input(&self) -> bool {
        let mut files = self.files.iter();
        files.any(|file| file.as_os_str() == STANDARD_INPUT)
    }

    /// The files to read, in order: those named, then those of the directory.
    pub(super) fn paths(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut paths = self.files.clone();
        if let Some(directory) = &self.directory {
            paths.extend(files_of(directory)?);
        }
        if paths.is_empty() {
            paths.push(default_file()?);
        }
        Ok(paths)
    }

    /// What they are called from wherever one stands: files, and the directory.
    pub(super) fn names(&self) -> Vec<String> {
        let default = Path::new(DEFAULT_FILE);
        let is_default = self.files.is_empty() && self.directory.is_none();
        let named = self.files.iter().chain(&self.directory);
        let named = named.map(PathBuf::as_path);
        let all = named.chain(is_default.then_some(default));
        all.map(|path| full(path).display().to_string()).collect()
    }
}

fn full(path: &Path) -> PathBuf {
    match path.as_os_str() == STANDARD_INPUT {
        true => path.into(),
        false => path::absolute(path).unwrap_or_else(|_| path.into()),
    }
}

fn default_file() -> Result<PathBuf, Failure> {
    let path = Path::new(DEFAULT_FILE);
    if path.exists() {
        Ok(path.into())
    } else {
        Err(Failure::NothingToRead)
    }
}

fn files_of(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |e| Failure::Directory(directory.into(), e);
    let mut found = json_files(directory).map_err(unreadable)?;
    if found.is_empty() {
        return Err(Failure::EmptyDirectory(directory.into()));
    }
    found.sort();
    Ok(found)
}

fn json_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let paths = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    let is_json = |path: &PathBuf| path.extension().is_some_and(|e| e == "json");
    paths
        .filter(|path| path.as_ref().map_or(true, is_json))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[&str], directory: Option<&Path>) -> SourceArgs {
        SourceArgs {
            files: files.iter().map(PathBuf::from).collect(),
            directory: directory.map(PathBuf::from),
        }
    }

    #[test]
    fn a_directory_adds_its_json_files_by_name() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.json", "a.json", "c.txt"] {
            fs::write(dir.path().join(name), "{}").unwrap();
        }
        let paths = sources(&["z.json"], Some(dir.path())).paths().unwrap();
        let inside = |name| dir.path().join(name);
        let expected = ["z.json".into(), inside("a.json"), inside("b.json")];
        assert_eq!(paths, expected);
    }

    #[test]
    fn names_hold_wherever_one_stands() {
        let names = sources(&["stdin:", "/a.json"], Some(Path::new("/b"))).names();
        assert_eq!(names, ["stdin:", "/a.json", "/b"]);
        let [default] = &sources(&[], None).names()[..] else {
            panic!("one file");
        };
        assert!(default.starts_with('/') && default.ends_with("/config.json"));
    }

    #[test]
    fn a_directory_with_nothing_to_read_is_a_mistake() {
        let dir = tempfile::tempdir().unwrap();
        let empty = sources(&["z.json"], Some(dir.path())).paths();
        assert!(matches!(empty, Err(Failure::EmptyDirectory(_))));
        let missing = dir.path().join("missing");
        let gone = sources(&[], Some(&missing)).paths();
        assert!(matches!(gone, Err(Failure::Directory(..))));
    }
}
