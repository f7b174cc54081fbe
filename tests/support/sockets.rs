//! What the system says about sockets: who listens, who is connected.

use std::{
    collections::HashSet,
    fs,
    net::{Ipv4Addr, SocketAddr},
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
        .flat_map(|table| rows(table))
        .filter(|row| row.state == state && row.local_port == port)
        .map(|row| row.inode)
        .collect()
}

/// Peers of the established TCP connections that were accepted on `port`.
pub fn accepted(port: u16) -> HashSet<SocketAddr> {
    rows("tcp")
        .into_iter()
        .filter(|row| row.state == "01" && row.local_port == port)
        .filter_map(|row| row.peer)
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
    peer: Option<SocketAddr>,
    state: String,
    inode: u64,
}

fn rows(table: &str) -> Vec<Row> {
    let text = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
    text.lines().skip(1).filter_map(parse_row).collect()
}

fn parse_row(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
    Some(Row {
        local_port: u16::from_str_radix(local_port, 16).ok()?,
        peer: parse_v4(fields.get(2)?),
        state: (*fields.get(3)?).to_owned(),
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// The kernel prints an IPv4 address as the host reads its four bytes.
fn parse_v4(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    if address.len() != 8 {
        return None;
    }
    let address = u32::from_str_radix(address, 16).ok()?.to_ne_bytes();
    let port = u16::from_str_radix(port, 16).ok()?;
    Some((Ipv4Addr::from(address), port).into())
}

fn socket_inode(descriptor: &Path) -> Option<u64> {
    let name = fs::read_link(descriptor).ok()?;
    let inode = name.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}
