//! A HIP library on the processor for tests that let its calls fail, or count them.

use std::sync::Arc;

use fake_hip::{FakeHip, library_path};
use hip_sys::{Api, hipError_t};
use rocmforge_hip_backend::HipOptions;
use rocmforge_hip_backend::library::{CacheFolder, KernelOptions};

/// A fake that nobody else in this process shares: the loader takes a copy of the file for another library.
pub struct PrivateFake {
    pub fake: FakeHip,
    pub api: Arc<Api>,
    folder: tempfile::TempDir,
}

impl PrivateFake {
    /// `None` where kernels cannot run.
    pub fn new() -> Option<Self> {
        if fake_hip::compiler().is_none() {
            eprintln!("skipped: no C++ compiler, so that the fake HIP library cannot run kernels");
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("libfake.so");
        std::fs::copy(library_path(), &path).expect("the fake library can be copied");
        let fake = FakeHip::open_path(&path).expect("the fake opens");
        let api = Api::open_path(&path).expect("the fake is a HIP library");
        fake.set("mode", "host").expect("a setting");
        // One thread a grid: the walk is not about the kernels, and the other processor may walk too.
        fake.set("threads", "1").expect("a setting");
        Some(Self { fake, api, folder })
    }

    /// Options of a backend whose kernels are kept beside the fake.
    pub fn options(&self) -> HipOptions {
        let mut kernels = KernelOptions::default();
        kernels.cache = CacheFolder::At(self.folder.path().join("kernels"));
        // Whatever lies embedded: tests count the calls of a device whose kernels are compiled for the processor.
        kernels.embedded = false;
        HipOptions { kernels, ..HipOptions::default() }
    }

    /// Allocations and handles that nobody has released.
    pub fn live(&self) -> u64 {
        self.fake.live_allocations() + self.fake.live_handles()
    }

    /// Takes everything from the device that was not released, as the end of the process would.
    pub fn reset_device(&self) {
        assert_eq!(self.fake.reset_device(), hipError_t::hipSuccess);
    }
}
