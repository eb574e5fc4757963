//! Memory that every step of a model uses, allocated once.

use rocmforge_program::backend::StepLimits;
use rocmforge_program::{MemoryPlan, Op, Program, RowCounts, ValueId};

use super::forms::{FormPlan, Forms, Regime};
use crate::driver::{Buffer, Device, DevicePtr, HipError};
use crate::ops::{MAX_COLUMNS, SampleResult};

/// What each array begins at a multiple of.
const ALIGN: usize = 256;

/// Bytes of each kind of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct BufferPlan {
    arena: usize,
    q8: usize,
    q8_scales: usize,
    half: usize,
    half_scales: usize,
    bhalf: usize,
    scratch: usize,
    results: usize,
}

impl BufferPlan {
    /// Bytes of all.
    pub fn bytes(&self) -> u64 {
        let all =
            [self.arena, self.q8, self.q8_scales, self.half, self.half_scales, self.bhalf, self.scratch, self.results];
        all.into_iter().map(|bytes| bytes as u64).sum()
    }

    /// The sizes for the largest step.
    pub fn new(
        program: &Program,
        limits: StepLimits,
        memory: &MemoryPlan,
        plans: &[(Regime, &FormPlan)],
        scratch: usize,
    ) -> Self {
        let mut plan = Self {
            arena: memory.elements * size_of::<f32>(),
            scratch,
            results: limits.max_wanted * size_of::<SampleResult>(),
            ..Self::default()
        };
        for &(regime, forms) in plans {
            let few = |n: usize| if regime == Regime::Vector { n.min(MAX_COLUMNS) } else { n };
            let RowCounts { tokens, wanted, logits } = limits.rows();
            let most = RowCounts { tokens: few(tokens), wanted: few(wanted), logits: few(logits) };
            for (at, op) in program.ops.iter().enumerate() {
                let written = op.outputs().last().map(|&out| (out, forms.written[at]));
                let prepared = linear_input(op).map(|x| (x, forms.prepared[at]));
                for (value, forms) in written.into_iter().chain(prepared) {
                    let value = program.value(value);
                    plan.make_room(forms, value.rows.count(most), value.cols);
                }
            }
        }
        for bytes in [
            &mut plan.arena,
            &mut plan.q8,
            &mut plan.q8_scales,
            &mut plan.half,
            &mut plan.half_scales,
            &mut plan.bhalf,
            &mut plan.scratch,
            &mut plan.results,
        ] {
            *bytes = bytes.next_multiple_of(ALIGN);
        }
        plan
    }

    fn make_room(&mut self, forms: Forms, rows: usize, cols: usize) {
        let padded = rows * cols.next_multiple_of(32);
        if forms.q8 {
            self.q8 = self.q8.max(padded);
            self.q8_scales = self.q8_scales.max(padded / 32 * size_of::<[f32; 2]>());
        }
        if forms.half {
            self.half = self.half.max(padded * 2);
            self.half_scales = self.half_scales.max(rows * size_of::<f32>());
        }
        if forms.bhalf {
            self.bhalf = self.bhalf.max(padded * 2);
        }
    }
}

pub(super) fn linear_input(op: &Op) -> Option<ValueId> {
    match op {
        Op::Linear { x, .. } | Op::Linears { x, .. } | Op::ExpertLinear { x, .. } => Some(*x),
        _ => None,
    }
}

/// The memory itself.
pub(crate) struct Buffers {
    /// Every value of the Program.
    pub arena: Buffer,
    /// What kernels keep between each other.
    pub scratch: Buffer,
    /// What came of sampled rows.
    pub results: Buffer,
    forms: Buffer,
    offsets: [usize; 5],
}

impl Buffers {
    pub fn new(device: &Device, plan: &BufferPlan) -> Result<Self, HipError> {
        let mut end = 0;
        let offsets = [plan.q8, plan.q8_scales, plan.half, plan.half_scales, plan.bhalf].map(|bytes| {
            let at = end;
            end += bytes;
            at
        });
        Ok(Self {
            arena: device.alloc(plan.arena, "values of a step")?,
            scratch: device.alloc(plan.scratch, "scratch of kernels")?,
            results: device.alloc(plan.results, "sampled tokens")?,
            forms: device.alloc(end, "inputs of products")?,
            offsets,
        })
    }

    /// All of it: a step writes what it reads of this.
    pub fn all(&self) -> [&Buffer; 4] {
        [&self.arena, &self.scratch, &self.results, &self.forms]
    }

    /// Where these forms lie, and their bytes.
    pub fn places(&self, forms: Forms) -> impl Iterator<Item = (DevicePtr, usize)> {
        let wanted = [forms.q8, forms.q8, forms.half, forms.half, forms.bhalf];
        let ends = self.offsets.into_iter().skip(1).chain([self.forms.len()]);
        let places = self.offsets.into_iter().zip(ends).zip(wanted).filter(|(_, wanted)| *wanted);
        places.map(|((start, end), _)| (self.forms.ptr().add(start), end - start))
    }

    fn form(&self, index: usize) -> DevicePtr {
        self.forms.ptr().add(self.offsets[index])
    }

    /// Groups of signed bytes.
    pub fn q8(&self) -> DevicePtr {
        self.form(0)
    }

    /// Their scales and sums.
    pub fn q8_scales(&self) -> DevicePtr {
        self.form(1)
    }

    /// 16-bit floats.
    pub fn half(&self) -> DevicePtr {
        self.form(2)
    }

    /// Their rows' scales.
    pub fn half_scales(&self) -> DevicePtr {
        self.form(3)
    }

    /// bfloat16.
    pub fn bhalf(&self) -> DevicePtr {
        self.form(4)
    }
}
