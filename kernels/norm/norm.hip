// norm.hip   RMS (arXiv:1910.07467): y = x / sqrt(mean(x²) + eps) * w + b
//            Layer (arXiv:1607.06450): y = (x - mean) / sqrt(var + eps) * w + b
//            over groups of `cols` columns, x first replaced by x + add where there is one
// in    x, add f32 [groups, cols]; w, b f32, repeating after weight_groups / bias_groups groups; null: 1 and 0
// out   sum f32 [groups, cols] = x + add, may alias x or add; y in the forms of rf/forms.h, f32 may alias x
// norm_rows{1,2,4}  launch grid (groups), block a multiple of WAVE, at most 1024; cols <= 4, 8, 16 * lanes: x stays in
//                   registers, one barrier a reduction
// norm_long         f32 alone, any width, block 1024: x is read again for each pass
// norm_groups       f32 alone, cols <= 512: a wave a group, grid (groups / waves of a block), block 256
// cost  per row: read x (and add), w; write y; memory-bound with many rows, latency-bound with one
// The lanes of a row follow from its width alone, so a row gives the same bits alone and in a batch.
#include "rf/forms.h"

namespace rf {

struct NormArgs {
    const float* x;
    const float* add;
    float* sum;
    const float* weight;
    const float* bias;
    Forms out;
    u32 groups;
    u32 cols;
    u32 weight_groups;
    u32 bias_groups;
    u32 layer;
    float eps;
};

RF_INLINE float squares4(f32x4 a) { return fma_(a.w, a.w, fma_(a.z, a.z, fma_(a.y, a.y, a.x * a.x))); }
RF_INLINE float sum4(f32x4 a) { return (a.x + a.y) + (a.z + a.w); }

// v - mean, and zero beyond the row.
RF_INLINE f32x4 centred(f32x4 v, float mean, u32 col, u32 cols) {
    return {col < cols ? v.x - mean : 0.0f, col + 1 < cols ? v.y - mean : 0.0f, col + 2 < cols ? v.z - mean : 0.0f,
            col + 3 < cols ? v.w - mean : 0.0f};
}

RF_INLINE f32x4 input(const NormArgs& a, u64 start, u32 col) {
    f32x4 v = load_cols(a.x + start, col, a.cols);
    if (a.add) {
        const f32x4 w = load_cols(a.add + start, col, a.cols);
        v = {v.x + w.x, v.y + w.y, v.z + w.z, v.w + w.w};
    }
    return v;
}

RF_INLINE f32x4 weights_at(const NormArgs& a, u32 group, u32 col) {
    if (!a.weight) return {1.0f, 1.0f, 1.0f, 1.0f};
    return load_cols(a.weight + static_cast<u64>(group % a.weight_groups) * a.cols, col, a.cols);
}

RF_INLINE f32x4 scaled(const NormArgs& a, u32 group, u32 col, f32x4 v, float inverse, f32x4 w) {
    v = {v.x * inverse * w.x, v.y * inverse * w.y, v.z * inverse * w.z, v.w * inverse * w.w};
    if (a.bias) {
        const f32x4 b = load_cols(a.bias + static_cast<u64>(group % a.bias_groups) * a.cols, col, a.cols);
        v = {v.x + b.x, v.y + b.y, v.z + b.z, v.w + b.w};
    }
    return v;
}

template <int PER> RF_INLINE void norm_rows(const NormArgs& a) {
    RF_LDS float sums[64];
    RF_LDS float squares_of[64];
    RF_LDS u32 tops[64];
    const u32 group = block_x();
    const u64 start = static_cast<u64>(group) * a.cols;
    const float count = static_cast<float>(a.cols);
    // Weights asked for before the reduction arrive during it, where there are registers for them.
    constexpr bool EARLY = PER <= 2;

    f32x4 v[PER];
    f32x4 w[PER];
    RF_UNROLL
    for (int i = 0; i < PER; ++i) {
        v[i] = input(a, start, vector_col(i));
        if (EARLY) w[i] = weights_at(a, group, vector_col(i));
    }
    RF_UNROLL
    for (int i = 0; i < PER; ++i) {
        if (a.sum) store_cols(a.sum + start, vector_col(i), a.cols, v[i]);
    }
    if (a.layer) {
        float total = 0.0f;
        RF_UNROLL
        for (int i = 0; i < PER; ++i) total += sum4(v[i]);
        const float mean = block_fold_once<Sum>(total, sums) / count;
        RF_UNROLL
        for (int i = 0; i < PER; ++i) v[i] = centred(v[i], mean, vector_col(i), a.cols);
    }
    float squares = 0.0f;
    RF_UNROLL
    for (int i = 0; i < PER; ++i) squares += squares4(v[i]);
    const float inverse = rsqrt_(block_fold_once<Sum>(squares, squares_of) / count + a.eps);
    RF_UNROLL
    for (int i = 0; i < PER; ++i) {
        if (!EARLY) w[i] = weights_at(a, group, vector_col(i));
        v[i] = scaled(a, group, vector_col(i), v[i], inverse, w[i]);
    }
    store_row<PER>(a.out, group, v, tops);
}

RF_KERNEL(1024) void norm_rows1(NormArgs a) { norm_rows<1>(a); }
RF_EXPORT(norm_rows1)
RF_KERNEL(1024) void norm_rows2(NormArgs a) { norm_rows<2>(a); }
RF_EXPORT(norm_rows2)
RF_KERNEL(1024) void norm_rows4(NormArgs a) { norm_rows<4>(a); }
RF_EXPORT(norm_rows4)

RF_KERNEL(1024) void norm_long(NormArgs a) {
    RF_LDS float sums[64];
    RF_LDS float squares_of[64];
    const u32 group = block_x();
    const u64 start = static_cast<u64>(group) * a.cols;
    const float count = static_cast<float>(a.cols);
    const u32 vectors = div_up(div_up(a.cols, 4), block_threads());

    float total = 0.0f;
    for (u32 i = 0; i < vectors; ++i) {
        const f32x4 v = input(a, start, vector_col(i));
        if (a.sum) store_cols(a.sum + start, vector_col(i), a.cols, v);
        total += sum4(v);
    }
    // The sum may have taken the place of an input: from here on it is what is read, each lane its own columns.
    if (a.sum) {
        a.x = a.sum;
        a.add = nullptr;
    }
    const float mean = a.layer ? block_fold_once<Sum>(total, sums) / count : 0.0f;
    float squares = 0.0f;
    for (u32 i = 0; i < vectors; ++i) {
        const f32x4 v = centred(input(a, start, vector_col(i)), mean, vector_col(i), a.cols);
        squares += squares4(v);
    }
    const float inverse = rsqrt_(block_fold_once<Sum>(squares, squares_of) / count + a.eps);
    for (u32 i = 0; i < vectors; ++i) {
        const u32 col = vector_col(i);
        const f32x4 v = centred(input(a, start, col), mean, col, a.cols);
        store_cols(a.out.f + start, col, a.cols, scaled(a, group, col, v, inverse, weights_at(a, group, col)));
    }
}
RF_EXPORT(norm_long)

RF_KERNEL(256) void norm_groups(NormArgs a) {
    constexpr int PER = 512 / 4 / WAVE;
    const u32 group = block_x() * (block_threads() / WAVE) + wave_in_block();
    if (group >= a.groups) return;
    const u64 start = static_cast<u64>(group) * a.cols;
    const float count = static_cast<float>(a.cols);
    const u32 first = lane() * 4;
    constexpr u32 STEP = WAVE * 4;

    f32x4 v[PER];
    float total = 0.0f;
    RF_UNROLL
    for (int i = 0; i < PER; ++i) {
        v[i] = load_cols(a.x + start, first + i * STEP, a.cols);
        total += sum4(v[i]);
    }
    if (a.layer) {
        const float mean = wave_sum(total) / count;
        RF_UNROLL
        for (int i = 0; i < PER; ++i) v[i] = centred(v[i], mean, first + i * STEP, a.cols);
    }
    float squares = 0.0f;
    RF_UNROLL
    for (int i = 0; i < PER; ++i) squares += squares4(v[i]);
    const float inverse = rsqrt_(wave_sum(squares) / count + a.eps);
    RF_UNROLL
    for (int i = 0; i < PER; ++i) {
        const u32 col = first + i * STEP;
        store_cols(a.out.f + start, col, a.cols, scaled(a, group, col, v[i], inverse, weights_at(a, group, col)));
    }
}
RF_EXPORT(norm_groups)

}  // namespace rf
