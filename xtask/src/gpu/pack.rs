//! `cargo xtask pack`: programs and data in a folder that can be carried to a machine with a GPU and without Rust.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use super::Artifact;
use crate::process;

/// The oldest glibc that the programs are to run with.
const GLIBC: (u32, u32) = (2, 35);

/// Folders of `tests/data` that the parts of `test-gpu` read.
const DATA: [&str; 2] = ["golden", "demo"];

/// The programs, and what they are packed in.
const BIN: &str = "bin";
const ARCHIVE: &str = "bin.tar.xz";

/// Options of `pack`.
#[derive(Debug, Args)]
pub struct PackArgs {
    /// Folder to fill; what an earlier `pack` has left there is replaced
    dir: PathBuf,
    /// What is packed. Programs suffice where the repository is at hand, and `run.sh` is started in it
    #[arg(long, value_enum, value_delimiter = ',', default_value = "programs,data")]
    what: Vec<What>,
    /// AMD targets whose code objects are embedded, out of those that `cargo xtask kernels` has built. They are in each
    /// program; without any, kernels are compiled on the GPU's machine
    #[arg(long, value_delimiter = ',', value_name = "TARGET,...")]
    targets: Vec<String>,
    /// Profile of cargo
    #[arg(long, default_value = "packed", value_name = "NAME")]
    profile: String,
    /// Largest size of the folder
    #[arg(long, default_value_t = 60, value_name = "MIB")]
    max_mib: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// The programs and libraries, and `run.sh`
    Programs,
    /// Golden models, the bundled model's files, and held-out text
    Data,
}

/// Fills the folder.
pub fn run(args: &PackArgs) -> Result<()> {
    make_room(&args.dir)?;
    if args.what.contains(&What::Programs) {
        pack_programs(args)?;
    }
    if args.what.contains(&What::Data) {
        for folder in DATA {
            let from = process::root().join("tests/data").join(folder);
            copy_folder(&from, &args.dir.join("data").join(folder))?;
        }
    }
    let files = files(&args.dir)?;
    let bytes: u64 = files.iter().map(|(_, bytes)| bytes).sum();
    println!("{}: {} files, {:.1} MiB", args.dir.display(), files.len(), mib(bytes));
    ensure!(bytes <= args.max_mib << 20, "more than {} MiB; the largest files:{}", args.max_mib, largest(files));
    Ok(())
}

fn pack_programs(args: &PackArgs) -> Result<()> {
    let targets = if args.targets.is_empty() { "none".to_owned() } else { args.targets.join(",") };
    let bin = args.dir.join(BIN);
    fs::create_dir_all(&bin)?;
    let mut newest = (0, 0);
    for artifact in Artifact::ALL {
        let built = process::build(&args.profile, artifact.cargo(), &[("ROCMFORGE_EMBED_KERNELS", &targets)])?;
        let to = bin.join(artifact.file());
        fs::copy(&built, &to).with_context(|| format!("copying {}", built.display()))?;
        let needs = glibc(&fs::read(&to)?);
        ensure!(needs <= GLIBC, "{} needs glibc {}: pack on an older system", artifact.file(), text(needs));
        newest = newest.max(needs);
    }
    compress(&args.dir)?;
    let script = args.dir.join("run.sh");
    fs::write(&script, include_str!("run.sh").replace("@GLIBC@", &text(newest)))?;
    make_executable(&script)
}

/// Puts the programs into an archive, which takes a third of their room.
fn compress(dir: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    // A dictionary as large as all of them: two hold the same model.
    tar.arg("-C").arg(dir).args(["-cJf"]).arg(dir.join(ARCHIVE)).arg(BIN).env("XZ_OPT", "-9");
    process::stdout_of(&mut tar)?;
    fs::remove_dir_all(dir.join(BIN))?;
    Ok(())
}

fn text((major, minor): (u32, u32)) -> String {
    format!("{major}.{minor}")
}

/// Makes the folder, or removes what was packed before. One with other files is refused.
fn make_room(dir: &Path) -> Result<()> {
    let own = ["run.sh", ARCHIVE, BIN, "data", "cache"];
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        ensure!(own.iter().any(|own| name == *own), "{} holds {name:?}, which `pack` has not put there", dir.display());
    }
    for name in [BIN, "data"].map(|name| dir.join(name)).iter().filter(|path| path.is_dir()) {
        fs::remove_dir_all(name)?;
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let (entry, to) = (entry?.path(), to);
        let to = to.join(entry.file_name().unwrap_or_default());
        if entry.is_dir() {
            copy_folder(&entry, &to)?;
        } else {
            fs::copy(&entry, &to).with_context(|| format!("copying {}", entry.display()))?;
        }
    }
    Ok(())
}

/// All packed files with their sizes; a cache from an earlier run does not count.
fn files(dir: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.join(ARCHIVE), dir.join("run.sh"), dir.join("data")];
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            for entry in fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        } else if path.is_file() {
            let bytes = path.metadata()?.len();
            found.push((path, bytes));
        }
    }
    Ok(found)
}

fn largest(mut files: Vec<(PathBuf, u64)>) -> String {
    files.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    files.iter().take(6).map(|(path, bytes)| format!("\n  {:6.1} MiB {}", mib(*bytes), path.display())).collect()
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

/// The newest version of glibc whose symbols a program names.
fn glibc(program: &[u8]) -> (u32, u32) {
    const PREFIX: &[u8] = b"GLIBC_2.";
    let minor = |at: usize| {
        let digits: Vec<u8> = program[at..].iter().copied().take_while(u8::is_ascii_digit).take(3).collect();
        std::str::from_utf8(&digits).ok()?.parse().ok()
    };
    let starts = program.windows(PREFIX.len()).enumerate().filter(|(_, window)| *window == PREFIX);
    starts.filter_map(|(at, _)| minor(at + PREFIX.len())).map(|minor| (2, minor)).max().unwrap_or((0, 0))
}

#[cfg(unix)]
fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_counts() {
        assert_eq!(glibc(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE"), (2, 34));
        assert_eq!(glibc(b"static"), (0, 0));
        assert!((2, 9) < GLIBC && (2, 36) > GLIBC);
    }

    #[test]
    fn folders_of_others_are_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        ["run.sh", "cache"].iter().for_each(|name| fs::write(dir.join(name), "").expect("a file"));
        fs::create_dir_all(dir.join("bin/old")).expect("a folder");
        make_room(dir).expect("only packed files");
        assert!(!dir.join("bin").exists() && dir.join("cache").exists());
        fs::write(dir.join("thesis.txt"), "").expect("a file");
        let error = make_room(dir).expect_err("somebody's file").to_string();
        assert!(error.contains("thesis.txt") && dir.join("thesis.txt").exists(), "{error}");
    }

    #[test]
    fn sizes_are_those_of_all_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        for (name, bytes) in [("run.sh", 10), ("data/golden/a/m", 100), ("cache/k", 1000)] {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, vec![0; bytes]).expect("a file");
        }
        let files = files(dir).expect("readable");
        assert_eq!(files.iter().map(|(_, bytes)| bytes).sum::<u64>(), 110);
        assert!(largest(files).lines().nth(1).expect("a line").contains("golden"));
    }

    #[test]
    fn programs_that_share_much_become_small() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        fs::create_dir(dir.join(BIN)).expect("a folder");
        let noise = |i: u32| (u64::from(i).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u8;
        let model: Vec<u8> = (0..200_000).map(noise).collect();
        ["a", "b"].iter().for_each(|name| fs::write(dir.join(BIN).join(name), &model).expect("a file"));
        compress(dir).expect("tar and xz");
        assert!(!dir.join(BIN).exists() && dir.join(ARCHIVE).metadata().expect("a file").len() < 300_000);
    }

    #[test]
    fn the_script_is_posix() {
        let status = Command::new("sh").args(["-n", "-c", include_str!("run.sh")]).status();
        assert!(status.expect("a shell").success());
    }
}
