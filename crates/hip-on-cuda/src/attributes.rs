//! HIP's device attributes in CUDA's terms.

use hip_sys::hipDeviceAttribute_t as Hip;

use crate::generated::types::CUdevice_attribute_enum as Cuda;

/// The attribute of CUDA that answers for one of HIP.
pub fn cuda_attribute(hip: Hip) -> Option<Cuda> {
    TABLE.iter().find(|(of, _)| *of == hip).map(|(_, cuda)| *cuda)
}

static TABLE: &[(Hip, Cuda)] = &[
    (Hip::hipDeviceAttributeEccEnabled, Cuda::CU_DEVICE_ATTRIBUTE_ECC_ENABLED),
    (Hip::hipDeviceAttributeAsyncEngineCount, Cuda::CU_DEVICE_ATTRIBUTE_ASYNC_ENGINE_COUNT),
    (Hip::hipDeviceAttributeCanMapHostMemory, Cuda::CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY),
    (Hip::hipDeviceAttributeClockRate, Cuda::CU_DEVICE_ATTRIBUTE_CLOCK_RATE),
    (Hip::hipDeviceAttributeComputeMode, Cuda::CU_DEVICE_ATTRIBUTE_COMPUTE_MODE),
    (Hip::hipDeviceAttributeConcurrentKernels, Cuda::CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS),
    (Hip::hipDeviceAttributeConcurrentManagedAccess, Cuda::CU_DEVICE_ATTRIBUTE_CONCURRENT_MANAGED_ACCESS),
    (Hip::hipDeviceAttributeCooperativeLaunch, Cuda::CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH),
    (Hip::hipDeviceAttributeIntegrated, Cuda::CU_DEVICE_ATTRIBUTE_INTEGRATED),
    (Hip::hipDeviceAttributeKernelExecTimeout, Cuda::CU_DEVICE_ATTRIBUTE_KERNEL_EXEC_TIMEOUT),
    (Hip::hipDeviceAttributeL2CacheSize, Cuda::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE),
    (Hip::hipDeviceAttributeComputeCapabilityMajor, Cuda::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
    (Hip::hipDeviceAttributeComputeCapabilityMinor, Cuda::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
    (Hip::hipDeviceAttributeManagedMemory, Cuda::CU_DEVICE_ATTRIBUTE_MANAGED_MEMORY),
    (Hip::hipDeviceAttributeMaxBlocksPerMultiProcessor, Cuda::CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR),
    (Hip::hipDeviceAttributeMaxBlockDimX, Cuda::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X),
    (Hip::hipDeviceAttributeMaxBlockDimY, Cuda::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y),
    (Hip::hipDeviceAttributeMaxBlockDimZ, Cuda::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z),
    (Hip::hipDeviceAttributeMaxGridDimX, Cuda::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X),
    (Hip::hipDeviceAttributeMaxGridDimY, Cuda::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y),
    (Hip::hipDeviceAttributeMaxGridDimZ, Cuda::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z),
    (Hip::hipDeviceAttributeMaxThreadsPerBlock, Cuda::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK),
    (Hip::hipDeviceAttributeMaxThreadsPerMultiProcessor, Cuda::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR),
    (Hip::hipDeviceAttributeMaxPitch, Cuda::CU_DEVICE_ATTRIBUTE_MAX_PITCH),
    (Hip::hipDeviceAttributeMemoryBusWidth, Cuda::CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH),
    (Hip::hipDeviceAttributeMemoryClockRate, Cuda::CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE),
    (Hip::hipDeviceAttributeMultiprocessorCount, Cuda::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
    (Hip::hipDeviceAttributePhysicalMultiProcessorCount, Cuda::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
    (Hip::hipDeviceAttributePageableMemoryAccess, Cuda::CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS),
    (Hip::hipDeviceAttributePciBusId, Cuda::CU_DEVICE_ATTRIBUTE_PCI_BUS_ID),
    (Hip::hipDeviceAttributePciDeviceId, Cuda::CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID),
    (Hip::hipDeviceAttributePciDomainID, Cuda::CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID),
    (Hip::hipDeviceAttributeMaxRegistersPerBlock, Cuda::CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK),
    (Hip::hipDeviceAttributeMaxRegistersPerMultiprocessor, Cuda::CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR),
    // HIP has one limit for a block. Launches ask for more than CUDA's plain limit by themselves, so that the larger
    // one counts.
    (Hip::hipDeviceAttributeMaxSharedMemoryPerBlock, Cuda::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
    (Hip::hipDeviceAttributeSharedMemPerBlockOptin, Cuda::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
    (Hip::hipDeviceAttributeSharedMemPerMultiprocessor, Cuda::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR),
    (
        Hip::hipDeviceAttributeMaxSharedMemoryPerMultiprocessor,
        Cuda::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR,
    ),
    (Hip::hipDeviceAttributeStreamPrioritiesSupported, Cuda::CU_DEVICE_ATTRIBUTE_STREAM_PRIORITIES_SUPPORTED),
    (Hip::hipDeviceAttributeTextureAlignment, Cuda::CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT),
    (Hip::hipDeviceAttributeTotalConstantMemory, Cuda::CU_DEVICE_ATTRIBUTE_TOTAL_CONSTANT_MEMORY),
    (Hip::hipDeviceAttributeUnifiedAddressing, Cuda::CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING),
    (Hip::hipDeviceAttributeWarpSize, Cuda::CU_DEVICE_ATTRIBUTE_WARP_SIZE),
    (Hip::hipDeviceAttributeMemoryPoolsSupported, Cuda::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED),
    (Hip::hipDeviceAttributeHostRegisterSupported, Cuda::CU_DEVICE_ATTRIBUTE_HOST_REGISTER_SUPPORTED),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_attribute_stands_twice_and_both_sides_have_names() {
        for (i, (hip, cuda)) in TABLE.iter().enumerate() {
            assert!(!TABLE[..i].iter().any(|(other, _)| other == hip), "{hip:?}");
            assert!(hip.name().is_some() && cuda.name().is_some(), "{hip:?}");
        }
    }

    #[test]
    fn an_attribute_without_a_counterpart_has_none() {
        assert_eq!(cuda_attribute(Hip::hipDeviceAttributeHdpMemFlushCntl), None);
        assert_eq!(cuda_attribute(Hip::hipDeviceAttributeWarpSize), Some(Cuda::CU_DEVICE_ATTRIBUTE_WARP_SIZE));
    }
}
