use std::fmt;

use protobuf::{CodedInputStream, Enum, EnumOrUnknown, Message, SpecialFields};
use rand::{Rng, RngExt};

use super::control_proto::{self as proto, control::State as ProtoState};
use crate::limits::{HEARTBEAT_PADDING, MAX_CONTROL};

/// What a portal says of a carrier in a [`Control`] message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// In use.
    Active,
    /// The portal opens no more sessions on it; those open finish.
    Drain,
    /// A number that this version has no name for. V2Ray keeps it and treats
    /// it as anything that is not active.
    Other(i32),
}

/// A portal's heartbeat on the control session of a carrier (section 9): one
/// message in each datagram, from the portal to the bridge only.
///
/// Fields that this version does not know are kept and encoded again, except
/// for groups, which protobuf has given up.
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    message: proto::Control,
}

impl Control {
    /// The carrier is in use.
    ///
    /// The padding is 1 to [`HEARTBEAT_PADDING`] bytes: an empty message is
    /// zero bytes long, and V2Ray does not send those (A43).
    pub fn active(rng: &mut impl Rng) -> Self {
        Self::padded(ProtoState::ACTIVE, rng)
    }

    /// The carrier is about to end. Padded like [`active`](Self::active).
    pub fn drain(rng: &mut impl Rng) -> Self {
        Self::padded(ProtoState::DRAIN, rng)
    }

    fn padded(state: ProtoState, rng: &mut impl Rng) -> Self {
        let mut random = vec![0; rng.random_range(1..=HEARTBEAT_PADDING)];
        rng.fill_bytes(&mut random);
        let message = proto::Control {
            state: EnumOrUnknown::new(state),
            random,
            special_fields: SpecialFields::new(),
        };
        Self { message }
    }

    /// Reads one message. Several that were glued together read as one, of
    /// which the last value of each field counts.
    ///
    /// # Errors
    /// [`ControlError::TooLong`] beyond [`MAX_CONTROL`] bytes, and
    /// [`ControlError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ControlError> {
        if bytes.len() > MAX_CONTROL {
            return Err(ControlError::TooLong(bytes.len()));
        }
        let mut input = CodedInputStream::from_bytes(bytes);
        // Without a limit a length field alone would allocate up to 10 MB.
        input.push_limit(bytes.len() as u64)?;
        let message = proto::Control::parse_from(&mut input)?;
        Ok(Self { message })
    }

    /// The wire form: at most 69 bytes for what [`active`](Self::active) and
    /// [`drain`](Self::drain) make.
    pub fn encode(&self) -> Vec<u8> {
        // Fails only for a message without a required field; proto3 has none.
        self.message.write_to_bytes().unwrap_or_default()
    }

    /// What the portal says of the carrier.
    pub fn state(&self) -> State {
        match self.message.state.enum_value() {
            Ok(ProtoState::ACTIVE) => State::Active,
            Ok(ProtoState::DRAIN) => State::Drain,
            Err(number) => State::Other(number),
        }
    }

    /// The padding, of no meaning.
    pub fn random(&self) -> &[u8] {
        &self.message.random
    }
}

impl State {
    /// The number on the wire.
    pub fn number(self) -> i32 {
        match self {
            State::Active => ProtoState::ACTIVE.value(),
            State::Drain => ProtoState::DRAIN.value(),
            State::Other(number) => number,
        }
    }
}

/// Why bytes are not a [`Control`] message.
#[derive(Debug)]
#[non_exhaustive]
pub enum ControlError {
    /// This many bytes, more than [`MAX_CONTROL`].
    TooLong(usize),
    /// Not protobuf.
    Malformed(protobuf::Error),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlError::TooLong(len) => {
                write!(f, "control message of {len} bytes, limit {MAX_CONTROL}")
            }
            ControlError::Malformed(_) => f.write_str("malformed control message"),
        }
    }
}

impl std::error::Error for ControlError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ControlError::TooLong(_) => None,
            ControlError::Malformed(inner) => Some(inner),
        }
    }
}

impl From<protobuf::Error> for ControlError {
    fn from(e: protobuf::Error) -> Self {
        ControlError::Malformed(e)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn every_length_of_padding_occurs_and_no_other() {
        let mut rng = StdRng::seed_from_u64(9);
        let mut seen = [false; HEARTBEAT_PADDING + 1];
        for _ in 0..10_000 {
            seen[Control::active(&mut rng).random().len()] = true;
        }
        assert!(!seen[0], "an empty heartbeat is not sent");
        assert!(seen[1..].iter().all(|seen| *seen));
    }

    #[test]
    fn the_longest_heartbeat_is_as_long_as_documented() {
        let mut rng = StdRng::seed_from_u64(9);
        let longest = (0..10_000).map(|_| Control::drain(&mut rng).encode().len());
        assert_eq!(longest.max(), Some(69));
    }

    #[test]
    fn a_message_past_the_limit_is_refused() {
        let padded = |len: usize| {
            let mut message = proto::Control::new();
            message.random = vec![0; len];
            message.write_to_bytes().unwrap()
        };
        let overhead = padded(MAX_CONTROL).len() - MAX_CONTROL;
        assert!(Control::decode(&padded(MAX_CONTROL - overhead)).is_ok());
        let refused = Control::decode(&padded(MAX_CONTROL - overhead + 1));
        assert!(matches!(refused, Err(ControlError::TooLong(len)) if len == MAX_CONTROL + 1));
    }

    #[test]
    fn nested_groups_do_not_use_up_the_stack() {
        let deep = [0x33; MAX_CONTROL];
        assert!(matches!(
            Control::decode(&deep),
            Err(ControlError::Malformed(_))
        ));
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(seed: u64, drain: bool) {
            let mut rng = StdRng::seed_from_u64(seed);
            let control = match drain {
                true => Control::drain(&mut rng),
                false => Control::active(&mut rng),
            };
            let decoded = Control::decode(&control.encode()).unwrap();
            prop_assert_eq!(&decoded, &control);
            prop_assert_eq!(decoded.state() == State::Drain, drain);
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_reencode_to_the_same(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(control) = Control::decode(&bytes) {
                prop_assert_eq!(Control::decode(&control.encode()).unwrap(), control);
            }
        }

        /// Arbitrary bytes seldom get past the first tag; cut and changed
        /// messages do.
        #[test]
        fn damaged_messages_never_panic(
            seed: u64,
            cut in 0_usize..80,
            changed in 0_usize..80,
            to: u8,
        ) {
            let mut bytes = Control::drain(&mut StdRng::seed_from_u64(seed)).encode();
            if let Some(byte) = bytes.get_mut(changed) {
                *byte = to;
            }
            bytes.truncate(cut);
            if let Ok(control) = Control::decode(&bytes) {
                prop_assert_eq!(Control::decode(&control.encode()).unwrap(), control);
            }
        }
    }
}
