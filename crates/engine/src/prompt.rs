//! From a conversation to the tokens of a prompt.

use std::ops::Range;

use aho_corasick::AhoCorasick;
use rocmforge_chat::{ChatError, ChatTemplate, Message, RenderInput, SpecialTokens};
use rocmforge_gguf_loader::Metadata;
use rocmforge_tokenizer::{EncodeOptions, TokenId, Tokenizer};
use serde_json::Value;

use crate::EngineError;

/// The chat template of a model: its own, or the one of its family.
#[derive(Debug)]
pub struct ChatFormat {
    template: Option<ChatTemplate>,
    /// Why the file's own template cannot be used. Completion of plain text still works.
    broken: Option<ChatError>,
    special: SpecialTokens,
    /// Finds texts of control tokens.
    control: Option<AhoCorasick>,
}

impl ChatFormat {
    /// Takes the template from a file's metadata, or a built-in one when its family is known.
    ///
    /// # Errors
    /// Metadata of the wrong type.
    pub fn of(metadata: &Metadata, tokenizer: &Tokenizer) -> Result<Self, EngineError> {
        let invalid = |source| EngineError::Gguf { path: "metadata".into(), source };
        let own = metadata.get_str("tokenizer.chat_template").map_err(invalid)?;
        let architecture = metadata.get_str("general.architecture").map_err(invalid)?.unwrap_or_default();
        let (template, broken) = match own.map(ChatTemplate::parse) {
            Some(Ok(template)) => (Some(template), None),
            Some(Err(error)) => (None, Some(error)),
            None => {
                let has_token = |text: &str| tokenizer.token_to_id(text).is_some();
                (ChatTemplate::detect(architecture, &has_token).and_then(ChatTemplate::builtin), None)
            }
        };
        Ok(Self { template, broken, special: special_tokens(tokenizer), control: control_matcher(tokenizer) })
    }

    /// Uses another template.
    ///
    /// # Errors
    /// A template that does not parse.
    pub fn set_template(&mut self, source: &str) -> Result<(), EngineError> {
        self.template = Some(ChatTemplate::parse(source)?);
        self.broken = None;
        Ok(())
    }

    /// The template, or why there is none.
    ///
    /// # Errors
    /// No template, or one that cannot be parsed.
    pub fn usable_template(&self) -> Result<&ChatTemplate, EngineError> {
        if let Some(error) = &self.broken {
            return Err(EngineError::BrokenChatTemplate(error.to_string()));
        }
        self.template.as_ref().ok_or(EngineError::NoChatTemplate)
    }

    /// The texts of the special tokens that templates may write.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }

    /// The prompt as text, ready for the assistant's answer.
    ///
    /// # Errors
    /// No template, one that cannot be parsed, or one that refuses the messages.
    pub fn render(&self, messages: &[Message], tools: Option<&[Value]>) -> Result<String, EngineError> {
        let input = RenderInput { tools, add_generation_prompt: true, ..RenderInput::new(messages, &self.special) };
        Ok(self.usable_template()?.render(&input)?)
    }

    /// The prompt as tokens, ready for the assistant's answer; see [`prompt`](Self::prompt).
    ///
    /// # Errors
    /// As [`render`](Self::render), and text that cannot be tokenized.
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        tools: Option<&[Value]>,
    ) -> Result<Vec<TokenId>, EngineError> {
        let input = RenderInput { tools, add_generation_prompt: true, ..RenderInput::new(messages, &self.special) };
        Ok(self.prompt(tokenizer, self.usable_template()?, &input, false)?.tokens)
    }

    /// The prompt that `template` makes of `input`. A template writes its special tokens as text, so these are
    /// recognised, but not in what messages, tools and documents say. The file's rule for a first token is kept unless
    /// the template has written it already.
    ///
    /// With `continue_final` the prompt ends with the last message's text, so that the answer goes on with it.
    ///
    /// # Errors
    /// A template that refuses the messages, text that cannot be tokenized, and a last message whose text the template
    /// does not write, where it should be continued.
    pub fn prompt(
        &self,
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
        input: &RenderInput,
        continue_final: bool,
    ) -> Result<ChatPrompt, EngineError> {
        let guard = |values: &[Value]| values.iter().map(|value| self.guarded(value)).collect::<Vec<_>>();
        let messages: Vec<Message> = input.messages.iter().map(|message| self.guarded_message(message)).collect();
        let (tools, documents) = (input.tools.map(guard), input.documents.map(guard));
        let input =
            RenderInput { messages: &messages, tools: tools.as_deref(), documents: documents.as_deref(), ..*input };
        let mut text = template.render(&input)?;
        if continue_final {
            text.truncate(end_of_last(&text, &messages)?);
        }
        let (text, literals) = unguarded(&text);
        let options = EncodeOptions { add_special: false, parse_special: true };
        let mut tokens = tokenizer.encode_with_literals(&text, options, &literals)?;
        if let Some(bos) = tokenizer.bos().filter(|_| tokenizer.add_bos())
            && tokens.first() != Some(&bos)
        {
            tokens.insert(0, bos);
        }
        Ok(ChatPrompt { text, tokens })
    }

    fn guarded_message(&self, message: &Message) -> Message {
        let fields = message.fields().iter();
        let guard = |(name, value): (&String, &Value)| match name.as_str() {
            "role" => (name.clone(), value.clone()),
            _ => (name.clone(), self.guarded(value)),
        };
        Message::from(fields.map(guard).collect::<serde_json::Map<_, _>>())
    }

    /// The value with a mark within each text of a control token, so that a template carries it to where the text stands
    /// in the prompt.
    fn guarded(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.guarded_text(text)),
            Value::Array(list) => Value::Array(list.iter().map(|value| self.guarded(value)).collect()),
            Value::Object(map) => {
                Value::Object(map.iter().map(|(key, value)| (key.clone(), self.guarded(value))).collect())
            }
            other => other.clone(),
        }
    }

    fn guarded_text(&self, text: &str) -> String {
        let mut at: Vec<usize> = text.match_indices(MARK).map(|(start, _)| start).collect();
        if let Some(control) = &self.control {
            // Behind the first character, as another token may begin with the second.
            let first = |start: usize| start + text[start..].chars().next().map_or(0, char::len_utf8);
            at.extend(control.find_overlapping_iter(text).map(|found| first(found.start())));
        }
        at.sort_unstable();
        at.dedup();
        let mut out = String::with_capacity(text.len() + at.len() * MARK.len_utf8());
        let mut from = 0;
        for start in at {
            out.push_str(&text[from..start]);
            out.push(MARK);
            from = start;
        }
        out + &text[from..]
    }
}

/// A conversation as a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatPrompt {
    /// The text.
    pub text: String,
    /// The tokens.
    pub tokens: Vec<TokenId>,
}

/// Stands behind the first character of a control token's text that is no control token; twice, it is itself. Unicode
/// says that this character is never part of a text that is passed on.
const MARK: char = '\u{fdd0}';

/// Takes the marks out, and tells where text stands that must stay text.
fn unguarded(text: &str) -> (String, Vec<Range<usize>>) {
    let (mut out, mut literals) = (String::with_capacity(text.len()), Vec::new());
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        out.push_str(&rest[..at]);
        rest = &rest[at + MARK.len_utf8()..];
        if let Some(behind) = rest.strip_prefix(MARK) {
            out.push(MARK);
            rest = behind;
        } else if let Some(last) = out.chars().next_back() {
            // One character that belongs to no control token is enough to break its match.
            literals.push(out.len() - last.len_utf8()..out.len());
        }
    }
    out.push_str(rest);
    (out, literals)
}

/// Where the text of the last message ends in the prompt.
fn end_of_last(prompt: &str, messages: &[Message]) -> Result<usize, EngineError> {
    let text = messages.last().and_then(Message::text).unwrap_or_default();
    let text = text.trim();
    let at = prompt.rfind(text).filter(|_| !text.is_empty());
    at.map(|at| at + text.len()).ok_or_else(|| EngineError::BadOption {
        option: "continue_final_message",
        found: "a conversation whose last text is not in the prompt".into(),
        expected: "used with a last message that the chat template writes as it is".into(),
    })
}

/// Finds the texts of control tokens.
fn control_matcher(tokenizer: &Tokenizer) -> Option<AhoCorasick> {
    let ids = 0..TokenId::try_from(tokenizer.vocab_size()).unwrap_or(TokenId::MAX);
    let texts = ids.filter(|&id| tokenizer.is_special(id)).map(|id| tokenizer.token_bytes(id));
    let texts: Vec<&[u8]> = texts.filter(|text| !text.is_empty() && std::str::from_utf8(text).is_ok()).collect();
    // A matcher of texts of a vocabulary is far below the size at which it could not be built.
    AhoCorasick::new(texts).ok()
}

fn special_tokens(tokenizer: &Tokenizer) -> SpecialTokens {
    let mut special = SpecialTokens::new();
    for (name, id) in [
        ("bos_token", tokenizer.bos()),
        ("eos_token", tokenizer.eos()),
        ("unk_token", tokenizer.unk()),
        ("pad_token", tokenizer.pad()),
    ] {
        if let Some(text) = id.map(|id| tokenizer.decode(&[id], false)) {
            special.set(name, text);
        }
    }
    special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format_with(control: &[&str]) -> ChatFormat {
        let control = AhoCorasick::new(control).ok();
        ChatFormat { template: None, broken: None, special: SpecialTokens::new(), control }
    }

    #[test]
    fn control_tokens_in_a_text_are_marked_and_found_again() {
        let format = format_with(&["<|x|>", "ab", "bc", "é>"]);
        let check = |text: &str, expected: &[&str]| {
            let (back, literals) = unguarded(&format.guarded_text(text));
            assert_eq!(back, text);
            let found: Vec<&str> = literals.into_iter().map(|range| &back[range]).collect();
            assert_eq!(found, expected, "{text}");
        };
        check("nothing here", &[]);
        check("hi <|x|>", &["<"]);
        check("abc é>", &["a", "b", "é"]);
        check("a mark \u{fdd0} and two \u{fdd0}\u{fdd0}", &[]);
    }

    #[test]
    fn a_last_message_is_continued_where_its_text_ends() {
        let messages = [Message::user("ok"), Message::assistant(" ok so ")];
        assert_eq!(end_of_last("U:ok A:ok so<end>", &messages).expect("found"), "U:ok A:ok so".len());
        assert!(end_of_last("U:ok A:", &messages).is_err());
    }
}
