// rf/half2.h: arithmetic on two halves in one register, and bytes turned into halves.
#pragma once

#include "rf/platform.h"

namespace rf {

#if RF_AMD
using f16v2_t = _Float16 __attribute__((ext_vector_type(2)));
RF_INLINE u32 sub_half2(u32 a, u32 b) {
    return __builtin_bit_cast(u32, __builtin_bit_cast(f16v2_t, a) - __builtin_bit_cast(f16v2_t, b));
}
RF_INLINE u32 mul_half2(u32 a, u32 b) {
    return __builtin_bit_cast(u32, __builtin_bit_cast(f16v2_t, a) * __builtin_bit_cast(f16v2_t, b));
}
RF_INLINE u32 fma_half2(u32 a, u32 b, u32 c) {
    return __builtin_bit_cast(u32, __builtin_elementwise_fma(__builtin_bit_cast(f16v2_t, a),
                                                             __builtin_bit_cast(f16v2_t, b),
                                                             __builtin_bit_cast(f16v2_t, c)));
}
#elif RF_NVIDIA
RF_INLINE u32 sub_half2(u32 a, u32 b) {
    u32 d;
    asm("sub.rn.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
    return d;
}
RF_INLINE u32 mul_half2(u32 a, u32 b) {
    u32 d;
    asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
    return d;
}
RF_INLINE u32 fma_half2(u32 a, u32 b, u32 c) {
    u32 d;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}
#else
// Products of halves are exact in f32, so that one rounding remains but for sums at a tie.
RF_INLINE u32 fma_half2(u32 a, u32 b, u32 c) {
    float a0, a1, b0, b1, c0, c1;
    unpack_half2(a, a0, a1);
    unpack_half2(b, b0, b1);
    unpack_half2(c, c0, c1);
    return pack_half2(fma_(a0, b0, c0), fma_(a1, b1, c1));
}
RF_INLINE u32 mul_half2(u32 a, u32 b) { return fma_half2(a, b, 0); }
RF_INLINE u32 sub_half2(u32 a, u32 b) { return fma_half2(b, 0xbc00bc00u, a); }
#endif

// Bytes of `v` (index 0 to 3) and of 0x64646464 (index 4), chosen by the nibbles of SELECT, lowest byte first.
template <u32 SELECT> RF_INLINE u32 pick_bytes(u32 v) {
#if RF_AMD
    constexpr u32 spread = (SELECT & 7u) | (SELECT & 0x70u) << 4 | (SELECT & 0x700u) << 8 | (SELECT & 0x7000u) << 12;
    return __builtin_amdgcn_perm(0x64646464u, v, spread);
#elif RF_NVIDIA
    u32 d;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(d) : "r"(v), "r"(0x64646464u), "n"(SELECT));
    return d;
#else
    const u64 all = 0x6464646400000000ull | v;
    u32 d = 0;
    for (int i = 0; i < 4; ++i) d |= static_cast<u32>(all >> (SELECT >> (4 * i) & 7u) * 8 & 0xffu) << (8 * i);
    return d;
#endif
}

// Four signed bytes as halves. The half 0x6400 + u is 1024 + u for u below 1024, so that an integer becomes a half by
// standing in its low bits; 128 is added to make it unsigned and comes off again, all of it exact.
RF_INLINE void bytes_to_halves(i32 bytes, u32& low, u32& high) {
    const u32 biased = static_cast<u32>(bytes) ^ 0x80808080u;
    constexpr u32 bias = 0x64806480u;  // 1024 + 128
    low = sub_half2(pick_bytes<0x4140>(biased), bias);
    high = sub_half2(pick_bytes<0x4342>(biased), bias);
}

}  // namespace rf
