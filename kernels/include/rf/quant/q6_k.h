// rf/quant/q6_k.h: Q6_K, 6 bits, an 8-bit scale for 16 of 256 weights: w = d * scale * (code - 32).
// planes: 0 low 4 bits, 128 B (in each 64 B weights 0..63 in the low nibbles, 64..127 in the high ones); 1 high 2 bits,
//         64 B (in each 32 B those of weights 32 k and following at bit 2 k); 2 scales, 16 B, signed; 3 d, half
// The codes are made as 4 * (code - 32), which fills a signed byte, with d / 4.
#pragma once

#include "rf/quant/unit.h"

namespace rf {

struct Q6_K {
    static constexpr u32 BLOCK = 256;
    static constexpr Fields FIELDS = {{128, 64, 16, 2}};
    static constexpr bool HALVES = true, MINS = false;
    using Unit = QuadUnit<Q6_K>;
    struct Raw {
        u32x4 low[2];
        u32x4 high[2];
        u32 scales;
        u32 d;
    };
    struct UnitRaw {
        u32x4 low[2];
        u32x4 high;
        u32x2 scales;
        u32 d;
    };

    // Four codes; `high` is shifted so that its bits are the lowest ones of each byte, with the upper one inverted.
    RF_INLINE static i32 codes(u32 low, u32 high) {
        return static_cast<i32>((low & 0x0f0f0f0fu) << 2 | (high & 0x03030303u) << 6);
    }

    // Chunk c of a block is at quarter k = c % 4 of its half n = c / 4.
    RF_INLINE static Raw load(const Planes& w, u32 c) {
        const u32 b = c / 8u, n = c / 4u % 2u;
        const u8* low = w.p[0] + b * 128u + n * 64u + (c & 1u) * 32u;
        const u8* high = w.p[1] + b * 64u + n * 32u;
        return {{load16(low), load16(low + 16)},
                {load16(high), load16(high + 16)},
                load2(w.p[2] + c * 2u),
                load2(w.p[3] + b * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32 c) {
        Chunk chunk;
        const u32 low_shift = (c & 2u) * 2u, high_shift = (c & 3u) * 2u;
        const u32x4 a = raw.low[0], b = raw.low[1], g = raw.high[0], h = raw.high[1];
        const u32 low[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
        const u32 high[8] = {g.x, g.y, g.z, g.w, h.x, h.y, h.z, h.w};
        RF_UNROLL for (int i = 0; i < 8; ++i) {
            chunk.q[i] = codes(low[i] >> low_shift, (high[i] ^ 0xaaaaaaaau) >> high_shift);
        }
        const float d = 0.25f * low_half(raw.d);
        chunk.d[0] = d * signed_byte(raw.scales, 0);
        chunk.d[1] = d * signed_byte(raw.scales, 1);
        chunk.m[0] = chunk.m[1] = 0.0f;
        return chunk;
    }

    // Unit u of a block: weights 32 k + 16 (u % 2) and following of the half u / 2.
    RF_INLINE static UnitRaw load_unit(const Planes& w, u32 u) {
        const u8* low = w.p[0] + (u / 2u) * 64u + (u & 1u) * 16u;
        return {{stream16(low), stream16(low + 32)},
                stream16(w.p[1] + u * 16u),
                load8(w.p[2] + (u / 2u) * 8u),
                load2(w.p[3] + (u / 4u) * 2u)};
    }
    template <class Ready> RF_INLINE static Ready ready(const UnitRaw& raw, u32 u) {
        Ready r = {};
        const u32x4 a = raw.low[0], b = raw.low[1], h = raw.high;
        const u32 low[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
        const u32 high[4] = {h.x ^ 0xaaaaaaaau, h.y ^ 0xaaaaaaaau, h.z ^ 0xaaaaaaaau, h.w ^ 0xaaaaaaaau};
        RF_UNROLL for (int i = 0; i < 16; ++i) {
            const int k = i / 4;
            r.q[i] = codes(low[k % 2 * 4 + i % 4] >> (k / 2 * 4), high[i % 4] >> (2 * k));
        }
        const float d = 0.25f * low_half(raw.d);
        const u32 shift = (u & 1u) * 8u, first = raw.scales.x >> shift, second = raw.scales.y >> shift;
        r.d[0] = d * signed_byte(first, 0), r.d[1] = d * signed_byte(first, 2);
        r.d[2] = d * signed_byte(second, 0), r.d[3] = d * signed_byte(second, 2);
        return r;
    }
};

}  // namespace rf
