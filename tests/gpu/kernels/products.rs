//! Matrices times a few columns, and times many rows.

use rocmforge_hip_backend::driver::{DevicePtr, HipError};
use rocmforge_hip_backend::ops::{
    self, ActivationForm, FormPtrs, Gemm, GemmCall, GemmForm, GemmInput, GemmPart, MAX_COLUMNS, Matvec, MatvecCall,
    MatvecPart,
};
use rocmforge_kernels::type_slug;
use rocmforge_quant::GgmlType;

use super::Options;
use super::bench::{Bench, Outcome, Work};
use super::data::{Activations, Weights};

/// `[rows, cols]` of the matrices of a layer (output of attention; query, key and value together; gate or up; down),
/// and of the head.
const SHAPES: [[usize; 2]; 5] = [[4096, 4096], [6144, 4096], [14336, 4096], [4096, 14336], [128_256, 4096]];
const TINY_SHAPES: [[usize; 2]; 2] = [[96, 256], [64, 512]];

const TOKENS: [usize; 3] = [128, 512, 2048];
const TINY_TOKENS: [usize; 2] = [9, 40];

/// Products of decoding, with one to eight columns.
pub fn matvec(bench: &mut Bench, options: &Options) -> Outcome {
    bench.prepare(&modules(options, "matvec"))?;
    for_each(options, |ty, shape| matvec_shape(bench, options, ty, shape))
}

/// Products of prefill.
pub fn gemm(bench: &mut Bench, options: &Options) -> Outcome {
    bench.prepare(&modules(options, "gemm"))?;
    for_each(options, |ty, shape| {
        for &tokens in options.size::<&[usize]>(&TOKENS, &TINY_TOKENS) {
            match gemm_shape(bench, options, ty, shape, tokens) {
                // The result of the head may be larger than what there is.
                Err(error) if is_out_of_memory(&*error) => bench.note(&name("gemm", ty), &text(shape, tokens), &*error),
                other => other?,
            }
        }
        Ok(())
    })
}

fn for_each(options: &Options, mut body: impl FnMut(GgmlType, [usize; 2]) -> Outcome) -> Outcome {
    for &ty in &options.types {
        for &shape in options.size::<&[_]>(&SHAPES, &TINY_SHAPES) {
            body(ty, shape)?;
        }
    }
    Ok(())
}

fn is_out_of_memory(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(HipError::OutOfMemory { .. }))
}

fn modules(options: &Options, family: &str) -> Vec<String> {
    let of_types = options.types.iter().map(|&ty| name(family, ty));
    of_types.chain(["elementwise/gate".into(), "gemm/reduce".into()]).collect()
}

fn name(family: &str, ty: GgmlType) -> String {
    format!("{family}/{}", type_slug(ty))
}

fn text([rows, cols]: [usize; 2], times: usize) -> String {
    format!("[{rows}, {cols}] x {times}")
}

fn matvec_shape(bench: &mut Bench, options: &Options, ty: GgmlType, shape: [usize; 2]) -> Outcome {
    let [rows, cols] = shape;
    let weights = Weights::new(bench, ty, shape, rotate(options))?;
    let x = Activations::new(bench, MAX_COLUMNS, cols)?;
    let out = bench.room(MAX_COLUMNS * rows * 4)?;
    let matvec = Matvec::load(&bench.kernels, ty)?;
    let FormPtrs { f32, q8: quants, q8_scales: scales, .. } = x.forms();
    let (x, x_bytes) = match matvec.form() {
        ActivationForm::Q8 => (ops::Activations::Q8 { quants, scales }, cols + cols / 4),
        ActivationForm::F32 => (ops::Activations::F32(f32), cols * 4),
    };
    for columns in 1..=MAX_COLUMNS {
        let work = Work::Bytes(weights.bytes() + columns * (x_bytes + rows * 4));
        bench.row(&name("matvec", ty), &text(shape, columns), work, weights.copies, |stream, i| {
            let weight = weights.planes(i);
            let part = MatvecPart { weight, bias: DevicePtr::NULL, out: out.ptr(), rows, out_stride: rows };
            matvec.run(stream, &MatvecCall { x, cols, columns, parts: &[part] })
        });
    }
    Ok(())
}

fn gemm_shape(bench: &mut Bench, options: &Options, ty: GgmlType, shape: [usize; 2], tokens: usize) -> Outcome {
    let [rows, k] = shape;
    let form = GemmForm::of(ty, k);
    let gemm = Gemm::load(&bench.kernels, ty, form)?;
    let weights = Weights::new(bench, ty, shape, rotate(options))?;
    let x = Activations::new(bench, tokens, k)?;
    let out = bench.room(tokens * rows * 4)?;
    let scratch = bench.room(gemm.scratch_bytes(tokens, k, &[rows]))?;
    let forms = x.forms();
    let x = match form {
        GemmForm::Half => GemmInput::Half { values: forms.half, scales: forms.half_scales },
        GemmForm::Bhalf => GemmInput::Bhalf(forms.bhalf),
        GemmForm::F32 => GemmInput::F32(forms.f32),
    };
    let work = Work::Flops(2.0 * tokens as f64 * rows as f64 * k as f64);
    bench.row(&name("gemm", ty), &text(shape, tokens), work, weights.copies, |stream, i| {
        let weight = weights.planes(i);
        let part = GemmPart { weight, bias: DevicePtr::NULL, out: out.ptr(), rows, out_stride: rows };
        gemm.run(stream, &GemmCall { x, tokens, k, parts: &[part], scratch: scratch.ptr() })
    });
    Ok(())
}

/// Bytes of distinct data.
pub fn rotate(options: &Options) -> usize {
    options.size(options.rotate << 20, 1)
}
