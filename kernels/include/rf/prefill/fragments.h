// rf/prefill/fragments.h: which way round the products of attention are computed.
//
// Weights leave one product as accumulators and enter the next as inputs. On AMD the accumulators of K Qᵀ, key by
// query, are what the second product takes as B (of Vᵀ Pᵀ), up to an exchange between two lanes on gfx11: no LDS, and
// a lane has one query, so that a row's maximum and sum are within a lane and one or two others. On NVIDIA the
// accumulators of Q Kᵀ are what the second product takes as A (of P V). KEYS_DOWN says that scores are key by query.
//
// V lies in LDS as it is read: [column][key] for KEYS_DOWN, else [key][column].
#pragma once

#include "rf/mma.h"

// The host computes one way round with waves of 64 and the other with waves of 32, so that both are tested.
#if RF_NVIDIA || (defined(RF_HOST) && RF_WAVE_SIZE == 64)
#define RF_KEYS_DOWN 0
#else
#define RF_KEYS_DOWN 1
#endif

namespace rf {

constexpr bool KEYS_DOWN = RF_KEYS_DOWN != 0;

#if RF_KEYS_DOWN
using QueryFrag = FragB<half>;
using KeyFrag = FragA<half>;
using ValueFrag = FragA<half>;
using WeightFrag = FragB<half>;
RF_INLINE void load_query(QueryFrag& q, const half* lds, int stride) { load_b(q, lds, stride); }
RF_INLINE void load_key(KeyFrag& k, const half* lds, int stride) { load_a(k, lds, stride); }
RF_INLINE void load_value(ValueFrag& v, const half* lds, int stride) { load_a(v, lds, stride); }
RF_INLINE void mma_scores(FragC& s, const QueryFrag& q, const KeyFrag& k) { mma(s, k, q); }
RF_INLINE void mma_values(FragC& o, const WeightFrag& w, const ValueFrag& v) { mma(o, v, w); }
// Query of an accumulator of scores or results, and its key or column.
RF_INLINE int query_of(int i) { return FragC::col(i); }
RF_INLINE int key_of(int i) { return FragC::row(i); }
#else
using QueryFrag = FragA<half>;
using KeyFrag = FragB<half>;
using ValueFrag = FragB<half>;
using WeightFrag = FragA<half>;
RF_INLINE void load_query(QueryFrag& q, const half* lds, int stride) { load_a(q, lds, stride); }
RF_INLINE void load_key(KeyFrag& k, const half* lds, int stride) { load_b(k, lds, stride); }
RF_INLINE void mma_scores(FragC& s, const QueryFrag& q, const KeyFrag& k) { mma(s, q, k); }
RF_INLINE void mma_values(FragC& o, const WeightFrag& w, const ValueFrag& v) { mma(o, w, v); }
RF_INLINE int query_of(int i) { return FragC::row(i); }
RF_INLINE int key_of(int i) { return FragC::col(i); }
#endif

// ---- V that lies key by key -----------------------------------------------------------------------------------------
#if RF_NVIDIA
RF_INLINE void load_value(ValueFrag& v, const half* lds, int stride) {
    const int l = static_cast<int>(lane());
    const half* row = lds + l % 16 * stride + l / 16 * 8;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.r[0]), "=r"(v.r[1]), "=r"(v.r[2]), "=r"(v.r[3])
                 : "r"(lds_address(row))
                 : "memory");
}
#elif !RF_KEYS_DOWN
RF_INLINE void load_value(ValueFrag& v, const half* lds, int stride) {
    for (int j = 0; j < 2; ++j) {
        const half* column = lds + static_cast<int>(lane() % 8) + j * 8;
        for (int k = 0; k < 8; ++k) {
            v.r[j][k] = column[2 * k * stride].bits | static_cast<u32>(column[(2 * k + 1) * stride].bits) << 16;
        }
    }
}
#endif

// Without a matrix unit: ends a product before the next fragment is loaded, for registers have room for few.
RF_INLINE void finish(FragC& c) {
#if RF_AMD && !RF_HAS_MMA
    RF_UNROLL for (int i = 0; i < FragC::COUNT; ++i) asm volatile("" : "+v"(c.v[i]));
    order_memory();
#else
    (void)c;
#endif
}

// The low halves of two registers, and the high ones.
RF_INLINE u32 low_halves(u32 a, u32 b) {
#if RF_AMD
    return __builtin_amdgcn_perm(b, a, 0x05040100u);
#else
    return (a & 0xffffu) | b << 16;
#endif
}
RF_INLINE u32 high_halves(u32 a, u32 b) {
#if RF_AMD
    return __builtin_amdgcn_perm(b, a, 0x07060302u);
#else
    return a >> 16 | (b & 0xffff0000u);
#endif
}

// ---- queries of a lane ----------------------------------------------------------------------------------------------
// Among its accumulators of a tile a lane has LANE_QUERIES queries: accumulator i is of number slot_of(i).
#if RF_NVIDIA
constexpr int LANE_QUERIES = 2;
RF_INLINE constexpr int slot_of(int i) { return i / 2 % 2; }
RF_INLINE constexpr int first_of(int slot) { return slot * 2; }
#elif RF_HAS_MMA
constexpr int LANE_QUERIES = 1;
RF_INLINE constexpr int slot_of(int) { return 0; }
RF_INLINE constexpr int first_of(int) { return 0; }
#elif RF_KEYS_DOWN
constexpr int LANE_QUERIES = 2;
RF_INLINE constexpr int slot_of(int i) { return i % 2; }
RF_INLINE constexpr int first_of(int slot) { return slot; }
#else
constexpr int LANE_QUERIES = MMA_ROWS;
RF_INLINE constexpr int slot_of(int i) { return i / 2; }
RF_INLINE constexpr int first_of(int slot) { return slot * 2; }
#endif

// Folds over the lanes that have the same queries.
template <class Op> RF_INLINE float fold_keys(float v) {
#if !RF_KEYS_DOWN
    return group_fold<Op, FragC::ROW_LANES>(v);
#else
    if constexpr (FragC::ROW_LANES <= 8) v = Op::apply(v, shfl_xor_const<8>(v));
    v = Op::apply(v, shfl_xor_const<16>(v));
    if constexpr (WAVE > 32) v = Op::apply(v, shfl_xor_const<32>(v));
    return v;
#endif
}

// The larger number; a NaN is left out.
RF_INLINE float larger(float a, float b) {
#if RF_NVIDIA
    return fmaxf(a, b);
#else
    return __builtin_fmaxf(a, b);
#endif
}
struct Larger {
    RF_INLINE static float apply(float a, float b) { return larger(a, b); }
};

// ---- weights: accumulators of the first product as an input of the second -------------------------------------------
// A tile of weights as halves, two neighbouring accumulators in each.
struct Weights { u32 r[FragC::COUNT / 2]; };

RF_INLINE void pack_weights(Weights& w, const FragC& p) {
    RF_UNROLL_TILES for (int i = 0; i < FragC::COUNT / 2; ++i) {
#if RF_AMD
        using f16v2 = _Float16 __attribute__((ext_vector_type(2)));
        const f16v2 pair = {static_cast<_Float16>(p.v[2 * i]), static_cast<_Float16>(p.v[2 * i + 1])};
        w.r[i] = __builtin_bit_cast(u32, pair);
        // Else it is done only when it is needed, and scores in f32 take up registers until then.
        asm volatile("" : "+v"(w.r[i]));
#else
        w.r[i] = pack_half2(p.v[2 * i], p.v[2 * i + 1]);
#endif
    }
}

constexpr int WEIGHT_STRIDE = 24;
// Halves of LDS that a wave needs to make fragments of them.
constexpr int WEIGHT_HALVES = RF_HAS_MMA ? 0 : 16 * WEIGHT_STRIDE;

#if RF_HAS_MMA && RF_AMD && defined(__GFX11__)
// A lane has the even keys or the odd ones, its partner 16 lanes away the others; both want all.
RF_INLINE void make_weights(WeightFrag& w, const Weights& p, half*) {
    const bool odd = lane() / 16 != 0;
    const u32 low = odd ? 0x05040100u : 0x01000504u, high = odd ? 0x07060302u : 0x03020706u;
    RF_UNROLL for (int i = 0; i < 4; ++i) {
        const u32 mine = p.r[i], other = shfl_xor_const<16>(mine);
        // The second argument's bytes count as 0 to 3.
        const u32 pair[2] = {__builtin_amdgcn_perm(mine, other, low), __builtin_amdgcn_perm(mine, other, high)};
        __builtin_memcpy(w.v + 4 * i, pair, sizeof(pair));
    }
}
#elif RF_HAS_MMA
RF_INLINE void make_weights(WeightFrag& w, const Weights& p, half*) {
    static_assert(sizeof(WeightFrag) == sizeof(Weights), "the same lanes have the same numbers in the same order");
    w = *reinterpret_cast<const WeightFrag*>(&p);
}
#else
RF_INLINE void make_weights(WeightFrag& w, const Weights& p, half* lds) {
    wave_barrier();
    RF_UNROLL_TILES for (int i = 0; i < FragC::COUNT; ++i) {
        lds[query_of(i) * WEIGHT_STRIDE + key_of(i)] = {static_cast<u16>(p.r[i / 2] >> i % 2 * 16)};
    }
    wave_barrier();
    load_query(w, lds, WEIGHT_STRIDE);
}
#endif

}  // namespace rf
