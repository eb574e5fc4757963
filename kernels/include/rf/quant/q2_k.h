// rf/quant/q2_k.h: Q2_K, 2 bits, a 4-bit scale and minimum for 16 of 256 weights: w = d * scale * code - dmin * min.
// planes: 0 codes, 64 B (in each 32 B those of weights 32 k and following at bit 2 k); 1 scales (low nibbles) and
//         minimums (high), 16 B; 2 d and dmin, halves
#pragma once

#include "rf/quant/unit.h"

namespace rf {

struct Q2_K {
    static constexpr u32 BLOCK = 256;
    static constexpr Fields FIELDS = {{64, 16, 4, 0}};
    static constexpr bool HALVES = true, MINS = true;
    using Unit = QuadUnit<Q2_K>;
    struct Raw {
        u32x4 codes[2];
        u32 scales;
        u32 d;
    };
    struct UnitRaw {
        u32x4 codes;
        u32x2 scales;
        u32 d;
    };

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        const u8* codes = w.p[0] + (c / 4u) * 32u;
        return {{load16(codes), load16(codes + 16)}, load2(w.p[1] + c * 2u), load4(w.p[2] + (c / 8u) * 4u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32 c) {
        Chunk chunk;
        const u32x4 a = raw.codes[0], b = raw.codes[1];
        const u32 words[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
        RF_UNROLL for (int i = 0; i < 8; ++i) {
            chunk.q[i] = static_cast<i32>(words[i] >> ((c & 3u) * 2u) & 0x03030303u);
        }
        RF_UNROLL for (u32 h = 0; h < 2; ++h) {
            chunk.d[h] = low_half(raw.d) * static_cast<float>(raw.scales >> (8u * h) & 15u);
            chunk.m[h] = high_half(raw.d) * static_cast<float>(raw.scales >> (8u * h + 4u) & 15u);
        }
        return chunk;
    }

    // Unit u of a block: weights 32 k + 16 (u % 2) and following of the half u / 2.
    RF_INLINE static UnitRaw load_unit(const Planes& w, u32 u) {
        return {stream16(w.p[0] + u * 16u), load8(w.p[1] + (u / 2u) * 8u), load4(w.p[2] + (u / 4u) * 4u)};
    }
    template <class Ready> RF_INLINE static Ready ready(const UnitRaw& raw, u32 u) {
        Ready r;
        const u32 words[4] = {raw.codes.x, raw.codes.y, raw.codes.z, raw.codes.w};
        const u32 scales[2] = {raw.scales.x >> ((u & 1u) * 8u), raw.scales.y >> ((u & 1u) * 8u)};
        RF_UNROLL for (int k = 0; k < 4; ++k) {
            RF_UNROLL for (int i = 0; i < 4; ++i) {
                r.q[4 * k + i] = static_cast<i32>(words[i] >> (2 * k) & 0x03030303u);
            }
            const u32 both = scales[k / 2] >> (k % 2 * 16);
            r.d[k] = low_half(raw.d) * static_cast<float>(both & 15u);
            r.m[k] = high_half(raw.d) * static_cast<float>(both >> 4 & 15u);
        }
        return r;
    }
};

}  // namespace rf
