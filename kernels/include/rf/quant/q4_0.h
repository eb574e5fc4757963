// rf/quant/q4_0.h: Q4_0, 4 bits and one scale for 32 weights: w = d * (code - 8).
// planes: 0 codes, 16 B (weights 0..15 in the low nibbles); 1 d, half
#pragma once

#include "rf/quant/unit.h"

namespace rf {

struct Q4_0 {
    static constexpr u32 BLOCK = 32;
    static constexpr Fields FIELDS = {{16, 2, 0, 0}};
    static constexpr bool HALVES = false, MINS = true;
    using Unit = ChunkUnit<Q4_0>;
    struct Raw {
        u32x4 codes;
        u32 d;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        return {stream16(w.p[0] + c * 16u), load2(w.p[1] + c * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32) {
        Chunk c;
        put_nibbles(raw.codes, c);
        const float d = low_half(raw.d);
        put_scale(d, 8.0f * d, c);
        return c;
    }
};

}  // namespace rf
