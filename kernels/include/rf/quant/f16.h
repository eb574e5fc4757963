// rf/quant/f16.h: F16, IEEE binary16.
#pragma once

#include "rf/quant/float.h"

namespace rf {

struct F16 {
    using Element = half;
    static constexpr u32 BLOCK = 1, VECTOR = 8;
    static constexpr Fields FIELDS = {{2, 0, 0, 0}};
    RF_INLINE static float unpack(u32x4 v, u32 i) {
        const u32 word = word_of(v, i / 2u);
        return i % 2u == 0 ? low_half(word) : high_half(word);
    }
};

}  // namespace rf
