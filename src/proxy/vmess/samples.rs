//! For tests: a request.

use super::wire::{BodyKeys, Options, RequestHeader, Security};
use crate::net::Destination;

/// As all of the family make it, to this target.
pub(super) fn header(target: Destination) -> RequestHeader {
    RequestHeader {
        keys: BodyKeys {
            key: [1; 16],
            iv: [2; 16],
        },
        answer: 3,
        options: Options::usual(Security::Aes128Gcm),
        security: Security::Aes128Gcm,
        target,
    }
}
