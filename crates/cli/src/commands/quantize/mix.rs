//! Which tensor gets which type: pure types, and the mixes that people know by the names _S, _M and _L.
//!
//! A mix spends more bits where errors hurt most: on the output matrix, on values, and on the second feed-forward
//! matrix of the first, the last and every third layer. The choices are the ones that llama.cpp's tool makes, so that a
//! name means the same file here and there.

use rocmforge_quant::GgmlType;

use GgmlType::{BF16, F16, F32, IQ4_NL, IQ4_XS, MXFP4, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0};

/// A kind of file.
pub struct Mix {
    /// Name on the command line and in file names.
    pub name: &'static str,
    /// `general.file_type`.
    pub file_type: u32,
    /// Type of everything that no rule changes.
    pub base: GgmlType,
    /// Exceptions for the tensors of layers.
    rules: &'static [Rule],
}

/// `part` gets `ty` in the layers that `when` chooses. The first rule that fits counts.
struct Rule {
    part: Part,
    when: When,
    ty: GgmlType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Value,
    FusedQkv,
    AttentionOutput,
    Down,
}

#[derive(Debug, Clone, Copy)]
enum When {
    Always,
    /// Layers below this number.
    Below(usize),
    /// Layers below this share of all.
    FirstPart(usize),
    /// The first and last eighth and every third layer between.
    Chosen,
    /// Models in which at least four query heads share a value head.
    Grouped,
}

const fn rule(part: Part, when: When, ty: GgmlType) -> Rule {
    Rule { part, when, ty }
}

const fn pure(name: &'static str, file_type: u32, base: GgmlType) -> Mix {
    Mix { name, file_type, base, rules: &[] }
}

use Part::{AttentionOutput, Down, FusedQkv, Value};
use When::{Always, Below, Chosen, FirstPart, Grouped};

/// Every kind of file that can be written.
pub const MIXES: &[Mix] = &[
    pure("F32", 0, F32),
    pure("F16", 1, F16),
    pure("BF16", 32, BF16),
    pure("Q4_0", 2, Q4_0),
    pure("Q4_1", 3, Q4_1),
    pure("Q5_0", 8, Q5_0),
    pure("Q5_1", 9, Q5_1),
    pure("Q8_0", 7, Q8_0),
    Mix {
        name: "Q2_K",
        file_type: 10,
        base: Q2_K,
        rules: &[
            rule(Value, Grouped, Q4_K),
            rule(Value, Always, Q3_K),
            rule(Down, Always, Q3_K),
            rule(AttentionOutput, Always, Q3_K),
        ],
    },
    pure("Q3_K_S", 11, Q3_K),
    Mix {
        name: "Q3_K_M",
        file_type: 12,
        base: Q3_K,
        rules: &[
            rule(Value, Below(2), Q5_K),
            rule(Value, Always, Q4_K),
            rule(Down, FirstPart(16), Q5_K),
            rule(Down, Chosen, Q4_K),
            rule(AttentionOutput, Always, Q4_K),
            rule(FusedQkv, Always, Q4_K),
        ],
    },
    Mix {
        name: "Q3_K_L",
        file_type: 13,
        base: Q3_K,
        rules: &[
            rule(Value, Always, Q5_K),
            rule(Down, Always, Q5_K),
            rule(AttentionOutput, Always, Q5_K),
            rule(FusedQkv, Always, Q4_K),
        ],
    },
    Mix {
        name: "Q4_K_S",
        file_type: 14,
        base: Q4_K,
        rules: &[rule(Value, Below(4), Q5_K), rule(Down, FirstPart(8), Q5_K)],
    },
    Mix {
        name: "Q4_K_M",
        file_type: 15,
        base: Q4_K,
        rules: &[rule(Value, Chosen, Q6_K), rule(Down, Chosen, Q6_K), rule(FusedQkv, Always, Q5_K)],
    },
    pure("Q5_K_S", 16, Q5_K),
    Mix {
        name: "Q5_K_M",
        file_type: 17,
        base: Q5_K,
        rules: &[rule(Value, Chosen, Q6_K), rule(Down, Chosen, Q6_K), rule(FusedQkv, Always, Q6_K)],
    },
    pure("Q6_K", 18, Q6_K),
    Mix {
        name: "IQ4_NL",
        file_type: 25,
        base: IQ4_NL,
        rules: &[rule(Value, Grouped, Q5_K), rule(Down, FirstPart(8), Q5_K)],
    },
    Mix {
        name: "IQ4_XS",
        file_type: 30,
        base: IQ4_XS,
        rules: &[rule(Value, Grouped, Q5_K), rule(Down, FirstPart(8), Q5_K)],
    },
    pure("MXFP4", 38, MXFP4),
];

/// Other names of the same kinds.
const ALIASES: &[(&str, &str)] = &[("Q3_K", "Q3_K_M"), ("Q4_K", "Q4_K_M"), ("Q5_K", "Q5_K_M")];

/// What the rules look at besides a tensor's name.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Layers of the model.
    pub layers: usize,
    /// Query heads that share a value head.
    pub heads_per_kv: usize,
    /// Whether the embedding is the output matrix too.
    pub tied: bool,
}

impl Mix {
    /// The kind of that name, in any case.
    pub fn named(name: &str) -> Option<&'static Mix> {
        let upper = name.to_ascii_uppercase();
        let name = ALIASES.iter().find(|(alias, _)| *alias == upper).map_or(upper.as_str(), |(_, name)| name);
        MIXES.iter().find(|m| m.name == name)
    }

    /// The type for a tensor of `dims` (fastest first), or `None` to keep it as it is: vectors, routers, norms.
    /// `is_pure` leaves the exceptions out.
    pub fn type_for(&self, tensor: &str, dims: &[u64], shape: Shape, is_pure: bool) -> Option<GgmlType> {
        let matrix = dims.len() >= 2 && tensor.ends_with(".weight");
        if !matrix || tensor.contains("norm") || tensor.contains("ffn_gate_inp") || tensor.contains("rope") {
            return None;
        }
        let wanted = if is_pure || !self.base.is_quantized() { self.base } else { self.mixed(tensor, shape) };
        Some(fitting(wanted, dims[0]))
    }

    fn mixed(&self, tensor: &str, shape: Shape) -> GgmlType {
        let is_output = tensor == "output.weight" || (shape.tied && tensor == "token_embd.weight");
        if is_output {
            return if matches!(self.base, Q8_0 | MXFP4) { Q8_0 } else { Q6_K };
        }
        let Some((layer, part)) = part_of(tensor) else { return self.base };
        let rule = self.rules.iter().find(|r| r.part == part && r.when.chooses(layer, shape));
        rule.map_or(self.base, |r| r.ty)
    }
}

impl When {
    fn chooses(self, layer: usize, shape: Shape) -> bool {
        let n = shape.layers;
        match self {
            Always => true,
            Below(end) => layer < end,
            FirstPart(parts) => layer < n / parts,
            Chosen => layer < n / 8 || layer >= 7 * n / 8 || (layer - n / 8) % 3 == 2,
            Grouped => shape.heads_per_kv >= 4,
        }
    }
}

/// Layer and role of a tensor such as `blk.3.ffn_down.weight`.
fn part_of(tensor: &str) -> Option<(usize, Part)> {
    let (layer, rest) = tensor.strip_prefix("blk.")?.split_once('.')?;
    let part = match rest.strip_suffix(".weight")? {
        "attn_v" => Value,
        "attn_qkv" => FusedQkv,
        "attn_output" => AttentionOutput,
        name if name.starts_with("ffn_down") => Down,
        _ => return None,
    };
    Some((layer.parse().ok()?, part))
}

/// The type itself if rows of `cols` are whole blocks, else the nearest larger one of smaller blocks.
fn fitting(ty: GgmlType, cols: u64) -> GgmlType {
    let fits = |ty: GgmlType| cols.is_multiple_of(ty.block_elems() as u64);
    let fallback = match ty {
        Q2_K | Q3_K | IQ4_XS => IQ4_NL,
        Q4_K => Q5_0,
        Q5_K => Q5_1,
        Q6_K => Q8_0,
        other => other,
    };
    [ty, fallback].into_iter().find(|&t| fits(t)).unwrap_or(F16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { layers: 16, heads_per_kv: 4, tied: false };

    #[test]
    fn q4_k_m_spends_bits_where_they_count() {
        let mix = Mix::named("q4_k_m").unwrap();
        let check = |tensor: &str, expected| {
            assert_eq!(mix.type_for(tensor, &[2048, 2048], SHAPE, false), expected, "{tensor}")
        };
        check("output.weight", Some(Q6_K));
        check("token_embd.weight", Some(Q4_K));
        check("blk.0.ffn_down.weight", Some(Q6_K));
        check("blk.2.ffn_down.weight", Some(Q4_K));
        check("blk.4.attn_v.weight", Some(Q6_K));
        check("blk.15.attn_v.weight", Some(Q6_K));
        check("blk.0.attn_q.weight", Some(Q4_K));
        check("blk.0.ffn_gate_inp.weight", None);
        check("blk.0.attn_q_norm.weight", None);
        check("blk.0.attn_q.bias", None);
        let tied = Shape { tied: true, ..SHAPE };
        assert_eq!(mix.type_for("token_embd.weight", &[2048, 9], tied, false), Some(Q6_K));
        assert_eq!(mix.type_for("blk.0.ffn_down.weight", &[2048, 9], SHAPE, true), Some(Q4_K), "pure");
    }

    #[test]
    fn rows_that_are_no_whole_blocks_get_a_smaller_block() {
        let mix = Mix::named("Q4_K_M").unwrap();
        assert_eq!(mix.type_for("blk.9.attn_q.weight", &[896, 896], SHAPE, false), Some(Q5_0));
        assert_eq!(mix.type_for("blk.9.attn_q.weight", &[40, 896], SHAPE, false), Some(F16));
    }

    #[test]
    fn names_and_numbers_are_unique() {
        for (i, a) in MIXES.iter().enumerate() {
            for b in &MIXES[i + 1..] {
                assert!(a.name != b.name && a.file_type != b.file_type, "{} and {}", a.name, b.name);
            }
        }
        assert_eq!(Mix::named("q4_k").unwrap().name, "Q4_K_M");
        assert!(Mix::named("Q9_X").is_none());
    }
}
