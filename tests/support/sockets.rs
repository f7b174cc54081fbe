//! What the system says about sockets: who listens, who is connected.

use std::{collections::HashSet, fs, path::Path};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// Inodes of the sockets that listen on `port`, of any process.
pub fn listeners(protocol: Protocol, port: u16) -> HashSet<u64> {
    let (tables, state) = match protocol {
        Protocol::Tcp => (["tcp", "tcp6"], "0A"),
        Protocol::Udp => (["udp", "udp6"], "07"),
    };
    tables
        .iter()
        .flat_map(|table| rows(table))
        .filter(|row| row.state == state && row.local_port == port)
        .map(|row| row.inode)
        .collect()
}

/// Ports from which TCP connections to `port` were made that are still there
/// or have ended in order within the last minute (TIME-WAIT).
pub fn peers(port: u16) -> HashSet<u16> {
    rows("tcp")
        .iter()
        .filter_map(|row| match (row.local_port, row.peer_port) {
            (local, peer) if local == port => Some(peer),
            (local, peer) if peer == port => Some(local),
            _ => None,
        })
        .filter(|peer| *peer != 0)
        .collect()
}

/// Inodes of the sockets that a process holds.
pub fn held_by(pid: u32) -> HashSet<u64> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return HashSet::new();
    };
    descriptors
        .flatten()
        .filter_map(|descriptor| socket_inode(&descriptor.path()))
        .collect()
}

struct Row {
    local_port: u16,
    /// 0 when there is no peer.
    peer_port: u16,
    state: String,
    inode: u64,
}

fn rows(table: &str) -> Vec<Row> {
    let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
    text.lines().skip(1).filter_map(parse_row).collect()
}

fn parse_row(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    Some(Row {
        local_port: parse_port(fields.get(1)?)?,
        peer_port: parse_port(fields.get(2)?)?,
        state: (*fields.get(3)?).to_owned(),
        inode: fields.get(9)?.parse().ok()?,
    })
}

fn parse_port(address: &str) -> Option<u16> {
    let (_, port) = address.rsplit_once(':')?;
    u16::from_str_radix(port, 16).ok()
}

fn socket_inode(descriptor: &Path) -> Option<u64> {
    let name = fs::read_link(descriptor).ok()?;
    let inode = name.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}
