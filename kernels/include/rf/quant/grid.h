// rf/quant/grid.h: codebooks of the IQ types, kept with 2 or 3 bits a coordinate and unfolded by the compiler to a byte
// each, the first coordinate in the lowest byte.
#pragma once

#include "rf/quant/chunk.h"

namespace rf {

template <u32 N> struct Packed {
    u16 points[N];
};
struct Coordinates {
    u8 byte[8];
};
// Points of eight coordinates, and of four.
template <u32 N> struct Grid8 {
    u32x2 points[N];
};
template <u32 N> struct Grid4 {
    u32 points[N];
};

// Four fields of `bits` bits, as the bytes they name.
constexpr u32 unfold_word(u32 packed, u32 bits, const Coordinates& levels) {
    u32 word = 0;
    for (u32 i = 0; i < 4; ++i) {
        word |= static_cast<u32>(levels.byte[packed >> (bits * i) & ((1u << bits) - 1u)]) << (8 * i);
    }
    return word;
}
template <u32 N> constexpr Grid8<N> unfold8(const Packed<N>& packed, Coordinates levels) {
    Grid8<N> grid = {};
    for (u32 i = 0; i < N; ++i) {
        grid.points[i].x = unfold_word(packed.points[i], 2, levels);
        grid.points[i].y = unfold_word(static_cast<u32>(packed.points[i]) >> 8, 2, levels);
    }
    return grid;
}
template <u32 N> constexpr Grid4<N> unfold4(const Packed<N>& packed, Coordinates levels) {
    Grid4<N> grid = {};
    for (u32 i = 0; i < N; ++i) grid.points[i] = unfold_word(packed.points[i], 3, levels);
    return grid;
}

// Eight magnitudes with the signs of a byte, as two words of codes.
RF_INLINE void put_signed(u32x2 point, u32 signs, i32* q) {
    q[0] = with_signs(point.x, signs);
    q[1] = with_signs(point.y, signs >> 4);
}

}  // namespace rf
