//! `doctor`: what a GPU needs, what of it is there, and what to do about the rest.

use std::time::Instant;

use rocmforge_engine::EngineError;
use rocmforge_hip_backend::survey::{Access, DeviceSurvey, Library, Node, Survey, nodes, user_groups};
use rocmforge_hip_backend::{HipBackend, HipOptions, LoadError, OpenError};
use serde_json::{Value, json};

use super::devices;
use crate::args::{Cli, DoctorArgs};
use crate::device;
use crate::error::CliError;
use crate::output::{self, bytes};

/// Less free memory than this holds no model worth a GPU.
const LITTLE_MEMORY: u64 = 1 << 30;

pub fn run(cli: &Cli, args: &DoctorArgs) -> Result<(), CliError> {
    let cpu = devices::processor(&cli.common)?;
    let hip = cli.common.hip_options();
    let mut checks = vec![Check::ok("processor", cpu.name)];
    checks.extend(look(&Survey::take(), &nodes(), &user_groups(), &|ordinal| self_test(&hip, ordinal)));
    if args.json {
        output::print_json(&checks.iter().map(Check::as_json).collect())?;
    } else {
        let lines: String = checks.iter().map(Check::text).collect();
        output::print(&lines)?;
    }
    let failures = checks.iter().filter(|check| check.level == Level::Fail).count();
    match failures {
        0 => Ok(()),
        1 => Err(CliError::Failed("1 check failed; --device cpu works all the same".into())),
        n => Err(CliError::Failed(format!("{n} checks failed; --device cpu works all the same"))),
    }
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Ok,
    /// Something is missing that the program can do without.
    Warn,
    /// Something is there and does not work.
    Fail,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Check {
    level: Level,
    what: String,
    found: String,
    /// What to do; empty where nothing is to be done.
    fix: String,
}

impl Check {
    fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { level: Level::Ok, what: what.into(), found: found.into(), fix: String::new() }
    }

    fn warn(what: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Warn, what: what.into(), found: found.into(), fix: fix.into() }
    }

    fn fail(what: impl Into<String>, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { level: Level::Fail, what: what.into(), found: found.into(), fix: fix.into() }
    }

    fn text(&self) -> String {
        let Self { level, what, found, fix } = self;
        let line = format!("{:4}  {what:<16}  {found}\n", level.name());
        if fix.is_empty() { line } else { format!("{line}{:24}to do: {fix}\n", "") }
    }

    fn as_json(&self) -> Value {
        let fix = Some(&self.fix).filter(|fix| !fix.is_empty());
        json!({ "check": self.what, "status": self.level.name(), "found": self.found, "fix": fix })
    }
}

/// Opens a device as a run does, and tells how many seconds that took.
fn self_test(hip: &HipOptions, ordinal: u32) -> Result<f64, OpenError> {
    let start = Instant::now();
    HipBackend::open(HipOptions { ordinal: Some(ordinal), ..hip.clone() })?;
    Ok(start.elapsed().as_secs_f64())
}

/// Every check of what a GPU needs.
fn look(
    survey: &Survey,
    nodes: &[Node],
    groups: &[String],
    self_test: &dyn Fn(u32) -> Result<f64, OpenError>,
) -> Vec<Check> {
    let library = match &survey.runtime {
        Ok(library) => library,
        Err(error) => return vec![no_runtime(error)],
    };
    let named = if library.is_named { ", which ROCMFORGE_HIP_LIBRARY names" } else { "" };
    let mut checks = vec![Check::ok("HIP runtime", format!("{}{named}", in_words(library)))];
    match &survey.compiler {
        Some(Ok(compiler)) => checks.push(Check::ok("hipRTC", in_words(compiler))),
        Some(Err(error)) => checks.push(no_compiler(error)),
        None => {}
    }
    match &survey.devices {
        Ok(devices) if !devices.is_empty() => {
            // Who reaches a device has what it takes; a library that is none of AMD's needs other files.
            let compiles = matches!(survey.compiler, Some(Ok(_)));
            checks.extend(devices.iter().flat_map(|device| of_device(device, compiles, self_test)));
        }
        devices => {
            let problem = devices.as_ref().err().map_or("the runtime sees none".into(), ToString::to_string);
            checks.extend(no_device(problem, nodes, groups));
        }
    }
    checks
}

fn in_words(library: &Library) -> String {
    let file = library.file.as_ref().unwrap_or(&library.name).display();
    let version = library.version.as_ref().map_or("version unknown".into(), |version| format!("version {version}"));
    format!("{file} ({version})")
}

fn no_runtime(error: &LoadError) -> Check {
    let found = error.to_string();
    match error {
        LoadError::NotFound { packages, variable, .. } => Check::warn(
            "HIP runtime",
            "not found: models run on the CPU",
            format!("for an AMD GPU, install it ({packages}), or name the file in {variable}"),
        ),
        _ => {
            Check::fail("HIP runtime", found, "install ROCm 5.7 or later, or unset the variable that names the library")
        }
    }
}

fn no_compiler(error: &LoadError) -> Check {
    let fix = match error {
        LoadError::NotFound { packages, .. } => format!("install it ({packages})"),
        _ => "install the hipRTC of the same release as the HIP runtime".into(),
    };
    Check::warn("hipRTC", format!("{error}: GPUs that this program has no kernels for cannot be used"), fix)
}

/// Why the runtime sees no device: the driver's files, and who may open them.
fn no_device(problem: String, nodes: &[Node], groups: &[String]) -> Vec<Check> {
    let has_driver = nodes.iter().any(|node| node.path.ends_with("kfd") && node.access != Access::Missing);
    let fix = "see the device files below; HIP_VISIBLE_DEVICES and ROCR_VISIBLE_DEVICES hide devices, too";
    let devices = match has_driver {
        true => Check::fail("devices", problem, fix),
        false => Check::warn("devices", format!("{problem}: models run on the CPU"), fix),
    };
    let mut checks = vec![devices];
    checks.extend(nodes.iter().map(of_node));
    let missing: Vec<_> = ["render", "video"].into_iter().filter(|group| !groups.iter().any(|g| g == group)).collect();
    let is_denied = nodes.iter().any(|node| matches!(node.access, Access::Denied { .. }));
    checks.push(match missing.is_empty() || !is_denied {
        true => Check::ok("groups", groups.join(", ")),
        false => Check::fail(
            "groups",
            format!("this user is not in {}", missing.join(" and ")),
            "sudo usermod -aG render,video \"$USER\", then log in again",
        ),
    });
    checks
}

fn of_node(node: &Node) -> Check {
    let what = node.path.display().to_string();
    match &node.access {
        Access::Usable => Check::ok(what, "opens"),
        Access::Missing => Check::warn(
            what,
            "is not there",
            "load the kernel driver (sudo modprobe amdgpu); in a container, pass --device /dev/kfd --device /dev/dri",
        ),
        Access::Denied { group } => {
            let group = group.as_ref().map_or("another group".into(), |group| format!("the group {group}"));
            Check::fail(what, format!("belongs to {group}; this user may not open it"), "join the group, as told below")
        }
        Access::Broken(reason) => {
            Check::fail(what, format!("does not open: {reason}"), "look at `dmesg | grep amdgpu`")
        }
    }
}

/// `compiles`: there is a hipRTC.
fn of_device(device: &DeviceSurvey, compiles: bool, self_test: &dyn Fn(u32) -> Result<f64, OpenError>) -> Vec<Check> {
    let it = &device.properties;
    let flag = device::flag(it);
    let found =
        format!("{} ({}), {} compute units, waves of {}", it.name, it.arch_full, it.compute_units, it.wave_size);
    vec![
        Check::ok(flag.as_str(), found),
        of_memory(device, format!("{flag} memory")),
        of_kernels(device, format!("{flag} kernels"), compiles),
        match self_test(it.ordinal) {
            Ok(seconds) => Check::ok(format!("{flag} self-test"), format!("passed in {seconds:.1} s")),
            Err(error) => Check::fail(
                format!("{flag} self-test"),
                EngineError::from(error).to_string(),
                "update the driver and ROCm; if it stays, report it with this output",
            ),
        },
    ]
}

fn of_memory(device: &DeviceSurvey, what: String) -> Check {
    let found = devices::memory(device);
    match &device.memory {
        Ok(memory) if memory.free >= LITTLE_MEMORY => Check::ok(what, found),
        Ok(_) => Check::warn(
            what,
            found,
            format!("end other programs that use the GPU: less than {} holds no model", bytes(LITTLE_MEMORY)),
        ),
        Err(_) => Check::fail(what, found, "look at `dmesg | grep amdgpu`"),
    }
}

fn of_kernels(device: &DeviceSurvey, what: String, compiles: bool) -> Check {
    let found = devices::kernels(device.kernels);
    let build = format!("build the program after `cargo xtask kernels --arch {}`", device.properties.arch);
    match (device.kernels.missing, compiles) {
        (0, _) => Check::ok(what, found),
        (_, true) => {
            let fix =
                format!("nothing: hipRTC compiles them when they are first needed, and they are kept; or {build}");
            Check::warn(what, found, fix)
        }
        (_, false) => Check::fail(what, found, format!("install hipRTC, which compiles them, or {build}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(path: &str, access: Access) -> Node {
        Node { path: path.into(), access }
    }

    fn levels(checks: &[Check]) -> Vec<&'static str> {
        checks.iter().map(|check| check.level.name()).collect()
    }

    #[test]
    fn a_machine_without_the_driver_is_fine_and_one_without_permission_is_not() {
        let bare = [node("/dev/kfd", Access::Missing), node("/dev/dri/renderD128", Access::Missing)];
        let checks = no_device("the runtime sees none".into(), &bare, &["ann".into()]);
        assert_eq!(levels(&checks), ["warn", "warn", "warn", "ok"]);

        let group = Some("render".to_owned());
        let denied = [node("/dev/kfd", Access::Denied { group }), node("/dev/dri/renderD128", Access::Usable)];
        let checks = no_device("the runtime sees none".into(), &denied, &["ann".into(), "video".into()]);
        assert_eq!(levels(&checks), ["fail", "fail", "ok", "fail"]);
        assert!(
            checks[1].found.contains("the group render") && checks[3].found.ends_with("not in render"),
            "{checks:?}"
        );
        assert!(checks[3].fix.contains("usermod -aG render,video"));
    }

    #[test]
    fn a_missing_library_is_no_failure_and_a_broken_one_is() {
        let missing = LoadError::NotFound { what: "HIP runtime", tried: vec![], packages: "ROCm", variable: "X" };
        assert_eq!(no_runtime(&missing).level, Level::Warn);
        let (path, variable, reason) = ("/x".into(), "X", "no".to_owned());
        let broken = LoadError::Open { what: "HIP runtime", path, variable, reason };
        assert_eq!(no_runtime(&broken).level, Level::Fail);
    }

    #[test]
    fn what_is_to_be_done_stands_under_what_was_found() {
        assert_eq!(Check::ok("a", "b").text(), "ok    a                 b\n");
        assert_eq!(Check::warn("a", "b", "c").text(), "warn  a                 b\n                        to do: c\n");
    }
}
