// rf/quant/q4_k.h: Q4_K, 4 bits, a 6-bit scale and minimum for 32 of 256 weights: w = d * scale * code - dmin * min.
// planes: 0 codes, 128 B (in each 32 B weights 0..31 in the low nibbles, 32..63 in the high ones);
//         1 d, dmin and the packed scales, 16 B (scales_k4.h)
#pragma once

#include "rf/quant/scales_k4.h"
#include "rf/quant/unit.h"

namespace rf {

struct Q4_K {
    static constexpr u32 BLOCK = 256;
    static constexpr Fields FIELDS = {{128, 16, 0, 0}};
    static constexpr bool HALVES = false, MINS = true;
    using Unit = PairUnit<Q4_K>;
    struct Raw {
        u32x4 codes[2];
        u32x4 header;
    };
    struct UnitRaw {
        u32x4 codes;
        u32x4 header;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        const u8* codes = w.p[0] + (c / 2u) * 32u;
        return {{load16(codes), load16(codes + 16)}, load16(w.p[1] + (c / 8u) * 16u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32 c) {
        Chunk chunk;
        const u32x4 a = raw.codes[0], b = raw.codes[1];
        const u32 words[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
        const u32 shift = (c & 1u) * 4u;
        RF_UNROLL for (int i = 0; i < 8; ++i) chunk.q[i] = low_nibbles(words[i] >> shift);
        const ScalePair s = scales_k4(raw.header, c / 2u % 4u);
        put_scale((c & 1u) ? s.d[1] : s.d[0], (c & 1u) ? s.m[1] : s.m[0], chunk);
        return chunk;
    }

    RF_INLINE static UnitRaw load_unit(const Planes& w, u32 u) {
        return {stream16(w.p[0] + u * 16u), load16(w.p[1] + (u / 8u) * 16u)};
    }
    template <class Ready> RF_INLINE static Ready ready(const UnitRaw& raw, u32 u) {
        const u32x4 v = raw.codes;
        const ScalePair s = scales_k4(raw.header, u / 2u % 4u);
        return {{low_nibbles(v.x), low_nibbles(v.y), low_nibbles(v.z), low_nibbles(v.w), high_nibbles(v.x),
                 high_nibbles(v.y), high_nibbles(v.z), high_nibbles(v.w)},
                {s.d[0], s.d[1]},
                (u & 1u) ? s.m[1] : s.m[0]};
    }
};

}  // namespace rf
