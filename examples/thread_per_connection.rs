//! An echo server with a thread for each connection, as it is written for
//! `TcpStream`, behind one multiplexed carrier: 200 clients at once, one TCP
//! connection.
//!
//! ```console
//! $ cargo run --example thread_per_connection
//! ```

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use muxcool::mux::{ClientOptions, ClientWorker, MuxServer, MuxStream};
use muxcool::net::Destination;

const CLIENTS: u16 = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || serve(&listener));
    let carrier = ClientWorker::new(
        TcpStream::connect(address)?.into(),
        ClientOptions::default(),
    )?;

    let start = Instant::now();
    let echoed = thread::scope(|scope| {
        let carrier = &carrier;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| scope.spawn(move || visit(carrier, n)))
            .collect();
        clients
            .into_iter()
            .map(|c| c.join().expect("client panicked"))
            .sum::<io::Result<usize>>()
    })?;
    println!(
        "{CLIENTS} clients had {echoed} bytes echoed in {:.1?}",
        start.elapsed()
    );
    carrier.close();
    server.join().expect("server panicked")?;
    Ok(())
}

/// Accepts one carrier, and on it sessions until it ends.
fn serve(listener: &TcpListener) -> io::Result<()> {
    let server = MuxServer::new(listener.accept()?.0.into())?;
    while let Ok((_, stream)) = server.accept() {
        thread::spawn(move || echo(stream));
    }
    Ok(())
}

fn echo(mut stream: MuxStream) -> io::Result<()> {
    let mut reader = stream.try_clone()?;
    io::copy(&mut reader, &mut stream)?;
    stream.shutdown(Shutdown::Write)
}

/// Sends a text of its own and checks that exactly this comes back.
fn visit(carrier: &ClientWorker, n: u16) -> io::Result<usize> {
    let target = Destination::tcp("echo.example", n).map_err(io::Error::other)?;
    let mut stream = carrier.open(target)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let sent = format!("client {n} was here; ").repeat(100);
    stream.write_all(sent.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut received = String::new();
    stream.read_to_string(&mut received)?;
    assert_eq!(received, sent, "client {n}");
    Ok(received.len())
}
