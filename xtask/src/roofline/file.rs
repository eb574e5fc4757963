//! Model files of a real shape with few layers and random weights.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use rocmforge_gguf_loader::{GgmlType, Metadata, Writer};
use rocmforge_quant::quantize;

use super::shape::{LayerKind, Model, Tensor};

/// Writes a file with one layer of each of some kinds.
///
/// # Errors
/// If it cannot be written.
pub fn write(path: &Path, model: &Model, layers: &[LayerKind]) -> Result<()> {
    let layers = layers.iter().enumerate();
    let num_layers = layers.len();
    let tensors: Vec<Tensor> = layers.flat_map(|(at, kind)| model.layer(at, *kind)).chain(model.rest()).collect();
    let mut writer = Writer::new(metadata(model, num_layers));
    for tensor in &tensors {
        writer.add(&tensor.name, tensor.dims.clone(), tensor.ty);
    }
    let out = BufWriter::with_capacity(1 << 20, File::create(path).with_context(|| path.display().to_string())?);
    let mut sink = writer.begin(out)?;
    for tensor in &tensors {
        let pattern = pattern(tensor)?;
        let mut left = tensor.bytes() as usize;
        while left > 0 {
            let piece = pattern.len().min(left);
            sink.write_piece(&pattern[..piece])?;
            left -= piece;
        }
    }
    sink.finish()?.flush()?;
    Ok(())
}

fn metadata(model: &Model, layers: usize) -> Metadata {
    let s = &model.shape;
    let mut metadata = Metadata::new();
    metadata.insert("general.architecture", s.arch);
    for (key, value) in [
        ("block_count", layers as u64),
        ("context_length", 1 << 15),
        ("embedding_length", s.hidden),
        ("feed_forward_length", s.intermediate),
        ("attention.head_count", s.heads),
        ("attention.head_count_kv", s.kv_heads),
        ("attention.key_length", s.head_dim),
        ("attention.value_length", s.head_dim),
        ("vocab_size", s.vocab),
    ] {
        metadata.insert(format!("{}.{key}", s.arch), value as u32);
    }
    metadata.insert(format!("{}.attention.layer_norm_rms_epsilon", s.arch), 1e-5_f32);
    metadata.insert(format!("{}.rope.freq_base", s.arch), 500_000.0_f32);
    metadata
}

/// Values of the pattern that fills a tensor: whole blocks of every type.
const PATTERN: usize = 1 << 16;

/// Small random numbers, to be repeated; factors of norms are near 1.
fn pattern(tensor: &Tensor) -> Result<Vec<u8>> {
    let (middle, width) = if tensor.name.ends_with("norm.weight") { (1.0, 0.1) } else { (0.0, 0.03) };
    let values: Vec<f32> = (0..PATTERN as u64).map(|i| middle + width * noise(i)).collect();
    let spec = tensor.ty.spec();
    let mut pattern = vec![0; PATTERN / spec.block_elems * spec.block_bytes];
    match tensor.ty {
        // Plain floats have no blocks whose scale would have to be chosen.
        GgmlType::F32 => {
            pattern.chunks_exact_mut(4).zip(&values).for_each(|(to, v)| to.copy_from_slice(&v.to_le_bytes()))
        }
        ty => quantize(ty, &values, PATTERN, None, &mut pattern)?,
    }
    Ok(pattern)
}

/// Numbers between -1 and 1 without a pattern (splitmix64).
fn noise(at: u64) -> f32 {
    let mut z = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ z >> 31) >> 40) as f32 / (1 << 23) as f32 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use rocmforge_gguf_loader::Gguf;

    #[test]
    fn a_file_has_a_layer_of_each_kind() {
        let model = Model::named("qwen2-0.5b:q4_k_m").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        write(&path, &model, &model.layer_kinds()).unwrap();
        let gguf = Gguf::parse(std::fs::read(&path).unwrap()).unwrap();
        let types = |part: &str| {
            let tensors = gguf.tensors().iter().filter(|tensor| tensor.name.ends_with(part));
            tensors.map(|tensor| tensor.ty).collect::<Vec<_>>()
        };
        assert_eq!(types("ffn_down.weight"), [GgmlType::Q4_K, GgmlType::Q6_K]);
        assert_eq!(types("attn_v.weight"), [GgmlType::Q5_0, GgmlType::Q8_0]);
        assert_eq!(types("attn_q.bias").len(), 2);
    }

    #[test]
    fn noise_is_between_minus_one_and_one() {
        let all: Vec<f32> = (0..10_000).map(noise).collect();
        assert!(all.iter().all(|v| (-1.0..1.0).contains(v)));
        assert!((all.iter().sum::<f32>() / 10_000.0).abs() < 0.03);
    }
}
