// rf/quant/iq2_xxs.h: IQ2_XXS, points of 8 magnitudes, a 4-bit scale for 32 of 256 weights: w = d * (1/2 + scale) / 4 *
// signed magnitude.
// planes: 0 for each 32 weights 8 B: four point numbers, then a word of four times 7 signs and the scale on top;
//         1 d, half
#pragma once

#include "rf/quant/grid_iq2_xxs.h"
#include "rf/quant/unit.h"

namespace rf {

struct IQ2_XXS {
    static constexpr u32 BLOCK = 256;
    static constexpr Fields FIELDS = {{64, 2, 0, 0}};
    static constexpr bool HALVES = false, MINS = false;
    using Unit = ChunkUnit<IQ2_XXS>;
    struct Raw {
        u32x2 codes;
        u32 d;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        return {stream8(w.p[0] + c * 8u), load2(w.p[1] + (c / 8u) * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32) {
        Chunk c;
        RF_UNROLL for (u32 l = 0; l < 4; ++l) {
            const u32 number = raw.codes.x >> (8 * l) & 0xffu;
            put_signed(IQ2_XXS_GRID.points[number], even_signs(raw.codes.y >> (7 * l)), c.q + 2 * l);
        }
        put_scale(low_half(raw.d) * (0.5f + static_cast<float>(raw.codes.y >> 28)) * 0.25f, 0.0f, c);
        return c;
    }
};

}  // namespace rf
