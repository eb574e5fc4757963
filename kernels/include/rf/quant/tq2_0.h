// rf/quant/tq2_0.h: TQ2_0, ternary in 2 bits, one scale for 256 weights: w = d * (code - 1).
// planes: 0 codes, 64 B (in each 32 B those of weights 32 k and following at bit 2 k); 1 d, half
#pragma once

#include "rf/quant/unit.h"

namespace rf {

struct TQ2_0 {
    static constexpr u32 BLOCK = 256;
    static constexpr Fields FIELDS = {{64, 2, 0, 0}};
    static constexpr bool HALVES = false, MINS = false;
    using Unit = QuadUnit<TQ2_0>;
    struct Raw {
        u32x4 codes[2];
        u32 d;
    };
    struct UnitRaw {
        u32x4 codes;
        u32 d;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        const u8* codes = w.p[0] + (c / 4u) * 32u;
        return {{load16(codes), load16(codes + 16)}, load2(w.p[1] + (c / 8u) * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32 c) {
        Chunk chunk;
        const u32x4 a = raw.codes[0], b = raw.codes[1];
        const u32 words[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
        RF_UNROLL for (int i = 0; i < 8; ++i) chunk.q[i] = minus_one(words[i] >> ((c & 3u) * 2u) & 0x03030303u);
        put_scale(low_half(raw.d), 0.0f, chunk);
        return chunk;
    }

    // Unit u of a block: weights 32 k + 16 (u % 2) and following of the half u / 2.
    RF_INLINE static UnitRaw load_unit(const Planes& w, u32 u) {
        return {stream16(w.p[0] + u * 16u), load2(w.p[1] + (u / 4u) * 2u)};
    }
    template <class Ready> RF_INLINE static Ready ready(const UnitRaw& raw, u32) {
        Ready r = {};
        const u32 words[4] = {raw.codes.x, raw.codes.y, raw.codes.z, raw.codes.w};
        RF_UNROLL for (int k = 0; k < 4; ++k) {
            RF_UNROLL for (int i = 0; i < 4; ++i) r.q[4 * k + i] = minus_one(words[i] >> (2 * k) & 0x03030303u);
            r.d[k] = low_half(raw.d);
        }
        return r;
    }
};

}  // namespace rf
