//! Modules and their kernels.

use std::ffi::{c_char, c_int, c_void};

use hip_sys::{hipError_t, hipFuncAttribute, hipFunction_attribute, hipFunction_t, hipModule_t};

use crate::context;
use crate::export::export;
use crate::generated::types::CUfunction_attribute_enum as Cuda;
use crate::launch;
use crate::status::Check;

/// The attribute of CUDA that answers for one of HIP.
fn cuda_attribute(attribute: hipFunction_attribute) -> Result<Cuda, hipError_t> {
    use hipFunction_attribute as Hip;
    Ok(match attribute {
        Hip::HIP_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK => Cuda::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK,
        Hip::HIP_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES => Cuda::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES,
        Hip::HIP_FUNC_ATTRIBUTE_CONST_SIZE_BYTES => Cuda::CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES,
        Hip::HIP_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES => Cuda::CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES,
        Hip::HIP_FUNC_ATTRIBUTE_NUM_REGS => Cuda::CU_FUNC_ATTRIBUTE_NUM_REGS,
        Hip::HIP_FUNC_ATTRIBUTE_PTX_VERSION => Cuda::CU_FUNC_ATTRIBUTE_PTX_VERSION,
        Hip::HIP_FUNC_ATTRIBUTE_BINARY_VERSION => Cuda::CU_FUNC_ATTRIBUTE_BINARY_VERSION,
        Hip::HIP_FUNC_ATTRIBUTE_CACHE_MODE_CA => Cuda::CU_FUNC_ATTRIBUTE_CACHE_MODE_CA,
        Hip::HIP_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES => Cuda::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
        Hip::HIP_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT => {
            Cuda::CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT
        }
        _ => return Err(hipError_t::hipErrorInvalidValue),
    })
}

export! {
    fn hipModuleLoadData(module: *mut hipModule_t, image: *const c_void) {
        context::current()?.cuModuleLoadData(module.cast(), image).ok()
    }

    fn hipModuleUnload(module: hipModule_t) {
        // Another module's kernels may get the addresses of this one's.
        launch::forget_kernels();
        context::current()?.cuModuleUnload(module.cast()).ok()
    }

    fn hipModuleGetFunction(function: *mut hipFunction_t, module: hipModule_t, name: *const c_char) {
        context::current()?.cuModuleGetFunction(function.cast(), module.cast(), name).ok()
    }

    fn hipFuncGetAttribute(value: *mut c_int, attribute: hipFunction_attribute, function: hipFunction_t) {
        context::current()?.cuFuncGetAttribute(value, cuda_attribute(attribute)?, function.cast()).ok()
    }

    fn hipFuncSetAttribute(function: *const c_void, attribute: hipFuncAttribute, value: c_int) {
        let cuda = match attribute {
            hipFuncAttribute::hipFuncAttributeMaxDynamicSharedMemorySize => {
                Cuda::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            }
            hipFuncAttribute::hipFuncAttributePreferredSharedMemoryCarveout => {
                Cuda::CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT
            }
            _ => return Err(hipError_t::hipErrorInvalidValue),
        };
        launch::forget_kernels();
        context::current()?.cuFuncSetAttribute(function.cast_mut().cast(), cuda, value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attribute_but_the_end_of_the_list_has_a_counterpart_of_its_number() {
        for (name, attribute) in hipFunction_attribute::ALL.iter().filter(|(name, _)| !name.ends_with("_MAX")) {
            assert_eq!(cuda_attribute(*attribute).map(|cuda| cuda.0), Ok(attribute.0), "{name}");
        }
        assert!(cuda_attribute(hipFunction_attribute(99)).is_err());
    }
}
