use crate::config::Plan;
use crate::transport::stream::Security;
use crate::transport::tls::Usage;

/// Warnings about certificates that inbounds show although their time is over.
pub fn expired_certificates(plan: &Plan) -> Vec<String> {
    let layers = plan.inbounds.iter().map(|inbound| &inbound.stream.security);
    let entries = layers.flat_map(|security| match security {
        Security::Tls(options) => &options.certificates[..],
        _ => &[],
    });
    let shown = entries.filter(|entry| entry.usage == Usage::Encipherment);
    shown
        .filter_map(|entry| {
            let ended = entry.expired()?;
            let file = &entry.chain;
            Some(format!(
                "{file}: this certificate expired at {ended}: all but those who only pin it \
                 refuse it, put a new one in its place"
            ))
        })
        .collect()
}
