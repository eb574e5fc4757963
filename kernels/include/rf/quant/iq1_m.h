// rf/quant/iq1_m.h: IQ1_M, points of 8 coordinates -1, 0 or 1, a 3-bit scale for 16 of 256 weights: w = d * (2 scale + 1)
// * (coordinate ± 1/8).
// planes: 0 low bytes of 32 point numbers; 1 a nibble for each: 3 high bits and the sign of its shift, 16 B; 2 four
//         16-bit words, each four scales and on top a quarter of d (half), 8 B
#pragma once

#include "rf/quant/grid_iq1.h"
#include "rf/quant/shift_iq1.h"
#include "rf/quant/unit.h"

namespace rf {

struct IQ1_M {
    static constexpr u32 BLOCK = 256;
    static constexpr Fields FIELDS = {{32, 16, 8, 0}};
    static constexpr bool HALVES = true, MINS = false;
    using Unit = ChunkUnit<IQ1_M>;
    struct Raw {
        u32 low;
        u32 high;
        u32x2 scales;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        return {load4(w.p[0] + c * 4u), load2(w.p[1] + c * 2u), load8(w.p[2] + (c / 8u) * 8u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32 c) {
        Chunk chunk;
        RF_UNROLL for (u32 l = 0; l < 4; ++l) {
            const u32 nibble = raw.high >> (4 * l), number = (raw.low >> (8 * l) & 0xffu) | (nibble & 7u) << 8;
            put_shifted(IQ1_GRID.points[number], (nibble & 8u) != 0, chunk.q + 2 * l);
        }
        const u32 a = raw.scales.x, b = raw.scales.y;
        const float d = 0.125f * low_half((a >> 12 & 15u) | (a >> 28) << 4 | (b >> 12 & 15u) << 8 | (b >> 28) << 12);
        const u32 word = ((c & 4u) ? b : a) >> ((c & 2u) * 8u), first = word >> ((c & 1u) * 6u);
        chunk.d[0] = d * static_cast<float>(2u * (first & 7u) + 1u);
        chunk.d[1] = d * static_cast<float>(2u * (first >> 3 & 7u) + 1u);
        chunk.m[0] = chunk.m[1] = 0.0f;
        return chunk;
    }
};

}  // namespace rf
