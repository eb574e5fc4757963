// rf/quant/f32.h: F32, IEEE binary32.
#pragma once

#include "rf/quant/float.h"

namespace rf {

struct F32 {
    using Element = float;
    static constexpr u32 BLOCK = 1, VECTOR = 4;
    static constexpr Fields FIELDS = {{4, 0, 0, 0}};
    RF_INLINE static float unpack(u32x4 v, u32 i) { return bits_f32(word_of(v, i)); }
};

}  // namespace rf
