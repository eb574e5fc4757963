// rf/quant/q2_0.h: Q2_0, 2 bits and one scale for 64 weights: w = d * (code - 1).
// planes: 0 codes, 16 B (bit 2 (i % 4) of byte i / 4 for weight i); 1 d, half
#pragma once

#include "rf/quant/unit.h"

namespace rf {

struct Q2_0 {
    static constexpr u32 BLOCK = 64;
    static constexpr Fields FIELDS = {{16, 2, 0, 0}};
    static constexpr bool HALVES = false, MINS = false;
    using Unit = ChunkUnit<Q2_0>;
    struct Raw {
        u32x2 codes;
        u32 d;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        return {stream8(w.p[0] + c * 8u), load2(w.p[1] + (c / 2u) * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32) {
        Chunk c;
        RF_UNROLL for (int i = 0; i < 4; ++i) {
            c.q[i] = minus_one(spread_pairs(raw.codes.x >> (8 * i) & 0xffu));
            c.q[4 + i] = minus_one(spread_pairs(raw.codes.y >> (8 * i) & 0xffu));
        }
        put_scale(low_half(raw.d), 0.0f, c);
        return c;
    }
};

}  // namespace rf
