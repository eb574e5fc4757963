// rf/gemm/stage.h: how pieces of x and of a matrix get from global memory into a tile in LDS.
//
// A stage works in two halves, so that loads are under way during the products of the tile before: fetch() begins,
// finish() ends with the tile in LDS. Where the hardware copies to LDS by itself, fetch() does both.
//
// Tiles are rows of Shape::K numbers of 16 bits, Shape::STRIDE apart: 8 more, so that equal columns of 8 neighbouring
// rows lie in different banks. Columns behind the end of the matrix are zero in its tile; in x's they are whatever row
// x has in its last columns, and are multiplied by those zeros.
#pragma once

#include "rf/half2.h"
#include "rf/mma.h"
#include "rf/quant/quant.h"

#if RF_NVIDIA || (defined(RF_HOST) && RF_WAVE_SIZE == 64)
#define RF_COPIES_TO_LDS 1
#else
#define RF_COPIES_TO_LDS 0
#endif

namespace rf {

// M rows of x by N rows of a matrix, K columns at a time, by waves that compute WM by WN each.
template <int M_, int N_, int K_, int WM_, int WN_> struct TileShape {
    static constexpr int M = M_, N = N_, K = K_, WM = WM_, WN = WN_;
    static constexpr int THREADS = (M / WM) * (N / WN) * WAVE;
    static constexpr int STRIDE = K + 8;
    static constexpr u32 CHUNKS = K / 32;
};

// The 16-byte vectors of a tile of ROWS rows, dealt to the lanes.
template <int ROWS, class Shape> struct Vectors {
    static constexpr u32 THREADS = Shape::THREADS, ACROSS = Shape::K / 8, COUNT = ROWS * ACROSS;
    static constexpr int PER = (COUNT + THREADS - 1) / THREADS;
    RF_INLINE static bool mine(int i) { return COUNT % THREADS == 0 || i * THREADS + thread_id() < COUNT; }
    RF_INLINE static u32 column() { return thread_id() % ACROSS; }
    // With 4 vectors a row, 8 lanes that store together have the rows r and r + 4, whose banks are disjoint.
    RF_INLINE static u32 row(int i) {
        const u32 id = i * THREADS + thread_id();
        if constexpr (ACROSS == 4) return id / 32 * 8 + id / 4 % 2 * 4 + id / 8 % 4;
        return id / ACROSS;
    }
    template <class E> RF_INLINE static E* place(E* tile, int i) { return tile + row(i) * Shape::STRIDE + column() * 8; }
};

// The rows of x.
template <class E, class Shape> struct StageX {
    using At = Vectors<Shape::M, Shape>;
    const E* x;
    u32 last;            // last vector of a row
    u32 first[At::PER];  // first vector of my rows
    u32x4 held[At::PER];

    // `rows` are the rows of x, one a row of the tile, in LDS.
    RF_INLINE void begin(const void* from, u32 k_pad, const u32* rows) {
        x = static_cast<const E*>(from);
        last = k_pad / 8 - 1;
        RF_UNROLL_TILES for (int i = 0; i < At::PER; ++i) first[i] = At::mine(i) ? rows[At::row(i)] * (k_pad / 8) : 0;
    }
    RF_INLINE void fetch(u32 chunk, E* tile) {
        const u32 column = min_(chunk * 4 + At::column(), last);
        RF_UNROLL_TILES for (int i = 0; i < At::PER; ++i) {
            if (!At::mine(i)) continue;
            const E* from = x + static_cast<u64>(first[i] + column) * 8;
            if constexpr (RF_COPIES_TO_LDS) {
                async_copy16(At::place(tile, i), from);
            } else {
                held[i] = load16(from);
            }
        }
    }
    RF_INLINE void finish(E* tile) {
        if constexpr (!RF_COPIES_TO_LDS) {
            RF_UNROLL_TILES for (int i = 0; i < At::PER; ++i) {
                if (At::mine(i)) store16(At::place(tile, i), held[i]);
            }
        }
    }
};

// A matrix of halves or bfloat16, copied as it is. Needs k % 8 == 0.
template <class E, class Shape> struct StageFloats {
    using At = Vectors<Shape::N, Shape>;
    const E* w;
    u32 k;
    u32 first[At::PER];  // first element of my rows
    u32x4 held[At::PER];

    RF_INLINE void begin(const Planes& planes, u64 row, u32 left, u32 columns) {
        w = reinterpret_cast<const E*>(planes.p[0]) + row * columns;
        k = columns;
        RF_UNROLL_TILES for (int i = 0; i < At::PER; ++i) first[i] = min_(At::row(i), left - 1) * k;
    }
    RF_INLINE void fetch(u32 chunk, E* tile) {
        const u32 column = chunk * 32 + At::column() * 8;
        RF_UNROLL_TILES for (int i = 0; i < At::PER; ++i) {
            if (!At::mine(i)) continue;
            if (column >= k) {
                held[i] = {0, 0, 0, 0};
                if constexpr (RF_COPIES_TO_LDS) store16(At::place(tile, i), held[i]);
            } else if constexpr (RF_COPIES_TO_LDS) {
                async_copy16(At::place(tile, i), w + first[i] + column);
            } else {
                held[i] = load16(w + first[i] + column);
            }
        }
    }
    RF_INLINE void finish(u32, E* tile) {
        if constexpr (!RF_COPIES_TO_LDS) {
            RF_UNROLL_TILES for (int i = 0; i < At::PER; ++i) {
                if (At::mine(i)) store16(At::place(tile, i), held[i]);
            }
        }
    }
};

// Quantized weights as halves are 16 times too large, so that those of small scales keep their bits: halves lose some
// below 6e-5, and the matrix unit of gfx90a takes them for zero. None may be above 4094 for that.
constexpr float WEIGHT_SCALE = 16.0f;

template <class T> RF_INLINE void chunk_to_halves(const Chunk& c, u32 (&out)[16]) {
    RF_UNROLL_TILES for (int i = 0; i < 8; ++i) {
        const int half_of = T::HALVES ? i / 4 : 0;
        const float d = c.d[half_of] * WEIGHT_SCALE, m = c.m[half_of] * -WEIGHT_SCALE;
        u32 low, high;
        bytes_to_halves(c.q[i], low, high);
        const u32 scale = pack_half2(d, d);
        if constexpr (T::MINS) {
            const u32 offset = pack_half2(m, m);
            out[2 * i] = fma_half2(low, scale, offset);
            out[2 * i + 1] = fma_half2(high, scale, offset);
        } else {
            out[2 * i] = mul_half2(low, scale);
            out[2 * i + 1] = mul_half2(high, scale);
        }
    }
}

// A quantized matrix: a lane decodes 32 weights of a row.
template <class T, class Shape> struct StageQuant {
    static constexpr u32 THREADS = Shape::THREADS, CHUNKS = Shape::CHUNKS, COUNT = Shape::N * CHUNKS;
    static constexpr int PER = (COUNT + THREADS - 1) / THREADS;
    Planes w;
    u32 chunks;      // of a row
    u32 first[PER];  // first chunk of my rows
    typename T::Raw raw[PER];

    RF_INLINE static bool mine(int i) { return COUNT % THREADS == 0 || i * THREADS + thread_id() < COUNT; }
    // Eight lanes that store together have two chunks of four rows (or one of eight), whose banks are disjoint.
    RF_INLINE static u32 chunk_of() {
        const u32 id = thread_id();
        return CHUNKS == 1 ? 0 : CHUNKS == 2 ? id % 2 : id % 2 + id / 8 % 2 * 2;
    }
    RF_INLINE static u32 row_of(int i) {
        const u32 id = i * THREADS + thread_id();
        return CHUNKS == 1 ? id : CHUNKS == 2 ? id / 2 : id / 2 % 4 + id / 16 * 4;
    }
    static_assert(CHUNKS == 1 || CHUNKS == 2 || CHUNKS == 4, "the mapping knows these");

    RF_INLINE void begin(const Planes& planes, u64 row, u32 left, u32 k) {
        chunks = k / 32;
        w = planes_at<T>(planes, row * (k / T::BLOCK));
        RF_UNROLL_TILES for (int i = 0; i < PER; ++i) first[i] = min_(row_of(i), left - 1) * chunks;
    }
    RF_INLINE void fetch(u32 chunk, half*) {
        const u32 c = min_(chunk + chunk_of(), chunks - 1);
        RF_UNROLL_TILES for (int i = 0; i < PER; ++i) {
            if (mine(i)) raw[i] = T::load(w, first[i] + c);
        }
    }
    RF_INLINE void finish(u32 chunk, half* tile) {
        const u32 c = chunk + chunk_of();
        RF_UNROLL_TILES for (int i = 0; i < PER; ++i) {
            if (!mine(i)) continue;
            u32 out[16] = {};
            if (CHUNKS == 1 || c < chunks) chunk_to_halves<T>(T::decode(raw[i], first[i] + c), out);
            half* to = tile + row_of(i) * Shape::STRIDE + chunk_of() * 32;
            RF_UNROLL_TILES for (int j = 0; j < 16; j += 4) store16(to + 2 * j, {out[j], out[j + 1], out[j + 2], out[j + 3]});
        }
    }
};

}  // namespace rf
