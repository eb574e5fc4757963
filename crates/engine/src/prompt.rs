//! From a conversation to the tokens of a prompt.

use std::ops::Range;

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
        Ok(Self { template, broken, special: special_tokens(tokenizer) })
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

    /// The prompt as tokens. A template writes its special tokens as text, so these are recognised, but not in what
    /// users and tools wrote. The file's rule for a first token is kept unless the template has written it already.
    ///
    /// # Errors
    /// As [`render`](Self::render), and text that cannot be tokenized.
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        tools: Option<&[Value]>,
    ) -> Result<Vec<TokenId>, EngineError> {
        let text = self.render(messages, tools)?;
        let options = EncodeOptions { add_special: false, parse_special: true };
        let mut tokens = tokenizer.encode_with_literals(&text, options, &foreign_parts(&text, messages))?;
        if let Some(bos) = tokenizer.bos().filter(|_| tokenizer.add_bos())
            && tokens.first() != Some(&bos)
        {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }
}

/// Where in the prompt the text of users and tools stands, so that nothing they write becomes a control token. A
/// template may trim a text; one that rewrites it is not found and not protected.
fn foreign_parts(prompt: &str, messages: &[Message]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let mut from = 0;
    for message in messages {
        let Some(text) = message.text() else { continue };
        let text = text.trim();
        let Some(at) = prompt[from..].find(text).filter(|_| !text.is_empty()) else { continue };
        let range = from + at..from + at + text.len();
        from = range.end;
        if matches!(message.role(), Some("user" | "tool")) {
            parts.push(range);
        }
    }
    parts
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

    #[test]
    fn foreign_parts_are_found_in_order() {
        let messages = [
            Message::system("Be <|x|>."),
            Message::user(" hi <|x|> "),
            Message::assistant("<|x|>"),
            Message::user("hi"),
        ];
        let prompt = "S:Be <|x|>.U:hi <|x|>A:<|x|>U:hi";
        let parts: Vec<&str> = foreign_parts(prompt, &messages).into_iter().map(|r| &prompt[r]).collect();
        assert_eq!(parts, ["hi <|x|>", "hi"]);
    }
}
