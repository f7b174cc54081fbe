//! What the system says about sockets: who listens, who is connected.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::Path,
};

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
        // Of TCP those that listen come first, and behind them thousands that have ended.
        .flat_map(|table| {
            rows(table).take_while(|row| protocol == Protocol::Udp || row.state == state)
        })
        .filter(|row| row.state == state && row.local_port == port)
        .map(|row| row.inode)
        .collect()
}

/// Ports from which TCP connections to `port` were made that are still there
/// or have ended in order within the last minute (TIME-WAIT).
pub fn peers(port: u16) -> HashSet<u16> {
    rows("tcp")
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

/// As far as they are asked for: the system makes them as they are read.
fn rows(table: &str) -> impl Iterator<Item = Row> + use<> {
    let file = File::open(format!("/proc/net/{table}")).ok();
    let lines = file
        .into_iter()
        .flat_map(|file| BufReader::new(file).lines());
    lines
        .map_while(Result::ok)
        .skip(1)
        .filter_map(|line| parse_row(&line))
}

fn parse_row(line: &str) -> Option<Row> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    Some(Row {
        local_port: parse_port(fields.next()?)?,
        peer_port: parse_port(fields.next()?)?,
        state: fields.next()?.to_owned(),
        inode: fields.nth(5)?.parse().ok()?,
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
