//! HIP, hipRTC and hipBLAS symbols over the CUDA driver, NVRTC and cuBLAS.
