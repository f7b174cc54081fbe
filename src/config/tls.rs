//! `tlsSettings` (section 7).

use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::read::{Fields, Keys};
use super::stream::End;
use super::words::quoted;
use crate::net::Address;
use crate::transport::tls::{Certificate, Options, Pem, Pin, Usage};

const TLS: Keys = Keys {
    known: &[
        "allowInsecure",
        "serverName",
        "alpn",
        "certificates",
        "disableSystemRoot",
        "enableSessionResumption",
        "disableSessionResumption",
        "pinnedPeerCertificateChainSha256",
        "allowInsecureIfPinnedPeerCertificate",
    ],
    unsupported: &[
        ("certificate", "write \"certificates\""),
        ("minVersion", BOTH),
        ("maxVersion", BOTH),
        ("cipherSuites", ""),
        ("preferServerCipherSuites", ""),
        ("curvePreferences", ""),
        ("rejectUnknownSni", ""),
        ("verifyClientCertificate", ""),
        ("pinnedPeerCertificatePublicKeySha256", PIN_CHAIN),
        ("pinnedPeerCertSha256", PIN_CHAIN),
        ("verifyPeerCertInNames", ""),
        ("verifyPeerCertByName", ""),
        ("serverNameToVerify", ""),
        ("fingerprint", "there is no disguise as a browser"),
        ("masterKeyLog", ""),
        ("echConfigList", ""),
        ("echServerKeys", ""),
        ("ech", ""),
    ],
};

const CERTIFICATE: Keys = Keys {
    known: &["certificateFile", "keyFile", "certificate", "key", "usage"],
    unsupported: &[
        ("ocspStapling", ""),
        ("oneTimeLoading", "files are read again when they change"),
        ("buildChain", ""),
    ],
};

const BOTH: &str = "TLS 1.2 and 1.3 are offered";
const PIN_CHAIN: &str = "use \"pinnedPeerCertificateChainSha256\"";
const INSECURE: &str = "whoever answers is trusted, so that anybody on the way can read and change \
                        everything: pin the certificate (\"pinnedPeerCertificateChainSha256\"), or \
                        list it in \"certificates\"";
const ONLY_CLIENT: &str = "has no effect on an inbound";

/// What only a client heeds.
const CLIENT_KEYS: [&str; 5] = [
    "allowInsecure",
    "serverName",
    "disableSystemRoot",
    "pinnedPeerCertificateChainSha256",
    "allowInsecureIfPinnedPeerCertificate",
];

/// Reads the object.
pub(super) fn read(node: &Node, end: End, notes: &mut Notes) -> Result<Options, ConfigError> {
    let fields = Fields::open(node, &TLS)?;
    let pins = pins(&fields)?;
    let if_pinned = fields.flag("allowInsecureIfPinnedPeerCertificate")? && !pins.is_empty();
    let options = Options {
        server_name: fields.get("serverName").map_or(Ok(None), server_name)?,
        alpn: fields.get("alpn").map_or(Ok(None), alpn)?,
        certificates: fields
            .list("certificates")?
            .iter()
            .map(|node| certificate(node, end))
            .collect::<Result<_, _>>()?,
        disable_system_root: fields.flag("disableSystemRoot")?,
        allow_insecure: fields.flag("allowInsecure")? || if_pinned,
        pins,
        resumption: fields.flag("enableSessionResumption")?
            & !fields.flag("disableSessionResumption")?,
    };
    match end {
        End::Server => check_server(&fields, &options, notes)?,
        End::Client => check_client(&fields, &options, notes)?,
    }
    fields.finish()?;
    Ok(options)
}

/// What is read where the object is missing.
pub(super) fn none(node: &Node, end: End) -> Result<Options, ConfigError> {
    match end {
        End::Server => Err(without_certificate(node)),
        End::Client => Ok(Options::default()),
    }
}

fn check_server(
    fields: &Fields<'_>,
    options: &Options,
    notes: &mut Notes,
) -> Result<(), ConfigError> {
    let shown = |entry: &Certificate| entry.usage == Usage::Encipherment;
    if !options.certificates.iter().any(shown) {
        let node = fields.get("certificates").unwrap_or(fields.node());
        return Err(without_certificate(node));
    }
    let ignored = CLIENT_KEYS.iter().filter_map(|key| fields.get(key));
    for node in ignored.filter(|node| !node.is_empty()) {
        notes.add(&node.mark, ONLY_CLIENT);
    }
    Ok(())
}

fn check_client(
    fields: &Fields<'_>,
    options: &Options,
    notes: &mut Notes,
) -> Result<(), ConfigError> {
    if let Some(node) = fields.get("allowInsecure")
        && options.allow_insecure
        && options.pins.is_empty()
    {
        notes.add(&node.mark, INSECURE);
    }
    let anybody = options.allow_insecure || !options.certificates.is_empty();
    match fields.get("disableSystemRoot") {
        Some(node) if options.disable_system_root && !anybody => Err(node
            .error("no server would be trusted")
            .help("list a certificate in \"certificates\"")),
        _ => Ok(()),
    }
}

fn without_certificate(node: &Node) -> ConfigError {
    node.error("an inbound with TLS needs a certificate and its key")
        .help("\"tlsSettings\": {\"certificates\": [{\"certificateFile\", \"keyFile\"}]}")
}

fn server_name(node: &Node) -> Result<Option<Address>, ConfigError> {
    match node.string()? {
        "" => Ok(None),
        _ => node.address().map(Some),
    }
}

/// An empty list is as good as none, as in V2Ray.
fn alpn(node: &Node) -> Result<Option<Vec<String>>, ConfigError> {
    if node.is_empty() {
        return Ok(None);
    }
    let longest = usize::from(u8::MAX);
    let items = node.strings()?;
    if let Some(long) = items.iter().find(|item| item.text.len() > longest) {
        return Err(long.error(format!("a protocol's name has at most {longest} bytes")));
    }
    Ok(Some(
        items.iter().map(|item| item.text.to_owned()).collect(),
    ))
}

fn pins(fields: &Fields<'_>) -> Result<Vec<Pin>, ConfigError> {
    let Some(node) = fields.get("pinnedPeerCertificateChainSha256") else {
        return Ok(Vec::new());
    };
    if node.is_empty() {
        return Ok(Vec::new());
    }
    let pin = |text: &str| text.parse();
    node.strings()?
        .iter()
        .map(|item| pin(item.text).map_err(|e| item.error(format!("{} is {e}", quoted(item.text)))))
        .collect()
}

fn certificate(node: &Node, end: End) -> Result<Certificate, ConfigError> {
    let fields = Fields::open(node, &CERTIFICATE)?;
    let usage = fields.get("usage").map_or(Ok(Usage::default()), usage)?;
    let key = pem(&fields, "keyFile", "key")?;
    let chain = pem(&fields, "certificateFile", "certificate")?
        .ok_or_else(|| node.error("\"certificateFile\" is missing"))?;
    if key.is_none() && end == End::Server && usage == Usage::Encipherment {
        return Err(node.error("\"keyFile\" is missing"));
    }
    fields.finish()?;
    Ok(Certificate { usage, chain, key })
}

fn usage(node: &Node) -> Result<Usage, ConfigError> {
    if node.string()?.eq_ignore_ascii_case("issue") {
        return Err(node
            .error("\"issue\" is not supported by muxcool")
            .help("certificates are not made on the fly: list one for each name"));
    }
    node.choice(
        "usage",
        &[
            ("encipherment", Usage::Encipherment),
            ("verify", Usage::Verify),
            ("", Usage::Encipherment),
        ],
    )
}

/// The file wins over the lines, as in V2Ray.
fn pem(fields: &Fields<'_>, file: &str, lines: &str) -> Result<Option<Pem>, ConfigError> {
    let (path, lines) = (fields.text(file)?, fields.list(lines)?);
    if !path.is_empty() {
        return Ok(Some(Pem::File(path.into())));
    }
    let lines: Vec<_> = lines.iter().map(Node::string).collect::<Result<_, _>>()?;
    Ok((!lines.is_empty()).then(|| Pem::Inline(lines.join("\n"))))
}
