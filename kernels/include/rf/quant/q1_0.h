// rf/quant/q1_0.h: Q1_0, signs and one scale for 128 weights: w = d or -d.
// planes: 0 signs, 16 B (bit i % 8 of byte i / 8 for weight i; set is plus); 1 d, half
#pragma once

#include "rf/quant/unit.h"

namespace rf {

struct Q1_0 {
    static constexpr u32 BLOCK = 128;
    static constexpr Fields FIELDS = {{16, 2, 0, 0}};
    static constexpr bool HALVES = false, MINS = false;
    using Unit = ChunkUnit<Q1_0>;
    struct Raw {
        u32 signs;
        u32 d;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        return {load4(w.p[0] + c * 4u), load2(w.p[1] + (c / 4u) * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32) {
        Chunk c;
        RF_UNROLL for (int i = 0; i < 8; ++i) c.q[i] = minus_one(spread_bits(raw.signs >> (4 * i)) << 1);
        put_scale(low_half(raw.d), 0.0f, c);
        return c;
    }
};

}  // namespace rf
