//! Kernels by name: compiled once, kept on the disk, and what happens when that goes wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rocmforge_hip_backend::library::{CacheFolder, KernelError, KernelOptions, Kernels, Origin, Prepared};

use crate::device::{PrivateFake, has_compiler};

const MODULE: &str = "elementwise/maps";
const KERNEL: &str = "scale_f32";
/// Numbers of HIP's status codes.
const OUT_OF_MEMORY: u32 = 2;
const INVALID_IMAGE: u32 = 200;

/// A fake device and a folder for its kernels.
struct Bench {
    fake: PrivateFake,
    folder: tempfile::TempDir,
}

impl Bench {
    /// `None` where the fake has no compiler.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        has_compiler().then(|| Self { fake: PrivateFake::new(), folder })
    }

    /// What a program that starts now would have.
    fn kernels(&self) -> Kernels {
        self.kernels_with(&[])
    }

    fn kernels_with(&self, defines: &[(&str, &str)]) -> Kernels {
        let mut options = KernelOptions::default();
        options.cache = CacheFolder::At(self.folder.path().to_path_buf());
        options.embedded = false;
        options.defines = defines.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Kernels::new(&self.fake.device(0), options)
    }

    fn compilations(&self) -> u64 {
        self.fake.fake.call_count("hiprtcCompileProgram")
    }

    /// Where a program that starts now finds the module.
    fn origin(&self) -> Origin {
        let origin = Mutex::new(None);
        let tell = |progress: rocmforge_hip_backend::library::Progress<'_>| {
            *origin.lock().expect("nobody panics") = progress.origin;
        };
        self.kernels().prepare(&[MODULE], &tell).expect("the module loads");
        origin.into_inner().expect("nobody panics").expect("the module was not there before")
    }

    fn kept(&self) -> Vec<PathBuf> {
        files(self.folder.path())
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("the folder is there").map(|entry| entry.expect("an entry").path()).collect()
}

#[test]
fn modules_are_compiled_once_and_then_taken_from_the_disk() {
    let Some(bench) = Bench::new() else { return };
    let modules = ["elementwise/maps", "elementwise/gate", "norm/norm"];
    let told = Mutex::new(Vec::new());
    let prepare = |kernels: &Kernels| {
        kernels.prepare(&modules, &|p| told.lock().expect("nobody panics").push((p.done, p.total, p.module.to_owned())))
    };
    let first = bench.kernels();
    assert_eq!(counts(prepare(&first).expect("all compile")), [0, 0, 3, 0]);
    assert_eq!(counts(prepare(&first).expect("all are there")), [0, 0, 0, 3]);
    assert_eq!(counts(prepare(&bench.kernels()).expect("all are on the disk")), [0, 3, 0, 0]);
    assert_eq!((bench.compilations(), bench.kept().len()), (3, 3));

    let told = told.into_inner().expect("nobody panics");
    assert_eq!(told.iter().map(|(done, ..)| *done).collect::<Vec<_>>(), [1, 2, 3, 1, 2, 3, 1, 2, 3]);
    let mut names: Vec<&str> = told[..3].iter().map(|(.., name)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["elementwise/gate", "elementwise/maps", "norm/norm"]);
    assert_eq!(first.function(MODULE, KERNEL).expect("the kernel is there").name(), KERNEL);
    assert_eq!(bench.compilations(), 3);
}

fn counts(prepared: Prepared) -> [usize; 4] {
    [prepared.embedded, prepared.cached, prepared.compiled, prepared.loaded]
}

#[test]
fn a_damaged_file_is_compiled_again() {
    let Some(bench) = Bench::new() else { return };
    assert_eq!((bench.origin(), bench.origin()), (Origin::Compiled, Origin::Cached));
    let path = bench.kept().remove(0);
    let whole = fs::read(&path).expect("the file is there");
    for damaged in
        [&whole[..whole.len() - 1], &whole[..10], &[], &[&whole[..100], &[!whole[100]], &whole[101..]].concat()]
    {
        fs::write(&path, damaged).expect("the file can be written");
        assert_eq!((bench.origin(), bench.origin()), (Origin::Compiled, Origin::Cached));
    }
    assert_eq!(fs::read(&path).expect("the file is there again").len(), whole.len());
}

#[test]
fn what_the_device_refuses_is_compiled_again_once() {
    let Some(bench) = Bench::new() else { return };
    bench.origin();
    bench.fake.fail_next("hipModuleLoadData", INVALID_IMAGE);
    assert_eq!(bench.origin(), Origin::Compiled);
    assert_eq!((bench.origin(), bench.compilations()), (Origin::Cached, 2));

    // A compiler whose code the device refuses is an error, not an endless loop.
    bench.kept().into_iter().for_each(|path| fs::remove_file(path).expect("the file can be removed"));
    bench.fake.fail_next("hipModuleLoadData", INVALID_IMAGE);
    let error = bench.kernels().function(MODULE, KERNEL).map(drop).expect_err("the device refuses");
    assert!(matches!(error, KernelError::Load { .. }), "{error}");
    assert_eq!(bench.compilations(), 3);
}

#[test]
fn out_of_memory_is_no_reason_to_compile() {
    let Some(bench) = Bench::new() else { return };
    bench.origin();
    bench.fake.fail_next("hipModuleLoadData", OUT_OF_MEMORY);
    let error = bench.kernels().function(MODULE, KERNEL).map(drop).expect_err("memory is out");
    assert!(matches!(&error, KernelError::Load { source, .. } if source.is_out_of_memory()), "{error}");
    assert_eq!((bench.compilations(), bench.kept().len()), (1, 1));
    // The next call may succeed.
    assert_eq!(bench.origin(), Origin::Cached);
}

#[test]
fn a_source_that_does_not_compile_shows_the_compilers_words() {
    let Some(bench) = Bench::new() else { return };
    match bench.kernels_with(&[("half", "?")]).function(MODULE, KERNEL).map(drop) {
        Err(KernelError::Compile { module, log, .. }) => assert!(module == MODULE && log.contains("error"), "{log}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.kept(), [""; 0].map(PathBuf::from));
    // The other modules and the other options are not concerned.
    assert_eq!(bench.origin(), Origin::Compiled);
}

#[test]
fn a_failure_of_hiprtc_names_the_call() {
    let Some(bench) = Bench::new() else { return };
    for call in ["hiprtcCreateProgram", "hiprtcCompileProgram", "hiprtcGetCodeSize", "hiprtcGetCode"] {
        bench.fake.fail_next(call, 1);
        match bench.kernels().function(MODULE, KERNEL).map(drop) {
            Err(KernelError::Rtc { call: named, .. }) => assert_eq!(named, call),
            other => panic!("{call}: {other:?}"),
        }
    }
    assert_eq!(bench.kept().len(), 0);
    assert_eq!(bench.origin(), Origin::Compiled);
}

#[test]
fn names_that_the_table_lacks_are_errors() {
    let Some(bench) = Bench::new() else { return };
    let kernels = bench.kernels();
    let error = kernels.function("attic/attic", "k").map(drop).expect_err("there is no such module");
    assert!(matches!(error, KernelError::UnknownModule { .. }), "{error}");
    let error = kernels.function(MODULE, "norm_rows1").map(drop).expect_err("the kernel is another module's");
    assert!(matches!(error, KernelError::UnknownKernel { .. }), "{error}");
    let error = kernels.prepare(&[MODULE, "attic/attic"], &|_| ()).expect_err("one of them is unknown");
    assert!(matches!(error, KernelError::UnknownModule { .. }), "{error}");
}

#[test]
fn threads_that_want_the_same_module_share_one_compilation() {
    let Some(bench) = Bench::new() else { return };
    let kernels = bench.kernels();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| kernels.function(MODULE, KERNEL).expect("the kernel is there"));
        }
    });
    assert_eq!((bench.compilations(), bench.fake.fake.call_count("hipModuleLoadData")), (1, 1));
}

#[test]
fn programs_that_start_together_share_the_folder() {
    let Some(bench) = Bench::new() else { return };
    let programs: Vec<Kernels> = (0..4).map(|_| bench.kernels()).collect();
    std::thread::scope(|scope| {
        for kernels in &programs {
            scope.spawn(|| kernels.function(MODULE, KERNEL).expect("the kernel is there"));
        }
    });
    assert_eq!((bench.kept().len(), bench.origin()), (1, Origin::Cached));
}

#[test]
fn kernels_release_what_they_loaded() {
    let Some(bench) = Bench::new() else { return };
    let before = bench.fake.live();
    let kernels = bench.kernels();
    let function = kernels.function(MODULE, KERNEL).expect("the kernel is there");
    drop(kernels);
    assert_ne!(bench.fake.live(), before, "the function keeps its module");
    drop(function);
    assert_eq!(bench.fake.live(), before);
}
