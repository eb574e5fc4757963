// rf/quant/unit.h: how the matrix-vector product with 8-bit activations cuts a row of weights.
//
// A unit is what one lane takes at a time: mostly 16 bytes of codes, so that a wave loads whole lines. A Unit has
//   WEIGHTS         weights of a unit; a row has cols / WEIGHTS of them
//   DEPTH           units of a row that a lane loads before it uses the first, of two rows at a time
//   MANY_ROWS       rows at a time for five columns and more; then DEPTH / 2 units
//   load(w, u)      Raw of unit u, counted from the planes' start
//   ready(raw, u)   its codes and scales
//   act(in, u, real) the activations that meet unit u of a row; all zero if it is not `real`
//   dot(w, x, acc)  acc + the sum of their products
// Sums within a unit are integers and exact; each is scaled and added to acc by a fused multiply-add written out, so
// that the bits of a result depend on nothing around it.
#pragma once

#include "rf/quant/chunk.h"

namespace rf {

// A column of activations in the q8 form: value j is s[j / 32].x * x[j], and s[g].y is the sum of group g.
struct ByteInput {
    const i8* x;
    const f32x2* s;
    u32 cols;
    RF_INLINE ByteInput column(u32 c) const { return {x + c * cols, s + c * (cols / 32u), cols}; }
    // The (d, sum) of group g; of the groups g and g + 1 for even g. Offsets in bytes and 32 bits, so that AMD's loads take
    // them as they are.
    RF_INLINE f32x2 scale(u32 g) const {
        const u32x2 v = load8(reinterpret_cast<const u8*>(s) + g * 8u);
        return {bits_f32(v.x), bits_f32(v.y)};
    }
    RF_INLINE f32x4 scales(u32 g) const {
        const u32x4 v = load16(reinterpret_cast<const u8*>(s) + g * 8u);
        return {bits_f32(v.x), bits_f32(v.y), bits_f32(v.z), bits_f32(v.w)};
    }
};

// Four dot products in a row: 16 codes.
RF_INLINE i32 dot16(const i32* w, u32x4 x, i32 acc) {
    acc = dot4(w[0], static_cast<i32>(x.x), acc);
    acc = dot4(w[1], static_cast<i32>(x.y), acc);
    acc = dot4(w[2], static_cast<i32>(x.z), acc);
    return dot4(w[3], static_cast<i32>(x.w), acc);
}
RF_INLINE i32 sum16(u32x4 x) {
    const i32 ones[4] = {0x01010101, 0x01010101, 0x01010101, 0x01010101};
    return dot16(ones, x, 0);
}

// 32 weights whose codes lie together.
template <class T> struct ChunkUnit {
    static constexpr u32 WEIGHTS = 32, DEPTH = 2, MANY_ROWS = 4;
    using Raw = typename T::Raw;
    using Ready = Chunk;
    struct Act {
        u32x4 q[2];
        float d, sum;
    };
    static_assert(!(T::HALVES && T::MINS), "a minimum for 16 weights needs sums of 16 activations");

    RF_INLINE static Raw load(const Planes& w, u32 u) { return T::load(w, u); }
    RF_INLINE static Chunk ready(const Raw& raw, u32 u) { return T::decode(raw, u); }
    RF_INLINE static Act act(const ByteInput& in, u32 u, bool real) {
        const f32x2 scale = in.scale(u);
        return {{load16(in.x + u * 32u), load16(in.x + u * 32u + 16u)}, real ? scale.x : 0.0f, real ? scale.y : 0.0f};
    }
    RF_INLINE static float dot(const Chunk& w, const Act& x, float acc) {
        if constexpr (T::HALVES) {
            acc = fma_(w.d[0] * x.d, static_cast<float>(dot16(w.q, x.q[0], 0)), acc);
            return fma_(w.d[1] * x.d, static_cast<float>(dot16(w.q + 4, x.q[1], 0)), acc);
        }
        acc = fma_(w.d[0] * x.d, static_cast<float>(dot16(w.q + 4, x.q[1], dot16(w.q, x.q[0], 0))), acc);
        return T::MINS ? fma_(-w.m[0], x.sum, acc) : acc;
    }
};

// 16 bytes, a weight each.
template <class T> struct ByteUnit {
    static constexpr u32 WEIGHTS = 16, DEPTH = 4, MANY_ROWS = 4;
    using Raw = typename T::UnitRaw;
    struct Ready {
        i32 q[4];
        float d;
    };
    struct Act {
        u32x4 q;
        float d;
    };

    RF_INLINE static Raw load(const Planes& w, u32 u) { return T::load_unit(w, u); }
    RF_INLINE static Ready ready(const Raw& raw, u32 u) { return T::template ready<Ready>(raw, u); }
    RF_INLINE static Act act(const ByteInput& in, u32 u, bool real) {
        return {load16(in.x + u * 16u), real ? in.scale(u / 2u).x : 0.0f};
    }
    RF_INLINE static float dot(const Ready& w, const Act& x, float acc) {
        return fma_(w.d * x.d, static_cast<float>(dot16(w.q, x.q, 0)), acc);
    }
};

// 16 weights of one group of 32 in low nibbles, and those 32 places further on in the high ones. Of two units beside
// each other, each brings the minimum of one of their two groups.
template <class T> struct PairUnit {
    static constexpr u32 WEIGHTS = 32, DEPTH = 2, MANY_ROWS = 4;
    using Raw = typename T::UnitRaw;
    struct Ready {
        i32 q[8];
        float d[2];
        float m;
    };
    struct Act {
        u32x4 q[2];
        float d[2];
        float sum;
    };

    RF_INLINE static Raw load(const Planes& w, u32 u) { return T::load_unit(w, u); }
    RF_INLINE static Ready ready(const Raw& raw, u32 u) { return T::template ready<Ready>(raw, u); }
    RF_INLINE static Act act(const ByteInput& in, u32 u, bool real) {
        const u32 first = (u / 2u) * 64u + (u & 1u) * 16u;
        const f32x4 scales = in.scales((u / 2u) * 2u);
        const float sum = (u & 1u) ? scales.w : scales.y;
        return {{load16(in.x + first), load16(in.x + first + 32u)},
                {real ? scales.x : 0.0f, real ? scales.z : 0.0f},
                real ? sum : 0.0f};
    }
    RF_INLINE static float dot(const Ready& w, const Act& x, float acc) {
        acc = fma_(w.d[0] * x.d[0], static_cast<float>(dot16(w.q, x.q[0], 0)), acc);
        acc = fma_(w.d[1] * x.d[1], static_cast<float>(dot16(w.q + 4, x.q[1], 0)), acc);
        return fma_(-w.m, x.sum, acc);
    }
};

// Four times 16 weights, 32 places apart, whose 2-bit fields share 16 bytes. Each 16 have a scale, and may have a
// minimum.
template <class T> struct QuadUnit {
    static constexpr u32 WEIGHTS = 64, DEPTH = 1, MANY_ROWS = 2;
    using Raw = typename T::UnitRaw;
    struct Ready {
        i32 q[16];
        float d[4];
        float m[4];
    };
    struct Act {
        u32x4 q[4];
        float d[4];
        float sum[4];
    };

    RF_INLINE static Raw load(const Planes& w, u32 u) { return T::load_unit(w, u); }
    RF_INLINE static Ready ready(const Raw& raw, u32 u) { return T::template ready<Ready>(raw, u); }
    RF_INLINE static Act act(const ByteInput& in, u32 u, bool real) {
        const u32 first = (u / 2u) * 128u + (u & 1u) * 16u;
        const f32x4 low = in.scales((u / 2u) * 4u), high = in.scales((u / 2u) * 4u + 2u);
        Act a = {{}, {low.x, low.z, high.x, high.z}, {}};
        RF_UNROLL for (u32 k = 0; k < 4; ++k) {
            a.q[k] = load16(in.x + first + 32u * k);
            a.d[k] = real ? a.d[k] : 0.0f;
            if constexpr (T::MINS) a.sum[k] = a.d[k] * static_cast<float>(sum16(a.q[k]));
        }
        return a;
    }
    RF_INLINE static float dot(const Ready& w, const Act& x, float acc) {
        RF_UNROLL for (int k = 0; k < 4; ++k) {
            acc = fma_(w.d[k] * x.d[k], static_cast<float>(dot16(w.q + 4 * k, x.q[k], 0)), acc);
            if constexpr (T::MINS) acc = fma_(-w.m[k], x.sum[k], acc);
        }
        return acc;
    }
};

}  // namespace rf
