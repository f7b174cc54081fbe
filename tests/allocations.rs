//! What a steady transfer allocates: nothing, for its buffers come from the
//! pool and go back to it. A program of its own, for the allocator that counts
//! is the whole process's.

use std::alloc::System;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use muxcool::buf::Buf;
use muxcool::mux::{ClientOptions, ClientWorker, MuxServer, MuxStream};
use muxcool::net::Destination;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations and growths of all threads so far.
fn allocated() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

/// What the receiver does with the buffers that it gets.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Receiver {
    Drops,
    /// So that none of them goes back to the pool.
    Keeps,
}

/// Bytes of a message, and how many are sent before an answer is waited for:
/// no more than a stream's reader may leave waiting, for if it falls behind a
/// thread takes over, and that has to be started.
const TRANSFERS: [(usize, usize); 4] = [(64, 100), (4_096, 10), (32_768, 2), (65_000, 2)];

/// Bursts of one transfer.
const BURSTS: usize = 300;

fn pair() -> (ClientWorker, MuxServer) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    for end in [&near, &far] {
        end.set_nodelay(true).unwrap();
    }
    let server = MuxServer::new(far.into()).unwrap();
    let client = ClientWorker::new(near.into(), ClientOptions::default()).unwrap();
    (client, server)
}

/// Allocations for each message of a transfer one way, once there has been
/// another: no more than in a tenth of its bursts. In the others there may be
/// more, for a probe, where a queue becomes longer than it ever was, or to start
/// a thread after all where the machine is so busy that a reader is late.
fn allocations(receiver: Receiver, len: usize, burst: usize) -> f64 {
    let (client, server) = pair();
    let target = Destination::tcp("sink.example", 9).unwrap();
    let mut stream = client.open(target).unwrap();
    thread::scope(|scope| {
        let sink = scope.spawn(|| {
            let (_, mut stream) = server.accept().unwrap();
            let mut kept = Vec::with_capacity(8 * burst * BURSTS);
            for _ in 0..2 * BURSTS {
                receive(&mut stream, len * burst, receiver, &mut kept);
            }
        });
        let message = vec![0xA5; len];
        let mut counts = [0; BURSTS];
        for _ in 0..2 {
            for count in &mut counts {
                let before = allocated();
                send(&mut stream, &message, burst);
                *count = allocated() - before;
            }
        }
        sink.join().unwrap();
        counts.sort_unstable();
        counts[BURSTS / 10] as f64 / burst as f64
    })
}

fn send(stream: &mut MuxStream, message: &[u8], burst: usize) {
    for _ in 0..burst {
        stream.write_all(message).unwrap();
    }
    stream.read_exact(&mut [0]).unwrap();
}

fn receive(stream: &mut MuxStream, mut left: usize, receiver: Receiver, kept: &mut Vec<Buf>) {
    while left > 0 {
        let buf = stream.recv().unwrap().unwrap();
        left -= buf.len();
        if receiver == Receiver::Keeps {
            kept.push(buf);
        }
    }
    stream.write_all(&[1]).unwrap();
}

#[test]
fn a_steady_transfer_allocates_nothing_unless_its_buffers_are_kept() {
    for (len, burst) in TRANSFERS {
        let steady = allocations(Receiver::Drops, len, burst);
        assert_eq!(steady, 0.0, "allocations for each of {len} bytes");
    }
    // It would be seen: the same without the pool.
    for (len, burst) in [(4_096, 10), (32_768, 2)] {
        let kept = allocations(Receiver::Keeps, len, burst);
        println!("messages of {len} bytes, kept: {kept:.2} allocations each");
        assert!(kept >= 0.5, "{len} bytes: {kept} for each that was kept");
    }
}
