// rf/quant/exact.h: how the matrix-vector product with f32 activations cuts a row of weights (see unit.h). Weights are
// widened to f32 and multiplied by fused multiply-adds, one after the other in the order of the columns.
#pragma once

#include "rf/quant/float.h"
#include "rf/quant/quant.h"

namespace rf {

struct FloatInput {
    const float* x;
    u32 cols;
    RF_INLINE FloatInput column(u32 c) const { return {x + c * cols, cols}; }
    RF_INLINE f32x4 four(u32 at) const {
        const u32x4 v = load16(reinterpret_cast<const u8*>(x) + at * 4u);
        return {bits_f32(v.x), bits_f32(v.y), bits_f32(v.z), bits_f32(v.w)};
    }
};

// 32 weights of a block type.
template <class T> struct ExactChunk {
    static constexpr u32 WEIGHTS = 32, DEPTH = 1, MANY_ROWS = 2;
    using Raw = typename T::Raw;
    using Ready = Chunk;
    struct Act {
        f32x4 x[8];
    };

    RF_INLINE static Raw load(const Planes& w, u32 u) { return T::load(w, u); }
    RF_INLINE static Chunk ready(const Raw& raw, u32 u) { return T::decode(raw, u); }
    RF_INLINE static Act act(const FloatInput& in, u32 u, bool real) {
        Act a;
        RF_UNROLL for (u32 i = 0; i < 8; ++i) {
            const f32x4 v = in.four(u * 32u + 4u * i);
            a.x[i] = {real ? v.x : 0.0f, real ? v.y : 0.0f, real ? v.z : 0.0f, real ? v.w : 0.0f};
        }
        return a;
    }
    RF_INLINE static float dot(const Chunk& w, const Act& a, float acc) {
        RF_UNROLL for (u32 i = 0; i < 8; ++i) {
            const u32 codes = static_cast<u32>(w.q[i]);
            const float d = w.d[i / 4], m = -w.m[i / 4];
            acc = fma_(fma_(d, signed_byte(codes, 0), m), a.x[i].x, acc);
            acc = fma_(fma_(d, signed_byte(codes, 1), m), a.x[i].y, acc);
            acc = fma_(fma_(d, signed_byte(codes, 2), m), a.x[i].z, acc);
            acc = fma_(fma_(d, signed_byte(codes, 3), m), a.x[i].w, acc);
        }
        return acc;
    }
};

// 16 bytes of floats; rows are a multiple of them.
template <class T> struct ExactVector {
    static constexpr u32 WEIGHTS = T::VECTOR, DEPTH = 2, MANY_ROWS = 4;
    using Raw = u32x4;
    using Ready = u32x4;
    struct Act {
        float x[T::VECTOR];
    };

    RF_INLINE static Raw load(const Planes& w, u32 u) { return stream16(w.p[0] + u * 16u); }
    RF_INLINE static Ready ready(const Raw& raw, u32) { return raw; }
    RF_INLINE static Act act(const FloatInput& in, u32 u, bool real) {
        Act a;
        RF_UNROLL for (u32 i = 0; i < T::VECTOR; i += 4) {
            const f32x4 v = in.four(u * T::VECTOR + i);
            a.x[i] = real ? v.x : 0.0f, a.x[i + 1] = real ? v.y : 0.0f;
            a.x[i + 2] = real ? v.z : 0.0f, a.x[i + 3] = real ? v.w : 0.0f;
        }
        return a;
    }
    RF_INLINE static float dot(const Ready& w, const Act& a, float acc) {
        RF_UNROLL for (u32 i = 0; i < T::VECTOR; ++i) acc = fma_(T::unpack(w, i), a.x[i], acc);
        return acc;
    }
};

// One float: for rows of any length.
template <class T> struct ExactElement {
    static constexpr u32 WEIGHTS = 1, DEPTH = 4, MANY_ROWS = 2;
    using Raw = float;
    using Ready = float;
    using Act = float;

    RF_INLINE static Raw load(const Planes& w, u32 u) { return load_float<T>(w, u); }
    RF_INLINE static Ready ready(Raw raw, u32) { return raw; }
    RF_INLINE static Act act(const FloatInput& in, u32 u, bool real) { return real ? in.x[u] : 0.0f; }
    RF_INLINE static float dot(Ready w, Act x, float acc) { return fma_(w, x, acc); }
};

}  // namespace rf
