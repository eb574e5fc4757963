//! `quantize`: a model in another quantization.

mod mix;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use rocmforge_engine::ModelFile;
use rocmforge_gguf_loader::{GgufError, Metadata, TensorInfo, Value, Writer};
use rocmforge_quant::{GgmlType, QuantError, dequantize, quantize};

use crate::args::{Cli, QuantizeArgs};
use crate::error::CliError;
use crate::output::{self, bytes};
use mix::{MIXES, Mix, Shape};

/// Elements that a thread converts at a time: bounds the memory, not the result.
const PIECE: usize = 1 << 22;

pub fn run(cli: &Cli, args: &QuantizeArgs) -> Result<(), CliError> {
    let mix = Mix::named(&args.kind).ok_or_else(|| {
        let known: Vec<_> = MIXES.iter().map(|m| m.name).collect();
        CliError::BadInput(format!("no type `{}`; there are {}", args.kind, known.join(", ")))
    })?;
    check_output(args)?;
    let file = ModelFile::open(&args.input)?;
    let plan = plan(&file, mix, args.pure)?;
    if plan.iter().any(|(info, ty)| info.ty.is_quantized() && info.ty != *ty) {
        eprintln!(
            "warning: {} is quantized already, so errors add up; F32, F16 or BF16 files are better",
            args.input.display()
        );
    }
    let partial = args.output.with_added_extension("partial");
    let failed = |source| CliError::Write { path: partial.clone(), source };
    let out = BufWriter::with_capacity(1 << 20, File::create(&partial).map_err(failed)?);
    let written = write(&file, &plan, mix, cli.common.threads.max(1), out).and_then(|out| {
        let file = out.into_inner().map_err(|e| failed(e.into_error()))?;
        file.sync_all().map_err(failed)
    });
    if let Err(error) = written {
        // What is there is of no use; if it cannot be removed, the first error matters more.
        let _ = fs::remove_file(&partial);
        return Err(error);
    }
    fs::rename(&partial, &args.output).map_err(|source| CliError::Write { path: args.output.clone(), source })?;
    report(&file, &args.output)
}

fn check_output(args: &QuantizeArgs) -> Result<(), CliError> {
    if !args.output.exists() {
        return Ok(());
    }
    let same = |p: &Path| fs::canonicalize(p).ok();
    if same(&args.input) == same(&args.output) {
        return Err(CliError::BadInput("IN and OUT are the same file".into()));
    }
    if !args.force {
        return Err(CliError::BadInput(format!("{} exists: --force replaces it", args.output.display())));
    }
    Ok(())
}

/// Every tensor with its new type.
fn plan<'a>(file: &'a ModelFile, mix: &Mix, pure: bool) -> Result<Vec<(&'a TensorInfo, GgmlType)>, CliError> {
    let gguf = file.gguf();
    let shape =
        shape_of(gguf.metadata(), gguf.tensor("output.weight").is_none()).map_err(|e| invalid(file.path(), e))?;
    Ok(gguf.tensors().iter().map(|t| (t, mix.type_for(&t.name, &t.dims, shape, pure).unwrap_or(t.ty))).collect())
}

fn shape_of(metadata: &Metadata, tied: bool) -> Result<Shape, GgufError> {
    let architecture = metadata.require_str("general.architecture")?;
    let number = |key: &str| metadata.get_u32(&format!("{architecture}.{key}"));
    let heads = number("attention.head_count").unwrap_or(None).unwrap_or(1) as usize;
    // Some models have a number a layer; then the rule for grouped heads does not apply.
    let kv_heads = number("attention.head_count_kv").unwrap_or(None).map_or(heads, |n| n as usize);
    let layers = number("block_count")?.unwrap_or(0) as usize;
    Ok(Shape { layers, heads_per_kv: heads / kv_heads.max(1), tied })
}

fn invalid(path: &Path, source: GgufError) -> CliError {
    rocmforge_engine::EngineError::Gguf { path: path.to_path_buf(), source }.into()
}

fn write<W: Write>(
    file: &ModelFile,
    plan: &[(&TensorInfo, GgmlType)],
    mix: &Mix,
    threads: usize,
    out: W,
) -> Result<W, CliError> {
    let failed = |e: GgufError| CliError::Failed(format!("cannot write the new file: {e}"));
    let mut writer = Writer::new(new_metadata(file.gguf().metadata(), mix));
    for (info, ty) in plan {
        writer.add(&info.name, info.dims.clone(), *ty);
    }
    let mut sink = writer.begin(out).map_err(failed)?;
    let total = plan.iter().map(|(info, _)| info.size).sum();
    let bar = output::progress(total, "{bar:30} {bytes}/{total_bytes} {eta} left  {msg}");
    for (info, ty) in plan {
        bar.set_message(format!("{} {} → {}", info.name, info.ty.name(), ty.name()));
        let data = file.gguf().data(info);
        if info.ty == *ty {
            sink.write_piece(data).map_err(failed)?;
            bar.inc(info.size);
        } else {
            convert(info, data, *ty, threads, &bar, &mut |piece| sink.write_piece(piece).map_err(failed))?;
        }
    }
    bar.finish_and_clear();
    sink.finish().map_err(failed)
}

fn new_metadata(old: &Metadata, mix: &Mix) -> Metadata {
    let mut metadata = Metadata::new();
    for (key, value) in old.iter().filter(|(key, _)| !key.starts_with("split.")) {
        metadata.insert(key, value.clone());
    }
    metadata.insert("general.file_type", Value::U32(mix.file_type));
    metadata.insert("general.quantization_version", Value::U32(2));
    metadata
}

/// Converts a tensor piece by piece, the rows of each piece shared among the threads.
fn convert(
    info: &TensorInfo,
    data: &[u8],
    ty: GgmlType,
    threads: usize,
    bar: &ProgressBar,
    write: &mut dyn FnMut(&[u8]) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let cols = info.dims.first().copied().unwrap_or(1) as usize;
    let sizes = info.ty.row_bytes(cols).zip(ty.row_bytes(cols));
    let (old_row, new_row) =
        sizes.ok_or_else(|| CliError::Failed(format!("tensor `{}`: rows of {cols}", info.name)))?;
    let rows_a_thread = (PIECE / cols.max(1)).max(1);
    let bad = |e: QuantError| CliError::Failed(format!("tensor `{}`: {e}", info.name));
    for piece in data.chunks(old_row * rows_a_thread * threads) {
        let mut new = vec![0u8; piece.len() / old_row * new_row];
        let shares = piece.chunks(old_row * rows_a_thread).zip(new.chunks_mut(new_row * rows_a_thread));
        let one = |(old, new): (&[u8], &mut [u8])| {
            let mut floats = vec![0f32; old.len() / old_row * cols];
            dequantize(info.ty, old, &mut floats)?;
            quantize(ty, &floats, cols, None, new)
        };
        std::thread::scope(|scope| {
            let running: Vec<_> = shares.map(|share| scope.spawn(move || one(share))).collect();
            running.into_iter().try_for_each(|t| match t.join() {
                Ok(result) => result.map_err(bad),
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        write(&new)?;
        bar.inc(piece.len() as u64);
    }
    Ok(())
}

fn report(input: &ModelFile, output: &PathBuf) -> Result<(), CliError> {
    let new = ModelFile::open(output)?;
    let elements: u64 = new.gguf().tensors().iter().map(TensorInfo::elements).sum();
    let bits = new.gguf().tensors().iter().map(|t| t.size).sum::<u64>() as f64 * 8.0 / elements.max(1) as f64;
    eprintln!(
        "{}: {} → {}, {bits:.2} bits a weight",
        output.display(),
        bytes(input.file_bytes()),
        bytes(new.file_bytes())
    );
    Ok(())
}
