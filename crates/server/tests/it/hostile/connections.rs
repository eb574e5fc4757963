//! Connections: too many of them, and those whose peer is gone or does not listen.

use std::time::Duration;

use crate::harness::{Harness, eventually};

const OK: &[u8] = b"GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n";

#[test]
fn h15_a_full_server_turns_away_and_still_answers_about_its_health() {
    let mut server = Harness::configured(&["--max-connections", "8"], |config| {
        config.limits.reserved = 2;
        config.limits.reserved_head_time = Duration::from_millis(200);
    });
    let mut held: Vec<_> = (0..8).map(|_| server.connect()).collect();
    for wire in &mut held {
        wire.send(OK);
        assert_eq!(wire.reply().status, 200);
    }
    assert_eq!(server.get("/health").status, 200);
    let reply = server.get("/version");
    reply.assert_error(503);
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
    // Idle ones beyond the reserved places are told so, and soon make room again.
    let more: Vec<_> = (0..50).map(|_| server.connect()).collect();
    let told = more.into_iter().map(|mut wire| wire.read_to_end()).filter(|said| said.starts_with("HTTP/1.1 503 "));
    assert!(told.count() >= 40);
    assert!(eventually(|| server.connect_quietly_and_get("/health") == Some(200)));
    drop(held);
    assert!(eventually(|| server.connect_quietly_and_get("/version") == Some(200)));
    server.assert_alive_and_level();
}
