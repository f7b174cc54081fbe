//! The messages in one frame of signals.

use muxcool::mux::{ExtensionError, Message};

/// Most entries that one CREDIT is written with.
const CREDITS: usize = 1024;

/// Bytes of an entry in CREDIT.
const ENTRY: usize = 10;

/// A message that says nothing.
const PAD: [u8; 3] = [0, 0, 0];

pub fn check(data: &[u8]) {
    let decoded = Message::decode_all(data);
    match &decoded {
        Ok(messages) => are_read_back(messages, data),
        Err(ExtensionError::Truncated(_)) => {}
        Err(e) => {
            let padded = [data, &PAD].concat();
            assert_eq!(Message::decode_all(&padded).as_ref(), Err(e));
        }
    }
    let padded = [&PAD, data].concat();
    assert_eq!(Message::decode_all(&padded), decoded);
}

fn are_read_back(messages: &[Message], data: &[u8]) {
    let entries = messages.iter().map(|message| match message {
        Message::Credit(credits) => credits.len(),
        _ => 0,
    });
    assert!(entries.sum::<usize>() * ENTRY <= data.len());
    let mut bytes = Vec::new();
    for message in messages {
        message.encode(&mut bytes);
    }
    assert!(bytes.len() <= data.len(), "more than it was");
    let expected: Vec<Message> = messages.iter().map(as_written).collect();
    assert_eq!(Message::decode_all(&bytes), Ok(expected));
}

fn as_written(message: &Message) -> Message {
    match message {
        Message::Credit(credits) => {
            Message::Credit(credits.iter().take(CREDITS).copied().collect())
        }
        other => other.clone(),
    }
}
