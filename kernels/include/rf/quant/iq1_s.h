// rf/quant/iq1_s.h: IQ1_S, points of 8 coordinates -1, 0 or 1, a 3-bit scale for 32 of 256 weights: w = d * (2 scale + 1)
// * (coordinate ± 1/8).
// planes: 0 low bytes of 32 point numbers; 1 for each 32 weights 2 B: four times 3 high bits, the scale, and the sign of
//         the shift, 16 B; 2 d, half
#pragma once

#include "rf/quant/grid_iq1.h"
#include "rf/quant/shift_iq1.h"
#include "rf/quant/unit.h"

namespace rf {

struct IQ1_S {
    static constexpr u32 BLOCK = 256;
    static constexpr Fields FIELDS = {{32, 16, 2, 0}};
    static constexpr bool HALVES = false, MINS = false;
    using Unit = ChunkUnit<IQ1_S>;
    struct Raw {
        u32 low;
        u32 high;
        u32 d;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        return {load4(w.p[0] + c * 4u), load2(w.p[1] + c * 2u), load2(w.p[2] + (c / 8u) * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32) {
        Chunk c;
        RF_UNROLL for (u32 l = 0; l < 4; ++l) {
            const u32 number = (raw.low >> (8 * l) & 0xffu) | (raw.high >> (3 * l) & 7u) << 8;
            put_shifted(IQ1_GRID.points[number], (raw.high & 0x8000u) != 0, c.q + 2 * l);
        }
        put_scale(0.125f * low_half(raw.d) * static_cast<float>(2u * (raw.high >> 12 & 7u) + 1u), 0.0f, c);
        return c;
    }
};

}  // namespace rf
