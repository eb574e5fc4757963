// group.hip: sorts pairs (token, choice) by expert and cuts them into tiles, for the grouped matrix products
//
// in    ids f32 [pairs]: the expert of each pair; one that is no expert counts as the last (or, if negative, the first)
// out   order [pairs]: pairs, expert by expert; tiles [4 + 4 * max_tiles]: [0] the number of tiles, and from [4] on, for
//       each, {expert, first in order, pairs, 0} with at most tile_rows pairs. Experts without pairs have no tile.
// launch grid (1), block (1024); wave32 and wave64
// needs experts <= 1024; max_tiles >= pairs / tile_rows + min(pairs, experts)
// cost  two passes over the pairs by one workgroup: microseconds beside products of milliseconds
// order Within an expert it may differ from run to run; no result depends on it, as rows of a product do not meet.
#include "rf/platform.h"

namespace rf {

constexpr u32 GROUP_THREADS = 1024;

struct GroupArgs {
    const float* ids;
    u32* tiles;
    u32* order;
    u32 pairs;
    u32 experts;
    u32 tile_rows;
    u32 pad;
};

RF_INLINE u32 expert_of(float id, u32 experts) {
    // This order of operands sends NaN to the first expert.
    return static_cast<u32>(min_(static_cast<float>(experts - 1), max_(0.0f, id)));
}

// Inclusive prefix sums over the lanes of the workgroup.
RF_INLINE u32 block_scan(u32 v, u32* scratch) {
    const u32 me = thread_id();
    scratch[me] = v;
    barrier();
    for (u32 d = 1; d < GROUP_THREADS; d *= 2) {
        const u32 left = me >= d ? scratch[me - d] : 0;
        barrier();
        v += left;
        scratch[me] = v;
        barrier();
    }
    return v;
}

RF_KERNEL(GROUP_THREADS) void group_pairs(GroupArgs a) {
    RF_LDS u32 counts[GROUP_THREADS];
    RF_LDS u32 scratch[GROUP_THREADS];
    const u32 me = thread_id();
    counts[me] = 0;
    barrier();
    for (u32 p = me; p < a.pairs; p += GROUP_THREADS) atomic_add(&counts[expert_of(a.ids[p], a.experts)], 1u);
    barrier();

    const u32 count = counts[me], tiles = div_up(count, a.tile_rows);
    const u32 first = block_scan(count, scratch) - count;
    const u32 end_tile = block_scan(tiles, scratch);
    if (me == GROUP_THREADS - 1) a.tiles[0] = end_tile;
    for (u32 i = 0; i < tiles; ++i) {
        const u32 done = i * a.tile_rows;
        store16(a.tiles + 4 + 4 * (end_tile - tiles + i), {me, first + done, min_(count - done, a.tile_rows), 0});
    }

    counts[me] = first;  // from here on: where the next pair of this expert goes
    barrier();
    for (u32 p = me; p < a.pairs; p += GROUP_THREADS) {
        a.order[atomic_add(&counts[expert_of(a.ids[p], a.experts)], 1u)] = p;
    }
}
RF_EXPORT(group_pairs)

}  // namespace rf
