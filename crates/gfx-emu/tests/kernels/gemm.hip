// c = a * b^T for 16-wide tiles: each wave computes one tile of c by matrix instructions. a, b f16 or bf16, row-major
// [m, k] and [n, k]; c f32 [m, n]; grid (n / 16, m / 16), block 32, k a multiple of 16.
#include <hip/hip_runtime.h>

typedef _Float16 f16;
typedef short i16;
typedef float f32x8 __attribute__((ext_vector_type(8)));
#if __gfx12__ || __gfx1200__ || __gfx1201__
constexpr int HELD = 8; // a lane holds half a row
typedef f16 f16xh __attribute__((ext_vector_type(8)));
typedef i16 i16xh __attribute__((ext_vector_type(8)));
__device__ f32x8 mma(f16xh a, f16xh b, f32x8 c) { return __builtin_amdgcn_wmma_f32_16x16x16_f16_w32_gfx12(a, b, c); }
__device__ f32x8 mma(i16xh a, i16xh b, f32x8 c) { return __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(a, b, c); }
#else
constexpr int HELD = 16; // both halves of a wave hold all of a row
typedef f16 f16xh __attribute__((ext_vector_type(16)));
typedef i16 i16xh __attribute__((ext_vector_type(16)));
__device__ f32x8 mma(f16xh a, f16xh b, f32x8 c) { return __builtin_amdgcn_wmma_f32_16x16x16_f16_w32(a, b, c); }
__device__ f32x8 mma(i16xh a, i16xh b, f32x8 c) { return __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(a, b, c); }
#endif

template <typename V, typename T>
__device__ void gemm(const T* a, const T* b, float* c, unsigned n, unsigned k) {
    const unsigned lane = threadIdx.x, group = lane / 16, first = HELD == 8 ? 8 * group : 0;
    const T* row = a + (16 * blockIdx.y + lane % 16) * k + first;
    const T* column = b + (16 * blockIdx.x + lane % 16) * k + first;
    f32x8 sums = {};
    for (unsigned at = 0; at < k; at += 16) sums = mma(*(const V*)(row + at), *(const V*)(column + at), sums);
    for (unsigned r = 0; r < 8; ++r) {
        const unsigned m = HELD == 8 ? 8 * group + r : 2 * r + group;
        c[(16 * blockIdx.y + m) * n + 16 * blockIdx.x + lane % 16] = sums[r];
    }
}

extern "C" __global__ void gemm_f16(const f16* a, const f16* b, float* c, unsigned n, unsigned k) {
    gemm<f16xh>(a, b, c, n, k);
}
extern "C" __global__ void gemm_bf16(const i16* a, const i16* b, float* c, unsigned n, unsigned k) {
    gemm<i16xh>(a, b, c, n, k);
}
