//! In which forms each linear map reads its input, and which op writes them.
//!
//! A matrix product reads its input as 8-bit groups, as 16-bit floats or as f32, by the type of its weights and the
//! number of rows. The ops that make such inputs (norms and gates) can write the forms beside their result, or instead
//! of it; where none does, a kernel of its own makes the form. There is one buffer a form, so a form is made anew when
//! another value has taken its place.

use rocmforge_program::{Op, Program, ValueId};
use rocmforge_quant::GgmlType;

/// One way to store the input of a matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As all values are stored.
    F32,
    /// Groups of 32 signed bytes with scale and sum.
    Q8,
    /// 16-bit floats with a power of two a row.
    Half,
    /// bfloat16.
    BHalf,
}

/// A set of forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Forms {
    pub f32: bool,
    pub q8: bool,
    pub half: bool,
    pub bhalf: bool,
}

impl Forms {
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub fn with(mut self, form: Form) -> Self {
        match form {
            Form::F32 => self.f32 = true,
            Form::Q8 => self.q8 = true,
            Form::Half => self.half = true,
            Form::BHalf => self.bhalf = true,
        }
        self
    }
}

/// By which kernels a step of so many rows is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Regime {
    /// A few rows: matrix-vector products.
    Vector,
    /// Many rows: matrix units.
    Matrix,
    /// Any rows, all arithmetic in f32.
    Exact,
}

impl Regime {
    /// The form in which a product with rows of `cols` weights of this type reads its input.
    pub fn form(self, weights: GgmlType, cols: usize) -> Form {
        let is_float = !weights.is_quantized();
        match (self, weights) {
            (Regime::Exact, _) | (_, GgmlType::F32) => Form::F32,
            (Regime::Vector, _) => {
                if is_float {
                    Form::F32
                } else {
                    Form::Q8
                }
            }
            // Rows of 16-bit weights that are no multiple of 16 bytes are read one by one.
            (Regime::Matrix, _) if is_float && !cols.is_multiple_of(8) => Form::F32,
            (Regime::Matrix, GgmlType::BF16) => Form::BHalf,
            (Regime::Matrix, _) => Form::Half,
        }
    }
}

/// The forms of one regime, by op.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FormPlan {
    /// What an op writes of its (last) output. Only meaningful for norms and gates; every other op writes f32.
    pub written: Vec<Forms>,
    /// What must be made of an op's input before it runs.
    pub prepared: Vec<Forms>,
}

/// What has happened to the buffer of one form.
#[derive(Clone, Copy, Default)]
struct Slot {
    holds: Option<ValueId>,
    last_touched: Option<usize>,
}

/// Plans the forms of a Program whose linear maps have these weight types.
pub(crate) fn plan_forms(program: &Program, regime: Regime, type_of: impl Fn(&Op) -> Vec<GgmlType>) -> FormPlan {
    let count = program.ops.len();
    let mut plan = FormPlan { written: vec![Forms::default(); count], prepared: vec![Forms::default(); count] };
    let mut producer = vec![None; program.values.len()];
    let mut slots = [Slot::default(); 3];
    for (at, op) in program.ops.iter().enumerate() {
        let wanted = wanted_forms(program, op, regime, &type_of);
        for input in op.inputs() {
            let forms = if Some(input) == linear_input(op) { wanted } else { Forms::default().with(Form::F32) };
            if let Some(from) = producer[input.0 as usize].filter(|_| forms.f32) {
                let written: &mut Forms = &mut plan.written[from];
                written.f32 = true;
            }
        }
        if let Some(x) = linear_input(op) {
            for (slot, form) in slots.iter_mut().zip([Form::Q8, Form::Half, Form::BHalf]) {
                let is_wanted = match form {
                    Form::Q8 => wanted.q8,
                    Form::Half => wanted.half,
                    Form::BHalf => wanted.bhalf,
                    Form::F32 => false,
                };
                if !is_wanted {
                    continue;
                }
                if slot.holds != Some(x) {
                    let from = producer[x.0 as usize].filter(|&from| can_write(program, &program.ops[from], form));
                    // The producer can only write the form if the buffer was idle from then to now.
                    match from.filter(|&from| slot.last_touched.is_none_or(|touched| touched < from)) {
                        Some(from) => plan.written[from] = plan.written[from].with(form),
                        None => {
                            plan.prepared[at] = plan.prepared[at].with(form);
                            if let Some(from) = producer[x.0 as usize] {
                                plan.written[from].f32 = true;
                            }
                        }
                    }
                    slot.holds = Some(x);
                }
                slot.last_touched = Some(at);
            }
        }
        plan.written[at].f32 |= always_writes_f32(program, op);
        for out in op.outputs() {
            producer[out.0 as usize] = Some(at);
        }
    }
    for kept in [program.output, program.hidden] {
        if let Some(from) = producer[kept.0 as usize] {
            plan.written[from].f32 = true;
        }
    }
    plan
}

/// Norms of whole rows and gates can write any form of their output, attention bytes.
fn can_write(program: &Program, op: &Op, form: Form) -> bool {
    match op {
        Op::Norm { x, group, .. } => *group == program.value(*x).cols,
        Op::AddNorm { .. } | Op::Gate { .. } => true,
        Op::Attention { spec, .. } | Op::RotaryAttention { spec, .. } => {
            form == Form::Q8 && spec.value_dim.is_multiple_of(32)
        }
        _ => false,
    }
}

/// Ops whose kernels write f32 whether it is read or not.
fn always_writes_f32(program: &Program, op: &Op) -> bool {
    /// Wider rows do not stay in registers, and are read again from memory.
    const WIDEST_ROW: usize = 16384;
    let is_wide = op.outputs().iter().any(|&out| program.value(out).cols > WIDEST_ROW);
    is_wide || matches!(op, Op::Attention { .. } | Op::RotaryAttention { .. })
}

fn linear_input(op: &Op) -> Option<ValueId> {
    match op {
        Op::Linear { x, .. } | Op::Linears { x, .. } | Op::ExpertLinear { x, .. } => Some(*x),
        _ => None,
    }
}

fn wanted_forms(program: &Program, op: &Op, regime: Regime, type_of: &impl Fn(&Op) -> Vec<GgmlType>) -> Forms {
    let Some(x) = linear_input(op) else { return Forms::default() };
    let cols = program.value(x).cols;
    type_of(op).into_iter().fold(Forms::default(), |forms, ty| forms.with(regime.form(ty, cols)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rocmforge_program::{Activation, ProgramBuilder};

    /// A gated block whose normalised input also feeds a second gate after the first one's output was used.
    fn program(read_twice: bool) -> Program {
        let mut b = ProgramBuilder::new();
        let table = b.matrix("embd", 10, 32);
        let norm = b.vector("norm", 32);
        let (gate, up, down) = (b.matrix("gate", 64, 32), b.matrix("up", 64, 32), b.matrix("down", 32, 64));
        let x = b.embed(table, 1.0);
        let h = b.rms_norm(x, norm, 1e-5).unwrap();
        let (g, u) = (b.linear(h, gate, None).unwrap(), b.linear(h, up, None).unwrap());
        let y = b.gate(g, Some(u), Activation::Silu).unwrap();
        let mut y = b.linear(y, down, None).unwrap();
        if read_twice {
            let again = b.linear(h, gate, None).unwrap();
            let again = b.linear(again, down, None).unwrap();
            y = b.add(y, again).unwrap();
        }
        let x = b.add(x, y).unwrap();
        let x = b.select_rows(x).unwrap();
        let out = b.linear(x, table, None).unwrap();
        b.finish("test", out, 64).unwrap()
    }

    fn plan(program: &Program, regime: Regime) -> FormPlan {
        plan_forms(program, regime, |_| vec![GgmlType::Q4_0])
    }

    fn ops_with(program: &Program, forms: &[Forms], keep: impl Fn(Forms) -> bool) -> Vec<&'static str> {
        let names = program.ops.iter().map(Op::name);
        names.zip(forms).filter(|(_, f)| keep(**f)).map(|(name, _)| name).collect()
    }

    #[test]
    fn producers_write_the_forms_that_products_read() {
        let program = program(false);
        let plan = plan(&program, Regime::Vector);
        assert_eq!(ops_with(&program, &plan.written, |f| f.q8), ["norm", "gate"]);
        // Nothing reads them in f32, and the last product's input has no producer that could write a form.
        assert!(ops_with(&program, &plan.written, |f| f.q8 && f.f32).is_empty());
        assert_eq!(ops_with(&program, &plan.prepared, |f| f.q8), ["linear"]);
    }

    #[test]
    fn a_form_whose_buffer_was_taken_is_made_again() {
        let program = program(true);
        let plan = plan(&program, Regime::Matrix);
        assert_eq!(ops_with(&program, &plan.written, |f| f.half), ["norm", "gate"]);
        // Again for the second use of the norm, then for the value after it, then for the logits.
        assert_eq!(ops_with(&program, &plan.prepared, |f| f.half), ["linear"; 3]);
        assert_eq!(ops_with(&program, &plan.written, |f| f.half && f.f32), ["norm"]);
    }

    #[test]
    fn exact_products_read_f32_alone() {
        let plan = plan(&program(true), Regime::Exact);
        assert!(plan.prepared.iter().all(|f| f.is_empty()));
        assert!(plan.written.iter().all(|f| !f.q8 && !f.half && !f.bhalf));
    }

    #[test]
    fn types_choose_their_forms() {
        assert_eq!(Regime::Vector.form(GgmlType::Q6_K, 64), Form::Q8);
        assert_eq!(Regime::Vector.form(GgmlType::F16, 64), Form::F32);
        assert_eq!(Regime::Matrix.form(GgmlType::BF16, 64), Form::BHalf);
        assert_eq!(Regime::Matrix.form(GgmlType::F16, 64), Form::Half);
        assert_eq!(Regime::Matrix.form(GgmlType::F16, 65), Form::F32);
        assert_eq!(Regime::Matrix.form(GgmlType::F32, 64), Form::F32);
        assert_eq!(Regime::Exact.form(GgmlType::Q4_0, 64), Form::F32);
    }
}
