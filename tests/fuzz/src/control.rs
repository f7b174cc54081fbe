//! A heartbeat of a portal.

use muxcool::limits::MAX_CONTROL;
use muxcool::reverse::{Control, ControlError, State};

/// What stands in front of a state other than 0, which is left out: field 1, a
/// number.
const STATE: [u8; 1] = [1 << 3];

pub fn check(data: &[u8]) {
    match Control::decode(data) {
        Ok(control) => is_read_back(&control, data),
        Err(ControlError::TooLong(len)) => assert!(len == data.len() && len > MAX_CONTROL),
        Err(_) => assert!(data.len() <= MAX_CONTROL),
    }
}

fn is_read_back(control: &Control, data: &[u8]) {
    assert!(data.len() <= MAX_CONTROL);
    assert!(control.random().len() <= data.len());
    let bytes = control.encode();
    match control.state() {
        State::Active => assert!(!bytes.starts_with(&STATE)),
        State::Drain => assert!(bytes.starts_with(&[STATE[0], 1])),
        other => assert!(bytes.starts_with(&STATE) && ![0, 1].contains(&other.number())),
    }
    if bytes.len() <= MAX_CONTROL {
        assert_eq!(&Control::decode(&bytes).expect("what was written"), control);
    }
}
