//! Golden models on an emulated AMD GPU, which executes the code objects that hipcc made of the kernels.

use std::process::Command;

use rocmforge_tests::data;

/// Fast and exact, a whole prompt in tiles and token by token.
#[test]
fn llama() {
    let variables = match fake_hip::emulated(&data("kernels/gfx1100.bin")) {
        Ok(variables) => variables,
        Err(error) => return eprintln!("skipped: {error}"),
    };
    let cache = tempfile::tempdir().expect("a folder");
    let mut program = Command::new(env!("CARGO_BIN_EXE_gpu-tests"));
    program.arg("--data").arg(data("")).args(["golden", "--exact", "llama"]);
    let output = program.envs(variables).env("ROCMFORGE_CACHE", cache.path()).output().expect("gpu-tests starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}
