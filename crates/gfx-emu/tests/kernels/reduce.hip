// Sums, maxima, scans and votes: within blocks through LDS, within waves by every way that lanes exchange values.
#include <hip/hip_runtime.h>

typedef unsigned u32;

__device__ u32 larger(u32 a, u32 b) { return a > b ? a : b; }
__device__ float larger(float a, float b) { return fmaxf(a, b); }

// The items of a block, any number of them, folded in two: sums[b] and maxima[b] of the block's part of x[0..n].
template <typename T>
__device__ void fold_block(const T* x, T* sums, T* maxima, u32 n, T least) {
    __shared__ T sum[1024], most[1024];
    const u32 t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
    sum[t] = i < n ? x[i] : T(0);
    most[t] = i < n ? x[i] : least;
    __syncthreads();
    for (u32 width = blockDim.x; width > 1;) {
        const u32 half = (width + 1) / 2;
        if (t + half < width) {
            sum[t] += sum[t + half];
            most[t] = larger(most[t], most[t + half]);
        }
        __syncthreads();
        width = half;
    }
    if (t == 0) {
        sums[blockIdx.x] = sum[0];
        maxima[blockIdx.x] = most[0];
    }
}

extern "C" __global__ void fold_u32(const u32* x, u32* sums, u32* maxima, u32 n) { fold_block(x, sums, maxima, n, 0u); }
extern "C" __global__ void fold_f32(const float* x, float* sums, float* maxima, u32 n) {
    fold_block(x, sums, maxima, n, -INFINITY);
}

template <int CONTROL>
__device__ int by_dpp(int x) {
    return __builtin_amdgcn_update_dpp(0, x, CONTROL, 0xf, 0xf, true);
}

// Both rows of 16 lanes, exchanged lane by lane.
__device__ int other_row(int x) { return __builtin_amdgcn_permlanex16(x, x, 0x76543210, 0xfedcba98, false, false); }

// Sums of 32 lanes, in each lane: out[way][i], whole waves.
extern "C" __global__ void wave_sums(const int* x, int* out) {
    const u32 i = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x;
    const int v = x[i];
    int permuted = v;
    for (int mask = 16; mask > 0; mask /= 2) permuted += __shfl_xor(permuted, mask, 32);
    int swizzled = v;
    swizzled += __builtin_amdgcn_ds_swizzle(swizzled, 0x041f);
    swizzled += __builtin_amdgcn_ds_swizzle(swizzled, 0x081f);
    swizzled += __builtin_amdgcn_ds_swizzle(swizzled, 0x101f);
    swizzled += __builtin_amdgcn_ds_swizzle(swizzled, 0x201f);
    swizzled += __builtin_amdgcn_ds_swizzle(swizzled, 0x401f);
    int masked = v; // row_xmask
    masked += by_dpp<0x161>(masked);
    masked += by_dpp<0x162>(masked);
    masked += by_dpp<0x164>(masked);
    masked += by_dpp<0x168>(masked);
    masked += other_row(masked);
    int rotated = v; // row_ror
    rotated += by_dpp<0x128>(rotated);
    rotated += by_dpp<0x124>(rotated);
    rotated += by_dpp<0x122>(rotated);
    rotated += by_dpp<0x121>(rotated);
    rotated += other_row(rotated);
    int mirrored = v; // quad_perm twice, row_half_mirror, row_mirror
    mirrored += by_dpp<0xb1>(mirrored);
    mirrored += by_dpp<0x4e>(mirrored);
    mirrored += by_dpp<0x141>(mirrored);
    mirrored += by_dpp<0x140>(mirrored);
    mirrored += other_row(mirrored);
    int eights = v; // dpp8: neighbours, pairs, fours
    eights += __builtin_amdgcn_mov_dpp8(eights, 1 | 0 << 3 | 3 << 6 | 2 << 9 | 5 << 12 | 4 << 15 | 7 << 18 | 6 << 21);
    eights += __builtin_amdgcn_mov_dpp8(eights, 2 | 3 << 3 | 0 << 6 | 1 << 9 | 6 << 12 | 7 << 15 | 4 << 18 | 5 << 21);
    eights += __builtin_amdgcn_mov_dpp8(eights, 4 | 5 << 3 | 6 << 6 | 7 << 9 | 0 << 12 | 1 << 15 | 2 << 18 | 3 << 21);
    eights += __builtin_amdgcn_permlane16(eights, eights, 0xfedcba98, 0x76543210, false, false);
    eights += other_row(eights);
    const int all[6] = {permuted, swizzled, masked, rotated, mirrored, eights};
    for (int way = 0; way < 6; ++way) out[way * n + i] = all[way];
}

// Sums up to each lane, of the lanes that there are: a wave's last lanes may be missing.
extern "C" __global__ void wave_scan(const int* x, int* out, int* broadcasts) {
    const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    int sum = x[i];
    sum += by_dpp<0x111>(sum);
    sum += by_dpp<0x112>(sum);
    sum += by_dpp<0x114>(sum);
    sum += by_dpp<0x118>(sum);
    const int row = __builtin_amdgcn_readlane(sum, 15);
    out[i] = threadIdx.x % 32 < 16 ? sum : sum + row;
    // The first lane's, the third lane's of each row, and the lane's above by bpermute.
    broadcasts[3 * i] = __builtin_amdgcn_readfirstlane(x[i]);
    broadcasts[3 * i + 1] = by_dpp<0x153>(x[i]);
    broadcasts[3 * i + 2] = __shfl_up(x[i], 1, 32);
}

// kept[0..*count]: positions of the odd ones of x[0..n], in order within a wave; votes[wave]: none, some, or all.
extern "C" __global__ void compact(const u32* x, u32* kept, u32* votes, u32* counts, u32 n) {
    const u32 i = blockIdx.x * blockDim.x + threadIdx.x, wave = i / warpSize;
    if (i >= n) return;
    const bool odd = x[i] & 1;
    const unsigned long long mask = __ballot(odd);
    const u32 before = __builtin_amdgcn_mbcnt_hi(u32(mask >> 32), __builtin_amdgcn_mbcnt_lo(u32(mask), 0));
    if (odd) kept[wave * warpSize + before] = i;
    votes[wave] = __all(odd) ? 2 : __any(odd) ? 1 : 0;
    counts[wave] = __popcll(mask);
}
