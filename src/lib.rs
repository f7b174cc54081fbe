//! Many connections over one (the Mux.Cool protocol of the V2Ray family), and
//! reverse tunnels built on it: a portal that visitors come to, and a bridge
//! that reaches the services from behind NAT.
//!
//! Synchronous: operating-system threads and blocking I/O. There is no
//! asynchronous runtime and no name server in it.
//!
//! ```
//! # use std::{io::{Read, Write}, net::{Shutdown, TcpListener, TcpStream}};
//! # use muxcool::mux::{ClientOptions, ClientWorker, MuxServer};
//! # use muxcool::net::Destination;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let listener = TcpListener::bind("127.0.0.1:0")?;
//! # let carrier = TcpStream::connect(listener.local_addr()?)?;
//! # let server = MuxServer::new(listener.accept()?.0.into())?;
//! # std::thread::spawn(move || {
//! #     let (_, mut stream) = server.accept().unwrap();
//! #     let mut reader = stream.try_clone().unwrap();
//! #     std::io::copy(&mut reader, &mut stream).unwrap();
//! #     stream.shutdown(Shutdown::Write).unwrap();
//! #     server.worker().wait_closed(None);
//! # });
//! let mux = ClientWorker::new(carrier.into(), ClientOptions::default())?;
//! let mut stream = mux.open(Destination::tcp("echo.example.com", 7)?)?;
//! stream.write_all(b"hello")?;
//! stream.shutdown(Shutdown::Write)?; // half-close: the answer still arrives
//! let mut answer = String::new();
//! stream.read_to_string(&mut answer)?;
//! # assert_eq!(answer, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! [`mux`] says what is as with `std::net`, and what is not. Between machines
//! the carrier can be in TLS: any link will do, and [`transport::tls`] makes one
//! of another. `muxcool tls cert` writes the files, and prints the pin.
//!
//! ```no_run
//! # use std::{net::{TcpListener, TcpStream}, time::{Duration, Instant}};
//! # use muxcool::mux::{ClientOptions, ClientWorker, MuxServer};
//! # use muxcool::transport::tls::{self, Certificate, Pem, Usage};
//! # fn client() -> Result<(), Box<dyn std::error::Error>> {
//! # let soon = Instant::now() + Duration::from_secs(10);
//! let tls = tls::Client::new(&tls::Options {
//!     pins: vec!["ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=".parse()?],
//!     allow_insecure: true, // nothing but the pin is asked for
//!     ..Default::default()
//! })?;
//! let socket = TcpStream::connect("server.example.com:8443")?;
//! let link = tls.connect(socket.into(), &"server.example.com".parse()?, soon)?;
//! let mux = ClientWorker::new(link, ClientOptions::default())?;
//! # Ok(())
//! # }
//! # fn server() -> Result<(), Box<dyn std::error::Error>> {
//! # let soon = Instant::now() + Duration::from_secs(10);
//! # let listener = TcpListener::bind("127.0.0.1:0")?;
//!
//! let tls = tls::Server::new(&tls::Options {
//!     certificates: vec![Certificate {
//!         usage: Usage::Encipherment,
//!         chain: Pem::File("server.pem".into()),
//!         key: Some(Pem::File("server.key".into())),
//!     }],
//!     ..Default::default()
//! })?;
//! let link = tls.accept(listener.accept()?.0.into(), soon)?;
//! let server = MuxServer::new(link)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Layers
//!
//! A module may use those of its own layer and below; a test holds them to it.
//!
//! ```text
//! L5  app  cli                        a plan becomes objects and threads
//! L4  config                          JSON text becomes a plan
//! L3  reverse  router  sniff          portal and bridge; rules; what streams are
//! L2  mux | proxy/* | transport/*     sessions; protocols; sockets
//! L1  link  pipe                      what all of them hand to each other
//! L0  buf  error  escape  limits  net  sync  wire
//! ```
//!
//! [`link`] is the interface: a [`link::Link`] has a reader and a writer half,
//! which may be a socket's own, a pipe's, a session's, or wrap others.
//! [`mux`] knows no socket and no protocol; it runs on any link. The wire
//! formats are described in [`spec`], whose section numbers the code uses.
//!
//! # Threads
//!
//! | name | one per | waits for | woken by | joined by |
//! |---|---|---|---|---|
//! | `mux-out-N` | client worker | the carrier's bytes; room for them (section 12) | data; room; clock; interrupt | worker's close |
//! | `mux-srv-N` | server worker | the same | the same | worker's close |
//! | `mux-wr-N` | carrier | what senders leave to it; room; after a failure the carrier's end, for 0.5 s | nudge; room; interrupt | worker's close |
//! | `mux-mon-N` | client worker | 16 s, or the end | clock; `Done` | worker's close |
//! | `mux-in-N.S` | server's session | its target's bytes; credit | data; credit; interrupt | session's end |
//! | `mux-dr-N/S` | session with parked bytes | its consumer | room; interrupt | nothing parked |
//! | `relay` | connection through no mux | one direction's bytes | data; interrupt | the other direction |
//! | `in-TAG` | listener | connections | shutdown of the socket | server's close |
//! | `in-TAG-n` | visitor | handshake, then bytes | data; shutdown | server's close |
//! | `in-TAG-udp` | inbound's UDP socket | datagrams | shutdown of the socket | flows' close |
//! | `udp-TAG-n` | visitor and target | its flow's datagrams | data; idle time; interrupt | flows' close |
//! | `mux-close` | carrier of a portal or bridge that closes | the carrier's threads | their end; deadline | portal's or bridge's close |
//! | `ws-out` | WebSocket connection that answers a ping, or ends, by itself | room | room; interrupt | the connection's writer, else its reader |
//! | `bridge-TAG` | bridge | 2 s, a carrier's end, or its dial | channel; `Done`; the dial's end | bridge's close, for 0.5 s while it dials |
//! | `http-reply` | HTTP proxy's request under way | the target's answer | data; interrupt | the request's thread |
//! | `log` | process that logs | lines | condition variable | never: it lives as long as the process, which waits for its last lines, 1 s |
//! | `lookup` | name that is looked up | the system's resolver | its answer; nothing else can | nobody: its asker leaves after 20 s |
//! | `access-log` | access log | lines | channel; `Done` | the log's close |
//! | `control` | control socket | clients | shutdown of the socket | the socket's close |
//! | `control-N` | its client | a request; a reload by the main thread; room for the answer | data; the reload's end; room; deadline; shutdown | the socket's close |
//! | `retired` | what a reload has replaced | nobody to use it any more | clock; `Done` | application's close |
//! | `signals` | process | SIGINT, SIGTERM, SIGHUP | signal; close of the watch | the watch's drop |
//! | `spare` | thread that has done its task, 64 at the most | another task, 3 s | a task, upon which it gets its name; clock | nobody: it ends by itself or with the process |
//! | `timer` | process | the next deadline | channel | never: it lives as long as the process |
//!
//! # Log levels
//!
//! - `error`: something the program was told to do cannot go on;
//! - `warn`: an operator should look: a portal out of reach, a peer that has
//!   gone silent, a listener that cannot accept;
//! - `info`: carriers and connections that come, go and fail, a line each, and
//!   sessions that were ended for holding others up;
//! - `debug`: sessions, what was refused, skipped or dropped, and the counts
//!   of a carrier that has ended.
//!
//! Payload and secrets are logged at no level. What a peer chose is escaped.
//! Of complaints that peers can bring about at will only a few are written in
//! each second, and how many were left out ([`sync::Complaints`]).

#![forbid(unsafe_code)]
#![warn(missing_docs)]
// What peers send must not be able to panic: what reads it does not index it, either.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::unwrap_used))]
#![cfg_attr(not(test), deny(clippy::panic, clippy::unreachable))]

pub mod app;
pub mod buf;
#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod error;
pub mod escape;
pub mod limits;
pub mod link;
pub mod mux;
pub mod net;
pub mod pipe;
pub mod proxy;
pub mod reverse;
pub mod router;
pub mod sniff;
pub mod spec {
    #![doc = include_str!("spec.md")]
}
pub mod sync;
pub mod transport;
pub mod wire;
