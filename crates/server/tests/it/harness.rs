//! A server with the bundled model on a free port, and ways to talk to it, down to single bytes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::Parser;
use rocmforge_engine::{Engine, EngineError, EngineHandle, EngineOptions, Event, Request, ServiceOptions, SubmitError};
use rocmforge_launch::CommonArgs;
use rocmforge_server::ServeArgs;
use rocmforge_server::app::{AppState, Config, ServeError, Server};
use rocmforge_server::events;
use rocmforge_tokenizer::EncodeOptions;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

/// Longer than anything takes that is not stuck.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The server's program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_rocmforge-server");

/// Name of the model in the APIs.
pub const MODEL: &str = "rocmforge-demo";

/// Options that are given override the usual ones.
#[derive(Parser)]
#[command(args_override_self = true)]
struct Options {
    #[command(flatten)]
    common: CommonArgs,
    #[command(flatten)]
    serve: ServeArgs,
}

/// A running server.
pub struct Harness {
    pub address: SocketAddr,
    pub state: AppState,
    stop: mpsc::Sender<()>,
    server: Option<JoinHandle<Result<(), ServeError>>>,
    _runtime: Runtime,
    /// An answer that is computed beside what a test does, and the text it must have.
    neighbour: Option<JoinHandle<String>>,
    expected: String,
}

impl Harness {
    /// A server with usual options, whose model is loaded.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A server with these options.
    pub fn with(options: &[&str]) -> Self {
        Self::configured(options, |_| {})
    }

    /// A server with these options and limits that a test has no time to wait for.
    pub fn configured(options: &[&str], adjust: impl FnOnce(&mut Config)) -> Self {
        let harness = Self::loading(options, adjust, || {});
        harness.state.engine.wait_ready_blocking();
        harness.with_neighbour()
    }

    /// A server whose model may not be loaded yet; `before_load` runs first, on the engine's thread.
    pub fn loading(
        options: &[&str],
        adjust: impl FnOnce(&mut Config),
        before_load: impl Fn() + Send + 'static,
    ) -> Self {
        Self::with_engine(options, adjust, move |common, options| {
            before_load();
            common.load_engine(options, true)
        })
    }

    /// A server whose engine is loaded in a way of the test's own.
    pub fn with_engine(
        options: &[&str],
        adjust: impl FnOnce(&mut Config),
        load: impl Fn(&CommonArgs, EngineOptions) -> Result<Engine, EngineError> + Send + 'static,
    ) -> Self {
        let usual = ["test", "--device", "cpu", "--threads", "2", "--ctx-size", "1024"];
        let Options { common, serve } = Options::parse_from(usual.iter().chain(options));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind((serve.host.as_str(), 0)));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let mut config = Config::new(&serve, &serve.host, address, MODEL).expect("good options");
        adjust(&mut config);
        let engine_options = serve.engine_options(&common);
        let load = move || load(&common, engine_options.clone());
        let mut service = ServiceOptions::default();
        if let Some((sender, publisher)) = runtime.block_on(events::bind(&serve)).expect("free endpoints") {
            service.on_cache_events = Some(Box::new(move |changes| sender.send(&changes)));
            runtime.spawn(publisher.run());
        }
        let engine = EngineHandle::start(service, load).expect("a thread");
        let server = Server::new(listener, config, engine);
        let state = server.state().clone();
        let (stop, stopped) = mpsc::channel(2);
        let handle = runtime.handle().clone();
        let server = std::thread::spawn(move || handle.block_on(server.run(stopped)));
        Self { address, state, stop, server: Some(server), _runtime: runtime, neighbour: None, expected: String::new() }
    }

    fn with_neighbour(mut self) -> Self {
        self.expected = answer(&self.state.engine);
        let engine = self.state.engine.clone();
        self.neighbour = Some(std::thread::spawn(move || answer(&engine)));
        self
    }

    /// After a test's harm: the server answers, nothing is held, and other answers were not disturbed.
    pub fn assert_alive_and_level(&mut self) {
        assert_eq!(self.get("/health").status, 200);
        if let Some(neighbour) = self.neighbour.take() {
            assert_eq!(neighbour.join().expect("it does not panic"), self.expected, "beside the test");
        }
        assert_eq!(answer(&self.state.engine), self.expected, "after the test");
        self.assert_level();
    }

    /// Nothing runs, nothing waits, and no block is in use.
    pub fn assert_level(&self) {
        let level = || {
            let load = self.state.engine.load();
            load.running == 0 && load.waiting == 0 && load.waiting_tokens == 0 && load.used_blocks == 0
        };
        assert!(eventually(level), "{:?}", self.state.engine.load());
    }

    /// Asks the server to stop, as SIGTERM does.
    pub fn ask_to_stop(&self) {
        // The channel is closed if the server has ended already.
        let _ = self.stop.try_send(());
    }

    /// How the server ended.
    pub fn join(&mut self) -> Result<(), ServeError> {
        self.server.take().expect("it was not joined before").join().expect("it does not panic")
    }

    /// Where it is, for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn connect(&self) -> Wire {
        Wire::to(self.address)
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"))
    }

    /// The status of an answer, if there is one: a full server may close instead.
    pub fn connect_quietly_and_get(&self, path: &str) -> Option<u16> {
        let mut wire = self.connect();
        wire.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes());
        wire.try_reply().ok().map(|reply| reply.status)
    }

    /// Posts JSON.
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_with(path, "", body.to_string().as_bytes())
    }

    /// Posts a body with more header lines, each ended by a line end.
    pub fn post_with(&self, path: &str, headers: &str, body: &[u8]) -> Reply {
        let mut wire = self.connect();
        wire.send(&post(path, headers, body));
        wire.reply()
    }

    /// The answer to these bytes.
    pub fn send(&self, request: &str) -> Reply {
        let mut wire = self.connect();
        wire.send(request.as_bytes());
        wire.reply()
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        // Twice: at once.
        self.ask_to_stop();
        self.ask_to_stop();
    }
}

/// A request with a JSON body.
pub fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Whether it becomes true before patience ends.
pub fn eventually(is_true: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while !is_true() {
        if began.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// What the model says, always the same.
fn answer(engine: &EngineHandle) -> String {
    let model = engine.model().expect("a loaded model");
    let prompt = model.tokenizer.encode("Once upon a time", EncodeOptions::default()).expect("a prompt");
    let mut request = Request { max_tokens: Some(48), ..Request::new(prompt) };
    request.sampling.temperature = 0.0;
    let mut stream = loop {
        match engine.submit(request.clone()) {
            Ok(stream) => break stream,
            // A test may have filled the queue.
            Err(SubmitError::Busy { .. }) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("{error}"),
        }
    };
    let mut text = String::new();
    while let Some(event) = stream.next_blocking() {
        match event {
            Event::Token { text: more, .. } | Event::Finished { text: more, .. } => text.push_str(&more),
            _ => {}
        }
    }
    text
}

/// A connection.
pub struct Wire {
    pub stream: TcpStream,
    /// Bytes that came after the last reply.
    rest: Vec<u8>,
}

impl Wire {
    pub fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).expect("it listens"))
    }

    pub fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, rest: Vec::new() }
    }

    /// Sends as much as the server takes.
    pub fn send(&mut self, bytes: &[u8]) {
        // A server that refuses may close before it has read everything.
        let _ = self.stream.write_all(bytes);
    }

    /// Says that no more will be sent.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Reads one answer; one of status 1xx before it is skipped.
    pub fn reply(&mut self) -> Reply {
        loop {
            let reply = self.try_reply().expect("an answer");
            if reply.status >= 200 {
                return reply;
            }
        }
    }

    /// Reads the head of an answer and leaves its body.
    pub fn head(&mut self) -> io::Result<Reply> {
        while !self.rest.windows(4).any(|end| end == b"\r\n\r\n") {
            self.more()?;
        }
        let end = self.rest.windows(4).position(|end| end == b"\r\n\r\n").expect("just found") + 4;
        let head = String::from_utf8(self.rest.drain(..end).collect()).expect("plain text");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status line");
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Ok(Reply { status, headers, body: Vec::new() })
    }

    pub fn try_reply(&mut self) -> io::Result<Reply> {
        let mut reply = self.head()?;
        if let Some(length) = reply.header("content-length") {
            let length: usize = length.parse().expect("a length");
            while self.rest.len() < length {
                self.more()?;
            }
            reply.body = self.rest.drain(..length).collect();
        } else if reply.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk()? {
                reply.body.extend(chunk);
            }
        }
        Ok(reply)
    }

    /// The next chunk of a chunked body; `None` after the last.
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        while !self.rest.windows(2).any(|end| end == b"\r\n") {
            self.more()?;
        }
        let line = self.rest.windows(2).position(|end| end == b"\r\n").expect("just found");
        let size = std::str::from_utf8(&self.rest[..line]).expect("digits");
        let size = usize::from_str_radix(size, 16).expect("a size");
        while self.rest.len() < line + 2 + size + 2 {
            self.more()?;
        }
        self.rest.drain(..line + 2);
        let chunk: Vec<u8> = self.rest.drain(..size).collect();
        self.rest.drain(..2);
        Ok((size > 0).then_some(chunk))
    }

    fn more(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.rest.extend_from_slice(&piece[..count]);
                Ok(())
            }
        }
    }

    /// Whether the server has closed, or does before patience ends.
    pub fn is_closed(&mut self) -> bool {
        loop {
            match self.more() {
                Ok(()) => {}
                Err(error) => return !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            }
        }
    }

    /// Everything until the server closes.
    pub fn read_to_end(&mut self) -> String {
        assert!(self.is_closed(), "it neither speaks nor closes");
        String::from_utf8_lossy(&std::mem::take(&mut self.rest)).into_owned()
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// An error as clients of OpenAI's API expect it, which tells nothing about the inside.
    pub fn assert_error(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.text());
        let body = self.json();
        let error = body["error"].as_object().unwrap_or_else(|| panic!("{body}"));
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        assert!(error["type"].is_string() && error.contains_key("param") && error.contains_key("code"), "{body}");
        for inside in ["rocmforge_", "src/", ".rs", "::", "/root", "/home", "0x"] {
            assert!(!self.text().contains(inside), "{body} tells `{inside}`");
        }
    }
}
