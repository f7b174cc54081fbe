//! What is done on a carrier, the same for both muxes.

/// Sends of `message` bytes on each of `streams` streams, side by side. A
/// round on a stream is `messages` of them and then `reply` bytes back.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub streams: usize,
    pub message: usize,
    pub messages: usize,
    pub reply: usize,
}

impl Load {
    /// 64 bytes there and back on one stream.
    pub const PING: Self = Self {
        streams: 1,
        message: 64,
        messages: 1,
        reply: 64,
    };

    /// The same on many streams, side by side.
    pub const PINGS: Self = Self {
        streams: 64,
        ..Self::PING
    };

    /// `count` messages by all streams together, acknowledged with one byte.
    pub fn transfer(streams: usize, message: usize, count: usize) -> Self {
        Self {
            streams,
            message,
            messages: count / streams,
            reply: 1,
        }
    }

    /// Bytes of a round on one stream.
    pub fn request(self) -> usize {
        self.message * self.messages
    }

    /// Bytes of a round on all streams, without the replies.
    pub fn bytes(self) -> u64 {
        (self.request() * self.streams) as u64
    }
}
