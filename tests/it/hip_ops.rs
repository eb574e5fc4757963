//! Ops on the fake HIP library, whose device is the processor, against the reference interpreter: the cheap cases of
//! `gpu-tests ops`.

use std::process::Command;

#[test]
fn ops_match_the_reference() {
    if fake_hip::compiler().is_none() {
        eprintln!("skipped: no C++ compiler, so that the fake HIP library cannot run kernels");
        return;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_gpu-tests"))
        .args(["ops", "--quick"])
        .env(hip_sys::LIBRARY_VARIABLE, fake_hip::library_path())
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let failed: Vec<&str> = text.lines().filter(|line| line.starts_with("FAILED")).collect();
    assert!(output.status.success(), "{}\n{}\n{errors}", failed.join("\n"), text.lines().last().unwrap_or_default());
}
