// rf/quant/iq3_s.h: IQ3_S, points of 4 magnitudes, a 4-bit scale for 32 of 256 weights: w = d * (1 + 2 scale) * signed
// magnitude.
// planes: 0 low bytes of 64 point numbers; 1 their ninth bits, 8 B, then 32 B of signs; 2 scales, 4 B; 3 d, half
#pragma once

#include "rf/quant/grid_iq3_s.h"
#include "rf/quant/unit.h"

namespace rf {

struct IQ3_S {
    static constexpr u32 BLOCK = 256;
    static constexpr Fields FIELDS = {{64, 40, 4, 2}};
    static constexpr bool HALVES = false, MINS = false;
    using Unit = ChunkUnit<IQ3_S>;
    struct Raw {
        u32x2 low;
        u32 ninth;
        u32 signs;
        u32 scales;
        u32 d;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        const u32 b = c / 8u, k = c & 7u;
        const u8* rest = w.p[1] + b * 40u;
        return {stream8(w.p[0] + c * 8u), load1(rest + k), load4(rest + 8u + k * 4u), load1(w.p[2] + c / 2u),
                load2(w.p[3] + b * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32 c) {
        Chunk chunk;
        RF_UNROLL for (u32 l = 0; l < 4; ++l) {
            const u32 pair = (l < 2 ? raw.low.x : raw.low.y) >> (16 * (l & 1u)), ninth = raw.ninth >> (2 * l);
            const u32x2 points = {IQ3_S_GRID.points[(pair & 0xffu) | (ninth & 1u) << 8],
                                  IQ3_S_GRID.points[(pair >> 8 & 0xffu) | (ninth & 2u) << 7]};
            put_signed(points, raw.signs >> (8 * l), chunk.q + 2 * l);
        }
        const u32 scale = raw.scales >> ((c & 1u) * 4u) & 15u;
        put_scale(low_half(raw.d) * static_cast<float>(1u + 2u * scale), 0.0f, chunk);
        return chunk;
    }
};

}  // namespace rf
