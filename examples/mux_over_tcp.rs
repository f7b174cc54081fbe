//! A mux client and a mux server over one TCP connection: eight streams go
//! through it side by side.
//!
//! ```console
//! $ cargo run --example mux_over_tcp
//! ```

use std::error::Error;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use muxcool::mux::{ClientOptions, ClientWorker, MuxServer, MuxStream};
use muxcool::net::Destination;

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let carrier = TcpStream::connect(listener.local_addr()?)?;
    let server = MuxServer::new(listener.accept()?.0.into())?;
    let client = ClientWorker::new(carrier.into(), ClientOptions::default())?;

    let answering = thread::spawn(move || -> Result<(), String> {
        for _ in 0..8 {
            let (target, stream) = server.accept().map_err(|e| e.to_string())?;
            thread::spawn(move || answer(&target, stream));
        }
        server.worker().wait_closed(None);
        Ok(())
    });

    let streams = (0..8).map(|n| {
        client
            .open(Destination::tcp("greeter.example", n)?)
            .map_err(Into::into)
    });
    let streams: Vec<MuxStream> = streams.collect::<Result<_, Box<dyn Error>>>()?;
    for mut stream in streams {
        stream.write_all(b"who are you?")?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        println!("session {}: {answer}", stream.id());
    }
    client.close();
    answering
        .join()
        .map_err(|_| "the server's thread panicked")??;
    Ok(())
}

/// Reads the question to its end, and answers.
fn answer(target: &Destination, mut stream: MuxStream) {
    let mut question = String::new();
    let answered = stream.read_to_string(&mut question).and_then(|_| {
        write!(stream, "you asked {target}: {question}")?;
        stream.shutdown(Shutdown::Write)
    });
    if let Err(e) = answered {
        eprintln!("session {}: {e}", stream.id());
    }
}
