// decode.hip   attention of few queries over a paged cache, in f32:
//   s_j = softcap(scale * q · k_j), a = softmax([s_j …, sink]), out = Σ_j a_j v_j        over the visible j (arXiv:1706.03762)
//
// A workgroup takes one split (rf/attention.h) of one key/value head for up to G query heads, so that K and V are read
// once. A query within one split is written at once; else parts go to scratch, and the workgroup that arrives last adds
// them (few splits), or `combine` does (many).
//
// in     q f32 [rows, heads * head_dim]; cache planes in the type RF_KV (rf/kv.h); rows u32 names the rows that attend
//        (null: all; NONE: nothing), of which this launch takes those from `first` on; query_context u32 [rows] is
//        position + 1 (0: padding, whose result is zeros); token_seq u32 [rows], context_len u32 [sequences],
//        block_tables u32 [sequences, table_stride], sinks f32 [heads] or null
// out    f32 [rows, heads * value_dim], and if asked for the same in q8 form (rf/forms.h; value_dim % 32 == 0)
// launch decode_g*: grid (splits, kv_heads * chunks, queries), block (256), dynamic LDS 4 * max(G * head_dim rounded up
//        to 8 E, waves * min(G, 4) * 128) bytes; combine: grid (heads, queries), block (256). wave32 and wave64
// needs  rows of K begin at multiples of 16 bytes, and 4 numbers of V at multiples of their size; head_dim of a multiple of E
//        numbers (decode_any, compiled with RF_ANY, takes all other shapes)
// cost   reads K and V of the visible tokens once from memory: memory-bound. Loads under way: 4 of 16 bytes a lane for K,
//        and as many more one step ahead; 8 of 4 numbers a lane for V
// phases query to LDS | scores | softmax | values | sum over waves | parts of other splits
#include "rf/attention.h"

#if !defined(RF_KV)
#define RF_KV KvF16
#endif

namespace rf {

constexpr u32 THREADS = 256;
constexpr u32 WAVES = THREADS / WAVE;
constexpr u32 KEY_LANES = 8;                              // lanes that share a key
constexpr u32 KEY_TEAMS = THREADS / KEY_LANES;
constexpr u32 TOKENS = SPLIT / KEY_TEAMS;                 // keys a lane has a part of
constexpr u32 PASS = 128;                                 // columns of V at a time

// ---- reading rows ---------------------------------------------------------------------------------------------------
// Rows that allow vector loads. A lane's part of a key is E numbers at columns (chunk * 8 + lane % 8) * E.
template <class Kv> struct Fast {
    static constexpr int E = Kv::E;
    static constexpr bool SCALED = Kv::SCALED;
    using Key = u32x4;
    using Value = typename Kv::Raw4;
    RF_INLINE static Key no_key() { return {0, 0, 0, 0}; }
    RF_INLINE static Key key(const void* plane, const half*, u64 row, u32 width, u32 col) {
        return load16(static_cast<const typename Kv::Elem*>(plane) + row * width + col);
    }
    template <int I> RF_INLINE static f32x4 expand(Key raw) { return Kv::template expand<I>(raw); }
    RF_INLINE static Value value(const void* plane, const half*, u64 row, u32 stride, u32 col, u32) {
        return Kv::load4(static_cast<const typename Kv::Elem*>(plane) + row * stride + col);
    }
    RF_INLINE static f32x4 expand_value(Value raw) { return Kv::expand4(raw); }
};

// Any other rows, number by number.
template <class Kv> struct Slow {
    static constexpr int E = 4;
    static constexpr bool SCALED = false;
    using Key = f32x4;
    using Value = f32x4;
    RF_INLINE static Key no_key() { return {0, 0, 0, 0}; }
    RF_INLINE static float one(const void* plane, const half* scales, u64 row, u32 stride, u32 col, u32 width) {
        if (col >= width) return 0.0f;
        const float x = Kv::one(static_cast<const typename Kv::Elem*>(plane)[row * stride + col]);
        return Kv::SCALED ? x * to_f32(scales[row * (stride / 32) + col / 32]) : x;
    }
    RF_INLINE static Value value(const void* plane, const half* scales, u64 row, u32 stride, u32 col, u32 width) {
        return {one(plane, scales, row, stride, col, width), one(plane, scales, row, stride, col + 1, width),
                one(plane, scales, row, stride, col + 2, width), one(plane, scales, row, stride, col + 3, width)};
    }
    RF_INLINE static Key key(const void* plane, const half* scales, u64 row, u32 width, u32 col) {
        return value(plane, scales, row, width, col, width);
    }
    template <int I> RF_INLINE static f32x4 expand(Key raw) { return raw; }
    RF_INLINE static f32x4 expand_value(Value raw) { return raw; }
};

// ---- queries in LDS ---------------------------------------------------------------------------------------------------
// [G][chunks][E / 4][8 lanes][4]: what 8 lanes read together lies together.
template <class Rows> RF_INLINE u32 chunks_of(u32 head_dim) { return div_up(head_dim, KEY_LANES * Rows::E); }

template <class Rows, int G> RF_INLINE void stage_queries(const DecodeArgs& a, const float* q, u32 live_heads, float* lds) {
    const u32 padded = chunks_of<Rows>(a.head_dim) * KEY_LANES * Rows::E;
    for (u32 i = thread_id(); i < G * padded; i += THREADS) {
        const u32 g = i / padded, d = i % padded;
        const u32 chunk = d / (KEY_LANES * Rows::E), l = d / Rows::E % KEY_LANES, e = d % Rows::E;
        const u32 at = (chunk * (Rows::E / 4) + e / 4) * (KEY_LANES * 4) + l * 4 + e % 4;
        lds[g * padded + at] = g < live_heads && d < a.head_dim ? q[g * a.head_dim + d] : 0.0f;
    }
}

// Keeps what follows from being begun early: reading all of a query ahead takes registers, and gains nothing.
RF_INLINE void settle() { asm volatile("" ::: "memory"); }

// ---- scores -----------------------------------------------------------------------------------------------------------
RF_INLINE float dot_4(f32x4 a, f32x4 b, float c) {
    return fma_(a.w, b.w, fma_(a.z, b.z, fma_(a.y, b.y, fma_(a.x, b.x, c))));
}

// Sums N values over L lanes (powers of two), and leaves to each lane its share of the sums: N / L, those from
// lane * N / L on; one of N < L is then left to several lanes.
template <int N, int L> RF_INLINE void scatter_sum(float* v) {
    if constexpr (L > 1) {
        constexpr int MASK = L / 2;
        if constexpr (N > 1) {
            const bool upper = (lane() & MASK) != 0;
            RF_UNROLL
            for (int i = 0; i < N / 2; ++i) {
                const float mine = upper ? v[i + N / 2] : v[i], other = upper ? v[i] : v[i + N / 2];
                v[i] = mine + shfl_xor_const<MASK>(other);
            }
            scatter_sum<N / 2, MASK>(v);
        } else {
            v[0] += shfl_xor_const<MASK>(v[0]);
            scatter_sum<1, MASK>(v);
        }
    }
}

// The products of this lane's part of TOKENS keys with G queries: acc[t * G + g].
template <class Rows, int G, int I>
RF_INLINE void add_products(const typename Rows::Key (&key)[TOKENS], const float (&scale)[TOKENS], const float* q,
                            u32 stride, float* acc) {
    if constexpr (I < Rows::E / 4) {
        f32x4 x[TOKENS];
        RF_UNROLL
        for (u32 t = 0; t < TOKENS; ++t) {
            x[t] = Rows::template expand<I>(key[t]);
            if (Rows::SCALED) x[t] = times(x[t], scale[t]);
        }
        RF_UNROLL
        for (int g = 0; g < G; ++g) {
            const f32x4 w = load_f32x4(q + g * stride + I * (KEY_LANES * 4));
            RF_UNROLL
            for (u32 t = 0; t < TOKENS; ++t) acc[t * G + g] = dot_4(x[t], w, acc[t * G + g]);
        }
        settle();
        add_products<Rows, G, I + 1>(key, scale, q, stride, acc);
    }
}

template <class Rows> RF_INLINE void load_keys(const DecodeArgs& a, const u32* rows, u32 col, typename Rows::Key (&key)[TOKENS]) {
    RF_UNROLL
    for (u32 t = 0; t < TOKENS; ++t) {
        key[t] = col < a.head_dim ? Rows::key(a.k, a.k_scale, rows[t * KEY_TEAMS], a.head_dim, col) : Rows::no_key();
    }
}

// Scores of the split, [token][G] in LDS; -inf for what is not visible.
template <class Rows, int G>
RF_INLINE void score_split(const DecodeArgs& a, const float* q, const u32* token_rows, u32 low, u32 high, float unit, float* scores) {
    const u32 l = thread_id() % KEY_LANES, team = thread_id() / KEY_LANES;
    const u32 chunks = chunks_of<Rows>(a.head_dim);
    const u32* rows = token_rows + team;
    float acc[TOKENS * G];
    RF_UNROLL
    for (u32 i = 0; i < TOKENS * G; ++i) acc[i] = 0.0f;

    // A head of 8-bit numbers is mostly one chunk, so that there is nothing to load ahead.
    constexpr bool AHEAD = Rows::E < 16;
    typename Rows::Key next[TOKENS];
    if (AHEAD) load_keys<Rows>(a, rows, l * Rows::E, next);
    for (u32 chunk = 0; chunk < chunks; ++chunk) {
        typename Rows::Key key[TOKENS];
        float scale[TOKENS];
        const u32 col = (chunk * KEY_LANES + l) * Rows::E;
        if (!AHEAD) load_keys<Rows>(a, rows, col, next);
        RF_UNROLL
        for (u32 t = 0; t < TOKENS; ++t) {
            key[t] = next[t];
            scale[t] = 0.0f;
            if (Rows::SCALED && col < a.head_dim) {
                scale[t] = to_f32(a.k_scale[static_cast<u64>(rows[t * KEY_TEAMS]) * (a.head_dim / 32) + col / 32]);
            }
        }
        if (AHEAD && chunk + 1 < chunks) load_keys<Rows>(a, rows, col + KEY_LANES * Rows::E, next);
        const u32 chunk_floats = KEY_LANES * Rows::E;
        add_products<Rows, G, 0>(key, scale, q + chunk * chunk_floats + l * 4, chunks * chunk_floats, acc);
    }

    scatter_sum<TOKENS * G, KEY_LANES>(acc);
    constexpr int OWN = TOKENS * G > KEY_LANES ? TOKENS * G / KEY_LANES : 1;
    const u32 first = TOKENS * G >= KEY_LANES ? l * OWN : l * (TOKENS * G) / KEY_LANES;
    RF_UNROLL
    for (u32 i = 0; i < OWN; ++i) {
        const u32 t = (first + i) / G, g = (first + i) % G;
        const u32 token = team + t * KEY_TEAMS;
        float s = acc[i] * unit;
        if (a.softcap != 0.0f) s = a.softcap * tanh_(s / a.softcap);
        scores[token * G + g] = token >= low && token < high ? s : neg_inf();
    }
}

// Turns scores into exp(s - m), and leaves m and l of each head.
template <int G> RF_INLINE void softmax_split(float* scores, f32x2* ml) {
    for (u32 g = wave_in_block(); g < G; g += WAVES) {
        float s[SPLIT / WAVE];
        float m = neg_inf(), l = 0.0f;
        RF_UNROLL
        for (u32 i = 0; i < SPLIT / WAVE; ++i) {
            s[i] = scores[(i * WAVE + lane()) * G + g];
            m = max_(m, s[i]);
        }
        m = wave_max(m);
        RF_UNROLL
        for (u32 i = 0; i < SPLIT / WAVE; ++i) {
            const float p = exp_diff(s[i], m);
            l += p;
            scores[(i * WAVE + lane()) * G + g] = p;
        }
        l = wave_sum(l);
        if (lane() == 0) ml[g] = {m, l};
    }
}

// ---- values -----------------------------------------------------------------------------------------------------------
// G neighbours in LDS, in as few loads as there can be.
template <int G> RF_INLINE void load_weights(const float* p, float (&w)[G]) {
    if constexpr (G % 4 == 0) {
        RF_UNROLL
        for (int g = 0; g < G; g += 4) {
            const f32x4 v = load_f32x4(p + g);
            w[g] = v.x, w[g + 1] = v.y, w[g + 2] = v.z, w[g + 3] = v.w;
        }
    } else {
        RF_UNROLL
        for (int g = 0; g < G; ++g) w[g] = p[g];
    }
}

// acc[g] += Σ p[token][g] v[token], over every teams-th token of the split from `team` on, four columns from `col`.
template <class Rows, int G>
RF_INLINE void add_values(const DecodeArgs& a, const float* p, const u32* token_rows, u32 team, u32 teams, u32 high, u32 col, f32x4 (&acc)[G]) {
    constexpr u32 AHEAD = 8;
    const bool live = col < a.value_dim;
    for (u32 first = 0; first < high; first += teams * AHEAD) {
        typename Rows::Value raw[AHEAD];
        float scale[AHEAD];
        RF_UNROLL
        for (u32 i = 0; i < AHEAD; ++i) {
            const u32 token = min_(first + i * teams + team, SPLIT - 1);
            if (live) raw[i] = Rows::value(a.v, a.v_scale, token_rows[token], a.value_stride, col, a.value_dim);
            if (Rows::SCALED && live) {
                scale[i] = to_f32(a.v_scale[static_cast<u64>(token_rows[token]) * (a.value_stride / 32) + col / 32]);
            }
        }
        if (!live) continue;
        RF_UNROLL
        for (u32 i = 0; i < AHEAD; ++i) {
            const u32 token = first + i * teams + team;
            if (token >= SPLIT) break;
            f32x4 x = Rows::expand_value(raw[i]);
            if (Rows::SCALED) x = times(x, scale[i]);
            float weights[G];
            load_weights<G>(p + token * G, weights);
            RF_UNROLL
            for (int g = 0; g < G; ++g) {
                const float w = weights[g];
                acc[g].x = fma_(w, x.x, acc[g].x);
                acc[g].y = fma_(w, x.y, acc[g].y);
                acc[g].z = fma_(w, x.z, acc[g].z);
                acc[g].w = fma_(w, x.w, acc[g].w);
            }
            if (i % 2 == 1) settle();
        }
    }
}

template <int G> RF_INLINE void fold_teams(f32x4 (&acc)[G], u32 lanes) {
    for (u32 mask = lanes; mask < WAVE; mask *= 2) {
        RF_UNROLL
        for (int g = 0; g < G; ++g) {
            acc[g].x += shfl_xor(acc[g].x, mask);
            acc[g].y += shfl_xor(acc[g].y, mask);
            acc[g].z += shfl_xor(acc[g].z, mask);
            acc[g].w += shfl_xor(acc[g].w, mask);
        }
    }
}

// Lanes that share a row of `columns` columns, 4 each: a power of two from 8 to 32.
RF_INLINE u32 value_lanes(u32 columns) { return columns > 64 ? 32 : columns > 32 ? 16 : 8; }

// ---- the splits of one query --------------------------------------------------------------------------------------------
RF_INLINE float largest_part(const DecodeArgs& a, u64 parts, u32 splits) {
    float m = lane() < splits ? a.partial_ml[parts + lane()].x : neg_inf();
    return wave_max(m);
}

// Adds the parts of at most COMBINE_CHUNK splits and writes the result. A wave takes a head.
RF_INLINE void combine_here(const DecodeArgs& a, const Visible& s, u32 query, u32 first_head, u32 live_heads) {
    for (u32 g = wave_in_block(); g < live_heads; g += WAVES) {
        const u64 parts = part_index(a, query, first_head + g, 0);
        const float most = largest_part(a, parts, s.splits);
        for (u32 start = 0; start < a.value_dim; start += WAVE * 4) {
            const u32 col = start + lane() * 4;
            f32x4 acc = {0, 0, 0, 0};
            float l = 0.0f;
            add_chunk(a, parts, 0, s.splits, most, col, acc, l);
            store_result(a, s.row, first_head + g, col, col < a.value_dim, finished(a, first_head + g, acc, most, l));
        }
    }
}

// Whether all other splits of the query have arrived before this one; the counter is left at zero.
RF_INLINE bool last_to_arrive(u32* counter, u32 splits, u32* lds) {
    device_fence();
    barrier();
    if (thread_id() == 0) *lds = atomic_add(counter, 1u);
    barrier();
    if (*lds + 1 != splits) return false;
    if (thread_id() == 0) *counter = 0;
    device_fence();
    return true;
}

RF_INLINE void write_zeros(const DecodeArgs& a, u32 row, u32 first_head, u32 live_heads) {
    for (u32 g = wave_in_block(); g < live_heads; g += WAVES) {
        for (u32 start = 0; start < a.value_dim; start += WAVE * 4) {
            const u32 col = start + lane() * 4;
            store_result(a, row, first_head + g, col, col < a.value_dim, {0, 0, 0, 0});
        }
    }
}

template <class Rows, int G> RF_INLINE void decode(const DecodeArgs& a) {
    RF_DYNAMIC_LDS(float, shared);  // queries, then sums of waves
    RF_LDS f32x4 score_vectors[SPLIT * G / 4];
    RF_LDS u32 token_rows[SPLIT];
    RF_LDS f32x2 ml[G];
    RF_LDS u32 ticket;
    float* scores = &score_vectors[0].x;

    const u32 query = block_z();
    const u32 group = a.heads / a.kv_heads;
    const u32 kv_head = block_y() / a.chunks, chunk = block_y() % a.chunks;
    const u32 first_head = kv_head * group + chunk * G;
    const u32 live_heads = min_(static_cast<u32>(G), group - chunk * G);
    const Visible s = visible_to(a, query);
    if (s.row == NONE) return;
    if (s.padding) {
        if (block_x() == 0) write_zeros(a, s.row, first_head, live_heads);
        return;
    }
    if (block_x() >= s.splits) return;

    // query and rows of tokens to LDS; hidden tokens have the row of a visible one, so that every row can be read
    const u32 start = (s.first_split + block_x()) * SPLIT;
    const u32 low = max_(s.begin, start) - start, high = min_(s.end, start + SPLIT) - start;
    const u32* table = a.block_tables + static_cast<u64>(s.seq) * a.table_stride;
    for (u32 t = thread_id(); t < SPLIT; t += THREADS) {
        token_rows[t] = row_of_token(table, start + clamp_(t, low, high - 1), a.block_size, a.kv_heads, kv_head);
    }
    stage_queries<Rows, G>(a, a.q + (static_cast<u64>(s.row) * a.heads + first_head) * a.head_dim, live_heads, shared);
    barrier();

    // scores, softmax
    score_split<Rows, G>(a, shared, token_rows, low, high, a.scale * RF_KV::UNIT, scores);
    barrier();
    softmax_split<G>(scores, ml);
    barrier();

    // values, 128 columns at a time, four heads at a time
    constexpr u32 TOGETHER = G < 4 ? G : 4;
    for (u32 pass = 0; pass < a.value_dim; pass += PASS) {
        const u32 lanes = value_lanes(min_(a.value_dim - pass, PASS));
        f32x4 acc[G];
        RF_UNROLL
        for (int g = 0; g < G; ++g) acc[g] = {0, 0, 0, 0};
        add_values<Rows, G>(a, scores, token_rows, thread_id() / lanes, THREADS / lanes, high, pass + thread_id() % lanes * 4, acc);
        fold_teams<G>(acc, lanes);

        RF_UNROLL
        for (u32 g0 = 0; g0 < G; g0 += TOGETHER) {
            if (lane() < lanes) {
                RF_UNROLL
                for (u32 g = 0; g < TOGETHER; ++g) {
                    store_f32x4(shared + (wave_in_block() * TOGETHER + g) * PASS + lane() * 4, acc[g0 + g]);
                }
            }
            barrier();
            const u32 g = thread_id() / lanes, head = first_head + g0 + g, col = pass + thread_id() % lanes * 4;
            const bool live = g < TOGETHER && g0 + g < live_heads && col < a.value_dim;
            f32x4 sum = {0, 0, 0, 0};
            if (live) {
                for (u32 w = 0; w < WAVES; ++w) {
                    const f32x4 part = load_f32x4(shared + (w * TOGETHER + g) * PASS + col - pass);
                    sum = {sum.x + part.x, sum.y + part.y, sum.z + part.z, sum.w + part.w};
                }
                sum = times(sum, RF_KV::UNIT);
            }
            if (s.splits == 1) {
                const f32x2 state = ml[live ? g0 + g : 0];
                store_result(a, s.row, head, col, live, finished(a, live ? head : first_head, sum, state.x, state.y));
            } else if (live) {
                store_cols(a.partial + part_index(a, query, head, block_x()) * a.value_dim, col, a.value_dim, sum);
            }
            barrier();
        }
    }

    // the parts of other splits
    if (s.splits == 1) return;
    if (thread_id() < live_heads) a.partial_ml[part_index(a, query, first_head + thread_id(), block_x())] = ml[thread_id()];
    if (a.arrived == nullptr) return;
    if (last_to_arrive(a.arrived + static_cast<u64>(query) * a.kv_heads * a.chunks + block_y(), s.splits, &ticket)) {
        combine_here(a, s, query, first_head, live_heads);
    }
}

#if defined(RF_ANY)
RF_KERNEL(256) void decode_any(DecodeArgs a) { decode<Slow<RF_KV>, 1>(a); }
RF_EXPORT(decode_any)
#else
RF_KERNEL_RESIDENT(256, 2) void decode_g1(DecodeArgs a) { decode<Fast<RF_KV>, 1>(a); }
RF_KERNEL_RESIDENT(256, 2) void decode_g2(DecodeArgs a) { decode<Fast<RF_KV>, 2>(a); }
RF_KERNEL_RESIDENT(256, 2) void decode_g4(DecodeArgs a) { decode<Fast<RF_KV>, 4>(a); }
RF_KERNEL_RESIDENT(256, 2) void decode_g8(DecodeArgs a) { decode<Fast<RF_KV>, 8>(a); }
RF_EXPORT(decode_g1)
RF_EXPORT(decode_g2)
RF_EXPORT(decode_g4)
RF_EXPORT(decode_g8)

// Adds the parts of any number of splits of one query and head: waves take chunks in turn, then the first adds the waves.
RF_KERNEL(256) void combine(DecodeArgs a) {
    RF_LDS float scratch[64];
    RF_LDS float sums[WAVES * WAVE * 4];
    const u32 head = block_x(), query = block_y();
    const Visible s = visible_to(a, query);
    if (s.row == NONE || s.padding || s.splits <= 1) return;
    const u64 parts = part_index(a, query, head, 0);
    float most = neg_inf();
    for (u32 i = thread_id(); i < s.splits; i += THREADS) most = max_(most, a.partial_ml[parts + i].x);
    most = block_max(most, scratch);

    for (u32 start = 0; start < a.value_dim; start += WAVE * 4) {
        const u32 col = start + lane() * 4;
        f32x4 acc = {0, 0, 0, 0};
        float l = 0.0f;
        for (u32 first = wave_in_block() * COMBINE_CHUNK; first < s.splits; first += WAVES * COMBINE_CHUNK) {
            add_chunk(a, parts, first, s.splits, most, col, acc, l);
        }
        store_f32x4(sums + thread_id() * 4, acc);
        if (lane() == 0) scratch[wave_in_block()] = l;
        barrier();
        if (wave_in_block() == 0) {
            for (u32 w = 1; w < WAVES; ++w) {
                const f32x4 part = load_f32x4(sums + (w * WAVE + lane()) * 4);
                acc = {acc.x + part.x, acc.y + part.y, acc.z + part.z, acc.w + part.w};
                l += scratch[w];
            }
            store_result(a, s.row, head, col, col < a.value_dim, finished(a, head, acc, most, l));
        }
        barrier();
    }
}
RF_EXPORT(combine)
#endif

}  // namespace rf
