use std::error::Error;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::page::{PAGE, bulk};
use crate::app::StartError;

/// Visits that are timed.
const VISITS: usize = 500;

/// How long any read or write may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a check has measured.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Bytes of the large file.
    pub bulk: usize,
    /// How long it took.
    pub bulk_time: Duration,
    /// Visits of the page, one after the other, each a connection.
    pub visits: usize,
    /// How long a visit took: the median.
    pub median: Duration,
    /// And the slowest.
    pub slowest: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = self.bulk as f64 / 1e6;
        let rate = megabytes / self.bulk_time.as_secs_f64();
        writeln!(
            f,
            "page      {} bytes, equal in {} visits",
            PAGE.len(),
            self.visits
        )?;
        writeln!(
            f,
            "visit     {:.2?} median, {:.2?} slowest",
            self.median, self.slowest
        )?;
        writeln!(f, "download  {megabytes:.0} MB, equal, {rate:.0} MB/s")?;
        write!(f, "The tunnel works.")
    }
}

/// Why a check failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum CheckError {
    /// The demo did not start.
    Start(StartError),
    /// A visit failed.
    Visit(io::Error),
    /// A visit brought other bytes than the page has: which.
    Different(&'static str),
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckError::Start(_) => f.write_str("the demo did not start"),
            CheckError::Visit(_) => f.write_str("a visit through the tunnel failed"),
            CheckError::Different(what) => write!(f, "the {what} came out different"),
        }
    }
}

impl Error for CheckError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            CheckError::Start(inner) => Some(inner),
            CheckError::Visit(inner) => Some(inner),
            CheckError::Different(_) => None,
        }
    }
}

/// Visits the page and the large file, and compares what comes.
pub(super) fn measure(public: SocketAddr) -> Result<Figures, CheckError> {
    let mut times = Vec::with_capacity(VISITS);
    for _ in 0..VISITS {
        times.push(timed_fetch(public, "/", PAGE.as_bytes(), "page")?);
    }
    times.sort_unstable();
    let expected = bulk();
    let bulk_time = timed_fetch(public, "/bulk", &expected, "download")?;
    Ok(Figures {
        bulk: expected.len(),
        bulk_time,
        visits: VISITS,
        median: times.get(VISITS / 2).copied().unwrap_or_default(),
        slowest: times.last().copied().unwrap_or_default(),
    })
}

fn timed_fetch(
    public: SocketAddr,
    path: &str,
    expected: &[u8],
    what: &'static str,
) -> Result<Duration, CheckError> {
    let start = Instant::now();
    let answer = fetch(public, path, expected.len()).map_err(CheckError::Visit)?;
    let took = start.elapsed();
    match answer.windows(4).position(|end| end == b"\r\n\r\n") {
        Some(head) if answer[head + 4..] == *expected => Ok(took),
        _ => Err(CheckError::Different(what)),
    }
}

fn fetch(public: SocketAddr, path: &str, size: usize) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&public, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {public}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::with_capacity(size + 1024);
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
