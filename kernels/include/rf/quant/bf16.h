// rf/quant/bf16.h: BF16, the upper half of an IEEE binary32.
#pragma once

#include "rf/quant/float.h"

namespace rf {

struct BF16 {
    using Element = bhalf;
    static constexpr u32 BLOCK = 1, VECTOR = 8;
    static constexpr Fields FIELDS = {{2, 0, 0, 0}};
    RF_INLINE static float unpack(u32x4 v, u32 i) {
        const u32 word = word_of(v, i / 2u);
        return bits_f32(i % 2u == 0 ? word << 16 : word & 0xffff0000u);
    }
};

}  // namespace rf
