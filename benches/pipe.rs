//! The pipe: bytes from one or more producers to one consumer, each on a
//! thread of its own.

use std::collections::VecDeque;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use crossbeam_channel::{Receiver, Sender, bounded};
use muxcool::buf::Buf;
use muxcool::limits::CARRIER_PIPE;
use muxcool::pipe::{PipeReader, PipeWriter, pipe};

const PRODUCERS: [usize; 3] = [1, 4, 16];

/// Name and bytes of a message, and how many of them are one round.
const MESSAGES: [(&str, usize, usize); 3] = [
    ("64B", 64, 8192),
    ("2KiB", 2048, 2048),
    ("32KiB", 32 * 1024, 256),
];

fn pipes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pipe");
    group.sampling_mode(SamplingMode::Flat);
    for producers in PRODUCERS {
        for (name, message, count) in MESSAGES {
            group.throughput(Throughput::Bytes((message * count) as u64));
            let mut flow = None;
            group.bench_function(format!("{producers}x{name}"), |b| {
                let flow = flow.get_or_insert_with(|| Flow::new(producers, message, count));
                b.iter_custom(|rounds| flow.run(rounds));
            });
        }
    }
    group.finish();
}

/// A pipe and its producers. They end when it is dropped.
struct Flow {
    start: Vec<Sender<u64>>,
    reader: PipeReader,
    producers: Vec<JoinHandle<()>>,
    bytes_per_round: u64,
}

impl Flow {
    fn new(producers: usize, message: usize, count: usize) -> Self {
        let (reader, writer) = pipe(CARRIER_PIPE);
        let start_one = |_| {
            let (start, started) = bounded(1);
            let writer = writer.clone();
            let share = count / producers;
            let producer = thread::spawn(move || produce(&started, &writer, message, share));
            (start, producer)
        };
        let (start, producers) = (0..producers).map(start_one).unzip();
        Self {
            start,
            reader,
            producers,
            bytes_per_round: (message * count) as u64,
        }
    }

    fn run(&self, rounds: u64) -> Duration {
        let begin = Instant::now();
        for start in &self.start {
            start.send(rounds).expect("a producer waits");
        }
        self.consume(rounds * self.bytes_per_round);
        begin.elapsed()
    }

    fn consume(&self, mut bytes: u64) {
        let mut batch = VecDeque::new();
        while bytes > 0 {
            self.reader.read_batch(&mut batch).expect("an open pipe");
            bytes -= batch.drain(..).map(|buf| buf.len() as u64).sum::<u64>();
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.start.clear();
        for producer in self.producers.drain(..) {
            producer.join().expect("a producer that does not panic");
        }
    }
}

/// Copies each message into a buffer of the pool, as an application's writes are.
fn produce(started: &Receiver<u64>, writer: &PipeWriter, message: usize, share: usize) {
    let message = vec![0xA5; message];
    for rounds in started {
        for _ in 0..rounds * share as u64 {
            writer.write(Buf::copy_of(&message)).expect("an open pipe");
        }
    }
}

fn settings() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(20)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! {
    name = benches;
    config = settings();
    targets = pipes
}
criterion_main!(benches);
