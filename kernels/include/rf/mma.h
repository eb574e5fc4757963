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
// others     fused multiply-adds over exchanges   as gfx12 / gfx9            as gfx12 / gfx9
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

namespace rf {

#if RF_NVIDIA

// Registers of a 16×16 tile of 16-bit numbers, two in each.
template <class T> struct FragA { u32 r[4]; };
template <class T> struct FragB { u32 r[4]; };

struct FragC {
    static constexpr int COUNT = 8;
    float v[COUNT];
    RF_INLINE void zero() {
        RF_UNROLL for (int i = 0; i < COUNT; ++i) v[i] = 0.0f;
    }
    RF_INLINE static int row(int i) { return static_cast<int>(lane() / 4) + (i & 2) * 4; }
    RF_INLINE static int col(int i) { return static_cast<int>(lane() % 4) * 2 + (i & 1) + (i & 4) * 2; }
    template <class F> RF_INLINE void each(F&& f) {
        RF_UNROLL for (int i = 0; i < COUNT; ++i) f(row(i), col(i), v[i]);
    }
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

#else

// Lanes 0-15, 16-31, … hold the same rows; each such group ("part") has its own slice of k, except on gfx11, whose
// instruction wants the whole row in both parts.
constexpr int MMA_PARTS = WAVE / 16;
#if RF_AMD && defined(__GFX11__)
constexpr int MMA_K = 16;
#else
constexpr int MMA_K = 16 / MMA_PARTS;
#endif

template <class T> struct alignas(MMA_K * 2 < 16 ? MMA_K * 2 : 16) MmaSlice { T v[MMA_K]; };
template <class T> struct FragA : MmaSlice<T> {};
template <class T> struct FragB : MmaSlice<T> {};

struct FragC {
    static constexpr int COUNT = 16 / MMA_PARTS;
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
};

template <class T> RF_INLINE void load_slice(MmaSlice<T>& slice, const T* lds, int stride) {
    const int l = static_cast<int>(lane());
    const int first = MMA_K == 16 ? 0 : l / 16 * MMA_K;
    slice = *reinterpret_cast<const MmaSlice<T>*>(lds + (l % 16) * stride + first);
}
template <class T> RF_INLINE void load_a(FragA<T>& a, const T* lds, int stride) { load_slice(a, lds, stride); }
template <class T> RF_INLINE void load_b(FragB<T>& b, const T* lds, int stride) { load_slice(b, lds, stride); }

#if RF_HAS_MMA

using f16v4 = _Float16 __attribute__((ext_vector_type(4)));
using f16v8 = _Float16 __attribute__((ext_vector_type(8)));
using f16v16 = _Float16 __attribute__((ext_vector_type(16)));
using i16v4 = i16 __attribute__((ext_vector_type(4)));
using i16v8 = i16 __attribute__((ext_vector_type(8)));
using i16v16 = i16 __attribute__((ext_vector_type(16)));
using f32v4 = float __attribute__((ext_vector_type(4)));
using f32v8 = float __attribute__((ext_vector_type(8)));

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
using MmaSums = f32v8;
#elif defined(__GFX12__)
RF_INLINE f32v8 mma_native(const FragA<half>& a, const FragB<half>& b, f32v8 c) {
    return __builtin_amdgcn_wmma_f32_16x16x16_f16_w32_gfx12(vector_of<f16v8>(a), vector_of<f16v8>(b), c);
}
RF_INLINE f32v8 mma_native(const FragA<bhalf>& a, const FragB<bhalf>& b, f32v8 c) {
    return __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(vector_of<i16v8>(a), vector_of<i16v8>(b), c);
}
using MmaSums = f32v8;
#else
RF_INLINE f32v4 mma_native(const FragA<half>& a, const FragB<half>& b, f32v4 c) {
    return __builtin_amdgcn_mfma_f32_16x16x16f16(vector_of<f16v4>(a), vector_of<f16v4>(b), c, 0, 0, 0);
}
RF_INLINE f32v4 mma_native(const FragA<bhalf>& a, const FragB<bhalf>& b, f32v4 c) {
    return __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(vector_of<i16v4>(a), vector_of<i16v4>(b), c, 0, 0, 0);
}
using MmaSums = f32v4;
#endif

template <class T> RF_INLINE void mma(FragC& c, const FragA<T>& a, const FragB<T>& b) {
    MmaSums sums = __builtin_bit_cast(MmaSums, c.v);
    sums = mma_native(a, b, sums);
    __builtin_memcpy(c.v, &sums, sizeof(c.v));
}

#elif defined(RF_HOST)

// On a CPU every lane shows its slices to the wave in one exchange and computes its own elements of C.
template <class T> inline void mma(FragC& c, const FragA<T>& a, const FragB<T>& b) {
    struct Both { MmaSlice<T> a, b; };
    const Published<Both> all = host_exchange(Both{a, b});
    const u32 column = lane() % 16;
    const u32 first_row = lane() / 16 * FragC::COUNT;
    for (u32 part = 0; part < MMA_PARTS; ++part) {
        const MmaSlice<T> from_b = all.from(part * 16 + column).b;
        for (int i = 0; i < FragC::COUNT; ++i) {
            const MmaSlice<T> from_a = all.from(part * 16 + first_row + static_cast<u32>(i)).a;
            for (int k = 0; k < MMA_K; ++k) c.v[i] = fma_(to_f32(from_a.v[k]), to_f32(from_b.v[k]), c.v[i]);
        }
    }
}

#else

// No matrix unit: every lane computes its own elements of C from the slices of the lanes that hold them, two numbers
// an exchange.
template <class T> RF_INLINE void mma(FragC& c, const FragA<T>& a, const FragB<T>& b) {
    const u32 column = lane() % 16;
    const u32 first_row = lane() / 16 * FragC::COUNT;
    RF_UNROLL for (int part = 0; part < MMA_PARTS; ++part) {
        RF_UNROLL for (int k = 0; k < MMA_K; k += 2) {
            const u32 pair_a = static_cast<u32>(a.v[k].bits) | static_cast<u32>(a.v[k + 1].bits) << 16;
            const u32 pair_b = static_cast<u32>(b.v[k].bits) | static_cast<u32>(b.v[k + 1].bits) << 16;
            const u32 from_b = shfl(pair_b, static_cast<u32>(part) * 16 + column);
            const float b0 = to_f32(T{static_cast<u16>(from_b & 0xffffu)});
            const float b1 = to_f32(T{static_cast<u16>(from_b >> 16)});
            RF_UNROLL for (int i = 0; i < FragC::COUNT; ++i) {
                const u32 from_a = shfl(pair_a, static_cast<u32>(part) * 16 + first_row + static_cast<u32>(i));
                c.v[i] = fma_(to_f32(T{static_cast<u16>(from_a & 0xffffu)}), b0, c.v[i]);
                c.v[i] = fma_(to_f32(T{static_cast<u16>(from_a >> 16)}), b1, c.v[i]);
            }
        }
    }
}

#endif
#endif

}  // namespace rf
