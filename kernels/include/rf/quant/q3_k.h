// rf/quant/q3_k.h: Q3_K, 3 bits, a 6-bit scale for 16 of 256 weights: w = d * (scale - 32) * (code - 4).
// planes: 0 low 2 bits, 64 B (in each 32 B those of weights 32 k and following at bit 2 k); 1 third bits, 32 B (bit
//         i / 32 of byte i % 32 for weight i); 2 scales, 12 B; 3 d, half
// Scale j has its low 4 bits in byte j % 8 (low half for j < 8) and its high 2 bits in byte 8 + j % 4 at bit 2 (j / 4).
// The codes are made as 32 * (code - 4), which fills a signed byte, with d / 32.
#pragma once

#include "rf/quant/unit.h"

namespace rf {

struct Q3_K {
    static constexpr u32 BLOCK = 256;
    static constexpr Fields FIELDS = {{64, 32, 12, 2}};
    static constexpr bool HALVES = true, MINS = false;
    using Unit = QuadUnit<Q3_K>;
    struct Scales {
        u32 low[2];
        u32 high;
        u32 d;
    };
    struct Raw {
        u32x4 low[2];
        u32x4 third[2];
        Scales scales;
    };
    struct UnitRaw {
        u32x4 low;
        u32x4 third;
        Scales scales;
    };

    RF_INLINE static Scales load_scales(const Planes& w, u32 b) {
        const u8* packed = w.p[2] + b * 12u;
        return {{load4(packed), load4(packed + 4)}, load4(packed + 8), load2(w.p[3] + b * 2u)};
    }
    RF_INLINE static float scale(const Scales& s, u32 j) {
        const u32 byte = (j & 3u) * 8u, word = (j & 4u) ? s.low[1] : s.low[0];
        const u32 bits = (word >> (byte + (j >> 3) * 4u) & 15u) | (s.high >> (byte + (j >> 2) * 2u) & 3u) << 4;
        return 0.03125f * low_half(s.d) * static_cast<float>(static_cast<i32>(bits) - 32);
    }
    // Four codes from the low 2 bits of the bytes of `low` and the lowest ones of `third`; a set third bit is plus.
    RF_INLINE static i32 codes(u32 low, u32 third) {
        return static_cast<i32>((low & 0x03030303u) << 5 | (~third & 0x01010101u) << 7);
    }

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        const u8 *low = w.p[0] + (c / 4u) * 32u, *third = w.p[1] + (c / 8u) * 32u;
        return {{load16(low), load16(low + 16)}, {load16(third), load16(third + 16)}, load_scales(w, c / 8u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32 c) {
        Chunk chunk;
        const u32x4 a = raw.low[0], b = raw.low[1], g = raw.third[0], h = raw.third[1];
        const u32 low[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
        const u32 third[8] = {g.x, g.y, g.z, g.w, h.x, h.y, h.z, h.w};
        RF_UNROLL for (int i = 0; i < 8; ++i) {
            chunk.q[i] = codes(low[i] >> ((c & 3u) * 2u), third[i] >> (c & 7u));
        }
        chunk.d[0] = scale(raw.scales, (c & 7u) * 2u);
        chunk.d[1] = scale(raw.scales, (c & 7u) * 2u + 1u);
        chunk.m[0] = chunk.m[1] = 0.0f;
        return chunk;
    }

    // Unit u of a block: weights 32 k + 16 (u % 2) and following of the half u / 2.
    RF_INLINE static UnitRaw load_unit(const Planes& w, u32 u) {
        return {stream16(w.p[0] + u * 16u),
                load16(w.p[1] + (u / 4u) * 32u + (u & 1u) * 16u),
                load_scales(w, u / 4u)};
    }
    template <class Ready> RF_INLINE static Ready ready(const UnitRaw& raw, u32 u) {
        Ready r = {};
        const u32 low[4] = {raw.low.x, raw.low.y, raw.low.z, raw.low.w};
        const u32 third[4] = {raw.third.x, raw.third.y, raw.third.z, raw.third.w};
        const u32 n = u / 2u % 2u;
        RF_UNROLL for (u32 k = 0; k < 4; ++k) {
            RF_UNROLL for (u32 i = 0; i < 4; ++i) {
                r.q[4 * k + i] = codes(low[i] >> (2 * k), third[i] >> (4u * n + k));
            }
            r.d[k] = scale(raw.scales, 8u * n + 2u * k + (u & 1u));
        }
        return r;
    }
};

}  // namespace rf
