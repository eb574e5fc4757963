//! `inspect`: what is in a GGUF file.

use std::collections::BTreeMap;

use rocmforge_engine::ModelFile;
use rocmforge_gguf_loader::{Array, TensorInfo, Value as GgufValue};
use rocmforge_model::BuildOptions;
use rocmforge_program::Program;
use rocmforge_program::backend::KvType;
use serde_json::{Map, Value, json};

use crate::args::InspectArgs;
use crate::error::CliError;
use crate::output::{bytes, print_json, print_line};

/// Elements of an array that a listing shows.
const SHOWN: usize = 6;
/// Characters of a text that a listing shows.
const SHOWN_TEXT: usize = 100;

pub fn run(args: &InspectArgs) -> Result<(), CliError> {
    let file = ModelFile::open(&args.file)?;
    // A vocabulary without weights, or an unknown architecture, still has metadata to show.
    let program = rocmforge_model::build(file.gguf(), &BuildOptions::default());
    if args.program
        && let Err(error) = program
    {
        return Err(error.into());
    }
    let program = program.as_ref().map_err(ToString::to_string);
    if args.json { print_json(&as_json(args, &file, program)) } else { as_text(args, &file, program) }
}

fn as_text(args: &InspectArgs, file: &ModelFile, program: Result<&Program, String>) -> Result<(), CliError> {
    let gguf = file.gguf();
    let (count, size) = (gguf.tensors().len(), bytes(file.file_bytes()));
    print_line(&format!("{}: GGUF v{}, {count} tensors, {size}", file.path().display(), gguf.version()))?;
    for warning in gguf.warnings() {
        print_line(&format!("warning: {warning}"))?;
    }
    print_line("\nmetadata")?;
    for (key, value) in gguf.metadata().iter() {
        print_line(&format!("  {key} = {}", shown(value)))?;
    }
    print_line("\ntensor types")?;
    for (name, (tensors, elements, size)) in by_type(gguf.tensors()) {
        print_line(&format!("  {name:<8} {tensors:>5} tensors {elements:>14} elements {:>12}", bytes(size)))?;
    }
    if args.tensors {
        print_line("\ntensors")?;
        for t in gguf.tensors() {
            print_line(&format!(
                "  {:<40} {:<8} {:<20} {:>12}",
                t.name,
                t.ty.name(),
                format!("{:?}", t.shape()),
                bytes(t.size)
            ))?;
        }
    }
    match program {
        Ok(program) => {
            print_line("\nmemory")?;
            print_line(&format!("  weights   {:>12}", bytes(weight_bytes(gguf.tensors()))))?;
            for (context, kv_type, size) in cache_sizes(program) {
                print_line(&format!("  KV cache  {:>12}  {context} tokens in {kv_type}", bytes(size)))?;
            }
            if args.program {
                print_line(&format!("\n{program}"))?;
            }
        }
        Err(reason) => print_line(&format!("\nnot runnable: {reason}"))?,
    }
    Ok(())
}

fn as_json(args: &InspectArgs, file: &ModelFile, program: Result<&Program, String>) -> Value {
    let gguf = file.gguf();
    let metadata: Map<String, Value> = gguf.metadata().iter().map(|(k, v)| (k.to_string(), value_json(v))).collect();
    let types: Map<String, Value> = by_type(gguf.tensors())
        .into_iter()
        .map(|(name, (tensors, elements, bytes))| {
            (name.to_string(), json!({ "tensors": tensors, "elements": elements, "bytes": bytes }))
        })
        .collect();
    let mut value = json!({
        "file": file.path().display().to_string(),
        "version": gguf.version(),
        "alignment": gguf.alignment(),
        "file_bytes": file.file_bytes(),
        "tensor_count": gguf.tensors().len(),
        "metadata": metadata,
        "types": types,
        "weight_bytes": weight_bytes(gguf.tensors()),
    });
    if args.tensors {
        let row = |t: &TensorInfo| json!({ "name": t.name, "type": t.ty.name(), "shape": t.shape(), "bytes": t.size });
        value["tensors"] = gguf.tensors().iter().map(row).collect();
    }
    match program {
        Ok(program) => {
            let row = |(context, kv_type, bytes): (usize, KvType, u64)| json!({ "context": context, "kv_type": kv_type.name(), "bytes": bytes });
            value["kv_cache"] = cache_sizes(program).map(row).collect();
            if args.program {
                value["program"] = program.to_string().into();
            }
        }
        Err(reason) => value["not_runnable"] = reason.into(),
    }
    value
}

/// Tensors, elements and bytes of each type.
fn by_type(tensors: &[TensorInfo]) -> BTreeMap<&'static str, (usize, u64, u64)> {
    let mut types = BTreeMap::new();
    for t in tensors {
        let row: &mut (usize, u64, u64) = types.entry(t.ty.name()).or_default();
        *row = (row.0 + 1, row.1.saturating_add(t.elements()), row.2.saturating_add(t.size));
    }
    types
}

fn weight_bytes(tensors: &[TensorInfo]) -> u64 {
    tensors.iter().fold(0, |sum, t| sum.saturating_add(t.size))
}

/// Cache sizes for the default and the full context.
fn cache_sizes(program: &Program) -> impl Iterator<Item = (usize, KvType, u64)> {
    let full = program.context_length;
    let mut contexts = vec![full.min(4096), full];
    contexts.dedup();
    let per_token = program.cache_elements_per_token();
    contexts.into_iter().flat_map(move |context| {
        [KvType::F16, KvType::Q8_0].map(|t| (context, t, (t.bytes(per_token) as u64).saturating_mul(context as u64)))
    })
}

fn shown(value: &GgufValue) -> String {
    match value {
        GgufValue::String(text) => clipped(text),
        GgufValue::Array(array) => array_shown(array),
        other => value_json(other).to_string(),
    }
}

fn clipped(text: &str) -> String {
    match text.char_indices().nth(SHOWN_TEXT) {
        Some((at, _)) => format!("{:?}… ({} bytes)", &text[..at], text.len()),
        None => format!("{text:?}"),
    }
}

fn array_shown(array: &Array) -> String {
    let Value::Array(items) = array_json(array, SHOWN) else { return String::new() };
    let items: Vec<String> = items.iter().map(|v| v.as_str().map_or(v.to_string(), clipped)).collect();
    let more = if array.len() > SHOWN { ", …" } else { "" };
    format!("[{}{more}] ({} of {})", items.join(", "), array.len(), array.kind().name())
}

fn value_json(value: &GgufValue) -> Value {
    match value {
        GgufValue::U8(x) => (*x).into(),
        GgufValue::I8(x) => (*x).into(),
        GgufValue::U16(x) => (*x).into(),
        GgufValue::I16(x) => (*x).into(),
        GgufValue::U32(x) => (*x).into(),
        GgufValue::I32(x) => (*x).into(),
        GgufValue::U64(x) => (*x).into(),
        GgufValue::I64(x) => (*x).into(),
        GgufValue::F32(x) => float_json(*x),
        GgufValue::F64(x) => json!(x),
        GgufValue::Bool(x) => (*x).into(),
        GgufValue::String(x) => x.as_str().into(),
        GgufValue::Array(array) => array_json(array, usize::MAX),
    }
}

/// The shortest decimal that reads back as the same f32.
fn float_json(x: f32) -> Value {
    x.to_string().parse::<f64>().map_or(Value::Null, |x| json!(x))
}

fn array_json(array: &Array, most: usize) -> Value {
    fn list<T: Copy + Into<Value>>(items: &[T], most: usize) -> Value {
        items.iter().take(most).map(|&x| x.into()).collect()
    }
    match array {
        Array::U8(x) => list(x, most),
        Array::I8(x) => list(x, most),
        Array::U16(x) => list(x, most),
        Array::I16(x) => list(x, most),
        Array::U32(x) => list(x, most),
        Array::I32(x) => list(x, most),
        Array::U64(x) => list(x, most),
        Array::I64(x) => list(x, most),
        Array::F64(x) => list(x, most),
        Array::Bool(x) => list(x, most),
        Array::F32(x) => x.iter().take(most).map(|&x| float_json(x)).collect(),
        Array::String(x) => {
            x.iter().take(most).map(|x| String::from_utf8_lossy(x).into_owned().into()).collect::<Vec<Value>>().into()
        }
    }
}
