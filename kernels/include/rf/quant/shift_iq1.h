// rf/quant/shift_iq1.h: the codes of IQ1_S and IQ1_M: 8 * coordinate + 1 or - 1, for scales divided by 8.
#pragma once

#include "rf/quant/chunk.h"

namespace rf {

// Eight coordinates of -1, 0 or 1. Eight times one of them leaves the low bits free for the +1; 8 c - 1 is the
// complement of 8 (-c).
RF_INLINE i32 shifted(u32 coordinates, bool minus) {
    const u32 eightfold = coordinates << 3 & 0xf8f8f8f8u;
    // -c for each byte: -1 and 1 change places, which are 0xff and 0x01.
    const u32 ones = coordinates & 0x01010101u, swapped = coordinates ^ ((ones << 8) - ones - ones);
    const u32 negative = swapped << 3 & 0xf8f8f8f8u;
    return static_cast<i32>(minus ? ~negative : eightfold | 0x01010101u);
}
RF_INLINE void put_shifted(u32x2 point, bool minus, i32* q) {
    q[0] = shifted(point.x, minus);
    q[1] = shifted(point.y, minus);
}

}  // namespace rf
