// gate.hip   out = activation(gate) * up, or activation(gate) alone, in the forms of rf/forms.h; with the activation
//            IDENTITY and no up it puts plain rows into those forms
// in    gate f32 [rows, cols], or [rows, 1] that spreads (spread = 1); up f32 [rows, cols] or null
// out   f32 may alias gate (not spread) or up
// gate_flat        f32 and q8, 4 columns a lane over all rows: grid (rows * cols / 1024), block 256
// gate_rows{1,2,4} the half and bhalf forms too: grid (rows), block a multiple of WAVE up to 1024 with cols <= 4, 8,
//                  16 * lanes; the row stays in registers while its scale is found
// gate_long        any width, block 1024: computes the row twice, for the scale and for the result
// cost  read gate and up, write out; memory-bound
#include "rf/forms.h"

namespace rf {

// As program::Activation, and IDENTITY.
enum : u32 { SILU, GELU, GELU_ERF, RELU, RELU_SQUARED, SIGMOID, SWIGLU_CLAMPED, IDENTITY };

struct GateArgs {
    const float* gate;
    const float* up;
    Forms out;
    u64 count;  // rows * cols
    u32 activation;
    u32 spread;
    float alpha;
    float limit;
};

RF_INLINE float sigmoid(float x) { return 1.0f / (1.0f + exp_(-x)); }

// Φ(x) = (1 + erf(x / √2)) / 2, with full relative precision for negative x, where 1 + erf cancels.
// With a = |x| / √2 and t = 1 / (1 + 0.4 a), erfc(a) = exp(-a²) t P(t); P is a Chebyshev fit.
RF_INLINE float normal_cdf(float x) {
    const float a = abs_(x) * 0.70710678f;
    const float t = 1.0f / fma_(a, 0.4f, 1.0f);
    float p = -0.01716145f;
    p = fma_(p, t, 0.11171955f);
    p = fma_(p, t, -0.27897035f);
    p = fma_(p, t, 0.3126617f);
    p = fma_(p, t, -0.1741346f);
    p = fma_(p, t, 0.15292825f);
    p = fma_(p, t, 0.059093655f);
    p = fma_(p, t, 0.108669545f);
    p = fma_(p, t, 0.112333045f);
    p = fma_(p, t, 0.11286067f);
    // x² / 2, with what its rounding lost put back to first order: the exponential would magnify it.
    const float half_x = 0.5f * x, square = half_x * x, lost = fma_(half_x, x, -square);
    float e = exp_(-square);
    if (a < 16.0f) e = fma_(-e, lost, e);
    const float tail = e * t * p;
    return x < 0.0f ? tail : 1.0f - tail;
}

RF_INLINE float activate(u32 activation, float x, float alpha, float limit) {
    switch (activation) {
        case SILU: return x * sigmoid(x);
        // (1 + tanh u) / 2 = sigmoid(2u), which does not cancel for negative u.
        case GELU: return x * sigmoid(1.5957691f * fma_(0.044715f * x * x, x, x));
        case GELU_ERF: return x * normal_cdf(x);
        // Comparisons that keep a NaN.
        case RELU: return x < 0.0f ? 0.0f : x;
        case RELU_SQUARED: return x < 0.0f ? 0.0f : x * x;
        case SIGMOID: return sigmoid(x);
        case SWIGLU_CLAMPED: {
            const float g = min_(x, limit);
            return g * sigmoid(alpha * g);
        }
        default: return x;
    }
}

// What the activated gate is multiplied with.
RF_INLINE float shifted(u32 activation, float up, float limit) {
    return activation == SWIGLU_CLAMPED ? clamp_(up, -limit, limit) + 1.0f : up;
}

RF_INLINE f32x4 gated(const GateArgs& a, f32x4 g, f32x4 u) {
    const u32 k = a.activation;
    f32x4 y = {activate(k, g.x, a.alpha, a.limit), activate(k, g.y, a.alpha, a.limit),
               activate(k, g.z, a.alpha, a.limit), activate(k, g.w, a.alpha, a.limit)};
    if (a.up) {
        y = {y.x * shifted(k, u.x, a.limit), y.y * shifted(k, u.y, a.limit), y.z * shifted(k, u.z, a.limit),
             y.w * shifted(k, u.w, a.limit)};
    }
    return y;
}

// The gates of 4 numbers in a row, which may reach into rows below.
RF_INLINE f32x4 spread_gates(const GateArgs& a, u64 at) {
    const u32 cols = a.out.cols;
    u64 row = at / cols;
    u32 col = static_cast<u32>(at - row * cols);
    float g[4];
    RF_UNROLL
    for (int i = 0; i < 4; ++i) {
        g[i] = a.gate[row];
        if (++col == cols) {
            col = 0;
            ++row;
        }
    }
    return {g[0], g[1], g[2], g[3]};
}

RF_KERNEL(256) void gate_flat(GateArgs a) {
    const u64 at = (static_cast<u64>(block_x()) * block_threads() + thread_id()) * 4;
    const bool live = at < a.count;
    f32x4 y = {0, 0, 0, 0};
    if (live && at + 4 <= a.count) {
        f32x4 g, u = {0, 0, 0, 0};
        if (a.spread) {
            g = spread_gates(a, at);
        } else {
            g = load_f32x4(a.gate + at);
        }
        if (a.up) u = load_f32x4(a.up + at);
        y = gated(a, g, u);
        if (a.out.f) store_f32x4(a.out.f + at, y);
    } else if (live) {
        for (u64 i = at; i < a.count; ++i) {
            const float g = a.gate[a.spread ? i / a.out.cols : i];
            const float up = a.up ? a.up[i] : 0.0f;
            const f32x4 one = gated(a, {g, g, g, g}, {up, up, up, up});
            if (a.out.f) a.out.f[i] = one.x;
        }
    }
    // Rows of a multiple of 32 columns lie without gaps, so that a group of 32 is one wherever its row begins.
    if (a.out.q8) store_q8(a.out, at, live, y);
}
RF_EXPORT(gate_flat)

RF_INLINE f32x4 gated_cols(const GateArgs& a, u32 row, u32 col) {
    const u32 cols = a.out.cols;
    if (col >= cols) return {0, 0, 0, 0};
    const u64 start = static_cast<u64>(row) * cols;
    f32x4 g, u = {0, 0, 0, 0};
    if (a.spread) {
        const float one = a.gate[row];
        g = {one, one, one, one};
    } else {
        g = load_cols(a.gate + start, col, cols);
    }
    if (a.up) u = load_cols(a.up + start, col, cols);
    const f32x4 y = gated(a, g, u);
    // sigmoid(0) is not 0.
    return {y.x, col + 1 < cols ? y.y : 0.0f, col + 2 < cols ? y.z : 0.0f, col + 3 < cols ? y.w : 0.0f};
}

template <int PER> RF_INLINE void gate_rows(const GateArgs& a) {
    RF_LDS u32 tops[64];
    const u32 row = block_x();
    f32x4 y[PER];
    RF_UNROLL
    for (int i = 0; i < PER; ++i) y[i] = gated_cols(a, row, vector_col(i));
    store_row<PER>(a.out, row, y, tops);
}

RF_KERNEL(1024) void gate_rows1(GateArgs a) { gate_rows<1>(a); }
RF_EXPORT(gate_rows1)
RF_KERNEL(1024) void gate_rows2(GateArgs a) { gate_rows<2>(a); }
RF_EXPORT(gate_rows2)
RF_KERNEL(1024) void gate_rows4(GateArgs a) { gate_rows<4>(a); }
RF_EXPORT(gate_rows4)

RF_KERNEL(1024) void gate_long(GateArgs a) {
    RF_LDS u32 tops[64];
    const u32 row = block_x();
    const u32 vectors = div_up(a.out.cols_pad / 4, block_threads());
    u32 top = 0;
    if (a.out.h) {
        for (u32 i = 0; i < vectors; ++i) top = max_(top, magnitude(gated_cols(a, row, vector_col(i))));
        top = block_fold_once<Max>(top, tops);
    }
    const float inverse = store_scales(a.out, row, top);
    for (u32 i = 0; i < vectors; ++i) {
        store_forms(a.out, row, vector_col(i), gated_cols(a, row, vector_col(i)), inverse);
    }
}
RF_EXPORT(gate_long)

}  // namespace rf
