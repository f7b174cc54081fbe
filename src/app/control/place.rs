//! Where control sockets are.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;

use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, getuid};

use super::{client, socket};

/// The part of a name that says what it is.
const SUFFIX: &str = "sock";

/// The directories in which this user's programs have their control sockets,
/// each under its process's number.
#[derive(Debug, Clone)]
pub struct Places {
    /// systemd has made it for this process.
    service: Option<PathBuf>,
    /// Of the user's session.
    session: Option<PathBuf>,
    /// Of the system, where root may make some.
    system: PathBuf,
    /// In which services have one each, under their names.
    services: PathBuf,
    /// Where everybody may.
    temporary: PathBuf,
    user: u32,
}

/// A program that listens on a control socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Running {
    /// The process's number, as the socket is called.
    pub pid: u32,
    /// The socket.
    pub path: PathBuf,
}

impl Places {
    /// As the environment has them: `$RUNTIME_DIRECTORY`,
    /// `$XDG_RUNTIME_DIR/muxcool`, `/run/muxcool`, and a directory of the user's
    /// among the temporary files.
    pub fn of_process() -> Self {
        let user = getuid().as_raw();
        let absolute = |name| {
            let path = env::var_os(name).map(PathBuf::from);
            path.filter(|path| path.is_absolute())
        };
        Self {
            service: absolute("RUNTIME_DIRECTORY").map(first),
            session: absolute("XDG_RUNTIME_DIR").map(|path| path.join("muxcool")),
            system: "/run/muxcool".into(),
            services: "/run".into(),
            temporary: env::temp_dir().join(format!("muxcool-{user}")),
            user,
        }
    }

    /// Where this process's socket belongs. Makes the directory, and removes
    /// the sockets in it that nobody listens on any more.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`] if the directory is somebody else's too,
    /// and what the system says.
    pub fn own(&self) -> io::Result<PathBuf> {
        let directory = match (&self.service, &self.session) {
            (Some(service), _) => service.clone(),
            (None, Some(session)) => self.private(session)?,
            (None, None) if self.user == 0 => self.private(&self.system)?,
            (None, None) => self.private(&self.temporary)?,
        };
        remove_stale(&directory);
        Ok(directory.join(format!("{}.{SUFFIX}", process::id())))
    }

    /// The programs of this user that can be reached, by their number.
    pub fn running(&self) -> Vec<Running> {
        let optional = [&self.service, &self.session].into_iter().flatten();
        let mut directories: Vec<PathBuf> = optional.cloned().collect();
        directories.push(self.system.clone());
        directories.extend(parts(&self.system));
        if self.is_private(&self.temporary) {
            directories.push(self.temporary.clone());
        }
        let known = directories.iter().flat_map(|directory| sockets(directory));
        let reached = known.filter(|running| client::connect(&running.path).is_ok());
        let services = parts(&self.services);
        let others = services.iter().flat_map(|directory| sockets(directory));
        let others = others.filter(Running::is_its_process);
        let found: BTreeSet<Running> = reached.chain(others).collect();
        found.into_iter().collect()
    }

    /// The directory, which is made if it is not there.
    fn private(&self, directory: &Path) -> io::Result<PathBuf> {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        match self.is_private(directory) {
            true => Ok(directory.to_owned()),
            false => Err(ErrorKind::PermissionDenied.into()),
        }
    }

    /// Whether it is a directory of the user's that others do not write in.
    fn is_private(&self, directory: &Path) -> bool {
        let found = fs::symlink_metadata(directory);
        found.is_ok_and(|found| {
            found.is_dir() && found.uid() == self.user && found.mode() & 0o022 == 0
        })
    }
}

impl Running {
    /// Whether who listens is the process that the socket is called after:
    /// other programs have directories for their sockets, too.
    fn is_its_process(&self) -> bool {
        let named = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let stream = client::connect(&self.path);
        let peer = stream.and_then(|stream| Ok(socket_peercred(stream)?));
        peer.is_ok_and(|peer| Some(peer.pid) == named)
    }
}

/// systemd separates several by colons.
fn first(paths: PathBuf) -> PathBuf {
    match paths.to_str().and_then(|text| text.split(':').next()) {
        Some(first) => first.into(),
        None => paths,
    }
}

/// The directories in a directory: units have theirs there.
fn parts(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let inner = entries.map(|entry| entry.path());
    inner.filter(|path| path.is_dir()).collect()
}

fn sockets(directory: &Path) -> Vec<Running> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let sockets = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()));
    let named = sockets.filter_map(|entry| {
        let path = entry.path();
        let stem = path.file_stem()?.to_str()?;
        let pid = stem.parse().ok()?;
        let is_ours = path.extension().is_some_and(|suffix| suffix == SUFFIX);
        is_ours.then_some(Running { pid, path })
    });
    named.collect()
}

/// Those of processes that are there are left alone without a look.
fn remove_stale(directory: &Path) {
    for Running { pid, path } in sockets(directory) {
        let is_running = Path::new("/proc").join(pid.to_string()).exists();
        if !is_running && socket::is_stale(&path) {
            let _ = fs::remove_file(path); // the next one may try again
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Everywhere below one directory, as the tests' user, who may be root.
    fn places(root: &Path) -> Places {
        Places {
            service: None,
            session: Some(root.join("session")),
            system: root.join("system"),
            services: root.join("services"),
            temporary: root.join("temporary"),
            user: getuid().as_raw(),
        }
    }

    #[test]
    fn the_directory_is_made_for_this_user_alone() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        let path = places.own().unwrap();
        let directory = root.path().join("session");
        let mode = fs::metadata(&directory).unwrap().mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(path, directory.join(format!("{}.sock", process::id())));
        assert_eq!(places.own().unwrap(), path);
        let service = Places {
            service: Some(first("/run/a:/run/b".into())),
            ..places
        };
        assert!(service.own().unwrap().starts_with("/run/a"));
    }

    #[test]
    fn a_directory_that_others_write_in_is_not_used() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        places.own().unwrap();
        let open = Permissions::from_mode(0o777);
        fs::set_permissions(root.path().join("session"), open).unwrap();
        let refused = places.own().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn who_listens_is_found_and_what_is_stale_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        places.own().unwrap();
        let unit = root.path().join("system").join("portal");
        fs::create_dir_all(&unit).unwrap();
        let gone = u32::MAX; // more than there can be
        let paths = [
            root.path().join("session").join("1.sock"),
            unit.join("2.sock"),
            root.path().join("session").join(format!("{gone}.sock")),
            root.path().join("session").join("other.sock"),
        ];
        let mut listeners: Vec<_> = paths.iter().map(UnixListener::bind).collect();
        let running = |pid, path: &PathBuf| Running {
            pid,
            path: path.clone(),
        };
        let [one, two, stale, _] = &paths;
        let both = [running(1, one), running(2, two)];
        assert_eq!(places.running()[..2], both);
        drop(listeners.remove(2));
        assert_eq!(places.running(), both);
        assert!(stale.exists());
        places.own().unwrap();
        assert!(!stale.exists() && one.exists());
    }

    /// Such as systemd makes them for services, under any name.
    #[test]
    fn services_of_other_names_are_found() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        let directory = root.path().join("services").join("web");
        fs::create_dir_all(&directory).unwrap();
        let own = process::id();
        let path = directory.join(format!("{own}.sock"));
        let _own = UnixListener::bind(&path).unwrap();
        let _other = UnixListener::bind(directory.join("1.sock")).unwrap();
        assert_eq!(places.running(), [Running { pid: own, path }]);
    }
}
