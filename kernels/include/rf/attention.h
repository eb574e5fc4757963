// rf/attention.h: what the kernels of attention share: sizes, and how the parts of a long context become one result.
//
// A context is cut into splits of SPLIT tokens at multiples of SPLIT. Each split of a query and head leaves
//   m   the largest score,   l = Σ exp(score - m),   acc[d] = Σ exp(score - m) v[d],
// and the result is Σ_s w_s acc_s[d] / (Σ_s w_s l_s + exp(sink - M)), w_s = exp(m_s - M), M the largest of m_s and the
// sink. Where splits begin and in which order they are added depends on nothing but the query's own position.
#pragma once

#include "rf/forms.h"
#include "rf/kv.h"

namespace rf {

constexpr u32 SPLIT = 128;        // tokens; ops/attention.rs has the same number
constexpr u32 COMBINE_CHUNK = 32;  // splits that one wave adds in order
constexpr float LOG2E = 1.44269504f;

RF_INLINE float exp_diff(float x, float m) { return exp2_fast((x - m) * LOG2E); }
RF_INLINE float neg_inf() { return bits_f32(0xff800000u); }

struct DecodeArgs {
    const float* q;
    float* out;
    i8* out_q8;
    f32x2* out_q8_scale;
    const void* k;
    const void* v;
    const half* k_scale;
    const half* v_scale;
    const float* sinks;
    const u32* rows;
    const u32* query_context;
    const u32* token_seq;
    const u32* context_len;
    const u32* block_tables;
    float* partial;       // [queries, heads, splits, value_dim]
    f32x2* partial_ml;    // [queries, heads, splits] of {m, l}
    u32* arrived;         // [queries, kv_heads * chunks], zero between launches; null: combine is its own launch
    u32 heads;
    u32 kv_heads;
    u32 chunks;           // workgroups that share the query heads of a key/value head
    u32 head_dim;
    u32 value_dim;
    u32 value_stride;     // elements from one row of V to the next: value_dim, or head_dim where V lies in K
    u32 block_size;
    u32 table_stride;
    u32 first;            // of the queries that this launch begins with
    u32 splits;           // the most that a query has
    u32 window;           // 0: none
    u32 causal;
    float scale;
    float softcap;        // 0: none
};

// Which tokens a query sees, and which splits they lie in.
struct Visible {
    u32 row, seq, begin, end, first_split, splits;
    bool padding;
};

RF_INLINE Visible visible_to(const DecodeArgs& a, u32 query) {
    Visible s = {};
    s.row = a.rows ? a.rows[a.first + query] : a.first + query;
    if (s.row == NONE) return s;
    const u32 own = a.query_context[s.row];
    s.padding = own == 0;
    if (s.padding) return s;
    s.seq = a.token_seq[s.row];
    s.end = a.causal ? own : a.context_len[s.seq];
    s.begin = a.window && own > a.window ? own - a.window : 0;
    s.first_split = s.begin / SPLIT;
    s.splits = div_up(s.end, SPLIT) - s.first_split;
    return s;
}

// Divides by the sum, the sink's share included.
RF_INLINE f32x4 finished(const DecodeArgs& a, u32 head, f32x4 acc, float m, float l) {
    if (a.sinks == nullptr) return times(acc, 1.0f / l);
    const float sink = a.sinks[head], most = max_(m, sink), w = exp_diff(m, most);
    return times(acc, w / fma_(l, w, exp_diff(sink, most)));
}

// Four columns of a result. All lanes of a wave call; 8 neighbours have 32 columns.
RF_INLINE void store_result(const DecodeArgs& a, u32 row, u32 head, u32 col, bool live, f32x4 v) {
    const u64 at = (static_cast<u64>(row) * a.heads + head) * a.value_dim;
    if (live) store_cols(a.out + at, col, a.value_dim, v);
    if (a.out_q8 == nullptr) return;
    Forms forms = {};
    forms.q8 = a.out_q8;
    forms.q8_scale = a.out_q8_scale;
    store_q8(forms, at + col, live, live ? v : f32x4{0, 0, 0, 0});
}

RF_INLINE u64 part_index(const DecodeArgs& a, u32 query, u32 head, u32 split) {
    return (static_cast<u64>(query) * a.heads + head) * a.splits + split;
}

// Adds the splits first … of one chunk, in order, to `acc` (four columns from `col`) and `l`. A wave calls.
RF_INLINE void add_chunk(const DecodeArgs& a, u64 parts, u32 first, u32 splits, float most, u32 col, f32x4& acc, float& l) {
    const u32 count = min_(splits - first, COMBINE_CHUNK);
    f32x2 ml = {0, 0};
    if (lane() < count) ml = a.partial_ml[parts + first + lane()];
    const float mine = lane() < count ? exp_diff(ml.x, most) : 0.0f;
    l += wave_sum(mine * ml.y);
    const float* from = a.partial + (parts + first) * a.value_dim;
    for (u32 s = 0; s < count; ++s) {
        const float w = shfl(mine, s);
        const f32x4 part = load_cols(from + static_cast<u64>(s) * a.value_dim, col, a.value_dim);
        acc.x = fma_(w, part.x, acc.x);
        acc.y = fma_(w, part.y, acc.y);
        acc.z = fma_(w, part.z, acc.z);
        acc.w = fma_(w, part.w, acc.w);
    }
}

}  // namespace rf
