//! Opening libraries: what is wrong is said with the library, the symbol and the way out.

use std::path::{Path, PathBuf};
use std::process::Command;

use hip_sys::library::{SharedLibrary, Wanted};
use hip_sys::rtc_table::RtcFunctions;
use hip_sys::runtime_table::RuntimeFunctions;
use hip_sys::{Api, LoadError, Rtc, Version, hipError_t};

/// A C file of functions that return their place in the list.
fn source(symbols: &[&str]) -> String {
    let bodies = symbols.iter().enumerate().map(|(i, symbol)| format!("int {symbol}(void) {{ return {i}; }}\n"));
    bodies.collect()
}

/// Builds a shared library, or `None` without a C compiler.
fn build(folder: &Path, name: &str, source: &str) -> Option<PathBuf> {
    let (c, library) = (folder.join(format!("{name}.c")), folder.join(format!("lib{name}.so")));
    std::fs::write(&c, source).expect("the C file");
    let status = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&c).status();
    match status {
        Ok(status) => assert!(status.success(), "cc fails"),
        Err(error) => {
            println!("skipped: no C compiler ({error})");
            return None;
        }
    }
    Some(library)
}

fn all_symbols() -> Vec<&'static str> {
    RuntimeFunctions::REQUIRED.iter().chain(RtcFunctions::REQUIRED).copied().collect()
}

#[test]
fn every_required_symbol_is_resolved_by_its_own_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let symbols = all_symbols();
    let Some(library) = build(folder.path(), "whole", &source(&symbols)) else { return };
    let api = Api::open_path(&library).expect("a whole library");
    let place = |name: &str| hipError_t(symbols.iter().position(|s| *s == name).expect("in the list") as u32);
    // SAFETY: the functions of this library take nothing and return a number.
    let (init, last) = unsafe { (api.hipInit(0), api.hipGetLastError()) };
    assert_eq!(init, place("hipInit"));
    assert_eq!(last, place("hipGetLastError"));
    assert_eq!(api.path(), library);

    // The library lacks the optional functions, which answer for themselves.
    // SAFETY: nothing is called.
    let absent = unsafe { api.hipGetDevicePropertiesR0600(std::ptr::null_mut(), 0) };
    assert_eq!(absent, hipError_t::hipErrorNotSupported);

    let rtc = Rtc::open(&api).expect("hipRTC in the same library");
    assert_eq!(rtc.path(), library);
}

#[test]
fn a_missing_symbol_is_named_with_the_library_and_its_version() {
    let folder = tempfile::tempdir().expect("a folder");
    let version = "int hipRuntimeGetVersion(int *v) { *v = 50221153; return 0; }\n";
    let symbols: Vec<&str> =
        all_symbols().into_iter().filter(|s| !["hipGraphLaunch", "hipRuntimeGetVersion"].contains(s)).collect();
    let Some(library) = build(folder.path(), "old", &(source(&symbols) + version)) else { return };
    let error = Api::open_path(&library).expect_err("a symbol is missing");
    assert!(
        matches!(&error, LoadError::MissingSymbol { symbol: "hipGraphLaunch", version: Some(Version(50_221_153)), .. }),
        "{error:?}"
    );
    let text = error.to_string();
    for part in ["libold.so", "hipGraphLaunch", "version 5.2.21153", "ROCm 5.7", "ROCMFORGE_HIP_LIBRARY"] {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}

#[test]
fn a_file_that_is_no_library_is_named_with_the_variable() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("text.so");
    std::fs::write(&file, "no library").expect("the file");
    for path in [file, folder.path().join("absent.so")] {
        let error = Api::open_path(&path).expect_err("no library");
        assert!(matches!(error, LoadError::Open { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&path.display().to_string()) && text.contains("ROCMFORGE_HIP_LIBRARY"), "{text}");
    }
}

#[test]
fn a_search_without_result_lists_every_attempt_and_the_packages() {
    let wanted = Wanted {
        what: "imaginary library",
        names: &["libimaginary.so.2", "libimaginary.so.1"],
        folders: &["/nowhere/lib"],
        variable: "IMAGINARY_LIBRARY",
        packages: "package: imaginary",
    };
    let error = SharedLibrary::open(&wanted).expect_err("there is none");
    let LoadError::NotFound { tried, .. } = &error else { panic!("{error:?}") };
    assert_eq!(tried.len(), 4, "both names, plain and in the folder");
    let text = error.to_string();
    for part in ["libimaginary.so.2 (no such file)", "/nowhere/lib/libimaginary.so.1", "package: imaginary"] {
        assert!(text.contains(part), "no `{part}` in: {text}");
    }
}
