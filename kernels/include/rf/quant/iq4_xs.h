// rf/quant/iq4_xs.h: IQ4_XS, 4 bits naming one of 16 levels, a 6-bit scale for 32 of 256 weights: w = d * (scale - 32) *
// level.
// planes: 0 codes, 128 B (in each 16 B weights 0..15 in the low nibbles); 1 header, 8 B: d (half), the high 2 bits of
//         eight scales in 2 B, their low 4 bits in 4 B
#pragma once

#include "rf/quant/lookup.h"
#include "rf/quant/unit.h"

namespace rf {

struct IQ4_XS {
    static constexpr u32 BLOCK = 256;
    static constexpr Fields FIELDS = {{128, 8, 0, 0}};
    static constexpr bool HALVES = false, MINS = false;
    using Unit = ChunkUnit<IQ4_XS>;
    struct Raw {
        u32x4 codes;
        u32x2 header;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        return {stream16(w.p[0] + c * 16u), load8(w.p[1] + (c / 8u) * 8u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32 c) {
        Chunk chunk;
        put_levels(raw.codes, IQ4_LEVELS, chunk);
        const u32 k = c & 7u;
        const u32 scale = (raw.header.y >> (4u * k) & 15u) | (raw.header.x >> (16u + 2u * k) & 3u) << 4;
        put_scale(low_half(raw.header.x) * static_cast<float>(static_cast<i32>(scale) - 32), 0.0f, chunk);
        return chunk;
    }
};

}  // namespace rf
