//! One request, streamed, and when its tokens came.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Endpoint;
use super::http::{Address, Request, line};
use super::workload::{Job, Prompt};

/// How a server is asked.
pub struct Client {
    pub address: Address,
    pub endpoint: Endpoint,
    pub model: String,
    pub api_key: Option<String>,
    pub ignore_eos: bool,
    pub timeout: Duration,
}

/// What came of a request.
#[derive(Debug, Clone)]
pub struct Record {
    /// When it was sent.
    pub sent: Instant,
    /// When each piece of text came.
    pub pieces: Vec<Instant>,
    /// When the answer ended.
    pub end: Instant,
    /// As the server counts.
    pub prompt_tokens: u64,
    /// As the server counts.
    pub output_tokens: u64,
}

impl Record {
    /// Time to the first text.
    pub fn first(&self) -> Option<Duration> {
        self.pieces.first().map(|first| *first - self.sent)
    }

    /// Times between pieces of text.
    pub fn gaps(&self) -> impl Iterator<Item = Duration> {
        self.pieces.windows(2).map(|pair| pair[1] - pair[0])
    }

    /// The time a token took after the first.
    pub fn per_token(&self) -> Option<Duration> {
        let (first, last) = (self.pieces.first()?, self.pieces.last()?);
        let tokens = u32::try_from(self.output_tokens).ok()?.checked_sub(1).filter(|&tokens| tokens > 0)?;
        Some((*last - *first) / tokens)
    }
}

impl Client {
    /// JSON of a path.
    pub fn get(&self, path: &str) -> Result<Value> {
        let answer = self.request(path, None).send()?;
        let status = answer.status;
        let text = answer.text()?;
        ensure!(status == 200, "status {status}: {text}");
        serde_json::from_str(&text).context("the answer is no JSON")
    }

    /// Sends a job and reads its stream to the end. `on_piece` hears of each piece of text as it comes, counted from 1.
    pub fn run(&self, job: &Job, mut on_piece: impl FnMut(usize)) -> Result<Record> {
        let path = match self.endpoint {
            Endpoint::Completions => "/v1/completions",
            Endpoint::Chat => "/v1/chat/completions",
        };
        let body = self.body(job).to_string();
        let sent = Instant::now();
        let mut answer = self.request(path, Some(&body)).send()?;
        if answer.status != 200 {
            let status = answer.status;
            bail!("status {status}: {}", answer.text().unwrap_or_default());
        }
        let mut record = Record { sent, pieces: Vec::new(), end: sent, prompt_tokens: 0, output_tokens: 0 };
        loop {
            let line = line(&mut answer.body)?;
            let Some(data) = line.strip_prefix("data:").map(str::trim) else { continue };
            if data == "[DONE]" {
                break;
            }
            let now = Instant::now();
            let event: Value = serde_json::from_str(data).with_context(|| format!("`{data}` is no JSON"))?;
            if let Some(error) = event.get("error") {
                bail!("the stream ends in an error: {error}");
            }
            if has_text(&event["choices"][0]) {
                record.pieces.push(now);
                on_piece(record.pieces.len());
            }
            if let Some(usage) = event.get("usage").filter(|usage| usage.is_object()) {
                record.prompt_tokens = usage["prompt_tokens"].as_u64().unwrap_or(0);
                record.output_tokens = usage["completion_tokens"].as_u64().unwrap_or(0);
            }
        }
        record.end = Instant::now();
        ensure!(record.prompt_tokens > 0, "the server does not tell how many tokens there were");
        Ok(record)
    }

    fn request<'a>(&'a self, path: &'a str, body: Option<&'a str>) -> Request<'a> {
        let api_key = self.api_key.as_deref();
        Request { address: &self.address, path, api_key, body, timeout: self.timeout }
    }

    fn body(&self, job: &Job) -> Value {
        let mut body = json!({
            "model": self.model,
            "max_tokens": job.max_tokens,
            "temperature": 0.0,
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        match (&job.prompt, self.endpoint) {
            (Prompt::Text(text), Endpoint::Chat) => body["messages"] = json!([{ "role": "user", "content": text }]),
            (Prompt::Text(text), Endpoint::Completions) => body["prompt"] = json!(text),
            (Prompt::Tokens(tokens), _) => body["prompt"] = json!(tokens),
        }
        if self.ignore_eos {
            body["ignore_eos"] = json!(true);
        }
        body
    }
}

/// Whether an event brings text: an answer's, or what a model thinks before it.
fn has_text(choice: &Value) -> bool {
    let delta = &choice["delta"];
    let places = [&choice["text"], &delta["content"], &delta["reasoning_content"], &delta["reasoning"]];
    places.into_iter().any(|text| text.as_str().is_some_and(|text| !text.is_empty()))
}
