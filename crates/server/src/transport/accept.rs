//! Connections are accepted here, and counted.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::{Limits, Peer, connection};

/// Answer to a connection for which there is no place at all.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
connection: close\r\ncontent-length: 109\r\n\r\n\
{\"error\":{\"message\":\"too many connections\",\"type\":\"overloaded_error\",\"param\":null,\"code\":\"overloaded_error\"}}";

/// Connections that are being told so at once.
const FAREWELLS: usize = 64;

/// The shortest and the longest pause after a connection could not be accepted.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What has happened to connections.
#[derive(Debug, Default)]
pub struct Counters {
    /// Open now.
    pub open: AtomicUsize,
    /// Accepted so far.
    pub accepted: AtomicU64,
    /// Turned away because too many were open.
    pub refused: AtomicU64,
    /// Attempts to accept one that failed, for example for lack of file descriptors.
    pub failed: AtomicU64,
}

/// Accepts connections and serves them.
pub struct Acceptor {
    listener: TcpListener,
    app: Router,
    limits: Arc<Limits>,
    counters: Arc<Counters>,
    slots: Arc<Semaphore>,
    reserved: Arc<Semaphore>,
    farewells: Arc<Semaphore>,
}

impl Acceptor {
    /// Serves `app` on `listener`.
    pub fn new(listener: TcpListener, app: Router, limits: Limits, counters: Arc<Counters>) -> Self {
        let (slots, reserved) = (Semaphore::new(limits.connections), Semaphore::new(limits.reserved));
        Self {
            listener,
            app,
            limits: Arc::new(limits),
            counters,
            slots: Arc::new(slots),
            reserved: Arc::new(reserved),
            farewells: Arc::new(Semaphore::new(FAREWELLS)),
        }
    }

    /// Accepts connections until this future is dropped, which ends them all. Once `is_draining`, connections close
    /// after their exchange; new ones are served still, so that whoever asks learns that the server is going.
    pub async fn run(self, is_draining: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let mut pause = PAUSES.0;
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((socket, address)) => {
                        pause = PAUSES.0;
                        self.start(&mut connections, socket, address, is_draining.clone());
                    }
                    Err(error) => self.back_off(&error, &mut pause).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    fn start(
        &self,
        connections: &mut JoinSet<()>,
        socket: TcpStream,
        address: SocketAddr,
        is_draining: watch::Receiver<bool>,
    ) {
        // An answer's pieces are sent as they come, and few of them wait. A socket that refuses works all the same.
        let _ = socket.set_nodelay(true);
        let _ = SockRef::from(&socket).set_send_buffer_size(self.limits.send_buffer);
        let Some((slot, is_reserved)) = self.slot() else {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
            self.turn_away(connections, socket);
            return;
        };
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        let open = Open::new(self.counters.clone());
        let (app, limits) = (self.app.clone(), self.limits.clone());
        connections.spawn(async move {
            let _held = (slot, open);
            connection::serve(socket, Peer { address, is_reserved }, app, limits, is_draining).await;
        });
    }

    /// Tells a peer that there is no place for it. Where many are told so, some are only cut off.
    fn turn_away(&self, connections: &mut JoinSet<()>, socket: TcpStream) {
        let Ok(held) = self.farewells.clone().try_acquire_owned() else { return };
        connections.spawn(async move {
            let _held = held;
            connection::say_and_close(&socket, FULL).await;
        });
    }

    /// A place for a connection, and whether it is a reserved one.
    fn slot(&self) -> Option<(OwnedSemaphorePermit, bool)> {
        let free = |slots: &Arc<Semaphore>| slots.clone().try_acquire_owned().ok();
        free(&self.slots).map(|slot| (slot, false)).or_else(|| free(&self.reserved).map(|slot| (slot, true)))
    }

    /// A connection that its peer took back is none of our concern. Anything else, such as too many open files, will
    /// not have passed at once.
    async fn back_off(&self, error: &io::Error, pause: &mut Duration) {
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
            return;
        }
        if *pause == PAUSES.0 {
            tracing::warn!("cannot accept connections: {error}");
        }
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(*pause).await;
        *pause = (*pause * 2).min(PAUSES.1);
    }
}

/// Counts a connection as open while it lives.
struct Open(Arc<Counters>);

impl Open {
    fn new(counters: Arc<Counters>) -> Self {
        counters.open.fetch_add(1, Ordering::Relaxed);
        Self(counters)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_answer_of_a_full_server_is_as_long_as_it_says() {
        let text = std::str::from_utf8(super::FULL).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
