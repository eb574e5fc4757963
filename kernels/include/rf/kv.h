// rf/kv.h: the types of cached keys and values, and where a token's row lies.
//
//   K [num_blocks][kv_heads][block_size][head_dim], V the same with value_dim, in elements of the type.
//
// type   element                                                    beside it
// KvF32  4 bytes
// KvF16  binary16; finite numbers saturate at ±65504
// KvBF16 bfloat16; finite numbers saturate at its largest
// KvQ8   signed byte q, 32 neighbours of a row share a scale: x = d * q   d: half [num_blocks][kv_heads][block_size][width / 32]
// KvF8   OCP E4M3, saturates at ±448; a NaN is stored as code 0x7f and read as 480
//
// Reading is split in two, so that several loads are under way before the first is expanded: `load*` returns raw bits,
// `expand*` makes floats of them. Expanded numbers are to be multiplied by UNIT, and by the row's scale where SCALED.
#pragma once

#include "rf/platform.h"

namespace rf {

constexpr u32 NONE = 0xffffffffu;

// ---- four numbers ---------------------------------------------------------------------------------------------------
RF_INLINE f32x4 halves4(u32x2 raw) {
    f32x4 v;
    unpack_half2(raw.x, v.x, v.y);
    unpack_half2(raw.y, v.z, v.w);
    return v;
}
RF_INLINE f32x4 bhalves4(u32x2 raw) {
    return {bits_f32(raw.x << 16), bits_f32(raw.x & 0xffff0000u), bits_f32(raw.y << 16), bits_f32(raw.y & 0xffff0000u)};
}
RF_INLINE f32x4 bytes4(u32 raw) {
    return {static_cast<float>(static_cast<i8>(raw)), static_cast<float>(static_cast<i8>(raw >> 8)),
            static_cast<float>(static_cast<i8>(raw >> 16)), static_cast<float>(static_cast<i32>(raw) >> 24)};
}
// Halves that are the E4M3 numbers divided by 256, exactly: the same bits one place further, under another bias.
RF_INLINE u32x2 e4m3_halves(u32 raw) {
    const u32 low = (raw & 0xffu) | (raw & 0xff00u) << 8;
    const u32 high = (raw >> 16 & 0xffu) | (raw >> 8 & 0xff0000u);
    return {(low & 0x00800080u) << 8 | (low & 0x007f007fu) << 7, (high & 0x00800080u) << 8 | (high & 0x007f007fu) << 7};
}
RF_INLINE f32x4 floats4(u32x4 raw) { return {bits_f32(raw.x), bits_f32(raw.y), bits_f32(raw.z), bits_f32(raw.w)}; }
RF_INLINE f32x4 times(f32x4 v, float s) { return {v.x * s, v.y * s, v.z * s, v.w * s}; }

// Finite numbers stay within ±bound; NaN stays NaN.
RF_INLINE float saturate(float x, float bound) { return x > bound ? bound : x < -bound ? -bound : x; }
constexpr float HALF_MAX = 65504.0f;
constexpr float BHALF_MAX = 3.3895314e38f;
RF_INLINE u32 saturated_half2(float a, float b) { return pack_half2(saturate(a, HALF_MAX), saturate(b, HALF_MAX)); }

// ---- types ----------------------------------------------------------------------------------------------------------
// E      numbers in a load of 16 bytes            Raw4  the bits of 4 numbers          Raw8  the bits of 8
// expand<I>(raw)  numbers 4 I … of such a load
struct KvF32 {
    static constexpr int E = 4;
    static constexpr bool SCALED = false;
    static constexpr float UNIT = 1.0f;
    using Elem = float;
    using Raw4 = u32x4;
    struct Raw8 { u32x4 a, b; };
    template <int I> RF_INLINE static f32x4 expand(u32x4 raw) { return floats4(raw); }
    RF_INLINE static f32x4 expand4(Raw4 raw) { return floats4(raw); }
    RF_INLINE static Raw4 load4(const Elem* p) { return load16(p); }
    RF_INLINE static Raw8 load8(const Elem* p) { return {load16(p), load16(p + 4)}; }
    RF_INLINE static u32x4 halves(Raw8 raw, float) {
        const f32x4 a = floats4(raw.a), b = floats4(raw.b);
        return {saturated_half2(a.x, a.y), saturated_half2(a.z, a.w), saturated_half2(b.x, b.y), saturated_half2(b.z, b.w)};
    }
    RF_INLINE static float one(Elem e) { return e; }
    RF_INLINE static Elem make(float x) { return x; }
    RF_INLINE static void store4(Elem* p, f32x4 v) { store_f32x4(p, v); }
};

struct KvF16 {
    static constexpr int E = 8;
    static constexpr bool SCALED = false;
    static constexpr float UNIT = 1.0f;
    using Elem = half;
    using Raw4 = u32x2;
    using Raw8 = u32x4;
    template <int I> RF_INLINE static f32x4 expand(u32x4 raw) {
        return halves4(I == 0 ? u32x2{raw.x, raw.y} : u32x2{raw.z, raw.w});
    }
    RF_INLINE static f32x4 expand4(Raw4 raw) { return halves4(raw); }
    RF_INLINE static Raw4 load4(const Elem* p) { return rf::load8(p); }
    RF_INLINE static Raw8 load8(const Elem* p) { return load16(p); }
    RF_INLINE static u32x4 halves(Raw8 raw, float) { return raw; }
    RF_INLINE static float one(Elem e) { return to_f32(e); }
    RF_INLINE static Elem make(float x) { return to_half(saturate(x, HALF_MAX)); }
    RF_INLINE static void store4(Elem* p, f32x4 v) { store8(p, {saturated_half2(v.x, v.y), saturated_half2(v.z, v.w)}); }
};

struct KvBF16 {
    static constexpr int E = 8;
    static constexpr bool SCALED = false;
    static constexpr float UNIT = 1.0f;
    using Elem = bhalf;
    using Raw4 = u32x2;
    using Raw8 = u32x4;
    template <int I> RF_INLINE static f32x4 expand(u32x4 raw) {
        return bhalves4(I == 0 ? u32x2{raw.x, raw.y} : u32x2{raw.z, raw.w});
    }
    RF_INLINE static f32x4 expand4(Raw4 raw) { return bhalves4(raw); }
    RF_INLINE static Raw4 load4(const Elem* p) { return rf::load8(p); }
    RF_INLINE static Raw8 load8(const Elem* p) { return load16(p); }
    RF_INLINE static u32x4 halves(Raw8 raw, float) {
        const f32x4 a = bhalves4({raw.x, raw.y}), b = bhalves4({raw.z, raw.w});
        return {saturated_half2(a.x, a.y), saturated_half2(a.z, a.w), saturated_half2(b.x, b.y), saturated_half2(b.z, b.w)};
    }
    RF_INLINE static float one(Elem e) { return to_f32(e); }
    RF_INLINE static Elem make(float x) { return to_bhalf(saturate(x, BHALF_MAX)); }
    RF_INLINE static void store4(Elem* p, f32x4 v) {
        const float bound = BHALF_MAX;
        store8(p, {pack_bhalf2(saturate(v.x, bound), saturate(v.y, bound)), pack_bhalf2(saturate(v.z, bound), saturate(v.w, bound))});
    }
};

// Of the 16 bytes of a row that a lane loads, all share one scale: widths are multiples of 32.
struct KvQ8 {
    static constexpr int E = 16;
    static constexpr bool SCALED = true;
    static constexpr float UNIT = 1.0f;
    using Elem = i8;
    using Raw4 = u32;
    using Raw8 = u32x2;
    template <int I> RF_INLINE static f32x4 expand(u32x4 raw) {
        return bytes4(I == 0 ? raw.x : I == 1 ? raw.y : I == 2 ? raw.z : raw.w);
    }
    RF_INLINE static f32x4 expand4(Raw4 raw) { return bytes4(raw); }
    RF_INLINE static Raw4 load4(const Elem* p) { return rf::load4(p); }
    RF_INLINE static Raw8 load8(const Elem* p) { return rf::load8(p); }
    RF_INLINE static u32x4 halves(Raw8 raw, float scale) {
        const f32x4 a = times(bytes4(raw.x), scale), b = times(bytes4(raw.y), scale);
        return {saturated_half2(a.x, a.y), saturated_half2(a.z, a.w), saturated_half2(b.x, b.y), saturated_half2(b.z, b.w)};
    }
    RF_INLINE static float one(Elem e) { return static_cast<float>(e); }
};

struct KvF8 {
    static constexpr int E = 16;
    static constexpr bool SCALED = false;
    static constexpr float UNIT = 256.0f;
    struct Elem { u8 code; };
    using Raw4 = u32;
    using Raw8 = u32x2;
    template <int I> RF_INLINE static f32x4 expand(u32x4 raw) {
        return halves4(e4m3_halves(I == 0 ? raw.x : I == 1 ? raw.y : I == 2 ? raw.z : raw.w));
    }
    RF_INLINE static f32x4 expand4(Raw4 raw) { return halves4(e4m3_halves(raw)); }
    RF_INLINE static Raw4 load4(const Elem* p) { return rf::load4(p); }
    RF_INLINE static Raw8 load8(const Elem* p) { return rf::load8(p); }
    // Exact: E4M3 is a subset of binary16.
    RF_INLINE static u32x4 halves(Raw8 raw, float) {
        const f32x4 a = times(halves4(e4m3_halves(raw.x)), UNIT), b = times(halves4(e4m3_halves(raw.y)), UNIT);
        return {pack_half2(a.x, a.y), pack_half2(a.z, a.w), pack_half2(b.x, b.y), pack_half2(b.z, b.w)};
    }
    RF_INLINE static float one(Elem e) { return e4m3_to_f32(e.code) * (1.0f / 256.0f); }
    RF_INLINE static Elem make(float x) { return {to_e4m3(x)}; }
    RF_INLINE static void store4(Elem* p, f32x4 v) {
        const u32 low = static_cast<u32>(to_e4m3(v.x)) | static_cast<u32>(to_e4m3(v.y)) << 8;
        const u32 high = static_cast<u32>(to_e4m3(v.z)) | static_cast<u32>(to_e4m3(v.w)) << 8;
        *reinterpret_cast<u32*>(p) = low | high << 16;
    }
};

// ---- rows -----------------------------------------------------------------------------------------------------------
// Row of a slot (block * block_size + offset) and key/value head in a plane.
RF_INLINE u32 row_of_slot(u32 slot, u32 block_size, u32 kv_heads, u32 head) {
    return (slot / block_size * kv_heads + head) * block_size + slot % block_size;
}
// Row of a token of a sequence whose blocks are `table`.
RF_INLINE u32 row_of_token(const u32* table, u32 token, u32 block_size, u32 kv_heads, u32 head) {
    return (table[token / block_size] * kv_heads + head) * block_size + token % block_size;
}

}  // namespace rf
