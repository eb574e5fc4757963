// rf/quant/q5_0.h: Q5_0, 5 bits and one scale for 32 weights: w = d * (code - 16).
// planes: 0 low 4 bits, 16 B (weights 0..15 in the low nibbles); 1 fifth bits, 4 B (bit i for weight i); 2 d, half
#pragma once

#include "rf/quant/unit.h"

namespace rf {

struct Q5_0 {
    static constexpr u32 BLOCK = 32;
    static constexpr Fields FIELDS = {{16, 4, 2, 0}};
    static constexpr bool HALVES = false, MINS = true;
    using Unit = ChunkUnit<Q5_0>;
    struct Raw {
        u32x4 codes;
        u32 fifth;
        u32 d;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        return {stream16(w.p[0] + c * 16u), load4(w.p[1] + c * 4u), load2(w.p[2] + c * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32) {
        Chunk c;
        put_nibbles(raw.codes, c);
        put_fifth_bits(raw.fifth, c);
        const float d = low_half(raw.d);
        put_scale(d, 16.0f * d, c);
        return c;
    }
};

}  // namespace rf
