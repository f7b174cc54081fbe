//! Who may use whom. The table below is the documentation of the layers; the
//! test holds the sources to it, and shows that it would notice a breach.

#[path = "layers/scan.rs"]
mod scan;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use scan::{Scan, Target};

// ---------------------------------------------------------------------------
// The table
// ---------------------------------------------------------------------------

/// L0: knows nothing of the rest.
const GROUND: [&str; 8] = [
    "buf", "error", "escape", "limits", "net", "spec", "sync", "wire",
];

/// Below an entry's own room and those of L0, what it may use. A file belongs
/// to the longest entry that its path begins with.
const ROOMS: [(&str, &[&str]); 25] = [
    // L1: what all of the others hand to each other.
    ("pipe", &[]),
    ("link", &["pipe"]),
    // L2: sessions on any link; no socket, no proxy, no configuration.
    ("mux", &["pipe", "link"]),
    // L2': sockets as links, and what is layered on them.
    ("transport", &["pipe", "link"]),
    ("transport::proxy_protocol", &["pipe", "link"]),
    ("transport::tls", &["pipe", "link"]),
    ("transport::ws", &["pipe", "link"]),
    ("transport::stream", LAYERED),
    // L2': what the protocols share, and the protocols, of which none knows
    // another.
    ("proxy", CARRIED),
    ("proxy::blackhole", PROXY),
    ("proxy::dokodemo", PROXY),
    ("proxy::freedom", DIRECT),
    ("proxy::http", PROXY),
    ("proxy::socks", PROXY),
    ("proxy::vless", PROXY),
    ("proxy::vmess", PROXY),
    // L3: rules know links and names; reverse tunnels run on mux, and enter
    // and leave by the router's outbounds.
    ("router", &["pipe", "link", "transport"]),
    ("sniff", &["link"]),
    ("reverse", &["pipe", "link", "mux", "router"]),
    // L4: JSON to option structs, and nothing that acts; see `OPTIONS`.
    ("config", &[]),
    // L5: a plan becomes objects and threads. Nobody uses these.
    ("app", &[EVERYTHING, "config"]),
    ("cli", &["app", "config"]),
    ("main", &["cli"]),
    // Declares the others.
    ("lib", &[]),
    ("spec", &[]),
];

/// What connections are made of.
const LAYERED: &[&str] = &[
    "pipe",
    "link",
    "transport",
    "transport::proxy_protocol",
    "transport::tls",
    "transport::ws",
];

/// What a proxy runs on.
const CARRIED: &[&str] = &["pipe", "link", "transport", "transport::stream"];

/// Beside that, what the proxies share.
const PROXY: &[&str] = &["pipe", "link", "transport", "transport::stream", "proxy"];

/// Who also says in front of a connection where it comes from.
const DIRECT: &[&str] = &[
    "pipe",
    "link",
    "transport",
    "transport::stream",
    "transport::proxy_protocol",
    "proxy",
];

/// L1 to L3.
const EVERYTHING: &str = "*";

/// Single items that a room may use beyond its entry.
const EXCEPTIONS: [(&str, &str, &str); 9] = [
    (
        "proxy::http",
        "proxy::socks::Account",
        "both protocols know users by name and password",
    ),
    (
        "config",
        "transport::tcp::IdleTimes",
        "an option struct of the sockets",
    ),
    ("config", "transport::tcp::ServerLimits", "another one"),
    (
        "config",
        "transport::tls::Pin",
        "a value of an option struct",
    ),
    (
        "config",
        "proxy::vless::wire::parse_id",
        "the text of an id means the same to both",
    ),
    ("cli", "transport::tls::Pin", "printed for configurations"),
    (
        "config",
        "reverse::Announcement",
        "a value of an option struct",
    ),
    ("cli", "reverse::Announcement", "the names of services"),
    (
        "config",
        "sniff::wire::Protocol",
        "the names that rules have for what is found out",
    ),
];

/// Rooms that may also use the types in the `options.rs` of any other room.
const OPTIONS: [&str; 1] = ["config"];

/// Paths that files must not mention. A file is meant by the end of its name,
/// a folder by its beginning.
const BANS: [(&str, &[&str], &str); 6] = [
    (
        "src/mux/frame.rs",
        &[
            "std::thread",
            "std::io",
            "std::net",
            "pipe",
            "link",
            "sync",
            "mux",
        ],
        "the frame codec turns bytes into values and back",
    ),
    (
        "src/mux/table.rs",
        &[
            "std::thread",
            "std::io",
            "std::net",
            "pipe",
            "link",
            "sync",
            "mux",
        ],
        "the table allots numbers",
    ),
    (
        "src/mux/session.rs",
        &["std::thread", "std::io", "pipe"],
        "a session is driven by others' threads",
    ),
    (
        "src/mux/",
        &[
            "std::net::TcpStream",
            "std::net::TcpListener",
            "std::net::UdpSocket",
            "std::net::ToSocketAddrs",
            "std::os",
            "socket2",
            "rustix",
        ],
        "mux runs on any link",
    ),
    (
        "wire.rs",
        &["std::thread", "std::io", "pipe", "link", "sync"],
        "a wire codec turns bytes into values and back",
    ),
    (
        "src/",
        &[
            "std::thread::spawn",
            "std::thread::Builder",
            "std::thread::scope",
        ],
        "threads are started by sync::spawn",
    ),
];

/// Where a ban does not hold.
const ALLOWED: [(&str, &str, &str); 1] =
    [("src/sync/thread.rs", "std::thread", "this is sync::spawn")];

/// What only tests are made with.
const OF_TESTS: [&str; 2] = ["src/mux/schedules", "src/sync/shim/model"];

/// Tokens in a row that no code outside of tests may have.
const FORBIDDEN: [(&str, &[&str]); 7] = [
    ("unsafe", &["unsafe"]),
    (".unwrap()", &[".", "unwrap", "(", ")"]),
    (".expect(", &[".", "expect", "("]),
    ("panic!", &["panic", "!"]),
    ("unreachable!", &["unreachable", "!"]),
    ("todo!", &["todo", "!"]),
    ("unimplemented!", &["unimplemented", "!"]),
];

// ---------------------------------------------------------------------------
// The check
// ---------------------------------------------------------------------------

/// Names of the types in each room's `options.rs`.
type Options = BTreeMap<String, Vec<String>>;

fn is_inside(path: &str, room: &str) -> bool {
    path.strip_prefix(room)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn room_of(path: &str) -> Option<&'static str> {
    let rooms = ROOMS.iter().map(|(room, _)| *room).chain(GROUND);
    rooms
        .filter(|room| is_inside(path, room))
        .max_by_key(|room| room.len())
}

fn may_use(user: &str, path: &str, options: &Options) -> bool {
    let Some(used) = room_of(path) else {
        return false;
    };
    if used == user || GROUND.contains(&used) || user == "lib" {
        return true;
    }
    let allowed = ROOMS.iter().find(|(room, _)| *room == user);
    let allowed = allowed.map_or(&[][..], |(_, allowed)| allowed);
    let is_upper = ["config", "app", "cli", "main", "lib"].contains(&used);
    allowed.contains(&used)
        || (allowed.contains(&EVERYTHING) && !is_upper)
        || is_exception(user, path)
        || (OPTIONS.contains(&user) && is_option(used, path, options))
}

fn is_exception(user: &str, path: &str) -> bool {
    let mut exceptions = EXCEPTIONS.iter();
    // A module on the way to the item is only a name; what is used of it is
    // looked at on its own.
    exceptions
        .any(|(room, item, _)| *room == user && (is_inside(path, item) || is_inside(item, path)))
}

fn is_option(used: &str, path: &str, options: &Options) -> bool {
    let rest = path[used.len()..].trim_start_matches("::");
    let item = rest.split("::").next().unwrap_or_default();
    let is_module_itself = item.is_empty() && options.contains_key(used);
    is_module_itself
        || options
            .get(used)
            .is_some_and(|names| names.iter().any(|n| n == item))
}

/// What is wrong with one file.
fn breaches(file: &str, source: &str, options: &Options) -> Vec<String> {
    let scan = Scan::new(&module_of(file), source);
    let mut found = Vec::new();
    let Some(user) = room_of(&module_of(file).join("::")) else {
        return vec![format!("{file} is in no room of the table")];
    };
    for target in &scan.targets {
        if let Target::Crate(path) = target
            && !path.is_empty()
            && !may_use(user, path, options)
        {
            found.push(format!("{file} uses {path}"));
        }
        found.extend(ban(file, target).map(|why| format!("{file} uses {target:?}: {why}")));
    }
    for (what, tokens) in FORBIDDEN {
        if scan.contains(tokens) {
            found.push(format!("{file} has {what}"));
        }
    }
    found.sort();
    found.dedup();
    found
}

fn ban(file: &str, target: &Target) -> Option<&'static str> {
    let (Target::Crate(path) | Target::Extern(path)) = target;
    let mut allowed = ALLOWED.iter();
    if allowed.any(|(place, prefix, _)| *place == file && is_inside(path, prefix)) {
        return None;
    }
    let meant = |place: &str| file.starts_with(place) || file.ends_with(&format!("/{place}"));
    let mut bans = BANS.iter().filter(|(place, _, _)| meant(place));
    bans.find(|(_, banned, _)| banned.iter().any(|b| is_inside(path, b)))
        .map(|(_, _, why)| *why)
}

/// `src/proxy/http/mod.rs` is `proxy::http`.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut segments: Vec<String> = path.split('/').map(str::to_owned).collect();
    if segments.last().is_some_and(|last| last == "mod") {
        segments.pop();
    }
    segments
}

// ---------------------------------------------------------------------------
// On the sources
// ---------------------------------------------------------------------------

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
    files
}

/// Name relative to the package, and content.
fn sources() -> Vec<(String, String)> {
    let mut sources: Vec<(String, String)> = rust_files(&root().join("src"))
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
            (name.to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    sources.sort();
    sources
}

fn options(sources: &[(String, String)]) -> Options {
    let option_files = sources
        .iter()
        .filter(|(file, _)| file.ends_with("/options.rs"));
    option_files
        .map(|(file, source)| {
            let mut module = module_of(file);
            module.pop();
            let scan = Scan::new(&module, source);
            (module.join("::"), scan.type_names())
        })
        .collect()
}

#[test]
fn the_sources_keep_to_the_table() {
    let sources = sources();
    let options = options(&sources);
    assert!(sources.len() > 100, "{} files are not all", sources.len());
    assert!(options.len() >= 8, "{options:?}");
    let found: Vec<String> = sources
        .iter()
        .filter(|(file, _)| !OF_TESTS.iter().any(|place| file.starts_with(place)))
        .flat_map(|(file, source)| breaches(file, source, &options))
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// A rule for what does not exist any more would hold nobody to anything.
#[test]
fn every_rule_is_about_something() {
    let sources = sources();
    let exists = |room: &str| {
        let modules = sources.iter().map(|(file, _)| module_of(file).join("::"));
        room == "spec" || modules.into_iter().any(|module| is_inside(&module, room))
    };
    for room in ROOMS.iter().map(|(room, _)| *room).chain(GROUND) {
        assert!(exists(room), "{room}");
    }
    for (place, _, _) in BANS {
        let meant = |file: &str| file.starts_with(place) || file.ends_with(&format!("/{place}"));
        assert!(sources.iter().any(|(file, _)| meant(file)), "{place}");
    }
    for (place, _, _) in ALLOWED {
        assert!(sources.iter().any(|(file, _)| file == place), "{place}");
    }
    for (room, item, _) in EXCEPTIONS {
        let used = sources.iter().any(|(file, source)| {
            let module = module_of(file);
            let uses = |t: &Target| matches!(t, Target::Crate(path) if is_inside(path, item));
            is_inside(&module.join("::"), room)
                && Scan::new(&module, source).targets.iter().any(uses)
        });
        assert!(used, "{room} does not use {item}");
    }
}

// ---------------------------------------------------------------------------
// On snippets, so that the check itself is checked
// ---------------------------------------------------------------------------

fn snippet_options() -> Options {
    let names = |names: &[&str]| names.iter().map(|n| n.to_string()).collect();
    Options::from([
        ("proxy::socks".to_owned(), names(&["Account", "Server"])),
        ("reverse".to_owned(), names(&["PortalOptions"])),
    ])
}

const WRONG: [(&str, &str, &str); 27] = [
    (
        "src/mux/a.rs",
        "use crate::transport::tcp::Server;",
        "transport::tcp::Server",
    ),
    (
        "src/mux/a.rs",
        "use crate::{buf::Buf, proxy::{Inbound, socks}};",
        "proxy::Inbound",
    ),
    (
        "src/mux/a.rs",
        "use crate::{buf::Buf, proxy::{Inbound, socks}};",
        "proxy::socks",
    ),
    (
        "src/mux/a.rs",
        "fn f() { let x = crate::config::load(); }",
        "config::load",
    ),
    (
        "src/mux/a.rs",
        "fn f(x: &crate::router::Rule) {}",
        "router::Rule",
    ),
    (
        "src/mux/a.rs",
        "use super::super::router::Rule;",
        "router::Rule",
    ),
    ("src/mux/mod.rs", "use super::router;", "router"),
    (
        "src/mux/a.rs",
        "mod inner { use super::super::super::app::App; }",
        "app::App",
    ),
    (
        "src/mux/a.rs",
        "use std::net::{Shutdown, TcpStream};",
        "std::net::TcpStream",
    ),
    (
        "src/mux/frame.rs",
        "fn f() -> std::io::Result<()> { Ok(()) }",
        "std::io::Result",
    ),
    (
        "src/mux/frame.rs",
        "use std::io; fn f() -> io::Result<()> { Ok(()) }",
        "std::io",
    ),
    ("src/mux/session.rs", "use crate::pipe::pipe;", "pipe::pipe"),
    (
        "src/proxy/http/wire.rs",
        "use std::io::Read;",
        "std::io::Read",
    ),
    (
        "src/proxy/http/a.rs",
        "use crate::proxy::vless::Server;",
        "proxy::vless::Server",
    ),
    (
        "src/proxy/http/a.rs",
        "use super::super::vless;",
        "proxy::vless",
    ),
    (
        "src/proxy/http/a.rs",
        "use crate::proxy::socks::Inbound;",
        "proxy::socks::Inbound",
    ),
    (
        "src/proxy/a.rs",
        "use super::socks::Inbound;",
        "proxy::socks::Inbound",
    ),
    (
        "src/proxy/mod.rs",
        "mod socks; pub use socks::Inbound;",
        "proxy::socks::Inbound",
    ),
    (
        "src/config/a.rs",
        "use crate::proxy::socks::Outbound;",
        "proxy::socks::Outbound",
    ),
    (
        "src/config/a.rs",
        "use crate::proxy::socks; type A = socks::Outbound;",
        "proxy::socks::Outbound",
    ),
    (
        "src/config/a.rs",
        "use crate::proxy::socks as s; type A = s::Outbound;",
        "proxy::socks::Outbound",
    ),
    (
        "src/router/mod.rs",
        "use crate::reverse::Portal;",
        "reverse::Portal",
    ),
    ("src/link.rs", "pub(in crate::mux) fn f() {}", "mux"),
    (
        "src/link.rs",
        "fn f() { std::thread::spawn(|| ()); }",
        "std::thread::spawn",
    ),
    (
        "src/link.rs",
        "fn f(x: Option<u8>) -> u8 { x.unwrap() }",
        ".unwrap()",
    ),
    (
        "src/link.rs",
        "fn f(x: Option<u8>) -> u8 { x\n.expect(\"x\") }",
        ".expect(",
    ),
    ("src/novel/mod.rs", "", "no room"),
];

#[test]
fn a_breach_is_noticed() {
    for (file, source, expected) in WRONG {
        let found = breaches(file, source, &snippet_options());
        assert!(
            found.iter().any(|breach| breach.contains(expected)),
            "{file}: {source}: {found:?}"
        );
    }
}

const RIGHT: [(&str, &str); 17] = [
    (
        "src/mux/a.rs",
        "use crate::{buf::Buf, link::{Link, Reader}};",
    ),
    (
        "src/mux/a.rs",
        "// use crate::app::App;\n/* crate::config */",
    ),
    ("src/mux/a.rs", "/* a /* nested */ use crate::app::App; */"),
    (
        "src/mux/a.rs",
        "//! [`crate::app`]\n/// As [`crate::config::Plan`].",
    ),
    (
        "src/mux/a.rs",
        r#"const A: &str = "crate::app::App \" crate::app";"#,
    ),
    (
        "src/mux/a.rs",
        r##"const A: &str = r#"" crate::app::App"#;"##,
    ),
    (
        "src/mux/a.rs",
        "const A: u8 = b'\"'; const B: char = '\\''; const C: &str = \"crate::app\";",
    ),
    (
        "src/mux/a.rs",
        "fn f<'a>(x: &'a str) -> &'a str { x } const D: &str = \"crate::app\";",
    ),
    (
        "src/mux/a.rs",
        "#[cfg(test)]\nmod tests { use crate::app::App; fn f() { g().unwrap(); } }",
    ),
    (
        "src/mux/a.rs",
        "#[cfg(test)]\n#[allow(x)]\nuse crate::app::App;",
    ),
    (
        "src/mux/a.rs",
        "use super::frame::Frame; pub(crate) fn f() {}",
    ),
    (
        "src/mux/a.rs",
        "mod inner { use super::super::frame::Frame; }",
    ),
    (
        "src/config/a.rs",
        "use crate::proxy::socks; type A = socks::Account;",
    ),
    ("src/config/a.rs", "use crate::transport::tcp::IdleTimes;"),
    ("src/config/a.rs", "use crate::reverse::PortalOptions;"),
    (
        "src/app/a.rs",
        "use crate::{config::Plan, mux::MuxDispatcher, proxy::socks};",
    ),
    ("src/main.rs", "fn main() { muxcool::cli::main() }"),
];

#[test]
fn what_is_allowed_is_not_taken_for_a_breach() {
    for (file, source) in RIGHT {
        let found = breaches(file, source, &snippet_options());
        assert!(found.is_empty(), "{file}: {source}: {found:?}");
    }
}

/// What stands behind a test module is looked at again.
#[test]
fn only_the_test_module_is_left_out() {
    let source = "#[cfg(test)] mod tests { fn f() { { } } } use crate::app::App;";
    assert_eq!(
        breaches("src/mux/a.rs", source, &snippet_options()),
        ["src/mux/a.rs uses app::App"]
    );
}
