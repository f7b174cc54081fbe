//! Our choice: what is spoken on connections.

use std::time::Duration;

use super::BUFFER_CLASSES;

/// Longest head of an HTTP proxy request, in bytes.
pub const MAX_HTTP_HEAD: usize = 64 * 1024;

/// Most header fields of an HTTP proxy request.
pub const MAX_HTTP_FIELDS: usize = 128;

/// Longest head of a WebSocket upgrade, request or response, in bytes: proxies
/// on the way add fields of their own.
pub const MAX_WS_HEAD: usize = 16 * 1024;

/// Longest PROXY header of version 2, in bytes: what balancers put in beside
/// the addresses, such as names of TLS, and even a certificate, has less.
pub const MAX_PROXY_HEADER: usize = 8 * 1024;

/// Bytes of several buffers that go in one WebSocket frame of ours. Of what
/// peers send nothing waits until a frame is complete, so it has no bound.
pub const WS_FRAME: usize = BUFFER_CLASSES[4];

/// Longest line of a chunk in an HTTP body: its size and extensions, in bytes.
pub const MAX_HTTP_CHUNK_LINE: usize = 1_024;

/// Bytes of plaintext in one TLS record, as many as TLS allows: what is
/// encrypted or decrypted under one lock.
pub const TLS_RECORD: usize = 16_384;

/// Most bytes that a record of data has besides: its header, TLS 1.2's part of
/// the nonce, and the tag.
pub const TLS_OVERHEAD: usize = 5 + 8 + 16;

/// Full records that one write sends.
pub const TLS_RECORDS_AT_ONCE: usize = 8;

/// Bytes of a peer's part in a TLS handshake. Most of it is certificates, of
/// which chains of four with long keys have a tenth.
pub const MAX_TLS_HANDSHAKE: usize = 128 * 1024;

/// TLS sessions that a client remembers, to resume them.
pub const TLS_SESSIONS: usize = 256;

/// Least time between two looks whether a server's certificate files have
/// changed.
pub const CERTIFICATE_CHECK: Duration = Duration::from_secs(2);

/// Longest addons of a VLESS header that we read, in bytes: their length has 8 bits.
pub const MAX_VLESS_ADDONS: usize = 255;

/// Longest request header of VMess that we read, in bytes of plain text: three
/// times what its longest form has. What follows it in there is ignored.
pub const MAX_VMESS_HEADER: usize = 1_024;

/// Longest response header of VMess that we read: its command has 255 bytes.
pub const MAX_VMESS_RESPONSE: usize = 4 + 255;

/// Auth ids, and body keys, that this process remembers in order to refuse
/// their second use. Each is kept as long as it could be accepted again, some
/// minutes; so this is what comes in with 4000 connections a second. With one
/// more the oldest are forgotten, and auth ids as old as these are refused.
pub const VMESS_REMEMBERED: usize = 500_000;

/// Bytes after which a VMess server ends the connection of somebody whom it
/// does not know: this many and up to as many more, as in V2Ray, always the
/// same but for a few.
pub const VMESS_DRAIN: (usize, usize) = (54, 3_266);

/// The few.
pub const VMESS_DRAIN_JITTER: usize = 64;

/// Smaller pieces that are written together become one chunk of VMess: what
/// that costs besides is worth a copy.
pub const VMESS_JOINED: usize = BUFFER_CLASSES[1];
