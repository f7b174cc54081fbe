//! A flow of datagrams, of which some may be lost and none may be another's.

use std::{
    io::{self, ErrorKind},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::support::{
    bytes::KeyedBytes,
    client::Entry,
    streams::{Course, Ending},
};

const DATAGRAMS: u64 = 8;

/// How long an answer is waited for before the next datagram goes.
const ANSWER: Duration = Duration::from_millis(1_500);

/// Sends some and compares what comes back. Whole, if at least one did: as UDP
/// may, the tunnel loses what it cannot deliver.
pub fn exchange(entry: &Entry, key: u64, course: &Arc<Course>) -> Ending {
    match answers(entry, key, course) {
        Ok(0) => Ending::Hung(0),
        Ok(_) => Ending::Whole,
        Err(error) => match error.kind() {
            ErrorKind::InvalidData => Ending::Wrong(error.to_string()),
            kind => Ending::Broken(kind),
        },
    }
}

fn answers(entry: &Entry, key: u64, course: &Arc<Course>) -> io::Result<usize> {
    let flow = entry.datagrams_within(ANSWER)?;
    let sent: Vec<Vec<u8>> = (0..DATAGRAMS).map(|number| datagram(key, number)).collect();
    let mut came = 0;
    for payload in &sent {
        flow.send(payload)?;
        match flow.receive() {
            Ok(answer) if sent.contains(&answer) => {
                came += 1;
                let bytes = answer.len() as u64;
                course.verified.fetch_add(bytes, Ordering::Relaxed);
            }
            Ok(_) => return Err(io::Error::new(ErrorKind::InvalidData, "foreign datagram")),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(came)
}

/// Of a size that depends on its number, up to what V2Ray takes.
fn datagram(key: u64, number: u64) -> Vec<u8> {
    let length = 32 + 250 * number as usize;
    KeyedBytes::vec(key << 8 | number, length)
}
