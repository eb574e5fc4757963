//! Commands that tasks run, and where the workspace is.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// The workspace's folder.
pub fn root() -> &'static Path {
    // This package lies in the folder `xtask` of the workspace.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The cargo that runs this task, in the workspace's folder.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Builds the command line program in release mode and returns its path.
pub fn build_rocmforge() -> Result<PathBuf> {
    eprintln!("building rocmforge (release)");
    let mut command = cargo();
    command.args(["build", "--release", "--package", "rocmforge-cli", "--message-format", "json-render-diagnostics"]);
    let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "rocmforge does not build");
    executable(&output.stdout).context("cargo named no executable")
}

/// The executable that a build's JSON messages name.
fn executable(messages: &[u8]) -> Option<PathBuf> {
    let mut messages = messages.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    messages.find_map(|message| Some(message.get("executable")?.as_str()?.into()))
}

/// Runs a command and returns what it wrote to stdout; a failure shows the end of its stderr.
pub fn stdout_of(command: &mut Command) -> Result<Vec<u8>> {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
        bail!("{name}: {}: {last}", output.status);
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_found_among_the_messages() {
        let messages =
            b"{\"reason\":\"compiler-artifact\",\"executable\":null}\nnot json\n{\"executable\":\"/x/rocmforge\"}\n";
        assert_eq!(executable(messages), Some(PathBuf::from("/x/rocmforge")));
        assert_eq!(executable(b"{\"reason\":\"build-finished\"}"), None);
    }

    #[test]
    fn a_failed_command_says_why() {
        let error = stdout_of(Command::new("sh").args(["-c", "echo first >&2; echo last >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().ends_with("last"), "{error}");
        assert!(stdout_of(&mut Command::new("no-such-program-anywhere")).is_err());
    }

    #[test]
    fn the_root_holds_the_workspace() {
        assert!(root().join("xtask/Cargo.toml").is_file());
    }
}
