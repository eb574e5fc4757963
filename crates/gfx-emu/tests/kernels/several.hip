// Several kernels of one object: a 3-D grid that asks for its hidden arguments, and LDS of both kinds.
#include <hip/hip_runtime.h>

extern "C" __global__ void scale(float *y, const float *x, float factor, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y[i] = factor * x[i];
}

// out[z][y][x] = the linear index of the work-item in its workgroup, plus 1000 times that of the workgroup.
extern "C" __global__ void indices(unsigned *out) {
    const unsigned width = gridDim.x * blockDim.x, height = gridDim.y * blockDim.y;
    const unsigned x = blockIdx.x * blockDim.x + threadIdx.x;
    const unsigned y = blockIdx.y * blockDim.y + threadIdx.y;
    const unsigned z = blockIdx.z * blockDim.z + threadIdx.z;
    const unsigned item = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    const unsigned group = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    out[(z * height + y) * width + x] = 1000 * group + item;
}

// y[i] = x[n - 1 - i] + the sum of the first 32 of x, through 128 bytes of static and 4 n of dynamic LDS.
extern "C" __global__ __launch_bounds__(128) void reverse(int *y, const int *x) {
    __shared__ int first[32];
    extern __shared__ int all[];
    const int i = threadIdx.x, n = blockDim.x;
    if (i < 32) first[i] = x[i];
    all[i] = x[i];
    __syncthreads();
    int sum = 0;
    for (int k = 0; k < 32; ++k) sum += first[k];
    y[i] = all[n - 1 - i] + sum;
}
