//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use rocmforge_launch::CommonArgs;
use rocmforge_server::ServeArgs;

const AFTER_HELP: &str = "\
Examples:
  rocmforge                                          chat with the bundled demo model
  rocmforge -m qwen2.5-7b-q4_k_m.gguf                chat with a model of your own
  echo \"What is GGUF?\" | rocmforge                   a prompt from a pipe
  rocmforge generate --prompt \"Hello\" --json         one answer, for scripts
  rocmforge serve -m model.gguf --port 8080          an API for many clients, and a chat page
  rocmforge inspect model.gguf --tensors             what is in a file
  rocmforge bench -m model.gguf                      tokens a second
  rocmforge doctor                                   why a GPU is not used

Exit codes: 0 success, 1 the run failed, 2 bad usage or bad file, 130 Ctrl-C.";

/// Run large language models from GGUF files.
///
/// Without a command: a chat in a terminal; with piped input, the input is the prompt and the answer goes to stdout.
#[derive(Debug, Parser)]
#[command(name = "rocmforge", version, after_help = AFTER_HELP, disable_help_subcommand = false)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub common: CommonArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer one prompt
    Generate(GenerateArgs),
    /// Chat in the terminal, with history and editing
    Chat(ChatArgs),
    /// Serve many clients over HTTP: OpenAI, Anthropic and Ollama APIs, and a chat page
    Serve(Box<ServeArgs>),
    /// Show what is in a GGUF file: metadata, tensors, memory, the model as a Program
    Inspect(InspectArgs),
    /// Turn text into token ids
    Tokenize(TokenizeArgs),
    /// Write the logits of every position of a token list
    Logits(LogitsArgs),
    /// Measure how surprised a model is by a text (lower is better)
    Perplexity(PerplexityArgs),
    /// Write a model in another quantization
    Quantize(QuantizeArgs),
    /// Measure prompt and generation speed, with random tokens and without sampling
    Bench(BenchArgs),
    /// List the devices that can compute
    Devices(DevicesArgs),
    /// Check what a GPU needs here: libraries, permissions, kernels, a self-test; say what to do where something is missing
    Doctor(DoctorArgs),
    /// Show the text that a chat template makes of messages
    Render(RenderArgs),
}

/// How tokens are chosen.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Randomness: 0 always takes the likeliest token
    #[arg(long, value_name = "T", default_value_t = 0.7)]
    pub temperature: f32,
    /// Keep the K likeliest tokens (0: all)
    #[arg(long, value_name = "K", default_value_t = 40)]
    pub top_k: u32,
    /// Keep the likeliest tokens that make up this probability (1: all)
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    pub top_p: f32,
    /// Keep tokens at least this probable, relative to the likeliest (0: all)
    #[arg(long, value_name = "P", default_value_t = 0.05)]
    pub min_p: f32,
    /// Keep typical tokens that make up this probability (1: off)
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub typical_p: f32,
    /// Keep logits within this many standard deviations of the largest (0: off)
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    pub top_n_sigma: f32,
    /// Divide the logits of tokens seen before by this (1: off)
    #[arg(long, value_name = "X", default_value_t = 1.0, visible_alias = "repeat-penalty")]
    pub repetition_penalty: f32,
    /// Subtract this from the logits of tokens generated before (0: off)
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    pub presence_penalty: f32,
    /// Subtract this for each time a token was generated before (0: off)
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true)]
    pub frequency_penalty: f32,
    /// Chance of leaving out the likeliest tokens (XTC; 0: off)
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub xtc_probability: f32,
    /// Tokens at least this probable may be left out by XTC
    #[arg(long, value_name = "P", default_value_t = 0.1)]
    pub xtc_threshold: f32,
    /// Strength of the penalty on repeated sequences (DRY; 0: off)
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub dry_multiplier: f32,
    /// Growth of the DRY penalty with each repeated token
    #[arg(long, value_name = "X", default_value_t = 1.75)]
    pub dry_base: f32,
    /// Repeated tokens that DRY leaves unpunished
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub dry_allowed_length: usize,
    /// Target surprise of mirostat 2 in bits; replaces the truncating options (0: off)
    #[arg(long, value_name = "TAU", default_value_t = 0.0)]
    pub mirostat_tau: f32,
    /// Learning rate of mirostat 2
    #[arg(long, value_name = "ETA", default_value_t = 0.1)]
    pub mirostat_eta: f32,
    /// Change the logit of a token: ID=BIAS, as in 42=-100 or 42=-inf; may be repeated
    #[arg(long, value_name = "ID=BIAS", value_parser = parse_bias, allow_hyphen_values = true)]
    pub logit_bias: Vec<(u32, f32)>,
    /// Same seed, same answer [default: another one each time]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
}

fn parse_bias(text: &str) -> Result<(u32, f32), String> {
    let (id, bias) = text.split_once('=').ok_or("expected ID=BIAS")?;
    let id = id.trim().parse().map_err(|e| format!("token id `{id}`: {e}"))?;
    let bias = bias.trim().parse().map_err(|e| format!("bias `{bias}`: {e}"))?;
    Ok((id, bias))
}

#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// The prompt [default: what is piped in]
    #[arg(short, long, value_name = "TEXT", conflicts_with = "prompt_file")]
    pub prompt: Option<String>,
    /// A file whose text is the prompt
    #[arg(short = 'f', long, value_name = "FILE")]
    pub prompt_file: Option<PathBuf>,
    /// System message before the prompt
    #[arg(short, long, value_name = "TEXT", conflicts_with = "raw")]
    pub system: Option<String>,
    /// Most tokens to generate [default: until the model ends or the context is full]
    #[arg(short = 'n', long, value_name = "N")]
    pub max_tokens: Option<usize>,
    /// Text that ends the answer and is not part of it; may be repeated
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub stop: Vec<String>,
    /// Continue the prompt as it is, without the chat template
    #[arg(long, visible_alias = "no-template")]
    pub raw: bool,
    /// Go on after the model's end token
    #[arg(long)]
    pub ignore_eos: bool,
    /// Log-probabilities of each token and this many alternatives, in the JSON
    #[arg(long, value_name = "N", requires = "json")]
    pub logprobs: Option<u32>,
    /// Print one JSON object: text, token ids, finish_reason, usage, timings
    #[arg(long)]
    pub json: bool,
    /// No statistics on stderr
    #[arg(short, long)]
    pub quiet: bool,
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

#[derive(Debug, Args)]
pub struct ChatArgs {
    /// System message
    #[arg(short, long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Most tokens of an answer
    #[arg(short = 'n', long, value_name = "N")]
    pub max_tokens: Option<usize>,
    /// Treat each line as raw text, without the chat template
    #[arg(long, visible_alias = "raw")]
    pub no_template: bool,
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// GGUF file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// List every tensor with type, shape and size
    #[arg(long)]
    pub tensors: bool,
    /// Print the model as a Program
    #[arg(long)]
    pub program: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct TokenizeArgs {
    /// The text [default: what is piped in]
    #[arg(long, value_name = "TEXT", conflicts_with = "text_file", allow_hyphen_values = true)]
    pub text: Option<String>,
    /// A file with the text
    #[arg(long, value_name = "FILE")]
    pub text_file: Option<PathBuf>,
    /// Add the tokens that the model expects around a text (bos, eos)
    #[arg(long)]
    pub bos: bool,
    /// Treat the text of special tokens, such as <|im_end|>, as ordinary text
    #[arg(long)]
    pub no_parse_special: bool,
    /// Print {"ids": […], "pieces": […]}
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct LogitsArgs {
    /// JSON file with a list of token ids
    #[arg(long, value_name = "FILE.json")]
    pub tokens: PathBuf,
    /// File to write: little-endian f32 [tokens, vocab]
    #[arg(long, value_name = "FILE.f32")]
    pub output: PathBuf,
    /// Compute with the naive reference interpreter
    #[arg(long)]
    pub reference: bool,
}

#[derive(Debug, Args)]
pub struct PerplexityArgs {
    /// Text file
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
    /// Tokens a window; the second half of each is scored
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub window: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct QuantizeArgs {
    /// GGUF file to read, best in F32, F16 or BF16
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// GGUF file to write
    #[arg(value_name = "OUT")]
    pub output: PathBuf,
    /// Type: a block type such as Q4_0, Q8_0 or Q6_K, or a mix such as Q4_K_M or Q3_K_S
    #[arg(value_name = "TYPE")]
    pub kind: String,
    /// Quantize the embedding and the output matrix like everything else
    #[arg(long)]
    pub pure: bool,
    /// Replace OUT if it exists
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Prompt tokens
    #[arg(short = 'p', long, value_name = "N", default_value_t = 512)]
    pub prompt_tokens: usize,
    /// Tokens generated
    #[arg(short = 'n', long, value_name = "N", default_value_t = 128)]
    pub gen_tokens: usize,
    /// Runs of each, after one to warm up
    #[arg(short, long, value_name = "N", default_value_t = 3)]
    pub repeat: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DevicesArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct RenderArgs {
    /// JSON file: a list of messages
    #[arg(long, value_name = "FILE.json")]
    pub messages: PathBuf,
    /// JSON file: a list of tools
    #[arg(long, value_name = "FILE.json")]
    pub tools: Option<PathBuf>,
    /// Template file [default: the model's own]
    #[arg(long, value_name = "FILE.jinja")]
    pub template: Option<PathBuf>,
    /// Leave out the beginning of the assistant's answer
    #[arg(long)]
    pub no_generation_prompt: bool,
    /// JSON file with the texts of special tokens: {"bos_token": "TEXT", …}
    #[arg(long, value_name = "FILE.json")]
    pub special: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
