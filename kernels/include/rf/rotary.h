// rf/rotary.h: sine and cosine of a position times a frequency.
//
// The product is kept in two floats, and multiples of π/2 are taken off with π/2 in three; what is left is off by less
// than 1e-6 for |position * frequency| up to 2^20, where the product alone in one float would be off by 0.06.
#pragma once

#include "rf/platform.h"

namespace rf {

struct Rotation { float sin, cos; };

RF_INLINE Rotation rotation(u32 position, float frequency) {
    const float p = static_cast<float>(position);
    const float high = p * frequency;
    const float low = fma_(p, frequency, -high);
    const float turns = rint_(high * 0.63661977f);  // 2/π
    float r = fma_(turns, -1.57079637f, high);
    r = fma_(turns, 4.37113883e-8f, r);
    r = fma_(turns, 1.71512451e-15f, r) + low;

    // |r| ≤ π/4, or a little more: Taylor coefficients adjusted for the interval, 1e-7.
    const float z = r * r;
    const float s = fma_(fma_(fma_(-1.9515296e-4f, z, 8.3321609e-3f), z, -0.16666655f), z * r, r);
    const float c = fma_(fma_(fma_(2.4433157e-5f, z, -1.3887316e-3f), z, 4.1666646e-2f), z * z, fma_(-0.5f, z, 1.0f));
    const u32 quarter = static_cast<u32>(static_cast<i32>(turns)) & 3u;
    const float sine = quarter & 1u ? c : s, cosine = quarter & 1u ? s : c;
    return {quarter & 2u ? -sine : sine, (quarter + 1u) & 2u ? -cosine : cosine};
}

}  // namespace rf
