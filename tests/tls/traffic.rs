use std::collections::VecDeque;
use std::thread;

use muxcool::buf::Buf;
use muxcool::link::{Link, Reader, Writer, pair};

use super::rig::{PATIENCE, ROOM, apart, open_over, pattern, read, write};

const BULK: usize = 3 * 1024 * 1024 + 17;

/// Writes `data` in buffers of changing sizes, and then the end.
fn pour(mut writer: Box<dyn Writer>, data: &[u8]) {
    let mut rest = data;
    for size in [1, 70_000, 16_384, 16_385, 5, 300].into_iter().cycle() {
        let (now, later) = rest.split_at(size.min(rest.len()));
        let half = now.len() / 2;
        let mut batch: VecDeque<Buf> = [
            Buf::copy_of(&now[..half]),
            Buf::with_capacity(0),
            Buf::copy_of(&now[half..]),
        ]
        .into();
        writer.write(&mut batch).unwrap();
        assert!(batch.is_empty());
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    writer.close().unwrap();
}

fn drink(reader: &mut dyn Reader, data: &[u8]) {
    assert!(
        read(reader, data.len()).unwrap() == data,
        "other bytes came"
    );
    assert!(reader.read_timeout(PATIENCE).unwrap().is_none());
    assert!(reader.read_timeout(PATIENCE).unwrap().is_none());
}

fn both_ways(near: Link, far: Link, len: usize) {
    let data = pattern(len);
    let (mut near_reader, mut far_reader) = (near.reader, far.reader);
    thread::scope(|threads| {
        threads.spawn(|| pour(near.writer, &data));
        threads.spawn(|| pour(far.writer, &data));
        threads.spawn(|| drink(near_reader.as_mut(), &data));
        drink(far_reader.as_mut(), &data);
    });
}

#[test]
fn both_directions_at_once() {
    let (near, far) = open_over(pair(ROOM));
    both_ways(near, far, BULK);
}

/// What is encrypted and has not left goes before what comes after it.
#[test]
fn nothing_is_lost_or_overtaken_where_nobody_waits() {
    let (near, mut far) = open_over(pair(1));
    let (mut writer, data) = (near.writer, pattern(BULK));
    let mut stayed_behind = 0;
    thread::scope(|threads| {
        threads.spawn(|| drink(far.reader.as_mut(), &data));
        for piece in data.chunks(50_000) {
            let mut batch: VecDeque<Buf> = piece.chunks(20_000).map(Buf::copy_of).collect();
            if !writer.start_write(&mut batch).unwrap() {
                stayed_behind += 1;
                writer.start_write(&mut batch).unwrap();
                writer.write(&mut batch).unwrap();
            }
            assert!(batch.is_empty());
        }
        writer.close().unwrap();
    });
    assert!(stayed_behind > 0);
}

#[test]
fn a_link_with_hardly_any_room() {
    let (near, far) = open_over(pair(512));
    both_ways(near, far, BULK / 8);
}

/// Passes on each byte in a buffer of its own.
fn crumble(mut from: Box<dyn Reader>, mut to: Box<dyn Writer>) {
    while let Some(buf) = from.read_timeout(PATIENCE).unwrap() {
        for byte in buf.as_slice() {
            write(to.as_mut(), &[*byte]).unwrap();
        }
    }
    to.close().unwrap();
}

#[test]
fn bytes_that_come_one_by_one() {
    let (ends, (near_end, far_end)) = apart();
    let there = thread::spawn(|| crumble(near_end.reader, far_end.writer));
    let back = thread::spawn(|| crumble(far_end.reader, near_end.writer));
    let (near, far) = open_over(ends);
    both_ways(near, far, 40_000);
    there.join().unwrap();
    back.join().unwrap();
}

#[test]
fn one_direction_goes_on_after_the_other_has_ended() {
    let (mut near, mut far) = open_over(pair(ROOM));
    write(near.writer.as_mut(), b"question").unwrap();
    near.writer.close().unwrap();
    drink(far.reader.as_mut(), b"question");
    let answer = pattern(100_000);
    thread::scope(|threads| {
        threads.spawn(|| pour(far.writer, &answer));
        drink(near.reader.as_mut(), &answer);
    });
}

/// The near end does not read: the far end's writer waits, and what the near
/// end writes arrives nevertheless.
#[test]
fn a_reader_that_stalls_does_not_stop_the_writer() {
    let (near, mut far) = open_over(pair(ROOM));
    let (mut reader, data) = (near.reader, pattern(BULK));
    thread::scope(|threads| {
        let stuck = threads.spawn(|| pour(far.writer, &data));
        threads.spawn(|| pour(near.writer, &data));
        drink(far.reader.as_mut(), &data);
        assert!(!stuck.is_finished(), "{BULK} bytes went nowhere");
        drink(reader.as_mut(), &data);
    });
}

/// A thread that waits in a read holds nothing that the writer needs.
#[test]
fn a_reader_that_waits_does_not_stop_the_writer() {
    let (near, mut far) = open_over(pair(ROOM));
    let (mut reader, data) = (near.reader, pattern(BULK));
    thread::scope(|threads| {
        let waiting = threads.spawn(|| reader.read_timeout(PATIENCE).unwrap().is_none());
        threads.spawn(|| pour(near.writer, &data));
        drink(far.reader.as_mut(), &data);
        assert!(!waiting.is_finished());
        far.writer.close().unwrap();
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn small_buffers_share_a_record() {
    let (ends, (mut near_end, far_end)) = apart();
    let passing = thread::spawn(move || {
        let (mut to, mut from) = (far_end.writer, far_end.reader);
        let mut back = near_end.writer;
        let answering = thread::spawn(move || {
            while let Ok(Some(buf)) = from.read() {
                back.write(&mut [buf].into()).unwrap();
            }
        });
        let mut last = 0;
        while let Some(buf) = near_end.reader.read_timeout(PATIENCE).unwrap() {
            last = buf.len();
            to.write(&mut [buf].into()).unwrap();
            if last > 1000 {
                break;
            }
        }
        (last, answering, to, near_end.reader)
    });
    let (mut near, mut far) = open_over(ends);
    let mut batch: VecDeque<Buf> = (0..60).map(|_| Buf::copy_of(&[7; 100])).collect();
    near.writer.write(&mut batch).unwrap();
    let (record, answering, _to, _from) = passing.join().unwrap();
    assert!((6000..6100).contains(&record), "{record} bytes");
    assert_eq!(read(far.reader.as_mut(), 6000).unwrap(), [7; 6000]);
    drop((near, far));
    answering.join().unwrap();
}
