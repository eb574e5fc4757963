//! Programs that run on the machine of a GPU: built here, or packed before and carried there.

mod launches;
mod output;
pub mod pack;
pub mod test;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::kernels::archive_path;
use crate::process;

/// Names a HIP library to every program of the project.
const VARIABLE: &str = "ROCMFORGE_HIP_LIBRARY";

/// Which library is used, and whether programs have to be built.
#[derive(Debug, Args)]
pub struct LibraryArgs {
    /// The HIP library [default: the one that ROCMFORGE_HIP_LIBRARY names, the system's, or for an NVIDIA GPU
    /// libhip_on_cuda.so]
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,
    /// A folder that `pack` has filled, whose programs are used instead of building any
    #[arg(long, value_name = "DIR")]
    packed: Option<PathBuf>,
    /// Instead of a device, execute the code objects that `cargo xtask kernels` has built for this target, such as
    /// gfx1100, on the processor, in small cases
    #[arg(long, value_name = "TARGET", conflicts_with = "library")]
    emulate: Option<String>,
}

impl LibraryArgs {
    /// The packed programs, or those that cargo builds in a profile.
    pub fn programs(&self, profile: &'static str) -> Programs {
        self.packed.clone().map_or(Programs::Built { profile }, Programs::Packed)
    }

    /// Whether the device is an emulated one, which takes its time.
    pub fn is_emulated(&self) -> bool {
        self.emulate.is_some()
    }

    /// What was asked for by option or variable.
    fn named(&self) -> Option<PathBuf> {
        let variable = || std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        self.library.clone().or_else(variable)
    }
}

/// A program or shared library of the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Artifact {
    Rocmforge,
    GpuTests,
    /// The tests of `hip-backend` as a program.
    UnitTests,
    HipOnCuda,
    /// Tests of faults need it beside their program.
    FakeHip,
    Xtask,
}

impl Artifact {
    const ALL: [Self; 6] =
        [Self::Rocmforge, Self::GpuTests, Self::UnitTests, Self::HipOnCuda, Self::FakeHip, Self::Xtask];

    /// Its name in a packed folder.
    fn file(self) -> &'static str {
        match self {
            Self::Rocmforge => "rocmforge",
            Self::GpuTests => "gpu-tests",
            Self::UnitTests => "hip-backend-tests",
            Self::HipOnCuda => "libhip_on_cuda.so",
            Self::FakeHip => "libfake_hip.so",
            Self::Xtask => "xtask",
        }
    }

    /// The arguments with which cargo builds it.
    fn cargo(self) -> &'static [&'static str] {
        match self {
            Self::Rocmforge => &["build", "--package", "rocmforge-cli"],
            Self::GpuTests => &["build", "--package", "rocmforge-tests", "--bin", "gpu-tests"],
            Self::UnitTests => &["test", "--no-run", "--package", "rocmforge-hip-backend", "--test", "it"],
            Self::HipOnCuda => &["build", "--package", "rocmforge-hip-on-cuda"],
            Self::FakeHip => &["build", "--package", "rocmforge-fake-hip"],
            Self::Xtask => &["build", "--package", "xtask"],
        }
    }
}

/// Where programs come from.
#[derive(Debug)]
pub enum Programs {
    /// Built when they are needed.
    Built {
        /// Profile of cargo.
        profile: &'static str,
    },
    /// In a folder that `pack` has filled.
    Packed(PathBuf),
}

impl Programs {
    /// The path of a program, which may be built now.
    pub fn get(&self, artifact: Artifact) -> Result<PathBuf> {
        match self {
            Self::Built { profile } => process::build(profile, artifact.cargo(), &[]),
            Self::Packed(folder) => {
                let path = folder.join("bin").join(artifact.file());
                path.canonicalize().with_context(|| format!("{}: was it packed?", path.display()))
            }
        }
    }

    /// Folder of the tests' data.
    fn data(&self) -> PathBuf {
        match self {
            Self::Built { .. } => process::root().join("tests/data"),
            // Programs may be packed alone, and run beside the repository.
            Self::Packed(folder) => {
                let packed = folder.join("data");
                if packed.is_dir() { packed } else { "tests/data".into() }
            }
        }
    }

    /// A library with a device that computes correctly, and the device's name.
    ///
    /// # Errors
    /// Why each library that comes into question cannot be used, and what helps.
    pub fn library(&self, args: &LibraryArgs) -> Result<(Library, String)> {
        let gpu_tests = self.get(Artifact::GpuTests)?;
        if let Some(target) = &args.emulate {
            let library = Library::emulator(self.get(Artifact::FakeHip)?, target)?;
            let device = library.device(&gpu_tests)?;
            return Ok((library, device));
        }
        if let Some(path) = args.named() {
            let path = path.canonicalize().with_context(|| format!("the HIP library {}", path.display()))?;
            let library = Library::file(path);
            let device = library.device(&gpu_tests).map_err(|error| no_device(&[error]))?;
            return Ok((library, device));
        }
        let system = Library::default();
        let first = match system.device(&gpu_tests) {
            Ok(device) => return Ok((system, device)),
            Err(error) => error,
        };
        if matches!(self, Self::Built { .. }) && !Path::new("/dev/nvidiactl").exists() {
            return Err(no_device(&[first]));
        }
        let cuda = Library::file(self.get(Artifact::HipOnCuda)?);
        match cuda.device(&gpu_tests) {
            Ok(device) => Ok((cuda, device)),
            Err(second) => Err(no_device(&[first, second])),
        }
    }
}

/// A HIP library: a file, or whichever the system has.
#[derive(Debug, Default)]
pub struct Library {
    path: Option<PathBuf>,
    /// Variables that it reads.
    variables: Vec<(&'static str, OsString)>,
}

impl Library {
    fn file(path: PathBuf) -> Self {
        Self { path: Some(path), variables: Vec::new() }
    }

    /// The fake library, which executes the code objects of a target.
    fn emulator(fake: PathBuf, target: &str) -> Result<Self> {
        let objects = archive_path(target);
        ensure!(objects.is_file(), "{}: `cargo xtask kernels --arch {target}` builds it", objects.display());
        let mode = ("ROCMFORGE_FAKE_HIP", format!("emulate:{target}").into());
        Ok(Self { path: Some(fake), variables: vec![mode, ("ROCMFORGE_FAKE_HIP_OBJECTS", objects.into())] })
    }

    /// Lets a program use it.
    pub fn name_in(&self, command: &mut Command) {
        match &self.path {
            Some(path) => command.env(VARIABLE, path),
            None => command.env_remove(VARIABLE),
        };
        command.envs(self.variables.iter().cloned());
    }

    /// The name of its first device, which has passed the self-test.
    fn device(&self, gpu_tests: &Path) -> Result<String> {
        let mut command = Command::new(gpu_tests);
        command.arg("device");
        self.name_in(&mut command);
        let name = self.path.as_ref().map_or("the system's HIP library".into(), |path| path.display().to_string());
        let output = process::stdout_of(&mut command).context(name)?;
        Ok(String::from_utf8_lossy(&output).lines().next().unwrap_or_default().to_owned())
    }
}

fn no_device(errors: &[anyhow::Error]) -> anyhow::Error {
    let tried: String = errors.iter().map(|error| format!("\n  {error:#}")).collect();
    anyhow::anyhow!("there is no GPU to run on:{tried}\n{HELP}")
}

const HELP: &str = "\
An AMD GPU needs the kernel driver amdgpu and libamdhip64.so of ROCm; where that lies elsewhere: --library PATH.
An NVIDIA GPU: cargo build -p rocmforge-hip-on-cuda, then --library target/debug/libhip_on_cuda.so.
No GPU: cargo build -p rocmforge-fake-hip, then --library target/debug/libfake_hip.so runs kernels on the processor;
--emulate gfx1100 executes their AMD machine code there.";

/// The program that finds bad memory accesses and races of CUDA kernels.
fn sanitizer() -> Result<PathBuf> {
    const NAME: &str = "compute-sanitizer";
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/local/cuda/bin".into(), "/opt/cuda/bin".into()]);
    match folders.map(|folder| folder.join(NAME)).find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!("{NAME} is not in PATH: it comes with CUDA's toolkit, and serves NVIDIA GPUs alone"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_every_library_and_what_helps() {
        let text = no_device(&[anyhow::anyhow!("first"), anyhow::anyhow!("second")]).to_string();
        assert!(text.contains("\n  first\n  second\n") && text.contains("--library PATH"), "{text}");
    }

    #[test]
    fn an_emulator_needs_code_objects() {
        let error = Library::emulator("fake.so".into(), "gfx0").expect_err("nobody builds these").to_string();
        assert!(error.contains("cargo xtask kernels --arch gfx0"), "{error}");
    }

    #[test]
    fn packed_programs_are_looked_for_in_their_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("bin")).expect("a folder");
        let programs = Programs::Packed(folder.path().to_path_buf());
        let error = programs.get(Artifact::GpuTests).expect_err("it is not there").to_string();
        assert!(error.contains("bin/gpu-tests"), "{error}");
        std::fs::write(folder.path().join("bin/gpu-tests"), "").expect("a file");
        assert!(programs.get(Artifact::GpuTests).is_ok());
    }

    #[test]
    fn files_of_a_packed_folder_have_names_of_their_own() {
        let mut names = Artifact::ALL.map(Artifact::file);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
