//! `/v1/chat/completions`.

use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, extract::State};
use rocmforge_tokenizer::Tokenizer;
use serde_json::{Map, Value, json};

use super::chat_stream::ChatStream;
use super::common::{self, Common, Head, Report, new_id, now};
use super::logprobs::Writer;
use super::messages;
use crate::api::ask::ask;
use crate::app::AppState;
use crate::body::{Body, Fields, Read};
use crate::error::ApiError;
use crate::generation::{Answer, Chat, Collected, Job, Prompt};
use crate::guard::Caller;
use crate::stream;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct ChatRequest {
    common: Common,
    chat: Chat,
    include_reasoning: bool,
}

impl Read for ChatRequest {
    const NAME: &'static str = "ChatRequest";

    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let chat = Conversation::read(fields)?;
        let Conversation(chat) = fields.require("messages", chat)?;
        let mut common = Common::read(fields)?;
        let params = &mut common.params;
        let most = 1..=i32::MAX as usize;
        let max = fields.integer("max_tokens", most.clone(), "Older name of `max_completion_tokens`.")?;
        let max_new = fields.integer("max_completion_tokens", most, "Most tokens of the answer.")?;
        params.max_tokens = max_new.or(max);
        read_logprobs(fields, &mut common)?;
        let include = fields.flag("include_reasoning", "Whether the reasoning is part of the answer.")?;
        for (name, nothing) in [
            ("echo", json!(false)),
            ("add_special_tokens", json!(false)),
            ("modalities", json!(["text"])),
            ("audio", Value::Null),
            ("functions", Value::Null),
            ("function_call", Value::Null),
            ("web_search_options", Value::Null),
        ] {
            fields.unsupported(name, nothing)?;
        }
        fields.without_effect(&["prediction", "verbosity", "return_prompt_text"]);
        Ok(Self { common, chat, include_reasoning: include.unwrap_or(true) })
    }
}

/// The fields of which a prompt is made.
#[derive(Debug, Clone)]
pub struct Conversation(pub Chat);

/// Nothing was said, which no request may mean.
impl Default for Conversation {
    fn default() -> Self {
        Self(Chat::new(Vec::new()))
    }
}

impl Conversation {
    /// Takes them; `None` without messages.
    ///
    /// # Errors
    /// 400 that names the field.
    pub fn read(fields: &mut Fields) -> Result<Option<Self>, ApiError> {
        let messages = messages::read(fields)?;
        let mut chat = Chat::new(messages.clone().unwrap_or_default());
        chat.tools = messages::tools(fields)?;
        chat.tool_choice = messages::tool_choice(fields)?;
        let parallel = fields.flag("parallel_tool_calls", "Whether there may be several calls at once.")?;
        chat.parallel_tools = parallel.unwrap_or(true);
        read_template(fields, &mut chat)?;
        Ok(messages.map(|_| Self(chat)))
    }
}

/// Takes the fields that the chat template sees.
fn read_template(fields: &mut Fields, chat: &mut Chat) -> Result<(), ApiError> {
    let add = fields.flag("add_generation_prompt", "Whether the assistant's turn is opened.")?;
    chat.continue_final =
        fields.flag("continue_final_message", "Whether the answer goes on with the last message.")?.unwrap_or(false);
    chat.add_generation_prompt = add.unwrap_or(!chat.continue_final);
    let document = json!({"type": "object"});
    chat.documents = fields.list("documents", 0..=1024, document, "For templates that know them.")?.unwrap_or_default();
    chat.template = fields.text("chat_template", "In place of the model's, where the operator allows it.")?;
    let variables = fields.map("chat_template_kwargs", "Variables of the template, where the operator allows them.")?;
    chat.has_own_variables = variables.as_ref().is_some_and(|variables| !variables.is_empty());
    chat.variables = variables.unwrap_or_default();
    let efforts = ["none", "minimal", "low", "medium", "high", "xhigh"].map(|word| (word, word));
    if let Some(effort) = fields.word(
        "reasoning_effort",
        &efforts,
        "How long to think; `none`: not at all, if the template can say so.",
    )? {
        chat.set_effort(effort);
    }
    Ok(())
}

fn read_logprobs(fields: &mut Fields, common: &mut Common) -> Result<(), ApiError> {
    let is_on = fields.flag("logprobs", "Whether log-probabilities are reported.")?.unwrap_or(false);
    let top = fields.integer("top_logprobs", 0..=20_u32, "Alternatives to report for each token.")?;
    if top.is_some_and(|top| top > 0) && !is_on {
        return Err(ApiError::field("top_logprobs", "`top_logprobs` needs `logprobs` to be true"));
    }
    common.params.sampling.logprobs = is_on.then(|| top.unwrap_or(0));
    Ok(())
}

/// Handles `POST /v1/chat/completions`.
///
/// # Errors
/// 400 for a request that cannot be fulfilled, 503 where it cannot be now.
pub async fn complete(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<ChatRequest>,
) -> Result<Response, ApiError> {
    let ChatRequest { common, chat, include_reasoning } = request;
    let model = state.generator.model()?;
    let head =
        Head { id: new_id("chatcmpl"), created: now(), model: state.generator.resolve(common.model.as_deref())? };
    let has_logprobs = common.params.sampling.logprobs.is_some();
    let shape = Shape { head, include_reasoning, has_logprobs, report: common.report };
    let mut job = Job::new(Prompt::Chat(Box::new(chat)));
    (job.params, job.structured) = (common.params, common.structured);
    let answers = ask(&state, &caller, job).await?;
    if common.stream.is_on {
        let encoder = ChatStream::new(shape, answers.answers(), common.stream);
        return Ok(stream::respond(answers, encoder));
    }
    let collected = answers.collect().await?;
    Ok(Json(shape.body(&model.tokenizer, &collected)).into_response())
}

/// Handles `POST /v1/chat/completions/render`.
///
/// # Errors
/// As [`complete`].
pub async fn render(State(state): State<AppState>, Body(request): Body<ChatRequest>) -> Result<Json<Value>, ApiError> {
    let model = state.generator.resolve(request.common.model.as_deref())?;
    let encoded = state.generator.encode(Prompt::Chat(Box::new(request.chat))).await?;
    Ok(Json(common::rendered(&model, &encoded, &request.common.params)))
}

/// What of the request its answer's form depends on.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub head: Head,
    pub include_reasoning: bool,
    pub has_logprobs: bool,
    pub report: Report,
}

impl Shape {
    fn body(&self, tokenizer: &Tokenizer, collected: &Collected) -> Value {
        let choices: Vec<Value> = collected.answers.iter().map(|answer| self.choice(tokenizer, answer)).collect();
        let mut body = self.head.body("chat.completion", choices.into(), common::usage(&collected.usage));
        let prompt_logprobs = collected.answers.first().map(|answer| answer.prompt_logprobs.as_slice());
        if let Some(prompt) = prompt_logprobs.filter(|prompt| !prompt.is_empty()) {
            body["prompt_logprobs"] = self.writer(tokenizer).prompt(prompt);
        }
        if self.report.token_ids {
            body["prompt_token_ids"] = collected.prompts.iter().flat_map(|prompt| &prompt.tokens).copied().collect();
        }
        body
    }

    pub fn writer<'a>(&self, tokenizer: &'a Tokenizer) -> Writer<'a> {
        Writer { tokenizer, as_ids: self.report.tokens_as_ids }
    }

    fn choice(&self, tokenizer: &Tokenizer, answer: &Answer) -> Value {
        let logprobs = if self.has_logprobs { self.writer(tokenizer).chat(&answer.tokens) } else { Value::Null };
        let mut choice = json!({
            "index": answer.choice,
            "message": self.message(answer),
            "logprobs": logprobs,
            "finish_reason": common::finish_reason(answer.finish),
            "stop_reason": common::stop_reason(answer.stop.as_ref()),
        });
        if self.report.token_ids {
            choice["token_ids"] = answer.tokens.iter().map(|info| info.token).collect();
        }
        choice
    }

    fn message(&self, answer: &Answer) -> Value {
        let mut message = Map::new();
        message.insert("role".into(), "assistant".into());
        let has_text = !answer.text.is_empty() || answer.calls.is_empty();
        message.insert("content".into(), if has_text { answer.text.as_str().into() } else { Value::Null });
        message.insert("refusal".into(), Value::Null);
        if self.include_reasoning && !answer.reasoning.is_empty() {
            // The newer and the older name; clients know one of them.
            message.insert("reasoning".into(), answer.reasoning.as_str().into());
            message.insert("reasoning_content".into(), answer.reasoning.as_str().into());
        }
        if !answer.calls.is_empty() {
            let call = |call: &rocmforge_chat::ToolCall| tool_call(call.id.as_deref(), &call.name, &call.arguments);
            message.insert("tool_calls".into(), answer.calls.iter().map(call).collect());
        }
        message.into()
    }
}

/// A call of a tool, as OpenAI writes it.
pub(super) fn tool_call(id: Option<&str>, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}
