//! `tlsSettings` (section 7).

use super::error::ConfigError;
use super::json::Node;
use super::notes::Notes;
use super::read::{Fields, Keys};
use super::stream::End;
use super::value::Item;
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

/// Reads the object; `None` if anything is wrong with it.
pub(super) fn read(node: &Node, end: End, notes: &Notes) -> Option<Options> {
    let fields = Fields::open(node, &TLS, notes)?;
    let pins = each(&fields, "pinnedPeerCertificateChainSha256", pin);
    let if_pinned = fields.flag("allowInsecureIfPinnedPeerCertificate") && !pins.is_empty();
    let alpn = each(&fields, "alpn", protocol_name);
    let certificates = fields.list("certificates").iter();
    let options = Options {
        server_name: fields.read("serverName", server_name).flatten(),
        alpn: (!alpn.is_empty()).then_some(alpn),
        certificates: certificates
            .filter_map(|node| certificate(node, end, notes))
            .collect(),
        disable_system_root: fields.flag("disableSystemRoot"),
        allow_insecure: fields.flag("allowInsecure") || if_pinned,
        pins,
        resumption: fields.flag("enableSessionResumption")
            & !fields.flag("disableSessionResumption"),
    };
    if fields.is_sound() {
        match end {
            End::Server => check_server(&fields, &options),
            End::Client => check_client(&fields, &options),
        }
    }
    fields.is_sound().then_some(options)
}

/// What is read where the object is missing.
pub(super) fn none(stream: &Fields<'_>, end: End) -> Option<Options> {
    if end == End::Server {
        stream.notes().blame(without_certificate(stream.node()));
        return None;
    }
    Some(Options::default())
}

fn check_server(fields: &Fields<'_>, options: &Options) {
    let shown = |entry: &Certificate| entry.usage == Usage::Encipherment;
    if !options.certificates.iter().any(shown) {
        let node = fields.get("certificates").unwrap_or(fields.node());
        fields.notes().blame(without_certificate(node));
    }
    let ignored = CLIENT_KEYS.iter().filter_map(|key| fields.get(key));
    for node in ignored.filter(|node| !node.is_empty()) {
        fields.notes().add(&node.mark, ONLY_CLIENT);
    }
}

fn check_client(fields: &Fields<'_>, options: &Options) {
    if let Some(node) = fields.get("allowInsecure")
        && options.allow_insecure
        && options.pins.is_empty()
    {
        fields.notes().add(&node.mark, INSECURE);
    }
    let anybody = options.allow_insecure || !options.certificates.is_empty();
    if let Some(node) = fields.get("disableSystemRoot")
        && options.disable_system_root
        && !anybody
    {
        fields.notes().blame(
            node.error("no server would be trusted")
                .help("list a certificate in \"certificates\""),
        );
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

/// The entries of a list; one that is empty is as good as none, as in V2Ray.
fn each<'a, T>(
    fields: &Fields<'a>,
    key: &str,
    read: impl FnMut(Item<'a>) -> Result<T, ConfigError>,
) -> Vec<T> {
    match fields.get(key).is_some_and(|node| !node.is_empty()) {
        true => fields.each(key, read),
        false => Vec::new(),
    }
}

fn protocol_name(item: Item<'_>) -> Result<String, ConfigError> {
    let longest = usize::from(u8::MAX);
    match item.text.len() <= longest {
        true => Ok(item.text.to_owned()),
        false => Err(item.error(format!("a protocol's name has at most {longest} bytes"))),
    }
}

fn pin(item: Item<'_>) -> Result<Pin, ConfigError> {
    let pin = item.text.parse();
    pin.map_err(|e| item.error(format!("{} is {e}", quoted(item.text))))
}

fn certificate(node: &Node, end: End, notes: &Notes) -> Option<Certificate> {
    let fields = Fields::open(node, &CERTIFICATE, notes)?;
    let usage = fields.read_or("usage", Usage::default(), usage);
    let key = pem(&fields, "keyFile", "key");
    let chain = pem(&fields, "certificateFile", "certificate");
    let needs_key = end == End::Server && usage == Some(Usage::Encipherment);
    if !has_any(&fields, ["certificateFile", "certificate"]) {
        fields.miss("certificateFile", None);
    }
    if needs_key && !has_any(&fields, ["keyFile", "key"]) {
        fields.miss("keyFile", None);
    }
    Some(Certificate {
        usage: usage?,
        chain: chain?,
        key,
    })
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

fn has_any(fields: &Fields<'_>, keys: [&str; 2]) -> bool {
    let says = |key| fields.get(key).is_some_and(|node| !node.is_empty());
    keys.into_iter().any(says)
}

/// The file wins over the lines, as in V2Ray.
fn pem(fields: &Fields<'_>, file: &str, lines: &str) -> Option<Pem> {
    let (path, lines) = (fields.text(file), fields.list(lines));
    if !path.is_empty() {
        return Some(Pem::File(path.into()));
    }
    let lines = lines.iter().map(|line| fields.notes().keep(line.string()));
    let lines: Vec<_> = lines.flatten().collect();
    (!lines.is_empty()).then(|| Pem::Inline(lines.join("\n")))
}
