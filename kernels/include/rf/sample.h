// rf/sample.h: what the sampling kernels share: order keys, the sampler's exponential, Philox, and block-wide sorting
// and running sums. The arithmetic is that of the crate rocmforge-sampler, operation by operation, so that a device
// gives candidates the weights that the CPU gives them, to the bit.
#pragma once

#include "rf/f64.h"

namespace rf {

RF_INLINE float infinity() { return bits_f32(0x7f800000u); }
constexpr float FLOAT_MAX = 3.402823466e+38f;

// ---- order ---------------------------------------------------------------------------------------------------------
// Unsigned numbers in the order of finite floats; zeros of both signs are equal.
RF_INLINE u32 value_key(float x) {
    const u32 bits = f32_bits(x);
    if (bits == 0x80000000u) return 0x80000000u;
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}
RF_INLINE float key_value(u32 key) { return bits_f32(key >> 31 ? key & 0x7fffffffu : ~key); }

// A candidate as one number: by rising logit, and of equal logits by falling id. No two are equal, and all selections
// keep "the keys from here on". 0 stands for a token that cannot be chosen.
RF_INLINE u64 token_key(float logit, u32 id) {
    if (!isfinite_(logit)) return 0;
    return static_cast<u64>(value_key(logit)) << 32 | ~id;
}
RF_INLINE float key_logit(u64 key) { return key_value(static_cast<u32>(key >> 32)); }
RF_INLINE u32 key_token(u64 key) { return ~static_cast<u32>(key); }

// ---- arithmetic that no compiler contracts -------------------------------------------------------------------------
RF_INLINE float mul_rn(float a, float b) {
#if RF_NVIDIA
    return __fmul_rn(a, b);
#elif RF_AMD
    float product = a * b;
    asm("" : "+v"(product));
    return product;
#elif defined(__x86_64__)
    float product = a * b;
    asm("" : "+x"(product));
    return product;
#else
    volatile float product = a * b;
    return product;
#endif
}

// e^x for x <= 0; 0 below -87.
RF_INLINE float sampler_exp(float x) {
    constexpr float ROUNDER = 12582912.0f;  // 1.5 * 2^23: adding it leaves the integer in the low bits
    const float clamped = x > -87.0f ? x : -87.0f;
    const float shifted = mul_rn(clamped, 1.44269504f) + ROUNDER;
    const float n = shifted - ROUNDER;
    const float r = (clamped - mul_rn(n, 0.693359375f)) - mul_rn(n, -2.12194440e-4f);
    float p = 1.9875691e-4f;
    p = mul_rn(p, r) + 1.3981999e-3f;
    p = mul_rn(p, r) + 8.333452e-3f;
    p = mul_rn(p, r) + 4.1665796e-2f;
    p = mul_rn(p, r) + 1.6666665e-1f;
    p = mul_rn(p, r) + 5.0e-1f;
    const float y = mul_rn(p, mul_rn(r, r)) + r + 1.0f;
    const float scale = bits_f32((f32_bits(shifted) << 23) + 0x3f800000u);
    return x >= -87.0f ? y * scale : 0.0f;
}

// The weight in the draw of a candidate.
RF_INLINE float draw_weight(float logit, float highest, float temperature) {
    return sampler_exp(max_((logit - highest) / temperature, -FLOAT_MAX));
}

// The uniform number in [0, 1) of the draw: Philox4x32-10 (Salmon et al., SC 2011), key = seed, counter = position.
RF_INLINE double philox_uniform(u64 seed, u64 position) {
    u32 c0 = static_cast<u32>(position), c1 = static_cast<u32>(position >> 32), c2 = 0, c3 = 0;
    u32 k0 = static_cast<u32>(seed), k1 = static_cast<u32>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const u64 a = static_cast<u64>(c0) * 0xD2511F53u, b = static_cast<u64>(c2) * 0xCD9E8D57u;
        c0 = static_cast<u32>(b >> 32) ^ c1 ^ k0;
        c1 = static_cast<u32>(b);
        c2 = static_cast<u32>(a >> 32) ^ c3 ^ k1;
        c3 = static_cast<u32>(a);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    const u64 bits = (static_cast<u64>(c1) << 32 | c0) >> 11;
    return static_cast<double>(bits) * 1.1102230246251565e-16;  // 2^-53
}

// ---- block-wide ----------------------------------------------------------------------------------------------------
RF_INLINE u32 next_power_of_two(u32 n) {
    u32 p = 1;
    while (p < n) p *= 2;
    return p;
}

// Sorts LDS keys by falling value; `n` is a power of two. Begins after a barrier and ends with one.
RF_INLINE void sort_falling(u64* keys, u32 n) {
    for (u32 run = 2; run <= n; run *= 2) {
        for (u32 stride = run / 2; stride > 0; stride /= 2) {
            for (u32 i = thread_id(); i < n / 2; i += block_threads()) {
                const u32 low = 2 * i - (i & (stride - 1)), high = low + stride;
                const u64 a = keys[low], b = keys[high];
                if ((a < b) == ((low & run) == 0)) {
                    keys[low] = b;
                    keys[high] = a;
                }
            }
            barrier();
        }
    }
}

// Sum of the values of all lanes before this one. `scratch`: LDS double[64]; `total` is the sum of all. All lanes call.
RF_INLINE double sum_before(double v, double* scratch, double& total) {
    double inclusive = v;
    for (u32 d = 1; d < WAVE; d *= 2) {
        const double below = shfl_f64(inclusive, lane() >= d ? lane() - d : lane());
        if (lane() >= d) inclusive += below;
    }
    const double exclusive = shfl_f64(inclusive, lane() > 0 ? lane() - 1 : 0);
    if (lane() == WAVE - 1) scratch[wave_in_block()] = inclusive;
    barrier();
    double before = 0.0, all = 0.0;
    for (u32 w = 0; w < block_threads() / WAVE; ++w) {
        if (w == wave_in_block()) before = all;
        all += scratch[w];
    }
    barrier();
    total = all;
    return lane() > 0 ? before + exclusive : before;
}

RF_INLINE double block_sum_f64(double v, double* scratch) {
    double total;
    sum_before(v, scratch, total);
    return total;
}

// The sum of up to 1024 weights in the order of the CPU: 16 running f32 sums, then f64. Weight i lies at
// weights[i * stride]. Called by 16 neighbouring lanes, `part` 0 to 15, that all are in one wave; the sum reaches part
// 0. `sums`: LDS float[16] of these lanes.
RF_INLINE double ordered_sum(const float* weights, u32 stride, u32 count, u32 part, float* sums) {
    const u32 whole = count / 16;
    float sum = 0.0f;
    for (u32 i = 0; i < whole; ++i) sum += weights[(i * 16 + part) * stride];
    sums[part] = sum;
    wave_barrier();
    if (part != 0) return 0.0;
    double tail = 0.0;
    for (u32 i = whole * 16; i < count; ++i) tail += static_cast<double>(weights[i * stride]);
    double lanes = 0.0;
    for (u32 i = 0; i < 16; ++i) lanes += static_cast<double>(sums[i]);
    return tail + lanes;
}

}  // namespace rf
