// rf/gemm/exact.h: a workgroup's tile of the product in f32.
//
// 16 x 16 lanes compute M/16 x N/16 sums each. x and the matrix lie in LDS column by column, so that a lane reads its
// rows of both as vectors.
#pragma once

#include "rf/forms.h"
#include "rf/gemm/args.h"
#include "rf/quant/float.h"
#include "rf/quant/quant.h"

namespace rf {

constexpr u32 EXACT_THREADS = 256;
constexpr u32 EXACT_K = 32;

// M rows of x by N of the matrix. Four more numbers behind a column keep vectors aligned and spread the banks.
template <int M_, int N_> struct ExactShape {
    static constexpr int M = M_, N = N_, LANE_M = M / 16, LANE_N = N / 16, X_STRIDE = M + 4, W_STRIDE = N + 4;
};

template <class Shape> struct ExactLds {
    alignas(16) float x[EXACT_K * Shape::X_STRIDE];
    alignas(16) float w[EXACT_K * Shape::W_STRIDE];
    u32 x_row[Shape::M];
    u32 y_row[Shape::M];
};

RF_INLINE void put_column(float* tile, u32 stride, u32 row, u32 column, f32x4 v) {
    tile += column * stride + row;
    tile[0] = v.x, tile[stride] = v.y, tile[2 * stride] = v.z, tile[3 * stride] = v.w;
}

// Four numbers of a row of floats, zeros behind its end.
template <class T> RF_INLINE f32x4 load_floats(const Planes& w, u64 row, u32 column, u32 k) {
    float v[4] = {};
    if (k % 4 == 0) {
        if (column >= k) return {0, 0, 0, 0};
        const u8* from = w.p[0] + (row + column) * T::FIELDS.bytes[0];
        u32x4 bits = {};
        if constexpr (T::VECTOR == 4) {
            bits = load16(from);
        } else {
            const u32x2 low = load8(from);
            bits.x = low.x, bits.y = low.y;
        }
        RF_UNROLL for (u32 i = 0; i < 4; ++i) v[i] = T::unpack(bits, i);
    } else {
        RF_UNROLL for (u32 i = 0; i < 4; ++i) v[i] = column + i < k ? load_float<T>(w, row + column + i) : 0.0f;
    }
    return {v[0], v[1], v[2], v[3]};
}

// Vectors of four numbers of a tile of ROWS rows, dealt to the lanes.
template <int ROWS> struct ExactVectors {
    static constexpr u32 COUNT = ROWS * EXACT_K / 4;
    static constexpr int PER = (COUNT + EXACT_THREADS - 1) / EXACT_THREADS;
    RF_INLINE static u32 row(int i) { return (i * EXACT_THREADS + thread_id()) / (EXACT_K / 4); }
    RF_INLINE static u32 column() { return thread_id() % (EXACT_K / 4) * 4; }
    RF_INLINE static bool mine(int i) { return row(i) < ROWS; }
};

template <class Shape> struct ExactX {
    using At = ExactVectors<Shape::M>;
    const float* x;
    u32 k;
    u32 rows[At::PER];
    f32x4 held[At::PER];

    RF_INLINE void begin(const void* from, u32 columns, const u32* x_row) {
        x = static_cast<const float*>(from);
        k = columns;
        RF_UNROLL for (int i = 0; i < At::PER; ++i) rows[i] = At::mine(i) ? x_row[At::row(i)] : 0;
    }
    RF_INLINE void fetch(u32 chunk) {
        RF_UNROLL for (int i = 0; i < At::PER; ++i) {
            held[i] = load_cols(x + static_cast<u64>(rows[i]) * k, chunk * 32 + At::column(), k);
        }
    }
    RF_INLINE void finish(float* tile) {
        RF_UNROLL for (int i = 0; i < At::PER; ++i) {
            if (At::mine(i)) put_column(tile, Shape::X_STRIDE, At::row(i), At::column(), held[i]);
        }
    }
};

template <class T, class Shape> struct ExactFloats {
    using At = ExactVectors<Shape::N>;
    Planes w;
    u32 k, left;
    f32x4 held[At::PER];

    RF_INLINE void begin(const Planes& planes, u64 row, u32 rows, u32 columns) {
        w = planes_at<T>(planes, row * columns);
        k = columns;
        left = rows;
    }
    RF_INLINE void fetch(u32 chunk) {
        RF_UNROLL for (int i = 0; i < At::PER; ++i) {
            const u64 row = static_cast<u64>(min_(At::row(i), left - 1)) * k;
            held[i] = load_floats<T>(w, row, chunk * 32 + At::column(), k);
        }
    }
    RF_INLINE void finish(u32, float* tile) {
        RF_UNROLL for (int i = 0; i < At::PER; ++i) {
            if (At::mine(i)) put_column(tile, Shape::W_STRIDE, At::row(i), At::column(), held[i]);
        }
    }
};

// One lane decodes 32 weights of a row; neighbours have neighbouring rows, and store to neighbouring banks.
template <class T, class Shape> struct ExactQuant {
    static_assert(Shape::N <= EXACT_THREADS, "a lane for each row");
    Planes w;
    u32 first;
    typename T::Raw raw;

    RF_INLINE static bool mine() { return thread_id() < Shape::N; }
    RF_INLINE void begin(const Planes& planes, u64 row, u32 left, u32 k) {
        w = planes_at<T>(planes, row * (k / T::BLOCK));
        first = min_(thread_id(), left - 1) * (k / 32);
    }
    RF_INLINE void fetch(u32 chunk) {
        if (mine()) raw = T::load(w, first + chunk);
    }
    RF_INLINE void finish(u32 chunk, float* tile) {
        if (!mine()) return;
        const Chunk c = T::decode(raw, first + chunk);
        RF_UNROLL for (int j = 0; j < 32; ++j) {
            const float code = static_cast<float>(static_cast<i8>(c.q[j / 4] >> (j % 4 * 8)));
            const float d = c.d[j / 16], m = c.m[j / 16];
            tile[j * Shape::W_STRIDE + thread_id()] = T::MINS ? fma_(d, code, -m) : d * code;
        }
    }
};

template <class Shape> RF_INLINE void add_exact(float (&sums)[Shape::LANE_M][Shape::LANE_N], const ExactLds<Shape>& lds) {
    const u32 first_m = thread_id() / 16 * Shape::LANE_M, first_n = thread_id() % 16 * Shape::LANE_N;
    RF_UNROLL for (u32 k = 0; k < EXACT_K; ++k) {
        float x[Shape::LANE_M], w[Shape::LANE_N];
        RF_UNROLL for (int i = 0; i < Shape::LANE_M; ++i) x[i] = lds.x[k * Shape::X_STRIDE + first_m + i];
        RF_UNROLL for (int j = 0; j < Shape::LANE_N; ++j) w[j] = lds.w[k * Shape::W_STRIDE + first_n + j];
        RF_UNROLL for (int i = 0; i < Shape::LANE_M; ++i) {
            RF_UNROLL for (int j = 0; j < Shape::LANE_N; ++j) sums[i][j] = fma_(x[i], w[j], sums[i][j]);
        }
    }
}

template <class Shape>
RF_INLINE void store_exact(const float (&sums)[Shape::LANE_M][Shape::LANE_N], const GemmArgs& a, const GemmWork& work,
                           const ExactLds<Shape>& lds) {
    const GemmOut out = find_out(a, work);
    RF_UNROLL for (int i = 0; i < Shape::LANE_M; ++i) {
        const u32 m = thread_id() / 16 * Shape::LANE_M + i;
        if (m >= work.rows) continue;
        float* to = out.to + static_cast<u64>(lds.y_row[m]) * out.stride + work.column;
        RF_UNROLL for (int j = 0; j < Shape::LANE_N; ++j) {
            const u32 n = thread_id() % 16 * Shape::LANE_N + j;
            if (n < work.left) to[n] = sums[i][j] + (out.bias == nullptr ? 0.0f : out.bias[work.column + n]);
        }
    }
}

template <class Stage, class Shape> RF_INLINE void exact_tile(const GemmArgs& a, ExactLds<Shape>& lds) {
    GemmWork work;
    if (!find_work<Shape::M, Shape::N>(a, work)) return;
    if (thread_id() < Shape::M) {
        const u32 row = row_of(work, thread_id());
        lds.y_row[thread_id()] = row;
        lds.x_row[thread_id()] = row / a.x_share;
    }
    barrier();

    ExactX<Shape> x;
    Stage w;
    x.begin(a.x, a.k, lds.x_row);
    w.begin(a.part[work.part].w, static_cast<u64>(work.matrix) + work.column, work.left, a.k);
    const u32 first = block_y() * a.split_chunks, end = min_(first + a.split_chunks, a.k_pad / 32);
    float sums[Shape::LANE_M][Shape::LANE_N] = {};
    x.fetch(first);
    w.fetch(first);
    for (u32 chunk = first; chunk < end; ++chunk) {
        x.finish(lds.x);
        w.finish(chunk, lds.w);
        barrier();
        if (chunk + 1 < end) {
            x.fetch(chunk + 1);
            w.fetch(chunk + 1);
        }
        add_exact<Shape>(sums, lds);
        barrier();
    }
    store_exact<Shape>(sums, a, work, lds);
}

}  // namespace rf
