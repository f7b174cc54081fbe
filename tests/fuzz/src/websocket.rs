//! What a WebSocket peer sends: the frames, and the heads before them.

use std::collections::VecDeque;

use muxcool::buf::Buf;
use muxcool::transport::ws::head::{read_request, read_response};
use muxcool::transport::ws::wire::FrameError;
use muxcool::transport::ws::{Decoder, Encoder, Options, Seen};

use super::pieces::Pieces;

/// Bits of the choice.
const FROM_CLIENT: u8 = 1;
const MARKS: u8 = 2;

pub fn check(data: &[u8]) {
    let pieces = Pieces::new(data);
    let decoder = || decoder(pieces.choice);
    let taken = take(decoder(), pieces);
    let whole = take(decoder(), [pieces.stream]);
    match (taken, whole) {
        (Ok(taken), Ok(whole)) => assert_eq!(taken, whole),
        (taken, whole) => assert_eq!(taken.err(), whole.err()),
    }
    comes_back(decoder(), pieces);
    let _ = read_request(pieces.stream, &Options::default());
    let _ = read_response(pieces.stream, [0; 16]);
}

fn decoder(choice: u8) -> Decoder {
    let marks = choice & MARKS != 0;
    match choice & FROM_CLIENT != 0 {
        true => Decoder::of_client(marks),
        false => Decoder::of_server(marks),
    }
}

fn take<'a>(
    mut decoder: Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(Vec<u8>, Seen), FrameError> {
    let (mut payload, mut seen) = (Vec::new(), Seen::default());
    for piece in pieces {
        if seen.end.is_some() {
            break;
        }
        let mut buf = Buf::copy_of(piece);
        decoder.decode(&mut buf, &mut seen)?;
        payload.extend_from_slice(buf.as_slice());
    }
    if let Some(ping) = &seen.ping {
        assert!(ping.len() <= 125);
    }
    Ok((payload, seen))
}

/// The stream in frames is the stream.
fn comes_back(decoder: Decoder, pieces: Pieces<'_>) {
    let encoder = match pieces.choice & FROM_CLIENT != 0 {
        true => Encoder::client(),
        false => Encoder::server(),
    };
    let mut batch: VecDeque<Buf> = pieces.into_iter().map(Buf::copy_of).collect();
    encoder.put_in_frames(&mut batch);
    let sent = batch.iter().map(Buf::as_slice);
    let (payload, seen) = take(decoder, sent).expect("our own frames");
    assert_eq!(payload, pieces.stream);
    assert_eq!(seen, Seen::default());
}
