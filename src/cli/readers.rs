use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::config::Plan;

/// Permission of everybody on the machine to read.
const OTHERS_READ: u32 = 0o004;

/// Warnings about files that everybody on this machine can read, if there are
/// secrets in them. V2Ray takes such files, and so do we.
pub(super) fn warnings(paths: &[PathBuf], plan: &Plan) -> Vec<String> {
    if !plan.holds_secrets() {
        return Vec::new();
    }
    let open = paths.iter().filter(|path| is_open_to_others(path));
    open.map(|path| {
        let path = path.display();
        format!("{path}: everybody on this machine can read the ids and passwords: chmod o-r it")
    })
    .collect()
}

/// Of what a link leads to. Only files keep what they hold.
fn is_open_to_others(path: &Path) -> bool {
    let Ok(found) = fs::metadata(path) else {
        return false; // standard input, or it has gone since it was read
    };
    found.is_file() && found.permissions().mode() & OTHERS_READ != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config;

    const SECRET: &str = r#"{ "inbounds": [{ "protocol": "socks", "port": 1, "listen": "127.0.0.1",
        "settings": { "auth": "password", "accounts": [{ "user": "u", "pass": "p" }] } }] }"#;

    fn plan(text: &str) -> Plan {
        config::parse("c", text).unwrap()
    }

    #[test]
    fn only_readable_files_with_secrets_are_warned_of() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.json");
        let link = dir.path().join("link.json");
        fs::write(&file, SECRET).unwrap();
        symlink(&file, &link).unwrap();
        for (mode, warned) in [(0o600, false), (0o640, false), (0o644, true), (0o604, true)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            for path in [&file, &link] {
                let warnings = warnings(std::slice::from_ref(path), &plan(SECRET));
                assert_eq!(warnings.len(), usize::from(warned), "{mode:o} {path:?}");
                let names_it = |w: &String| w.starts_with(&path.display().to_string());
                assert!(warnings.iter().all(names_it), "{warnings:?}");
            }
            assert!(warnings(std::slice::from_ref(&file), &plan("{}")).is_empty());
        }
    }

    #[test]
    fn what_is_no_file_keeps_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing");
        let paths = [
            dir.path().into(),
            missing,
            "stdin:".into(),
            "/dev/null".into(),
        ];
        assert!(warnings(&paths, &plan(SECRET)).is_empty());
    }

    #[test]
    fn ids_are_secrets_and_open_proxies_have_none() {
        let id = "00000000-0000-4000-8000-000000000001";
        let vless = format!(
            r#"{{ "outbounds": [{{ "protocol": "vless", "settings": {{ "vnext": [{{
                "address": "a.example", "port": 1,
                "users": [{{ "id": "{id}", "encryption": "none" }}] }}] }} }}] }}"#
        );
        let open = r#"{ "inbounds": [{ "protocol": "socks", "port": 1, "listen": "127.0.0.1" }] }"#;
        for (text, secret) in [
            (vless.as_str(), true),
            (SECRET, true),
            (open, false),
            ("{}", false),
        ] {
            assert_eq!(plan(text).holds_secrets(), secret, "{text}");
        }
    }
}
