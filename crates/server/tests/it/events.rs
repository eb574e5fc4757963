//! Changes of the cache, as routers read them.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use zeromq::{DealerSocket, Socket, SocketRecv, SocketSend, SubSocket, ZmqMessage};

use crate::harness::{Harness, MODEL, PATIENCE};
use crate::tools::{or_skip, python, run};

const TOPIC: &str = "kv@pod@rocmforge-demo";

/// An endpoint that nobody listens on.
fn free_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("tcp://{}", listener.local_addr().expect("an address"))
}

fn publishing() -> (Harness, String, String) {
    let (events, replay) = (free_endpoint(), free_endpoint());
    let options = ["--kv-events-endpoint", &events, "--kv-events-replay", &replay, "--kv-events-topic", TOPIC];
    (Harness::with(&options), events, replay)
}

/// Caches blocks that were not cached before.
fn ask(server: &Harness, n: usize) {
    let prompt: Vec<usize> = (0..40).map(|token| 300 + (token * 7 + n) % 500).collect();
    let body = json!({"model": MODEL, "prompt": prompt, "max_tokens": 1, "temperature": 0});
    assert_eq!(server.post("/v1/completions", &body).status, 200);
}

async fn next(socket: &mut impl SocketRecv) -> Option<Vec<Bytes>> {
    let message = tokio::time::timeout(Duration::from_millis(200), socket.recv()).await.ok()?;
    Some(message.expect("a message").into_vec())
}

fn number(frame: &Bytes) -> i64 {
    i64::from_be_bytes(frame.as_ref().try_into().expect("8 bytes"))
}

#[test]
fn stored_blocks_are_published_and_missed_ones_sent_again() {
    let (mut server, events, replay) = publishing();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(follow(&server, &events, &replay));
    server.assert_alive_and_level();
}

async fn follow(server: &Harness, events: &str, replay: &str) {
    let mut subscriber = SubSocket::new();
    subscriber.connect(events).await.expect("it listens");
    subscriber.subscribe("kv@").await.expect("it subscribes");
    // What is published before a subscription arrives is missed, so prompts come until one is seen.
    let mut frames = None;
    for n in 0..100 {
        tokio::task::block_in_place(|| ask(server, n));
        frames = next(&mut subscriber).await;
        if frames.is_some() {
            break;
        }
    }
    let frames = frames.expect("a batch");
    assert_eq!((frames.len(), frames[0].as_ref()), (3, TOPIC.as_bytes()));
    let batch: Value = rmp_serde::from_slice(&frames[2]).expect("MessagePack");
    assert!(batch[0].as_f64().is_some_and(|time| time > 1e9) && batch[2].is_null(), "{batch}");
    let stored = &batch[1][0];
    assert_eq!((&stored[0], &stored[4], &stored[6]), (&json!("BlockStored"), &json!(16), &json!("GPU")), "{batch}");
    assert_eq!(stored[3].as_array().map(Vec::len), Some(16), "{batch}");

    let mut dealer = DealerSocket::new();
    dealer.connect(replay).await.expect("it listens");
    let question = vec![Bytes::new(), Bytes::copy_from_slice(&0u64.to_be_bytes())];
    dealer.send(ZmqMessage::try_from(question).expect("frames")).await.expect("it is sent");
    let mut numbers = Vec::new();
    loop {
        let answer = tokio::time::timeout(PATIENCE, dealer.recv()).await.expect("an answer").expect("a message");
        let answer = answer.into_vec();
        assert_eq!(answer.len(), 3);
        numbers.push(number(&answer[1]));
        if answer[2].is_empty() {
            break;
        }
    }
    assert_eq!(numbers.pop(), Some(-1));
    assert!(numbers.contains(&number(&frames[1])), "{numbers:?}");
    assert!(numbers.iter().copied().eq(0..numbers.len() as i64), "{numbers:?}");
}

/// The same through the library that routers use.
#[test]
fn pyzmq_reads_what_is_published() {
    let python = or_skip!(python("clients"));
    let (server, events, replay) = publishing();
    const SCRIPT: &str = include_str!("../clients/events.py");
    let url = format!("http://{}", server.address);
    run(Command::new(python).args(["-c", SCRIPT, &url, &events, &replay])).unwrap_or_else(|said| panic!("{said}"));
}
