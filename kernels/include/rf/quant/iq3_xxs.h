// rf/quant/iq3_xxs.h: IQ3_XXS, points of 4 magnitudes, a 4-bit scale for 32 of 256 weights: w = d * (1/2 + scale) / 2 *
// signed magnitude.
// planes: 0 64 point numbers, a byte each; 1 for each 32 weights a word of four times 7 signs and the scale on top, 32 B;
//         2 d, half
#pragma once

#include "rf/quant/grid_iq3_xxs.h"
#include "rf/quant/unit.h"

namespace rf {

struct IQ3_XXS {
    static constexpr u32 BLOCK = 256;
    static constexpr Fields FIELDS = {{64, 32, 2, 0}};
    static constexpr bool HALVES = false, MINS = false;
    using Unit = ChunkUnit<IQ3_XXS>;
    struct Raw {
        u32x2 codes;
        u32 signs;
        u32 d;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        return {stream8(w.p[0] + c * 8u), load4(w.p[1] + c * 4u), load2(w.p[2] + (c / 8u) * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32) {
        Chunk c;
        RF_UNROLL for (u32 l = 0; l < 4; ++l) {
            const u32 pair = (l < 2 ? raw.codes.x : raw.codes.y) >> (16 * (l & 1u));
            const u32x2 points = {IQ3_XXS_GRID.points[pair & 0xffu], IQ3_XXS_GRID.points[pair >> 8 & 0xffu]};
            put_signed(points, even_signs(raw.signs >> (7 * l)), c.q + 2 * l);
        }
        put_scale(low_half(raw.d) * (0.5f + static_cast<float>(raw.signs >> 28)) * 0.5f, 0.0f, c);
        return c;
    }
};

}  // namespace rf
