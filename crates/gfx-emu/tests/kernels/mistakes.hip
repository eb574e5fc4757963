// One mistake each, that an argument brings about or leaves out.
#include <hip/hip_runtime.h>

typedef unsigned u32;

// y[0..n] = 1, and with `extra` items more.
extern "C" __global__ void one_too_many(u32* y, u32 n, u32 extra) {
    const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n + extra) y[i] = 1;
}

// y is x from behind; without `waits` nothing orders what waves write and read.
extern "C" __global__ void race(const u32* x, u32* y, u32 waits) {
    __shared__ u32 room[256];
    const u32 t = threadIdx.x;
    room[t] = x[t];
    if (waits) __syncthreads();
    y[t] = room[blockDim.x - 1 - t];
}

// Only items before `coming` come to the first barrier.
extern "C" __global__ void barrier(u32* y, u32 coming) {
    __shared__ u32 room[256];
    const u32 t = threadIdx.x;
    room[t] = t;
    if (t < coming) {
        __syncthreads();
        room[t] += room[t] & 1;
    }
    __syncthreads();
    y[t] = room[t];
}

// Only items before `filled` write what all read.
extern "C" __global__ void unwritten_lds(u32* y, u32 filled) {
    __shared__ u32 room[256];
    const u32 t = threadIdx.x;
    if (t < filled) room[t] = t;
    __syncthreads();
    y[t] = 2 * room[t ^ 1] + 1;
}

extern "C" __global__ void gather(const u32* index, const u32* x, u32* y) { y[threadIdx.x] = x[index[threadIdx.x]]; }

// What a compiler does not forget.
extern "C" __global__ void no_wait(const u32* x, u32* y) {
    u32 value;
    asm volatile("global_load_b32 %0, %1, off\n\tv_add_nc_u32 %0, 1, %0\n\ts_waitcnt vmcnt(0)"
                 : "=&v"(value)
                 : "v"(x + threadIdx.x)
                 : "memory");
    y[threadIdx.x] = value;
}
extern "C" __global__ void with_wait(const u32* x, u32* y) {
    u32 value;
    asm volatile("global_load_b32 %0, %1, off\n\ts_waitcnt vmcnt(0)\n\tv_add_nc_u32 %0, 1, %0"
                 : "=&v"(value)
                 : "v"(x + threadIdx.x)
                 : "memory");
    y[threadIdx.x] = value;
}

// Waits for a flag that nobody raises.
extern "C" __global__ void spin(const volatile u32* flag, u32* y) {
    while (*flag == 0) {
    }
    y[threadIdx.x] = *flag;
}

extern "C" __global__ void __launch_bounds__(64) small_block(u32* y) { y[threadIdx.x] = threadIdx.x; }

// Every item adds to the word of its own, or all to one, without atomics.
extern "C" __global__ void shared_word(u32* y, u32 apart) {
    u32* word = y + (apart ? threadIdx.x : 0);
    *word += 1;
}
