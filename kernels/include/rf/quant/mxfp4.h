// rf/quant/mxfp4.h: MXFP4, E2M1 floats with a power of two for 32 weights: w = 2^(e - 128) * (twice the E2M1 value).
// planes: 0 codes, 16 B (weights 0..15 in the low nibbles); 1 e, 1 B
#pragma once

#include "rf/quant/lookup.h"
#include "rf/quant/unit.h"

namespace rf {

struct MXFP4 {
    static constexpr u32 BLOCK = 32;
    static constexpr Fields FIELDS = {{16, 1, 0, 0}};
    static constexpr bool HALVES = false, MINS = false;
    using Unit = ChunkUnit<MXFP4>;
    struct Raw {
        u32x4 codes;
        u32 e;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) { return {stream16(w.p[0] + c * 16u), load1(w.p[1] + c)}; }
    RF_INLINE static Chunk decode(const Raw& raw, u32) {
        Chunk c;
        put_levels(raw.codes, E2M1_LEVELS, c);
        // 2^-128 and 2^-127 are no normal numbers.
        put_scale(bits_f32(raw.e < 2u ? 1u << (21u + raw.e) : (raw.e - 1u) << 23), 0.0f, c);
        return c;
    }
};

}  // namespace rf
