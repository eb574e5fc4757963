// prefill.hip   attention of many queries over a paged cache on the matrix units:
//   s_j = softcap(scale * q · k_j), a = softmax([s_j …, sink]), out = Σ_j a_j v_j  over the visible j (arXiv:1706.03762)
//
// Compiled for one type of cache RF_KV (rf/kv.h) and for heads of up to RF_DIM columns of K and RF_VALUE of V,
// multiples of 16.
//
// in     q f32 [rows, heads * head_dim]; cache planes; tiles of queries: sequence and first query of each; query_start,
//        query_context (position + 1), context_len and block tables of the sequences; sinks f32 [heads] or null
// out    f32 [rows, heads * value_dim]
// launch grid (tiles * pieces * kv_heads * chunks), block and dynamic LDS: those of PrefillShape, which
//        ops/prefill.rs has too; wave32 and wave64
// needs  head_dim % 8 == 0, value_dim % 8 == 0, rows of K and V at multiples of 8 numbers
// error  q, weights and what is read of the cache are halves (11 bits, powers of two taken out of q), sums f32
// cost   a workgroup reads K and V of the tokens that its 128 rows see once: bound by the matrix units
// phases rows, queries to LDS | for each tile of keys: scores, softmax, values | divide, store
#include "rf/prefill/tile.h"

#if !defined(RF_KV)
#define RF_KV KvF16
#define RF_DIM 128
#define RF_VALUE 128
#endif

namespace rf {

using Shape = PrefillShape<RF_KV, RF_DIM, RF_VALUE>;
using Wave = PrefillWave<Shape>;

// Copies queries to registers piece by piece, through the place where keys and values will be.
template <int FIRST>
RF_INLINE void hold_queries(Wave& wave, const PrefillArgs& a, float factor, PrefillLds<Shape>& lds) {
    if constexpr (FIRST < Wave::STEPS) {
        stage_queries<Shape>(a, factor, FIRST * 16, lds);
        barrier();
        wave.template hold_queries<FIRST>(lds.queries());
        barrier();
        hold_queries<FIRST + Shape::QUERY_COLUMNS / 16>(wave, a, factor, lds);
    }
}

RF_INLINE void prefill_rows(const PrefillArgs& a, PrefillLds<Shape>& lds) {
    PrefillWork work;
    if (!find_work<Shape::ROWS>(a, work)) return;
    const bool capped = a.softcap != 0.0f;
    const float factor = capped ? a.scale / a.softcap : a.scale * LOG2E;
    const u32 first = work.begin / Shape::KEYS, end = div_up(work.end, Shape::KEYS);

    // rows, queries to LDS
    place_rows<Shape>(a, work, lds);
    barrier();
    find_rows<Shape>(a, first, lds);
    measure_queries<Shape>(a, factor, lds);
    barrier();
    Wave wave;
    wave.begin();
    if constexpr (Shape::HOLDS_Q) {
        hold_queries<0>(wave, a, factor, lds);
    } else {
        stage_queries<Shape>(a, factor, 0, lds);
    }

    const PlaneRows k = {a.k, a.k_scale, a.head_dim, a.head_dim}, v = {a.v, a.v_scale, a.value_stride, a.value_dim};
    StageKeys<RF_KV, Shape> next_keys;
    StageValues<RF_KV, Shape> values;
    next_keys.fetch(k, lds.key_row[first % 2], lds.keys());
    next_keys.finish(k, lds.key_row[first % 2], lds.keys());
    async_wait<0>();
    barrier();

    for (u32 tile = first; tile < end; ++tile) {
        const bool more = tile + 1 < end;
        if (more) find_rows<Shape>(a, tile + 1, lds);
        values.fetch(v, lds.key_row[tile % 2], lds.values());

        // scores, softmax
        FragC score[Wave::TILES][Wave::KEY_TILES];
        wave.add_scores(score, lds.queries(), lds.keys());
        values.finish(v, lds.key_row[tile % 2], lds.values());
        if (capped) wave.cap(score, lds, a.softcap);
        const u32 start = tile * Shape::KEYS;
        if (start < work.low || start + Shape::KEYS > work.high) wave.hide(score, lds, start);
        Weights weights[Wave::TILES][Wave::KEY_TILES];
        wave.soften(score, weights, lds, capped);
        async_wait<0>();
        barrier();

        // values
        if (more) next_keys.fetch(k, lds.key_row[(tile + 1) % 2], lds.keys());
        wave.add_values(weights, lds.values(), lds.weights());
        if (more) next_keys.finish(k, lds.key_row[(tile + 1) % 2], lds.keys());
        async_wait<0>();
        barrier();
    }
    wave.store(a, lds);
}

RF_KERNEL_RESIDENT(Shape::THREADS, Shape::RESIDENT) void prefill(PrefillArgs a) {
#if RF_NVIDIA
    // ops/prefill.rs has the same sum.
    static_assert(sizeof(PrefillLds<Shape>) == 2 * (Shape::KEYS * (RF_DIM + RF_VALUE + 16) + 128 * (RF_DIM + 8)) +
                                                   8 * Shape::KEYS + 16 * 128 + 16, "what a launch asks for");
    RF_DYNAMIC_LDS(PrefillLds<Shape>, lds);  // more than a static array may have
    prefill_rows(a, *lds);
#else
    RF_LDS PrefillLds<Shape> lds;
    prefill_rows(a, lds);
#endif
}
RF_EXPORT(prefill)

}  // namespace rf
