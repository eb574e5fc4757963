// rf/quant/iq2_s.h: IQ2_S, points of 8 magnitudes, a 4-bit scale for 16 of 256 weights: w = d * (1/2 + scale) / 4 *
// signed magnitude.
// planes: 0 low bytes of 32 point numbers, then 32 B of signs; 1 their high 2 bits, 8 B, then scales, 8 B; 2 d, half
#pragma once

#include "rf/quant/grid_iq2_s.h"
#include "rf/quant/unit.h"

namespace rf {

struct IQ2_S {
    static constexpr u32 BLOCK = 256;
    static constexpr Fields FIELDS = {{64, 16, 2, 0}};
    static constexpr bool HALVES = true, MINS = false;
    using Unit = ChunkUnit<IQ2_S>;
    struct Raw {
        u32 low;
        u32 signs;
        u32 high;
        u32 scales;
        u32 d;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        const u32 b = c / 8u, k = c & 7u;
        const u8 *codes = w.p[0] + b * 64u + k * 4u, *rest = w.p[1] + b * 16u + k;
        return {load4(codes), load4(codes + 32), load1(rest), load1(rest + 8), load2(w.p[2] + b * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32) {
        Chunk c;
        RF_UNROLL for (u32 l = 0; l < 4; ++l) {
            const u32 number = (raw.low >> (8 * l) & 0xffu) | (raw.high >> (2 * l) & 3u) << 8;
            put_signed(IQ2_S_GRID.points[number], raw.signs >> (8 * l), c.q + 2 * l);
        }
        RF_UNROLL for (u32 h = 0; h < 2; ++h) {
            c.d[h] = low_half(raw.d) * (0.5f + static_cast<float>(raw.scales >> (4 * h) & 15u)) * 0.25f;
            c.m[h] = 0.0f;
        }
        return c;
    }
};

}  // namespace rf
