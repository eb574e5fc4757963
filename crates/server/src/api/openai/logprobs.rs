//! Log-probabilities in OpenAI's shapes.

use rocmforge_engine::PromptLogprob;
use rocmforge_sampler::{TokenId, TokenLogprob};
use rocmforge_tokenizer::Tokenizer;
use serde_json::{Map, Value, json};

use crate::generation::TokenInfo;

/// What JSON cannot say, minus infinity, in the words of others.
const LEAST: f32 = -9999.0;

/// Writes tokens with their log-probabilities.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    /// Knows their texts.
    pub tokenizer: &'a Tokenizer,
    /// Names them by id instead.
    pub as_ids: bool,
}

fn finite(logprob: f32) -> f32 {
    logprob.max(LEAST)
}

impl Writer<'_> {
    fn name(&self, token: TokenId) -> String {
        match self.as_ids {
            true => format!("token_id:{token}"),
            false => String::from_utf8_lossy(self.tokenizer.token_bytes(token)).into_owned(),
        }
    }

    fn entry(&self, token: TokenId, logprob: f32) -> Value {
        json!({"token": self.name(token), "logprob": finite(logprob), "bytes": self.tokenizer.token_bytes(token)})
    }

    /// Tokens with their alternatives.
    pub fn entries(&self, tokens: &[TokenInfo]) -> Vec<Value> {
        let entry = |info: &TokenInfo| {
            let mut entry = self.entry(info.token, info.logprob?);
            entry["top_logprobs"] = info.top.iter().map(|top| self.entry(top.token, top.logprob)).collect();
            Some(entry)
        };
        tokens.iter().filter_map(entry).collect()
    }

    /// `choices[].logprobs` of a chat completion.
    pub fn chat(&self, tokens: &[TokenInfo]) -> Value {
        json!({"content": self.entries(tokens), "refusal": null})
    }

    fn top(&self, top: &[TokenLogprob]) -> Value {
        let entries = top.iter().map(|top| (self.name(top.token), finite(top.logprob).into()));
        Value::Object(entries.collect::<Map<_, _>>())
    }

    /// `prompt_logprobs`: for each token of the prompt the candidates by id.
    pub fn prompt(&self, prompt: &[Option<PromptLogprob>]) -> Value {
        let token = |entry: &Option<PromptLogprob>| {
            let Some(entry) = entry else { return Value::Null };
            let mut out = Map::new();
            let mut add = |token: TokenId, logprob: f32, rank: u32| {
                let value = json!({"logprob": finite(logprob), "rank": rank, "decoded_token": self.name(token)});
                out.insert(token.to_string(), value);
            };
            for (rank, top) in (1..).zip(&entry.top) {
                add(top.token, top.logprob, rank);
            }
            add(entry.token, entry.logprob, entry.rank);
            Value::Object(out)
        };
        prompt.iter().map(token).collect()
    }
}

/// `choices[].logprobs` of a completion, which grows with the answer.
#[derive(Debug, Default)]
pub struct TextLogprobs {
    tokens: Vec<String>,
    logprobs: Vec<Value>,
    top: Vec<Value>,
    offsets: Vec<usize>,
}

impl TextLogprobs {
    /// Adds tokens; `at` is where the first begins in the text, in characters, and moves on.
    pub fn add(&mut self, writer: Writer<'_>, tokens: &[TokenInfo], at: &mut usize) {
        for info in tokens {
            self.push(writer, info.token, info.logprob.map(finite), &info.top, at);
        }
    }

    /// Adds the tokens of a prompt that is echoed.
    pub fn add_prompt(
        &mut self,
        writer: Writer<'_>,
        ids: &[TokenId],
        prompt: &[Option<PromptLogprob>],
        at: &mut usize,
    ) {
        for (i, token) in ids.iter().enumerate() {
            let entry = prompt.get(i).and_then(Option::as_ref);
            let top = entry.map_or(&[][..], |entry| &entry.top);
            self.push(writer, *token, entry.map(|entry| finite(entry.logprob)), top, at);
        }
    }

    fn push(&mut self, writer: Writer<'_>, token: TokenId, logprob: Option<f32>, top: &[TokenLogprob], at: &mut usize) {
        self.offsets.push(*at);
        *at += String::from_utf8_lossy(writer.tokenizer.token_bytes(token)).chars().count();
        self.tokens.push(writer.name(token));
        self.logprobs.push(logprob.map_or(Value::Null, Value::from));
        self.top.push(if logprob.is_some() { writer.top(top) } else { Value::Null });
    }

    /// The object, which leaves nothing behind.
    pub fn take(&mut self) -> Value {
        let Self { tokens, logprobs, top, offsets } = std::mem::take(self);
        json!({"tokens": tokens, "token_logprobs": logprobs, "top_logprobs": top, "text_offset": offsets})
    }
}
