// rf/quant/q5_k.h: Q5_K, 5 bits, a 6-bit scale and minimum for 32 of 256 weights: w = d * scale * code - dmin * min.
// planes: 0 low 4 bits, 128 B (in each 32 B weights 0..31 in the low nibbles, 32..63 in the high ones);
//         1 fifth bits, 32 B (bit i / 32 of byte i % 32 for weight i); 2 d, dmin and the packed scales, 16 B (scales_k4.h)
#pragma once

#include "rf/quant/scales_k4.h"
#include "rf/quant/unit.h"

namespace rf {

struct Q5_K {
    static constexpr u32 BLOCK = 256;
    static constexpr Fields FIELDS = {{128, 32, 16, 0}};
    static constexpr bool HALVES = false, MINS = true;
    using Unit = PairUnit<Q5_K>;
    struct Raw {
        u32x4 codes[2];
        u32x4 fifth[2];
        u32x4 header;
    };
    struct UnitRaw {
        u32x4 codes;
        u32x4 fifth;
        u32x4 header;
    };

    // Four codes whose fifth bits are bit g of the bytes of `fifth`.
    RF_INLINE static i32 codes(u32 low, u32 fifth, u32 g) {
        return static_cast<i32>((low & 0x0f0f0f0fu) | (fifth >> g & 0x01010101u) << 4);
    }

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        const u8 *low = w.p[0] + (c / 2u) * 32u, *fifth = w.p[1] + (c / 8u) * 32u;
        return {{load16(low), load16(low + 16)},
                {load16(fifth), load16(fifth + 16)},
                load16(w.p[2] + (c / 8u) * 16u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32 c) {
        Chunk chunk;
        const u32x4 a = raw.codes[0], b = raw.codes[1], f = raw.fifth[0], g = raw.fifth[1];
        const u32 low[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
        const u32 fifth[8] = {f.x, f.y, f.z, f.w, g.x, g.y, g.z, g.w};
        const u32 shift = (c & 1u) * 4u;
        RF_UNROLL for (int i = 0; i < 8; ++i) chunk.q[i] = codes(low[i] >> shift, fifth[i], c & 7u);
        const ScalePair s = scales_k4(raw.header, c / 2u % 4u);
        put_scale((c & 1u) ? s.d[1] : s.d[0], (c & 1u) ? s.m[1] : s.m[0], chunk);
        return chunk;
    }

    // The four units with the same low bit share their 16 bytes of fifth bits.
    RF_INLINE static UnitRaw load_unit(const Planes& w, u32 u) {
        return {stream16(w.p[0] + u * 16u),
                load16(w.p[1] + (u / 8u) * 32u + (u & 1u) * 16u),
                load16(w.p[2] + (u / 8u) * 16u)};
    }
    template <class Ready> RF_INLINE static Ready ready(const UnitRaw& raw, u32 u) {
        Ready r;
        const u32 low[4] = {raw.codes.x, raw.codes.y, raw.codes.z, raw.codes.w};
        const u32 fifth[4] = {raw.fifth.x, raw.fifth.y, raw.fifth.z, raw.fifth.w};
        const u32 g = (u / 2u % 4u) * 2u;
        RF_UNROLL for (int i = 0; i < 4; ++i) {
            r.q[i] = codes(low[i], fifth[i], g);
            r.q[4 + i] = codes(low[i] >> 4, fifth[i], g + 1u);
        }
        const ScalePair s = scales_k4(raw.header, u / 2u % 4u);
        r.d[0] = s.d[0], r.d[1] = s.d[1];
        r.m = (u & 1u) ? s.m[1] : s.m[0];
        return r;
    }
};

}  // namespace rf
