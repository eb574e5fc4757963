//! Tokens chosen on the device.

use rocmforge_hip_backend::driver::{DevicePtr, write};
use rocmforge_hip_backend::ops::{Sample, SampleBatch, SampleCall, SampleResult};
use rocmforge_program::backend::RowSampling;

use super::Options;
use super::bench::{Bench, Outcome, Work};
use super::data::noise;

/// Greedy, by the settings that most clients send, and from the whole vocabulary.
pub fn run(bench: &mut Bench, options: &Options) -> Outcome {
    bench.prepare(&["sample/sample".into()])?;
    let usual = RowSampling { temperature: 0.8, ..RowSampling::default() };
    let ways = [
        ("greedy", RowSampling { temperature: 0.0, ..usual.clone() }),
        ("top_k 40, top_p 0.95", RowSampling { top_k: 40, top_p: 0.95, ..usual.clone() }),
        ("top_p 0.95", RowSampling { top_p: 0.95, ..usual.clone() }),
        ("temperature", usual),
    ];
    for rows in options.size([1, 8, 64], [1, 2, 3]) {
        for (name, how) in &ways {
            row(bench, options, rows, name, how)?;
        }
    }
    Ok(())
}

fn row(bench: &mut Bench, options: &Options, rows: usize, name: &str, how: &RowSampling) -> Outcome {
    let vocab = options.size(128_256, 5000);
    let logits = bench.room(rows * vocab * 4)?;
    // As peaked as logits are.
    let values: Vec<f32> = noise(rows * vocab).iter().map(|x| 12.0 * x * x * x).collect();
    write(&logits, 0, &values)?;
    let mut batch = SampleBatch::default();
    batch.fill(&vec![Some(how.clone()); rows], vocab);
    let given = bench.buffer(&batch.rows)?;
    let results = bench.room(rows * size_of::<SampleResult>())?;
    let scratch = bench.room(Sample::scratch_bytes(rows, vocab))?;
    let sample = Sample::load(&bench.kernels)?;
    let call = SampleCall {
        logits: logits.ptr(),
        vocab,
        stride: vocab,
        rows: given.ptr(),
        count: rows,
        edits: DevicePtr::NULL,
        results: results.ptr(),
        tokens: DevicePtr::NULL,
        scratch: scratch.ptr(),
        draws: batch.draws,
    };
    let shape = format!("[{rows}, {vocab}] {name}");
    bench.row("sample", &shape, Work::Bytes(rows * vocab * 4), 1, |stream, _| sample.run(stream, &call));
    Ok(())
}
