// rf/quant/scales_k4.h: the header of Q4_K and Q5_K blocks: two halves (d, dmin) and 12 bytes with eight scales and
// eight minimums of 6 bits.
//
// Bytes 0..3 hold scales 0..3 and bytes 4..7 minimums 0..3 in their low 6 bits; byte 8 + i holds the low nibbles of
// scale 4 + i and minimum 4 + i, whose top bits are those of bytes i and 4 + i.
#pragma once

#include "rf/quant/chunk.h"

namespace rf {

struct ScalePair {
    float d[2];
    float m[2];
};

// Scales and minimums of the groups 2 j and 2 j + 1.
RF_INLINE ScalePair scales_k4(u32x4 header, u32 j) {
    const u32 shift = (j & 1u) * 16u;
    const u32 a = header.y >> shift, b = header.z >> shift, c = header.w >> shift;
    const bool late = j >= 2u;
    const u32 scales = late ? ((c & 0x0f0fu) | (a >> 2 & 0x3030u)) : (a & 0x3f3fu);
    const u32 mins = late ? ((c >> 4 & 0x0f0fu) | (b >> 2 & 0x3030u)) : (b & 0x3f3fu);
    const float d = low_half(header.x), dmin = high_half(header.x);
    return {{d * static_cast<float>(scales & 0xffu), d * static_cast<float>(scales >> 8 & 0xffu)},
            {dmin * static_cast<float>(mins & 0xffu), dmin * static_cast<float>(mins >> 8 & 0xffu)}};
}

}  // namespace rf
