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

/// The profile of programs whose speed counts.
pub const RELEASE: &str = "release";

/// Builds the command line program in release mode and returns its path.
pub fn build_rocmforge() -> Result<PathBuf> {
    build(RELEASE, &["build", "--package", "rocmforge-cli"], &[])
}

/// Runs a cargo command that builds one program or shared library, and returns its path.
pub fn build(profile: &str, args: &[&str], env: &[(&str, &str)]) -> Result<PathBuf> {
    eprintln!("cargo {} --profile {profile}", args.join(" "));
    let mut command = cargo();
    command.args(args).args(["--profile", profile, "--message-format", "json-render-diagnostics"]);
    let output = command.envs(env.iter().copied()).stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo {} failed", args.join(" "));
    artifact(&output.stdout).with_context(|| format!("cargo {} named no program", args.join(" ")))
}

/// The executable, or else the shared library, that a build's JSON messages name last: dependencies come before.
fn artifact(messages: &[u8]) -> Option<PathBuf> {
    let messages = messages.split(|&b| b == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let path = |message: &Value| {
        let library = || message["filenames"].as_array()?.iter().filter_map(Value::as_str).find(|f| f.ends_with(".so"));
        Some(message["executable"].as_str().or_else(library)?.into())
    };
    messages.filter(|message| !is_macro(message)).filter_map(|message| path(&message)).next_back()
}

/// Whether the message is about a macro, which is a shared library too.
fn is_macro(message: &Value) -> bool {
    message["target"]["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "proc-macro"))
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
    fn the_artifact_is_found_among_the_messages() {
        let found = |messages: &str| artifact(messages.as_bytes());
        let program =
            "{\"executable\":null,\"filenames\":[\"/x/liba.rlib\"]}\nnot json\n{\"executable\":\"/x/rocmforge\"}\n";
        assert_eq!(found(program), Some(PathBuf::from("/x/rocmforge")));
        let library = r#"{"executable":null,"filenames":["/x/libhip.so","/x/libhip.rlib"]}"#;
        assert_eq!(found(library), Some(PathBuf::from("/x/libhip.so")));
        assert_eq!(found(r#"{"target":{"kind":["proc-macro"]},"filenames":["/x/libderive.so"]}"#), None);
        assert_eq!(found(r#"{"reason":"build-finished"}"#), None);
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
