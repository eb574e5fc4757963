//! Bad input: a clear line and an exit code, never a panic.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::{demo_model, path, refused, rocmforge, run};

#[test]
fn bad_model_files_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        let at = folder.path().join(name);
        fs::write(&at, bytes).expect("written");
        at
    };
    let model = fs::read(demo_model()).expect("the demo model");
    let check = |model: &str, message: &str| {
        refused(&run(&["generate", "--prompt", "Hi", "-m", model]), 2, message);
        refused(&run(&["inspect", model]), 2, message);
    };
    check(path(&folder.path().join("none.gguf")), "No such file");
    check(path(folder.path()), "is a directory");
    check(path(&file("empty.gguf", b"")), "empty.gguf");
    check(path(&file("text.gguf", b"This is no model at all, but some text.")), "text.gguf");
    check(path(&file("header.gguf", &model[..1000])), "header.gguf");
    check(path(&file("cut.gguf", &model[..model.len() - 1])), "cut.gguf");
    #[cfg(unix)]
    check("/dev/zero", "not a regular file");
}

#[test]
fn bad_prompts_are_refused() {
    refused(&run(&["generate", "--prompt", ""]), 2, "the prompt is empty");
    refused(&run(&["generate", "--prompt", &"word ".repeat(5000)]), 2, "and the context 4096");
    refused(&run(&["generate", "--prompt", "Hi", "--ctx-size", "8"]), 2, "and the context 8");
    refused(&run(&["generate", "--prompt-file", "/nowhere/at/all"]), 2, "cannot read /nowhere/at/all");
}

#[test]
fn bad_usage_exits_with_2() {
    for args in [
        &["generate", "--no-such-flag"][..],
        &["no-such-command"],
        &["generate", "--prompt", "a", "--prompt-file", "b"],
        &["generate", "--prompt", "a", "--temperature", "hot"],
        &["generate", "--prompt", "a", "--logit-bias", "5"],
        &["quantize", "only-one"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
    }
    refused(&run(&["generate", "--prompt", "a", "--temperature", "NaN"]), 2, "temperature");
    refused(&run(&["generate", "--prompt", "a", "--top-p", "1.5"]), 2, "top_p");
    refused(&run(&["generate", "--prompt", "a", "--threads", "0"]), 2, "threads");
    refused(&run(&["bench", "--repeat", "0"]), 2, "--repeat");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = rocmforge(&["generate", "--prompt", "What is ROCm?", "--ignore-eos", "-q"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[cfg(unix)]
#[test]
fn ctrl_c_exits_130() {
    let mut child = rocmforge(&["generate", "--raw", "--prompt", "Once", "--ignore-eos", "--ctx-size", "200000", "-q"])
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    // Long enough to be generating; the answer would take many seconds.
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(start.elapsed() < Duration::from_secs(5));
}
