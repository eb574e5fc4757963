// rf/quant/q4_1.h: Q4_1, 4 bits, scale and minimum for 32 weights: w = d * code + m.
// planes: 0 codes, 16 B (weights 0..15 in the low nibbles); 1 d and m, halves
#pragma once

#include "rf/quant/unit.h"

namespace rf {

struct Q4_1 {
    static constexpr u32 BLOCK = 32;
    static constexpr Fields FIELDS = {{16, 4, 0, 0}};
    static constexpr bool HALVES = false, MINS = true;
    using Unit = ChunkUnit<Q4_1>;
    struct Raw {
        u32x4 codes;
        u32 scales;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        return {stream16(w.p[0] + c * 16u), load4(w.p[1] + c * 4u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32) {
        Chunk c;
        put_nibbles(raw.codes, c);
        put_scale(low_half(raw.scales), -high_half(raw.scales), c);
        return c;
    }
};

}  // namespace rf
