//! The pipe: what was accepted arrives, in order and once, or nobody is told
//! that the pipe has ended in an orderly way; and nobody waits in vain.

use std::time::Duration;

use muxcool::buf::Buf;
use muxcool::pipe::{PipeError, PipeReader, PipeWriter, elastic_pipe, pipe};
use muxcool::sync::{Time, explore};
use shuttle::thread;

const WAIT: Duration = Duration::from_secs(1);

/// Room for one buffer: the next one waits.
const TIGHT: usize = 0;

fn numbered(number: u8) -> Buf {
    Buf::copy_of(&[number])
}

/// Writes `numbers` until it fails; returns those that were accepted.
fn write_all(writer: &PipeWriter, numbers: impl Iterator<Item = u8>) -> Vec<u8> {
    numbers
        .take_while(|number| writer.write(numbered(*number)).is_ok())
        .collect()
}

/// What comes until the end, which has to be orderly.
fn read_all(reader: &PipeReader) -> Vec<u8> {
    std::iter::from_fn(|| reader.read().expect("nobody interrupts"))
        .map(|buf| buf.as_slice()[0])
        .collect()
}

#[test]
fn all_that_several_writers_wrote_arrives_in_the_order_of_each() {
    explore(Time::StandsStill, || {
        let (reader, writer) = pipe(TIGHT);
        let writers = [10, 20, 30].map(|first| {
            let writer = writer.clone();
            thread::spawn(move || write_all(&writer, first..first + 3))
        });
        let closing = thread::spawn(move || {
            for writer in writers {
                assert_eq!(writer.join().unwrap().len(), 3);
            }
            writer.close();
        });
        let read = read_all(&reader);
        assert_eq!(read.len(), 9);
        for first in [10, 20, 30] {
            let of_one = read.iter().filter(|number| **number / 10 == first / 10);
            assert!(of_one.copied().eq(first..first + 3), "{read:?}");
        }
        closing.join().unwrap();
    });
}

#[test]
fn a_close_keeps_what_was_accepted_and_nothing_else() {
    explore(Time::StandsStill, || {
        let (reader, writer) = pipe(TIGHT);
        let writers = [0, 100].map(|first| {
            let writer = writer.clone();
            thread::spawn(move || write_all(&writer, first..first + 4))
        });
        thread::spawn(move || writer.close());
        let read = read_all(&reader);
        for (writer, first) in writers.into_iter().zip([0, 100]) {
            let accepted = writer.join().unwrap();
            let arrived = read.iter().filter(|number| **number / 100 == first / 100);
            assert!(arrived.eq(&accepted), "{read:?} of {accepted:?}");
        }
    });
}

#[test]
fn an_interrupt_frees_both_sides_and_leaves_nothing() {
    explore(Time::StandsStill, || {
        let (reader, writer) = pipe(TIGHT);
        let handle = reader.handle();
        let interrupting = thread::spawn(move || handle.interrupt());
        let closing = writer.clone();
        let closing = thread::spawn(move || closing.close());
        let other = writer.clone();
        let writing = thread::spawn(move || {
            let accepted = write_all(&other, 0..4);
            if accepted.len() < 4 {
                let refused = other.write(numbered(9)).unwrap_err();
                assert!(matches!(
                    refused,
                    PipeError::Interrupted | PipeError::Closed
                ));
            }
            accepted
        });
        let mut read = Vec::new();
        let end = loop {
            match reader.read() {
                Ok(Some(buf)) => read.push(buf.as_slice()[0]),
                Ok(None) => break Ok(()),
                Err(e) => break Err(e),
            }
        };
        let accepted = writing.join().unwrap();
        match end {
            Ok(()) => assert!(read.starts_with(&accepted), "an end, and not all came"),
            Err(e) => assert_eq!(e, PipeError::Interrupted),
        }
        // The last may belong to a write that failed, for it was interrupted
        // just after.
        assert!(read.len() <= accepted.len() + 1);
        assert!((0..4).zip(&read).all(|(number, read)| number == *read));
        interrupting.join().unwrap();
        closing.join().unwrap();
        assert_eq!(reader.queued_buffers(), 0);
        assert!(writer.has_room(), "what was dropped is still charged");
        assert_eq!(writer.write(numbered(9)), Err(PipeError::Interrupted));
    });
}

#[test]
fn a_reader_that_leaves_frees_the_writers() {
    explore(Time::StandsStill, || {
        let (reader, writer) = pipe(TIGHT);
        let writers = [0, 100].map(|first| {
            let writer = writer.clone();
            thread::spawn(move || while writer.write(numbered(first)).is_ok() {})
        });
        for _ in 0..2 {
            reader.read().unwrap();
        }
        drop(reader);
        for writer in writers {
            writer.join().unwrap();
        }
    });
}

#[test]
fn a_write_that_gave_up_was_not_made_and_keeps_nobody_from_writing() {
    explore(Time::Passes, || {
        let (reader, writer) = pipe(TIGHT);
        let impatient = writer.clone();
        let impatient = thread::spawn(move || {
            let write = |number: &u8| impatient.write_timeout(numbered(*number), WAIT);
            let outcomes = (100..104).map(|number| (number, write(&number)));
            let made = outcomes.filter(|(_, outcome)| match outcome {
                Ok(()) => true,
                Err(e) => {
                    assert_eq!(*e, PipeError::TimedOut);
                    false
                }
            });
            made.map(|(number, _)| number).collect::<Vec<u8>>()
        });
        let patient = thread::spawn({
            let writer = writer.clone();
            move || write_all(&writer, 0..4)
        });
        let closing = thread::spawn(move || {
            let made = impatient.join().unwrap();
            assert_eq!(patient.join().unwrap().len(), 4);
            writer.close();
            made
        });
        let read = read_all(&reader);
        let made = closing.join().unwrap();
        let (theirs, ours): (Vec<u8>, Vec<u8>) = read.iter().partition(|number| **number >= 100);
        assert_eq!(theirs, made);
        assert_eq!(ours, [0, 1, 2, 3]);
    });
}

#[test]
fn who_reads_what_was_written_quietly_is_woken_in_the_end() {
    explore(Time::StandsStill, || {
        let (reader, writer) = pipe(64 * 1024);
        let writing = thread::spawn(move || {
            let write = |number| writer.try_write_quietly(numbered(number)).unwrap();
            let wakes = [0, 1, 2].map(write);
            drop(wakes);
            drop(write(3));
            writer // is not closed: that would wake the reader, too
        });
        let read = [(); 4].map(|()| reader.read().unwrap().unwrap().as_slice()[0]);
        assert_eq!(read, [0, 1, 2, 3]);
        drop(writing.join().unwrap());
    });
}

#[test]
fn a_read_that_gave_up_has_lost_nothing() {
    explore(Time::Passes, || {
        let (reader, writer) = pipe(TIGHT);
        let writing = thread::spawn(move || {
            write_all(&writer, 0..4);
            writer.close();
        });
        let mut read = Vec::new();
        loop {
            match reader.read_timeout(WAIT) {
                Ok(Some(buf)) => read.push(buf.as_slice()[0]),
                Ok(None) => break,
                Err(e) => {
                    assert_eq!(e, PipeError::TimedOut);
                    thread::yield_now();
                }
            }
        }
        writing.join().unwrap();
        assert_eq!(read, [0, 1, 2, 3]);
    });
}

#[test]
fn a_higher_limit_wakes_who_waits_for_room() {
    explore(Time::StandsStill, || {
        let (reader, writer) = elastic_pipe(TIGHT, 64 * 1024);
        let writers = [0, 100].map(|first| {
            let writer = writer.clone();
            thread::spawn(move || write_all(&writer, first..first + 2))
        });
        writer.set_limit(64 * 1024);
        for writer in writers {
            assert_eq!(writer.join().unwrap().len(), 2);
        }
        assert_eq!(reader.queued_buffers(), 4);
    });
}
