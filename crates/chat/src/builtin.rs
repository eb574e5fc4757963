//! Templates for files that bring none, by family: one table.
//!
//! The formats are those the models were trained with; the templates are written
//! here. Each takes content that is text, a list of parts, or nothing.

use std::sync::LazyLock;

use crate::template::ChatTemplate;

/// One family of models that share a prompt format.
struct Family {
    name: &'static str,
    /// How to tell it by the vocabulary. `None`: only by name.
    tell: Option<Tell>,
    /// The template, after [`PRELUDE`].
    source: &'static str,
}

/// A vocabulary belongs to a family if it has all `tokens` and none of `not`, and its
/// architecture starts with one of `archs` (or that list is empty).
struct Tell {
    archs: &'static [&'static str],
    tokens: &'static [&'static str],
    not: &'static [&'static str],
}

/// Missing special tokens print as nothing. `text(message)`: its content as text. `sys` and `turns`: a leading system message
/// apart from the other messages, for formats that have no turn for it.
const PRELUDE: &str = "\
{%- macro text(message) -%}
  {%- if message.content is string -%}{{ message.content }}
  {%- elif message.content -%}
    {%- for part in message.content -%}
      {%- if part is string -%}{{ part }}{%- elif part.text is string -%}{{ part.text }}{%- endif -%}
    {%- endfor -%}
  {%- endif -%}
{%- endmacro -%}
{%- set bos_token, eos_token = bos_token | default(''), eos_token | default('') -%}
{%- set sys, turns = '', messages -%}
{%- if messages and messages[0].role == 'system' -%}
  {%- set sys, turns = text(messages[0]) | trim, messages[1:] -%}
{%- endif -%}
";

const fn tell(
    archs: &'static [&'static str],
    tokens: &'static [&'static str],
    not: &'static [&'static str],
) -> Option<Tell> {
    Some(Tell { archs, tokens, not })
}

/// Rows are tried in order, the more particular first.
const FAMILIES: &[Family] = &[
    Family {
        name: "phi4",
        tell: tell(&[], &["<|im_start|>", "<|im_sep|>", "<|im_end|>"], &[]),
        source: "\
{%- for m in messages -%}
{{ '<|im_start|>' + m.role + '<|im_sep|>' + text(m) + '<|im_end|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant<|im_sep|>' }}{%- endif -%}",
    },
    Family {
        name: "chatml",
        tell: tell(&[], &["<|im_start|>", "<|im_end|>"], &[]),
        source: "\
{%- if tools -%}
  {{- '<|im_start|>system\n' + (sys + '\n\n' if sys else '') + '# Tools\n\nYou may call one or more functions to assist with the user query.\n\nThe functions are:\n<tools>' -}}
  {%- for tool in tools -%}{{ '\n' + tool | tojson }}{%- endfor -%}
  {{- '\n</tools>\n\nTo call one, answer with a JSON object within <tool_call></tool_call> tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n' -}}
{%- elif sys -%}{{ '<|im_start|>system\n' + sys + '<|im_end|>\n' }}
{%- endif -%}
{%- for m in turns -%}
  {%- if m.role == 'tool' -%}
    {{- '<|im_start|>user' if loop.first or loop.previtem.role != 'tool' -}}
    {{- '\n<tool_response>\n' + text(m) + '\n</tool_response>' -}}
    {{- '<|im_end|>\n' if loop.last or loop.nextitem.role != 'tool' -}}
  {%- else -%}
    {{- '<|im_start|>' + m.role + '\n' + text(m) -}}
    {%- for call in m.tool_calls or [] -%}
      {{- '\n' if text(m) or not loop.first -}}
      {{- '<tool_call>\n{\"name\": ' + call.function.name | tojson + ', \"arguments\": ' -}}
      {{- call.function.arguments if call.function.arguments is string else call.function.arguments | tojson -}}
      {{- '}\n</tool_call>' -}}
    {%- endfor -%}
    {{- '<|im_end|>\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}",
    },
    Family {
        name: "llama4",
        tell: tell(&[], &["<|header_start|>", "<|header_end|>", "<|eot|>"], &[]),
        source: "\
{{- bos_token -}}
{%- for m in messages -%}
{{ '<|header_start|>' + m.role + '<|header_end|>\n\n' + text(m) | trim + '<|eot|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|header_start|>assistant<|header_end|>\n\n' }}{%- endif -%}",
    },
    Family {
        name: "llama3",
        tell: tell(&[], &["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], &[]),
        source: "\
{{- bos_token -}}
{%- if tools or sys -%}
  {{- '<|start_header_id|>system<|end_header_id|>\n\n' + sys -}}
  {%- if tools -%}
    {{- ('\n\n' if sys else '') + 'To call a function, respond with JSON of the form {\"name\": function name, \"parameters\": dictionary of argument name and its value}. Do not use variables. The functions are:' -}}
    {%- for tool in tools -%}{{ '\n\n' + tool | tojson(indent=4) }}{%- endfor -%}
  {%- endif -%}
  {{- '<|eot_id|>' -}}
{%- endif -%}
{%- for m in turns -%}
  {{- '<|start_header_id|>' + ('ipython' if m.role == 'tool' else m.role) + '<|end_header_id|>\n\n' + text(m) | trim -}}
  {%- for call in m.tool_calls or [] -%}
    {{- '{\"name\": ' + call.function.name | tojson + ', \"parameters\": ' -}}
    {{- call.function.arguments if call.function.arguments is string else call.function.arguments | tojson -}}
    {{- '}' -}}
  {%- endfor -%}
  {{- '<|eot_id|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif -%}",
    },
    Family {
        name: "granite",
        tell: tell(&[], &["<|start_of_role|>", "<|end_of_role|>"], &[]),
        source: "\
{%- for m in messages -%}
{{ '<|start_of_role|>' + m.role + '<|end_of_role|>' + text(m) + '<|end_of_text|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|start_of_role|>assistant<|end_of_role|>' }}{%- endif -%}",
    },
    Family {
        name: "gemma",
        tell: tell(&[], &["<start_of_turn>", "<end_of_turn>"], &[]),
        source: "\
{{- bos_token -}}
{%- for m in turns -%}
{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + (sys + '\n\n' if sys and loop.first else '') + text(m) | trim + '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<start_of_turn>model\n' }}{%- endif -%}",
    },
    Family {
        name: "command-r",
        tell: tell(&[], &["<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>"], &[]),
        source: "\
{{- bos_token -}}
{%- set marks = {'system': '<|SYSTEM_TOKEN|>', 'user': '<|USER_TOKEN|>', 'assistant': '<|CHATBOT_TOKEN|>'} -%}
{%- for m in messages -%}
{{ '<|START_OF_TURN_TOKEN|>' + marks.get(m.role, '<|SYSTEM_TOKEN|>') + text(m) | trim + '<|END_OF_TURN_TOKEN|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{%- endif -%}",
    },
    Family {
        name: "deepseek-v3",
        tell: tell(&[], &["<｜User｜>", "<｜Assistant｜>"], &[]),
        source: "\
{{- bos_token + sys -}}
{%- for m in turns -%}
{{ '<｜Assistant｜>' + text(m) + '<｜end▁of▁sentence｜>' if m.role == 'assistant' else '<｜User｜>' + text(m) }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<｜Assistant｜>' }}{%- endif -%}",
    },
    Family {
        name: "deepseek-v2",
        tell: tell(&["deepseek"], &["<｜begin▁of▁sentence｜>"], &["<｜User｜>"]),
        source: "\
{{- bos_token + (sys + '\n\n' if sys else '') -}}
{%- for m in turns -%}
{{ 'Assistant: ' + text(m) + eos_token if m.role == 'assistant' else 'User: ' + text(m) + '\n\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'Assistant:' }}{%- endif -%}",
    },
    Family {
        name: "glm4",
        tell: tell(&[], &["[gMASK]", "<sop>", "<|assistant|>"], &[]),
        source: "\
{{- '[gMASK]<sop>' -}}
{%- for m in messages -%}
{{ '<|' + ('observation' if m.role == 'tool' else m.role) + '|>\n' + text(m) }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>' }}{%- endif -%}",
    },
    Family {
        name: "phi3",
        tell: tell(&[], &["<|user|>", "<|assistant|>", "<|end|>"], &[]),
        source: "\
{%- for m in messages -%}
{{ '<|' + m.role + '|>\n' + text(m) + '<|end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>\n' }}{%- endif -%}",
    },
    Family {
        name: "exaone3",
        tell: tell(&[], &["[|endofturn|]"], &[]),
        source: "\
{%- for m in messages -%}
{{ '[|' + m.role + '|]' + text(m) + ('\n' if m.role == 'user' else '[|endofturn|]\n') }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '[|assistant|]' }}{%- endif -%}",
    },
    Family {
        name: "falcon3",
        tell: tell(&["falcon", "llama"], &["<|user|>", "<|assistant|>", ">>CONTEXT<<"], &[]),
        source: "\
{%- for m in messages -%}
{{ '<|' + m.role + '|>\n' + text(m) + (eos_token if m.role == 'assistant' and not (loop.last and not add_generation_prompt) else '') + '\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>\n' }}{%- endif -%}",
    },
    Family {
        name: "falcon",
        tell: tell(&["falcon"], &[">>CONTEXT<<"], &["<|user|>"]),
        source: "\
{{- sys + '\n\n' if sys -}}
{%- for m in turns -%}
{{ ('Assistant: ' if m.role == 'assistant' else 'User: ') + text(m) | trim + '\n\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'Assistant:' }}{%- endif -%}",
    },
    Family {
        name: "openchat",
        tell: tell(&[], &["<|end_of_turn|>"], &[]),
        source: "\
{{- bos_token + (sys + '<|end_of_turn|>' if sys else '') -}}
{%- for m in turns -%}
{{ 'GPT4 Correct ' + m.role | title + ': ' + text(m) + '<|end_of_turn|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'GPT4 Correct Assistant:' }}{%- endif -%}",
    },
    Family {
        name: "zephyr",
        tell: tell(&["stablelm"], &["<|user|>", "<|assistant|>"], &[]),
        source: "\
{%- for m in messages -%}
{{ '<|' + m.role + '|>\n' + text(m) + eos_token + '\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|assistant|>\n' }}{%- endif -%}",
    },
    // Tekken is the byte-level vocabulary of Mistral; it writes no space after a mark.
    Family {
        name: "mistral-v7-tekken",
        tell: tell(&[], &["[SYSTEM_PROMPT]", "[INST]", "Ġthe"], &[]),
        source: "\
{{- bos_token + ('[SYSTEM_PROMPT]' + sys + '[/SYSTEM_PROMPT]' if sys else '') -}}
{%- for m in turns -%}
{{ text(m) + eos_token if m.role == 'assistant' else '[INST]' + text(m) + '[/INST]' }}
{%- endfor -%}",
    },
    Family {
        name: "mistral-v7",
        tell: tell(&[], &["[SYSTEM_PROMPT]", "[INST]"], &[]),
        source: "\
{{- bos_token + ('[SYSTEM_PROMPT] ' + sys + '[/SYSTEM_PROMPT]' if sys else '') -}}
{%- for m in turns -%}
{{ ' ' + text(m) + eos_token if m.role == 'assistant' else '[INST] ' + text(m) + '[/INST]' }}
{%- endfor -%}",
    },
    Family {
        name: "mistral-tekken",
        tell: tell(&[], &["[INST]", "[/INST]", "Ġthe"], &[]),
        source: "\
{{- bos_token -}}
{%- for m in turns -%}
{{ text(m) + eos_token if m.role == 'assistant' else '[INST]' + (sys + '\n\n' if sys and loop.first else '') + text(m) + '[/INST]' }}
{%- endfor -%}",
    },
    Family {
        name: "mistral-v3",
        tell: tell(&[], &["[INST]", "[/INST]"], &[]),
        source: "\
{{- bos_token -}}
{%- for m in turns -%}
{{ ' ' + text(m) + eos_token if m.role == 'assistant' else '[INST] ' + (sys + '\n\n' if sys and loop.first else '') + text(m) + '[/INST]' }}
{%- endfor -%}",
    },
    Family {
        name: "mistral-v1",
        tell: None,
        source: "\
{{- bos_token -}}
{%- for m in turns -%}
{{ ' ' + text(m) + eos_token if m.role == 'assistant' else ' [INST] ' + (sys + '\n\n' if sys and loop.first else '') + text(m) + ' [/INST]' }}
{%- endfor -%}",
    },
    Family {
        name: "llama2",
        tell: None,
        source: "\
{%- for m in turns -%}
{{ ' ' + text(m) | trim + ' ' + eos_token if m.role == 'assistant' else bos_token + '[INST] ' + ('<<SYS>>\n' + sys + '\n<</SYS>>\n\n' if sys and loop.first else '') + text(m) | trim + ' [/INST]' }}
{%- endfor -%}",
    },
    Family {
        name: "vicuna",
        tell: None,
        source: "\
{{- bos_token + (sys + ' ' if sys else '') -}}
{%- for m in turns -%}
{{ 'ASSISTANT: ' + text(m) | trim + eos_token if m.role == 'assistant' else 'USER: ' + text(m) | trim + ' ' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ 'ASSISTANT:' }}{%- endif -%}",
    },
    Family {
        name: "alpaca",
        tell: None,
        source: "\
{{- sys + '\n\n' if sys -}}
{%- for m in turns -%}
{{ ('### Response:\n' if m.role == 'assistant' else '### Instruction:\n') + text(m) | trim + (eos_token if m.role == 'assistant' else '') + '\n\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '### Response:\n' }}{%- endif -%}",
    },
];

static PARSED: LazyLock<Vec<Option<ChatTemplate>>> = LazyLock::new(|| {
    let parse = |family: &Family| ChatTemplate::parse(&(PRELUDE.to_owned() + family.source)).ok();
    FAMILIES.iter().map(parse).collect()
});

/// Names of all families that [`ChatTemplate::builtin`] knows.
pub fn families() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|family| family.name)
}

impl ChatTemplate {
    /// The template of a family by its name, see [`families`].
    pub fn builtin(family: &str) -> Option<Self> {
        let row = FAMILIES.iter().position(|f| f.name == family)?;
        PARSED.get(row)?.clone()
    }

    /// The family whose format a vocabulary was made for, for a file without a template.
    ///
    /// `architecture` is the file's `general.architecture`, `has_token` says whether the
    /// vocabulary has exactly this token. `None` where the vocabulary has no marks of a
    /// conversation: such a model was likely not trained to chat, and guessing a
    /// format would make it worse than plain completion.
    pub fn detect(architecture: &str, has_token: &dyn Fn(&str) -> bool) -> Option<&'static str> {
        let matches = |tell: &Tell| {
            let arch = |a: &&str| architecture.starts_with(*a);
            (tell.archs.is_empty() || tell.archs.iter().any(arch))
                && tell.tokens.iter().all(|token| has_token(token))
                && !tell.not.iter().any(|token| has_token(token))
        };
        let told = |family: &&Family| family.tell.as_ref().is_some_and(matches);
        FAMILIES.iter().find(told).map(|family| family.name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Message, RenderInput, SpecialTokens};

    #[test]
    fn every_row_parses_has_its_own_name_and_takes_every_content() {
        let special = SpecialTokens::new().with("bos_token", "<BOS>").with("eos_token", "<EOS>");
        let messages = [
            Message::system("be brief"),
            Message::user("one"),
            Message::assistant("two").with("content", serde_json::Value::Null),
            Message::user("").with("content", serde_json::json!([{"type": "text", "text": "th"}, "ree"])),
        ];
        for name in families() {
            let template = ChatTemplate::builtin(name).expect(name);
            let text = template.render(&RenderInput::new(&messages, &special));
            let text = text.expect(name);
            for part in ["be brief", "one", "three"] {
                assert_eq!(text.matches(part).count(), 1, "{name}: {part} in {text}");
            }
            assert!(template.supports_system(), "{name}");
        }
        let names: BTreeSet<_> = families().collect();
        assert_eq!(names.len(), FAMILIES.len());
        assert!(ChatTemplate::builtin("nonesuch").is_none());
    }

    #[test]
    fn a_row_is_found_by_its_own_tokens() {
        for family in FAMILIES {
            let Some(tell) = &family.tell else { continue };
            let arch = tell.archs.first().copied().unwrap_or("llama");
            let found = ChatTemplate::detect(arch, &|token| tell.tokens.contains(&token));
            assert_eq!(found, Some(family.name));
        }
        assert_eq!(ChatTemplate::detect("llama", &|_| false), None);
    }

    fn check(family: &str, expected: &str) {
        let special = SpecialTokens::new().with("bos_token", "<s>").with("eos_token", "</s>");
        let messages = [Message::system("S"), Message::user("A"), Message::assistant("B"), Message::user("C")];
        let template = ChatTemplate::builtin(family).expect(family);
        let text = template.render(&RenderInput::new(&messages, &special));
        assert_eq!(text.as_deref(), Ok(expected), "{family}");
    }

    #[test]
    fn formats() {
        check(
            "chatml",
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nA<|im_end|>\n<|im_start|>assistant\nB<|im_end|>\n<|im_start|>user\nC<|im_end|>\n<|im_start|>assistant\n",
        );
        check(
            "phi4",
            "<|im_start|>system<|im_sep|>S<|im_end|><|im_start|>user<|im_sep|>A<|im_end|><|im_start|>assistant<|im_sep|>B<|im_end|><|im_start|>user<|im_sep|>C<|im_end|><|im_start|>assistant<|im_sep|>",
        );
        check(
            "llama3",
            "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nA<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nB<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nC<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        );
        check(
            "llama4",
            "<s><|header_start|>system<|header_end|>\n\nS<|eot|><|header_start|>user<|header_end|>\n\nA<|eot|><|header_start|>assistant<|header_end|>\n\nB<|eot|><|header_start|>user<|header_end|>\n\nC<|eot|><|header_start|>assistant<|header_end|>\n\n",
        );
        check(
            "granite",
            "<|start_of_role|>system<|end_of_role|>S<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>A<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>B<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>C<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>",
        );
        check(
            "gemma",
            "<s><start_of_turn>user\nS\n\nA<end_of_turn>\n<start_of_turn>model\nB<end_of_turn>\n<start_of_turn>user\nC<end_of_turn>\n<start_of_turn>model\n",
        );
        check(
            "command-r",
            "<s><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>S<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>A<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>B<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>C<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
        );
        check("deepseek-v3", "<s>S<｜User｜>A<｜Assistant｜>B<｜end▁of▁sentence｜><｜User｜>C<｜Assistant｜>");
        check("deepseek-v2", "<s>S\n\nUser: A\n\nAssistant: B</s>User: C\n\nAssistant:");
        check("glm4", "[gMASK]<sop><|system|>\nS<|user|>\nA<|assistant|>\nB<|user|>\nC<|assistant|>");
        check(
            "phi3",
            "<|system|>\nS<|end|>\n<|user|>\nA<|end|>\n<|assistant|>\nB<|end|>\n<|user|>\nC<|end|>\n<|assistant|>\n",
        );
        check("exaone3", "[|system|]S[|endofturn|]\n[|user|]A\n[|assistant|]B[|endofturn|]\n[|user|]C\n[|assistant|]");
        check("falcon3", "<|system|>\nS\n<|user|>\nA\n<|assistant|>\nB</s>\n<|user|>\nC\n<|assistant|>\n");
        check("falcon", "S\n\nUser: A\n\nAssistant: B\n\nUser: C\n\nAssistant:");
        check(
            "openchat",
            "<s>S<|end_of_turn|>GPT4 Correct User: A<|end_of_turn|>GPT4 Correct Assistant: B<|end_of_turn|>GPT4 Correct User: C<|end_of_turn|>GPT4 Correct Assistant:",
        );
        check("zephyr", "<|system|>\nS</s>\n<|user|>\nA</s>\n<|assistant|>\nB</s>\n<|user|>\nC</s>\n<|assistant|>\n");
        check("mistral-v7-tekken", "<s>[SYSTEM_PROMPT]S[/SYSTEM_PROMPT][INST]A[/INST]B</s>[INST]C[/INST]");
        check("mistral-v7", "<s>[SYSTEM_PROMPT] S[/SYSTEM_PROMPT][INST] A[/INST] B</s>[INST] C[/INST]");
        check("mistral-tekken", "<s>[INST]S\n\nA[/INST]B</s>[INST]C[/INST]");
        check("mistral-v3", "<s>[INST] S\n\nA[/INST] B</s>[INST] C[/INST]");
        check("mistral-v1", "<s> [INST] S\n\nA [/INST] B</s> [INST] C [/INST]");
        check("llama2", "<s>[INST] <<SYS>>\nS\n<</SYS>>\n\nA [/INST] B </s><s>[INST] C [/INST]");
        check("vicuna", "<s>S USER: A ASSISTANT: B</s>USER: C ASSISTANT:");
        check("alpaca", "S\n\n### Instruction:\nA\n\n### Response:\nB</s>\n\n### Instruction:\nC\n\n### Response:\n");
    }

    #[test]
    fn tools_and_their_results() {
        let call = serde_json::json!([{"function": {"name": "f", "arguments": {"x": 1}}}]);
        let messages = [
            Message::user("A"),
            Message::assistant("").with("tool_calls", call),
            Message::tool("1", "R1"),
            Message::tool("2", "R2"),
        ];
        let tools = [serde_json::json!({"type": "function", "function": {"name": "f"}})];
        let special = SpecialTokens::new();
        let mut input = RenderInput::new(&messages, &special);
        input.tools = Some(&tools);
        let text = |name| ChatTemplate::builtin(name).expect(name).render(&input);
        let chatml = text("chatml").expect("chatml");
        assert!(chatml.contains("{\"type\": \"function\", \"function\": {\"name\": \"f\"}}"));
        assert!(chatml.ends_with(
            "<|im_start|>assistant\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\nR1\n</tool_response>\n<tool_response>\nR2\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
        ));
        let llama3 = text("llama3").expect("llama3");
        assert!(llama3.contains("{\"name\": \"f\", \"parameters\": {\"x\": 1}}<|eot_id|>"));
        for (name, has) in [("chatml", true), ("llama3", true), ("gemma", false)] {
            let template = ChatTemplate::builtin(name).expect(name);
            assert_eq!(template.supports_tools(), has, "{name}");
        }
    }
}
