//! A Program as text, one op a line.

use std::fmt;

use rocmforge_attention::RopeSpec;

use crate::{HeadTransform, Op, Program, ValueId, WeightId};

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "program {} vocab={} context={} ops={}",
            self.name,
            self.vocab_size,
            self.context_length,
            self.ops.len()
        )?;
        for op in &self.ops {
            writeln!(f, "{}", Line { program: self, op })?;
        }
        write!(f, "return %{}", self.output.0)
    }
}

struct Line<'a> {
    program: &'a Program,
    op: &'a Op,
}

impl Line<'_> {
    fn weight(&self, id: WeightId) -> String {
        let w = self.program.weight(id);
        let stack = if w.experts > 1 { format!("{}, ", w.experts) } else { String::new() };
        let part = if w.rows == w.stored_rows {
            String::new()
        } else {
            format!("[{}..{}]", w.first_row, w.first_row + w.rows)
        };
        if w.rows == 1 && w.experts == 1 && part.is_empty() {
            return format!("{}[{}]", w.tensor, w.cols);
        }
        format!("{}{part}[{stack}{}, {}]", w.tensor, w.rows, w.cols)
    }

    fn bias(&self, bias: Option<WeightId>) -> String {
        bias.map_or(String::new(), |b| format!(" + {}", self.weight(b)))
    }

    fn heads(&self, transform: &HeadTransform) -> String {
        let norm = transform.norm.map(|(weight, eps)| format!("rms eps={eps:e} {}", self.weight(weight)));
        let rope = transform.rope.as_ref().map(RopeSpec::to_string);
        norm.into_iter().chain(rope).collect::<Vec<_>>().join(", ")
    }

    fn details(&self) -> String {
        match self.op {
            Op::Embed { table, scale, .. } => format!("{} scale={scale}", self.weight(*table)),
            Op::Norm { kind, group, eps, weight, bias, .. } => {
                let weight = weight.map_or(String::new(), |w| format!(" {}", self.weight(w)));
                format!("{kind:?} group={group} eps={eps:e}{weight}{}", self.bias(*bias)).to_lowercase()
            }
            Op::AddNorm { kind, eps, weight, bias, .. } => {
                let weight = weight.map_or(String::new(), |w| format!(" {}", self.weight(w)));
                format!("{kind:?} eps={eps:e}{weight}{}", self.bias(*bias)).to_lowercase()
            }
            Op::Linear { weight, bias, .. } | Op::ExpertLinear { weight, bias, .. } => {
                format!("{}{}", self.weight(*weight), self.bias(*bias))
            }
            Op::Linears { parts, .. } => {
                let parts = parts.iter().map(|p| format!("{}{}", self.weight(p.weight), self.bias(p.bias)));
                parts.collect::<Vec<_>>().join(", ")
            }
            Op::Rope { head_dim, spec, .. } => format!("head_dim={head_dim} {spec}"),
            Op::Attention { layer, spec, sinks, .. } => {
                let sinks = sinks.map_or(String::new(), |s| format!(" sinks={}", self.weight(s)));
                format!("layer={layer} {spec}{sinks}")
            }
            Op::RotaryAttention { layer, spec, sinks, q_heads, k_heads, .. } => {
                let sinks = sinks.map_or(String::new(), |s| format!(" sinks={}", self.weight(s)));
                format!("layer={layer} {spec}{sinks} q=({}) k=({})", self.heads(q_heads), self.heads(k_heads))
            }
            Op::Gate { activation, .. } => format!("{activation:?}").to_lowercase(),
            Op::Scale { factor, .. } => format!("{factor}"),
            Op::Softcap { cap, .. } => format!("{cap}"),
            Op::Route { spec, bias, .. } => {
                let how = format!("{:?}", spec.scoring).to_lowercase();
                let normalize = if spec.normalize { " normalized" } else { "" };
                let groups = match spec.groups {
                    1 => String::new(),
                    n => format!(" groups={}/{n}", spec.groups_chosen),
                };
                format!(
                    "{}/{} {how}{normalize} scale={}{groups}{}",
                    spec.chosen,
                    spec.experts,
                    spec.scale,
                    self.bias(*bias)
                )
            }
            Op::Add { .. } | Op::ExpertSum { .. } | Op::SelectRows { .. } => String::new(),
        }
    }
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |id: &ValueId| format!("%{}", id.0);
        let typed = |id: ValueId| {
            let value = self.program.value(id);
            format!("%{}[{}, {}]", id.0, value.rows, value.cols)
        };
        let outputs: Vec<_> = self.op.outputs().into_iter().map(typed).collect();
        let inputs: Vec<_> = self.op.inputs().iter().map(name).collect();
        write!(f, "  {} = {}", outputs.join(", "), self.op.name())?;
        for part in [inputs.join(", "), self.details()] {
            if !part.is_empty() {
                write!(f, " {part}")?;
            }
        }
        Ok(())
    }
}
