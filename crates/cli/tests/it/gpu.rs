//! GPUs as a user meets them, on the fake HIP library: chosen, refused, looked at, and failing.
//!
//! The fake compiles kernels with the system's C++ compiler and keeps them; the first run of these tests takes a minute,
//! later ones some seconds.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::{path, refused, rocmforge};

const PROMPT: [&str; 8] = ["generate", "--raw", "--prompt", "What is", "--temperature", "0", "-n", "3"];
const NO_LIBRARY: &str = "/nowhere/libamdhip64.so";
const HINT: &str = "`rocmforge doctor` checks what a GPU needs; --device cpu runs without one";

/// The program with a HIP library and these settings of the fake.
fn with_library(library: &Path, args: &[&str], settings: &[(&str, &str)]) -> Command {
    let mut command = rocmforge(args);
    command.env("ROCMFORGE_HIP_LIBRARY", library);
    command.env("ROCMFORGE_CACHE", kept_kernels()).env("ROCMFORGE_FAKE_HIP_ARCH", "host32");
    for (name, value) in settings {
        command.env(format!("ROCMFORGE_FAKE_HIP_{name}"), value);
    }
    command
}

/// The program on the fake.
fn on_fake(args: &[&str], settings: &[(&str, &str)]) -> Output {
    with_library(&fake_hip::library_path(), args, settings).output().expect("the program starts")
}

/// The program with a HIP library that is not there.
fn without_library(args: &[&str]) -> Output {
    with_library(Path::new(NO_LIBRARY), args, &[]).output().expect("the program starts")
}

/// Compiled kernels, kept between runs of the tests.
fn kept_kernels() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("gpu-tests")
}

fn with(extra: &[&'static str]) -> Vec<&'static str> {
    [&PROMPT[..], extra].concat()
}

/// Without a C++ compiler the fake has no kernels.
fn has_compiler() -> bool {
    let found = fake_hip::compiler().is_some();
    if !found {
        eprintln!("skipped: there is no C++ compiler for the kernels of the fake HIP library");
    }
    found
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn a_gpu_answers_as_the_processor_does() {
    if !has_compiler() {
        return;
    }
    const QUESTION: [&str; 7] =
        ["generate", "--prompt", "What is paged attention?", "--temperature", "0", "-n3", "--json"];
    let on_gpu = json(&on_fake(&[&QUESTION[..], &["--device", "hip:0", "--ctx-size", "64"]].concat(), &[]));
    let on_cpu = json(&rocmforge(&QUESTION).output().expect("the program starts"));
    assert_eq!(on_gpu["text"], "Paged attention keeps");
    assert_eq!(on_gpu["token_ids"], on_cpu["token_ids"]);
    let device = |answer: &serde_json::Value| answer["device"].as_str().expect("a name").to_owned();
    assert!(device(&on_gpu).starts_with("Fake host32"), "{}", device(&on_gpu));
    assert!(device(&on_cpu).starts_with("CPU"), "{}", device(&on_cpu));
}

#[test]
fn kernels_are_compiled_ahead_and_kept() {
    if !has_compiler() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    // How many modules were announced, compiled, and taken from the disk.
    let counts = || {
        let args = with(&["--device", "hip", "--log-level", "rocmforge_hip_backend=debug"]);
        let mut command = with_library(&fake_hip::library_path(), &args, &[]);
        let output = command.env("ROCMFORGE_CACHE", path(folder.path())).output().expect("the program starts");
        let log = text(&output.stderr);
        assert!(output.status.success(), "{log}");
        let announced = log.lines().filter_map(|line| line.split_once("compiling kernels")?.1.split_once("modules="));
        let announced: usize = announced.map(|(_, count)| count.trim().parse::<usize>().expect("a number")).sum();
        let from = |origin: &str| log.lines().filter(|line| line.contains(&format!("origin={origin}"))).count();
        (announced, from("Compiled"), from("Cached"))
    };
    let (announced, compiled, cached) = counts();
    assert!(announced > 10 && cached == 0, "{announced} and {cached}");
    assert_eq!(compiled, announced, "a module is compiled by itself: it is missing in `model/modules.rs`");
    assert_eq!(counts(), (0, 0, compiled));
}

#[test]
fn a_gpu_that_was_asked_for_and_is_not_there_is_an_error() {
    let missing = format!(
        "error: HIP runtime {NO_LIBRARY} does not open: {NO_LIBRARY}: cannot open shared object file: No such file or \
         directory; name another file in ROCMFORGE_HIP_LIBRARY, or unset it\n{HINT}\n"
    );
    let asked = without_library(&with(&["--device", "hip"]));
    assert_eq!((asked.status.code(), text(&asked.stderr)), (Some(1), missing.clone()));
    assert!(asked.stdout.is_empty());
    let strict = without_library(&with(&["--device", "auto", "--strict-gpu"]));
    assert_eq!((strict.status.code(), text(&strict.stderr)), (Some(1), missing));

    let none = on_fake(&with(&["--device", "hip"]), &[("DEVICES", "0")]);
    refused(&none, 1, "the HIP runtime sees no GPU: is the kernel driver (amdgpu) loaded");
}

#[test]
fn auto_runs_on_the_processor_and_says_so() {
    let check = |output: &Output, line: &str| {
        let stderr = text(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        assert_eq!(stderr.lines().filter(|l| l.starts_with("running on the CPU")).collect::<Vec<_>>(), [line]);
        assert!(stderr.contains(" on CPU, ") && !output.stdout.is_empty(), "{stderr}");
    };
    let auto = with(&["--device", "auto"]);
    check(&on_fake(&auto, &[("DEVICES", "0")]), "running on the CPU: the HIP runtime sees no GPU");
    let unusable = |reason: &str| {
        format!("running on the CPU, since the GPU cannot be used: {reason} (--strict-gpu makes this an error)")
    };
    let reason = format!(
        "HIP runtime {NO_LIBRARY} does not open: {NO_LIBRARY}: cannot open shared object file: No such file or \
         directory; name another file in ROCMFORGE_HIP_LIBRARY, or unset it"
    );
    check(&without_library(&auto), &unusable(&reason));

    // A quiet run keeps to itself that there is no GPU, but not that there is a broken one.
    let quiet = with(&["--device", "auto", "--quiet"]);
    assert_eq!(text(&on_fake(&quiet, &[("DEVICES", "0")]).stderr), "");
    assert!(text(&without_library(&quiet).stderr).contains("WARN"));
}

#[test]
fn a_model_that_does_not_fit_runs_on_the_processor_unless_that_is_forbidden() {
    if !has_compiler() {
        return;
    }
    let small = [("MEMORY", "100M")];
    let auto = on_fake(&with(&["--device", "auto"]), &small);
    let stderr = text(&auto.stderr);
    assert!(auto.status.success() && stderr.contains(" on CPU, "), "{stderr}");
    assert!(stderr.contains("running on the CPU, since the GPU cannot be used: out of memory: "), "{stderr}");
    refused(&on_fake(&with(&["--device", "auto", "--strict-gpu"]), &small), 1, "out of memory: ");
    refused(&on_fake(&with(&["--device", "hip"]), &small), 1, "out of memory: ");
    let share = with(&["--device", "hip", "--gpu-memory-fraction", "0.02"]);
    refused(&on_fake(&share, &[]), 1, "out of memory: ");
}

#[test]
fn a_context_that_is_cut_to_the_memory_is_told() {
    if !has_compiler() {
        return;
    }
    let memory = [("MEMORY", "320M")];
    let output = on_fake(&with(&["--device", "hip"]), &memory);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains(" tokens of 4096, which is what fits on the device, KV cache "), "{stderr}");
    let asked = on_fake(&with(&["--device", "hip", "--ctx-size", "4096"]), &memory);
    refused(&asked, 2, "a context of 4096 tokens does not fit on the device beside the model, ");
}

#[test]
fn bad_devices_are_refused() {
    let two = on_fake(&with(&["--device", "hip:7"]), &[("DEVICES", "2")]);
    let name = "Fake host32 (host memory) (host32)";
    let expected = format!("error: there is no HIP device 7; there is hip:0 {name}, hip:1 {name}\n");
    assert_eq!((two.status.code(), text(&two.stderr)), (Some(2), expected));
    for flags in [
        ["--device", "gpu"],
        ["--device", "hip:x"],
        ["--gpu-memory-fraction", "0"],
        ["--gpu-memory-fraction", "1.5"],
        ["--gpu-precision", "half"],
    ] {
        assert_eq!(rocmforge(&with(&flags)).output().expect("the program starts").status.code(), Some(2), "{flags:?}");
    }
}

#[test]
fn devices_are_listed() {
    let list = on_fake(&["devices", "--json"], &[("DEVICES", "2"), ("MEMORY", "64M")]);
    let devices = json(&list);
    let names: Vec<_> = devices.as_array().expect("a list").iter().map(|d| d["device"].as_str()).collect();
    assert_eq!(names, [Some("cpu"), Some("hip:0"), Some("hip:1")]);
    let gpu = &devices[1];
    assert_eq!((gpu["target"].as_str(), gpu["wave_size"].as_u64()), (Some("host32"), Some(32)));
    assert_eq!(gpu["memory_bytes"], 64 << 20);
    let kernels = |what: &str| gpu["kernels"][what].as_u64().expect("a number");
    assert_eq!(kernels("embedded"), 0);
    assert_eq!(kernels("compiled") + kernels("missing"), kernels("total"));

    let table = on_fake(&["devices"], &[]);
    let lines = text(&table.stdout);
    assert_eq!(
        lines.lines().filter(|line| line.starts_with("cpu ") || line.starts_with("hip:0 ")).count(),
        2,
        "{lines}"
    );
    assert!(table.stderr.is_empty(), "{}", text(&table.stderr));

    let none = on_fake(&["devices", "--json"], &[("DEVICES", "0")]);
    assert_eq!(json(&none).as_array().map(Vec::len), Some(1));
    assert!(text(&none.stderr).starts_with("no GPU: the HIP runtime sees no GPU"), "{}", text(&none.stderr));
}

#[test]
fn the_doctor_finds_what_is_wrong() {
    let levels = |output: &Output| -> Vec<(String, String)> {
        let checks: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let word = |check: &serde_json::Value, key: &str| check[key].as_str().expect("a word").to_owned();
        let checks = checks.as_array().expect("a list");
        checks.iter().map(|check| (word(check, "check"), word(check, "status"))).collect()
    };
    let broken = without_library(&["doctor", "--json"]);
    refused(&broken, 1, "1 check failed");
    assert!(levels(&broken).contains(&("HIP runtime".into(), "fail".into())));

    let alone = on_fake(&["doctor"], &[("DEVICES", "0")]);
    // Whether that is a failure depends on the device files of the machine.
    assert!(text(&alone.stdout).contains("the runtime sees none"), "{}", text(&alone.stdout));

    if !has_compiler() {
        return;
    }
    let well = on_fake(&["doctor", "--json"], &[]);
    assert!(well.status.success(), "{}", text(&well.stdout));
    assert!(levels(&well).contains(&("hip:0 self-test".into(), "ok".into())), "{}", text(&well.stdout));

    let wrong = on_fake(&["doctor"], &[("FAULT", "call=hipModuleLaunchKernel at=1 unwritten")]);
    refused(&wrong, 1, "1 check failed");
    let stdout = text(&wrong.stdout);
    assert!(stdout.contains("the self-test of kernel `norm/norm` on Fake host32 (host memory) failed"), "{stdout}");
}

#[test]
fn a_gpu_that_fails_in_the_middle_ends_the_run() {
    if !has_compiler() {
        return;
    }
    let args = with(&["--device", "hip"]);
    for (fault, message) in [
        ("call=hipGraphLaunch at=1 fail=719", "device 0 is lost since hipGraphLaunch answered hipErrorLaunchFailure"),
        ("call=hipModuleLaunchKernel at=150 fail=700 sticky", "device 0 is lost since hipModuleLaunchKernel answered"),
    ] {
        let output = on_fake(&args, &[("FAULT", fault)]);
        refused(&output, 1, message);
        assert!(!output.stdout.is_empty(), "{fault}: some tokens came before");
    }
}
