use std::net::IpAddr;

use uuid::Uuid;

use crate::proxy::{self, Client};

/// Settings of a VMess inbound (section 2.7).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboundOptions {
    /// Who may use it; nobody if empty.
    pub clients: Vec<Client>,
    /// Whether bodies without encryption are refused
    /// (`disableInsecureEncryption`).
    pub only_encrypted: bool,
}

/// Settings of a VMess outbound (section 2.7): servers in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundOptions {
    /// The servers; at least one.
    pub servers: Vec<Server>,
    /// Local address to dial from (`sendThrough`).
    pub send_through: Option<IpAddr>,
}

/// One VMess server, with at least one user.
pub type Server = proxy::Server<User>;

/// Who we are at a server, and how we speak.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The secret.
    pub id: Uuid,
    /// How bodies are encrypted, if not by what the processor is good at.
    pub security: Option<Security>,
    /// Whether sizes of chunks are encrypted, which V2Ray 4 does not know.
    pub sealed_sizes: bool,
}

impl User {
    /// A user with the usual settings.
    pub fn new(id: Uuid) -> Self {
        Self {
            id,
            security: None,
            sealed_sizes: false,
        }
    }
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("security", &self.security)
            .finish_non_exhaustive()
    }
}

/// How a body is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// AES with 128 bits, in GCM.
    Aes128Gcm,
    /// ChaCha20 with Poly1305.
    Chacha20Poly1305,
    /// Not at all.
    None,
}

impl Security {
    /// What this processor is fast at.
    pub fn of_processor() -> Self {
        match has_aes() {
            true => Security::Aes128Gcm,
            false => Security::Chacha20Poly1305,
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
fn has_aes() -> bool {
    std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
}

#[cfg(target_arch = "aarch64")]
fn has_aes() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "x86", target_arch = "aarch64")))]
fn has_aes() -> bool {
    false
}
