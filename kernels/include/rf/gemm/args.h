// rf/gemm/args.h: the argument of the matrix products, and which tile of the result a workgroup computes.
//
// One launch multiplies the rows of x by up to four matrices of one type ("parts"). Result and grid are cut into tiles
// of M rows of x by N rows of a matrix. Rows of a matrix become columns of the result: a "column tile" is N of them.
//
// Dense: tile m has the rows m * M and following of x, and writes the same rows of y.
// Grouped (tiles is set): matrices are stacks of experts; tile m is an entry of the table that gemm/group.hip makes,
// {expert, first, count}: it takes the pairs order[first ..], reads row pair / x_share of x and writes row `pair` of y.
#pragma once

#include "rf/quant/chunk.h"

namespace rf {

struct GemmPart {
    Planes w;           // [rows, k], or [experts * rows, k]
    const float* bias;  // [rows], or [experts, rows]; may be null
    float* y;           // [tokens, y_stride]
    float* partial;     // null, or where there are several splits [splits, tokens, rows]: they go there instead
    u32 rows;
    u32 y_stride;
    u32 first_column;   // column tiles of the parts before this one
    u32 pad;
};

struct GemmArgs {
    GemmPart part[4];
    const void* x;       // 16-bit rows of k_pad elements (gemm.hip), or f32 rows of k (exact.hip)
    const float* scale;  // [rows of x]: what a row of x was divided by; null is 1
    const u32* tiles;    // null if dense; [0] is the number of tiles, four words a tile follow from [4] on
    const u32* order;    // pairs, expert by expert
    u32 tokens;          // rows of y
    u32 k;
    u32 k_pad;           // k rounded up to 32
    u32 parts;
    u32 row_tiles;       // tiles along the rows of x; the launch has row_tiles * columns workgroups in x, splits in y
    u32 columns;         // column tiles of all parts
    u32 together;        // row tiles that are neighbours in time, so that they share what is read of the matrices
    u32 dies;            // workgroup i runs on die i % dies, each with an L2 of its own; 1 if there is one
    u32 x_share;         // grouped: pairs that read one row of x; dense: 1
    u32 split_chunks;    // groups of 32 columns that a split takes; a multiple of the tile's
};

// What a workgroup has to do. `rows` and `left` are at most M and N at the edges.
struct GemmWork {
    const u32* pairs;  // null: row `first` and following
    u32 first;
    u32 rows;      // rows of x
    u32 column;    // first row of the matrix
    u32 left;      // rows of the matrix from there on
    u32 matrix;    // rows of the stack of matrices before this one
    u32 part;
    u32 expert;
};

// Workgroups that follow each other run at the same time: those of one column tile and `together` row tiles. Where
// there are several dies, each gets a run of neighbours instead of every n-th.
RF_INLINE void place_block(const GemmArgs& a, u32& row_tile, u32& column) {
    u32 id = block_x();
    if (a.dies > 1) {
        const u32 each = a.row_tiles * a.columns / a.dies;
        if (id < each * a.dies) id = id % a.dies * each + id / a.dies;
    }
    const u32 group = a.together * a.columns;
    const u32 first = id / group * a.together, rest = id % group;
    const u32 high = min_(a.row_tiles - first, a.together);
    row_tile = first + rest % high;
    column = rest / high;
}

// False: there is nothing to do.
template <int M, int N> RF_INLINE bool find_work(const GemmArgs& a, GemmWork& work) {
    u32 row_tile, column;
    place_block(a, row_tile, column);
    u32 part = 0;
    RF_UNROLL for (u32 p = 1; p < 4; ++p) part += p < a.parts && column >= a.part[p].first_column ? 1u : 0u;
    work.part = part;
    work.column = (column - a.part[part].first_column) * N;
    work.left = a.part[part].rows - work.column;
    if (a.tiles == nullptr) {
        work.pairs = nullptr;
        work.first = row_tile * M;
        work.rows = min_(a.tokens - work.first, static_cast<u32>(M));
        work.expert = 0;
    } else {
        if (row_tile >= a.tiles[0]) return false;
        const u32x4 tile = load16(a.tiles + 4 + 4 * row_tile);
        work.expert = tile.x;
        work.pairs = a.order + tile.y;
        work.first = 0;
        work.rows = tile.z;
    }
    work.matrix = work.expert * a.part[part].rows;
    return true;
}

// Row of y of row i of a tile; rows behind its end repeat the last one.
RF_INLINE u32 row_of(const GemmWork& work, u32 i) {
    i = min_(i, work.rows - 1);
    return work.pairs == nullptr ? work.first + i : work.pairs[i];
}

// Where a tile's results go: y with the bias, or this split's partial sums.
struct GemmOut {
    float* to;
    const float* bias;
    u32 stride;
};
RF_INLINE GemmOut find_out(const GemmArgs& a, const GemmWork& work) {
    const GemmPart& p = a.part[work.part];
    const float* bias = p.bias == nullptr ? nullptr : p.bias + work.matrix;
    if (p.partial == nullptr) return {p.y, bias, p.y_stride};
    return {p.partial + static_cast<u64>(block_y()) * a.tokens * p.rows, nullptr, p.rows};
}

}  // namespace rf
