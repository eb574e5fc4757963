//! The stream of a job's answers.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use rocmforge_chat::{OutputEvent, OutputFormat, OutputParser};
use rocmforge_engine::{Event, EventStream, Failure, FailureKind, FinishReason, ModelInfo, StopMatch};
use rocmforge_sampler::TokenId;
use uuid::Uuid;

use super::{Encoded, Finish, Params, Piece, PieceKind, TokenInfo, Usage};
use crate::error::ApiError;

/// The answers of a job, piece by piece. Dropping it cancels what is not finished.
pub struct Answers {
    model: Arc<ModelInfo>,
    prompts: Vec<Part>,
    /// The prompt whose turn it is to be asked first.
    turn: usize,
    ready: VecDeque<Piece>,
    usage: Usage,
    wanted: u32,
    sequences: u32,
    /// Control tokens are part of the text.
    keep_special: bool,
    /// The model's own tokens that end an answer, which are no part of it.
    ends: Vec<TokenId>,
}

/// One prompt with its answers.
struct Part {
    encoded: Encoded,
    /// `None` when all of its answers are there.
    events: Option<EventStream>,
    open: u32,
    choices: Vec<Choice>,
}

/// One answer on its way.
struct Choice {
    number: u32,
    /// `None` where nothing is taken apart, and at the end.
    parser: Option<OutputParser>,
    is_reasoning: bool,
    calls: u32,
    tokens: Vec<TokenInfo>,
}

/// What the job asks of its answers.
pub(super) struct Wishes<'a> {
    pub params: &'a Params,
    /// The answers have a form of their own and are not searched for calls.
    pub is_structured: bool,
    pub ends: Vec<TokenId>,
}

impl Answers {
    pub(super) fn new(model: Arc<ModelInfo>, streams: Vec<(Encoded, EventStream)>, wishes: Wishes<'_>) -> Self {
        let sequences = wishes.params.sequences();
        let part = |(i, (encoded, events)): (usize, (Encoded, EventStream))| {
            let first = i as u32 * sequences;
            let choices = (first..first + sequences).map(|number| Choice::new(number, &encoded, wishes.is_structured));
            Part { choices: choices.collect(), encoded, events: Some(events), open: sequences }
        };
        let prompts: Vec<Part> = streams.into_iter().enumerate().map(part).collect();
        let prompt_tokens = prompts.iter().map(|part| part.encoded.tokens.len()).sum();
        Self {
            model,
            prompts,
            turn: 0,
            ready: VecDeque::new(),
            usage: Usage { prompt_tokens, ..Usage::default() },
            wanted: wishes.params.n,
            sequences,
            keep_special: wishes.params.keep_special,
            ends: wishes.ends,
        }
    }

    /// The next piece of any answer; `None` after the last, or after a failure.
    pub async fn next(&mut self) -> Option<Result<Piece, ApiError>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(Ok(piece));
            }
            let (part, event) = poll_fn(|context| self.poll_event(context)).await?;
            let taken = match event {
                Some(event) => self.take(part, event),
                None => Err(ApiError::internal("the engine left a request without its end")),
            };
            if let Err(error) = taken {
                self.prompts.clear();
                return Some(Err(error));
            }
        }
    }

    /// Counts so far.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// The prompts, as they were encoded.
    pub fn prompts(&self) -> impl Iterator<Item = &Encoded> {
        self.prompts.iter().map(|part| &part.encoded)
    }

    pub(super) fn into_prompts(self) -> Vec<Encoded> {
        self.prompts.into_iter().map(|part| part.encoded).collect()
    }

    /// The model that answers.
    pub fn model(&self) -> &Arc<ModelInfo> {
        &self.model
    }

    /// How many answers are generated.
    pub fn choices(&self) -> u32 {
        self.sequences * self.prompts.len() as u32
    }

    /// Answers that are generated for each prompt.
    pub(super) fn sequences(&self) -> u32 {
        self.sequences
    }

    /// Answers that are wanted for each prompt.
    pub(super) fn wanted(&self) -> u32 {
        self.wanted
    }

    /// The next event with the number of its prompt. The prompts take turns, so that none is starved.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, Option<Event>)>> {
        let count = self.prompts.len();
        let mut is_open = false;
        for i in (self.turn..count).chain(0..self.turn.min(count)) {
            let Some(events) = &mut self.prompts[i].events else { continue };
            is_open = true;
            if let Poll::Ready(event) = events.poll_next(context) {
                self.turn = i + 1;
                return Poll::Ready(Some((i, event)));
            }
        }
        if is_open { Poll::Pending } else { Poll::Ready(None) }
    }

    fn take(&mut self, part: usize, event: Event) -> Result<(), ApiError> {
        let prompt = &mut self.prompts[part];
        match event {
            Event::PromptLogprobs { logprobs, .. } => {
                let choice = part as u32 * self.sequences;
                self.ready.push_back(Piece { choice, kind: PieceKind::Prompt(logprobs), tokens: Vec::new() });
            }
            Event::Token { index, token, text, logprobs, .. } => {
                let Some(choice) = prompt.choices.get_mut(index as usize) else { return Ok(()) };
                self.usage.completion_tokens += 1;
                if !text.is_empty() || !self.ends.contains(&token) {
                    let (logprob, top) = logprobs.map_or((None, Vec::new()), |(logprob, top)| (Some(logprob), top));
                    choice.tokens.push(TokenInfo { token, logprob, top });
                }
                let is_hidden = !self.keep_special
                    && self.model.tokenizer.is_special(token)
                    && !prompt.encoded.marks.contains(&token);
                choice.text(if is_hidden { String::new() } else { text }, &mut self.ready);
                self.usage.reasoning_tokens += usize::from(choice.is_reasoning);
            }
            Event::Finished { index, text, reason, stop, usage, timings, .. } => {
                let Some(choice) = prompt.choices.get_mut(index as usize) else { return Ok(()) };
                choice.text(text, &mut self.ready);
                choice.finish(&reason, stop, &mut self.ready)?;
                prompt.open = prompt.open.saturating_sub(1);
                if prompt.open == 0 {
                    prompt.events = None;
                }
                if index == 0 {
                    self.usage.cached_tokens += usage.cached_tokens;
                }
                self.usage.timings = timings;
            }
            // A job asks for text.
            Event::Embedding { .. } => {}
        }
        Ok(())
    }
}

impl Choice {
    fn new(number: u32, encoded: &Encoded, is_structured: bool) -> Self {
        let format = match (is_structured, encoded.reasoning_end) {
            (false, _) => encoded.format.clone(),
            (true, None) => OutputFormat::PLAIN,
            (true, Some(_)) => OutputFormat { calls: None, ..encoded.format.clone() },
        };
        let parser = (format != OutputFormat::PLAIN).then(|| OutputParser::new(format, &encoded.text));
        Self { number, parser, is_reasoning: encoded.reasoning_end.is_some(), calls: 0, tokens: Vec::new() }
    }

    fn text(&mut self, text: String, ready: &mut VecDeque<Piece>) {
        let events = match &mut self.parser {
            Some(parser) => parser.push(&text),
            None if text.is_empty() => Vec::new(),
            None => vec![OutputEvent::Text(text)],
        };
        self.push(events, ready);
    }

    fn push(&mut self, events: Vec<OutputEvent>, ready: &mut VecDeque<Piece>) {
        for event in events {
            let kind = match event {
                OutputEvent::Reasoning(text) => PieceKind::Reasoning(text),
                OutputEvent::ToolCall(call) => {
                    let index = self.calls;
                    self.calls += 1;
                    let id = call.id.unwrap_or_else(|| format!("call_{}", Uuid::new_v4().simple()));
                    PieceKind::ToolCall { index, id, name: call.name, arguments: call.arguments }
                }
                OutputEvent::Text(text) => PieceKind::Text(text),
                _ => continue,
            };
            self.is_reasoning = matches!(kind, PieceKind::Reasoning(_));
            ready.push_back(Piece { choice: self.number, kind, tokens: std::mem::take(&mut self.tokens) });
        }
    }

    fn finish(
        &mut self,
        reason: &FinishReason,
        stop: Option<StopMatch>,
        ready: &mut VecDeque<Piece>,
    ) -> Result<(), ApiError> {
        let rest = self.parser.take().map(OutputParser::finish).unwrap_or_default();
        self.push(rest, ready);
        let Some(reason) = Finish::of(reason, self.calls > 0) else { return Err(failure(reason)) };
        let tokens = std::mem::take(&mut self.tokens);
        ready.push_back(Piece { choice: self.number, kind: PieceKind::Finished { reason, stop }, tokens });
        Ok(())
    }
}

/// What a client is told of an answer that could not go on. Only reasons that lie in its own request are repeated.
pub(super) fn failure(reason: &FinishReason) -> ApiError {
    match reason {
        FinishReason::Error(Failure { kind: FailureKind::Request, message }) => ApiError::invalid(message.as_str()),
        FinishReason::Error(Failure { kind: FailureKind::Stopped, .. }) => ApiError::shutting_down(),
        FinishReason::Error(failure) => ApiError::internal(failure),
        other => ApiError::internal(other.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer in these pieces, as kinds and texts, and whether it was reasoning at its end.
    fn taken_apart(format: &OutputFormat, is_structured: bool, prompt: &str, pieces: &[&str]) -> Vec<PieceKind> {
        let reasoning_end = format.reasoning.filter(|(open, _)| prompt.ends_with(open)).map(|(_, close)| close);
        let encoded = Encoded {
            text: prompt.to_owned(),
            tokens: Vec::new(),
            format: format.clone(),
            marks: Vec::new(),
            reasoning_end,
        };
        let mut choice = Choice::new(0, &encoded, is_structured);
        let mut ready = VecDeque::new();
        for (token, piece) in (0..).zip(pieces) {
            choice.tokens.push(TokenInfo { token, logprob: None, top: Vec::new() });
            choice.text((*piece).to_owned(), &mut ready);
        }
        choice.finish(&FinishReason::Stop, None, &mut ready).expect("a good end");
        let tokens: Vec<TokenId> = ready.iter().flat_map(|piece| &piece.tokens).map(|info| info.token).collect();
        assert!(tokens.iter().copied().eq(0..pieces.len() as u32), "each token comes once, in order: {tokens:?}");
        ready.into_iter().map(|piece| piece.kind).collect()
    }

    fn text(text: &str) -> PieceKind {
        PieceKind::Text(text.to_owned())
    }

    fn end(reason: Finish) -> PieceKind {
        PieceKind::Finished { reason, stop: None }
    }

    fn full() -> OutputFormat {
        OutputFormat { reasoning: Some(("<think>", "</think>")), calls: OutputFormat::call_format("hermes") }
    }

    #[test]
    fn reasoning_is_split_from_the_answer() {
        let reasoning = PieceKind::Reasoning("hm".to_owned());
        let kinds = taken_apart(&full(), false, "a<think>", &["hm", "</thi", "nk>", "yes"]);
        assert_eq!(kinds, [reasoning.clone(), text("yes"), end(Finish::Stop)]);
        let kinds = taken_apart(&full(), false, "a", &["<think>", "hm", "</think>", "yes"]);
        assert_eq!(kinds, [reasoning, text("yes"), end(Finish::Stop)]);
    }

    #[test]
    fn calls_are_numbered_and_end_the_answer_by_their_own_reason() {
        let call = "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>";
        let kinds = taken_apart(&full(), false, "a", &["see ", call, call]);
        let names: Vec<(u32, &str)> = kinds
            .iter()
            .filter_map(|kind| match kind {
                PieceKind::ToolCall { index, name, .. } => Some((*index, name.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(names, [(0, "f"), (1, "f")]);
        assert_eq!(kinds.last(), Some(&end(Finish::ToolCalls)));
    }

    #[test]
    fn an_answer_of_a_form_is_not_searched_for_calls() {
        let llama = OutputFormat { reasoning: None, calls: OutputFormat::call_format("llama3") };
        let json = "{\"name\": \"f\", \"parameters\": {}}";
        assert_eq!(taken_apart(&llama, true, "a", &[json]), [text(json), end(Finish::Stop)]);
        let kinds = taken_apart(&full(), true, "a<think>", &["hm</think>", json]);
        assert_eq!(kinds, [PieceKind::Reasoning("hm".to_owned()), text(json), end(Finish::Stop)]);
    }

    #[test]
    fn only_faults_of_the_request_are_told_in_full() {
        let told = |kind| failure(&FinishReason::Error(Failure { kind, message: "at 0x7f00".into() }));
        let fault = told(FailureKind::Request);
        assert_eq!((fault.status.as_u16(), fault.message.as_str()), (400, "at 0x7f00"));
        let stopped = told(FailureKind::Stopped);
        assert_eq!((stopped.status.as_u16(), stopped.message.as_str()), (503, "the server is shutting down"));
        for kind in [FailureKind::Model, FailureKind::Device, FailureKind::Engine] {
            let inside = told(kind);
            assert_eq!(inside.status, 500);
            assert!(!inside.message.contains("0x7f00"), "{kind:?}");
        }
    }
}
