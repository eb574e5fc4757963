// What a compiler needs a stack, a calling convention, hidden arguments or a loop over diverged lanes for.
#include <hip/hip_runtime.h>

typedef unsigned u32;
#define NOINLINE static __device__ __attribute__((noinline))

NOINLINE u32 gcd(u32 a, u32 b) {
    while (b) {
        const u32 rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}
NOINLINE u32 fibonacci(u32 n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
NOINLINE u32 twice(u32 x) { return 2 * x; }
NOINLINE u32 square(u32 x) { return x * x; }
NOINLINE u32 next(u32 x) { return x + 1; }
__constant__ u32 (*const steps[3])(u32) = {twice, square, next};

extern "C" __global__ void call(const u32* x, u32* out) {
    const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = gcd(x[i], 360 + i);
}

// Each lane as deep as its own number.
extern "C" __global__ void recurse(const u32* x, u32* out) {
    const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = fibonacci(x[i] % 9);
}

// Lanes call different functions.
extern "C" __global__ void call_table(const u32* x, u32* out) {
    const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = steps[x[i] % 3](x[i]);
}

// A stack of each lane's own: digits of x, sorted.
extern "C" __global__ void sort_digits(const u32* x, u32* out) {
    const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    unsigned char digits[10];
    u32 rest = x[i];
    for (u32 d = 0; d < 10; ++d, rest /= 10) {
        u32 at = d;
        for (; at > 0 && digits[at - 1] > rest % 10; --at) digits[at] = digits[at - 1];
        digits[at] = rest % 10;
    }
    u32 sorted = 0;
    for (u32 d = 0; d < 10; ++d) sorted = sorted * 7 + digits[d];
    out[i] = sorted;
}

struct __attribute__((packed)) Odd {
    unsigned char tag;
    u32 word;
    unsigned long long wide;
    unsigned short half;
};

// Records without alignment: read, changed, written.
extern "C" __global__ void unaligned(const Odd* in, Odd* out) {
    const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    Odd odd = in[i];
    odd.tag += 1;
    odd.word *= 3;
    odd.wide += odd.half;
    odd.half ^= 0xffff;
    out[i] = odd;
}

// Where each item of a grid in three dimensions is, from what the runtime passes unseen.
extern "C" __global__ void place(u32* out) {
    const u32 x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y,
              z = blockIdx.z * blockDim.z + threadIdx.z;
    const u32 width = gridDim.x * blockDim.x, height = gridDim.y * blockDim.y, depth = gridDim.z * blockDim.z;
    u32* to = out + 4 * ((z * height + y) * width + x);
    to[0] = x | y << 8 | z << 16;
    to[1] = width | height << 8 | depth << 16;
    to[2] = gridDim.x | gridDim.y << 8 | gridDim.z << 16;
    to[3] = blockDim.x | blockDim.y << 8 | blockDim.z << 16;
}

// Two arrays in one piece of LDS whose size the launch says; out is x from behind, added to its neighbour.
extern "C" __global__ void dynamic_lds(const u32* x, u32* out) {
    extern __shared__ u32 room[];
    u32* other = room + blockDim.x;
    const u32 t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
    room[t] = x[i];
    __syncthreads();
    other[t] = room[blockDim.x - 1 - t];
    __syncthreads();
    out[i] = other[t] + room[(t + 1) % blockDim.x];
}

// A small machine: each lane runs the digits of its own program until it ends.
extern "C" __global__ void interpret(const u32* x, u32* out) {
    const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    u32 program = x[i], a = i + 1, b = 1;
    for (u32 steps = 0; program && steps < 100; ++steps) {
        const u32 op = program & 7;
        program >>= 3;
        switch (op) {
        case 0: a += b; break;
        case 1: b ^= a; break;
        case 2: a *= 5; break;
        case 3:
            while (a > 1000) a /= 3;
            break;
        case 4: {
            const u32 kept = a;
            a = b;
            b = kept;
            break;
        }
        case 5:
            if (a & 1) continue;
            b += 7;
            break;
        case 6:
            for (u32 n = a % 5; n > 0; --n) b = b * 3 + n;
            break;
        default: program ^= b & 0x38; break;
        }
        if (b == 42) break;
    }
    out[i] = a ^ b << 7;
}
