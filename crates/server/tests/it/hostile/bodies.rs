//! Bodies: too large, too slow, of a wrong length or of a wrong kind.

use std::io::Write;
use std::time::Duration;

use crate::harness::{Harness, post};

const CHUNKED: &str = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                       transfer-encoding: chunked\r\n\r\n";

#[test]
fn h01_a_length_over_the_cap_is_refused_before_the_body_is_read() {
    let mut server = Harness::start();
    let mut wire = server.connect();
    let length = (8 << 20) + 1;
    wire.send(
        format!(
            "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {length}\r\n\r\n"
        )
        .as_bytes(),
    );
    let reply = wire.reply();
    reply.assert_error(413);
    assert_eq!(reply.header("connection"), Some("close"));
    // A client that sends all of it nevertheless still reads its answer.
    let mut wire = server.connect();
    wire.send(&post("/v1/completions", "", &vec![b' '; length]));
    wire.reply().assert_error(413);
    server.assert_alive_and_level();
}

#[test]
fn h02_chunks_past_the_cap_are_refused() {
    let mut server = Harness::configured(&["--max-body-bytes", "100000"], |_| {});
    let mut wire = server.connect();
    wire.send(CHUNKED.as_bytes());
    let chunk = format!("{:x}\r\n{}\r\n", 50_000, " ".repeat(50_000));
    for _ in 0..3 {
        wire.send(chunk.as_bytes());
    }
    let reply = wire.reply();
    reply.assert_error(413);
    assert_eq!(reply.header("connection"), Some("close"));
    server.assert_alive_and_level();
}

#[test]
fn h03_a_length_that_lies_is_refused() {
    let mut server = Harness::configured(&[], |config| config.bodies.time = Duration::from_millis(200));
    let request = |length: usize, body: &str| {
        format!(
            "POST /nothing HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n\
             {body}"
        )
    };
    // Too long: the rest never comes, or the sender says that it is done.
    server.send(&request(10, "{}")).assert_error(408);
    let mut wire = server.connect();
    wire.send(request(10, "{}").as_bytes());
    wire.finish();
    wire.reply().assert_error(400);
    // Too short: what is left over is no request.
    let mut wire = server.connect();
    wire.send(request(2, "{}\"more\": 1}").as_bytes());
    wire.reply().assert_error(404);
    wire.reply().assert_error(400);
    server.assert_alive_and_level();
}

#[test]
fn h04_many_tiny_chunks_end_at_the_cap() {
    let mut server = Harness::configured(&["--max-body-bytes", "300000"], |_| {});
    let mut wire = server.connect();
    wire.send(CHUNKED.as_bytes());
    let chunks = "1\r\n \r\n".repeat(10_000);
    for _ in 0..100 {
        wire.send(chunks.as_bytes());
    }
    wire.reply().assert_error(413);
    server.assert_alive_and_level();
}

#[test]
fn h04_bad_chunks_are_refused() {
    let mut server = Harness::start();
    for bad in ["x\r\n", "-1\r\n", "2\r\n{}x\r\n", "10000000000000000\r\n", "2;\n{}\r\n", "FFFFFFFFFFFFFFF\r\n"] {
        let mut wire = server.connect();
        wire.send(format!("{CHUNKED}{bad}").as_bytes());
        wire.finish();
        wire.reply().assert_error(400);
    }
    server.assert_alive_and_level();
}

#[test]
fn h06_a_compressed_body_is_refused() {
    let mut server = Harness::start();
    for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "GZIP"] {
        let headers = format!("content-encoding: {encoding}\r\n");
        server.post_with("/v1/completions", &headers, b"\x1f\x8b\x08\x00").assert_error(415);
    }
    server.post_with("/nothing", "content-encoding: identity\r\n", b"{}").assert_error(404);
    server.assert_alive_and_level();
}

#[test]
fn h07_a_body_that_is_not_json_is_refused() {
    let mut server = Harness::start();
    for media in ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"] {
        let header = if media.is_empty() { String::new() } else { format!("content-type: {media}\r\n") };
        let request =
            format!("POST /v1/completions HTTP/1.1\r\nhost: localhost\r\n{header}content-length: 2\r\n\r\n{{}}");
        server.send(&request).assert_error(415);
    }
    server.assert_alive_and_level();
}

#[test]
fn h13_a_slow_body_is_ended() {
    let mut server = Harness::configured(&[], |config| {
        config.bodies.time = Duration::from_millis(200);
        config.bodies.bytes_per_second = 1000;
    });
    let mut wire = server.connect();
    wire.send(
        b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n",
    );
    for _ in 0..100 {
        if wire.stream.write_all(b" ").is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    wire.reply().assert_error(408);
    assert!(wire.is_closed());
    server.assert_alive_and_level();
}
