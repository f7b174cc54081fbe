//! UDP sockets as links: every buffer is one datagram.
