// rf/quant/iq2_xs.h: IQ2_XS, points of 8 magnitudes, a 4-bit scale for 16 of 256 weights: w = d * (1/2 + scale) / 4 *
// signed magnitude.
// planes: 0 for each 8 weights 2 B: 9 bits of point number, 7 signs; 1 scales, 8 B; 2 d, half
#pragma once

#include "rf/quant/grid_iq2_xs.h"
#include "rf/quant/unit.h"

namespace rf {

struct IQ2_XS {
    static constexpr u32 BLOCK = 256;
    static constexpr Fields FIELDS = {{64, 8, 2, 0}};
    static constexpr bool HALVES = true, MINS = false;
    using Unit = ChunkUnit<IQ2_XS>;
    struct Raw {
        u32x2 codes;
        u32 scales;
        u32 d;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        return {stream8(w.p[0] + c * 8u), load1(w.p[1] + c), load2(w.p[2] + (c / 8u) * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32) {
        Chunk c;
        RF_UNROLL for (u32 l = 0; l < 4; ++l) {
            const u32 code = (l < 2 ? raw.codes.x : raw.codes.y) >> (16 * (l & 1u)) & 0xffffu;
            put_signed(IQ2_XS_GRID.points[code & 511u], even_signs(code >> 9), c.q + 2 * l);
        }
        RF_UNROLL for (u32 h = 0; h < 2; ++h) {
            c.d[h] = low_half(raw.d) * (0.5f + static_cast<float>(raw.scales >> (4 * h) & 15u)) * 0.25f;
            c.m[h] = 0.0f;
        }
        return c;
    }
};

}  // namespace rf
