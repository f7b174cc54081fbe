//! TLS on links: that both directions go on whatever the other one does, that
//! every end arrives as what it is, and whom either side trusts.

#[path = "support/certificate.rs"]
#[allow(dead_code)]
mod certificate;
#[path = "tls/ends.rs"]
mod ends;
#[path = "tls/peers.rs"]
mod peers;
#[path = "tls/rig.rs"]
mod rig;
#[path = "tls/traffic.rs"]
mod traffic;
#[path = "tls/trust.rs"]
mod trust;
