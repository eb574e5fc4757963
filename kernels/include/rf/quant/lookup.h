// rf/quant/lookup.h: codes of 4 bits that name one of sixteen bytes.
#pragma once

#include "rf/quant/chunk.h"

namespace rf {

// The sixteen bytes, the first in the lowest bits of w[0].
struct Levels {
    u32 w[4];
};

constexpr Levels IQ4_LEVELS = {{0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u}};    // -127 -104 ... 89 113
constexpr Levels E2M1_LEVELS = {{0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu}};  // twice the E2M1 values

// The levels of the low and of the high nibbles of four bytes.
#if RF_NVIDIA
// prmt takes its selectors as the nibbles of 16 bits, which the codes are already.
RF_INLINE u32 look_up4(u32 codes, const Levels& t) {
    const u32 select = codes & 0x7777u;
    const u32 lower = __byte_perm(t.w[0], t.w[1], select), upper = __byte_perm(t.w[2], t.w[3], select);
    return __byte_perm(lower, upper, 0x3210u | (codes & 0x8888u) >> 1);
}
RF_INLINE void look_up(u32 codes, const Levels& t, i32& low, i32& high) {
    const u32 a = look_up4(codes, t), b = look_up4(codes >> 16, t);
    low = static_cast<i32>(__byte_perm(a, b, 0x6420u));
    high = static_cast<i32>(__byte_perm(a, b, 0x7531u));
}
#else
// Byte i of the result is the byte of the eight in (upper, lower) that byte i of `select` names.
RF_INLINE u32 permute(u32 upper, u32 lower, u32 select) {
#if RF_AMD
    return __builtin_amdgcn_perm(upper, lower, select);
#else
    const u64 both = static_cast<u64>(upper) << 32 | lower;
    u32 result = 0;
    for (u32 i = 0; i < 32; i += 8) result |= static_cast<u32>(both >> (8 * (select >> i & 7u)) & 0xffu) << i;
    return result;
#endif
}
RF_INLINE u32 look_up4(u32 codes, const Levels& t) {
    const u32 select = codes & 0x07070707u;
    const u32 lower = permute(t.w[1], t.w[0], select), upper = permute(t.w[3], t.w[2], select);
    return permute(upper, lower, 0x03020100u | (codes & 0x08080808u) >> 1);
}
RF_INLINE void look_up(u32 codes, const Levels& t, i32& low, i32& high) {
    low = static_cast<i32>(look_up4(codes & 0x0f0f0f0fu, t));
    high = static_cast<i32>(look_up4(codes >> 4 & 0x0f0f0f0fu, t));
}
#endif

// 32 codes of 16 bytes: the low nibbles are the first 16.
RF_INLINE void put_levels(u32x4 v, const Levels& t, Chunk& c) {
    look_up(v.x, t, c.q[0], c.q[4]);
    look_up(v.y, t, c.q[1], c.q[5]);
    look_up(v.z, t, c.q[2], c.q[6]);
    look_up(v.w, t, c.q[3], c.q[7]);
}

}  // namespace rf
