//! A few kernels against the processor, before anything is computed with them: reductions over waves, products in f32,
//! dot products of bytes, and the matrix unit, whose layouts of lanes differ from target to target.

use half::{bf16, f16};
use rocmforge_program::NormKind;
use rocmforge_quant::GgmlType;

use crate::driver::{Buffer, Device, DevicePtr, Stream, read_f32, write};
use crate::error::OpenError;
use crate::library::Kernels;
use crate::ops::{
    Activations, FormPtrs, Gate, GateCall, MMA_TILE, Matvec, MatvecCall, MatvecPart, MmaCheck, MmaCheckCall, Norm,
    NormCall,
};
use crate::weights::{PlaneLayout, Planes};

/// What is loaded. All is small, so that a device without embedded kernels starts soon.
const MODULES: [&str; 5] = ["norm/norm", "elementwise/gate", "matvec/f32", "matvec/q8_0", "gemm/mma_check"];

/// Rows and columns of what is computed: several waves, and columns that are no multiple of them.
const ROWS: usize = 24;
const COLS: usize = 320;
/// Columns of the matrix unit's operands: several tiles.
const DEPTH: usize = 3 * MMA_TILE;
/// Values from one row of a tile to the next: more than a row, as in the kernels that count.
const STRIDE: usize = 24;

/// Relative difference that rounding explains.
const TOLERANCE: f32 = 1e-4;

/// Runs the self-test.
pub(crate) fn run(device: &Device, stream: &Stream, kernels: &Kernels) -> Result<(), OpenError> {
    kernels.compile_ahead(&MODULES)?;
    let test = SelfTest {
        device,
        stream,
        kernels,
        x: device.alloc(ROWS * COLS * size_of::<f32>(), "self-test")?,
        weight: device.alloc(ROWS * COLS * size_of::<f32>(), "self-test")?,
        out: device.alloc(ROWS * COLS * size_of::<f32>(), "self-test")?,
    };
    let x = values(37);
    write(&test.x, 0, &x)?;
    test.norm(&x)?;
    test.product(&x)?;
    test.byte_product()?;
    test.matrix_unit()
}

/// Numbers from -0.78 to 0.78 without a pattern that mixed-up lanes would keep.
fn values(step: usize) -> Vec<f32> {
    (0..ROWS * COLS).map(|i| ((i * step % 101) as f32 - 50.0) / 64.0).collect()
}

/// A format of 16 bits: whether it is bfloat16, and how it codes a number.
type Format = (bool, fn(f32) -> u16);

struct SelfTest<'a> {
    device: &'a Device,
    stream: &'a Stream,
    kernels: &'a Kernels,
    x: Buffer,
    weight: Buffer,
    out: Buffer,
}

impl SelfTest<'_> {
    fn norm(&self, x: &[f32]) -> Result<(), OpenError> {
        let out = FormPtrs::f32(self.out.ptr());
        let call = NormCall::of(NormKind::Rms, self.x.ptr(), out, ROWS, COLS, 1e-5);
        Norm::load(self.kernels)?.run(self.stream, &call)?;
        let expected: Vec<f32> = x.chunks_exact(COLS).flat_map(normalized).collect();
        self.expect("norm/norm", &expected, TOLERANCE)
    }

    fn product(&self, x: &[f32]) -> Result<(), OpenError> {
        let weight = values(29);
        write(&self.weight, 0, &weight)?;
        let mut planes = Planes::default();
        planes.p[0] = self.weight.ptr();
        self.matvec(GgmlType::F32, planes, Activations::F32(self.x.ptr()))?;
        self.expect("matvec/f32", &products(&weight, x), TOLERANCE)
    }

    /// Both operands in 8 bits: integers, and 127 the largest of each group, so that nothing is rounded.
    fn byte_product(&self) -> Result<(), OpenError> {
        const SCALE: f32 = 1.0 / 128.0;
        let Some(map) = PlaneLayout::of(GgmlType::Q8_0).and_then(|layout| layout.map(ROWS, COLS)) else {
            return Ok(());
        };
        let x: Vec<f32> = (0..COLS).map(|i| if i % 32 == 5 { 127.0 } else { (i * 37 % 201) as f32 - 100.0 }).collect();
        write(&self.x, 0, &x)?;
        let quants: Vec<i8> = (0..ROWS * COLS).map(|i| (i * 73 % 251) as u8 as i8).collect();
        write(&self.weight, map.offset(0), &quants)?;
        let scales = vec![f16::from_f32(SCALE).to_bits(); map.blocks()];
        write(&self.weight, map.offset(1) / size_of::<u16>(), &scales)?;
        let forms = FormPtrs {
            q8: self.out.ptr().add(ROWS * COLS),
            q8_scales: self.out.ptr().add(2 * ROWS * COLS),
            ..FormPtrs::default()
        };
        Gate::load(self.kernels)?.run(self.stream, &GateCall::forms(self.x.ptr(), forms, 1, COLS))?;
        let x_bytes = Activations::Q8 { quants: forms.q8, scales: forms.q8_scales };
        self.matvec(GgmlType::Q8_0, map.planes(self.weight.ptr(), 0), x_bytes)?;
        let weight: Vec<f32> = quants.iter().map(|&q| f32::from(q) * SCALE).collect();
        self.expect("matvec/q8_0", &products(&weight, &x), TOLERANCE)
    }

    /// The first `ROWS` numbers of `out`: a matrix times the first row of x.
    fn matvec(&self, ty: GgmlType, weight: Planes, x: Activations) -> Result<(), OpenError> {
        let part = MatvecPart { weight, bias: DevicePtr::NULL, out: self.out.ptr(), rows: ROWS, out_stride: ROWS };
        let call = MatvecCall { x, cols: COLS, columns: 1, parts: &[part] };
        Ok(Matvec::load(self.kernels, ty)?.run(self.stream, &call)?)
    }

    /// Small integers, whose products and sums are exact in every format.
    fn matrix_unit(&self) -> Result<(), OpenError> {
        let small = |step: usize| (0..MMA_TILE * DEPTH).map(|i| (i * step % 13) as f32 - 6.0).collect::<Vec<_>>();
        let (a, b) = (small(5), small(7));
        let expected: Vec<f32> = a.chunks_exact(DEPTH).flat_map(|a| b.chunks_exact(DEPTH).map(|b| dot(a, b))).collect();
        let check = MmaCheck::load(self.kernels)?;
        let formats: [Format; 2] = [(false, |x| f16::from_f32(x).to_bits()), (true, |x| bf16::from_f32(x).to_bits())];
        for (is_bhalf, code) in formats {
            let codes = |x: &[f32]| x.iter().map(|&x| code(x)).collect::<Vec<_>>();
            write(&self.x, 0, &codes(&a))?;
            write(&self.weight, 0, &codes(&b))?;
            let (a, b, c) = (self.x.ptr(), self.weight.ptr(), self.out.ptr());
            let row_sums = c.add(MMA_TILE * MMA_TILE * size_of::<f32>());
            check.run(self.stream, &MmaCheckCall { a, b, c, row_sums, k: DEPTH, stride: STRIDE, is_bhalf })?;
            self.expect("gemm/mma_check", &expected, 0.0)?;
        }
        Ok(())
    }

    /// Compares the beginning of `out`.
    fn expect(&self, kernel: &'static str, expected: &[f32], tolerance: f32) -> Result<(), OpenError> {
        self.stream.synchronize()?;
        let found = read_f32(&self.out, 0..expected.len())?;
        for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
            // Written so that a NaN fails too.
            let is_close = (found - expected).abs() <= tolerance * (1.0 + expected.abs());
            if !is_close {
                let device = self.device.properties().name.clone();
                let found = format!("element {i} is {found}, expected {expected}");
                return Err(OpenError::SelfTest { kernel, device, found });
            }
        }
        Ok(())
    }
}

fn normalized(row: &[f32]) -> Vec<f32> {
    let mean = dot(row, row) / row.len() as f32;
    row.iter().map(|x| x / (mean + 1e-5).sqrt()).collect()
}

/// Every row of the matrix times the first row of x.
fn products(weight: &[f32], x: &[f32]) -> Vec<f32> {
    weight.chunks_exact(COLS).map(|row| dot(row, &x[..COLS])).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
