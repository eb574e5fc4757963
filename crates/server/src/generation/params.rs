//! How to generate: the fields that all APIs share.

use rocmforge_engine::{EndTokens, ModelInfo, Request};
use rocmforge_sampler::{Dry, Mirostat, PARAMS, SamplingParams, TokenId};
use rocmforge_tokenizer::{EncodeOptions, Tokenizer};
use serde_json::{Map, Value};

use crate::body::Fields;
use crate::error::{ApiError, shown};

/// How to generate. The default is what a request without any such field means.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// Most tokens of an answer; `None`: as many as the context holds.
    pub max_tokens: Option<usize>,
    /// Whether an answer that may be longer than the context has room for just ends there. Otherwise it is refused.
    pub fit_context: bool,
    /// Fewest tokens before an answer may end.
    pub min_tokens: usize,
    /// Texts that end an answer.
    pub stop: Vec<String>,
    /// Tokens that end an answer.
    pub stop_tokens: Vec<TokenId>,
    /// Whether the text that ended an answer is part of it.
    pub include_stop: bool,
    /// Which of the model's own tokens end an answer.
    pub end_tokens: EndTokens,
    /// Whether control tokens appear in the text.
    pub keep_special: bool,
    /// Answers a prompt.
    pub n: u32,
    /// Of so many answers the best `n` are kept.
    pub best_of: Option<u32>,
    /// How many alternatives to report for each token of the prompt.
    pub prompt_logprobs: Option<u32>,
    /// Tokens that may not be generated, as texts.
    pub bad_words: Vec<String>,
    /// Keeps only that many tokens of the prompt's end.
    pub truncate_prompt: Option<usize>,
    /// Smaller comes first.
    pub priority: i32,
    /// Only requests of the same salt share cached prefixes.
    pub cache_salt: Option<String>,
}

impl Default for Params {
    fn default() -> Self {
        Self {
            sampling: SamplingParams::default(),
            max_tokens: None,
            fit_context: false,
            min_tokens: 0,
            stop: Vec::new(),
            stop_tokens: Vec::new(),
            include_stop: false,
            end_tokens: EndTokens::Known,
            keep_special: false,
            n: 1,
            best_of: None,
            prompt_logprobs: None,
            bad_words: Vec::new(),
            truncate_prompt: None,
            priority: 0,
            cache_salt: None,
        }
    }
}

/// Bytes of one stop text.
const MOST_STOP_BYTES: usize = 1024;
/// Stop tokens, and words that may not be generated.
const MOST_LISTED: usize = 1024;
/// Log-probabilities of alternatives for one token.
pub const MOST_LOGPROBS: u32 = 20;

impl Params {
    /// Takes the fields that OpenAI's APIs and their widespread extensions share. `max_tokens`, `n` and `logprobs`
    /// differ between APIs, which take them themselves.
    ///
    /// # Errors
    /// 400 that names the field.
    pub fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let mut params = Self::read_placement(fields)?;
        params.read_sampling(fields)?;
        params.read_tokens(fields)?;
        params.read_ends(fields)?;
        params.prompt_logprobs =
            fields.integer("prompt_logprobs", 0..=MOST_LOGPROBS, "Alternatives to report for each prompt token.")?;
        Ok(params)
    }

    fn read_sampling(&mut self, fields: &mut Fields) -> Result<(), ApiError> {
        let sampling = &mut self.sampling;
        for (name, slot) in [
            ("temperature", &mut sampling.temperature),
            ("top_p", &mut sampling.top_p),
            ("min_p", &mut sampling.min_p),
            ("typical_p", &mut sampling.typical_p),
            ("top_n_sigma", &mut sampling.top_n_sigma),
            ("xtc_probability", &mut sampling.xtc_probability),
            ("xtc_threshold", &mut sampling.xtc_threshold),
            ("dynatemp_range", &mut sampling.dynatemp_range),
            ("dynatemp_exponent", &mut sampling.dynatemp_exponent),
            ("repetition_penalty", &mut sampling.repetition_penalty),
            ("presence_penalty", &mut sampling.presence_penalty),
            ("frequency_penalty", &mut sampling.frequency_penalty),
        ] {
            if let Some(value) = fields.number(name, &doc(name))? {
                *slot = value;
            }
        }
        let top_k =
            fields.integer("top_k", -1..=i64::from(u32::MAX), "Keep the k most probable tokens; 0 or -1: all.")?;
        sampling.top_k = top_k.map_or(0, |k| u32::try_from(k).unwrap_or(0));
        let seed = fields.integer("seed", i64::MIN..=i64::MAX, "The same seed gives the same answer.")?;
        sampling.seed = seed.map(i64::cast_unsigned);
        let last_n = fields.integer("penalty_last_n", 0..=MOST_TOKENS, &doc("penalty_last_n"))?;
        sampling.penalty_last_n = last_n;
        sampling.mirostat = read_mirostat(fields)?;
        sampling.dry = read_dry(fields)?;
        Ok(())
    }

    fn read_tokens(&mut self, fields: &mut Fields) -> Result<(), ApiError> {
        let bias = fields.map("logit_bias", "Added to the logits of tokens, by token id.")?;
        self.sampling.logit_bias = logit_bias(bias.unwrap_or_default())?;
        self.sampling.allowed_tokens =
            fields.tokens("allowed_token_ids", 1..=usize::MAX, "Only these tokens may be chosen.")?;
        self.bad_words =
            fields.texts("bad_words", 0..=MOST_LISTED, "Texts of single tokens to avoid.")?.unwrap_or_default();
        Ok(())
    }

    fn read_ends(&mut self, fields: &mut Fields) -> Result<(), ApiError> {
        self.stop = fields.texts("stop", 1..=4, "Up to four texts that end the answer.")?.unwrap_or_default();
        check_stop(&self.stop)?;
        self.stop_tokens =
            fields.tokens("stop_token_ids", 0..=MOST_LISTED, "Tokens that end the answer.")?.unwrap_or_default();
        let include =
            fields.flag("include_stop_str_in_output", "Whether the text that ended the answer is part of it.")?;
        self.include_stop = include.unwrap_or(false);
        if fields.flag("ignore_eos", "Whether the model's own end is passed over.")? == Some(true) {
            self.end_tokens = EndTokens::Ignored;
        }
        let min = fields.integer("min_tokens", 0..=MOST_TOKENS, "Fewest tokens before the answer may end.")?;
        self.min_tokens = min.unwrap_or(0);
        let skip = fields.flag("skip_special_tokens", "Whether control tokens are left out of the text.")?;
        self.keep_special = skip == Some(false);
        Ok(())
    }

    /// Takes the fields that prompts have whether they are answered or not.
    ///
    /// # Errors
    /// 400 that names the field.
    pub fn read_placement(fields: &mut Fields) -> Result<Self, ApiError> {
        let doc = "Keep that many tokens of the prompt's end.";
        let truncate_prompt = fields.integer("truncate_prompt_tokens", 1..=MOST_TOKENS, doc)?;
        let priority = fields.integer("priority", i32::MIN..=i32::MAX, "Smaller comes first.")?;
        let cache_salt = fields.text("cache_salt", "Only requests of the same salt share cached prefixes.")?;
        Ok(Self { truncate_prompt, priority: priority.unwrap_or(0), cache_salt, ..Self::default() })
    }

    /// Sequences that a prompt takes.
    pub fn sequences(&self) -> u32 {
        self.best_of.unwrap_or(self.n).max(self.n)
    }

    /// Checks what depends on several fields or on the model.
    pub(super) fn check(&self, model: &ModelInfo, most_sequences: u32, prompts: usize) -> Result<(), ApiError> {
        let vocab_size = model.tokenizer.vocab_size();
        self.sampling.validate(vocab_size)?;
        check_stop(&self.stop)?;
        if let Some(best_of) = self.best_of.filter(|best_of| *best_of < self.n) {
            let message = format!("`best_of` is {best_of}, less than `n`, which is {}", self.n);
            return Err(ApiError::field("best_of", message));
        }
        let param = if self.best_of.is_some() { "best_of" } else { "n" };
        let each = self.sequences() as usize;
        if self.n == 0 || each > model.max_sequences {
            let message = format!("`{param}` must be a whole number from 1 to {}, found {each}", model.max_sequences);
            return Err(ApiError::field(param, message));
        }
        let sequences = prompts.saturating_mul(each);
        if sequences == 0 || sequences > most_sequences as usize {
            let message =
                format!("a request may have 1 to {most_sequences} answers over all its prompts, found {sequences}");
            return Err(ApiError::field(if prompts > 1 { "prompt" } else { param }, message));
        }
        if let Some(max) = self.max_tokens.filter(|max| *max < self.min_tokens) {
            let message = format!("`min_tokens` is {}, more than the limit of the answer, {max}", self.min_tokens);
            return Err(ApiError::field("min_tokens", message));
        }
        match self.stop_tokens.iter().find(|token| **token as usize >= vocab_size) {
            Some(token) => {
                let message = format!("`stop_token_ids` names token {token}, but the vocabulary has {vocab_size}");
                Err(ApiError::field("stop_token_ids", message))
            }
            None => Ok(()),
        }
    }

    /// The engine's request for one prompt.
    pub(super) fn request(&self, prompt: Vec<TokenId>, tokenizer: &Tokenizer) -> Result<Request, ApiError> {
        let mut request = Request::new(prompt);
        request.sampling = self.sampling.clone();
        request.sampling.logit_bias.extend(self.bans(tokenizer)?);
        if self.best_of.is_some() && request.sampling.logprobs.is_none() {
            request.sampling.logprobs = Some(0);
        }
        request.max_tokens = self.max_tokens;
        request.min_tokens = self.min_tokens;
        request.stop = self.stop.clone();
        request.stop_tokens = self.stop_tokens.clone();
        request.include_stop = self.include_stop;
        request.end_tokens = self.end_tokens;
        request.keep_special = self.keep_special;
        request.sequences = self.sequences();
        request.prompt_logprobs = self.prompt_logprobs;
        request.priority = self.priority;
        Ok(request)
    }

    /// The words that may not be generated, as tokens: with and without a space before them.
    fn bans(&self, tokenizer: &Tokenizer) -> Result<Vec<(TokenId, f32)>, ApiError> {
        let mut bans: Vec<(TokenId, f32)> = Vec::new();
        for (i, word) in self.bad_words.iter().enumerate() {
            let single = |text: &str| match tokenizer.encode(text, EncodeOptions::default()).as_deref() {
                Ok([token]) => Some(*token),
                _ => None,
            };
            let tokens: Vec<TokenId> =
                single(word).into_iter().chain(single(&format!(" {}", word.trim_start()))).collect();
            if tokens.is_empty() {
                let param = format!("bad_words[{i}]");
                let message = format!(
                    "`{param}`, `{}`, is not one token of this model; only such words can be avoided",
                    shown(word)
                );
                return Err(ApiError::unsupported(param, message));
            }
            for token in tokens {
                let known = |(other, _): &(TokenId, f32)| *other == token;
                if !bans.iter().any(known) && !self.sampling.logit_bias.iter().any(known) {
                    bans.push((token, f32::NEG_INFINITY));
                }
            }
        }
        Ok(bans)
    }
}

/// Above every context; keeps sums of token counts far from overflow.
pub const MOST_TOKENS: usize = i32::MAX as usize;

fn doc(name: &str) -> String {
    let row = PARAMS.iter().find(|row| row.name == name);
    row.map(|row| format!("{}. From {}.", row.meaning, row.allowed())).unwrap_or_default()
}

fn read_mirostat(fields: &mut Fields) -> Result<Option<Mirostat>, ApiError> {
    let version = fields.integer("mirostat", 0..=2, "2 turns Mirostat 2 on; there is no version 1.")?;
    if version == Some(1) {
        return Err(ApiError::unsupported("mirostat", "`mirostat` must be 0 (off) or 2, found 1"));
    }
    let default = Mirostat::default();
    let tau = fields.number("mirostat_tau", &doc("mirostat.tau"))?.unwrap_or(default.tau);
    let eta = fields.number("mirostat_eta", &doc("mirostat.eta"))?.unwrap_or(default.eta);
    Ok((version == Some(2)).then_some(Mirostat { tau, eta }))
}

fn read_dry(fields: &mut Fields) -> Result<Option<Dry>, ApiError> {
    let default = Dry::default();
    let multiplier = fields.number("dry_multiplier", &doc("dry.multiplier"))?;
    let base = fields.number("dry_base", &doc("dry.base"))?.unwrap_or(default.base);
    let allowed = fields.integer("dry_allowed_length", 1..=MOST_TOKENS, &doc("dry.allowed_length"))?;
    let last_n = fields.integer("dry_penalty_last_n", -1..=i64::from(i32::MAX), &doc("dry.last_n"))?;
    Ok(multiplier.map(|multiplier| Dry {
        multiplier,
        base,
        allowed_length: allowed.unwrap_or(default.allowed_length),
        last_n: last_n.and_then(|n| usize::try_from(n).ok()),
        ..default
    }))
}

fn check_stop(stop: &[String]) -> Result<(), ApiError> {
    match stop.iter().find(|text| text.is_empty() || text.len() > MOST_STOP_BYTES) {
        Some(text) => {
            let message = format!("a `stop` text must have 1 to {MOST_STOP_BYTES} bytes, found {}", text.len());
            Err(ApiError::field("stop", message))
        }
        None => Ok(()),
    }
}

fn logit_bias(map: Map<String, Value>) -> Result<Vec<(TokenId, f32)>, ApiError> {
    let entry = |(key, value): (String, Value)| {
        let wrong =
            |what: &str| ApiError::field("logit_bias", format!("`logit_bias` must be {what}, found `{}`", shown(&key)));
        let is_plain = key.bytes().all(|b| b.is_ascii_digit());
        let token = key.parse::<TokenId>().ok().filter(|_| is_plain).ok_or_else(|| wrong("keyed by token ids"))?;
        let bias = value.as_f64().ok_or_else(|| wrong("numbers by token ids"))?;
        Ok((token, bias as f32))
    };
    map.into_iter().map(entry).collect()
}
