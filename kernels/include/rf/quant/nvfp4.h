// rf/quant/nvfp4.h: NVFP4, E2M1 floats with an 8-bit float for 16 of 64 weights: w = scale / 2 * (twice the E2M1 value).
// planes: 0 codes, 32 B (in each 8 B weights 0..7 in the low nibbles, 8..15 in the high ones); 1 scales, 4 B: unsigned,
//         4 exponent bits with bias 7, 3 mantissa bits; the top bit does not count, and 127 is zero
#pragma once

#include "rf/quant/lookup.h"
#include "rf/quant/unit.h"

namespace rf {

struct NVFP4 {
    static constexpr u32 BLOCK = 64;
    static constexpr Fields FIELDS = {{32, 4, 0, 0}};
    static constexpr bool HALVES = true, MINS = false;
    using Unit = ChunkUnit<NVFP4>;
    struct Raw {
        u32x4 codes;
        u32 scales;
    };

    // Half the value of a scale byte.
    RF_INLINE static float half_scale(u32 byte) {
        const u32 bits = byte & 0x7fu;
        const float small = static_cast<float>(bits) * 0.0009765625f;  // 2^-10: half of 2^-6 / 8
        const float value = bits < 8u ? small : bits_f32((bits << 20) + (119u << 23));
        return byte == 0x7fu ? 0.0f : value;
    }

    RF_INLINE static Raw load(const Planes& w, u32 c) {
        return {stream16(w.p[0] + c * 16u), load2(w.p[1] + c * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32) {
        Chunk c;
        look_up(raw.codes.x, E2M1_LEVELS, c.q[0], c.q[2]);
        look_up(raw.codes.y, E2M1_LEVELS, c.q[1], c.q[3]);
        look_up(raw.codes.z, E2M1_LEVELS, c.q[4], c.q[6]);
        look_up(raw.codes.w, E2M1_LEVELS, c.q[5], c.q[7]);
        c.d[0] = half_scale(raw.scales & 0xffu);
        c.d[1] = half_scale(raw.scales >> 8);
        c.m[0] = c.m[1] = 0.0f;
        return c;
    }
};

}  // namespace rf
