//! `generate`: one prompt, one answer.

use rocmforge_chat::Message;
use rocmforge_engine::{CancelToken, Completion, EndTokens, Engine, FinishReason, Request};
use rocmforge_tokenizer::{EncodeOptions, TokenId};
use serde_json::{Value, json};

use crate::args::{Cli, GenerateArgs};
use crate::error::CliError;
use crate::output;

pub fn run(cli: &Cli, args: &GenerateArgs) -> Result<(), CliError> {
    let prompt =
        super::text_argument(args.prompt.as_deref(), args.prompt_file.as_deref(), "--prompt or --prompt-file")?;
    let quiet = args.quiet || args.json;
    let mut engine = cli.common.load_engine(cli.common.engine_options(), quiet)?;
    let request = Request {
        max_tokens: args.max_tokens,
        stop: args.stop.clone(),
        end_tokens: end_tokens(args),
        sampling: rocmforge_sampler::SamplingParams {
            logprobs: args.logprobs,
            ..super::sampling_params(&args.sampling)
        },
        ..Request::new(prompt_tokens(&engine, args, &prompt)?)
    };
    if args.json {
        let completion = engine.generate(request, |_| {})?;
        failed(&completion)?;
        return output::print_json(&as_json(&engine, &completion));
    }
    let completion = stream(&mut engine, request)?;
    if !args.quiet {
        eprintln!("{}", statistics(&completion));
    }
    failed(&completion)
}

fn prompt_tokens(engine: &Engine, args: &GenerateArgs, prompt: &str) -> Result<Vec<TokenId>, CliError> {
    if prompt.is_empty() {
        return Err(rocmforge_engine::EngineError::EmptyPrompt.into());
    }
    if args.raw {
        return Ok(engine.tokenizer().encode(prompt, EncodeOptions { add_special: true, parse_special: true })?);
    }
    let mut messages: Vec<Message> = args.system.iter().map(|text| Message::system(text.as_str())).collect();
    // An editor ends a file, and a shell a line, with a line end that is no part of the question.
    messages.push(Message::user(prompt.trim_end_matches(['\r', '\n'])));
    Ok(engine.chat().encode(engine.tokenizer(), &messages, None)?)
}

fn end_tokens(args: &GenerateArgs) -> EndTokens {
    match (args.ignore_eos, args.raw) {
        (true, _) => EndTokens::Ignored,
        (false, true) => EndTokens::Named,
        (false, false) => EndTokens::Known,
    }
}

/// Writes the text as it comes, then exactly one newline.
fn stream(engine: &mut Engine, mut request: Request) -> Result<Completion, CliError> {
    let cancel = CancelToken::new();
    request.cancel = cancel.clone();
    let mut ends_in_newline = false;
    let mut failure = None;
    let completion = engine.generate(request, |event| {
        let text = event.text();
        if failure.is_none() && !text.is_empty() {
            ends_in_newline = text.ends_with('\n');
            if let Err(error) = output::print(text) {
                failure = Some(error);
                cancel.cancel();
            }
        }
    })?;
    match failure {
        Some(error) => return Err(error),
        None if !ends_in_newline => output::print("\n")?,
        None => {}
    }
    Ok(completion)
}

/// Like `run` for a prompt that was piped in, with default settings.
pub fn run_piped(cli: &Cli, prompt: String) -> Result<(), CliError> {
    use clap::Parser;
    /// The defaults of `generate`, without repeating them here.
    #[derive(Parser)]
    struct Defaults {
        #[command(flatten)]
        args: GenerateArgs,
    }
    let mut args = Defaults::parse_from(["rocmforge"]).args;
    args.prompt = Some(prompt);
    run(cli, &args)
}

/// One line of statistics.
pub fn statistics(completion: &Completion) -> String {
    let Completion { usage, timings, finish_reason, .. } = completion;
    let cached = match usage.cached_tokens {
        0 => String::new(),
        n => format!(", {n} of them cached"),
    };
    format!(
        "[prompt {} tokens{cached}, {:.1} tokens/s; answer {} tokens, {:.1} tokens/s; {}]",
        usage.prompt_tokens,
        timings.prompt_tokens_per_second(usage),
        usage.completion_tokens,
        timings.generation_tokens_per_second(usage),
        finish_reason.name(),
    )
}

/// An answer that ended in an error is a failed run.
pub fn failed(completion: &Completion) -> Result<(), CliError> {
    match &completion.finish_reason {
        FinishReason::Error(reason) => Err(CliError::Failed(format!("the answer broke off: {reason}"))),
        _ => Ok(()),
    }
}

fn as_json(engine: &Engine, completion: &Completion) -> Value {
    let Completion { text, tokens, logprobs, finish_reason, usage, timings } = completion;
    let mut value = json!({
        "model": engine.file().path().display().to_string(),
        "device": engine.device().name,
        "text": text,
        "token_ids": tokens,
        "finish_reason": finish_reason.name(),
        "usage": {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
            "cached_tokens": usage.cached_tokens,
        },
        "timings": {
            "prefill_ms": timings.prefill.as_secs_f64() * 1e3,
            "decode_ms": timings.decode.as_secs_f64() * 1e3,
            "prompt_tokens_per_second": timings.prompt_tokens_per_second(usage),
            "generation_tokens_per_second": timings.generation_tokens_per_second(usage),
        },
    });
    if !logprobs.is_empty() {
        let entry = |(token, (logprob, top)): (&TokenId, &(f32, Vec<_>))| {
            let top: Vec<Value> = top
                .iter()
                .map(|t: &rocmforge_sampler::TokenLogprob| json!({"token_id": t.token, "logprob": t.logprob}))
                .collect();
            json!({"token_id": token, "logprob": logprob, "top": top})
        };
        value["logprobs"] = tokens.iter().zip(logprobs).map(entry).collect();
    }
    value
}
