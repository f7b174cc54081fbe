//! What the protocols fix.

/// Longest frame metadata, in bytes, that any member of the family accepts.
pub const MAX_METADATA: usize = 512;

/// Shortest frame metadata: session id, status, option.
pub const MIN_METADATA: usize = 4;

/// Most payload bytes in one frame: its length field has 16 bits.
pub const MAX_FRAME_PAYLOAD: usize = 65_535;

/// Bytes in front of the payload of a frame that goes on with a session.
pub const KEEP_HEAD: usize = 8;

/// Largest datagram V2Ray accepts in a frame; a larger one ends its whole
/// carrier. Muxcool peers say in HELLO what they take: all that a frame holds.
pub const MAX_PLAIN_DATAGRAM: usize = 2_048;

/// Longest domain: its length field has 8 bits.
pub const MAX_DOMAIN: usize = 255;

/// Host name that asks the other side of a carrier for a mux server.
pub const MUX_DOMAIN: &str = "v1.mux.cool";

/// Port that goes with [`MUX_DOMAIN`]; nobody looks at it.
pub const MUX_PORT: u16 = 9527;

/// Names under which the family's portals open the control session of a
/// reverse carrier. A bridge accepts all of them, a portal sends the first
/// unless told otherwise.
pub const CONTROL_DOMAINS: [&str; 4] = [
    "reverse.internal.v2ray.com",
    "reverse.internal.v2fly.org",
    "reverse.internal.example.com",
    "reverse",
];

/// Session ids from 1 to this one are given out; 65 535 is kept for probes.
pub const MAX_SESSION_ID: u16 = u16::MAX - 1;

/// Longest user name or password of SOCKS5 (RFC 1929), in bytes.
pub const MAX_SOCKS_CREDENTIAL: usize = 255;

/// Longest user id or name in a SOCKS4 request, in bytes: they have no length
/// field but end with NUL. As long as a name may be elsewhere.
pub const MAX_SOCKS4_TEXT: usize = 255;

/// Padding of a VMess chunk has less bytes than this.
pub const VMESS_PADDING: usize = 64;

/// Most bytes of a VMess chunk behind its size, which has 16 bits.
pub const MAX_VMESS_CHUNK: usize = 65_535;

/// How far a VMess client's clock may differ from the server's, in seconds.
pub const VMESS_CLOCK: u64 = 120;

/// How long no two VMess connections of a user may have the same body keys, in
/// seconds, as in V2Ray.
pub const VMESS_SESSION: i64 = 180;

/// Longest line of a PROXY header of version 1, in bytes, its end included.
pub const MAX_PROXY_LINE: usize = 107;

/// Longest head of a WebSocket frame: with a length of 64 bits and a key.
pub const WS_FRAME_HEAD: usize = 14;

/// Most payload bytes of a WebSocket control frame.
pub const MAX_WS_CONTROL: usize = 125;
