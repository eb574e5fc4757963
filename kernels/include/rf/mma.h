// rf/mma.h: products of 16×16×16 tiles by one wave, C[m][n] += Σ_k A[m][k] B[n][k], 16-bit inputs, f32 sums.
//
// A and B are read from LDS, row by row, k contiguous; rows begin at multiples of 16 bytes. Which lane holds which
// element differs by target and stays inside this file: kernels visit accumulators through row(i) and col(i).
//
// target     instruction                          A and B a lane             C a lane
// gfx11      v_wmma_f32_16x16x16 (wave32)         row lane%16, all 16 k      row 2i + lane/16, column lane%16
// gfx12      v_wmma_f32_16x16x16 (wave32)         row lane%16, k 8(lane/16)+ row i + 8(lane/16), column lane%16
// gfx90a, 94 v_mfma_f32_16x16x16 (wave64)         row lane%16, k 4(lane/16)+ row i + 4(lane/16), column lane%16
// NVIDIA     mma.sync.m16n8k16, twice             ldmatrix order             row lane/4 (+8), column 2(lane%4) + i%2 (+8)
// others     dot products of two, or FMA          whole rows, see below       rows lane/8 + WAVE/8 i, column lane%8 (+8)
//
// FragC::settle() keeps the products so far before what follows: clang moves WMMA behind barriers and branches and keeps
// all inputs in registers for it.
// FragC::ROW_LANES neighbouring lanes (an aligned group) hold the same rows of C, and together all columns of them.
#pragma once

#include "rf/platform.h"

#if RF_AMD && (defined(__GFX11__) || defined(__GFX12__))
#define RF_HAS_MMA 1
#elif RF_AMD && (defined(__gfx90a__) || defined(__gfx942__) || defined(__gfx950__))
#define RF_HAS_MMA 1
#elif RF_NVIDIA
#define RF_HAS_MMA 1
#else
#define RF_HAS_MMA 0
#endif

// Loops over fragments: their indices are constants on a GPU, since registers have no addresses. On a CPU that would be
// a minute of compilation for nothing.
#if defined(RF_HOST)
#define RF_UNROLL_TILES
#else
#define RF_UNROLL_TILES RF_UNROLL
#endif

namespace rf {

#if RF_NVIDIA

// Registers of a 16×16 tile of 16-bit numbers, two in each.
template <class T> struct FragA { u32 r[4]; };
template <class T> struct FragB { u32 r[4]; };

struct FragC {
    static constexpr int COUNT = 8;
    static constexpr int ROW_LANES = 4;
    float v[COUNT];
    RF_INLINE void zero() {
        RF_UNROLL for (int i = 0; i < COUNT; ++i) v[i] = 0.0f;
    }
    RF_INLINE static int row(int i) { return static_cast<int>(lane() / 4) + (i & 2) * 4; }
    RF_INLINE static int col(int i) { return static_cast<int>(lane() % 4) * 2 + (i & 1) + (i & 4) * 2; }
    template <class F> RF_INLINE void each(F&& f) {
        RF_UNROLL for (int i = 0; i < COUNT; ++i) f(row(i), col(i), v[i]);
    }
    RF_INLINE void settle() {}
};

// Four 8×8 matrices; lane l names row l%8 of matrix l/8.
RF_INLINE void load_matrices(u32 (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(lds_address(row))
                 : "memory");
}
template <class T> RF_INLINE void load_a(FragA<T>& a, const T* lds, int stride) {
    const int l = static_cast<int>(lane());
    load_matrices(a.r, lds + (l % 16) * stride + l / 16 * 8);
}
template <class T> RF_INLINE void load_b(FragB<T>& b, const T* lds, int stride) {
    // Matrices in the order (n 0-7, k 0-7), (n 0-7, k 8-15), (n 8-15, k 0-7), (n 8-15, k 8-15).
    const int l = static_cast<int>(lane());
    load_matrices(b.r, lds + (l % 8 + l / 16 * 8) * stride + l / 8 % 2 * 8);
}

#define RF_MMA_16816(TYPE, c, a, b0, b1)                                                       \
    asm("mma.sync.aligned.m16n8k16.row.col.f32." TYPE "." TYPE ".f32 "                         \
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"                                \
        : "+f"((c)[0]), "+f"((c)[1]), "+f"((c)[2]), "+f"((c)[3])                               \
        : "r"((a)[0]), "r"((a)[1]), "r"((a)[2]), "r"((a)[3]), "r"(b0), "r"(b1))
RF_INLINE void mma(FragC& c, const FragA<half>& a, const FragB<half>& b) {
    RF_MMA_16816("f16", c.v, a.r, b.r[0], b.r[1]);
    RF_MMA_16816("f16", c.v + 4, a.r, b.r[2], b.r[3]);
}
RF_INLINE void mma(FragC& c, const FragA<bhalf>& a, const FragB<bhalf>& b) {
    RF_MMA_16816("bf16", c.v, a.r, b.r[0], b.r[1]);
    RF_MMA_16816("bf16", c.v + 4, a.r, b.r[2], b.r[3]);
}
#undef RF_MMA_16816

#elif RF_HAS_MMA

// Lanes 0-15, 16-31, … hold the same rows; each such group ("part") has its own slice of k, except on gfx11, whose
// instruction wants the whole row in both parts.
constexpr int MMA_PARTS = WAVE / 16;
#if RF_AMD && defined(__GFX11__)
constexpr int MMA_K = 16;
#else
constexpr int MMA_K = 16 / MMA_PARTS;
#endif

using f32v4 = float __attribute__((ext_vector_type(4)));
using f32v8 = float __attribute__((ext_vector_type(8)));
#if defined(__GFX9__)
using MmaSums = f32v4;
#else
using MmaSums = f32v8;
#endif

template <class T> struct alignas(MMA_K * 2 < 16 ? MMA_K * 2 : 16) MmaSlice { T v[MMA_K]; };
template <class T> struct FragA : MmaSlice<T> {};
template <class T> struct FragB : MmaSlice<T> {};

struct FragC {
    static constexpr int COUNT = 16 / MMA_PARTS;
    static constexpr int ROW_LANES = 16;
    float v[COUNT];
    RF_INLINE void zero() {
        RF_UNROLL for (int i = 0; i < COUNT; ++i) v[i] = 0.0f;
    }
    RF_INLINE static int row(int i) {
        const int part = static_cast<int>(lane() / 16);
#if RF_AMD && defined(__GFX11__)
        return 2 * i + part;
#else
        return i + COUNT * part;
#endif
    }
    RF_INLINE static int col(int) { return static_cast<int>(lane() % 16); }
    template <class F> RF_INLINE void each(F&& f) {
        RF_UNROLL for (int i = 0; i < COUNT; ++i) f(row(i), col(i), v[i]);
    }
    RF_INLINE void settle() {
#if !defined(__GFX9__)
        MmaSums sums = __builtin_bit_cast(MmaSums, v);
        asm volatile("" : "+v"(sums));
        __builtin_memcpy(v, &sums, sizeof(v));
#endif
    }
};

template <class T> RF_INLINE void load_slice(MmaSlice<T>& slice, const T* lds, int stride) {
    const int l = static_cast<int>(lane());
    const int first = MMA_K == 16 ? 0 : l / 16 * MMA_K;
    slice = *reinterpret_cast<const MmaSlice<T>*>(lds + (l % 16) * stride + first);
}
template <class T> RF_INLINE void load_a(FragA<T>& a, const T* lds, int stride) { load_slice(a, lds, stride); }
template <class T> RF_INLINE void load_b(FragB<T>& b, const T* lds, int stride) { load_slice(b, lds, stride); }

using f16v4 = _Float16 __attribute__((ext_vector_type(4)));
using f16v8 = _Float16 __attribute__((ext_vector_type(8)));
using f16v16 = _Float16 __attribute__((ext_vector_type(16)));
using i16v4 = i16 __attribute__((ext_vector_type(4)));
using i16v8 = i16 __attribute__((ext_vector_type(8)));
using i16v16 = i16 __attribute__((ext_vector_type(16)));

template <class V, class T> RF_INLINE V vector_of(const MmaSlice<T>& s) {
    static_assert(sizeof(V) == sizeof(s.v), "a fragment is one vector");
    return __builtin_bit_cast(V, s.v);
}

#if defined(__GFX11__)
RF_INLINE f32v8 mma_native(const FragA<half>& a, const FragB<half>& b, f32v8 c) {
    return __builtin_amdgcn_wmma_f32_16x16x16_f16_w32(vector_of<f16v16>(a), vector_of<f16v16>(b), c);
}
RF_INLINE f32v8 mma_native(const FragA<bhalf>& a, const FragB<bhalf>& b, f32v8 c) {
    return __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(vector_of<i16v16>(a), vector_of<i16v16>(b), c);
}
#elif defined(__GFX12__)
RF_INLINE f32v8 mma_native(const FragA<half>& a, const FragB<half>& b, f32v8 c) {
    return __builtin_amdgcn_wmma_f32_16x16x16_f16_w32_gfx12(vector_of<f16v8>(a), vector_of<f16v8>(b), c);
}
RF_INLINE f32v8 mma_native(const FragA<bhalf>& a, const FragB<bhalf>& b, f32v8 c) {
    return __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(vector_of<i16v8>(a), vector_of<i16v8>(b), c);
}
#else
RF_INLINE f32v4 mma_native(const FragA<half>& a, const FragB<half>& b, f32v4 c) {
    return __builtin_amdgcn_mfma_f32_16x16x16f16(vector_of<f16v4>(a), vector_of<f16v4>(b), c, 0, 0, 0);
}
RF_INLINE f32v4 mma_native(const FragA<bhalf>& a, const FragB<bhalf>& b, f32v4 c) {
    return __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(vector_of<i16v4>(a), vector_of<i16v4>(b), c, 0, 0, 0);
}
#endif

template <class T> RF_INLINE void mma(FragC& c, const FragA<T>& a, const FragB<T>& b) {
    MmaSums sums = __builtin_bit_cast(MmaSums, c.v);
    sums = mma_native(a, b, sums);
    __builtin_memcpy(c.v, &sums, sizeof(c.v));
}

#else

// No matrix unit: a wave is 8 lanes wide, and each lane keeps whole rows of A and B, all 16 k, so that nothing is
// exchanged between lanes. LDS are read in groups of equal addresses, of rows that lie in different banks.
constexpr int MMA_HIGH = WAVE / 8;          // distance of a lane's rows of A
constexpr int MMA_ROWS = 16 / MMA_HIGH;     // rows of A that a lane has
template <class T> struct FragA { u32 r[MMA_ROWS][8]; };
template <class T> struct FragB { u32 r[2][8]; };

struct FragC {
    static constexpr int COUNT = MMA_ROWS * 2;
    static constexpr int ROW_LANES = 8;
    float v[COUNT];
    RF_INLINE void zero() {
        RF_UNROLL_TILES for (int i = 0; i < COUNT; ++i) v[i] = 0.0f;
    }
    RF_INLINE static int row(int i) { return static_cast<int>(lane() / 8) + i / 2 * MMA_HIGH; }
    RF_INLINE static int col(int i) { return static_cast<int>(lane() % 8) + i % 2 * 8; }
    template <class F> RF_INLINE void each(F&& f) {
        RF_UNROLL_TILES for (int i = 0; i < COUNT; ++i) f(row(i), col(i), v[i]);
    }
    RF_INLINE void settle() {}
};

RF_INLINE void load_row(u32 (&r)[8], const void* lds) {
    const u32x4* from = static_cast<const u32x4*>(lds);
    const u32x4 low = from[0], high = from[1];
    r[0] = low.x, r[1] = low.y, r[2] = low.z, r[3] = low.w;
    r[4] = high.x, r[5] = high.y, r[6] = high.z, r[7] = high.w;
}
template <class T> RF_INLINE void load_a(FragA<T>& a, const T* lds, int stride) {
    const int first = static_cast<int>(lane() / 8);
    RF_UNROLL_TILES for (int i = 0; i < MMA_ROWS; ++i) load_row(a.r[i], lds + (first + i * MMA_HIGH) * stride);
}
template <class T> RF_INLINE void load_b(FragB<T>& b, const T* lds, int stride) {
    const int first = static_cast<int>(lane() % 8);
    RF_UNROLL_TILES for (int j = 0; j < 2; ++j) load_row(b.r[j], lds + (first + j * 8) * stride);
}

// c + a.low * b.low + a.high * b.high
RF_INLINE float dot2(half, u32 a, u32 b, float c) {
#if RF_AMD && defined(__GFX10__)
    using f16v2 = _Float16 __attribute__((ext_vector_type(2)));
    return __builtin_amdgcn_fdot2(__builtin_bit_cast(f16v2, a), __builtin_bit_cast(f16v2, b), c, false);
#else
    float a0, a1, b0, b1;
    unpack_half2(a, a0, a1);
    unpack_half2(b, b0, b1);
    return fma_(a1, b1, fma_(a0, b0, c));
#endif
}
RF_INLINE float dot2(bhalf, u32 a, u32 b, float c) {
    c = fma_(bits_f32(a << 16), bits_f32(b << 16), c);
    return fma_(bits_f32(a & 0xffff0000u), bits_f32(b & 0xffff0000u), c);
}

template <class T> RF_INLINE void mma(FragC& c, const FragA<T>& a, const FragB<T>& b) {
#if defined(RF_HOST)
    // A matrix unit needs every lane of the wave; here this finds out whether they came.
    wave_barrier();
#endif
    RF_UNROLL_TILES for (int i = 0; i < MMA_ROWS; ++i) {
        RF_UNROLL_TILES for (int j = 0; j < 2; ++j) {
            RF_UNROLL_TILES for (int k = 0; k < 8; ++k) c.v[i * 2 + j] = dot2(T{}, a.r[i][k], b.r[j][k], c.v[i * 2 + j]);
        }
    }
}

#endif

}  // namespace rf
