//! The packed forms of rows, held against the f32 rows that they were made of.

use half::{bf16, f16};
use rocmforge_hip_backend::driver::{Buffer, DevicePtr};
use rocmforge_hip_backend::ops::FormPtrs;

use crate::rig::Rig;

/// Room for every form of `[rows, cols]`.
pub struct FormBuffers {
    pub f32: Buffer,
    q8: Buffer,
    q8_scales: Buffer,
    half: Buffer,
    half_scales: Buffer,
    bhalf: Buffer,
    bhalf_scales: Buffer,
    cols: usize,
}

impl FormBuffers {
    pub fn new(rig: &Rig, rows: usize, cols: usize) -> Self {
        let padded = rows * cols.next_multiple_of(32);
        Self {
            f32: rig.room::<f32>(rows * cols),
            q8: rig.room::<i8>(rows * cols),
            q8_scales: rig.room::<[f32; 2]>(padded / 32),
            half: rig.room::<u16>(padded),
            half_scales: rig.room::<f32>(rows),
            bhalf: rig.room::<u16>(padded),
            bhalf_scales: rig.room::<f32>(rows),
            cols,
        }
    }

    pub fn f32_only(&self) -> FormPtrs {
        FormPtrs::f32(self.f32.ptr())
    }

    /// f32 and, where the width allows, q8.
    pub fn flat(&self) -> FormPtrs {
        if !self.cols.is_multiple_of(32) {
            return self.f32_only();
        }
        FormPtrs { q8: self.q8.ptr(), q8_scales: self.q8_scales.ptr(), ..self.f32_only() }
    }

    /// All forms that the width allows.
    pub fn all(&self) -> FormPtrs {
        FormPtrs {
            half: self.half.ptr(),
            half_scales: self.half_scales.ptr(),
            bhalf: self.bhalf.ptr(),
            bhalf_scales: self.bhalf_scales.ptr(),
            ..self.flat()
        }
    }

    /// As [`all`](Self::all), without f32.
    pub fn packed(&self) -> FormPtrs {
        FormPtrs { f32: DevicePtr::NULL, ..self.all() }
    }
}

/// Every form holds `rows`, `[.., cols]`.
pub fn check_forms(rig: &Rig, found: &FormBuffers, rows: &[f32], cols: usize, what: &str) {
    if cols.is_multiple_of(32) {
        check_q8(rig, found, rows, what);
    }
    let padded = cols.next_multiple_of(32);
    let (half, bhalf): (Vec<u16>, Vec<u16>) = (rig.read(&found.half), rig.read(&found.bhalf));
    let (scales, ones): (Vec<f32>, Vec<f32>) = (rig.read(&found.half_scales), rig.read(&found.bhalf_scales));
    for (r, row) in rows.chunks(cols).enumerate() {
        let (half, bhalf) = (&half[r * padded..][..padded], &bhalf[r * padded..][..padded]);
        let top = row.iter().fold(0f32, |m, x| m.max(x.abs()));
        let reached = top / scales[r];
        assert!(top == 0.0 || (reached > 512.0 && reached <= 1024.0), "{what}: row {r}: {top} / {}", scales[r]);
        assert_eq!((scales[r].to_bits() & 0x7f_ffff, ones[r]), (0, 1.0), "{what}: scales of row {r}");
        for i in 0..padded {
            let x = row.get(i).copied().unwrap_or(0.0);
            assert_eq!(f16::from_bits(half[i]), f16::from_f32(x / scales[r]), "{what}: half {i} of row {r}, {x}");
            assert_eq!(bf16::from_bits(bhalf[i]), bf16::from_f32(x), "{what}: bhalf {i} of row {r}, {x}");
        }
    }
}

/// The 8-bit form holds `rows`.
pub fn check_q8(rig: &Rig, found: &FormBuffers, rows: &[f32], what: &str) {
    let (codes, scales): (Vec<i8>, Vec<[f32; 2]>) = (rig.read(&found.q8), rig.read(&found.q8_scales));
    for (g, group) in rows.chunks(32).enumerate() {
        let codes = &codes[g * 32..][..32];
        let top = group.iter().fold(0f32, |m, x| m.max(x.abs()));
        let [d, sum] = scales[g];
        assert!((d - top / 127.0).abs() <= 1e-7 * d || d == 0.0 && top < 2e-36, "{what}: scale of group {g}: {d}");
        let total: i32 = codes.iter().map(|&q| i32::from(q)).sum();
        assert_eq!(sum, d * total as f32, "{what}: sum of group {g}");
        for (q, x) in codes.iter().zip(group) {
            let error = (f64::from(*q) * f64::from(d) - f64::from(*x)).abs();
            assert!(error <= 0.50001 * f64::from(d) + 1e-37, "{what}: {q} * {d} for {x}");
        }
    }
}
