// rf/quant/iq4_nl.h: IQ4_NL, 4 bits naming one of 16 levels, one scale for 32 weights: w = d * level.
// planes: 0 codes, 16 B (weights 0..15 in the low nibbles); 1 d, half
#pragma once

#include "rf/quant/lookup.h"
#include "rf/quant/unit.h"

namespace rf {

struct IQ4_NL {
    static constexpr u32 BLOCK = 32;
    static constexpr Fields FIELDS = {{16, 2, 0, 0}};
    static constexpr bool HALVES = false, MINS = false;
    using Unit = ChunkUnit<IQ4_NL>;
    struct Raw {
        u32x4 codes;
        u32 d;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        return {stream16(w.p[0] + c * 16u), load2(w.p[1] + c * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32) {
        Chunk c;
        put_levels(raw.codes, IQ4_LEVELS, c);
        put_scale(low_half(raw.d), 0.0f, c);
        return c;
    }
};

}  // namespace rf
