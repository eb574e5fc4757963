//! HIP symbols over host memory: fault injection and kernels on the CPU, without a GPU.
