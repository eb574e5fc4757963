//! CUDA's statuses as HIP's, and the thread's last one.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hip_sys::hipError_t;

use crate::generated::types::cudaError_enum;

thread_local! {
    static LAST: Cell<hipError_t> = const { Cell::new(hipError_t::hipSuccess) };
}

/// Runs the body of an exported function: no panic leaves it, and a failure becomes the thread's last one.
pub fn guard(body: impl FnOnce() -> Result<(), hipError_t>) -> hipError_t {
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(hipError_t::hipErrorUnknown));
    let status = result.err().unwrap_or(hipError_t::hipSuccess);
    if ![hipError_t::hipSuccess, hipError_t::hipErrorNotReady].contains(&status) {
        LAST.set(status);
    }
    status
}

/// The thread's last failure, which is forgotten.
pub fn take_last() -> hipError_t {
    LAST.replace(hipError_t::hipSuccess)
}

/// A status that may be a failure.
pub trait Check {
    /// Success, or the failure as HIP would say it.
    fn ok(self) -> Result<(), hipError_t>;
}

impl Check for cudaError_enum {
    fn ok(self) -> Result<(), hipError_t> {
        match hip_status(self) {
            hipError_t::hipSuccess => Ok(()),
            status => Err(status),
        }
    }
}

/// Statuses whose number means nothing, or another thing, in HIP.
const DIFFERENT: &[(cudaError_enum, hipError_t)] = &[
    (cudaError_enum::CUDA_ERROR_STUB_LIBRARY, hipError_t::hipErrorInsufficientDriver),
    (cudaError_enum::CUDA_ERROR_UNSUPPORTED_PTX_VERSION, hipError_t::hipErrorNoBinaryForGpu),
    (cudaError_enum::CUDA_ERROR_JIT_COMPILER_NOT_FOUND, hipError_t::hipErrorNoBinaryForGpu),
    (cudaError_enum::CUDA_ERROR_JIT_COMPILATION_DISABLED, hipError_t::hipErrorNoBinaryForGpu),
    (cudaError_enum::CUDA_ERROR_HARDWARE_STACK_ERROR, hipError_t::hipErrorLaunchFailure),
    (cudaError_enum::CUDA_ERROR_ILLEGAL_INSTRUCTION, hipError_t::hipErrorLaunchFailure),
    (cudaError_enum::CUDA_ERROR_MISALIGNED_ADDRESS, hipError_t::hipErrorLaunchFailure),
    (cudaError_enum::CUDA_ERROR_INVALID_ADDRESS_SPACE, hipError_t::hipErrorLaunchFailure),
    (cudaError_enum::CUDA_ERROR_INVALID_PC, hipError_t::hipErrorLaunchFailure),
    (cudaError_enum::CUDA_ERROR_NOT_PERMITTED, hipError_t::hipErrorNotSupported),
    (cudaError_enum::CUDA_ERROR_SYSTEM_NOT_READY, hipError_t::hipErrorNotInitialized),
    (cudaError_enum::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, hipError_t::hipErrorInsufficientDriver),
    (cudaError_enum::CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, hipError_t::hipErrorInsufficientDriver),
    (cudaError_enum::CUDA_ERROR_TIMEOUT, hipError_t::hipErrorLaunchTimeOut),
];

/// Up to this number HIP took its statuses from CUDA, and behind it each counts on its own.
const LAST_COMMON: u32 = cudaError_enum::CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE.0;

/// HIP's status for one of CUDA: mostly the same number.
pub fn hip_status(status: cudaError_enum) -> hipError_t {
    if let Some((_, hip)) = DIFFERENT.iter().find(|(cuda, _)| *cuda == status) {
        return *hip;
    }
    let same = hipError_t(status.0);
    if status.0 <= LAST_COMMON && same.name().is_some() { same } else { hipError_t::hipErrorUnknown }
}

/// A place to write a result to.
pub fn place<T>(pointer: *mut T) -> Result<*mut T, hipError_t> {
    if pointer.is_null() { Err(hipError_t::hipErrorInvalidValue) } else { Ok(pointer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_that_callers_act_on_have_their_hip_numbers() {
        let check = |cuda: cudaError_enum, hip: u32| assert_eq!(hip_status(cuda).0, hip, "{cuda:?}");
        check(cudaError_enum::CUDA_SUCCESS, 0);
        check(cudaError_enum::CUDA_ERROR_INVALID_VALUE, 1);
        check(cudaError_enum::CUDA_ERROR_OUT_OF_MEMORY, 2);
        check(cudaError_enum::CUDA_ERROR_NO_DEVICE, 100);
        check(cudaError_enum::CUDA_ERROR_INVALID_DEVICE, 101);
        check(cudaError_enum::CUDA_ERROR_NO_BINARY_FOR_GPU, 209);
        check(cudaError_enum::CUDA_ERROR_NOT_FOUND, 500);
        check(cudaError_enum::CUDA_ERROR_NOT_READY, 600);
        check(cudaError_enum::CUDA_ERROR_ILLEGAL_ADDRESS, 700);
        check(cudaError_enum::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, 701);
        check(cudaError_enum::CUDA_ERROR_LAUNCH_FAILED, 719);
        check(cudaError_enum::CUDA_ERROR_ILLEGAL_INSTRUCTION, 719);
        check(cudaError_enum::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, 901);
        check(cudaError_enum::CUDA_ERROR_UNKNOWN, 999);
    }

    #[test]
    fn every_status_becomes_one_that_hip_knows() {
        for (name, status) in cudaError_enum::ALL {
            let hip = hip_status(*status);
            assert!(hip.name().is_some(), "{name}");
            assert_eq!(hip == hipError_t::hipSuccess, status.0 == 0, "{name}");
        }
        assert_eq!(hip_status(cudaError_enum(4321)), hipError_t::hipErrorUnknown);
    }

    #[test]
    fn names_of_equal_numbers_speak_of_the_same_thing() {
        // Words of the two names that stand at one number and are equal without their prefix.
        let words = |name: &str| name.to_lowercase().replace(['_'], "");
        let mut equal = 0;
        for (_, status) in cudaError_enum::ALL.iter().filter(|(_, s)| hip_status(*s).0 == s.0) {
            let cuda = words(status.name().unwrap_or_default().trim_start_matches("CUDA_ERROR_"));
            let hip = words(hip_status(*status).name().unwrap_or_default().trim_start_matches("hipError"));
            equal += usize::from(cuda == hip);
        }
        assert!(equal >= 40, "only {equal} names agree");
    }

    #[test]
    fn a_panic_stays_inside_and_a_failure_is_remembered_once() {
        assert_eq!(take_last(), hipError_t::hipSuccess);
        assert_eq!(guard(|| panic!("a fault of ours")), hipError_t::hipErrorUnknown);
        assert_eq!(take_last(), hipError_t::hipErrorUnknown);
        assert_eq!(take_last(), hipError_t::hipSuccess);
        assert_eq!(guard(|| Err(hipError_t::hipErrorNotReady)), hipError_t::hipErrorNotReady);
        assert_eq!(take_last(), hipError_t::hipSuccess, "not ready is no failure");
        assert_eq!(guard(|| Ok(())), hipError_t::hipSuccess);
    }
}
