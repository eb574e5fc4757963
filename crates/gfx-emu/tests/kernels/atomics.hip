// Atomic operations of many blocks on few words, in LDS and in global memory.
#include <hip/hip_runtime.h>

typedef unsigned u32;
typedef unsigned long long u64;

struct Words {
    u64 sum, most, swapped;
    u32 count, largest, smallest, any, all, flipped, wrapped;
    int signed_most;
    float total;
};

// Each word by an operation of its own over x[0..n].
extern "C" __global__ void combine(const u32* x, Words* words, u32 n) {
    const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const u32 v = x[i];
    atomicAdd(&words->sum, u64(v));
    atomicMax(&words->most, u64(v) * v);
    atomicAdd(&words->count, 1u);
    atomicMax(&words->largest, v);
    atomicMin(&words->smallest, v);
    atomicOr(&words->any, v);
    atomicAnd(&words->all, v);
    atomicXor(&words->flipped, v);
    atomicInc(&words->wrapped, 9u);
    atomicMax(&words->signed_most, int(v));
    atomicAdd(&words->total, float(v % 8));
    // The first guess is wrong but for one item; reading the word for it would be a race.
    for (u64 old = 0;;) {
        const u64 seen = atomicCAS(&words->swapped, old, old + 3 * u64(v));
        if (seen == old) break;
        old = seen;
    }
}

// Tickets are handed out once each: taken[ticket] = 1; last[0] is what the last of all exchanges left.
extern "C" __global__ void tickets(u32* next, u32* taken, u32 n) {
    const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) taken[atomicAdd(next, 1u)] = 1;
}

// Histograms of a block in LDS, added to the grid's: bins of u32, sums of float by bin, largest u64 by bin.
extern "C" __global__ void histogram(const u32* x, u32* bins, float* sums, u64* most, u32 n) {
    __shared__ u32 count[16];
    __shared__ float sum[16];
    __shared__ u64 top[16];
    const u32 t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
    if (t < 16) {
        count[t] = 0;
        sum[t] = 0;
        top[t] = 0;
    }
    __syncthreads();
    if (i < n) {
        const u32 bin = x[i] % 16;
        atomicAdd(&count[bin], 1u);
        atomicAdd(&sum[bin], float(x[i] / 16 % 4));
        atomicMax(&top[bin], u64(x[i]) << 20);
    }
    __syncthreads();
    if (t < 16) {
        atomicAdd(&bins[t], count[t]);
        atomicAdd(&sums[t], sum[t]);
        atomicMax(&most[t], top[t]);
    }
}

// The block that comes last adds up what all have left.
extern "C" __global__ void last_block(const u32* x, u32* parts, u32* arrived, u32* sum) {
    __shared__ u32 part, is_last;
    if (threadIdx.x == 0) part = 0;
    __syncthreads();
    atomicAdd(&part, x[blockIdx.x * blockDim.x + threadIdx.x]);
    __syncthreads();
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = part;
        __threadfence();
        is_last = atomicAdd(arrived, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (is_last && threadIdx.x == 0) {
        u32 all = 0;
        for (u32 b = 0; b < gridDim.x; ++b) all += ((volatile u32*)parts)[b];
        *sum = all;
    }
}
