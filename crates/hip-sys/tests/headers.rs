//! The bindings against the C headers themselves.
//!
//! `ROCMFORGE_HIP_HEADERS` is a command that compiles C from its standard input with HIP's headers, such as
//! `clang -x c -D__HIP_PLATFORM_AMD__ -fsyntax-only -`; without it the tests say that they were skipped.

use std::fmt::Write as _;
use std::io::Write as _;
use std::mem::{align_of, offset_of, size_of};
use std::process::{Command, Stdio};

use hip_sys::*;

const INCLUDES: &str = "#include <stddef.h>\n#include <hip/hip_runtime_api.h>\n#include <hip/hip_deprecated.h>\n\
                        #include <hip/library_types.h>\n#include <hip/hiprtc.h>\n";

/// Compiles assertions behind the headers; `None` without a compiler to ask.
fn compile(assertions: &str) -> Option<Result<(), String>> {
    let Ok(command) = std::env::var("ROCMFORGE_HIP_HEADERS") else {
        println!("skipped: ROCMFORGE_HIP_HEADERS names no compiler");
        return None;
    };
    let mut words = command.split_whitespace();
    let mut child = Command::new(words.next().expect("a program"))
        .args(words)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the compiler starts");
    let source = format!("{INCLUDES}{assertions}");
    child.stdin.take().expect("a pipe").write_all(source.as_bytes()).expect("the source is read");
    let output = child.wait_with_output().expect("the compiler ends");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(if output.status.success() { Ok(()) } else { Err(errors) })
}

fn check(assertions: &str) {
    if let Some(result) = compile(assertions) {
        result.unwrap_or_else(|errors| panic!("{errors}"));
    }
}

fn equal(c: &str, rust: impl std::fmt::Display) -> String {
    format!("_Static_assert(({c}) == {rust}, \"{}\");\n", c.replace('"', "'"))
}

macro_rules! layout {
    ($name:ident: $($field:ident),*) => {{
        let mut text = equal(concat!("sizeof(", stringify!($name), ")"), size_of::<$name>());
        text += &equal(concat!("_Alignof(", stringify!($name), ")"), align_of::<$name>());
        $(text += &equal(concat!("offsetof(", stringify!($name), ", ", stringify!($field), ")"), offset_of!($name, $field));)*
        text
    }};
}

#[test]
fn structs_have_the_layout_of_the_headers() {
    let mut text = layout!(hipDeviceProp_tR0600: name, uuid, totalGlobalMem, sharedMemPerBlock, warpSize, maxThreadsDim,
        multiProcessorCount, integrated, l2CacheSize, gcnArchName, arch, hdpMemFlushCntl, isLargeBar, asicRevision);
    text += &layout!(hipDeviceProp_tR0000: name, totalGlobalMem, warpSize, maxThreadsDim, multiProcessorCount, arch,
        gcnArchName, integrated, isLargeBar, asicRevision);
    text += &layout!(hipUUID: bytes);
    text += &layout!(hipDeviceArch_t:);
    check(&text);
}

#[test]
fn enumerations_have_the_values_of_the_headers() {
    let mut text = String::new();
    let mut all = |values: Vec<(&str, i64)>| text.extend(values.into_iter().map(|(name, value)| equal(name, value)));
    all(hipError_t::ALL.iter().map(|(name, v)| (*name, i64::from(v.0))).collect());
    all(hipDeviceAttribute_t::ALL.iter().map(|(name, v)| (*name, i64::from(v.0))).collect());
    all(hipMemcpyKind::ALL.iter().map(|(name, v)| (*name, i64::from(v.0))).collect());
    all(hipFunction_attribute::ALL.iter().map(|(name, v)| (*name, i64::from(v.0))).collect());
    all(hipFuncAttribute::ALL.iter().map(|(name, v)| (*name, i64::from(v.0))).collect());
    all(hipStreamCaptureMode::ALL.iter().map(|(name, v)| (*name, i64::from(v.0))).collect());
    all(hipDataType::ALL.iter().map(|(name, v)| (*name, i64::from(v.0))).collect());
    all(hiprtcResult::ALL.iter().map(|(name, v)| (*name, i64::from(v.0))).collect());
    check(&text);
}

#[test]
fn handles_and_enumerations_have_the_size_of_c() {
    let mut text = String::new();
    for (c, size) in [
        ("hipError_t", size_of::<hipError_t>()),
        ("hipDeviceAttribute_t", size_of::<hipDeviceAttribute_t>()),
        ("hipMemcpyKind", size_of::<hipMemcpyKind>()),
        ("hiprtcResult", size_of::<hiprtcResult>()),
        ("hipDevice_t", size_of::<hipDevice_t>()),
        ("hipStream_t", size_of::<hipStream_t>()),
        ("hipDeviceptr_t", size_of::<hipDeviceptr_t>()),
    ] {
        let _ = write!(text, "{}", equal(&format!("sizeof({c})"), size));
    }
    check(&text);
}

#[test]
fn a_wrong_layout_would_be_seen() {
    if let Some(result) = compile(&equal("sizeof(hipDeviceProp_tR0600)", size_of::<hipDeviceProp_tR0600>() + 8)) {
        assert!(result.is_err(), "the compiler accepts a false assertion");
    }
}
