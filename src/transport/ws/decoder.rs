use super::wire::{FrameError, FrameHead, Opcode, head_len, mask, read_head};
use crate::buf::Buf;

/// Takes frames apart as their bytes come in.
#[derive(Debug)]
pub struct Decoder {
    /// Whether the peer has to mask: a client.
    masked: bool,
    /// Whether an empty message is the end of its direction.
    marks: bool,
    /// Bytes of a frame's head so far.
    head: Vec<u8>,
    /// The frame whose payload comes, and the bytes left of it.
    frame: Option<FrameHead>,
    /// A message goes on with the next frame.
    in_message: bool,
    /// Payload of a control frame so far.
    control: Vec<u8>,
}

/// What a peer has said beside payload.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Payload of the last ping; only that needs an answer.
    pub ping: Option<Vec<u8>>,
    /// That nothing follows; what does is not looked at.
    pub end: Option<End>,
}

/// How a peer has ended its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With an empty message.
    Mark,
    /// With a Close frame, and the code in it.
    Close(Option<u16>),
}

impl Decoder {
    /// For what a client sends; `marks` says whether an empty message is the
    /// end of its direction.
    pub fn of_client(marks: bool) -> Self {
        Self {
            masked: true,
            ..Self::of_server(marks)
        }
    }

    /// As [`of_client`](Self::of_client), for what a server sends.
    pub fn of_server(marks: bool) -> Self {
        Self {
            masked: false,
            marks,
            head: Vec::new(),
            frame: None,
            in_message: false,
            control: Vec::new(),
        }
    }

    /// Bytes that bring `len` bytes of payload, if no more than one frame begins
    /// before their end.
    pub fn bytes_for(&self, len: usize) -> usize {
        match self.frame {
            Some(frame) if frame.len >= len as u64 => len,
            _ => len.saturating_add(if self.masked { 8 } else { 4 }),
        }
    }

    /// Leaves in `buf` the payload that is in it, and puts into `seen` what
    /// else there is.
    ///
    /// # Errors
    /// When the peer broke the protocol; nothing can be decoded after it.
    pub fn decode(&mut self, buf: &mut Buf, seen: &mut Seen) -> Result<(), FrameError> {
        let bytes = buf.as_mut_slice();
        let (mut kept, mut at) = (0..0, 0);
        while let Some(rest) = bytes.get_mut(at..)
            && !rest.is_empty()
            && seen.end.is_none()
        {
            at += match self.frame {
                None => self.take_head(rest, seen)?,
                Some(frame) if frame.opcode.is_control() => self.take_control(frame, rest, seen)?,
                Some(frame) => {
                    let len = self.take_payload(frame, rest);
                    kept = keep(bytes, kept, at..at + len);
                    len
                }
            };
        }
        buf.truncate(kept.end);
        buf.advance(kept.start);
        Ok(())
    }

    /// Returns how many bytes of a head were there.
    fn take_head(&mut self, bytes: &[u8], seen: &mut Seen) -> Result<usize, FrameError> {
        let mut rest = bytes;
        while self.head.len() < head_len(&self.head) {
            let Some(byte) = rest.split_off_first() else {
                return Ok(bytes.len());
            };
            self.head.push(*byte);
        }
        let head = read_head(&self.head)?;
        self.head.clear();
        self.begin(head, seen)?;
        Ok(bytes.len() - rest.len())
    }

    fn begin(&mut self, head: FrameHead, seen: &mut Seen) -> Result<(), FrameError> {
        match (head.key.is_some(), self.masked) {
            (false, true) => return Err(FrameError::Unmasked),
            (true, false) => return Err(FrameError::Masked),
            _ => {}
        }
        if head.opcode.is_control() {
            self.control.clear();
            self.frame = Some(head);
            return match head.len {
                0 => self.end_control(head.opcode, seen),
                _ => Ok(()),
            };
        }
        if self.in_message != (head.opcode == Opcode::Continuation) {
            return Err(FrameError::Order);
        }
        if self.marks && !self.in_message && head.is_last && head.len == 0 {
            seen.end = Some(End::Mark);
        }
        self.in_message = !head.is_last;
        self.frame = (head.len > 0).then_some(head);
        Ok(())
    }

    /// Unmasks what is there of a payload; returns how much that is.
    fn take_payload(&mut self, frame: FrameHead, bytes: &mut [u8]) -> usize {
        let here = usize::try_from(frame.len).unwrap_or(usize::MAX);
        let payload = match bytes.split_at_mut_checked(here) {
            Some((payload, _)) => payload,
            None => bytes,
        };
        let left = frame.len - payload.len() as u64;
        let rest = FrameHead {
            key: frame.key.map(|key| mask(payload, key)),
            len: left,
            ..frame
        };
        self.frame = (left > 0).then_some(rest);
        payload.len()
    }

    fn take_control(
        &mut self,
        frame: FrameHead,
        bytes: &[u8],
        seen: &mut Seen,
    ) -> Result<usize, FrameError> {
        let wanted = usize::try_from(frame.len).unwrap_or(0) - self.control.len();
        let part = bytes.get(..wanted).unwrap_or(bytes);
        self.control.extend_from_slice(part);
        if part.len() == wanted {
            if let Some(key) = frame.key {
                mask(&mut self.control, key);
            }
            self.end_control(frame.opcode, seen)?;
        }
        Ok(part.len())
    }

    fn end_control(&mut self, opcode: Opcode, seen: &mut Seen) -> Result<(), FrameError> {
        self.frame = None;
        let payload = std::mem::take(&mut self.control);
        match opcode {
            Opcode::Ping => seen.ping = Some(payload),
            Opcode::Close => seen.end = Some(End::Close(close_code(&payload)?)),
            _ => {}
        }
        Ok(())
    }
}

impl End {
    /// Whether the peer says that all went well.
    pub fn is_orderly(self) -> bool {
        const NORMAL: u16 = 1000;
        matches!(self, End::Mark | End::Close(None | Some(NORMAL)))
    }
}

/// Moves what is to be kept behind what is kept already.
fn keep(
    bytes: &mut [u8],
    kept: std::ops::Range<usize>,
    new: std::ops::Range<usize>,
) -> std::ops::Range<usize> {
    if kept.is_empty() {
        return new;
    }
    let len = new.len();
    if kept.end != new.start {
        bytes.copy_within(new, kept.end);
    }
    kept.start..kept.end + len
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, FrameError> {
    match payload {
        [] => Ok(None),
        [high, low, ..] => Ok(Some(u16::from_be_bytes([*high, *low]))),
        [_] => Err(FrameError::CloseCode),
    }
}
