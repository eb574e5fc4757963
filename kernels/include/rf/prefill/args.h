// rf/prefill/args.h: the argument of attention in tiles, and what one workgroup of it has to do.
//
// A workgroup has ROWS rows: each is a query of one sequence with one query head, and all heads share a key/value head.
// Rows r * heads + h are query r, head h, so that few queries are many rows where many heads share keys.
#pragma once

#include "rf/attention.h"

namespace rf {

struct PrefillArgs {
    const float* q;
    float* out;
    const void* k;
    const void* v;
    const half* k_scale;
    const half* v_scale;
    const float* sinks;
    const u32* tile_seq;       // [tiles] sequence of a tile
    const u32* tile_first;     // [tiles] its first query, counted from the sequence's first
    const u32* query_start;    // [sequences + 1] first row of a sequence
    const u32* query_context;  // [rows] position + 1
    const u32* context_len;    // [sequences]
    const u32* block_tables;   // [sequences, table_stride]
    u32 tiles;
    u32 tile_queries;  // queries of a tile
    u32 pieces;        // workgroups that share the queries of a tile
    u32 heads;
    u32 kv_heads;
    u32 together;      // query heads of a workgroup
    u32 chunks;        // workgroups that share the query heads of a key/value head
    u32 head_dim;
    u32 value_dim;
    u32 value_stride;  // elements from one row of V to the next
    u32 block_size;
    u32 table_stride;
    u32 window;        // 0: none
    u32 causal;
    float scale;
    float softcap;     // 0: none
};

struct PrefillWork {
    u32 seq;
    u32 first;       // row of the first query
    u32 queries;
    u32 first_head;
    u32 heads;
    u32 kv_head;
    u32 begin, end;  // tokens that any query sees
    u32 low, high;   // tokens that all see, if low < high
};

// The tokens from `low` on and below `high` that a query sees.
struct Seen { u32 low, high; };
RF_INLINE Seen seen_by(const PrefillArgs& a, u32 row, u32 seq) {
    const u32 own = a.query_context[row];
    return {a.window && own > a.window ? own - a.window : 0, a.causal ? own : a.context_len[seq]};
}

// False: there is nothing to do. The last queries of a text see most and begin first.
template <u32 ROWS> RF_INLINE bool find_work(const PrefillArgs& a, PrefillWork& work) {
    const u32 across = a.kv_heads * a.chunks;
    const u32 place = a.tiles * a.pieces - 1 - block_x() / across, column = block_x() % across;
    const u32 tile = place / a.pieces, each = ROWS / a.together;
    work.seq = a.tile_seq[tile];
    const u32 start = a.query_start[work.seq], tile_first = a.tile_first[tile];
    const u32 end = min_(a.query_start[work.seq + 1] - start, tile_first + a.tile_queries);
    const u32 first = tile_first + place % a.pieces * each;
    if (first >= end) return false;
    work.first = start + first;
    work.queries = min_(end - first, each);
    work.kv_head = column / a.chunks;
    const u32 group = a.heads / a.kv_heads, chunk = column % a.chunks * a.together;
    work.first_head = work.kv_head * group + chunk;
    work.heads = min_(a.together, group - chunk);
    const Seen one = seen_by(a, work.first, work.seq), last = seen_by(a, work.first + work.queries - 1, work.seq);
    work.begin = one.low;
    work.end = last.high;
    work.low = last.low;
    work.high = one.high;
    return true;
}

}  // namespace rf
