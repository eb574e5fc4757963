//! What tests of operations run on: devices with waves of 32 and of 64 lanes, their kernels, and buffers.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use bytemuck::Pod;
use fake_hip::compiler;
use hip_sys::LIBRARY_VARIABLE;
use rocmforge_hip_backend::driver::{Buffer, Device, Stream, read, write};
use rocmforge_hip_backend::library::{CacheFolder, KernelOptions, Kernels};

use crate::device::{self, PrivateFake, is_named};

/// A device with its kernels and a stream.
pub struct Rig {
    pub kernels: Kernels,
    pub stream: Stream,
    device: Device,
}

impl Rig {
    fn new(device: Device) -> Self {
        let mut options = KernelOptions::default();
        // What the fake compiles goes nowhere; a device's compiler takes seconds a module.
        options.cache = if is_named() { CacheFolder::User } else { CacheFolder::Off };
        options.embedded = is_named();
        let kernels = Kernels::new(&device, options);
        let stream = device.stream().expect("a stream");
        Self { kernels, stream, device }
    }

    /// A buffer with these numbers.
    pub fn buffer<T: Pod>(&self, values: &[T]) -> Buffer {
        let buffer = self.room::<T>(values.len());
        write(&buffer, 0, values).expect("numbers reach the device");
        buffer
    }

    /// A buffer of bytes 0xff: NaN as f32, and -1.
    pub fn room<T: Pod>(&self, count: usize) -> Buffer {
        let bytes = count * size_of::<T>();
        let buffer = self.device.alloc(bytes, "test").expect("memory");
        write(&buffer, 0, &vec![0xffu8; bytes]).expect("numbers reach the device");
        buffer
    }

    /// The numbers of a buffer, after all work.
    pub fn read<T: Pod>(&self, buffer: &Buffer) -> Vec<T> {
        self.stream.synchronize().expect("the kernels run");
        let count = buffer.len() / size_of::<T>();
        read(buffer, 0..count).expect("numbers come back")
    }
}

/// Runs a test on the device that `ROCMFORGE_HIP_LIBRARY` names, or else on the fake with waves of 32 and of 64 lanes
/// (and there with lanes in forward and in reverse order, which shows barriers that are missing).
pub fn on_each_device(test: impl Fn(&Rig)) {
    static WIDE: OnceLock<Option<(Mutex<PrivateFake>, Rig)>> = OnceLock::new();
    let Some(rig) = shared() else { return };
    test(rig);
    if is_named() {
        return;
    }
    let wide = WIDE.get_or_init(|| {
        compiler()?;
        let fake = PrivateFake::new();
        fake.set("arch", "gfx90a");
        fake.set("order", "reverse");
        let rig = Rig::new(fake.device(0));
        Some((Mutex::new(fake), rig))
    });
    if let Some((fake, rig)) = wide {
        let _alone: MutexGuard<'_, _> = fake.lock().unwrap_or_else(PoisonError::into_inner);
        test(rig);
    }
}

/// Runs a test that needs kernels of nearly every module on the device that `ROCMFORGE_HIP_LIBRARY` names, and nowhere
/// else: compiling them all for the processor takes minutes.
pub fn on_named_device(test: impl Fn(&Rig)) {
    if !is_named() {
        eprintln!("skipped: too many kernels to compile for the processor; {LIBRARY_VARIABLE} names no library");
        return;
    }
    shared().into_iter().for_each(test);
}

fn shared() -> Option<&'static Rig> {
    static SHARED: OnceLock<Option<Rig>> = OnceLock::new();
    SHARED.get_or_init(|| device::shared().map(Rig::new)).as_ref()
}

/// Noise in -1..1 that repeats.
pub struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    pub fn normal(&mut self) -> f64 {
        let u = (self.unit() + 1.0) / 2.0;
        (-2.0 * u.max(1e-300).ln()).sqrt() * (std::f64::consts::PI * self.unit()).cos()
    }

    pub fn f32s(&mut self, count: usize, scale: f32, offset: f32) -> Vec<f32> {
        (0..count).map(|_| self.unit() as f32 * scale + offset).collect()
    }
}
