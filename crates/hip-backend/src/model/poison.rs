//! Finding reads of memory that nothing has written: before every step all of the memory of steps becomes NaN, and what
//! each op writes is looked through.

use std::cell::RefCell;
use std::ops::Range;

use rocmforge_program::backend::{BackendError, StepLimits};
use rocmforge_program::{Op, Program, ValueId};

use super::buffers::linear_input;
use super::run::Run;
use crate::driver::{Buffer, Device, HipError, PinnedBuffer};
use crate::error::Failure;

/// What the search takes.
pub(super) struct Poison {
    /// u32, how many numbers of each row are none.
    counts: Buffer,
    host: RefCell<PinnedBuffer>,
}

impl Poison {
    pub fn new(device: &Device, program: &Program, limits: StepLimits) -> Result<Self, HipError> {
        let rows = program.values.iter().map(|value| value.rows.count(limits.rows()));
        let bytes = rows.max().unwrap_or(1) * size_of::<u32>();
        Ok(Self {
            counts: device.alloc(bytes, "counts of what is no number")?,
            host: RefCell::new(device.alloc_pinned(bytes)?),
        })
    }
}

impl Run<'_> {
    /// Makes everything NaN that a step has to write before it reads it.
    pub(super) fn poison(&self) -> Result<(), HipError> {
        if self.model.poison.is_some() {
            for buffer in self.model.buffers.all() {
                self.stream.fill(buffer.ptr(), 0xff, buffer.len())?;
            }
        }
        Ok(())
    }

    /// Makes what an op will write NaN, where an older value lies in its place. What an op works on in place stays.
    pub(super) fn poison_outputs(&self, at: usize, op: &Op) -> Result<(), HipError> {
        if self.model.poison.is_none() {
            return Ok(());
        }
        for out in op.outputs() {
            let range = self.range(out);
            let is_in_place = op.inputs().into_iter().any(|x| {
                let other = self.range(x);
                other.start < range.end && range.start < other.end
            });
            if !is_in_place {
                self.stream.fill(self.value(out), 0xff, range.len())?;
            }
        }
        let written = op.outputs().last().map(|&out| self.form_plan(out).written[at]);
        let prepared = linear_input(op).map(|x| self.form_plan(x).prepared[at]);
        for forms in written.into_iter().chain(prepared) {
            for (start, bytes) in self.model.buffers.places(forms) {
                self.stream.fill(start, 0xff, bytes)?;
            }
        }
        Ok(())
    }

    /// Bytes of a value in the arena.
    fn range(&self, x: ValueId) -> Range<usize> {
        let start = self.model.memory.offsets[x.0 as usize] * size_of::<f32>();
        start..start + self.rows(x) * self.cols(x) * size_of::<f32>()
    }

    /// Waits for an op and looks through what it wrote.
    ///
    /// # Errors
    /// A NaN or +inf, and failures of the device.
    pub(super) fn inspect(&self, at: usize, op: &Op) -> Result<(), Failure> {
        let Some(poison) = &self.model.poison else { return Ok(()) };
        let outputs = op.outputs();
        for (i, &out) in outputs.iter().enumerate() {
            // Of norms and gates the last output may exist only in a form for products, which passes a NaN on.
            let is_stored = i + 1 < outputs.len() || !self.forms(at, out).f32.is_null();
            if is_stored && let Some((row, count)) = self.first_bad_row(poison, out)? {
                let (name, cols) = (op.name(), self.cols(out));
                return Err(BackendError::Device(format!(
                    "op {at} ({name}) wrote {count} of {cols} values of row {row} that are no numbers"
                ))
                .into());
            }
        }
        Ok(())
    }

    /// The first row of a value with a NaN or +inf, and how many it has.
    fn first_bad_row(&self, poison: &Poison, x: ValueId) -> Result<Option<(usize, u32)>, Failure> {
        let rows = self.rows(x);
        self.stream.fill(poison.counts.ptr(), 0xff, poison.counts.len())?;
        self.model.tools.sample.guard(self.stream, self.value(x), poison.counts.ptr(), rows, self.cols(x))?;
        let mut host = poison.host.borrow_mut();
        self.stream.copy_out(&mut host, 0..rows * size_of::<u32>(), poison.counts.ptr())?;
        host.wait()?;
        let counts: &[u32] = bytemuck::cast_slice(host.as_slice()?);
        let found = counts[..rows].iter().position(|&count| count > 0);
        Ok(found.map(|row| (row, counts[row])))
    }
}
