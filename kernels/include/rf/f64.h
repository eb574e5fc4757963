// rf/f64.h: the little arithmetic in f64 that kernels need where a rounding would be a jump in the result.
#pragma once

#include "rf/platform.h"

namespace rf {

#if RF_NVIDIA
RF_INLINE u64 f64_bits(double x) { return static_cast<u64>(__double_as_longlong(x)); }
RF_INLINE double bits_f64(u64 bits) { return __longlong_as_double(static_cast<i64>(bits)); }
#else
RF_INLINE u64 f64_bits(double x) { return __builtin_bit_cast(u64, x); }
RF_INLINE double bits_f64(u64 bits) { return __builtin_bit_cast(double, bits); }
#endif

RF_INLINE double shfl_f64(double v, u32 from) { return bits_f64(shfl(f64_bits(v), from)); }
template <int MASK> RF_INLINE double xor_f64(double v) { return bits_f64(shfl_xor_const<MASK>(f64_bits(v))); }

// Sum over the wave; the same bits in every lane.
RF_INLINE double wave_sum_f64(double v) {
    v += xor_f64<1>(v);
    v += xor_f64<2>(v);
    v += xor_f64<4>(v);
    v += xor_f64<8>(v);
    v += xor_f64<16>(v);
    if constexpr (WAVE > 32) v += xor_f64<32>(v);
    return v;
}

// An unsigned number ordered as the total order of f64 has it: -NaN, -inf, ..., -0, +0, ..., +inf, NaN.
RF_INLINE u64 order_key(double x) {
    const u64 bits = f64_bits(x);
    return bits >> 63 ? ~bits : bits | 1ull << 63;
}
RF_INLINE double from_order_key(u64 key) { return bits_f64(key >> 63 ? key & ~(1ull << 63) : ~key); }

// e^x within 2 units of the last place; 0 and infinity beyond the range, NaN stays.
RF_INLINE double exp_f64(double x) {
    if (!(x == x)) return x;
    const double bounded = x < -800.0 ? -800.0 : x > 800.0 ? 800.0 : x;
    const double turns = bounded * 1.4426950408889634;
    const i32 n = static_cast<i32>(turns < 0.0 ? turns - 0.5 : turns + 0.5);
    // ln 2 in two parts, so that n times the first is exact.
    const double r = (bounded - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    // The Taylor series, |r| <= ln(2) / 2.
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    // 2^n in two factors: one alone would leave the range of normal numbers before the result does.
    const i32 half_n = n / 2;
    const double first = bits_f64(static_cast<u64>(half_n + 1023) << 52);
    const double second = bits_f64(static_cast<u64>(n - half_n + 1023) << 52);
    return p * first * second;
}

// ln x of a positive normal number in the range of f32, within 1e-13: an f32 logarithm and two steps of Newton.
RF_INLINE double log_f64(double x) {
    double y = log_(static_cast<float>(x));
    y += x * exp_f64(-y) - 1.0;
    return y + (x * exp_f64(-y) - 1.0);
}

}  // namespace rf
