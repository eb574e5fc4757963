// rf/forms.h: the forms in which rows of activations reach the products that read them.
//
//   f32    [rows, cols]
//   q8     i8 [rows, cols] and {d, d * Σq} f32 pairs [rows, cols / 32]: x ≈ d * q in each 32 columns; cols % 32 == 0
//   half   binary16 [rows, cols_pad], zero beyond cols, of x / scale[row], a power of two that puts the row's largest
//          magnitude into (512, 1024]
//   bhalf  bfloat16 [rows, cols_pad], zero beyond cols, of x; its scales are 1
//
// A NaN or an infinity in x makes the d of its group NaN or infinite, so that it reaches the product's result.
//
// Lanes hold rows as vectors of 4 columns: 8 neighbouring lanes have a group of 32. Functions that exchange between
// lanes are called by all lanes of a wave.
#pragma once

#include "rf/platform.h"

namespace rf {

// Where a kernel writes; a null pointer skips that form.
struct Forms {
    float* f;
    i8* q8;
    f32x2* q8_scale;
    half* h;
    float* h_scale;
    bhalf* b;
    float* b_scale;
    u32 cols;      // columns of a row
    u32 cols_pad;  // cols rounded up to 32
};

// Four columns of a row from `col`, zeros beyond its end. Rows of a multiple of 4 columns are 16-byte aligned.
RF_INLINE f32x4 load_cols(const float* row, u32 col, u32 cols) {
    if ((cols & 3u) == 0) return col < cols ? load_f32x4(row + col) : f32x4{0, 0, 0, 0};
    f32x4 v = {0, 0, 0, 0};
    if (col < cols) v.x = row[col];
    if (col + 1 < cols) v.y = row[col + 1];
    if (col + 2 < cols) v.z = row[col + 2];
    if (col + 3 < cols) v.w = row[col + 3];
    return v;
}

RF_INLINE void store_cols(float* row, u32 col, u32 cols, f32x4 v) {
    if ((cols & 3u) == 0) {
        if (col < cols) store_f32x4(row + col, v);
        return;
    }
    if (col < cols) row[col] = v.x;
    if (col + 1 < cols) row[col + 1] = v.y;
    if (col + 2 < cols) row[col + 2] = v.z;
    if (col + 3 < cols) row[col + 3] = v.w;
}

// The largest |x| as bits: they are ordered like the numbers, with infinity and NaN above all.
RF_INLINE u32 magnitude(f32x4 v) {
    const u32 a = max_(f32_bits(v.x) & 0x7fffffffu, f32_bits(v.y) & 0x7fffffffu);
    const u32 b = max_(f32_bits(v.z) & 0x7fffffffu, f32_bits(v.w) & 0x7fffffffu);
    return max_(a, b);
}

// The power of two that brings the largest magnitude of a row into (512, 1024]; 1 for zeros and what is not finite.
RF_INLINE float half_scale(u32 top) {
    if (top == 0 || top >= 0x7f800000u) return 1.0f;
    const i32 exponent = static_cast<i32>((top + 0x7fffffu) >> 23) - 10;
    return bits_f32(static_cast<u32>(max_(exponent, 1)) << 23);
}
// 1 / scale, exactly.
RF_INLINE float half_inverse(float scale) { return bits_f32((254u << 23) - f32_bits(scale)); }

// Folds over the workgroup with one barrier: `scratch` (LDS, 64 elements) is used for this fold alone. The identity of
// the fold is 0: sums, and maxima of what is not negative.
template <class Op, class T> RF_INLINE T block_fold_once(T v, T* scratch) {
    v = group_fold<Op, WAVE>(v);
    const u32 waves = block_threads() / WAVE;
    if (waves <= 1) return v;
    if (lane() == 0) scratch[wave_in_block()] = v;
    barrier();
    return group_fold<Op, WAVE>(lane() < waves ? scratch[lane()] : T(0));
}

RF_INLINE i32 q8_code(float scaled) {
    // This order of operands sends NaN to a bound.
    return static_cast<i32>(rint_(min_(127.0f, max_(-127.0f, scaled))));
}

// `at` is the index of v.x in [rows, cols]. All lanes call; lanes that are not `live` write nothing.
RF_INLINE void store_q8(const Forms& o, u64 at, bool live, f32x4 v) {
    float d = bits_f32(group_max<8>(magnitude(v))) / 127.0f;
    // A subnormal d has lost bits, and its inverse may overflow.
    if (d < 1.1754944e-38f) d = 0.0f;
    const float inverse = d == 0.0f ? 0.0f : 1.0f / d;
    const i32 a = q8_code(v.x * inverse), b = q8_code(v.y * inverse);
    const i32 c = q8_code(v.z * inverse), e = q8_code(v.w * inverse);
    const i32 sum = group_sum<8>(a + b + c + e);
    if (!live) return;
    *reinterpret_cast<u32*>(o.q8 + at) = (static_cast<u32>(a) & 0xffu) | (static_cast<u32>(b) & 0xffu) << 8 |
                                         (static_cast<u32>(c) & 0xffu) << 16 | static_cast<u32>(e) << 24;
    if ((lane() & 7u) == 0) o.q8_scale[at / 32] = {d, d * static_cast<float>(sum)};
}

// Writes four columns of a row in every form asked for. `v` is zero beyond the row; `inverse` is that of its half
// scale. All lanes of the wave call.
RF_INLINE void store_forms(const Forms& o, u32 row, u32 col, f32x4 v, float inverse) {
    const u64 start = static_cast<u64>(row) * o.cols, padded = static_cast<u64>(row) * o.cols_pad;
    if (o.f) store_cols(o.f + start, col, o.cols, v);
    if (o.q8) store_q8(o, start + col, col < o.cols, v);
    if (col >= o.cols_pad) return;
    if (o.h) {
        const u32 low = pack_half2(v.x * inverse, v.y * inverse), high = pack_half2(v.z * inverse, v.w * inverse);
        store8(o.h + padded + col, {low, high});
    }
    if (o.b) store8(o.b + padded + col, {pack_bhalf2(v.x, v.y), pack_bhalf2(v.z, v.w)});
}

// Writes the scales of a row and returns the factor for store_forms. `top` is the row's largest magnitude (needed for
// the half form alone).
RF_INLINE float store_scales(const Forms& o, u32 row, u32 top) {
    const float scale = o.h ? half_scale(top) : 1.0f;
    if (thread_id() == 0) {
        if (o.h) o.h_scale[row] = scale;
        if (o.b && o.b_scale) o.b_scale[row] = 1.0f;
    }
    return half_inverse(scale);
}

// Column of vector i of this lane, where a workgroup shares a row.
RF_INLINE u32 vector_col(u32 i) { return (i * block_threads() + thread_id()) * 4; }

// Writes a row that the workgroup holds in registers, vector i of a lane at vector_col(i). `scratch`: LDS u32[64],
// used for this alone.
template <int PER> RF_INLINE void store_row(const Forms& o, u32 row, const f32x4 (&v)[PER], u32* scratch) {
    u32 top = 0;
    if (o.h) {
        RF_UNROLL
        for (int i = 0; i < PER; ++i) top = max_(top, magnitude(v[i]));
        top = block_fold_once<Max>(top, scratch);
    }
    const float inverse = store_scales(o, row, top);
    RF_UNROLL
    for (int i = 0; i < PER; ++i) store_forms(o, row, vector_col(i), v[i], inverse);
}

}  // namespace rf
