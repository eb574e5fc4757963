//! Programs that the tests need and that may be missing: Python and Node with packages.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Ends a test whose tools are missing, and says why.
macro_rules! or_skip {
    ($tools:expr) => {
        match $tools {
            Ok(tools) => tools,
            Err(reason) => {
                eprintln!("skipped: {reason}");
                return;
            }
        }
    };
}
pub(crate) use or_skip;

/// The folder of this crate's tests.
pub fn tests_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// A Python with the packages that `requirements.txt` in this folder of the tests names.
pub fn python(folder: &str) -> Result<PathBuf, String> {
    let list = tests_dir().join(folder).join("requirements.txt");
    let dir = installed(&format!("python-{folder}"), &list, |dir| {
        run(Command::new("python3").args(["-m", "venv"]).arg(dir))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
        run(Command::new(dir.join("bin/python")).args(pip).arg(&list))
    })?;
    Ok(dir.join("bin/python"))
}

/// The folder with the packages of `page/package.json`.
pub fn node_packages() -> Result<PathBuf, String> {
    let list = tests_dir().join("page/package.json");
    installed("node", &list, |dir| {
        fs::create_dir_all(dir).map_err(|error| error.to_string())?;
        fs::copy(&list, dir.join("package.json")).map_err(|error| error.to_string())?;
        run(Command::new("npm").args(["install", "--no-audit", "--no-fund", "--silent"]).current_dir(dir))
    })
}

/// A Chromium of the system.
pub fn chromium() -> Result<PathBuf, String> {
    let candidates = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
    let found = candidates.iter().map(PathBuf::from).find(|path| path.exists());
    found.ok_or_else(|| "there is no Chromium in /usr/bin".to_owned())
}

/// A folder that `install` fills once for each content of `list`.
fn installed(name: &str, list: &Path, install: impl FnOnce(&Path) -> Result<(), String>) -> Result<PathBuf, String> {
    let text = |error: std::io::Error| error.to_string();
    let wanted = fs::read_to_string(list).map_err(text)?;
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Tests run at the same time, in processes of their own.
    let lock = File::create(dir.with_extension("lock")).map_err(text)?;
    lock.lock().map_err(text)?;
    let done = dir.join("installed");
    if fs::read_to_string(&done).is_ok_and(|have| have == wanted) {
        return Ok(dir);
    }
    if dir.exists() {
        fs::remove_dir_all(&dir).map_err(text)?;
    }
    install(&dir)?;
    fs::write(done, wanted).map_err(text)?;
    Ok(dir)
}

/// Runs a command that must succeed.
pub fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.stdin(Stdio::null()).output() {
        Err(error) => Err(format!("{name}: {error}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            Err(format!("{name} ended with {}:\n{said}", output.status))
        }
    }
}
