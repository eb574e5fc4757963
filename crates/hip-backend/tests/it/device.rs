//! Devices to test on.

use std::sync::{Arc, OnceLock};

use fake_hip::{FakeHip, Fault, compiler, library_path};
use hip_sys::{Api, LIBRARY_VARIABLE, hipError_t};
use rocmforge_hip_backend::driver::Device;

/// Whether `ROCMFORGE_HIP_LIBRARY` names a library.
pub fn is_named() -> bool {
    std::env::var_os(LIBRARY_VARIABLE).is_some_and(|value| !value.is_empty())
}

/// The device for tests of operations: device 0 of the library that `ROCMFORGE_HIP_LIBRARY` names, or else of the fake.
/// `None`, with the reason on stderr, where kernels cannot run.
pub fn shared() -> Option<Device> {
    static API: OnceLock<Arc<Api>> = OnceLock::new();
    if !is_named() && !has_compiler() {
        return None;
    }
    let open = || if is_named() { Api::open() } else { Api::open_path(library_path()) };
    let api = API.get_or_init(|| open().expect("the HIP library opens"));
    Some(Device::open(api.clone(), 0).expect("device 0 opens"))
}

/// Whether the fake can run kernels.
pub fn has_compiler() -> bool {
    if compiler().is_none() {
        eprintln!("skipped: no C++ compiler, so that the fake HIP library cannot run kernels");
    }
    compiler().is_some()
}

/// A fake that no other test shares, for tests that let calls fail or count them.
pub struct PrivateFake {
    pub fake: FakeHip,
    pub api: Arc<Api>,
    _folder: tempfile::TempDir,
}

impl PrivateFake {
    /// Opens a copy of the library: the loader takes another file for another library, with a state of its own.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("libfake.so");
        std::fs::copy(library_path(), &path).expect("the fake library can be copied");
        let fake = FakeHip::open_path(&path).expect("the fake opens");
        // Whatever the library emulates that other tests run on.
        fake.set("mode", "host").expect("there is such a mode");
        let api = Api::open_path(&path).expect("the fake is a HIP library");
        Self { fake, api, _folder: folder }
    }

    /// Opens a device.
    pub fn device(&self, ordinal: u32) -> Device {
        Device::open(self.api.clone(), ordinal).expect("a device of the fake opens")
    }

    /// Lets the next call of a function return a status.
    pub fn fail_next(&self, call: &str, code: u32) {
        self.fail(Fault::fail(hipError_t(code)).call(call));
    }

    /// Adds a fault.
    pub fn fail(&self, fault: Fault) {
        self.fake.add_fault(&fault).expect("the fake understands the fault");
    }

    /// Changes a setting of the fake.
    pub fn set(&self, key: &str, value: &str) {
        self.fake.set(key, value).expect("the fake knows the setting");
    }

    /// Allocations and handles that nobody has released.
    pub fn live(&self) -> (u64, u64) {
        (self.fake.live_allocations(), self.fake.live_handles())
    }
}
