//! The frame codec: writing heads, reading metadata, and cutting a byte stream
//! into frames.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use muxcool::limits::BUFFER_CLASSES;
use muxcool::mux::{Event, FrameDecoder, FrameMetadata, end_frame, keep_header, new_header};
use muxcool::net::Destination;

/// Payload bytes of the streams that are decoded.
const STREAM: usize = 1024 * 1024;

/// Bytes of one read from a busy carrier.
const PIECE: usize = BUFFER_CLASSES[BUFFER_CLASSES.len() - 1];

fn encode(criterion: &mut Criterion) {
    let target = target();
    let mut group = criterion.benchmark_group("frames/encode");
    group.bench_function("New", |b| {
        b.iter(|| new_header(black_box(7), black_box(&target), Some(64)));
    });
    group.bench_function("Keep", |b| {
        b.iter(|| keep_header(black_box(7), black_box(1024)))
    });
    group.bench_function("End", |b| {
        b.iter(|| end_frame(black_box(7), black_box(false)))
    });
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let new = new_header(7, &target(), None);
    let heads = [
        ("New", new),
        ("Keep", keep_header(7, 1024)[..6].to_vec()),
        ("End", end_frame(7, false).to_vec()),
    ];
    let mut group = criterion.benchmark_group("frames/decode");
    for (name, head) in heads {
        let metadata = &head[2..]; // behind its length
        group.bench_function(name, |b| {
            b.iter(|| FrameMetadata::decode(black_box(metadata)));
        });
    }
    group.finish();
}

fn decoder(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frames/decoder");
    group.throughput(Throughput::Bytes(STREAM as u64));
    let payloads = [
        ("64B", 64),
        ("1KiB", 1024),
        ("16KiB", 16 * 1024),
        ("32KiB", 32 * 1024),
    ];
    for (name, payload) in payloads {
        let stream = keep_frames(payload);
        assert_eq!(payload_bytes(&stream), STREAM);
        group.bench_function(name, |b| b.iter(|| payload_bytes(black_box(&stream))));
    }
    group.finish();
}

fn target() -> Destination {
    Destination::tcp("www.example.com", 443).expect("a valid name")
}

/// Keep frames of `payload` bytes each, [`STREAM`] in sum.
fn keep_frames(payload: usize) -> Vec<u8> {
    let frame = [keep_header(7, payload).to_vec(), vec![0xA5; payload]].concat();
    frame.repeat(STREAM / payload)
}

fn payload_bytes(stream: &[u8]) -> usize {
    let mut decoder = FrameDecoder::new();
    let mut sum = 0;
    for mut piece in stream.chunks(PIECE) {
        while let Some(event) = decoder.next(&mut piece).expect("well-formed frames") {
            if let Event::Payload { bytes, .. } = event {
                sum += bytes.len();
            }
        }
    }
    sum
}

fn settings() -> Criterion {
    Criterion::default()
        .without_plots()
        .sample_size(20)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(700))
}

criterion_group! {
    name = frames;
    config = settings();
    targets = encode, decode, decoder
}
criterion_main!(frames);
