// reduce.hip: y[t, r] = Σ_s partial[s, t, r] + bias[r], the end of a matrix product that was split along k
//
// in    partial f32 [splits, tokens, rows] and bias f32 [rows] or null, for up to four parts.  out y f32 [tokens, rows]
// launch grid (max rows / 256, tokens, parts), block (256)
// order The splits are added one after the other, so that results repeat bit for bit.
#include "rf/platform.h"

namespace rf {

struct ReducePart {
    const float* partial;
    const float* bias;
    float* y;
    u32 rows;
    u32 y_stride;
};

struct ReduceArgs {
    ReducePart part[4];
    u32 splits;
    u32 tokens;
};

RF_KERNEL(256) void reduce_splits(ReduceArgs a) {
    const ReducePart& part = a.part[block_z()];
    const u32 r = block_x() * 256 + thread_id(), t = block_y();
    if (r >= part.rows) return;
    const u64 stride = static_cast<u64>(a.tokens) * part.rows;
    const float* from = part.partial + static_cast<u64>(t) * part.rows + r;
    float sum = from[0];
    for (u32 s = 1; s < a.splits; ++s) sum += from[s * stride];
    part.y[static_cast<u64>(t) * part.y_stride + r] = sum + (part.bias == nullptr ? 0.0f : part.bias[r]);
}
RF_EXPORT(reduce_splits)

}  // namespace rf
