//! Loaded code.

use std::ffi::{CString, c_int};
use std::ptr::null_mut;
use std::sync::Arc;

use hip_sys::{hipError_t, hipFunction_attribute as Attribute, hipFunction_t, ihipModule_t, ihipModuleSymbol_t};

use super::handle::Handle;
use super::image::Image;
use super::{Device, HipError, Status};

/// A loaded code object. Clones are the same; it is unloaded when no clone and none of its functions is left.
#[derive(Debug, Clone)]
pub struct Module(Arc<Loaded>);

#[derive(Debug)]
pub(crate) struct Loaded {
    device: Device,
    raw: Handle<ihipModule_t>,
    name: String,
    /// HIP does not say whether it copies the image.
    _image: Image,
}

impl Module {
    pub(crate) fn load(device: &Device, image: &[u8], name: &str) -> Result<Self, HipError> {
        let bad_image = |problem: String| {
            let arch = device.properties().arch_full.clone();
            HipError::BadImage { name: name.into(), arch, problem }
        };
        let image = Image::new(image).map_err(|problem| bad_image(problem.into()))?;
        let api = device.enter()?;
        let mut raw = null_mut();
        // SAFETY: the image ends in zeros if it is text, and is complete by its own headers if it is not; it lives
        // as long as the module.
        let status = unsafe { api.hipModuleLoadData(&mut raw, image.address()) };
        if let Some(status) = Status::of_failure(status).filter(|status| status.is_bad_image()) {
            return Err(bad_image(status.to_string()));
        }
        device.check("hipModuleLoadData", status)?;
        let raw = Handle::new(raw, "hipModuleLoadData")?;
        Ok(Self(Arc::new(Loaded { device: device.clone(), raw, name: name.into(), _image: image })))
    }

    /// Looks a kernel up.
    ///
    /// # Errors
    /// [`HipError::NoSuchKernel`], [`HipError::Call`], [`HipError::DeviceLost`].
    pub fn function(&self, name: &str) -> Result<Function, HipError> {
        let device = &self.0.device;
        let missing = || HipError::NoSuchKernel { module: self.0.name.clone(), kernel: name.into() };
        let c_name = CString::new(name).map_err(|_| missing())?;
        let api = device.enter()?;
        let mut raw = null_mut();
        // SAFETY: the function writes one handle; the module is loaded, and the name ends in a zero.
        let status = unsafe { api.hipModuleGetFunction(&mut raw, self.0.raw.raw(), c_name.as_ptr()) };
        if status == hipError_t::hipErrorNotFound {
            return Err(missing());
        }
        device.check("hipModuleGetFunction", status)?;
        let raw = Handle::new(raw, "hipModuleGetFunction")?;
        let attributes = Attributes::query(device, raw.raw())?;
        Ok(Function(Arc::new(Kernel { module: self.0.clone(), raw, name: name.into(), attributes })))
    }

    /// The name given when it was loaded.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The device that the code is loaded on.
    pub fn device(&self) -> &Device {
        &self.0.device
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let Some(api) = self.device.enter_to_release() else { return };
        // A kernel of the module may still be running.
        // SAFETY: the function waits for the current device.
        let status = unsafe { api.hipDeviceSynchronize() };
        self.device.note_release("hipDeviceSynchronize", status);
        let Some(api) = self.device.enter_to_release() else { return };
        // SAFETY: the module came from `hipModuleLoadData` and has this one owner; its functions share it, so that
        // none is left.
        let status = unsafe { api.hipModuleUnload(self.raw.raw()) };
        self.device.note_release("hipModuleUnload", status);
    }
}

/// A kernel. Clones are the same; it keeps its module loaded.
#[derive(Debug, Clone)]
pub struct Function(Arc<Kernel>);

#[derive(Debug)]
struct Kernel {
    module: Arc<Loaded>,
    raw: Handle<ihipModuleSymbol_t>,
    name: String,
    attributes: Attributes,
}

impl Function {
    /// The kernel's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What the compiler made of the kernel.
    pub fn attributes(&self) -> &Attributes {
        &self.0.attributes
    }

    /// The device that the kernel is loaded on.
    pub fn device(&self) -> &Device {
        &self.0.module.device
    }

    pub(crate) fn raw(&self) -> hipFunction_t {
        self.0.raw.raw()
    }

    pub(crate) fn module(&self) -> &Arc<Loaded> {
        &self.0.module
    }
}

/// What a kernel needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Threads of a workgroup at most.
    pub max_threads_per_block: u32,
    /// Bytes of LDS that the kernel declares, to which a launch may add more.
    pub static_lds_bytes: u32,
    /// Bytes of private memory of each thread; more than 0 is usually a spill.
    pub private_bytes: u32,
    /// Registers of each thread.
    pub registers: u32,
}

impl Attributes {
    fn query(device: &Device, function: hipFunction_t) -> Result<Self, HipError> {
        let ask = |attribute| {
            let api = device.enter()?;
            let mut value: c_int = 0;
            // SAFETY: the function writes one integer; the handle was just looked up.
            let status = unsafe { api.hipFuncGetAttribute(&mut value, attribute, function) };
            device.check("hipFuncGetAttribute", status)?;
            Ok(u32::try_from(value).unwrap_or(0))
        };
        Ok(Self {
            max_threads_per_block: ask(Attribute::HIP_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
            static_lds_bytes: ask(Attribute::HIP_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?,
            private_bytes: ask(Attribute::HIP_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)?,
            registers: ask(Attribute::HIP_FUNC_ATTRIBUTE_NUM_REGS)?,
        })
    }
}
