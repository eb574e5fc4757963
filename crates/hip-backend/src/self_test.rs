//! A few kernels against the processor, before anything is computed with them.

use crate::driver::{Device, DevicePtr, HipError, PinnedBuffer, Stream};
use crate::error::OpenError;
use crate::library::Kernels;
use crate::ops::{Activations, FormPtrs, Matvec, MatvecCall, MatvecPart, Norm, NormCall};
use crate::weights::Planes;
use rocmforge_program::NormKind;
use rocmforge_quant::GgmlType;

/// Rows and columns of what is computed: several waves, and columns that are no multiple of them.
const ROWS: usize = 24;
const COLS: usize = 320;

/// Relative difference that rounding explains.
const TOLERANCE: f32 = 1e-4;

/// Runs the self-test.
pub(crate) fn run(device: &Device, stream: &Stream, kernels: &Kernels) -> Result<(), OpenError> {
    let bytes = ROWS * COLS * size_of::<f32>();
    let data = device.alloc(bytes, "self-test")?;
    let out = device.alloc(bytes, "self-test")?;
    let mut host = device.alloc_pinned(bytes)?;
    let values: Vec<f32> = (0..ROWS * COLS).map(|i| ((i * 37 % 101) as f32 - 50.0) / 64.0).collect();
    host.as_mut_slice()?.copy_from_slice(bytemuck::cast_slice(&values));
    stream.copy_in(data.ptr(), &host, 0..bytes)?;
    stream.synchronize()?;

    let norm = NormCall::of(NormKind::Rms, data.ptr(), FormPtrs::f32(out.ptr()), ROWS, COLS, 1e-5);
    Norm::load(kernels)?.run(stream, &norm)?;
    let found = read(stream, &mut host, out.ptr(), ROWS * COLS)?;
    compare("norm", device, &found, values.chunks_exact(COLS).flat_map(normalized))?;

    let mut weight = Planes::default();
    weight.p[0] = data.ptr();
    let part = MatvecPart { weight, bias: DevicePtr::NULL, out: out.ptr(), rows: ROWS, out_stride: ROWS };
    let call = MatvecCall { x: Activations::F32(data.ptr()), cols: COLS, columns: 1, parts: &[part] };
    Matvec::load(kernels, GgmlType::F32)?.run(stream, &call)?;
    let found = read(stream, &mut host, out.ptr(), ROWS)?;
    let x = &values[..COLS];
    compare("matvec", device, &found, values.chunks_exact(COLS).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()))
}

fn normalized(row: &[f32]) -> Vec<f32> {
    let mean: f32 = row.iter().map(|x| x * x).sum::<f32>() / row.len() as f32;
    row.iter().map(|x| x / (mean + 1e-5).sqrt()).collect()
}

fn read(stream: &Stream, host: &mut PinnedBuffer, from: DevicePtr, count: usize) -> Result<Vec<f32>, HipError> {
    let bytes = count * size_of::<f32>();
    stream.copy_out(host, 0..bytes, from)?;
    stream.synchronize()?;
    Ok(bytemuck::cast_slice(&host.as_slice()?[..bytes]).to_vec())
}

fn compare(
    kernel: &'static str,
    device: &Device,
    found: &[f32],
    expected: impl Iterator<Item = f32>,
) -> Result<(), OpenError> {
    for (i, (&found, expected)) in found.iter().zip(expected).enumerate() {
        // Written so that a NaN fails too.
        let is_close = (found - expected).abs() <= TOLERANCE * (1.0 + expected.abs());
        if !is_close {
            let found = format!("element {i} is {found}, expected {expected}");
            return Err(OpenError::SelfTest { kernel, device: device.properties().name.clone(), found });
        }
    }
    Ok(())
}
