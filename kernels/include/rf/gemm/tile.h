// rf/gemm/tile.h: a workgroup's tile of the product on the matrix units.
//
//   locate  which rows, which matrix
//   loop    over k: begin to load the next piece, multiply the present one, decode the next into LDS
//   store   sums * scale of the row + bias
#pragma once

#include "rf/gemm/args.h"
#include "rf/gemm/stage.h"
#include "rf/mma.h"

// Without a matrix unit fragments are whole rows, and registers have room for those of one step.
#if RF_HAS_MMA
#define RF_UNROLL_PRODUCTS RF_UNROLL
#elif RF_AMD
#define RF_UNROLL_PRODUCTS _Pragma("unroll 1")
#else
#define RF_UNROLL_PRODUCTS
#endif

namespace rf {

// With two buffers a step has one barrier, and copies to LDS need a second buffer to go to. Otherwise a single one
// leaves LDS for more workgroups, which fill each other's gaps.
constexpr int GEMM_BUFFERS = RF_COPIES_TO_LDS ? 2 : 1;

template <class E, class Shape> struct GemmLds {
    E x[GEMM_BUFFERS][Shape::M * Shape::STRIDE];
    E w[GEMM_BUFFERS][Shape::N * Shape::STRIDE];
    u32 x_row[Shape::M];
    u32 y_row[Shape::M];
};

template <class E, class Shape> struct Sums {
    static constexpr int ROWS = Shape::WM / 16, COLUMNS = Shape::WN / 16;
    FragC c[ROWS][COLUMNS];

    RF_INLINE static int first_row() { return static_cast<int>(wave_in_block()) / (Shape::N / Shape::WN) * Shape::WM; }
    RF_INLINE static int first_column() {
        return static_cast<int>(wave_in_block()) % (Shape::N / Shape::WN) * Shape::WN;
    }
    RF_INLINE void zero() {
        RF_UNROLL_TILES for (int i = 0; i < ROWS; ++i) {
            RF_UNROLL_TILES for (int j = 0; j < COLUMNS; ++j) c[i][j].zero();
        }
    }
    RF_INLINE void add_products(const E* x, const E* w) {
        x += first_row() * Shape::STRIDE;
        w += first_column() * Shape::STRIDE;
        RF_UNROLL_PRODUCTS for (int k = 0; k < Shape::K; k += 16) {
            FragA<E> a[ROWS];
            RF_UNROLL_TILES for (int i = 0; i < ROWS; ++i) load_a(a[i], x + i * 16 * Shape::STRIDE + k, Shape::STRIDE);
            RF_UNROLL_TILES for (int j = 0; j < COLUMNS; ++j) {
                FragB<E> b;
                load_b(b, w + j * 16 * Shape::STRIDE + k, Shape::STRIDE);
                RF_UNROLL_TILES for (int i = 0; i < ROWS; ++i) mma(c[i][j], a[i], b);
            }
            // Else the fragments of all steps are loaded at once, for which there are no registers.
            RF_UNROLL_TILES for (int i = 0; i < ROWS; ++i) {
                RF_UNROLL_TILES for (int j = 0; j < COLUMNS; ++j) c[i][j].settle();
            }
            order_memory();
        }
    }
};

template <class E, class Shape>
RF_INLINE void store_sums(Sums<E, Shape>& sums, const GemmArgs& a, const GemmWork& work, const GemmLds<E, Shape>& lds,
                          float weight_scale) {
    const GemmOut out = find_out(a, work);
    RF_UNROLL_TILES for (int i = 0; i < Sums<E, Shape>::ROWS; ++i) {
        RF_UNROLL_TILES for (int v = 0; v < FragC::COUNT; ++v) {
            const u32 m = static_cast<u32>(Sums<E, Shape>::first_row() + i * 16 + FragC::row(v));
            if (m >= work.rows) continue;
            const float scale = weight_scale * (a.scale == nullptr ? 1.0f : a.scale[lds.x_row[m]]);
            float* to = out.to + static_cast<u64>(lds.y_row[m]) * out.stride;
            RF_UNROLL_TILES for (int j = 0; j < Sums<E, Shape>::COLUMNS; ++j) {
                const u32 n = static_cast<u32>(Sums<E, Shape>::first_column() + j * 16 + FragC::col(v));
                if (n >= work.left) continue;
                const float bias = out.bias == nullptr ? 0.0f : out.bias[work.column + n];
                to[work.column + n] = fma_(sums.c[i][j].v[v], scale, bias);
            }
        }
    }
}

template <class E, class Stage, class Shape>
RF_INLINE void gemm_tile(const GemmArgs& a, GemmLds<E, Shape>& lds, float weight_scale) {
    GemmWork work;
    if (!find_work<Shape::M, Shape::N>(a, work)) return;
    for (u32 i = thread_id(); i < Shape::M; i += Shape::THREADS) {
        const u32 row = row_of(work, i);
        lds.y_row[i] = row;
        lds.x_row[i] = row / a.x_share;
    }
    barrier();

    StageX<E, Shape> x;
    Stage w;
    x.begin(a.x, a.k_pad, lds.x_row);
    w.begin(a.part[work.part].w, static_cast<u64>(work.matrix) + work.column, work.left, a.k);
    const u32 first = block_y() * a.split_chunks, end = min_(first + a.split_chunks, a.k_pad / 32);
    x.fetch(first, lds.x[0]);
    w.fetch(first, lds.w[0]);
    async_commit();
    x.finish(lds.x[0]);
    w.finish(first, lds.w[0]);
    async_wait<0>();
    barrier();

    Sums<E, Shape> sums;
    sums.zero();
    for (u32 chunk = first, now = 0; chunk < end; chunk += Shape::CHUNKS) {
        const u32 next = GEMM_BUFFERS == 2 ? 1 - now : 0;
        const bool more = chunk + Shape::CHUNKS < end;
        if (more) {
            x.fetch(chunk + Shape::CHUNKS, lds.x[next]);
            w.fetch(chunk + Shape::CHUNKS, lds.w[next]);
            async_commit();
        }
        sums.add_products(lds.x[now], lds.w[now]);
        if constexpr (GEMM_BUFFERS == 1) barrier();
        if (more) {
            x.finish(lds.x[next]);
            w.finish(chunk + Shape::CHUNKS, lds.w[next]);
            async_wait<0>();
        }
        barrier();
        now = next;
    }
    store_sums<E, Shape>(sums, a, work, lds, weight_scale);
}

}  // namespace rf
