// rf/quant/tq1_0.h: TQ1_0, ternary, five base-3 digits a byte, one scale for 256 weights: w = d * (digit - 1).
// planes: 0 five digits, 32 B; 1 five digits, 16 B; 2 four digits, 4 B; 3 d, half
// A byte holds its digits as the fraction byte / 256, the first one first. Weights 0..159 are digit n of byte m of the
// first plane at 32 n + m, 160..239 those of the second at 160 + 16 n + m, and 240..255 those of the third.
#pragma once

#include "rf/quant/unit.h"

namespace rf {

struct TQ1_0 {
    static constexpr u32 BLOCK = 256;
    static constexpr Fields FIELDS = {{32, 16, 4, 2}};
    static constexpr bool HALVES = false, MINS = false;
    using Unit = ChunkUnit<TQ1_0>;
    struct Raw {
        u32x4 first;   // the bytes of weights 0..15 of the chunk
        u32x4 second;  // those of the other 16
        u32 d;
    };

    // 3^n for n of 0 to 4.
    RF_INLINE static u32 power_of_3(u32 n) {
        const u32 low = (n & 1u) ? 3u : 1u, high = (n & 2u) ? 9u : 1u;
        return (n & 4u) ? 81u : low * high;
    }
    // Digit n of four bytes, less one. Two bytes are worked on at a time, so that products have 16 bits of room.
    RF_INLINE static i32 digits(u32 bytes, u32 n) {
        const u32 p = power_of_3(n);
        const u32 even = (bytes & 0x00ff00ffu) * p & 0x00ff00ffu, odd = (bytes >> 8 & 0x00ff00ffu) * p & 0x00ff00ffu;
        return minus_one((even * 3u >> 8 & 0x00030003u) | (odd * 3u & 0x03000300u));
    }

    // Chunks 0..4 of a block lie in the first plane, 5 and 6 in the second, 7 in the second and the third.
    RF_INLINE static Raw load(const Planes& w, u32 c) {
        const u32 b = c / 8u, k = c & 7u;
        const u8 *wide = w.p[0] + b * 32u, *narrow = w.p[1] + b * 16u;
        const u32 tail = load4(w.p[2] + b * 4u);
        const u32x4 first = load16(k < 5u ? wide : narrow), second = load16(k < 5u ? wide + 16 : narrow);
        const u32x4 last = {tail, tail, tail, tail};
        return {first, k == 7u ? last : second, load2(w.p[3] + b * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32 c) {
        Chunk chunk;
        const u32 k = c & 7u, first = k < 5u ? k : (k - 5u) * 2u;
        const u32 second = k < 5u ? k : first + 1u;
        const u32x4 a = raw.first, b = raw.second;
        const u32 low[4] = {a.x, a.y, a.z, a.w}, high[4] = {b.x, b.y, b.z, b.w};
        RF_UNROLL for (u32 i = 0; i < 4; ++i) {
            chunk.q[i] = digits(low[i], first);
            chunk.q[4 + i] = digits(high[i], k == 7u ? i : second);
        }
        put_scale(low_half(raw.d), 0.0f, chunk);
        return chunk;
    }
};

}  // namespace rf
