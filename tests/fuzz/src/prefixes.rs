//! Decoders that are tried again with each byte that arrives.

use std::fmt::Debug;

use muxcool::wire::Cursor;

/// What a decoder makes of the bytes so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<T> {
    /// More may complete the message.
    WantsMore,
    /// This message, of so many bytes.
    Message(T, usize),
    /// No message, whatever follows.
    Never,
}

/// Sees that a decoder wants more until it has all it needs, or knows that no
/// more can help; that it knows either after `limit` bytes; and that nothing
/// behind those changes its mind. Returns the last verdict.
pub fn check<T: PartialEq + Debug, E>(
    bytes: &[u8],
    limit: usize,
    decode: impl Fn(&mut Cursor) -> Result<T, E>,
    wants_more: impl Fn(&E) -> bool,
) -> Verdict<T> {
    let verdict = |len: usize| {
        let mut cursor = Cursor::new(&bytes[..len]);
        match decode(&mut cursor) {
            Ok(message) => Verdict::Message(message, len - cursor.remaining()),
            Err(e) if wants_more(&e) => Verdict::WantsMore,
            Err(_) => Verdict::Never,
        }
    };
    let whole = verdict(bytes.len());
    let decided = (0..=bytes.len().min(limit)).find(|len| verdict(*len) != Verdict::WantsMore);
    let Some(decided) = decided else {
        assert!(bytes.len() < limit, "{limit} bytes are not enough");
        assert_eq!(whole, Verdict::WantsMore);
        return whole;
    };
    if let Verdict::Message(_, len) = &whole {
        assert_eq!(*len, decided, "decided with another length than it took");
    }
    for len in [decided, decided + 1, (decided + bytes.len()) / 2] {
        assert_eq!(verdict(len.min(bytes.len())), whole, "{len} bytes");
    }
    whole
}
