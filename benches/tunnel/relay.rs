//! A plain relay: two threads that copy for each connection, and nothing else.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    process::ExitCode,
    str::FromStr,
    sync::Arc,
    thread,
};

/// Bytes of a copying thread's buffer.
const BUFFER: usize = 64 * 1024;

/// Bytes of a copying thread's stack, its buffer included.
const STACK: usize = 256 * 1024;

/// Where a relay listens on loopback, and where it goes from there.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub port: u16,
    pub target: SocketAddr,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.port, self.target)
    }
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (port, target) = text.split_once('=').ok_or("no '='")?;
        Ok(Self {
            port: port.parse().map_err(|_| "no port")?,
            target: target.parse().map_err(|_| "no address")?,
        })
    }
}

/// Relays until the process is killed, or a port cannot be had.
pub fn run(routes: &[Route]) -> ExitCode {
    let results: Vec<io::Result<()>> = thread::scope(|threads| {
        let serve = |route| threads.spawn(move || serve(route));
        let running: Vec<_> = routes.iter().map(serve).collect();
        running
            .into_iter()
            .map(|each| each.join().expect("relay"))
            .collect()
    });
    for error in results.into_iter().filter_map(Result::err) {
        eprintln!("relay: {error}");
    }
    ExitCode::FAILURE
}

fn serve(route: &Route) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, route.port))?;
    let target = route.target;
    loop {
        let (visitor, _) = listener.accept()?;
        spawn(move || join(visitor, target))?;
    }
}

fn join(visitor: TcpStream, target: SocketAddr) -> io::Result<()> {
    let service = TcpStream::connect(target)?;
    visitor.set_nodelay(true)?;
    service.set_nodelay(true)?;
    let (visitor, service) = (Arc::new(visitor), Arc::new(service));
    let (back, forth) = (Arc::clone(&service), Arc::clone(&visitor));
    spawn(move || copy(&back, &forth))?;
    copy(&visitor, &service)
}

/// A broken connection ends the other way, too; an orderly end only its own.
fn copy(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let copied = from.read(&mut buffer).and_then(|count| {
            to.write_all(&buffer[..count])?;
            Ok(count)
        });
        match copied {
            Ok(0) => return to.shutdown(Shutdown::Write),
            Ok(_) => {}
            Err(error) => {
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
                return Err(error);
            }
        }
    }
}

/// What becomes of one connection is its visitor's business.
fn spawn(serve: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let builder = thread::Builder::new().stack_size(STACK);
    builder.spawn(|| drop(serve())).map(drop)
}
