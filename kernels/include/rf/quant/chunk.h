// rf/quant/chunk.h: what the decoders of all block types share.
//
// A quantized matrix lies in memory as planes: each field of its block type is an array of its own, so that every load
// is aligned. Field f of block b is at p[f] + b * FIELDS.bytes[f]; b counts blocks row by row.
//
// A decoder is a struct named like its type:
//   BLOCK          weights of a block
//   FIELDS         bytes of each plane's field
//   HALVES         whether the two halves of 32 weights have scales of their own; else d[0] == d[1] and m[0] == m[1]
//   MINS           whether there are minimums; else m is zero
//   Raw            what one lane loads for 32 weights
//   load(w, c)     loads the 32 weights c, counted from the planes' start
//   decode(raw, c) turns them into a Chunk; needs the low bits of c alone
//   Unit           how the matrix-vector product cuts a row (rf/quant/unit.h)
#pragma once

#include "rf/platform.h"

namespace rf {

// The fields of a matrix, from its first row on; unused ones are null.
struct Planes {
    const u8* p[4];
};

struct Fields {
    u32 bytes[4];
};

// 32 consecutive weights: w[j] = d[j / 16] * (byte j % 4 of q[j / 4], signed) - m[j / 16]. That is exact, or rounds
// once, where the format's own formula does.
struct Chunk {
    i32 q[8];
    float d[2];
    float m[2];
};

// The planes from block `block` on.
template <class T> RF_INLINE Planes planes_at(Planes w, u64 block) {
    w.p[0] += block * T::FIELDS.bytes[0];
    if constexpr (T::FIELDS.bytes[1] != 0) w.p[1] += block * T::FIELDS.bytes[1];
    if constexpr (T::FIELDS.bytes[2] != 0) w.p[2] += block * T::FIELDS.bytes[2];
    if constexpr (T::FIELDS.bytes[3] != 0) w.p[3] += block * T::FIELDS.bytes[3];
    return w;
}

// ---- loads ---------------------------------------------------------------------------------------------------------
// Loads of codes, which are read once. On NVIDIA they differ from platform.h's in not promising that the memory is
// constant: the compiler moves constant loads across any barrier to their first use, and then few are under way at a
// time. (With four such loads of a lane issued one by one, 32 registers; with all of them first, 48.)
#if RF_NVIDIA
RF_INLINE u32x4 stream16(const void* p) {
    u32x4 v;
    asm volatile("ld.global.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p)
                 : "memory");
    return v;
}
RF_INLINE u32x2 stream8(const void* p) {
    u32x2 v;
    asm volatile("ld.global.L1::no_allocate.v2.u32 {%0,%1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(p) : "memory");
    return v;
}
// All loads above are issued before what follows.
RF_INLINE void loads_first() { __syncwarp(); }
#else
RF_INLINE u32x4 stream16(const void* p) { return load16_stream(p); }
RF_INLINE u32x2 stream8(const void* p) { return load8_stream(p); }
RF_INLINE void loads_first() {}
#endif

RF_INLINE u32 load1(const u8* p) { return *p; }
RF_INLINE u32 load2(const u8* p) { return *reinterpret_cast<const u16*>(p); }

// The half in the low or the high 16 bits.
RF_INLINE float low_half(u32 bits) { return to_f32(half{static_cast<u16>(bits & 0xffffu)}); }
RF_INLINE float high_half(u32 bits) { return to_f32(half{static_cast<u16>(bits >> 16)}); }

// ---- four codes in a word ------------------------------------------------------------------------------------------
RF_INLINE i32 low_nibbles(u32 v) { return static_cast<i32>(v & 0x0f0f0f0fu); }
RF_INLINE i32 high_nibbles(u32 v) { return static_cast<i32>(v >> 4 & 0x0f0f0f0fu); }

// Bit i of `bits` (four of them) in the lowest bit of byte i. The product puts bit i at i + 7 j, all of them different.
RF_INLINE u32 spread_bits(u32 bits) { return (bits & 15u) * 0x00204081u & 0x01010101u; }

// The same for four 2-bit codes of a byte.
RF_INLINE u32 spread_pairs(u32 byte) {
    const u32 halves = (byte | byte << 12) & 0x000f000fu;
    return (halves | halves << 6) & 0x03030303u;
}

// Each byte less one, for bytes of 0 to 127.
RF_INLINE i32 minus_one(u32 codes) { return static_cast<i32>((codes + 0x7f7f7f7fu) ^ 0x80808080u); }

// Byte i, which is not 0, negated where bit i of `signs` (four of them) is set.
RF_INLINE i32 with_signs(u32 bytes, u32 signs) {
    const u32 ones = spread_bits(signs), mask = (ones << 8) - ones;
    return static_cast<i32>((bytes ^ mask) + ones);
}

// Eight signs from the seven that a block stores: the eighth makes their number even.
RF_INLINE u32 even_signs(u32 seven) {
    seven &= 0x7fu;
    u32 parity = seven ^ seven >> 4;
    parity ^= parity >> 2;
    parity ^= parity >> 1;
    return seven | (parity & 1u) << 7;
}

// Byte i of `v`, signed.
RF_INLINE float signed_byte(u32 v, u32 i) { return static_cast<float>(static_cast<i32>(v << (24u - 8u * i)) >> 24); }

// The codes of 16 bytes: the low nibbles are the first 16 of them.
RF_INLINE void put_nibbles(u32x4 v, Chunk& c) {
    c.q[0] = low_nibbles(v.x), c.q[1] = low_nibbles(v.y), c.q[2] = low_nibbles(v.z), c.q[3] = low_nibbles(v.w);
    c.q[4] = high_nibbles(v.x), c.q[5] = high_nibbles(v.y), c.q[6] = high_nibbles(v.z), c.q[7] = high_nibbles(v.w);
}

// Adds the fifth bits: bit i of `bits` belongs to code i.
RF_INLINE void put_fifth_bits(u32 bits, Chunk& c) {
    RF_UNROLL for (int i = 0; i < 8; ++i) c.q[i] |= static_cast<i32>(spread_bits(bits >> (4 * i)) << 4);
}

// One scale and one minimum for all 32.
RF_INLINE void put_scale(float d, float m, Chunk& c) {
    c.d[0] = c.d[1] = d;
    c.m[0] = c.m[1] = m;
}

}  // namespace rf
