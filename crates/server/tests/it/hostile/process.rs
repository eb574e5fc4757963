//! What shows only from outside of the process: its log, its files, its exit code.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::harness::PROGRAM;
use crate::harness::{MODEL, Wire, eventually, post};

/// The program with its stderr, once it has said where it listens.
struct Process {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    address: std::net::SocketAddr,
}

impl Process {
    /// Runs `exec "$0" "$@"` after `setup` in a shell.
    fn start(setup: &str, options: &[&str]) -> Self {
        let mut child = Command::new("sh")
            .args(["-c", &format!("{setup} exec \"$0\" \"$@\""), PROGRAM, "--device", "cpu", "--port", "0"])
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program that was just built starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).expect("text"), 0, "it ended");
            if let Some((_, address)) = line.trim_end().split_once("listening on http://") {
                break address.parse().expect("an address");
            }
        };
        let process = Self { child, stderr, address };
        assert!(eventually(|| process.get("/ready") == Some(200)));
        process
    }

    fn ask(&self, request: &[u8]) -> Option<crate::harness::Reply> {
        let mut wire = Wire::to(self.address);
        wire.send(request);
        wire.try_reply().ok()
    }

    fn get(&self, path: &str) -> Option<u16> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        self.ask(request.as_bytes()).map(|reply| reply.status)
    }

    /// Memory that it takes.
    fn resident_bytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib << 10
    }

    /// Ends it with SIGTERM. The exit code and what it said.
    fn end(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).expect("text");
        (self.child.wait().expect("it ends").code(), said)
    }
}

/// Sockets that one peer opens and leaves.
const IDLE: usize = 10_000;

/// Files that a process with so many sockets needs.
const FILES: usize = IDLE + 500;

/// How many files this process may open.
fn files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(usize::MAX)
}

#[test]
fn h15_ten_thousand_idle_sockets_fill_the_server_and_it_answers_about_its_health() {
    if files() >= FILES {
        return ten_thousand_idle_sockets();
    }
    let name = "hostile::process::h15_ten_thousand_idle_sockets_fill_the_server_and_it_answers_about_its_health";
    let program = std::env::current_exe().expect("this program");
    let again = Command::new("sh")
        .args(["-c", &format!("ulimit -n {FILES} || exit 77; exec \"$0\" \"$@\""), &program.to_string_lossy()])
        .args([name, "--exact", "--nocapture"])
        .status()
        .expect("a shell");
    match again.code() {
        Some(77) => eprintln!("skipped: this user may not open {FILES} files"),
        code => assert_eq!(code, Some(0)),
    }
}

fn ten_thousand_idle_sockets() {
    let process = Process::start(
        &format!("ulimit -n {FILES};"),
        &["--log-level", "error", "--max-connections", &IDLE.to_string()],
    );
    let before = process.resident_bytes();
    let held: Vec<Wire> = (0..IDLE).map(|_| Wire::to(process.address)).collect();
    let get = b"GET /version HTTP/1.1\r\nhost: localhost\r\n\r\n";
    assert!(eventually(|| process.ask(get).is_some_and(|reply| reply.status == 503)));
    let reply = process.ask(get).expect("an answer");
    assert!(reply.status == 503 && reply.header("retry-after").is_some(), "{reply:?}");
    assert_eq!(process.get("/health"), Some(200));
    let each = process.resident_bytes().saturating_sub(before) / IDLE;
    eprintln!("{IDLE} idle connections take {each} bytes each");
    assert!(each < 32 << 10, "{each} bytes each");
    drop(held);
    assert!(eventually(|| process.get("/version") == Some(200)));
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn h16_without_files_to_open_the_server_waits_and_recovers() {
    let process = Process::start("ulimit -n 48;", &["--max-connections", "1000"]);
    let held: Vec<Wire> = (0..60).map(|_| Wire::to(process.address)).collect();
    assert!(eventually(|| process.get("/health").is_none() || held.len() == 60));
    drop(held);
    assert!(eventually(|| process.get("/health") == Some(200)));
    let (code, said) = process.end();
    assert_eq!(code, Some(0), "{said}");
    // On a busy machine it may recover and run out again.
    let told = said.matches("cannot accept connections").count();
    assert!((1..=5).contains(&told), "told, and not in a loop: {said}");
}

#[test]
fn h54_the_log_is_one_line_of_json_a_request_without_prompts_and_keys() {
    let process = Process::start("", &["--log-json", "--api-key", "the-secret-key"]);
    let body = json!({
        "model": format!("{MODEL}\r\n\u{1b}[31mforged"), "prompt": "the secret prompt", "user": "a\r\nb\u{1b}c", "max_tokens": 1,
    });
    let headers = "authorization: Bearer the-secret-key\r\nuser-agent: \u{7f}x\r\nx-request-id: a\tb\r\n";
    for headers in [headers, "authorization: Bearer the-secret-keys\r\nx-request-id: {\"forged\": 1}\r\n", ""] {
        process.ask(&post("/v1/completions", headers, body.to_string().as_bytes()));
    }
    process.ask(b"GET /a%0d%0aforged%1b[31m HTTP/1.1\r\nhost: localhost\r\n\r\n");
    process.ask(b"GET /\xff\xfe HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let good = json!({"model": MODEL, "prompt": "the secret prompt", "max_tokens": 1}).to_string();
    let key = "authorization: Bearer the-secret-key\r\n";
    assert_eq!(process.ask(&post("/v1/completions", key, good.as_bytes())).map(|reply| reply.status), Some(200));
    let (code, said) = process.end();
    assert_eq!(code, Some(0));
    for secret in ["secret", "forged\"", "\u{1b}"] {
        assert!(!said.contains(secret), "{secret:?} in {said}");
    }
    let lines: Vec<Value> = said
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let requests = lines.iter().filter(|line| line["target"] == "rocmforge_server::access");
    assert!(requests.count() >= 5, "{said}");
}

#[test]
fn a_model_that_cannot_be_loaded_ends_the_server_with_the_code_of_bad_input() {
    let mut ended = Command::new(PROGRAM)
        .args(["--device", "cpu", "--port", "0", "--model", "/nowhere/model.gguf"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut said = String::new();
    ended.stderr.take().expect("it is piped").read_to_string(&mut said).expect("text");
    assert_eq!(ended.wait().expect("it ends").code(), Some(2), "{said}");
    assert!(said.contains("error: ") && said.contains("/nowhere/model.gguf"), "{said}");
}
