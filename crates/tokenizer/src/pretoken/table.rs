//! Which pattern cuts the text of which model: one row for each value of `tokenizer.ggml.pre`.
//!
//! The patterns are those of the models' own `tokenizer.json`. `\s+(?!\S)|\s+` at the end of a pattern is understood
//! by the splitter; nothing else looks around, so that all of them run as automata in linear time.

/// How one step cuts the pieces that the steps before it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Each match is a piece, and so is each stretch between two matches.
    Split(&'static str),
    /// As `Split`; white space that the pattern leaves is cut into runs of 512, 256, 128, 64, 32, 16, 8, 4, 2 or 1,
    /// each leaving the last space to the word behind it.
    SplitSpaceRuns(&'static str),
    /// Runs of the class are cut into threes, counted from the right. With `alone`, only runs that no letter follows.
    Threes { class: &'static str, alone: bool },
}

/// One family of pre-tokenizers.
#[derive(Debug)]
pub(crate) struct PreSpec {
    /// Values of `tokenizer.ggml.pre`.
    pub names: &'static [&'static str],
    /// Steps, applied in order.
    pub steps: &'static [Rule],
    /// A piece that is a token as a whole is that token, whatever the merges say.
    pub ignore_merges: bool,
    /// Whether a beginning-of-text token is added when the file does not say.
    pub add_bos: bool,
    /// A piece of line ends alone that is a token as a whole is that token.
    pub lines_are_words: bool,
    /// What the merges work on.
    pub alphabet: Alphabet,
}

/// What the merges work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alphabet {
    /// Bytes, written in GPT-2's byte alphabet.
    Bytes,
    /// Characters, with spaces written as U+2581 and byte tokens for characters that have none.
    Marked,
}

use Rule::{Split, SplitSpaceRuns, Threes};

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const JAIS2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const UFAKZEKA: &str = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const MINICPM5: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SEED_CODER: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const BAILINGMOE: &str =
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const EXAONE_MOE: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+";
const O200K: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const YOUTU: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const KIMI_K2: &str = r"\p{Han}+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const DEEPSEEK_V3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
const SPARK: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+|[\r\n]|\s+(?!\S)|\s+"##;
const CJK_KANA: &str = r"[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+";
const CJK_HANGUL: &str = r"[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]+";
const ASIAN: &str = r"[\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{8C48}-\x{FAFF}\x{3040}-\x{309F}\x{30A0}-\x{30FF}\x{FF65}-\x{FF9F}\x{2F00}-\x{2FDF}\x{E40}-\x{E7F}\x{E80}-\x{EFF}\x{1780}-\x{17FF}\x{1000}-\x{109F}\x{AA60}-\x{AA7F}\x{A9E0}-\x{A9FF}\x{AC00}-\x{D7AF}\x{1100}-\x{11FF}]+";
const LATIN_GREEK_CYRILLIC: &str = r"\s?[A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF}\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}\x{1E900}-\x{1E943}]+";
const BLOOM: &str = r" ?[^(\s|.,!?\x{2026}\x{3002}\x{FF0C}\x{3001}\x{964}\x{6D4}\x{60C})]+";
const LINES: &str = r"[^\n]+|\n+";
const DIGIT: &str = r"\p{N}";
const DIGITS_1_3: &str = r"\p{N}{1,3}";

/// A row that works on bytes, honours merges and adds no beginning-of-text token.
const fn row(names: &'static [&'static str], steps: &'static [Rule]) -> PreSpec {
    PreSpec { names, steps, ignore_merges: false, add_bos: false, lines_are_words: false, alphabet: Alphabet::Bytes }
}

/// The table. `default` (and the empty name) is the fallback for files made before the key existed.
pub(crate) const PRE_TOKENIZERS: &[PreSpec] = &[
    row(&["default", ""], &[Split(r"[\p{P}$+<=>^~|]+"), Split(GPT2), Split(r"\p{N}+"), Split("[0-9][0-9][0-9]")]),
    row(
        &[
            "gpt-2",
            "phi-2",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "exaone4",
            "gigachat",
            "a.x-4.0",
            "mellum",
            "modern-bert",
            "jina-es",
            "jina-de",
            "jina-v1-en",
            "jina-v2-es",
            "jina-v2-de",
            "jina-v2-code",
            "roberta-bpe",
        ],
        &[Split(GPT2)],
    ),
    PreSpec {
        ignore_merges: true,
        add_bos: true,
        ..row(
            &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"],
            &[Split(LLAMA3)],
        )
    },
    row(&["dbrx", "smaug-bpe", "chatglm-bpe"], &[Split(LLAMA3)]),
    PreSpec { ignore_merges: true, ..row(&["glm4", "glm5"], &[Split(LLAMA3)]) },
    row(&["jais-2"], &[SplitSpaceRuns(JAIS2)]),
    row(
        &["qwen2", "deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"],
        &[Split(QWEN2)],
    ),
    row(&["qwen35"], &[Split(QWEN35)]),
    row(&["ufakzeka"], &[Split(UFAKZEKA)]),
    row(&["laguna"], &[Split(LINES), Split(QWEN2)]),
    PreSpec { ignore_merges: true, ..row(&["minicpm5"], &[Split(DIGITS_1_3), Split(MINICPM5)]) },
    row(&["seed-coder"], &[Split(SEED_CODER)]),
    row(&["bailingmoe", "bailingmoe2", "llada-moe"], &[Split(BAILINGMOE)]),
    row(&["exaone-moe"], &[Split(EXAONE_MOE)]),
    row(
        &["starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b", "mellum2"],
        &[Split(DIGIT), Split(GPT2)],
    ),
    row(&["falcon"], &[Split(r"[\p{P}$+<=>^~|`]+"), Split(GPT2), Split("[0-9][0-9][0-9]")]),
    row(&["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], &[Split(O200K)]),
    PreSpec { ignore_merges: true, ..row(&["granite-embed-multi-97m"], &[Split(O200K)]) },
    PreSpec { ignore_merges: true, add_bos: true, ..row(&["tekken"], &[Split(TEKKEN)]) },
    PreSpec {
        ignore_merges: true,
        ..row(
            &["youtu"],
            &[
                Split(
                    r"[\x{AC00}-\x{D7A3}\x{3131}-\x{318E}]+|[\x{FF01}\x{2026}\x{201C}\x{201D}\x{2018}\x{2019}\x{2014}\x{FF1A}\x{FF1B}\x{FF0C}\x{3001}-\x{303F}\x{FE30}-\x{FE4F}]+|[\x{3105}-\x{312F}]+|[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+",
                ),
                Split(YOUTU),
            ],
        )
    },
    row(&["tiny_aya", "cohere2moe"], &[Threes { class: r"\d", alone: true }, Split(O200K)]),
    row(&["kimi-k2"], &[Split(KIMI_K2)]),
    row(
        &["deepseek-llm"],
        &[
            Split(r"[\r\n]"),
            Split(LATIN_GREEK_CYRILLIC),
            Split(r"\s?[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]+"),
            Split(r"\s+$"),
            Split(CJK_HANGUL),
            Split(r"\p{N}+"),
        ],
    ),
    row(
        &["deepseek-coder"],
        &[Split(r"[\r\n]"), Split(r"\s?\p{L}+"), Split(r"\s?\p{P}+"), Split(CJK_HANGUL), Split(DIGIT)],
    ),
    row(
        &["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"],
        &[Split(DIGITS_1_3), Split(CJK_KANA), Split(DEEPSEEK_V3)],
    ),
    row(&["spark2_5"], &[Split(DIGITS_1_3), Split(CJK_KANA), Split(SPARK), Split(DIGIT)]),
    row(&["afmoe"], &[Threes { class: DIGIT, alone: false }, Split(ASIAN), Split(DEEPSEEK_V3)]),
    row(&["superbpe"], &[Split(r"\p{N}+"), Threes { class: r"\d", alone: false }]),
    row(&["poro-chat", "bloom", "gpt3-finnish"], &[Split(BLOOM)]),
    row(&["viking"], &[Split(BLOOM), Split(DIGIT)]),
    PreSpec {
        add_bos: true,
        ..row(
            &["chameleon"],
            &[
                Split("<sentinel:[0-9]+>"),
                Split("IMGIMG[A-I]{1,4}Z"),
                Split("[\t\n]|    |  "),
                Split(DIGIT),
                Split(r"[\p{P}!-/:-@\[-`{-~]"),
                Split(GPT2),
            ],
        )
    },
    PreSpec {
        add_bos: true,
        lines_are_words: true,
        alphabet: Alphabet::Marked,
        ..row(&["gemma4", "granite-embed-multi-311m"], &[Split(LINES)])
    },
    PreSpec { alphabet: Alphabet::Marked, ..row(&["sarvam-moe"], &[Split(LINES)]) },
];

/// The row of a name.
pub(crate) fn find(name: &str) -> Option<&'static PreSpec> {
    PRE_TOKENIZERS.iter().find(|spec| spec.names.contains(&name))
}

/// Every name, for messages.
pub(crate) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> =
        PRE_TOKENIZERS.iter().flat_map(|spec| spec.names).copied().filter(|n| !n.is_empty()).collect();
    names.sort_unstable();
    names
}
