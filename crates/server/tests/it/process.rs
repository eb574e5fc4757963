//! The server as a process of its own: long use, signals, restarts.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{MODEL, PATIENCE, Wire, eventually, post};

const QUESTIONS: [&str; 8] = [
    "What is paged attention?",
    "What is 12 + 30?",
    "What is ROCm?",
    "What is a KV cache?",
    "What is GGUF?",
    "What is a token?",
    "Who are you?",
    "What is a GPU?",
];

/// A server in a process of its own, ended with the test.
struct Process {
    child: Child,
    address: SocketAddr,
    stderr: BufReader<ChildStderr>,
}

impl Process {
    fn start(options: &[&str]) -> Self {
        let usual = ["--device", "cpu", "--threads", "2", "--ctx-size", "1024", "--port", "0"];
        let mut child = Command::new(env!("CARGO_BIN_EXE_rocmforge-server"))
            .args(usual)
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let address = loop {
            let mut line = String::new();
            assert!(stderr.read_line(&mut line).expect("text") > 0, "it ended before it listened");
            if let Some(address) = line.trim().strip_prefix("listening on http://") {
                break address.parse().expect("an address");
            }
        };
        let process = Self { child, address, stderr };
        assert!(eventually(|| process.status("/ready") == 200), "it becomes ready");
        process
    }

    fn status(&self, path: &str) -> u16 {
        self.get(path).0
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut wire = Wire::to(self.address);
        wire.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes());
        let reply = wire.reply();
        (reply.status, reply.text())
    }

    /// Asks, and returns the wire with the head of the answer read.
    fn ask(&self, body: &Value) -> Wire {
        let mut wire = Wire::to(self.address);
        wire.send(&post("/v1/chat/completions", "connection: close\r\n", body.to_string().as_bytes()));
        assert_eq!(wire.head().expect("an answer").status, 200);
        wire
    }

    /// A figure of `/metrics`.
    fn figure(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let line = text.lines().find(|line| line.split(['{', ' ']).next() == Some(name));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.unwrap_or_else(|| panic!("{name} in {text}"))
    }

    fn is_level(&self) -> bool {
        let names = ["vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"];
        names.iter().all(|name| self.figure(name) == 0.0)
    }

    /// Resident memory in KiB, and open descriptors.
    fn footprint(&self) -> (u64, usize) {
        let id = self.child.id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        let resident = line.trim().trim_end_matches(" kB").parse().expect("a number");
        (resident, std::fs::read_dir(format!("/proc/{id}/fd")).expect("it runs").count())
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(status.expect("there is kill").success());
    }

    fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            if begun.elapsed() > PATIENCE {
                let _ = self.child.kill();
                let mut said = String::new();
                let _ = self.stderr.read_to_string(&mut said);
                panic!("it does not end: {said}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn chat(question: &str, max_tokens: u32) -> Value {
    json!({
        "model": MODEL,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": true,
        "stream_options": {"include_usage": true},
    })
}

/// What came of a stream.
#[derive(Debug, Default, PartialEq)]
struct Answer {
    text: String,
    finish_reason: Option<String>,
    completion_tokens: u64,
    is_done: bool,
    error: Option<String>,
}

impl Answer {
    /// Takes one event of a stream.
    fn take(&mut self, event: &str) {
        assert!(!self.is_done && self.error.is_none(), "nothing follows the end: {event}");
        if event == "[DONE]" {
            self.is_done = true;
            return;
        }
        let value: Value = serde_json::from_str(event).expect(event);
        self.error = value["error"]["message"].as_str().map(str::to_owned);
        let choice = &value["choices"][0];
        self.text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        if let Some(reason) = choice["finish_reason"].as_str() {
            assert_eq!(self.finish_reason.replace(reason.to_owned()), None, "an answer ends once");
        }
        if let Some(tokens) = value["usage"]["completion_tokens"].as_u64() {
            self.completion_tokens = tokens;
        }
    }
}

/// Reads events until the stream ends, or until there were `most`.
fn read(wire: &mut Wire, most: usize) -> Answer {
    let (mut answer, mut text, mut count) = (Answer::default(), String::new(), 0);
    while count < most {
        let Ok(Some(chunk)) = wire.chunk() else { break };
        text.push_str(&String::from_utf8(chunk).expect("text"));
        while let Some(end) = text.find("\n\n") {
            let block: String = text.drain(..end + 2).collect();
            for line in block.lines() {
                if let Some(event) = line.strip_prefix("data: ") {
                    answer.take(event);
                    count += 1;
                }
            }
        }
    }
    answer
}

/// Numbers that are as good as random (SplitMix64).
fn random(state: &AtomicU64) -> u64 {
    let mut x = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// 64 clients ask for as long as `ROCMFORGE_SOAK_SECONDS` says, by default a few seconds: they read to the end, leave
/// somewhere on the way, or stop reading for a while.
#[test]
fn long_use_by_many_loses_no_token_and_leaks_nothing() {
    let seconds = std::env::var("ROCMFORGE_SOAK_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(6);
    let process = Process::start(&["--parallel", "16", "--max-queue-size", "200", "--log-level", "error"]);
    let alone: Vec<Answer> =
        QUESTIONS.iter().map(|question| read(&mut process.ask(&chat(question, 40)), usize::MAX)).collect();
    assert!(
        alone.iter().all(|answer| answer.is_done && answer.finish_reason.is_some() && answer.completion_tokens > 0)
    );
    let (numbers, is_over) = (AtomicU64::new(1), AtomicBool::new(false));
    let (whole, left) = (AtomicU64::new(0), AtomicU64::new(0));
    let mut footprints = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let number = random(&numbers);
                    let which = number as usize % QUESTIONS.len();
                    let mut wire = process.ask(&chat(QUESTIONS[which], 40));
                    match number >> 32 & 7 {
                        0 | 1 => {
                            read(&mut wire, (number >> 40) as usize % 12);
                            left.fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                        2 => std::thread::sleep(Duration::from_millis(number >> 40 & 127)),
                        _ => {}
                    }
                    assert_eq!(read(&mut wire, usize::MAX), alone[which], "{}", QUESTIONS[which]);
                    whole.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..10 {
            std::thread::sleep(Duration::from_secs(seconds) / 10);
            footprints.push(process.footprint());
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert!(eventually(|| process.is_level()), "blocks come back");
    // The first tenths warm up. After that memory does not grow with use, but for a few pages of the allocator.
    let (early, late) = (footprints[3].0, footprints[9].0);
    assert!(late < early + early / 10 + 4096, "memory grows: {footprints:?}");
    let baseline = Process::start(&["--log-level", "error"]).footprint().1;
    assert!(eventually(|| process.footprint().1 <= baseline + 2), "descriptors: {:?}, {baseline}", process.footprint());
    let counts = (whole.into_inner(), left.into_inner());
    println!("{} answers read, {} left; (KiB, descriptors): {footprints:?}", counts.0, counts.1);
    assert!(counts.0 > 64 && counts.1 > 8, "{counts:?}");
}

#[test]
fn a_signal_lets_streams_end_and_a_restart_serves_at_once() {
    let mut process = Process::start(&["--shutdown-timeout", "60"]);
    let mut streams: Vec<Wire> = QUESTIONS.iter().map(|question| process.ask(&chat(question, 200))).collect();
    streams.iter_mut().for_each(|wire| drop(read(wire, 2)));
    process.signal("TERM");
    for wire in &mut streams {
        let answer = read(wire, usize::MAX);
        assert!(answer.is_done && answer.finish_reason.is_some(), "{answer:?}");
    }
    assert_eq!(process.wait().code(), Some(0));
    let again = Process::start(&[]);
    assert!(read(&mut again.ask(&chat(QUESTIONS[0], 20)), usize::MAX).is_done);
}

#[test]
fn streams_that_take_too_long_end_with_an_error_when_the_server_stops() {
    let mut process = Process::start(&["--shutdown-timeout", "1"]);
    let endless = |question: &&str| {
        let mut body = chat(question, 900);
        body["ignore_eos"] = true.into();
        process.ask(&body)
    };
    let mut streams: Vec<Wire> = QUESTIONS.iter().map(endless).collect();
    streams.iter_mut().for_each(|wire| drop(read(wire, 2)));
    process.signal("TERM");
    for wire in &mut streams {
        let answer = read(wire, usize::MAX);
        assert!(answer.error.as_ref().is_some_and(|why| why.contains("shutting down")), "{answer:?}");
        assert!(!answer.is_done && answer.finish_reason.is_none(), "{answer:?}");
    }
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let mut process = Process::start(&["--shutdown-timeout", "3600"]);
    // A request whose body does not come keeps the server from ending.
    let mut late = Wire::to(process.address);
    let request = post("/v1/chat/completions", "", chat(QUESTIONS[0], 1).to_string().as_bytes());
    late.send(&request[..request.len() - 1]);
    assert!(eventually(|| process.figure("rocmforge:http_requests_in_flight") == 1.0), "it has begun");
    process.signal("TERM");
    assert!(eventually(|| process.status("/ready") == 503), "the first lets it run");
    process.signal("TERM");
    assert_eq!(process.wait().code(), Some(1));
}
