// maps.hip   sums, factors, caps, copies, rows chosen, experts summed: f32 in, f32 out
//   add_f32      out = a + b                                     out may alias a or b
//   scale_f32    out = factor * a                                out may alias a
//   softcap_f32  out = cap * tanh(a / cap)                       out may alias a
//   copy_f32     out = a
// launch grid (count / 1024), block 256: 4 numbers a lane, 16-byte aligned, the last lanes one by one
//   select_rows  out[s] = x[wanted[s]], [rows, cols]             grid (rows * chunks), chunks = cols / 1024 rounded up
//   expert_sum   out[t] = Σ_i weights[t, i] x[t * k + i] (+ residual[t]), k summands in the order of i; out may alias
//                residual                                        grid as select_rows
// cost  memory-bound
#include "rf/forms.h"

namespace rf {

struct MapArgs {
    const float* a;
    const float* b;
    float* out;
    u64 count;
    float factor;
    u32 unused;
};

struct SelectArgs {
    const float* x;
    const u32* wanted;
    float* out;
    u32 cols;
    u32 chunks;  // workgroups a row
};

struct ExpertSumArgs {
    const float* x;        // [rows * chosen, cols]
    const float* weights;  // [rows, chosen]
    const float* residual; // [rows, cols] or null
    float* out;            // [rows, cols]
    u32 cols;
    u32 chosen;
    u32 chunks;  // workgroups a row
    u32 unused;
};

// Applies `f(a, b)` to 4 numbers a lane.
template <class F> RF_INLINE void map4(const MapArgs& m, F f) {
    const u64 at = (static_cast<u64>(block_x()) * block_threads() + thread_id()) * 4;
    if (at + 4 <= m.count) {
        const f32x4 a = load_f32x4(m.a + at);
        f32x4 b = {0, 0, 0, 0};
        if (m.b) b = load_f32x4(m.b + at);
        store_f32x4(m.out + at, {f(a.x, b.x), f(a.y, b.y), f(a.z, b.z), f(a.w, b.w)});
        return;
    }
    for (u64 i = at; i < m.count; ++i) m.out[i] = f(m.a[i], m.b ? m.b[i] : 0.0f);
}

struct AddOp {
    RF_INLINE float operator()(float a, float b) const { return a + b; }
};
struct ScaleOp {
    float factor;
    RF_INLINE float operator()(float a, float) const { return factor * a; }
};
struct SoftcapOp {
    float cap;
    RF_INLINE float operator()(float a, float) const { return cap * tanh_(a / cap); }
};
struct CopyOp {
    RF_INLINE float operator()(float a, float) const { return a; }
};

RF_KERNEL(256) void add_f32(MapArgs m) { map4(m, AddOp{}); }
RF_EXPORT(add_f32)
RF_KERNEL(256) void scale_f32(MapArgs m) { map4(m, ScaleOp{m.factor}); }
RF_EXPORT(scale_f32)
RF_KERNEL(256) void softcap_f32(MapArgs m) { map4(m, SoftcapOp{m.factor}); }
RF_EXPORT(softcap_f32)
RF_KERNEL(256) void copy_f32(MapArgs m) { map4(m, CopyOp{}); }
RF_EXPORT(copy_f32)

RF_KERNEL(256) void select_rows(SelectArgs a) {
    const u32 row = block_x() / a.chunks;
    const u32 col = ((block_x() % a.chunks) * block_threads() + thread_id()) * 4;
    const float* from = a.x + static_cast<u64>(a.wanted[row]) * a.cols;
    store_cols(a.out + static_cast<u64>(row) * a.cols, col, a.cols, load_cols(from, col, a.cols));
}
RF_EXPORT(select_rows)

RF_KERNEL(256) void expert_sum(ExpertSumArgs a) {
    const u32 row = block_x() / a.chunks;
    const u32 col = ((block_x() % a.chunks) * block_threads() + thread_id()) * 4;
    const u64 start = static_cast<u64>(row) * a.cols;
    const float* weights = a.weights + static_cast<u64>(row) * a.chosen;
    const float* x = a.x + start * a.chosen;
    f32x4 sum = {0, 0, 0, 0};
    for (u32 i = 0; i < a.chosen; ++i) {
        const f32x4 v = load_cols(x + static_cast<u64>(i) * a.cols, col, a.cols);
        const float w = weights[i];
        sum = {fma_(w, v.x, sum.x), fma_(w, v.y, sum.y), fma_(w, v.z, sum.z), fma_(w, v.w, sum.w)};
    }
    if (a.residual) {
        const f32x4 r = load_cols(a.residual + start, col, a.cols);
        sum = {sum.x + r.x, sum.y + r.y, sum.z + r.z, sum.w + r.w};
    }
    store_cols(a.out + start, col, a.cols, sum);
}
RF_EXPORT(expert_sum)

}  // namespace rf
