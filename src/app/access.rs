//! The access log: who came, where to, and by which outbound.

use std::fmt::{self, Display};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use log::warn;

use super::stamp;
use crate::config::LogTarget;
use crate::escape::Escaped;
use crate::limits::{ACCESS_GATHERING, ACCESS_QUEUE, LOG_FLUSH};
use crate::link::{Access, Request};
use crate::sync::shim::{Receiver, Sender, bounded, select};
use crate::sync::{Crew, Done};

/// One line for each connection, in V2Ray's form and in local time:
///
/// ```text
/// 2006/01/02 15:04:05 127.0.0.1:5 accepted tcp:a.com:80 [out] email: love@v2ray.com
/// ```
///
/// A thread of its own, `access-log`, writes the lines. When it cannot, for
/// the disk is full or nobody reads, lines are lost, with a warning; no
/// connection ever waits for it.
pub struct AccessLog {
    queue: Sender<String>,
    lost: Arc<AtomicU64>,
    closing: Arc<Done>,
    crew: Crew,
}

impl AccessLog {
    /// The log that a configuration asks for, if any.
    ///
    /// # Errors
    /// As [`to_stdout`](Self::to_stdout) and [`to_file`](Self::to_file).
    pub fn open(target: &LogTarget) -> io::Result<Option<Self>> {
        match target {
            LogTarget::Off => Ok(None),
            LogTarget::Console => Self::to_stdout().map(Some),
            LogTarget::File(path) => Self::to_file(path).map(Some),
        }
    }

    /// A log on standard output.
    ///
    /// # Errors
    /// Only when no thread can be started.
    pub fn to_stdout() -> io::Result<Self> {
        Self::to(io::stdout())
    }

    /// A log at the end of a file, which is made if it is not there.
    ///
    /// # Errors
    /// Says why the file cannot be opened.
    pub fn to_file(path: &Path) -> io::Result<Self> {
        Self::to(OpenOptions::new().create(true).append(true).open(path)?)
    }

    /// A log that goes to `sink`.
    ///
    /// # Errors
    /// Only when no thread can be started.
    pub fn to(sink: impl Write + Send + 'static) -> io::Result<Self> {
        stamp::prepare();
        let (queue, lines) = bounded(ACCESS_QUEUE);
        let log = Self {
            queue,
            lost: Arc::default(),
            closing: Arc::default(),
            crew: Crew::new(),
        };
        let mut scribe = Scribe {
            lines,
            lost: log.lost.clone(),
            sink,
            failing: false,
        };
        let closing = log.closing.clone();
        log.crew.spawn("access-log", move || scribe.run(&closing))?;
        Ok(log)
    }

    /// Writes what is queued and ends the thread; waits for it, up to
    /// [`LOG_FLUSH`], but only once. Lines that come later are lost.
    pub fn close(&self) {
        if !self.closing.signal() {
            return;
        }
        let left = self.crew.join(LOG_FLUSH);
        if !left.is_empty() {
            warn!("access log cannot be written: its last lines are lost");
        }
    }

    fn push(&self, line: String) {
        if self.queue.try_send(line).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Access for AccessLog {
    fn accepted(&self, request: &Request, outbound: &str) {
        self.push(accepted_line(stamp::now(), request, outbound));
    }

    fn rejected(&self, source: Option<SocketAddr>, reason: &str) {
        self.push(rejected_line(stamp::now(), source, reason));
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessLog")
    }
}

/// Names and tags come from the configuration, but a line stays a line
/// whatever they hold.
fn accepted_line(stamp: impl Display, request: &Request, outbound: &str) -> String {
    let source = source_text(request.source);
    let mut line = format!("{stamp} {source} accepted {}", request.target);
    if !outbound.is_empty() {
        line += &format!(" [{}]", Escaped(outbound.as_bytes()));
    }
    if let Some(user) = &request.user {
        line += &format!(" email: {}", Escaped(user.as_bytes()));
    }
    line + "\n"
}

fn rejected_line(stamp: impl Display, source: Option<SocketAddr>, reason: &str) -> String {
    let (source, reason) = (source_text(source), Escaped(reason.as_bytes()));
    format!("{stamp} {source} rejected {reason}\n")
}

/// What came through a tunnel has no address here.
fn source_text(source: Option<SocketAddr>) -> String {
    source.map_or_else(|| "-".into(), |addr| addr.to_string())
}

/// The thread's side: writes as many lines at once as there are.
struct Scribe<W> {
    lines: Receiver<String>,
    lost: Arc<AtomicU64>,
    sink: W,
    failing: bool,
}

impl<W: Write> Scribe<W> {
    fn run(&mut self, closing: &Done) {
        while !closing.is_done() {
            select! {
                recv(self.lines) -> line => {
                    // More come soon where there are many, and to be woken
                    // for each would cost every connection.
                    closing.wait_timeout(ACCESS_GATHERING);
                    self.write_from(line.unwrap_or_default());
                }
                recv(closing.event()) -> _ => {}
            }
        }
        self.write_from(String::new());
    }

    fn write_from(&mut self, first: String) {
        let waiting = self.lines.try_iter().take(ACCESS_QUEUE);
        let text = waiting.fold(first, |text, line| text + &line);
        let written = self.sink.write_all(text.as_bytes());
        let outcome = written.and_then(|()| self.sink.flush());
        self.report(outcome);
    }

    /// A warning for each failure that follows a success, and one for lines
    /// that found no room.
    fn report(&mut self, outcome: io::Result<()>) {
        let failing = outcome.is_err();
        match outcome {
            Err(e) if !self.failing => warn!("access log cannot be written, lines are lost: {e}"),
            _ => {}
        }
        self.failing = failing;
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            warn!("access log was behind: {lost} lines are lost");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use parking_lot::Mutex;

    use super::*;
    use crate::net::Destination;

    const STAMP: &str = "2006/01/02 15:04:05";

    fn request(target: Destination) -> Request {
        Request {
            source: Some("127.0.0.1:5".parse().unwrap()),
            ..Request::new(target)
        }
    }

    fn tcp() -> Destination {
        Destination::tcp("a.com", 80).unwrap()
    }

    #[test]
    fn lines_have_the_form_of_the_family() {
        let by_user = Request {
            user: Some("love@v2ray.com".into()),
            ..request(tcp())
        };
        let inner = Request::new(Destination::udp("2001:db8::1", 53).unwrap());
        let table = [
            (
                accepted_line(STAMP, &request(tcp()), "out"),
                "127.0.0.1:5 accepted tcp:a.com:80 [out]",
            ),
            (
                accepted_line(STAMP, &by_user, "out"),
                "127.0.0.1:5 accepted tcp:a.com:80 [out] email: love@v2ray.com",
            ),
            (
                accepted_line(STAMP, &inner, ""),
                "- accepted udp:[2001:db8::1]:53",
            ),
            (
                rejected_line(STAMP, request(tcp()).source, "bad user"),
                "127.0.0.1:5 rejected bad user",
            ),
            (rejected_line(STAMP, None, "bad"), "- rejected bad"),
        ];
        for (line, rest) in table {
            assert_eq!(line, format!("{STAMP} {rest}\n"));
        }
    }

    #[test]
    fn a32_no_text_makes_a_line_of_its_own() {
        let forged = "x\n2006/01/02 15:04:05 1.1.1.1:1 accepted tcp:b.com:80 \x1b[31m";
        let request = Request {
            user: Some(forged.into()),
            ..request(tcp())
        };
        let lines = [
            accepted_line(STAMP, &request, forged),
            rejected_line(STAMP, None, forged),
        ];
        for line in lines {
            assert_eq!(line.lines().count(), 1);
            assert!(line.contains(r"x\x0a2006/01/02") && !line.contains('\x1b'));
        }
    }

    #[test]
    fn lines_are_appended_to_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        fs::write(&path, "before\n").unwrap();
        for _ in 0..2 {
            let log = AccessLog::to_file(&path).unwrap();
            log.accepted(&request(tcp()), "out");
            log.rejected(None, "bad user");
            log.close();
            log.close();
        }
        let text = fs::read_to_string(&path).unwrap();
        let ends = ["before", "[out]", "user", "[out]", "user"];
        assert_eq!(text.lines().count(), ends.len());
        assert!(
            text.lines()
                .zip(ends)
                .all(|(line, end)| line.ends_with(end))
        );
    }

    #[test]
    fn the_configuration_says_where_to() {
        let dir = tempfile::tempdir().unwrap();
        assert!(AccessLog::open(&LogTarget::Off).unwrap().is_none());
        let path = dir.path().join("access.log");
        let log = AccessLog::open(&LogTarget::File(path.clone())).unwrap();
        log.unwrap().accepted(&request(tcp()), "out");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("accepted tcp:a.com:80 [out]\n"), "{text}");
        let not_a_file = LogTarget::File(dir.path().into());
        assert!(AccessLog::open(&not_a_file).is_err());
    }

    /// Fails, or waits for its gate, as it is told.
    struct Unwilling {
        gate: Option<Arc<Done>>,
        seen: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Unwilling {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match &self.gate {
                Some(gate) => gate.wait(),
                None => return Err(io::ErrorKind::StorageFull.into()),
            }
            self.seen.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_failing_sink_fails_nobody() {
        let log = AccessLog::to(Unwilling {
            gate: None,
            seen: Arc::default(),
        })
        .unwrap();
        for _ in 0..10 {
            log.accepted(&request(tcp()), "out");
        }
        log.close();
        log.accepted(&request(tcp()), "out");
    }

    #[test]
    fn a_stalled_sink_costs_lines_and_no_time() {
        let (gate, seen) = (Arc::new(Done::new()), Arc::default());
        let log = AccessLog::to(Unwilling {
            gate: Some(gate.clone()),
            seen: Arc::clone(&seen),
        })
        .unwrap();
        let pushed = 4 * ACCESS_QUEUE;
        for _ in 0..pushed {
            log.accepted(&request(tcp()), "out"); // would never return if it waited
        }
        assert!(log.lost.load(Ordering::Relaxed) >= ACCESS_QUEUE as u64);
        gate.signal();
        log.close();
        let written = seen.lock().iter().filter(|&&b| b == b'\n').count();
        assert!((ACCESS_QUEUE..pushed).contains(&written));
        assert!(log.crew.join(Duration::ZERO).is_empty());
    }
}
