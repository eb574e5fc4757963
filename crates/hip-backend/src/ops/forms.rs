//! The forms in which rows reach the products that read them, and how a row is shared among lanes.

use bytemuck::{Pod, Zeroable};

use crate::driver::{DevicePtr, Function, HipError, Properties};
use crate::library::{KernelError, Kernels};

/// Columns of one group of the 8-bit form, and what the 16-bit forms are padded to.
pub(super) const GROUP: usize = 32;

/// Where a kernel writes rows `[rows, cols]`, one address a form; null skips it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FormPtrs {
    /// f32 `[rows, cols]`.
    pub f32: DevicePtr,
    /// i8 `[rows, cols]`, where cols is a multiple of 32.
    pub q8: DevicePtr,
    /// With `q8`: pairs of f32 `{d, d * Σq}` `[rows, cols / 32]`; an element is about `d * q`.
    pub q8_scales: DevicePtr,
    /// binary16 `[rows, cols rounded up to 32]`, zero in the padding, of the element over the row's scale.
    pub half: DevicePtr,
    /// With `half`: f32 `[rows]`, the power of two that brings the row's largest magnitude into (512, 1024].
    pub half_scales: DevicePtr,
    /// bfloat16 `[rows, cols rounded up to 32]`, zero in the padding.
    pub bhalf: DevicePtr,
    /// f32 `[rows]`, all 1; may be null with `bhalf`.
    pub bhalf_scales: DevicePtr,
}

impl FormPtrs {
    /// Only f32.
    pub fn f32(out: DevicePtr) -> Self {
        Self { f32: out, ..Self::default() }
    }

    /// Whether a 16-bit form is written: these need whole rows.
    pub(super) fn any_half(&self) -> bool {
        !self.half.is_null() || !self.bhalf.is_null()
    }

    /// Whether a form other than f32 is written.
    pub(super) fn any_packed(&self) -> bool {
        !self.q8.is_null() || self.any_half()
    }

    /// As the kernels take it.
    ///
    /// # Errors
    /// [`HipError::LengthMismatch`]: rows of no whole groups of 32 columns, for the 8-bit form.
    pub(super) fn args(&self, cols: usize) -> Result<FormArgs, HipError> {
        let padded = cols.next_multiple_of(GROUP);
        if !self.q8.is_null() && padded != cols {
            return Err(HipError::LengthMismatch {
                what: "columns of rows in 8 bits",
                expected: padded as u64,
                found: cols as u64,
            });
        }
        Ok(FormArgs {
            f: self.f32,
            q8: self.q8,
            q8_scale: self.q8_scales,
            h: self.half,
            h_scale: self.half_scales,
            b: self.bhalf,
            b_scale: self.bhalf_scales,
            cols: cols as u32,
            cols_pad: padded as u32,
        })
    }
}

/// `rf::Forms` of `include/rf/forms.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(super) struct FormArgs {
    f: DevicePtr,
    q8: DevicePtr,
    q8_scale: DevicePtr,
    h: DevicePtr,
    h_scale: DevicePtr,
    b: DevicePtr,
    b_scale: DevicePtr,
    cols: u32,
    cols_pad: u32,
}

/// The three kernels that keep a row of up to 16384 columns in registers, as 1, 2 or 4 vectors of 4 a lane.
#[derive(Debug, Clone)]
pub(super) struct RowKernels {
    kernels: [Function; 3],
    wave: usize,
    /// Up to this width, a lane has one vector.
    narrow: usize,
}

impl RowKernels {
    pub fn load(kernels: &Kernels, module: &str, names: [&str; 3], narrow: usize) -> Result<Self, KernelError> {
        let [a, b, c] = names.map(|name| kernels.function(module, name));
        Ok(Self { kernels: [a?, b?, c?], wave: wave_of(kernels.device().properties()), narrow })
    }

    /// The kernel for rows of `cols` columns and how many lanes share a row; `None` where registers do not hold one.
    /// It depends on the width alone, so that a row has the same bits in any batch.
    pub fn of(&self, cols: usize) -> Option<(&Function, u32)> {
        let per = match cols {
            _ if cols <= self.narrow => 0,
            _ if cols <= 8192 => 1,
            _ if cols <= 16384 => 2,
            _ => return None,
        };
        let lanes = cols.next_multiple_of(GROUP).div_ceil(4 << per).next_multiple_of(self.wave);
        Some((&self.kernels[per], lanes as u32))
    }
}

/// Lanes of a wave.
pub(super) fn wave_of(device: &Properties) -> usize {
    device.wave_size as usize
}

/// Workgroups of `each` elements that cover `count`; the driver refuses what is too many.
pub(super) fn blocks(count: usize, each: usize) -> u32 {
    u32::try_from(count.div_ceil(each)).unwrap_or(u32::MAX)
}
