// Matrix and dot product instructions, for waves of 32 and, with -DWAVE64 -mwavefrontsize64, of 64, which the headers of
// HIP refuse.
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))

typedef _Float16 f16;
typedef _Float16 f16x2 __attribute__((ext_vector_type(2)));
typedef _Float16 f16x16 __attribute__((ext_vector_type(16)));
typedef short i16;
typedef short i16x2 __attribute__((ext_vector_type(2)));
typedef short i16x16 __attribute__((ext_vector_type(16)));
typedef int i32x2 __attribute__((ext_vector_type(2)));
typedef int i32x4 __attribute__((ext_vector_type(4)));
#ifdef WAVE64
constexpr unsigned ROWS = 4, GROUPS = 4;
#define WMMA(name) __builtin_amdgcn_wmma_##name##_w64
#else
constexpr unsigned ROWS = 8, GROUPS = 2;
#define WMMA(name) __builtin_amdgcn_wmma_##name##_w32
#endif
typedef float f32xr __attribute__((ext_vector_type(ROWS)));
typedef int i32xr __attribute__((ext_vector_type(ROWS)));

__device__ unsigned item() { return __builtin_amdgcn_workitem_id_x(); }
__device__ unsigned lane() { return item() % 16; }
// The row of the result that a lane's register holds.
__device__ unsigned row(unsigned r) { return GROUPS * r + item() / 16; }

// c = a * b^T + c of one tile: a, b [16, 16] row-major.
extern "C" __global__ void wmma_f16(const f16* a, const f16* b, float* c) {
    f32xr sums;
    for (unsigned r = 0; r < ROWS; ++r) sums[r] = c[16 * row(r) + lane()];
    sums = WMMA(f32_16x16x16_f16)(*(const f16x16*)(a + 16 * lane()), *(const f16x16*)(b + 16 * lane()), sums);
    for (unsigned r = 0; r < ROWS; ++r) c[16 * row(r) + lane()] = sums[r];
}

extern "C" __global__ void wmma_bf16(const i16* a, const i16* b, float* c) {
    f32xr sums;
    for (unsigned r = 0; r < ROWS; ++r) sums[r] = c[16 * row(r) + lane()];
    sums = WMMA(f32_16x16x16_bf16)(*(const i16x16*)(a + 16 * lane()), *(const i16x16*)(b + 16 * lane()), sums);
    for (unsigned r = 0; r < ROWS; ++r) c[16 * row(r) + lane()] = sums[r];
}

// Bytes, each operand with or without sign, the last with saturation: c [5, 16, 16].
template <bool A, bool B, bool CLAMP>
__device__ void bytes(i32x4 a, i32x4 b, int* c) {
    i32xr sums;
    for (unsigned r = 0; r < ROWS; ++r) sums[r] = c[16 * row(r) + lane()];
    sums = WMMA(i32_16x16x16_iu8)(A, a, B, b, sums, CLAMP);
    for (unsigned r = 0; r < ROWS; ++r) c[16 * row(r) + lane()] = sums[r];
}
extern "C" __global__ void wmma_iu8(const char* a, const char* b, int* c) {
    const i32x4 x = *(const i32x4*)(a + 16 * lane()), y = *(const i32x4*)(b + 16 * lane());
    bytes<false, false, false>(x, y, c);
    bytes<false, true, false>(x, y, c + 256);
    bytes<true, false, false>(x, y, c + 512);
    bytes<true, true, false>(x, y, c + 768);
    bytes<true, true, true>(x, y, c + 1024);
}

// Nibbles, with sign: a, b [16, 8] bytes.
extern "C" __global__ void wmma_iu4(const char* a, const char* b, int* c) {
    i32xr sums;
    for (unsigned r = 0; r < ROWS; ++r) sums[r] = c[16 * row(r) + lane()];
    sums = WMMA(i32_16x16x16_iu4)(true, *(const i32x2*)(a + 8 * lane()), true, *(const i32x2*)(b + 8 * lane()), sums, false);
    for (unsigned r = 0; r < ROWS; ++r) c[16 * row(r) + lane()] = sums[r];
}

// Products of packed integers: out[way][i].
extern "C" __global__ void dots(const int* a, const int* b, const int* c, int* out, unsigned n) {
    const unsigned i = item();
    if (i >= n) return;
    const int x = a[i], y = b[i], z = c[i];
    const int all[] = {__builtin_amdgcn_sudot4(true, x, true, y, z, false),
                       __builtin_amdgcn_sudot4(true, x, false, y, z, false),
                       __builtin_amdgcn_sudot4(false, x, true, y, z, false),
                       int(__builtin_amdgcn_udot4(x, y, z, false)),
                       __builtin_amdgcn_sudot4(true, x, true, y, z, true),
                       __builtin_amdgcn_sudot4(true, x, false, y, z, true),
                       int(__builtin_amdgcn_udot4(x, y, z, true)),
                       __builtin_amdgcn_sudot8(true, x, true, y, z, false),
                       __builtin_amdgcn_sudot8(false, x, true, y, z, false),
                       int(__builtin_amdgcn_udot8(x, y, z, false)),
                       __builtin_amdgcn_sudot8(true, x, true, y, z, true),
                       int(__builtin_amdgcn_udot8(x, y, z, true))};
    for (unsigned k = 0; k < sizeof all / 4; ++k) out[k * n + i] = all[k];
}

// Products of packed floats: out[way][i], f16 and bf16.
extern "C" __global__ void dots_float(const int* a, const int* b, const float* c, float* out, unsigned n) {
    const unsigned i = item();
    if (i >= n) return;
    out[i] = __builtin_amdgcn_fdot2(__builtin_bit_cast(f16x2, a[i]), __builtin_bit_cast(f16x2, b[i]), c[i], false);
}
