//! The pipe against a model of it, one operation at a time, and its promises
//! under threads that write, read, close and interrupt at the same time.

#[path = "support/tasks.rs"]
mod tasks;

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use muxcool::buf::Buf;
use muxcool::limits::{CARRIER_PIPE, CONTROL_PIPE, PIPE_SLOTS};
use muxcool::pipe::{PipeError, PipeReader, PipeWriter, pipe};
use proptest::prelude::*;

use tasks::{PATIENCE, wait_until_asleep};

// ---------------------------------------------------------------------------
// One thread: every operation against the model
// ---------------------------------------------------------------------------

#[derive(Debug, Clone)]
enum Op {
    Write(usize),
    TryWrite(usize),
    /// A buffer of a large class with few bytes in it.
    WriteSparse(usize),
    Read,
    TryRead,
    ReadTimeout,
    ReadBatch,
    Close,
    InterruptFrom(End),
    DropReader,
    /// Goes on with a clone and drops the writer used so far.
    SwapWriter,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Reader,
    Writer,
    Handle,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Open,
    Closed,
    Interrupted,
}

/// What the documentation of the pipe says, without threads.
struct Model {
    limit: usize,
    /// Payload and charge of what is queued.
    queue: VecDeque<(Vec<u8>, usize)>,
    state: State,
}

impl Model {
    fn queued(&self) -> usize {
        self.queue.iter().map(|(_, charge)| charge).sum()
    }

    fn has_room(&self) -> bool {
        self.queued() <= self.limit
    }

    fn write(&mut self, payload: Vec<u8>, footprint: usize) -> Result<(), PipeError> {
        match self.state {
            State::Interrupted => Err(PipeError::Interrupted),
            State::Closed => Err(PipeError::Closed),
            State::Open if !self.has_room() => Err(PipeError::Full),
            State::Open => {
                let charge = footprint.max(self.limit / PIPE_SLOTS);
                self.queue.push_back((payload, charge));
                Ok(())
            }
        }
    }

    fn read(&mut self) -> Result<Option<Vec<u8>>, PipeError> {
        if self.state == State::Interrupted {
            return Err(PipeError::Interrupted);
        }
        match self.queue.pop_front() {
            Some((payload, _)) => Ok(Some(payload)),
            None if self.state == State::Closed => Ok(None),
            None => Err(PipeError::TimedOut),
        }
    }

    fn read_would_wait(&self) -> bool {
        self.state == State::Open && self.queue.is_empty()
    }

    fn read_batch(&mut self) -> Result<Vec<Vec<u8>>, PipeError> {
        let mut batch = Vec::new();
        while let Some(payload) = self.read()? {
            batch.push(payload);
            if self.queue.is_empty() {
                break;
            }
        }
        Ok(batch)
    }

    fn close(&mut self) {
        if self.state == State::Open {
            self.state = State::Closed;
        }
    }

    fn interrupt(&mut self) {
        self.state = State::Interrupted;
        self.queue.clear();
    }
}

/// The pipe and its model, side by side.
struct Pair {
    model: Model,
    writer: PipeWriter,
    reader: Option<PipeReader>,
    written: u8,
}

impl Pair {
    fn new(limit: usize) -> Self {
        let (reader, writer) = pipe(limit);
        let model = Model {
            limit,
            queue: VecDeque::new(),
            state: State::Open,
        };
        Self {
            model,
            writer,
            reader: Some(reader),
            written: 0,
        }
    }

    /// No two neighbours have the same content.
    fn payload(&mut self, len: usize) -> Vec<u8> {
        self.written = self.written.wrapping_add(1);
        vec![self.written; len]
    }

    fn run(&mut self, op: &Op) {
        match op {
            Op::Write(len) => self.write(*len, *len),
            Op::WriteSparse(len) => self.write(*len, 32 * 1024),
            Op::TryWrite(len) => self.try_write(*len),
            Op::Close => self.close(),
            Op::InterruptFrom(end) => self.interrupt(*end),
            Op::SwapWriter => self.writer = self.writer.clone(),
            Op::DropReader => self.drop_reader(),
            Op::Read | Op::TryRead | Op::ReadTimeout | Op::ReadBatch => self.read(op),
        }
        assert_eq!(self.writer.has_room(), self.model.has_room());
    }

    fn write(&mut self, len: usize, capacity: usize) {
        let payload = self.payload(len);
        let mut buf = Buf::with_capacity(capacity);
        buf.extend(&payload);
        let footprint = Buf::copy_of(&payload).footprint().min(buf.footprint());
        match self.model.write(payload, footprint) {
            Err(PipeError::Full) => assert!(!self.writer.has_room(), "would have to wait"),
            expected => assert_eq!(self.writer.write(buf), expected),
        }
    }

    fn try_write(&mut self, len: usize) {
        let payload = self.payload(len);
        let buf = Buf::copy_of(&payload);
        let expected = self.model.write(payload.clone(), buf.footprint());
        match self.writer.try_write(buf) {
            Ok(()) => assert_eq!(expected, Ok(())),
            Err((e, back)) => {
                assert_eq!(expected, Err(e));
                assert!(e != PipeError::Full || back.as_slice() == payload, "kept");
            }
        }
    }

    fn read(&mut self, op: &Op) {
        let Some(reader) = &self.reader else {
            return;
        };
        if self.model.read_would_wait() && matches!(op, Op::Read | Op::ReadBatch) {
            return;
        }
        if matches!(op, Op::ReadBatch) {
            let mut batch = VecDeque::new();
            let got = reader.read_batch(&mut batch).map(|any| {
                assert_eq!(any, !batch.is_empty());
                batch.iter().map(|buf| buf.as_slice().to_vec()).collect()
            });
            assert_eq!(got, self.model.read_batch());
            return;
        }
        let got = match op {
            Op::Read => reader.read(),
            Op::ReadTimeout => reader.read_timeout(Duration::from_micros(10)),
            _ => reader.try_read(),
        };
        let got = got.map(|buf| buf.map(|buf| buf.as_slice().to_vec()));
        assert_eq!(got, self.model.read());
    }

    fn close(&mut self) {
        self.writer.close();
        self.model.close();
    }

    fn interrupt(&mut self, end: End) {
        match (end, &self.reader) {
            (End::Reader, Some(reader)) => reader.interrupt(),
            (End::Handle, Some(reader)) => reader.handle().interrupt(),
            (End::Handle, None) => self.writer.handle().interrupt(),
            _ => self.writer.interrupt(),
        }
        self.model.interrupt();
    }

    fn drop_reader(&mut self) {
        if self.reader.take().is_some() {
            self.model.interrupt();
        }
    }
}

fn any_limit() -> impl Strategy<Value = usize> {
    prop_oneof![
        Just(0),
        Just(1),
        1_usize..3_000,
        Just(CONTROL_PIPE),
        Just(CARRIER_PIPE),
        1_usize..1_000_000
    ]
}

fn any_len() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), Just(1), 1_usize..600, 600_usize..40_000]
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => any_len().prop_map(Op::Write),
        8 => any_len().prop_map(Op::TryWrite),
        4 => (0_usize..2_000).prop_map(Op::WriteSparse),
        6 => Just(Op::Read),
        4 => Just(Op::TryRead),
        3 => Just(Op::ReadTimeout),
        2 => Just(Op::ReadBatch),
        1 => Just(Op::SwapWriter),
        1 => Just(Op::Close),
        1 => prop_oneof![Just(End::Reader), Just(End::Writer), Just(End::Handle)]
            .prop_map(Op::InterruptFrom),
        1 => Just(Op::DropReader),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_operation_does_what_the_model_does(
        limit in any_limit(),
        ops in proptest::collection::vec(any_op(), 1..120),
    ) {
        let mut pair = Pair::new(limit);
        for op in &ops {
            pair.run(op);
        }
    }
}

// ---------------------------------------------------------------------------
// Many threads: what holds whatever the interleaving
// ---------------------------------------------------------------------------

/// How a run ends, once the reader has `after` buffers.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ending {
    /// By a close when all writers are through.
    AllWritten,
    Close,
    Interrupt,
    CloseThenInterrupt,
    DropReader,
}

#[derive(Debug, Clone)]
struct Run {
    limit: usize,
    /// For each writer the sizes of its buffers.
    writers: Vec<Vec<usize>>,
    ending: Ending,
    after: usize,
}

/// Each buffer carries who wrote it and which of his it is.
const LABEL: usize = 8;

fn labelled(writer: usize, number: usize, len: usize) -> Buf {
    let mut payload = vec![writer as u8; len.max(LABEL)];
    payload[4..LABEL].copy_from_slice(&(number as u32).to_be_bytes());
    Buf::copy_of(&payload)
}

fn label_of(buf: &Buf) -> (usize, usize) {
    let payload = buf.as_slice();
    let number = u32::from_be_bytes(payload[4..LABEL].try_into().unwrap());
    (payload[0].into(), number as usize)
}

/// What one writer saw.
#[derive(Debug)]
struct Written {
    accepted: usize,
    error: Option<PipeError>,
}

fn write_all(writer: &PipeWriter, me: usize, sizes: &[usize]) -> Written {
    for (number, len) in sizes.iter().enumerate() {
        if let Err(e) = writer.write(labelled(me, number, *len)) {
            return Written {
                accepted: number,
                error: Some(e),
            };
        }
    }
    Written {
        accepted: sizes.len(),
        error: None,
    }
}

/// What the reader saw: how many of each writer, and the end.
#[derive(Debug)]
struct Seen {
    of_writer: Vec<usize>,
    /// Absent when the reader gave up by itself.
    end: Option<Result<(), PipeError>>,
    /// Kept, for dropping it would interrupt what the writers still do.
    _reader: Option<PipeReader>,
}

/// Reads to the end in all the ways there are, and checks each writer's order.
struct Consumer {
    reader: PipeReader,
    of_writer: Vec<usize>,
    total: usize,
}

impl Consumer {
    fn take(&mut self, buf: &Buf) {
        let (writer, number) = label_of(buf);
        assert_eq!(number, self.of_writer[writer], "order of writer {writer}");
        self.of_writer[writer] += 1;
        self.total += 1;
    }

    fn step(&mut self, turn: usize) -> Option<Result<(), PipeError>> {
        let got = match turn % 4 {
            0 => self.reader.read(),
            1 => self.reader.try_read(),
            2 => self.reader.read_timeout(Duration::from_micros(50)),
            _ => return self.step_batch(),
        };
        match got {
            Ok(Some(buf)) => self.take(&buf),
            Ok(None) => return Some(Ok(())),
            Err(PipeError::TimedOut) => {}
            Err(e) => return Some(Err(e)),
        }
        None
    }

    fn step_batch(&mut self) -> Option<Result<(), PipeError>> {
        let mut batch = VecDeque::new();
        match self.reader.read_batch(&mut batch) {
            Ok(true) => batch.iter().for_each(|buf| self.take(buf)),
            Ok(false) => return Some(Ok(())),
            Err(e) => return Some(Err(e)),
        }
        None
    }

    /// Ends by itself after `give_up` buffers, if any. Tells `progress` when
    /// there have been `after`.
    fn run(mut self, after: usize, progress: &Sender<()>, give_up: bool) -> Seen {
        let mut end = None;
        for turn in 0.. {
            if self.total >= after {
                let _ = progress.try_send(());
                if give_up {
                    break;
                }
            }
            end = self.step(turn);
            if end.is_some() {
                break;
            }
        }
        Seen {
            of_writer: self.of_writer,
            end,
            _reader: (!give_up).then_some(self.reader),
        }
    }
}

fn perform(run: &Run) -> (Vec<Written>, Seen) {
    let (reader, writer) = pipe(run.limit);
    let (tell, progress) = bounded(1);
    let consumer = Consumer {
        reader,
        of_writer: vec![0; run.writers.len()],
        total: 0,
    };
    let (after, give_up) = (run.after, run.ending == Ending::DropReader);
    thread::scope(|scope| {
        let seen = scope.spawn(move || consumer.run(after, &tell, give_up));
        let writers: Vec<_> = (0..run.writers.len())
            .map(|me| {
                let (writer, sizes) = (writer.clone(), &run.writers[me]);
                scope.spawn(move || write_all(&writer, me, sizes))
            })
            .collect();
        if run.ending != Ending::AllWritten {
            end_when_due(run.ending, &writer, &progress);
        }
        let written: Vec<Written> = writers.into_iter().map(|w| w.join().unwrap()).collect();
        writer.close();
        (written, seen.join().unwrap())
    })
}

/// A reader that has ended before, since all was written, is no reason to wait.
fn end_when_due(ending: Ending, writer: &PipeWriter, progress: &Receiver<()>) {
    let _ = progress.recv();
    match ending {
        Ending::Close => writer.close(),
        Ending::Interrupt => writer.interrupt(),
        Ending::CloseThenInterrupt => {
            writer.close();
            writer.handle().interrupt();
        }
        Ending::AllWritten | Ending::DropReader => {}
    }
}

fn check(run: &Run, written: &[Written], seen: &Seen) {
    for (me, (written, read)) in written.iter().zip(&seen.of_writer).enumerate() {
        let attempted = written.accepted + usize::from(written.error.is_some());
        assert!(*read <= attempted, "writer {me}: {read} of {attempted}");
        if seen.end == Some(Ok(())) {
            assert_eq!(*read, written.accepted, "writer {me}: lost");
        }
        let complete = written.accepted == run.writers[me].len();
        assert_eq!(complete, written.error.is_none());
    }
    let errors: Vec<PipeError> = written.iter().filter_map(|w| w.error).collect();
    match run.ending {
        Ending::AllWritten => {
            assert_eq!(seen.end, Some(Ok(())));
            assert_eq!(errors, []);
        }
        Ending::Close => {
            assert_eq!(seen.end, Some(Ok(())));
            assert!(errors.iter().all(|e| *e == PipeError::Closed), "{errors:?}");
        }
        Ending::Interrupt => {
            assert_eq!(seen.end, Some(Err(PipeError::Interrupted)));
            let interrupted = |e: &PipeError| *e == PipeError::Interrupted;
            assert!(errors.iter().all(interrupted), "{errors:?}");
        }
        // The reader may have seen the end between the two.
        Ending::CloseThenInterrupt => assert!(seen.end.is_some()),
        Ending::DropReader => {
            let interrupted = |e: &PipeError| *e == PipeError::Interrupted;
            assert!(errors.iter().all(interrupted), "{errors:?}");
        }
    }
}

/// Fails instead of waiting for ever.
fn within_patience<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = bounded(1);
    let runner = thread::spawn(move || {
        let _ = tell.send(body());
    });
    match told.recv_timeout(PATIENCE) {
        Ok(value) => value,
        Err(e) if e.is_timeout() => panic!("a thread waits for ever"),
        Err(_) => std::panic::resume_unwind(runner.join().unwrap_err()),
    }
}

fn any_run() -> impl Strategy<Value = Run> {
    let size = prop_oneof![4 => 8_usize..200, 2 => 200_usize..3_000, 1 => 3_000_usize..40_000];
    let sizes = proptest::collection::vec(size, 1..120);
    let ending = prop_oneof![
        Just(Ending::AllWritten),
        Just(Ending::Close),
        Just(Ending::Interrupt),
        Just(Ending::CloseThenInterrupt),
        Just(Ending::DropReader),
    ];
    let limit = prop_oneof![Just(0), 1_usize..2_000, Just(CONTROL_PIPE)];
    let writers = proptest::collection::vec(sizes, 1..5);
    (limit, writers, ending, any::<proptest::sample::Index>()).prop_map(
        |(limit, writers, ending, after)| {
            let total: usize = writers.iter().map(Vec::len).sum();
            Run {
                limit,
                writers,
                ending,
                after: after.index(total),
            }
        },
    )
}

proptest! {
    // A run of threads is never the same twice, so there is nothing to shrink.
    #![proptest_config(ProptestConfig {
        cases: 400,
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn threads_see_order_completeness_and_the_right_end(run in any_run()) {
        let inner = run.clone();
        let (written, seen) = within_patience(move || perform(&inner));
        check(&run, &written, &seen);
    }
}

// ---------------------------------------------------------------------------
// Promises that need a certain situation
// ---------------------------------------------------------------------------

/// Lets `threads` write buffers of `len` bytes until all find the pipe full.
/// Returns how many were accepted.
fn fill_from_all_sides(writer: &PipeWriter, threads: usize, len: usize) -> usize {
    let fill = |writer: PipeWriter| {
        (0..)
            .take_while(|_| writer.try_write(Buf::copy_of(&vec![1; len])).is_ok())
            .count()
    };
    thread::scope(|scope| {
        let fillers: Vec<_> = (0..threads)
            .map(|_| {
                let writer = writer.clone();
                scope.spawn(move || fill(writer))
            })
            .collect();
        fillers.into_iter().map(|f| f.join().unwrap()).sum()
    })
}

/// A3: bytes are counted as the memory they pin.
#[test]
fn what_is_held_never_exceeds_the_limit_and_one_write() {
    for limit in [0, 1, 600, CONTROL_PIPE, CARRIER_PIPE, 512 * 1024] {
        for len in [1, 500, 2_000, 8_192, 60_000] {
            let (_reader, writer) = pipe(limit);
            let accepted = fill_from_all_sides(&writer, 4, len);
            let footprint = Buf::copy_of(&vec![1; len]).footprint();
            let held = accepted * footprint;
            assert!(held <= limit + footprint, "{held} of {limit}, {len} each");
            assert!(accepted > 0);
            if footprint >= limit / PIPE_SLOTS {
                assert!(held > limit, "{held} of {limit}, {len} each: not full");
            }
        }
    }
}

#[test]
fn few_bytes_in_large_buffers_are_moved_to_small_ones() {
    let (reader, writer) = pipe(CARRIER_PIPE);
    let mut held = 0;
    while writer.has_room() {
        let mut buf = Buf::with_capacity(32 * 1024);
        buf.extend(b"x");
        writer.write(buf).unwrap();
    }
    while let Ok(Some(buf)) = reader.try_read() {
        held += buf.footprint();
    }
    let small = Buf::copy_of(b"x").footprint();
    assert!(held <= CARRIER_PIPE + small, "{held}");
}

/// A14: an abort after the close is not taken for an orderly end.
#[test]
fn an_interrupt_after_the_close_is_an_error_and_drops_what_is_queued() {
    let (reader, writer) = pipe(CONTROL_PIPE);
    writer.write(Buf::copy_of(b"queued")).unwrap();
    writer.close();
    writer.interrupt();
    assert!(matches!(reader.read(), Err(PipeError::Interrupted)));
    assert!(matches!(reader.try_read(), Err(PipeError::Interrupted)));
    assert!(writer.has_room());
    let refused = writer.write(Buf::copy_of(b"late"));
    assert_eq!(refused, Err(PipeError::Interrupted));
}

#[test]
fn a_close_after_the_interrupt_changes_nothing() {
    let (reader, writer) = pipe(CONTROL_PIPE);
    writer.interrupt();
    writer.close();
    assert!(matches!(reader.read(), Err(PipeError::Interrupted)));
}

#[test]
fn a_dropped_writer_leaves_the_end_to_others() {
    let (reader, writer) = pipe(CONTROL_PIPE);
    drop(writer.clone());
    assert!(matches!(reader.try_read(), Err(PipeError::TimedOut)));
    writer.close();
    assert!(matches!(reader.try_read(), Ok(None)));
}

type Wake = fn(&PipeWriter, PipeReader) -> Option<PipeReader>;

/// What wakes a blocked writer, and the outcome of its write.
const WRITER_WAKERS: [(&str, Wake, Result<(), PipeError>); 6] = [
    (
        "close",
        |writer, reader| {
            writer.close();
            Some(reader)
        },
        Err(PipeError::Closed),
    ),
    (
        "interrupt",
        |writer, reader| {
            writer.interrupt();
            Some(reader)
        },
        Err(PipeError::Interrupted),
    ),
    (
        "reader's interrupt",
        |_, reader| {
            reader.interrupt();
            Some(reader)
        },
        Err(PipeError::Interrupted),
    ),
    (
        "handle",
        |_, reader| {
            reader.handle().interrupt();
            Some(reader)
        },
        Err(PipeError::Interrupted),
    ),
    ("reader dropped", |_, _| None, Err(PipeError::Interrupted)),
    (
        "read",
        |_, reader| {
            for _ in 0..=BLOCKED {
                reader.read_timeout(PATIENCE).unwrap();
            }
            Some(reader)
        },
        Ok(()),
    ),
];

/// Writers that wait at once.
const BLOCKED: usize = 3;

#[test]
fn blocked_writers_are_woken() {
    for (what, wake, expected) in WRITER_WAKERS {
        let (reader, writer) = pipe(0);
        writer.write(Buf::copy_of(b"fills")).unwrap();
        let (tell, told) = bounded(BLOCKED);
        for _ in 0..BLOCKED {
            let (writer, tell) = (writer.clone(), tell.clone());
            let blocked = move || tell.send(writer.write(Buf::copy_of(b"blocked")));
            thread::Builder::new()
                .name("blocked-writer".into())
                .spawn(blocked)
                .unwrap();
        }
        wait_until_asleep("blocked-writer", BLOCKED);
        let reader = wake(&writer, reader);
        for _ in 0..BLOCKED {
            assert_eq!(told.recv_timeout(PATIENCE), Ok(expected), "{what}");
        }
        wait_until_asleep("blocked-writer", 0);
        drop(reader);
    }
}

/// One read can make room for several writers, but wakes only one by itself.
#[test]
fn a_woken_writer_wakes_the_next() {
    let (reader, writer) = pipe(CONTROL_PIPE);
    writer.write(Buf::copy_of(&[1; 2 * CONTROL_PIPE])).unwrap();
    let (tell, told) = bounded(BLOCKED);
    for _ in 0..BLOCKED {
        let (writer, tell) = (writer.clone(), tell.clone());
        let blocked = move || tell.send(writer.write(Buf::copy_of(b"small")));
        thread::Builder::new()
            .name("waits-in-line".into())
            .spawn(blocked)
            .unwrap();
    }
    wait_until_asleep("waits-in-line", BLOCKED);
    reader.read().unwrap();
    for _ in 0..BLOCKED {
        assert_eq!(told.recv_timeout(PATIENCE), Ok(Ok(())));
    }
}

#[test]
fn a_blocked_reader_is_woken() {
    type Wake = fn(&PipeWriter);
    let wakers: [(&str, Wake, &str); 4] = [
        ("write", |w| w.write(Buf::copy_of(b"x")).unwrap(), "Ok(Some"),
        ("close", |w| w.close(), "Ok(None"),
        ("interrupt", |w| w.interrupt(), "Err(Interrupted"),
        ("handle", |w| w.handle().interrupt(), "Err(Interrupted"),
    ];
    for (what, wake, expected) in wakers {
        let (reader, writer) = pipe(0);
        let (tell, told) = bounded(1);
        thread::Builder::new()
            .name("blocked-reader".into())
            .spawn(move || {
                let got = format!("{:?}", reader.read());
                tell.send((got, reader))
            })
            .unwrap();
        wait_until_asleep("blocked-reader", 1);
        wake(&writer);
        let (got, _reader) = told.recv_timeout(PATIENCE).expect(what);
        assert!(got.starts_with(expected), "{what}: {got}");
        wait_until_asleep("blocked-reader", 0);
    }
}

/// What did not find room in time is not queued later, either.
#[test]
fn a_timed_wait_ends_in_time_and_leaves_nothing_behind() {
    let (reader, writer) = pipe(0);
    let moment = Duration::from_millis(1);
    assert!(matches!(
        reader.read_timeout(moment),
        Err(PipeError::TimedOut)
    ));
    let write = |payload: &[u8]| writer.write_timeout(Buf::copy_of(payload), moment);
    assert_eq!(write(b"fits"), Ok(()));
    assert_eq!(write(b"lost"), Err(PipeError::TimedOut));
    let read = |wait| {
        reader
            .read_timeout(wait)
            .map(|buf| buf.map(|buf| buf.as_slice().to_vec()))
    };
    assert_eq!(read(PATIENCE), Ok(Some(b"fits".to_vec())));
    assert_eq!(write(b"next"), Ok(()));
    writer.close();
    assert_eq!(read(PATIENCE), Ok(Some(b"next".to_vec())));
    assert_eq!(read(PATIENCE), Ok(None));
}

/// Tells what `body` returns, which at first has to wait.
fn waiting<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> Receiver<T> {
    let (tell, told) = bounded(1);
    let run = move || tell.send(body());
    thread::Builder::new().name(name.into()).spawn(run).unwrap();
    wait_until_asleep(name, 1);
    told
}

#[test]
fn whoever_has_all_the_time_waits_for_what_comes() {
    let (reader, writer) = pipe(0);
    writer.write(Buf::copy_of(b"first")).unwrap();
    let clone = writer.clone();
    let written = waiting("writes-for-ever", move || {
        clone.write_timeout(Buf::copy_of(b"second"), Duration::MAX)
    });
    reader.read().unwrap();
    assert_eq!(written.recv_timeout(PATIENCE), Ok(Ok(())));
    reader.read().unwrap();
    let read = waiting("reads-for-ever", move || {
        reader.read_timeout(Duration::MAX).unwrap().unwrap()
    });
    writer.write(Buf::copy_of(b"third")).unwrap();
    assert_eq!(read.recv_timeout(PATIENCE).unwrap().as_slice(), b"third");
}

/// Races an interrupt against writers under way, over and over: what slips in
/// behind it is neither delivered nor kept.
#[test]
fn a_write_that_meets_an_interrupt_leaves_nothing_behind() {
    for round in 0..5_000 {
        let (reader, writer) = pipe(CARRIER_PIPE);
        thread::scope(|scope| {
            for _ in 0..2 {
                let writer = writer.clone();
                scope.spawn(move || while writer.write(Buf::copy_of(&[7; 900])).is_ok() {});
            }
            for _ in 0..10 + round % 50 {
                reader.read().unwrap();
            }
            reader.interrupt();
        });
        let empty = format!("Pipe(0 of {CARRIER_PIPE} bytes)");
        assert_eq!(format!("{writer:?}"), empty, "round {round}");
        assert!(matches!(reader.try_read(), Err(PipeError::Interrupted)));
    }
}
