// rf/platform.h: the vocabulary of every kernel, the same on AMD GPUs, NVIDIA GPUs and the host.
//
// Four compilers read it: clang for gfx* (hipcc), hipRTC, NVRTC, and a host C++ compiler (RF_HOST: each lane is a fiber,
// see host.h). None of them needs a header of its own: nothing is included but files of this folder. All names live in
// namespace rf, and kernels are written inside it, so that names of a runtime's built-in header cannot clash.
//
// Kernels take one struct by value, whose fields leave no padding, and are written so:
//   RF_KERNEL(256) void scale_f32(ScaleArgs a) { ... }
//   RF_EXPORT(scale_f32)
#pragma once

#if defined(RF_HOST)
#define RF_AMD 0
#define RF_NVIDIA 0
#elif defined(__AMDGCN__) || defined(__HIP_PLATFORM_AMD__) || defined(__HIP__)
#define RF_AMD 1
#define RF_NVIDIA 0
#else
#define RF_AMD 0
#define RF_NVIDIA 1
#endif

#define RF_UNROLL _Pragma("unroll")
#define RF_RESTRICT __restrict__

// ---- how functions, kernels and LDS are declared -------------------------------------------------------------------
// RF_DEV       a device function            RF_INLINE  the same, always inlined
// RF_KERNEL(t) a kernel of at most t lanes a workgroup
// RF_KERNEL_RESIDENT(t, b) the same, with few enough registers for b workgroups at a time on a CU or SM
// RF_LDS       static LDS, as in `RF_LDS float tile[256];`
// RF_DYNAMIC_LDS(T, name) the LDS asked for at launch, 16-byte aligned
// RF_EXPORT(k) once after each kernel; only the host build needs it
// RF_CONST     a table in constant memory
#if RF_AMD
#define RF_DEV __attribute__((device))
#define RF_INLINE __attribute__((device)) inline __attribute__((always_inline))
#define RF_KERNEL(threads) extern "C" __attribute__((global, amdgpu_flat_work_group_size(1, threads)))
#if defined(__GFX9__)  // a CU has 4 SIMDs of waves of 64, else 2 of waves of 32
#define RF_KERNEL_RESIDENT(threads, blocks) RF_KERNEL(threads) __attribute__((amdgpu_waves_per_eu((threads) * (blocks) / 256)))
#else
#define RF_KERNEL_RESIDENT(threads, blocks) RF_KERNEL(threads) __attribute__((amdgpu_waves_per_eu((threads) * (blocks) / 64)))
#endif
#define RF_LDS __attribute__((shared))
#define RF_DYNAMIC_LDS(T, name)                                                   \
    extern __attribute__((shared, aligned(16))) unsigned char rf_dynamic_lds[]; \
    T* name = reinterpret_cast<T*>(rf_dynamic_lds)
#define RF_EXPORT(kernel)
#define RF_CONST static __attribute__((constant)) const
#elif RF_NVIDIA
#define RF_DEV __device__
#define RF_INLINE __device__ __forceinline__
#define RF_KERNEL(threads) extern "C" __global__ __launch_bounds__(threads)
#define RF_KERNEL_RESIDENT(threads, blocks) extern "C" __global__ __launch_bounds__(threads, blocks)
#define RF_LDS __shared__
#define RF_DYNAMIC_LDS(T, name)                                             \
    extern __shared__ __align__(16) unsigned char rf_dynamic_lds[];         \
    T* name = reinterpret_cast<T*>(rf_dynamic_lds)
#define RF_EXPORT(kernel)
#define RF_CONST static __device__ const
#else
#define RF_DEV
#define RF_INLINE inline __attribute__((always_inline))
#define RF_CONST static const
#define RF_KERNEL_RESIDENT(threads, blocks) RF_KERNEL(threads)
#endif

namespace rf {

using u8 = unsigned char;
using i8 = signed char;
using u16 = unsigned short;
using i16 = short;
using u32 = unsigned int;
using i32 = int;
using u64 = unsigned long long;
using i64 = long long;

struct alignas(8) u32x2 { u32 x, y; };
struct alignas(16) u32x4 { u32 x, y, z, w; };
struct alignas(8) f32x2 { float x, y; };
struct alignas(16) f32x4 { float x, y, z, w; };

// IEEE binary16 and bfloat16 as they lie in memory.
struct half { u16 bits; };
struct bhalf { u16 bits; };

static_assert(sizeof(u32) == 4 && sizeof(u64) == 8 && sizeof(half) == 2, "sizes of the basic types");

// ---- bit casts -----------------------------------------------------------------------------------------------------
#if RF_NVIDIA
RF_INLINE float bits_f32(u32 bits) { return __uint_as_float(bits); }
RF_INLINE u32 f32_bits(float x) { return __float_as_uint(x); }
#else
RF_INLINE float bits_f32(u32 bits) { return __builtin_bit_cast(float, bits); }
RF_INLINE u32 f32_bits(float x) { return __builtin_bit_cast(u32, x); }
#endif

// ---- numbers of 16 and 8 bits --------------------------------------------------------------------------------------
#if RF_AMD
RF_INLINE float to_f32(half h) { return static_cast<float>(__builtin_bit_cast(_Float16, h.bits)); }
RF_INLINE half to_half(float x) { return {__builtin_bit_cast(u16, static_cast<_Float16>(x))}; }
#elif RF_NVIDIA
RF_INLINE float to_f32(half h) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h.bits));
    return x;
}
RF_INLINE half to_half(float x) {
    half h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h.bits) : "f"(x));
    return h;
}
#else
// By bits, so that no host type is needed: round to nearest even, subnormals and infinities included.
RF_INLINE float to_f32(half h) {
    const u32 sign = (h.bits & 0x8000u) << 16, rest = h.bits & 0x7fffu;
    if (rest >= 0x7c00u) return bits_f32(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
    if (rest < 0x0400u) {
        const float magnitude = static_cast<float>(rest) * 5.9604644775390625e-8f;  // 2^-24
        return bits_f32(sign | f32_bits(magnitude));
    }
    return bits_f32(sign | ((rest << 13) + 0x38000000u));
}
RF_INLINE half to_half(float x) {
    const u32 bits = f32_bits(x), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u) return {static_cast<u16>(sign | 0x7e00u)};
    if (rest >= 0x47800000u) return {static_cast<u16>(sign | 0x7c00u)};
    if (rest < 0x38800000u) {
        // Adding 0.5 leaves the rounded multiple of 2^-24 in the low bits of the sum.
        const float sum = bits_f32(rest) + 0.5f;
        return {static_cast<u16>(sign | (f32_bits(sum) - 0x3f000000u))};
    }
    const u32 rounded = rest - 0x38000000u + 0x0fffu + (rest >> 13 & 1u);
    return {static_cast<u16>(sign | rounded >> 13)};
}
#endif

RF_INLINE float to_f32(bhalf h) { return bits_f32(static_cast<u32>(h.bits) << 16); }
RF_INLINE float to_f32(float x) { return x; }
RF_INLINE bhalf to_bhalf(float x) {
    const u32 bits = f32_bits(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<u16>(bits >> 16 | 0x40u)};
    return {static_cast<u16>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

// Two halves in one register, the first in the low bits.
RF_INLINE u32 pack_half2(float low, float high) {
#if RF_NVIDIA
    u32 packed;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
#else
    return static_cast<u32>(to_half(low).bits) | static_cast<u32>(to_half(high).bits) << 16;
#endif
}
RF_INLINE void unpack_half2(u32 packed, float& low, float& high) {
    low = to_f32(half{static_cast<u16>(packed & 0xffffu)});
    high = to_f32(half{static_cast<u16>(packed >> 16)});
}
RF_INLINE u32 pack_bhalf2(float low, float high) {
    return static_cast<u32>(to_bhalf(low).bits) | static_cast<u32>(to_bhalf(high).bits) << 16;
}

// OCP 8-bit float E4M3 (bias 7, no infinity). As a half, its bits stand 2^8 too low.
RF_INLINE float e4m3_to_f32(u8 code) {
    const u32 bits = (code & 0x80u) << 8 | (code & 0x7fu) << 7;
    return to_f32(half{static_cast<u16>(bits)}) * 256.0f;
}
// Rounds to nearest even and saturates at ±448; NaN stays NaN.
RF_INLINE u8 to_e4m3(float x) {
    const u32 bits = f32_bits(x), sign = bits >> 24 & 0x80u, rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u) return static_cast<u8>(sign | 0x7fu);
    if (rest >= 0x43e00000u) return static_cast<u8>(sign | 0x7eu);
    if (rest < 0x3c800000u) {
        // Below 2^-6 steps are 2^-9; adding 2^14 leaves the rounded count in the low bits.
        const float sum = bits_f32(rest) + 16384.0f;
        return static_cast<u8>(sign | (f32_bits(sum) - 0x46800000u));
    }
    const u32 rounded = rest - 0x3c000000u + 0x7ffffu + (rest >> 20 & 1u);
    return static_cast<u8>(sign | rounded >> 20);
}

}  // namespace rf

#if defined(RF_HOST)
#include "rf/host.h"
#elif RF_AMD
#include "rf/amd.h"
#else
#include "rf/nvidia.h"
#endif

namespace rf {

// ---- memory --------------------------------------------------------------------------------------------------------
// Aligned loads of 4, 8 and 16 bytes. The stream forms are for data read once (weights): they ask caches not to keep it.
RF_INLINE u32 load4(const void* p) { return *static_cast<const u32*>(p); }
RF_INLINE u32x2 load8(const void* p) { return *static_cast<const u32x2*>(p); }
RF_INLINE u32x4 load16(const void* p) { return *static_cast<const u32x4*>(p); }
RF_INLINE void store8(void* p, u32x2 v) { *static_cast<u32x2*>(p) = v; }
RF_INLINE void store16(void* p, u32x4 v) { *static_cast<u32x4*>(p) = v; }
RF_INLINE f32x4 load_f32x4(const float* p) { return *reinterpret_cast<const f32x4*>(p); }
RF_INLINE void store_f32x4(float* p, f32x4 v) { *reinterpret_cast<f32x4*>(p) = v; }

// ---- small arithmetic ----------------------------------------------------------------------------------------------
template <class T> RF_INLINE T min_(T a, T b) { return b < a ? b : a; }
template <class T> RF_INLINE T max_(T a, T b) { return a < b ? b : a; }
template <class T> RF_INLINE T clamp_(T x, T low, T high) { return min_(max_(x, low), high); }
RF_INLINE constexpr u32 div_up(u32 a, u32 b) { return (a + b - 1) / b; }
RF_INLINE bool isfinite_(float x) { return (f32_bits(x) & 0x7f800000u) != 0x7f800000u; }

// Σ of the signed bytes of `b` times the unsigned bytes of `a`, plus c.
RF_INLINE i32 dot4_us(u32 a, i32 b, i32 c) {
#if defined(RF_HAS_DOT4_US)
    return dot4_us_native(a, b, c);
#else
    // a = (a - 128) + 128, byte by byte.
    return dot4(static_cast<i32>(a ^ 0x80808080u), b, c) + 128 * dot4(0x01010101, b, 0);
#endif
}

// ---- reductions ----------------------------------------------------------------------------------------------------
struct Sum {
    template <class T> RF_INLINE static T apply(T a, T b) { return a + b; }
    template <class T> RF_INLINE static T identity() { return T(0); }
};
struct Max {
    template <class T> RF_INLINE static T apply(T a, T b) { return max_(a, b); }
};

// Folds each aligned group of N lanes (a power of two, at most WAVE); every lane of the group gets the result. The
// order of the tree is the same in each lane, so all of them hold the same bits.
template <class Op, int N, class T> RF_INLINE T group_fold(T v) {
    if constexpr (N > 1) v = Op::apply(v, shfl_xor_const<1>(v));
    if constexpr (N > 2) v = Op::apply(v, shfl_xor_const<2>(v));
    if constexpr (N > 4) v = Op::apply(v, shfl_xor_const<4>(v));
    if constexpr (N > 8) v = Op::apply(v, shfl_xor_const<8>(v));
    if constexpr (N > 16) v = Op::apply(v, shfl_xor_const<16>(v));
    if constexpr (N > 32) v = Op::apply(v, shfl_xor_const<32>(v));
    return v;
}
template <int N, class T> RF_INLINE T group_sum(T v) { return group_fold<Sum, N>(v); }
template <int N, class T> RF_INLINE T group_max(T v) { return group_fold<Max, N>(v); }
template <class T> RF_INLINE T wave_sum(T v) { return group_sum<WAVE>(v); }
template <class T> RF_INLINE T wave_max(T v) { return group_max<WAVE>(v); }

// Folds over the workgroup; every lane gets the result. `scratch` is LDS of at least 64 elements. All lanes must call.
template <class Op, class T> RF_INLINE T block_fold(T v, T* scratch) {
    v = group_fold<Op, WAVE>(v);
    const u32 waves = block_threads() / WAVE;
    if (waves <= 1) return v;
    if (lane() == 0) scratch[wave_in_block()] = v;
    barrier();
    T total = scratch[0];
    for (u32 w = 1; w < waves; ++w) total = Op::apply(total, scratch[w]);
    barrier();
    return total;
}
template <class T> RF_INLINE T block_sum(T v, T* scratch) { return block_fold<Sum>(v, scratch); }
template <class T> RF_INLINE T block_max(T v, T* scratch) { return block_fold<Max>(v, scratch); }

}  // namespace rf
