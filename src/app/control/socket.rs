use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::{debug, info, warn};
use parking_lot::Mutex;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::commands::Commands;
use super::place::Places;
use super::{client, lines};
use crate::config::ControlPlan;
use crate::limits::{
    ACCEPT_PAUSE, CONTROL_CLIENTS, CONTROL_PATIENCE, CONTROL_REQUEST, JOIN_DEADLINE,
};
use crate::sync::{Complaints, Crew, Done};

/// A control socket that is listened on.
///
/// Owns the thread `control`, which accepts, and one `control-N` for each
/// client: as many as [`CONTROL_CLIENTS`], who must say within
/// [`CONTROL_PATIENCE`] what they want, and take the answer within as much.
/// Closing it, or dropping it, ends them and removes the file.
pub struct ControlSocket {
    shared: Arc<Shared>,
    path: PathBuf,
    /// The file's number: another may be there under its name later.
    inode: u64,
}

struct Shared {
    listener: UnixListener,
    commands: Commands,
    live: Mutex<Live>,
    crew: Crew,
    closed: Done,
}

#[derive(Default)]
struct Live {
    next: u64,
    streams: Vec<(u64, Arc<UnixStream>)>,
}

impl ControlSocket {
    /// Listens at `path`, in place of a socket that nobody listens on any more.
    ///
    /// # Errors
    /// [`ErrorKind::AddrInUse`] if somebody does, or it is no socket; and what
    /// the system says.
    pub fn start(path: &Path, commands: Commands) -> io::Result<Self> {
        clear(path)?;
        let listener = listen(path)?;
        let shared = Arc::new(Shared {
            listener,
            commands,
            live: Mutex::default(),
            crew: Crew::new(),
            closed: Done::new(),
        });
        let socket = Self {
            inode: fs::symlink_metadata(path)?.ino(),
            path: path.to_owned(),
            shared,
        };
        let inner = socket.shared.clone();
        let accepting = move || inner.accept_loop();
        socket.shared.crew.spawn("control", accepting)?;
        Ok(socket)
    }

    /// Listens where the plan wants it. The program goes on without if that
    /// cannot be, and the log says so.
    pub fn open(plan: &ControlPlan, commands: Commands) -> Option<Self> {
        let path = match plan {
            ControlPlan::Off => return None,
            ControlPlan::ByProcess => Places::of_process().own(),
            ControlPlan::At(path) => Ok(path.clone()),
        };
        let opened = path.and_then(|path| {
            let socket = Self::start(&path, commands);
            socket.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
        });
        match opened {
            Ok(socket) => {
                info!("control socket at {}", socket.path.display());
                Some(socket)
            }
            Err(e) => {
                warn!("there is no control socket: {e}");
                None
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes no more requests, ends those under way, and waits for the threads.
    pub fn close(&self) {
        if !self.shared.closed.signal() {
            return;
        }
        // Linux wakes an accept that waits when its socket is shut down.
        let _ = SockRef::from(&self.shared.listener).shutdown(Shutdown::Both);
        self.shared.live.lock().cut_all();
        let left = self.shared.crew.join(JOIN_DEADLINE);
        if !left.is_empty() {
            warn!("threads that did not end: {}", left.join(", "));
        }
        let found = fs::symlink_metadata(&self.path);
        if found.is_ok_and(|found| found.ino() == self.inode) {
            let _ = fs::remove_file(&self.path); // at worst it stays, and is stale
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for ControlSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ControlSocket({})", self.path.display())
    }
}

/// Removes what an earlier program has left at `path`.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e),
        Ok(found) if found.file_type().is_socket() && is_stale(path) => fs::remove_file(path),
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
    }
}

/// Whether nobody listens on the socket any more.
pub(super) fn is_stale(path: &Path) -> bool {
    let reached = client::connect(path);
    reached.is_err_and(|e| e.kind() == ErrorKind::ConnectionRefused)
}

/// Nobody can connect before the mode is set, for that takes a listener.
fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    socket.listen(CONTROL_CLIENTS as i32)?;
    Ok(socket.into())
}

impl Shared {
    /// Body of `control`. Woken by connections, and by the shutdown of the
    /// socket.
    fn accept_loop(self: Arc<Self>) {
        let trouble = Complaints::rare();
        while !self.closed.is_done() {
            let accepted = self.listener.accept();
            let Err(e) = accepted.and_then(|(stream, _)| self.admit(stream)) else {
                continue;
            };
            if self.closed.is_done() {
                return;
            }
            if let Some(unsaid) = trouble.turn() {
                warn!("control socket: cannot accept: {e}{unsaid}");
            }
            self.closed.wait_timeout(ACCEPT_PAUSE);
        }
    }

    /// One too many is closed.
    fn admit(self: &Arc<Self>, stream: UnixStream) -> io::Result<()> {
        let stream = Arc::new(stream);
        let Some(number) = self.live.lock().add(&stream) else {
            return Ok(());
        };
        let entry = Entry {
            shared: self.clone(),
            number,
        };
        self.crew.spawn(&format!("control-{number}"), move || {
            if let Err(e) = entry.shared.serve(&stream) {
                debug!("control socket: {e}");
            }
            drop(entry);
        })
    }

    /// Body of `control-N`. Woken by its client, by its deadlines, and by the
    /// shutdown of the socket.
    fn serve(&self, stream: &UnixStream) -> io::Result<()> {
        if self.closed.is_done() {
            return Ok(());
        }
        let line = lines::read(stream, CONTROL_REQUEST, CONTROL_PATIENCE)?;
        let answer = self.commands.answer(&line);
        lines::write(stream, &answer, CONTROL_PATIENCE)
    }
}

/// A client's place among those of now.
struct Entry {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut live = self.shared.live.lock();
        live.streams.retain(|(number, _)| *number != self.number);
    }
}

impl Live {
    /// `None` if there are as many as there may be.
    fn add(&mut self, stream: &Arc<UnixStream>) -> Option<u64> {
        if self.streams.len() >= CONTROL_CLIENTS {
            return None;
        }
        self.next += 1;
        self.streams.push((self.next, stream.clone()));
        Some(self.next)
    }

    fn cut_all(&self) {
        for (_, stream) in &self.streams {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}
