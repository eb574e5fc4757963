// rope_write.hip   what a layer does with a step's queries, keys and values before it attends:
//   q: norm, rotation → q_out            k: norm, rotation → cache            v: → cache
//
// norm       y = x / sqrt(mean(x²) + eps) * weight over each head; none where the weight is null
// rotation   (y_a, y_b) = magnitude * (x_a cos - x_b sin, x_a sin + x_b cos), angle = position * frequency of the pair;
//            pairs are (2i, 2i+1) or (i, i + pairs); columns beyond 2 * pairs stay (arXiv:2104.09864)
//
// in     q f32 [tokens, q_stride], k, v likewise (null: there is none); positions, slots u32 [tokens]
// out    q_out f32 [tokens, q_out_stride], may be q; cache rows of K and V at the tokens' slots, in the type RF_KV
//        (rf/kv.h); slot NONE writes nothing to the cache
// launch grid (tokens, blocks of q heads + of k heads + of v heads, 8 heads each), block (256); dynamic LDS
//        4 * (2 * most pairs + 8 * (widest head + 4)) bytes; wave32 and wave64
// needs  pairs * 2 <= head_dim; KvQ8: widths of heads are multiples of 32
// cost   reads q, k, v once, writes q and the cache once: memory-bound; sines once for 8 heads
#include "rf/kv.h"
#include "rf/rotary.h"

#if !defined(RF_KV)
#define RF_KV KvF16
#endif

namespace rf {

constexpr u32 HEADS_A_BLOCK = 8;

struct RopeSide {
    const float* frequencies;  // [pairs], or null: no rotation
    const float* norm;         // [head_dim], or null: no norm
    u32 pairs;
    u32 halves;  // 1: pairs are (i, i + pairs), 0: (2i, 2i + 1)
    float magnitude;
    float eps;
};

struct RopeWriteArgs {
    const float* q;
    float* q_out;
    const float* k;
    const float* v;
    void* k_cache;
    void* v_cache;
    half* k_scale;
    half* v_scale;
    const u32* positions;
    const u32* slots;
    RopeSide q_side;
    RopeSide k_side;
    u32 q_heads;  // 0: no queries here
    u32 kv_heads;
    u32 k_blocks;  // workgroups that have keys: 0 where k is null
    u32 block_size;
    u32 head_dim;
    u32 value_dim;
    u32 q_stride, q_out_stride, k_stride, v_stride;
};

// The norm of a row in LDS, in place. All lanes of the wave call.
RF_INLINE void norm_row(float* row, u32 width, const RopeSide& side) {
    float squares = 0.0f;
    for (u32 i = lane(); i < width; i += WAVE) squares = fma_(row[i], row[i], squares);
    const float factor = rsqrt_(wave_sum(squares) / static_cast<float>(width) + side.eps);
    for (u32 i = lane(); i < width; i += WAVE) row[i] = row[i] * factor * side.norm[i];
    wave_barrier();
}

// Column `d` of the rotated row.
RF_INLINE float rotated(const float* row, u32 d, const RopeSide& side, const f32x2* table) {
    const u32 pairs = side.pairs;
    if (d >= 2 * pairs) return row[d];
    const bool second = side.halves ? d >= pairs : (d & 1u) != 0;
    const u32 pair = side.halves ? (second ? d - pairs : d) : d / 2;
    const u32 other = side.halves ? (second ? d - pairs : d + pairs) : d ^ 1u;
    const f32x2 t = table[pair];
    return second ? fma_(row[other], t.y, row[d] * t.x) : fma_(-row[other], t.y, row[d] * t.x);
}

// Four columns of a row, from col on.
RF_INLINE f32x4 rotated4(const float* row, u32 col, const RopeSide& side, const f32x2* table) {
    return {rotated(row, col, side, table), rotated(row, col + 1, side, table), rotated(row, col + 2, side, table),
            rotated(row, col + 3, side, table)};
}

RF_INLINE void write_floats(float* out, u32 col, u32 width, f32x4 v) {
    if (width % 4 == 0 && (reinterpret_cast<u64>(out) & 15u) == 0) {
        if (col < width) store_f32x4(out + col, v);
        return;
    }
    if (col < width) out[col] = v.x;
    if (col + 1 < width) out[col + 1] = v.y;
    if (col + 2 < width) out[col + 2] = v.z;
    if (col + 3 < width) out[col + 3] = v.w;
}

template <class Kv> struct CacheRow {
    typename Kv::Elem* to;
    RF_INLINE CacheRow(void* plane, half*, u64 row, u32 width) : to(static_cast<typename Kv::Elem*>(plane) + row * width) {}
    RF_INLINE void write(u32 col, u32 width, f32x4 v) {
        if (width % 4 == 0) {
            if (col < width) Kv::store4(to + col, v);
            return;
        }
        if (col < width) to[col] = Kv::make(v.x);
        if (col + 1 < width) to[col + 1] = Kv::make(v.y);
        if (col + 2 < width) to[col + 2] = Kv::make(v.z);
        if (col + 3 < width) to[col + 3] = Kv::make(v.w);
    }
};

// 8 neighbouring lanes have the 32 columns of a scale. A NaN makes the scale NaN, so that it shows.
template <> struct CacheRow<KvQ8> {
    i8* to;
    half* scales;
    RF_INLINE CacheRow(void* plane, half* scale_plane, u64 row, u32 width)
        : to(static_cast<i8*>(plane) + row * width), scales(scale_plane + row * (width / 32)) {}
    RF_INLINE static u32 code(float x, float inverse) {
        const float scaled = min_(127.0f, max_(-127.0f, x * inverse));
        return static_cast<u32>(static_cast<i32>(rint_(scaled))) & 0xffu;
    }
    RF_INLINE static u32 top_bits(f32x4 v) {
        const u32 a = max_(f32_bits(v.x) & 0x7fffffffu, f32_bits(v.y) & 0x7fffffffu);
        return max_(a, max_(f32_bits(v.z) & 0x7fffffffu, f32_bits(v.w) & 0x7fffffffu));
    }
    RF_INLINE void write(u32 col, u32 width, f32x4 v) {
        const u32 top = group_max<8>(col < width ? top_bits(v) : 0u);
        if (col >= width) return;
        const bool nan = top > 0x7f800000u;
        const float scale = min_(bits_f32(top), HALF_MAX * 127.0f) / 127.0f;
        const float inverse = nan || scale < 1e-30f ? 0.0f : 1.0f / scale;
        *reinterpret_cast<u32*>(to + col) = nan ? 0x01010101u
                                                : code(v.x, inverse) | code(v.y, inverse) << 8 |
                                                      code(v.z, inverse) << 16 | code(v.w, inverse) << 24;
        if (col % 32 == 0) scales[col / 32] = nan ? half{0x7e00} : to_half(scale);
    }
};

// What one workgroup works on: up to 8 heads of q, k or v of a token.
struct Part {
    const float* from;
    RopeSide side;
    u32 first_head, heads, width;
    u32 kind;  // 0 q, 1 k, 2 v
};

RF_INLINE Part part_of(const RopeWriteArgs& a, u64 token, u32 block) {
    const u32 q_blocks = div_up(a.q_heads, HEADS_A_BLOCK);
    const u32 kind = block < q_blocks ? 0 : block < q_blocks + a.k_blocks ? 1 : 2;
    Part p;
    p.from = kind == 0 ? a.q + token * a.q_stride : kind == 1 ? a.k + token * a.k_stride : a.v + token * a.v_stride;
    p.side = kind == 0 ? a.q_side : a.k_side;
    if (kind == 2) p.side.frequencies = p.side.norm = nullptr;
    p.first_head = (block - (kind == 0 ? 0 : kind == 1 ? q_blocks : q_blocks + a.k_blocks)) * HEADS_A_BLOCK;
    p.heads = kind == 0 ? a.q_heads : a.kv_heads;
    p.width = kind == 2 ? a.value_dim : a.head_dim;
    p.kind = kind;
    return p;
}

RF_KERNEL(256) void rope_write(RopeWriteArgs a) {
    RF_DYNAMIC_LDS(float, lds);
    const u32 token = block_x();
    const Part part = part_of(a, token, block_y());
    const u32 slot = a.slots[token];
    if (part.kind != 0 && slot == NONE) return;

    // sines and cosines of the pairs, once for the heads of this workgroup
    f32x2* table = reinterpret_cast<f32x2*>(lds);
    const u32 most_pairs = max_(a.q_side.pairs, a.k_side.pairs);
    const bool rotates = part.side.frequencies != nullptr;
    if (rotates) {
        for (u32 i = thread_id(); i < part.side.pairs; i += block_threads()) {
            const Rotation r = rotation(a.positions[token], part.side.frequencies[i]);
            table[i] = {r.cos * part.side.magnitude, r.sin * part.side.magnitude};
        }
        barrier();
    }

    // a wave takes a head at a time
    const u32 widest = max_(a.head_dim, a.value_dim);
    float* row = lds + 2 * most_pairs + wave_in_block() * (widest + 4);
    const u32 last = min_(part.first_head + HEADS_A_BLOCK, part.heads);
    for (u32 head = part.first_head + wave_in_block(); head < last; head += block_threads() / WAVE) {
        const float* from = part.from + head * part.width;
        for (u32 i = lane(); i < part.width; i += WAVE) row[i] = from[i];
        wave_barrier();
        if (part.side.norm) norm_row(row, part.width, part.side);
        for (u32 start = 0; start < part.width; start += 4 * WAVE) {
            const u32 col = start + 4 * lane();
            f32x4 v = {0, 0, 0, 0};
            if (col < part.width) {
                v = rotates ? rotated4(row, col, part.side, table) : f32x4{row[col], row[col + 1], row[col + 2], row[col + 3]};
            }
            if (part.kind == 0) {
                write_floats(a.q_out + static_cast<u64>(token) * a.q_out_stride + head * part.width, col, part.width, v);
            } else {
                const bool key = part.kind == 1;
                const u64 at = row_of_slot(slot, a.block_size, a.kv_heads, head);
                CacheRow<RF_KV> to(key ? a.k_cache : a.v_cache, key ? a.k_scale : a.v_scale, at, part.width);
                to.write(col, part.width, v);
            }
        }
        wave_barrier();
    }
}
RF_EXPORT(rope_write)

}  // namespace rf
