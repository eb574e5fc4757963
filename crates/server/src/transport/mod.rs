//! HTTP/1.1 over TCP, with a limit on everything a peer decides: how many connections it opens, how long it takes, how
//! much it sends.
//!
//! hyper reads requests and writes answers. What it would accept and should not reach it is refused in `framing`,
//! which sees each byte first.

mod accept;
mod connection;
mod exchange;
mod framing;
mod socket;

use std::net::SocketAddr;
use std::time::Duration;

pub use accept::{Acceptor, Counters};
pub use framing::Refusal;

/// What a peer may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections beyond these that are answered only about health, so that a full server can still be asked.
    pub reserved: usize,
    /// Time for the head of a request, from its first byte or from the start of a connection.
    pub head_time: Duration,
    /// The same on a reserved connection.
    pub reserved_head_time: Duration,
    /// Time between two requests of a connection.
    pub idle_time: Duration,
    /// Time in which a peer has to take some bytes of an answer.
    pub write_time: Duration,
    /// Bytes of the first line of a request.
    pub line_bytes: usize,
    /// Bytes of the head of a request.
    pub head_bytes: usize,
    /// Header lines.
    pub headers: usize,
    /// Bytes of an answer that wait in the system for a peer to take them; the system doubles this for its own needs.
    pub send_buffer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            reserved: 16,
            head_time: Duration::from_secs(10),
            reserved_head_time: Duration::from_secs(1),
            idle_time: Duration::from_secs(60),
            write_time: Duration::from_secs(30),
            line_bytes: 8 << 10,
            head_bytes: 32 << 10,
            headers: 100,
            send_buffer: 256 << 10,
        }
    }
}

/// Where a request came from; an extension of each request.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The other end.
    pub address: SocketAddr,
    /// Whether the server was full, so that only questions about health are answered.
    pub is_reserved: bool,
}
