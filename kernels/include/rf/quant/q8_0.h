// rf/quant/q8_0.h: Q8_0, 8 bits and one scale for 32 weights: w = d * code.
// planes: 0 codes, 32 B, signed; 1 d, half
#pragma once

#include "rf/quant/unit.h"

namespace rf {

struct Q8_0 {
    static constexpr u32 BLOCK = 32;
    static constexpr Fields FIELDS = {{32, 2, 0, 0}};
    static constexpr bool HALVES = false, MINS = false;
    using Unit = ByteUnit<Q8_0>;
    struct Raw {
        u32x4 codes[2];
        u32 d;
    };
    struct UnitRaw {
        u32x4 codes;
        u32 d;
    };

    // Not streamed: both loads of a lane go to the same 32 bytes.
    RF_INLINE static Raw load(const Planes& w, u32 c) {
        return {{load16(w.p[0] + c * 32u), load16(w.p[0] + c * 32u + 16u)}, load2(w.p[1] + c * 2u)};
    }
    RF_INLINE static Chunk decode(const Raw& raw, u32) {
        Chunk c;
        const u32x4 a = raw.codes[0], b = raw.codes[1];
        const u32 words[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
        RF_UNROLL for (int i = 0; i < 8; ++i) c.q[i] = static_cast<i32>(words[i]);
        put_scale(low_half(raw.d), 0.0f, c);
        return c;
    }

    RF_INLINE static UnitRaw load_unit(const Planes& w, u32 u) {
        return {stream16(w.p[0] + u * 16u), load2(w.p[1] + (u / 2u) * 2u)};
    }
    template <class Ready> RF_INLINE static Ready ready(const UnitRaw& raw, u32) {
        const u32x4 v = raw.codes;
        return {{static_cast<i32>(v.x), static_cast<i32>(v.y), static_cast<i32>(v.z), static_cast<i32>(v.w)},
                low_half(raw.d)};
    }
};

}  // namespace rf
