//! A server with the bundled model, as a process of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server; it ends with the value.
pub struct Server {
    process: Child,
    pub port: u16,
}

/// The server's program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_rocmforge-server");

/// A debug build on a busy machine loads the model in this time.
const PATIENCE: Duration = Duration::from_secs(120);

impl Server {
    /// Starts a server and waits until its model is loaded.
    pub fn start(arguments: &[&str]) -> Self {
        let port = free_port();
        let process = Command::new(PROGRAM)
            .args(["--port", &port.to_string(), "--threads", "2", "--log-level", "warn"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program that was just built starts");
        let mut server = Self { process, port };
        server.wait_until_ready();
        server
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The body of a GET, or nothing while it is no 200.
    pub fn get(&self, path: &str, key: Option<&str>) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
        let host = format!("host: 127.0.0.1:{}", self.port);
        write!(stream, "GET {path} HTTP/1.1\r\n{host}\r\n{key}connection: close\r\n\r\n").ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        let (head, body) = response.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
    }

    /// Name of the model that is served, and how many tokens its context holds.
    pub fn model(&self, key: Option<&str>) -> (String, u64) {
        let list = self.get("/v1/models", key).expect("models are listed");
        let list: serde_json::Value = serde_json::from_str(&list).expect("the list is JSON");
        let name = list["data"][0]["id"].as_str().expect("a model has a name").to_owned();
        (name, list["data"][0]["max_model_len"].as_u64().expect("a model has a context"))
    }

    fn wait_until_ready(&mut self) {
        let start = Instant::now();
        while self.get("/ready", None).is_none() {
            if let Some(status) = self.process.try_wait().expect("its state is known") {
                panic!("the server ended while it started: {status}");
            }
            assert!(start.elapsed() < PATIENCE, "the server is not ready after {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has noticed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}
