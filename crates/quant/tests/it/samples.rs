//! Blocks written by another implementation, and what it reads from them.
//!
//! `tests/data` holds, for each type, 4 rows of 1024 normally distributed weights of deviation
//! 0.02, every 97th six times as large and 32 of them zero (`source.f32`), as blocks
//! (`NAME.bin`) and as the values those blocks stand for (`NAME.f32`).

use std::path::Path;

use rocmforge_quant::{GgmlType, dequantize, quantize};

pub const ROW_LEN: usize = 1024;

/// The types with samples, and the relative squared error of the other implementation's blocks.
const SAMPLES: [(GgmlType, &str, f64); 27] = [
    (GgmlType::F16, "f16", 3.925e-08),
    (GgmlType::Q4_0, "q4_0", 1.619e-02),
    (GgmlType::Q4_1, "q4_1", 6.991e-03),
    (GgmlType::Q5_0, "q5_0", 3.967e-03),
    (GgmlType::Q5_1, "q5_1", 1.633e-03),
    (GgmlType::Q8_0, "q8_0", 6.912e-05),
    (GgmlType::Q2_K, "q2_K", 8.515e-02),
    (GgmlType::Q3_K, "q3_K", 3.284e-02),
    (GgmlType::Q4_K, "q4_K", 7.246e-03),
    (GgmlType::Q5_K, "q5_K", 1.818e-03),
    (GgmlType::Q6_K, "q6_K", 6.027e-04),
    (GgmlType::IQ2_XXS, "iq2_xxs", 2.342e-01),
    (GgmlType::IQ2_XS, "iq2_xs", 1.487e-01),
    (GgmlType::IQ3_XXS, "iq3_xxs", 4.831e-02),
    (GgmlType::IQ1_S, "iq1_s", 3.693e-01),
    (GgmlType::IQ4_NL, "iq4_nl", 9.897e-03),
    (GgmlType::IQ3_S, "iq3_s", 1.120e-01),
    (GgmlType::IQ2_S, "iq2_s", 1.211e-01),
    (GgmlType::IQ4_XS, "iq4_xs", 1.025e-02),
    (GgmlType::IQ1_M, "iq1_m", 2.534e-01),
    (GgmlType::BF16, "bf16", 2.621e-06),
    (GgmlType::TQ1_0, "tq1_0", 6.589e-01),
    (GgmlType::TQ2_0, "tq2_0", 6.589e-01),
    (GgmlType::MXFP4, "mxfp4", 1.793e-02),
    (GgmlType::NVFP4, "nvfp4", 1.006e-02),
    (GgmlType::Q1_0, "q1_0", 5.128e-01),
    (GgmlType::Q2_0, "q2_0", 4.539e-01),
];

fn data(file: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn floats(file: &str) -> Vec<f32> {
    let bytes = data(file);
    bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}

pub fn source() -> Vec<f32> {
    floats("source.f32")
}

/// Sum of squared errors over sum of squares.
pub fn nmse(x: &[f32], y: &[f32]) -> f64 {
    let square = |v: f32| f64::from(v) * f64::from(v);
    let error: f64 = x.iter().zip(y).map(|(a, b)| square(a - b)).sum();
    error / x.iter().map(|&v| square(v)).sum::<f64>()
}

#[test]
fn every_quantized_type_has_a_sample() {
    for &ty in GgmlType::ALL.iter().filter(|ty| ty.is_quantized()) {
        assert!(SAMPLES.iter().any(|(sample, ..)| *sample == ty), "{ty}");
    }
}

#[test]
fn samples_decode_bit_for_bit() {
    let source = source();
    for (ty, file, error) in SAMPLES {
        let (blocks, expected) = (data(&format!("{file}.bin")), floats(&format!("{file}.f32")));
        let mut found = vec![f32::NAN; expected.len()];
        dequantize(ty, &blocks, &mut found).unwrap();
        for (i, (f, e)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(f.to_bits(), e.to_bits(), "{ty} value {i}: {f} instead of {e}");
        }
        let measured = nmse(&source, &found);
        assert!((measured / error - 1.0).abs() < 2e-3, "{ty}: {measured:.3e}");
        assert!(measured <= ty.spec().max_nmse, "{ty}: {measured:.3e}");
    }
}

/// The other implementation had random column weights to follow, this crate has none; it may use
/// that freedom, but must not be the worse of the two.
#[test]
fn quantizers_are_at_least_as_close_as_the_samples() {
    let source = source();
    for (ty, _, error) in SAMPLES {
        if ty.spec().quantize.is_none() {
            continue;
        }
        let mut blocks = vec![0; ty.row_bytes(source.len()).unwrap()];
        quantize(ty, &source, ROW_LEN, None, &mut blocks).unwrap();
        let mut found = vec![0.0; source.len()];
        dequantize(ty, &blocks, &mut found).unwrap();
        let measured = nmse(&source, &found);
        println!("{ty:8} {measured:.3e}, sample {error:.3e}, ratio {:.3}", measured / error);
        assert!(measured <= error * 1.0002, "{ty}: {measured:.4e} instead of {error:.4e}");
    }
}

#[test]
fn plain_halves_are_written_bit_for_bit() {
    let source = source();
    for (ty, file) in [(GgmlType::F16, "f16.bin"), (GgmlType::BF16, "bf16.bin")] {
        let mut blocks = vec![0; source.len() * 2];
        quantize(ty, &source, ROW_LEN, None, &mut blocks).unwrap();
        assert_eq!(blocks, data(file), "{ty}");
    }
}
