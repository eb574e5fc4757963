// rf/prefill/stage.h: tiles of queries, keys and values in LDS, as halves.
//
// Columns behind the end of a row are zero in Q; in K they are some others of the row, which are multiplied by those
// zeros, and in V they become columns that nobody stores.
//
// Rows of keys and values are gathered through the block table: key_row names the row of each token of a tile. Loading
// has two halves: fetch() begins, finish() ends with the tile in LDS, so that products run in between. Where the
// hardware copies to LDS by itself and nothing is to be converted, fetch() does both; where registers do not hold what
// is on its way (long rows of f32), finish() does.
#pragma once

#include "rf/prefill/args.h"
#include "rf/prefill/fragments.h"

namespace rf {

template <class Kv> constexpr bool IS_HALF = false;
template <> constexpr bool IS_HALF<KvF16> = true;

// What one target computes at a time. Q and V columns are rounded up to what a kernel is compiled for.
//   NVIDIA       f16 and up to 128 columns: 4 waves of 32 rows, which read each key from LDS half as often as 8 of 16
//   waves of 64  4 waves of 32 rows
//   waves of 32  waves of 16 rows, half as many of them where a row has more than 128 columns
template <class Kv, int DIM_, int VALUE_> struct PrefillShape {
    static constexpr int DIM = DIM_, VALUE = VALUE_;
    static constexpr bool WIDE = DIM > 128 || VALUE > 128, LARGE = sizeof(typename Kv::Elem) > 2;
#if RF_NVIDIA
    static constexpr int ROWS = 128, TILES = IS_HALF<Kv> && !WIDE ? 2 : 1;
    static constexpr int KEYS = LARGE || (WIDE && !IS_HALF<Kv>) ? 32 : 64;
    static constexpr bool HOLDS_Q = false;
#else
    static constexpr int ROWS = WAVE == 32 && WIDE ? 64 : 128, TILES = WAVE / 32;
    static constexpr int KEYS = WIDE ? 16 : LARGE || WAVE == 64 || !RF_HAS_MMA ? 32 : 64;
    static constexpr bool HOLDS_Q = RF_HAS_MMA && (WAVE == 64 || !WIDE);
#endif
    static constexpr int WAVES = ROWS / (16 * TILES), THREADS = WAVES * WAVE;
    static constexpr bool AHEAD = RF_NVIDIA || !(WIDE && LARGE);
    // Workgroups at a time that registers are to allow.
    static constexpr int RESIDENT = RF_NVIDIA && TILES == 2 ? (DIM <= 64 ? 3 : 1) : WAVE == 64 && !WIDE ? 2 : 1;
    static constexpr int KEY_STRIDE = DIM + 8, VALUE_STRIDE = KEYS_DOWN ? KEYS + 8 : VALUE + 8;
    static constexpr int KEY_HALVES = KEYS * KEY_STRIDE, VALUE_HALVES = (KEYS_DOWN ? VALUE : KEYS) * VALUE_STRIDE;
    // Columns of Q that are in LDS together; if waves hold Q in registers, as many as the place of K and V takes.
    static constexpr int FITTING = ((KEY_HALVES + VALUE_HALVES) / ROWS - 8) / 16 * 16;
    static constexpr int QUERY_COLUMNS = HOLDS_Q && FITTING < DIM ? FITTING : DIM;
    static constexpr int QUERY_STRIDE = QUERY_COLUMNS + 8;
    static constexpr int QUERY_HALVES = HOLDS_Q ? 0 : ROWS * QUERY_STRIDE;
    static constexpr int WEIGHTS = WAVES * WEIGHT_HALVES;
    static_assert(QUERY_COLUMNS > 0, "there is room for some columns of Q");
};

// What finding rows takes; in LDS, for a few lanes need it for a moment, and registers are dear.
struct PrefillTokens { u32 seq, kv_head, begin, last; };

template <class Shape> struct alignas(16) PrefillLds {
    half tiles[Shape::KEY_HALVES + Shape::VALUE_HALVES + Shape::QUERY_HALVES + Shape::WEIGHTS];
    u32 key_row[2][Shape::KEYS];
    u32 place[Shape::ROWS];   // row * heads + head of a row; NONE: there is no such row
    float unit[Shape::ROWS];  // what a row of Q was divided by
    Seen seen[Shape::ROWS];
    PrefillTokens tokens;

    RF_INLINE half* keys() { return tiles; }
    RF_INLINE half* values() { return tiles + Shape::KEY_HALVES; }
    RF_INLINE half* queries() { return Shape::HOLDS_Q ? tiles : tiles + Shape::KEY_HALVES + Shape::VALUE_HALVES; }
    RF_INLINE half* weights() {
        return tiles + Shape::KEY_HALVES + Shape::VALUE_HALVES + Shape::QUERY_HALVES + wave_in_block() * WEIGHT_HALVES;
    }
};

// ---- queries --------------------------------------------------------------------------------------------------------
// The places of rows in q and out, and what each sees. Rows that are none are of zeros, and see everything.
template <class Shape>
RF_INLINE void place_rows(const PrefillArgs& a, const PrefillWork& work, PrefillLds<Shape>& lds) {
    for (u32 i = thread_id(); i < Shape::ROWS; i += Shape::THREADS) {
        const u32 query = i / a.together, head = i % a.together, row = work.first + query;
        const bool live = query < work.queries && head < work.heads;
        lds.place[i] = live ? row * a.heads + work.first_head + head : NONE;
        lds.seen[i] = live ? seen_by(a, row, work.seq) : Seen{0, NONE};
    }
    if (thread_id() == 0) lds.tokens = {work.seq, work.kv_head, work.begin, work.end - 1};
}

// Lanes that share a row of Q.
constexpr u32 QUERY_LANES = 16;

RF_INLINE f32x4 load_query4(const PrefillArgs& a, u32 place, u32 col, float factor) {
    if (place == NONE || col >= a.head_dim) return {0, 0, 0, 0};
    return times(load_f32x4(a.q + static_cast<u64>(place) * a.head_dim + col), factor);
}

// The power of two that a row of Q is divided by, so that it suits a half.
template <class Shape> RF_INLINE void measure_queries(const PrefillArgs& a, float factor, PrefillLds<Shape>& lds) {
    constexpr u32 TEAMS = Shape::THREADS / QUERY_LANES;
    for (u32 row = thread_id() / QUERY_LANES; row < Shape::ROWS; row += TEAMS) {
        u32 top = 0;
        RF_UNROLL for (u32 col = 0; col < Shape::DIM; col += QUERY_LANES * 4) {
            top = max_(top, magnitude(load_query4(a, lds.place[row], col + thread_id() % QUERY_LANES * 4, factor)));
        }
        top = group_max<QUERY_LANES>(top);
        if (thread_id() % QUERY_LANES == 0) lds.unit[row] = half_scale(top);
    }
}

// QUERY_COLUMNS columns of Q from `first` on, zero beyond head_dim.
template <class Shape>
RF_INLINE void stage_queries(const PrefillArgs& a, float factor, u32 first, PrefillLds<Shape>& lds) {
    constexpr u32 ACROSS = Shape::QUERY_COLUMNS / 8;
    for (u32 i = thread_id(); i < Shape::ROWS * ACROSS; i += Shape::THREADS) {
        const u32 row = i / ACROSS, col = i % ACROSS * 8;
        const float inverse = half_inverse(lds.unit[row]);
        const f32x4 x = times(load_query4(a, lds.place[row], first + col, factor), inverse);
        const f32x4 y = times(load_query4(a, lds.place[row], first + col + 4, factor), inverse);
        store16(lds.queries() + row * Shape::QUERY_STRIDE + col,
                {pack_half2(x.x, x.y), pack_half2(x.z, x.w), pack_half2(y.x, y.y), pack_half2(y.z, y.w)});
    }
}

// ---- keys and values ------------------------------------------------------------------------------------------------
// Rows of the tokens of a tile. Tokens that no query sees have the row of one that is seen: what lies in other rows may
// be anything.
template <class Shape> RF_INLINE void find_rows(const PrefillArgs& a, u32 tile, PrefillLds<Shape>& lds) {
    if (thread_id() >= Shape::KEYS) return;
    const PrefillTokens& tokens = lds.tokens;
    const u32 token = clamp_(tile * Shape::KEYS + thread_id(), tokens.begin, tokens.last);
    const u32* table = a.block_tables + static_cast<u64>(tokens.seq) * a.table_stride;
    lds.key_row[tile % 2][thread_id()] = row_of_token(table, token, a.block_size, a.kv_heads, tokens.kv_head);
}

// Rows of one plane of the cache, `width` of `stride` numbers of a row.
struct PlaneRows {
    const void* numbers;
    const half* scales;
    u32 stride;
    u32 width;
};

// Eight numbers of a row on their way.
template <class Kv> struct Held {
    typename Kv::Raw8 raw;
    half scale;

    RF_INLINE void fetch(const PlaneRows& from, u32 row, u32 col) {
        col = min_(col, from.width - 8);
        const u64 at = static_cast<u64>(row) * from.stride + col;
        raw = Kv::load8(static_cast<const typename Kv::Elem*>(from.numbers) + at);
        if (Kv::SCALED) scale = from.scales[static_cast<u64>(row) * (from.stride / 32) + col / 32];
    }
    RF_INLINE u32x4 halves() const { return Kv::halves(raw, Kv::SCALED ? to_f32(scale) : 1.0f); }
};

// A tile [key][column]. A power of two of lanes shares a row, so that a lane has the same columns of all its rows.
template <class Kv, class Shape, int WIDTH> struct StageRows {
    static constexpr u32 THREADS = Shape::THREADS, ACROSS = WIDTH <= 64 ? 8 : WIDTH <= 128 ? 16 : 32;
    static constexpr u32 COUNT = Shape::KEYS * ACROSS;
    static constexpr int PER = COUNT / THREADS, STRIDE = WIDTH + 8;
    static constexpr bool COPIES = IS_HALF<Kv> && !KEYS_DOWN;
    Held<Kv> held[COPIES || !Shape::AHEAD ? 1 : PER];

    RF_INLINE static u32 key(int i) { return i * (THREADS / ACROSS) + thread_id() / ACROSS; }
    RF_INLINE static u32 column() { return thread_id() % ACROSS * 8; }
    static_assert(COUNT % THREADS == 0, "all lanes have as many keys");
    // Lanes that are in no column of the tile load some other one, without a branch.
    RF_INLINE static bool stores() { return ACROSS * 8 == WIDTH || column() < WIDTH; }
    RF_INLINE static half* place(half* tile, int i) { return tile + key(i) * STRIDE + column(); }
    RF_INLINE static void copy(const PlaneRows& from, const u32* key_row, int i, half* tile) {
        const u64 at = static_cast<u64>(key_row[key(i)]) * from.stride + min_(column(), from.width - 8);
        async_copy16(place(tile, i), static_cast<const half*>(from.numbers) + at);
    }
    RF_INLINE void fetch(const PlaneRows& from, const u32* key_row, half* tile) {
        RF_UNROLL_TILES for (int i = 0; i < (Shape::AHEAD ? PER : 0); ++i) {
            if constexpr (COPIES) {
                if (stores()) copy(from, key_row, i, tile);
            } else {
                held[i].fetch(from, key_row[key(i)], column());
            }
        }
        async_commit();
    }
    RF_INLINE void finish(const PlaneRows& from, const u32* key_row, half* tile) {
        RF_UNROLL_TILES for (int i = 0; i < (COPIES ? 0 : PER); ++i) {
            Held<Kv>& numbers = held[Shape::AHEAD ? i : 0];
            if constexpr (!Shape::AHEAD) numbers.fetch(from, key_row[key(i)], column());
            if (stores()) store16(place(tile, i), numbers.halves());
            if constexpr (!Shape::AHEAD) order_memory();
        }
    }
};

// A tile [column][key]: a lane turns 4 keys by 8 columns. Column 8 g + i is row i * WIDTH / 8 + g of the tile:
// neighbouring lanes have neighbouring g, whose rows lie in different banks; column_of() leads back.
template <class Kv, class Shape, int WIDTH> struct StageColumns {
    static constexpr u32 THREADS = Shape::THREADS, GROUPS = WIDTH / 8, COUNT = Shape::KEYS / 4 * GROUPS;
    static constexpr int PER = (COUNT + THREADS - 1) / THREADS, STRIDE = Shape::KEYS + 8;
    Held<Kv> held[Shape::AHEAD ? PER : 1][4];

    // Lanes without a block of their own do what another does.
    RF_INLINE static u32 block(int i) { return min_(i * THREADS + thread_id(), COUNT - 1); }
    // 16 lanes have 8 groups of two neighbouring fours of keys where that comes out even: they fill all banks.
    static constexpr bool PAIRS = GROUPS % 8 == 0;
    RF_INLINE static u32 group(int i) {
        return PAIRS ? block(i) % 8 + block(i) / 16 % (GROUPS / 8) * 8 : block(i) % GROUPS;
    }
    RF_INLINE static u32 first_key(int i) {
        return PAIRS ? (block(i) / 8 % 2 + block(i) / (2 * GROUPS) * 2) * 4 : block(i) / GROUPS * 4;
    }
    RF_INLINE void fetch_block(const PlaneRows& from, const u32* key_row, int i, Held<Kv> (&keys)[4]) {
        RF_UNROLL_TILES for (int k = 0; k < 4; ++k) keys[k].fetch(from, key_row[first_key(i) + k], group(i) * 8);
    }
    RF_INLINE void fetch(const PlaneRows& from, const u32* key_row, half*) {
        RF_UNROLL_TILES for (int i = 0; i < (Shape::AHEAD ? PER : 0); ++i) {
            fetch_block(from, key_row, i, held[i]);
        }
    }
    RF_INLINE static void store_pair(half* tile, u32 a, u32 b, u32 c, u32 d) {
        store8(tile, {low_halves(a, b), low_halves(c, d)});
        store8(tile + GROUPS * STRIDE, {high_halves(a, b), high_halves(c, d)});
    }
    RF_INLINE void finish(const PlaneRows& from, const u32* key_row, half* tile) {
        RF_UNROLL_TILES for (int i = 0; i < PER; ++i) {
            Held<Kv> (&keys)[4] = held[Shape::AHEAD ? i : 0];
            if constexpr (!Shape::AHEAD) fetch_block(from, key_row, i, keys);
            u32x4 x[4];
            RF_UNROLL_TILES for (int k = 0; k < 4; ++k) x[k] = keys[k].halves();
            half* to = tile + group(i) * STRIDE + first_key(i);
            store_pair(to, x[0].x, x[1].x, x[2].x, x[3].x);
            store_pair(to + 2 * GROUPS * STRIDE, x[0].y, x[1].y, x[2].y, x[3].y);
            store_pair(to + 4 * GROUPS * STRIDE, x[0].z, x[1].z, x[2].z, x[3].z);
            store_pair(to + 6 * GROUPS * STRIDE, x[0].w, x[1].w, x[2].w, x[3].w);
        }
    }
};
template <int WIDTH> RF_INLINE constexpr u32 column_of(u32 tile_row) {
    return KEYS_DOWN ? tile_row % (WIDTH / 8) * 8 + tile_row / (WIDTH / 8) : tile_row;
}

template <bool DOWN, class Kv, class Shape> struct StageValuesOf {
    using Type = StageColumns<Kv, Shape, Shape::VALUE>;
};
template <class Kv, class Shape> struct StageValuesOf<false, Kv, Shape> {
    using Type = StageRows<Kv, Shape, Shape::VALUE>;
};
template <class Kv, class Shape> using StageValues = typename StageValuesOf<KEYS_DOWN, Kv, Shape>::Type;
template <class Kv, class Shape> using StageKeys = StageRows<Kv, Shape, Shape::DIM>;

}  // namespace rf
