use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use muxcool::link::pair;
use muxcool::transport::tls::{Client, Options, Pem, Pin, Server, TlsError};

use super::certificate::Certificate;
use super::rig::{
    NAME, PATIENCE, ROOM, address, failure, shake, showing, shown, trusting, try_pair,
};

/// What the client says of a server with this certificate under this name.
fn verdict(certificate: &Certificate, client: &Options, to: &str) -> Result<(), String> {
    let (near, _far) = try_pair(&showing(certificate), client, to);
    near.map(drop).map_err(|e| e.to_string())
}

fn refused(certificate: &Certificate, client: &Options, to: &str, part: &str) {
    let why = verdict(certificate, client, to).unwrap_err();
    assert!(why.contains(part), "{why}");
}

fn pin_of(certificate: &Certificate) -> Pin {
    Pin::of_chain([certificate.der.as_slice()]).unwrap()
}

#[test]
fn a_certificate_that_is_listed_is_trusted_under_its_name() {
    let certificate = Certificate::for_name(NAME);
    let client = trusting(&certificate);
    assert_eq!(verdict(&certificate, &client, NAME), Ok(()));
    refused(
        &certificate,
        &client,
        "other.example.com",
        "not valid for name",
    );
    refused(&certificate, &client, "192.0.2.1", "not valid for name");
    let named = Options {
        server_name: Some(address(NAME)),
        ..client
    };
    assert_eq!(verdict(&certificate, &named, "192.0.2.1"), Ok(()));
}

#[test]
fn an_address_is_verified_as_one() {
    let certificate = Certificate::for_name("192.0.2.1");
    let client = trusting(&certificate);
    assert_eq!(verdict(&certificate, &client, "192.0.2.1"), Ok(()));
    refused(&certificate, &client, "192.0.2.2", "not valid for name");
}

#[test]
fn one_that_calls_itself_an_authority_is_trusted_when_it_is_listed() {
    let certificate = Certificate::authority(NAME);
    let client = trusting(&certificate);
    assert_eq!(verdict(&certificate, &client, NAME), Ok(()));
    refused(
        &certificate,
        &client,
        "other.example.com",
        "not valid for name",
    );
    let another = Certificate::authority(NAME);
    refused(&another, &client, NAME, "invalid peer certificate");
}

#[test]
fn strangers_and_the_expired_are_refused() {
    let stranger = Certificate::for_name(NAME);
    let client = trusting(&Certificate::for_name(NAME));
    refused(&stranger, &client, NAME, "invalid peer certificate");
    let expired = Certificate::expired(NAME);
    refused(
        &expired,
        &trusting(&expired),
        NAME,
        "it expired at 2002-01-01T00:00:00Z",
    );
}

/// The system has its own roots, or none.
#[test]
fn the_systems_roots_know_no_self_signed_certificate() {
    let certificate = Certificate::for_name(NAME);
    let client = match Client::new(&Options::default()) {
        Err(TlsError::NobodyTrusted) => return,
        client => client.unwrap(),
    };
    let server = Server::new(&showing(&certificate)).unwrap();
    let (near, _far) = shake(&client, &server, NAME, pair(ROOM));
    let why = failure(near);
    assert!(why.contains("UnknownIssuer"), "{why}");
}

#[test]
fn without_verification_everybody_is_trusted() {
    let client = Options {
        allow_insecure: true,
        ..Options::default()
    };
    let expired = Certificate::expired("other.example.com");
    assert_eq!(verdict(&expired, &client, NAME), Ok(()));
}

#[test]
fn pins_are_asked_for_beside_everything_else() {
    let certificate = Certificate::for_name(NAME);
    let pinned = Options {
        pins: vec![pin_of(&Certificate::for_name(NAME)), pin_of(&certificate)],
        ..trusting(&certificate)
    };
    assert_eq!(verdict(&certificate, &pinned, NAME), Ok(()));
    refused(
        &certificate,
        &pinned,
        "other.example.com",
        "not valid for name",
    );
}

#[test]
fn a_wrong_pin_is_refused_and_the_right_one_named() {
    let certificate = Certificate::for_name(NAME);
    let pinned = Options {
        pins: vec![pin_of(&Certificate::for_name(NAME))],
        allow_insecure: true,
        ..Options::default()
    };
    let right = pin_of(&certificate).to_string();
    refused(&certificate, &pinned, NAME, &right);
    let pinned = Options {
        pins: vec![pin_of(&certificate)],
        ..pinned
    };
    assert_eq!(verdict(&certificate, &pinned, "192.0.2.1"), Ok(()));
}

#[test]
fn a_server_shows_what_was_asked_for_else_the_first() {
    let (first, second) = (
        Certificate::for_name(NAME),
        Certificate::for_name("b.example.com"),
    );
    let server = Options {
        certificates: vec![shown(&first), shown(&second)],
        ..Options::default()
    };
    let shows = |to, certificate: &Certificate| {
        let client = Options {
            pins: vec![pin_of(certificate)],
            allow_insecure: true,
            ..Options::default()
        };
        let (near, _far) = try_pair(&server, &client, to);
        near.map(drop).map_err(|e| e.to_string())
    };
    assert_eq!(shows(NAME, &first), Ok(()));
    assert_eq!(shows("b.example.com", &second), Ok(()));
    assert_eq!(shows("c.example.com", &first), Ok(()));
    assert_eq!(shows("192.0.2.1", &first), Ok(()));
}

#[test]
fn what_cannot_be_used_is_said() {
    let (good, other) = (Certificate::for_name(NAME), Certificate::for_name(NAME));
    let mut mixed = shown(&good);
    mixed.key = Some(Pem::Inline(other.key));
    let mut missing = shown(&good);
    missing.chain = Pem::File("/nonexistent/cert.pem".into());
    let mut empty = shown(&good);
    empty.chain = Pem::Inline("no PEM".into());
    let refusal = |certificate| {
        let options = Options {
            certificates: vec![certificate],
            ..Options::default()
        };
        Server::new(&options).unwrap_err()
    };
    assert!(matches!(refusal(mixed), TlsError::Key(..)));
    assert!(matches!(refusal(missing), TlsError::Read(..)));
    assert!(matches!(refusal(empty), TlsError::NoCertificate(..)));
    let nothing = Server::new(&Options::default());
    assert!(matches!(nothing, Err(TlsError::NothingToShow)));
    let nobody = Options {
        disable_system_root: true,
        ..Options::default()
    };
    assert!(matches!(Client::new(&nobody), Err(TlsError::NobodyTrusted)));
}

/// Files that change are read again by a server that runs; what is no pair
/// changes nothing.
#[test]
fn certificates_follow_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let (chain, key) = (folder.path().join("c.pem"), folder.path().join("c.key"));
    let (old, new) = (Certificate::for_name(NAME), Certificate::for_name(NAME));
    fs::write(&chain, &old.chain).unwrap();
    fs::write(&key, &old.key).unwrap();
    let mut listed = shown(&old);
    (listed.chain, listed.key) = (Pem::File(chain.clone()), Some(Pem::File(key.clone())));
    let options = Options {
        certificates: vec![listed],
        ..Options::default()
    };
    let server = Server::new(&options).unwrap();
    let shows = |certificate: &Certificate| {
        let client = Client::new(&trusting(certificate)).unwrap();
        shake(&client, &server, NAME, pair(ROOM)).0.is_ok()
    };
    assert!(shows(&old) && !shows(&new));
    fs::write(&chain, format!("# a half\n{}", new.chain)).unwrap();
    let looked_at = Instant::now() + Duration::from_millis(2500);
    while Instant::now() < looked_at {
        assert!(shows(&old), "half a pair was taken");
        thread::sleep(Duration::from_millis(100));
    }
    fs::write(&key, &new.key).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !shows(&new) {
        assert!(Instant::now() < deadline, "the new files are not read");
        thread::sleep(Duration::from_millis(100));
    }
}
