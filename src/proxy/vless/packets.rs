//! Datagrams on a stream: `length(2) packet`, repeated (section 1.3). One
//! frame is one datagram, whatever its length, also an empty one.

use super::wire::MAX_SENT_PACKET;
use crate::buf::Buf;

/// Makes a frame of a datagram; `None` when it is larger than
/// [`MAX_SENT_PACKET`].
pub fn frame_packet(mut packet: Buf) -> Option<Buf> {
    let len = u16::try_from(packet.len()).ok()?;
    if packet.len() > MAX_SENT_PACKET {
        return None;
    }
    packet.prepend(&len.to_be_bytes());
    Some(packet)
}

/// Puts frames together from whatever pieces they arrive in.
#[derive(Debug, Default)]
pub struct PacketDecoder {
    /// The frame's length field, as far as it is there.
    length: u16,
    /// Bytes of it that are there.
    length_known: usize,
    /// The packet so far, once the length is known.
    packet: Option<Buf>,
}

impl PacketDecoder {
    /// A decoder that expects the start of a frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes off the front of `input`: up to the end of one packet,
    /// which it returns, or all of them.
    pub fn next(&mut self, input: &mut Buf) -> Option<Buf> {
        while self.length_known < size_of_val(&self.length) {
            let byte = *input.as_slice().first()?;
            self.length = self.length << 8 | u16::from(byte);
            self.length_known += 1;
            input.advance(1);
        }
        let wanted = self.length.into();
        let with_room = || Buf::with_capacity(wanted);
        let packet = self.packet.get_or_insert_with(with_room);
        let is_complete = packet.fill_to(wanted, input);
        is_complete.then(|| std::mem::take(self).packet).flatten()
    }

    /// Whether the last frame is complete, so that the stream may end here.
    pub fn is_between_frames(&self) -> bool {
        self.length_known == 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[Vec<u8>]) -> (Vec<Vec<u8>>, PacketDecoder) {
        let mut decoder = PacketDecoder::new();
        let mut packets = Vec::new();
        for piece in pieces {
            let mut input = Buf::copy_of(piece);
            while let Some(packet) = decoder.next(&mut input) {
                packets.push(packet.as_slice().to_vec());
            }
            assert!(input.is_empty(), "bytes were left behind");
        }
        (packets, decoder)
    }

    proptest! {
        #[test]
        fn frames_are_put_together_from_any_pieces(
            packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3000), 0..5),
            piece in 1..4000_usize,
        ) {
            let stream: Vec<u8> = packets
                .iter()
                .flat_map(|p| [&(p.len() as u16).to_be_bytes()[..], p].concat())
                .collect();
            let pieces: Vec<Vec<u8>> = stream.chunks(piece).map(<[u8]>::to_vec).collect();
            let (decoded, decoder) = decode(&pieces);
            prop_assert_eq!(decoded, packets);
            prop_assert!(decoder.is_between_frames());
        }

        #[test]
        fn arbitrary_bytes_never_panic(pieces: Vec<Vec<u8>>) {
            decode(&pieces);
        }
    }

    #[test]
    fn a_frame_is_incomplete_until_its_last_byte() {
        let (packets, decoder) = decode(&[vec![0], vec![2], vec![7]]);
        assert!(packets.is_empty());
        assert!(!decoder.is_between_frames());
    }

    #[test]
    fn what_is_sent_fits_the_buffer_of_a_v2ray_peer() {
        let frame = frame_packet(Buf::copy_of(&[1; MAX_SENT_PACKET])).unwrap();
        assert_eq!(frame.len(), 2048);
        assert_eq!(frame_packet(Buf::copy_of(&[])).unwrap().as_slice(), [0, 0]);
        for len in [MAX_SENT_PACKET + 1, 65_535, 65_536] {
            assert!(frame_packet(Buf::copy_of(&vec![1; len])).is_none(), "{len}");
        }
    }
}
