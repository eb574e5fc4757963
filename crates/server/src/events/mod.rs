//! Changes of the cache, published over ZMQ in the form that routers read from vLLM, so that they send a prompt to where
//! its beginning is cached.
//!
//! A message has three frames: a topic, a sequence number (8 bytes, big-endian), and a batch in MessagePack
//! (`wire`). Whoever missed some asks for them again: one frame with the first number on a ROUTER socket, which
//! answers each batch that is still kept, and an empty one with the number -1 at the end.

mod wire;

use std::collections::VecDeque;
use std::time::SystemTime;

use bytes::Bytes;
use rocmforge_engine::CacheEvent;
use tokio::sync::mpsc;
use zeromq::{PubSocket, RouterSocket, Socket, SocketRecv, SocketSend, ZmqError, ZmqMessage};

use crate::args::ServeArgs;

/// Batches that are kept for those who missed them.
const KEPT: usize = 10_000;

/// Batches that wait for the publisher.
const WAITING: usize = 10_000;

/// The number that ends the answer to a question for missed batches.
const END: i64 = -1;

/// Where changes go on the engine's thread. It never waits: what finds no room is left out, and the gap in the
/// numbers tells readers.
pub struct EventSender {
    sender: mpsc::Sender<Numbered>,
    next: std::sync::atomic::AtomicU64,
}

impl EventSender {
    /// Hands changes over.
    pub fn send(&self, events: &[CacheEvent]) {
        let number = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let payload = wire::batch(SystemTime::now(), events);
        if self.sender.try_send(Numbered { number, payload: payload.into() }).is_err() {
            tracing::warn!(number, "the publisher of cache events does not keep up; a batch is left out");
        }
    }
}

/// A batch on its way.
#[derive(Debug, Clone)]
struct Numbered {
    number: u64,
    payload: Bytes,
}

/// Publishes changes until it is dropped.
pub struct Publisher {
    published: PubSocket,
    replay: Option<RouterSocket>,
    topic: Bytes,
    waiting: mpsc::Receiver<Numbered>,
    kept: VecDeque<Numbered>,
}

/// Listens where the options say; `None` if they name no endpoint.
///
/// # Errors
/// An endpoint that cannot be listened on.
pub async fn bind(args: &ServeArgs) -> Result<Option<(EventSender, Publisher)>, String> {
    let Some(endpoint) = &args.kv_events_endpoint else { return Ok(None) };
    let failed = |endpoint: &str, error: ZmqError| format!("cannot publish cache events at {endpoint}: {error}");
    let mut published = PubSocket::new();
    published.bind(&any_host(endpoint)).await.map_err(|error| failed(endpoint, error))?;
    let replay = match &args.kv_events_replay {
        None => None,
        Some(endpoint) => {
            let mut socket = RouterSocket::new();
            socket.bind(&any_host(endpoint)).await.map_err(|error| failed(endpoint, error))?;
            Some(socket)
        }
    };
    let (sender, waiting) = mpsc::channel(WAITING);
    let topic = Bytes::from(args.kv_events_topic.clone());
    let publisher = Publisher { published, replay, topic, waiting, kept: VecDeque::new() };
    Ok(Some((EventSender { sender, next: std::sync::atomic::AtomicU64::new(0) }, publisher)))
}

/// `*` as other implementations write it for all addresses of this machine.
fn any_host(endpoint: &str) -> String {
    endpoint.replacen("//*:", "//0.0.0.0:", 1)
}

impl Publisher {
    /// Publishes and answers, until nobody can send changes any more.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                batch = self.waiting.recv() => match batch {
                    Some(batch) => self.publish(batch).await,
                    None => return,
                },
                question = question(&mut self.replay) => self.answer(question).await,
            }
        }
    }

    async fn publish(&mut self, batch: Numbered) {
        let number = Bytes::copy_from_slice(&batch.number.to_be_bytes());
        let frames = vec![self.topic.clone(), number, batch.payload.clone()];
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(batch);
        // A reader that is gone or does not keep up finds the gap in the numbers.
        if let Ok(message) = ZmqMessage::try_from(frames) {
            let _ = self.published.send(message).await;
        }
    }

    /// Sends what is kept from the number on that was asked for. Questions that are none are left without an answer.
    async fn answer(&mut self, question: ZmqMessage) {
        let frames = question.into_vec();
        let (Some(peer), Some(from)) = (frames.first(), frames.last()) else { return };
        let Ok(from) = <[u8; 8]>::try_from(from.as_ref()).map(u64::from_be_bytes) else { return };
        let kept = self.kept.iter().filter(|batch| batch.number >= from);
        let answers: Vec<_> = kept.map(|batch| (batch.number.to_be_bytes(), batch.payload.clone())).collect();
        let Some(replay) = &mut self.replay else { return };
        for (number, payload) in answers.into_iter().chain([(END.to_be_bytes(), Bytes::new())]) {
            let frames = vec![peer.clone(), Bytes::new(), Bytes::copy_from_slice(&number), payload];
            let Ok(message) = ZmqMessage::try_from(frames) else { return };
            if replay.send(message).await.is_err() {
                return;
            }
        }
    }
}

/// The next question for missed batches; never comes where none are answered.
async fn question(replay: &mut Option<RouterSocket>) -> ZmqMessage {
    loop {
        match replay {
            None => return std::future::pending().await,
            // A peer that breaks the protocol is none of the others' concern.
            Some(socket) => match socket.recv().await {
                Ok(message) => return message,
                Err(_) => tokio::task::yield_now().await,
            },
        }
    }
}
