//! Rewrites of a Program that serve every architecture. A backend asks for them by name before it loads.

use crate::{HeadTransform, LinearPart, NormKind, Op, Program, Rows, ValueId};

/// Merges runs of [`Op::Linear`] that read the same value into one [`Op::Linears`]: Q, K and V, or gate and up, so
/// that a backend prepares the input once and synchronises once.
pub fn share_inputs(program: &mut Program) {
    let mut merged: Vec<Op> = Vec::with_capacity(program.ops.len());
    for op in program.ops.drain(..) {
        let Op::Linear { x, weight, bias, out } = op else {
            merged.push(op);
            continue;
        };
        let part = LinearPart { weight, bias, out };
        match merged.last_mut() {
            Some(Op::Linears { x: same, parts }) if *same == x => parts.push(part),
            _ => merged.push(Op::Linears { x, parts: vec![part] }),
        }
    }
    program.ops = merged.into_iter().map(unwrap_single).collect();
}

fn unwrap_single(op: Op) -> Op {
    match op {
        Op::Linears { x, parts } if parts.len() == 1 => {
            let LinearPart { weight, bias, out } = parts[0].clone();
            Op::Linear { x, weight, bias, out }
        }
        other => other,
    }
}

/// Moves the choice of wanted rows up to where rows were last mixed: what follows the last attention is computed for
/// S rows instead of T. Logits do not change.
pub fn select_rows_early(program: &mut Program) {
    let narrow = wanted_only(program);
    let mut selected: Vec<Option<ValueId>> = vec![None; program.values.len()];
    let mut ops = Vec::with_capacity(program.ops.len());
    for mut op in std::mem::take(&mut program.ops) {
        let is_narrow = op.outputs().iter().all(|v| narrow[v.0 as usize]);
        if let Op::SelectRows { x, out } = op {
            if narrow[x.0 as usize] {
                // Its input has the wanted rows already, so the op disappears.
                selected[out.0 as usize] = Some(x);
                continue;
            }
        } else if is_narrow && op.is_row_wise() {
            for input in op.inputs().into_iter().filter(|v| !narrow[v.0 as usize]) {
                if selected[input.0 as usize].is_none() && matches!(program.value(input).rows, Rows::Tokens(_)) {
                    let out = ValueId(program.values.len() as u32);
                    let mut value = program.value(input).clone();
                    value.rows = Rows::Wanted(1);
                    program.values.push(value);
                    ops.push(Op::SelectRows { x: input, out });
                    selected[input.0 as usize] = Some(out);
                }
            }
            op.map_values(|v| selected.get(v.0 as usize).copied().flatten().unwrap_or(v));
            for out in op.outputs() {
                let value = &mut program.values[out.0 as usize];
                if let Rows::Tokens(k) = value.rows {
                    value.rows = Rows::Wanted(k);
                }
            }
            ops.push(op);
            continue;
        }
        op.map_values(|v| if narrow[v.0 as usize] { selected[v.0 as usize].unwrap_or(v) } else { v });
        ops.push(op);
    }
    for kept in [&mut program.output, &mut program.hidden] {
        *kept = selected[kept.0 as usize].unwrap_or(*kept);
    }
    program.ops = ops;
}

/// Which values are needed for wanted rows alone: written by a row-wise op, and read only by [`Op::SelectRows`] or by
/// ops whose outputs are themselves needed for wanted rows alone.
fn wanted_only(program: &Program) -> Vec<bool> {
    let mut narrow = vec![true; program.values.len()];
    let is_wanted = |v: ValueId| !matches!(program.value(v).rows, Rows::Tokens(_));
    for op in program.ops.iter().rev() {
        let outputs = op.outputs();
        let narrows = outputs.iter().all(|&v| narrow[v.0 as usize] || is_wanted(v)) && op.is_row_wise();
        for &out in &outputs {
            // An expert's rows are k a token: they can be narrowed with their op, but never selected themselves.
            narrow[out.0 as usize] = narrows;
        }
        let inputs_narrow = narrows || matches!(op, Op::SelectRows { .. });
        if !inputs_narrow {
            for input in op.inputs() {
                narrow[input.0 as usize] = false;
            }
        }
    }
    narrow
}

/// Merges each [`Op::Add`] with the [`Op::Norm`] of whole rows that follows it, so that a backend reads the residual
/// once.
pub fn fuse_residual_norms(program: &mut Program) {
    let mut fused: Vec<Op> = Vec::with_capacity(program.ops.len());
    for op in std::mem::take(&mut program.ops) {
        match (fused.last(), op) {
            (Some(&Op::Add { a, b, out: sum }), Op::Norm { kind, x, group, eps, weight, bias, out })
                if x == sum && group == program.value(x).cols =>
            {
                fused.pop();
                fused.push(Op::AddNorm { a, b, sum, kind, eps, weight, bias, out });
            }
            (_, op) => fused.push(op),
        }
    }
    program.ops = fused;
}

/// Merges the head norms and rotations of queries and keys into their attention, where nothing else reads them.
pub fn fuse_rotary_attention(program: &mut Program) {
    let mut uses = vec![0usize; program.values.len()];
    let mut producer = vec![None; program.values.len()];
    for (at, op) in program.ops.iter().enumerate() {
        op.inputs().iter().for_each(|v| uses[v.0 as usize] += 1);
        op.outputs().iter().for_each(|v| producer[v.0 as usize] = Some(at));
    }
    let mut absorbed = vec![false; program.ops.len()];
    for at in 0..program.ops.len() {
        let Op::Attention { q, k, v, layer, spec, sinks, out } = program.ops[at].clone() else { continue };
        let mut absorb = |mut value: ValueId| {
            let mut transform = HeadTransform::default();
            // What the op transforms it may overwrite, so nothing else may read it.
            let is_ours = |value: ValueId| uses[value.0 as usize] == 1;
            while let Some(from) = producer[value.0 as usize].filter(|_| is_ours(value)) {
                match &program.ops[from] {
                    Op::Rope { x, head_dim, spec: rope, .. }
                        if transform == HeadTransform::default() && *head_dim == spec.head_dim && is_ours(*x) =>
                    {
                        transform.rope = Some(rope.clone());
                        value = *x;
                    }
                    Op::Norm { kind: NormKind::Rms, x, group, eps, weight: Some(weight), bias: None, .. }
                        if transform.norm.is_none()
                            && is_ours(*x)
                            && *group == spec.head_dim
                            && (program.weight(*weight).rows, program.weight(*weight).cols) == (1, spec.head_dim) =>
                    {
                        transform.norm = Some((*weight, *eps));
                        value = *x;
                    }
                    _ => break,
                }
                absorbed[from] = true;
            }
            (value, transform)
        };
        let ((q, q_heads), (k, k_heads)) = (absorb(q), absorb(k));
        if [&q_heads, &k_heads].into_iter().any(|h| *h != HeadTransform::default()) {
            program.ops[at] = Op::RotaryAttention { q, k, v, q_heads, k_heads, layer, spec, sinks, out };
        }
    }
    let mut at = 0;
    program.ops.retain(|_| {
        at += 1;
        !absorbed[at - 1]
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, ProgramBuilder, RouteSpec, Scoring};
    use rocmforge_attention::{AttentionSpec, RopePairing, RopeScaling, RopeSpec};

    fn one_layer(experts: bool) -> Program {
        let mut b = ProgramBuilder::new();
        let table = b.matrix("embd", 10, 8);
        let norm = b.vector("norm", 8);
        let x = b.embed(table, 1.0);
        let w = b.matrix("wq", 8, 8);
        let (wk, wv) = (b.matrix("wk", 8, 8), b.matrix("wv", 8, 8));
        let h = b.rms_norm(x, norm, 1e-5).unwrap();
        let (q, k) = (b.linear(h, w, None).unwrap(), b.linear(h, wk, None).unwrap());
        let v = b.linear(h, wv, None).unwrap();
        let a = b.attention(q, k, v, AttentionSpec::causal(2, 2, 4), None).unwrap();
        let x = b.add(x, a).unwrap();
        let h = b.rms_norm(x, norm, 1e-5).unwrap();
        let h = if experts {
            let (router, up) = (b.matrix("router", 4, 8), b.stacked("up", 4, 8, 8));
            let scores = b.linear(h, router, None).unwrap();
            let spec = RouteSpec {
                experts: 4,
                chosen: 2,
                scoring: Scoring::Softmax,
                normalize: true,
                scale: 1.0,
                groups: 1,
                groups_chosen: 1,
            };
            let chosen = b.route(scores, spec, None).unwrap();
            let h = b.expert_linear(h, chosen, up, None).unwrap();
            b.expert_sum(h, chosen).unwrap()
        } else {
            b.gate(h, None, Activation::Silu).unwrap()
        };
        let x = b.add(x, h).unwrap();
        let x = b.select_rows(x).unwrap();
        let x = b.rms_norm(x, norm, 1e-5).unwrap();
        let out = b.linear(x, table, None).unwrap();
        b.finish("test", out, 64).unwrap()
    }

    #[test]
    fn inputs_are_shared() {
        let mut program = one_layer(false);
        share_inputs(&mut program);
        let shared: Vec<_> = program
            .ops
            .iter()
            .filter_map(|o| if let Op::Linears { parts, .. } = o { Some(parts.len()) } else { None })
            .collect();
        assert_eq!(shared, [3]);
        assert!(program.ops.iter().any(|o| matches!(o, Op::Linear { .. })), "a single linear stays plain");
    }

    #[test]
    fn residuals_and_norms_are_fused() {
        let mut program = one_layer(false);
        let before = program.ops.len();
        fuse_residual_norms(&mut program);
        let fused = program.ops.iter().filter(|o| matches!(o, Op::AddNorm { .. })).count();
        assert_eq!((fused, program.ops.len()), (1, before - 1), "{program}");
    }

    #[test]
    fn rotations_join_their_attention() {
        let mut b = ProgramBuilder::new();
        let table = b.matrix("embd", 10, 8);
        let (norm, w) = (b.vector("norm", 4), b.matrix("w", 8, 8));
        let rope = RopeSpec::new(RopePairing::Halves, 4, 4, 10000.0, &RopeScaling::None).unwrap();
        let x = b.embed(table, 1.0);
        let q = b.linear(x, w, None).unwrap();
        let q = b.norm(NormKind::Rms, q, 4, 1e-6, Some(norm), None).unwrap();
        let q = b.rope(q, 4, &rope).unwrap();
        let k = b.linear(x, w, None).unwrap();
        let k = b.rope(k, 4, &rope).unwrap();
        let v = b.linear(x, w, None).unwrap();
        let a = b.attention(q, k, v, AttentionSpec::causal(2, 2, 4), None).unwrap();
        let a = b.select_rows(a).unwrap();
        let out = b.linear(a, table, None).unwrap();
        let mut program = b.finish("test", out, 64).unwrap();
        fuse_rotary_attention(&mut program);
        assert!(!program.ops.iter().any(|o| matches!(o, Op::Rope { .. } | Op::Norm { .. })), "{program}");
        let found = program.ops.iter().find_map(|o| match o {
            Op::RotaryAttention { q_heads, k_heads, .. } => Some((q_heads.clone(), k_heads.clone())),
            _ => None,
        });
        let (q_heads, k_heads) = found.expect("a fused attention");
        assert_eq!(q_heads, HeadTransform { norm: Some((norm, 1e-6)), rope: Some(rope.clone()) });
        assert_eq!(k_heads, HeadTransform { norm: None, rope: Some(rope) });
    }

    #[test]
    fn rows_are_selected_right_after_attention() {
        for experts in [false, true] {
            let mut program = one_layer(experts);
            select_rows_early(&mut program);
            let text = program.to_string();
            let attention = program.ops.iter().position(|o| matches!(o, Op::Attention { .. })).unwrap();
            let rows: Vec<_> =
                program.ops[attention + 1..].iter().flat_map(|o| o.outputs()).map(|v| program.value(v).rows).collect();
            let (logits, wanted) = rows.split_last().unwrap();
            assert!(wanted.iter().all(|r| matches!(r, Rows::Wanted(_))), "{text}");
            assert_eq!(*logits, Rows::Logits(1), "{text}");
            assert_eq!(program.value(program.hidden).rows, Rows::Wanted(1), "{text}");
            assert_eq!(program.ops.iter().filter(|o| matches!(o, Op::SelectRows { .. })).count(), 2, "{text}");
            assert!(program.ops[..attention].iter().all(|o| !matches!(o, Op::SelectRows { .. })), "{text}");
        }
    }
}
