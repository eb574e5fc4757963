//! What of HIP there is on this machine, for whoever looks before running anything, or after something failed.

mod system;

use std::path::PathBuf;
use std::sync::Arc;

use hip_sys::{Api, LoadError, Rtc, Version};

use crate::driver::{Device, HipError, MemoryInfo, Properties, enumerate};
use crate::library::{Inventory, KernelOptions, Kernels, rtc_release};

pub use system::{Access, Node, nodes, user_groups};

/// A shared library that was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Library {
    /// The name or path that it was opened under.
    pub name: PathBuf,
    /// Its file, where the system tells.
    pub file: Option<PathBuf>,
    /// Its version, where it tells.
    pub version: Option<String>,
    /// Whether it was asked for by name, and not found by searching.
    pub is_named: bool,
}

/// One device.
#[derive(Debug)]
#[non_exhaustive]
pub struct DeviceSurvey {
    /// What it says of itself.
    pub properties: Properties,
    /// Its memory.
    pub memory: Result<MemoryInfo, HipError>,
    /// Where kernels for it come from.
    pub kernels: Inventory,
}

/// Libraries and devices.
#[derive(Debug)]
#[non_exhaustive]
pub struct Survey {
    /// The HIP runtime.
    pub runtime: Result<Library, LoadError>,
    /// hipRTC, which compiles kernels; `None` without a runtime.
    pub compiler: Option<Result<Library, LoadError>>,
    /// The devices in the order of their numbers, or why they cannot be listed. Empty without a runtime.
    pub devices: Result<Vec<DeviceSurvey>, HipError>,
}

impl Survey {
    /// Looks for everything. Devices are opened; nothing is computed on them.
    pub fn take() -> Self {
        match Api::open() {
            Ok(api) => Self::of(&api),
            Err(error) => Self { runtime: Err(error), compiler: None, devices: Ok(Vec::new()) },
        }
    }

    /// The same with a given runtime.
    pub fn of(api: &Arc<Api>) -> Self {
        let runtime = Library {
            name: api.path().to_path_buf(),
            file: system::file_at(api.symbol("hipInit").addr()),
            version: api.version().map(|version: Version| version.to_string()),
            is_named: api.is_named(),
        };
        let compiler = Rtc::open(api).map(|rtc| Library {
            name: rtc.path().to_path_buf(),
            file: system::file_at(rtc.functions().hiprtcVersion as usize),
            version: rtc_release(&rtc),
            is_named: rtc.path() == api.path() && api.is_named(),
        });
        let devices = enumerate(api).and_then(|found| found.into_iter().map(|device| look_at(api, device)).collect());
        Self { runtime: Ok(runtime), compiler: Some(compiler), devices }
    }
}

fn look_at(api: &Arc<Api>, properties: Properties) -> Result<DeviceSurvey, HipError> {
    let device = Device::open(Arc::clone(api), properties.ordinal)?;
    let kernels = Kernels::new(&device, KernelOptions::default()).inventory();
    Ok(DeviceSurvey { memory: device.memory(), kernels, properties })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fake_is_found_with_its_file_version_and_kernels() {
        let path = fake_hip::library_path();
        let survey = Survey::of(&Api::open_path(&path).expect("the fake opens"));
        let runtime = survey.runtime.expect("the fake is a runtime");
        assert!(runtime.is_named && runtime.version.is_some(), "{runtime:?}");
        assert_eq!(runtime.file.map(|file| file.canonicalize().ok()), Some(path.canonicalize().ok()));
        let devices = survey.devices.expect("the fake has devices");
        let kernels = devices[0].kernels;
        assert_eq!(kernels.embedded + kernels.cached + kernels.missing, kernels.total);
        assert!(devices[0].memory.as_ref().is_ok_and(|memory| memory.free <= memory.total));
    }
}
