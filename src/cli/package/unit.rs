//! A unit for systemd.

use std::env;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::args::UnitArgs;
use crate::cli::failure::Failure;
use crate::limits::{DRAIN, LONGEST_NAME, SERVICE_FILES, SERVICE_STOP_MARGIN};

/// What the service is shut off from anyway, so that nothing that it needs can
/// be there.
const OUT_OF_REACH: [&str; 5] = ["/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"];

/// The unit's text.
///
/// # Errors
/// This program cannot be the service's, and no other is named.
pub(super) fn text(args: &UnitArgs) -> Result<Vec<u8>, Failure> {
    let exec = match &args.exec {
        Some(path) => path.clone(),
        None => own_path()?,
    };
    let text = format!("{HEAD}{}\n{TAIL}", service(args, &exec));
    Ok(text.into_bytes())
}

/// An absolute path that the service can reach, and that systemd takes as it
/// stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServicePath(String);

impl FromStr for ServicePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Word(text) = text.parse()?;
        if !text.starts_with('/') {
            return Err("the service has no use for a relative path".into());
        }
        match OUT_OF_REACH.iter().find(|place| text.starts_with(**place)) {
            Some(place) => Err(format!("the service sees nothing in {place}")),
            None => Ok(Self(text)),
        }
    }
}

impl fmt::Display for ServicePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A word of a command line in which systemd has nothing to expand or to split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word(String);

impl FromStr for Word {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,=[]*".contains(c);
        match text.chars().find(|c| !is_plain(*c)) {
            Some(c) => Err(format!("systemd would not take {c:?} as it stands")),
            None if text.is_empty() => Err("it is empty".into()),
            None => Ok(Self(text.into())),
        }
    }
}

/// The name of a service or of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        match starts_well && text.chars().all(is_plain) && text.len() <= LONGEST_NAME {
            true => Ok(Self(text.into())),
            false => Err(format!(
                "a letter, then letters, digits, _ and -, {LONGEST_NAME} at the most"
            )),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn own_path() -> Result<ServicePath, Failure> {
    let path = env::current_exe().map_err(|e| Failure::System("cannot find this program", e))?;
    let unfit = |why: String| {
        Failure::Usage(format!(
            "{}: {why}; copy the program to /usr/local/bin, and run that one or name it with \
             --exec",
            path.display()
        ))
    };
    path.to_string_lossy().parse().map_err(unfit)
}

/// The lines that depend on what is wanted.
fn service(args: &UnitArgs, exec: &ServicePath) -> String {
    let name = &args.name;
    let mut lines = vec![
        format!("ExecStart={exec} {}", arguments(args)),
        "ExecReload=/bin/kill -HUP $MAINPID".into(),
    ];
    if args.command.is_empty() {
        // What the configuration names is found beside it. If there is none the
        // program says so, and is not started again; systemd would.
        let directory = Path::new(&args.config.0).parent();
        lines.extend(directory.map(|path| format!("WorkingDirectory=-{}", path.display())));
    }
    if let Some(group) = &args.group {
        lines.push(format!("SupplementaryGroups={group}"));
    }
    for (directory, mode) in [("Runtime", "0755"), ("State", "0700"), ("Logs", "0750")] {
        lines.push(format!("{directory}Directory={name}"));
        lines.push(format!("{directory}DirectoryMode={mode}"));
    }
    let patience = (DRAIN + SERVICE_STOP_MARGIN).as_secs();
    lines.push(format!("SyslogIdentifier={name}"));
    lines.push(format!("LimitNOFILE={SERVICE_FILES}"));
    lines.push("# Enough for the usual time to drain; for a longer one the program asks.".into());
    lines.push(format!("TimeoutStopSec={patience}"));
    lines.join("\n")
}

fn arguments(args: &UnitArgs) -> String {
    match &args.command[..] {
        [] => format!("run -c {}", args.config),
        words => {
            let words: Vec<&str> = words.iter().map(|Word(word)| word.as_str()).collect();
            words.join(" ")
        }
    }
}

const HEAD: &str = "\
# Printed by `muxcool unit`. Changes of your own: `systemctl edit`.

[Unit]
Description=Reverse tunnels and multiplexed connections (muxcool)
Documentation=man:muxcool(1)
Wants=network-online.target
After=network-online.target nss-lookup.target

[Service]
Type=notify
";

const TAIL: &str = "\
KillMode=mixed
Restart=on-failure
RestartSec=2
# Wrong usage, or a configuration that cannot be used: trying again is in vain.
RestartPreventExitStatus=2 23
# Each connection has a thread of its own; the program has its own bounds.
TasksMax=infinity

# Ports below 1024, and nothing else that is not everybody's.
DynamicUser=yes
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
# Beside the Internet: the log and the control socket, and looking up names.
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
UMask=0077

[Install]
WantedBy=multi-user.target
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_such_as_the_service_finds() {
        for good in ["/etc/muxcool/config.json", "/usr/local/bin/muxcool", "/a"] {
            assert!(good.parse::<ServicePath>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "config.json",
            "/etc/a b",
            "/etc/%i",
            "/etc/$A",
            "/etc/a\n",
            "/etc/a;",
            "/etc/\"a\"",
            "/home/a/muxcool",
            "/root/.cargo/bin/muxcool",
            "/tmp/a",
        ] {
            assert!(bad.parse::<ServicePath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_such_as_directories_and_groups_may_have() {
        for good in ["muxcool", "ssl-cert", "_a1"] {
            assert!(good.parse::<Name>().is_ok(), "{good}");
        }
        let long = "a".repeat(LONGEST_NAME + 1);
        for bad in ["", "-a", "1a", "a/b", "a b", "..", "ä", &long] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
    }
}
