// What a loader must relocate: a constant array of pointers to constant arrays, a variable, calls through a table.
#include <hip/hip_runtime.h>

__constant__ int squares[5] = {0, 1, 4, 9, 16};
__constant__ int cubes[5] = {0, 1, 8, 27, 64};
__constant__ const int *const powers[2] = {squares, cubes};
__device__ unsigned calls = 7;

static __device__ __attribute__((noinline)) int twice(int x) { return 2 * x; }
static __device__ __attribute__((noinline)) int negated(int x) { return -x; }
__constant__ int (*const steps[2])(int) = {twice, negated};

// y[i] = squares[i % 5] or cubes[i % 5], by `which`.
extern "C" __global__ void look_up(int *y, int which) {
    y[threadIdx.x] = powers[which][threadIdx.x % 5];
}

// y[i] = 2 i or -i, by `which`; counts the work-items that came by.
extern "C" __global__ void call(int *y, int which) {
    y[threadIdx.x] = steps[which](threadIdx.x);
    atomicAdd(&calls, 1u);
}
