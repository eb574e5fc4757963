//! The library under test, and processes of their own for tests that set its environment.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

/// The shared library that was built with this test.
pub fn library() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let library = test.with_file_name("libhip_on_cuda.so");
    assert!(library.is_file(), "{} was not built", library.display());
    library
}

/// Runs one test of this program again, in a process with other variables. The library opens CUDA once a process, so
/// that each setting needs its own.
pub fn in_child(test: &str, variables: &[(&str, &OsStr)]) {
    let mut command = Command::new(std::env::current_exe().expect("the test's own path"));
    command.args(["--exact", test, "--nocapture", "--include-ignored"]).env("HIP_ON_CUDA_TEST_CHILD", "1");
    command.envs(variables.iter().copied());
    let output = command.output().expect("the test starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Whether this process is a child; a test that needs one returns elsewhere.
pub fn is_child() -> bool {
    std::env::var_os("HIP_ON_CUDA_TEST_CHILD").is_some()
}
