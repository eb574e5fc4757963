// Kernels of the tests of emulated devices; `emulated.bundle` is what this makes of them:
//   hipcc --genco --offload-arch=gfx1100 --offload-arch=gfx1030 -O3 emulated.hip -o emulated.bundle

#include <hip/hip_runtime.h>

// x[i] *= factor. With more than `count` lanes it leaves the memory.
extern "C" __global__ void __launch_bounds__(256) scale(float* x, float factor, unsigned count) {
    const unsigned i = blockIdx.x * 256 + threadIdx.x;
    if (i < count) {
        x[i] *= factor;
    }
}

// Each lane of a block of 4 x 2 x 2 lanes writes its place, through LDS.
extern "C" __global__ void __launch_bounds__(16) places(unsigned* out) {
    __shared__ unsigned turned[16];
    const unsigned lane = threadIdx.x + 4 * (threadIdx.y + 2 * threadIdx.z);
    turned[15 - lane] = threadIdx.x + 10 * threadIdx.y + 100 * threadIdx.z + 1000 * blockIdx.x;
    __syncthreads();
    out[16 * blockIdx.x + lane] = turned[15 - lane];
}

// y[i] = x[i]
extern "C" __global__ void __launch_bounds__(64) copy(const unsigned* x, unsigned* y) {
    const unsigned i = blockIdx.x * 64 + threadIdx.x;
    y[i] = x[i];
}
