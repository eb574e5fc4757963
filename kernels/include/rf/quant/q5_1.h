// rf/quant/q5_1.h: Q5_1, 5 bits, scale and minimum for 32 weights: w = d * code + m.
// planes: 0 low 4 bits, 16 B (weights 0..15 in the low nibbles); 1 fifth bits, 4 B (bit i for weight i); 2 d and m, halves
#pragma once

#include "rf/quant/unit.h"

namespace rf {

struct Q5_1 {
    static constexpr u32 BLOCK = 32;
    static constexpr Fields FIELDS = {{16, 4, 4, 0}};
    static constexpr bool HALVES = false, MINS = true;
    using Unit = ChunkUnit<Q5_1>;
    struct Raw {
        u32x4 codes;
        u32 fifth;
        u32 scales;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        return {stream16(w.p[0] + c * 16u), load4(w.p[1] + c * 4u), load4(w.p[2] + c * 4u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32) {
        Chunk c;
        put_nibbles(raw.codes, c);
        put_fifth_bits(raw.fifth, c);
        put_scale(low_half(raw.scales), -high_half(raw.scales), c);
        return c;
    }
};

}  // namespace rf
