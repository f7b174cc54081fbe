//! Our choice: configuration.

/// Largest configuration file, in bytes: a mistaken path must not fill memory.
pub const MAX_CONFIG_SIZE: usize = 4 * 1024 * 1024;

/// Mistakes in one configuration that are told at once; behind so many, most
/// follow from another.
pub const MAX_CONFIG_ERRORS: usize = 100;

/// Comparisons that are made to find rules that never match: a moment's work
/// at start, and enough for hundreds of rules with long lists.
pub const MAX_RULE_COMPARISONS: usize = 4_000_000;

/// Largest file of certificates or keys, in bytes.
pub const MAX_PEM: u64 = 1024 * 1024;

/// Deepest nesting of a configuration; the format needs 8, and the reader
/// recurses once for each.
pub const MAX_CONFIG_DEPTH: usize = 32;

/// Ports of one inbound: each has a listener and a thread.
pub const MAX_PORT_RANGE: usize = 1024;
