// rf/quant/rows.h: the matrix-vector product that matvec.hip and exact.hip are made of.
//
// `lanes` lanes (32 to 128, a power of two) share ROWS rows of the matrix. Lane m of them takes the units m, m + lanes,
// m + 2 lanes, ... of each of its rows, one after the other, into one sum for each row and column; then the sums of the
// lanes are folded by a tree whose shape depends on `lanes` alone. So a result's bits depend on the matrix row, the
// input column and `lanes`, never on how many columns or rows are beside it.
//
// All loads of one round (DEPTH units of ROWS rows) are issued before the first is used. A round that reaches behind
// the end of a row loads its last unit again, and counts the activations there as zero.
#pragma once

#include "rf/quant/quant.h"

namespace rf {

// Of a workgroup. With 256, ptxas spills a few registers of some kernels to fit one more workgroup.
constexpr u32 MATVEC_THREADS = 128;
constexpr u32 NO_BLOCK = 0xffffffffu;

// One of up to four matrices that share the input. With experts, `rows` is the count of one expert.
struct MatvecPart {
    Planes w;
    const float* bias;  // [rows] ([experts * rows]), or null
    float* out;         // [columns, out_stride]
    u32 rows;
    u32 out_stride;
};

struct MatvecArgs {
    const void* x;        // [columns, cols]: i8 in the q8 form, f32 in the exact one
    const f32x2* scales;  // q8 form: (d, sum) [columns, cols / 32]
    const float* ids;     // experts: [columns] expert of each output row, stored as f32; null: always 0
    MatvecPart parts[4];
    u32 first_block[4];  // the first workgroup of each part; NO_BLOCK for parts that are not there
    u32 cols;
    u32 columns;      // output rows; at most COLS without experts
    u32 lanes_log2;   // 5 to 7
    u32 outs_per_x;   // experts: output rows that share a row of x
    u32 experts;      // experts: how many there are
    u32 pad;
};

// ---- fold ----------------------------------------------------------------------------------------------------------
constexpr u32 power_of_two_from(u32 n) { return n <= 1 ? 1 : 2 * power_of_two_from((n + 1) / 2); }
constexpr u32 log2_of(u32 n) { return n <= 1 ? 0 : 1 + log2_of(n / 2); }

// Adds N values over the lanes that differ in the bits of MASK and below. While there is more than one value, two lanes
// share the work: one takes on the first half of the values, the other the second. So value i ends in v[0] of the lanes
// whose upper bits (from MASK down) are i, after N - 1 exchanges and one for each bit that is left.
template <u32 MASK, u32 N> RF_INLINE void fold(float* v) {
    if constexpr (N > 1) {
        const bool upper = (lane() & MASK) != 0;
        RF_UNROLL for (u32 i = 0; i < N / 2; ++i) {
            const float mine = upper ? v[i + N / 2] : v[i], other = upper ? v[i] : v[i + N / 2];
            v[i] = mine + shfl_xor_const<static_cast<int>(MASK)>(other);
        }
    } else {
        v[0] += shfl_xor_const<static_cast<int>(MASK)>(v[0]);
    }
    if constexpr (MASK > 1) fold<MASK / 2, (N > 1 ? N / 2 : 1)>(v);
}

// ---- product -------------------------------------------------------------------------------------------------------
// What a workgroup works on.
struct Place {
    MatvecPart part;
    u32 first;   // its first row
    u32 expert;  // 0 without experts
    u32 pair;    // its output row with experts
};

template <bool EXPERTS> RF_INLINE Place place_of(const MatvecArgs& a, u32 block_rows) {
    Place p = {a.parts[0], block_x(), 0, 0};
    RF_UNROLL for (int i = 1; i < 4; ++i) {
        if (block_x() >= a.first_block[i]) {
            p.part = a.parts[i];
            p.first = block_x() - a.first_block[i];
        }
    }
    p.first *= block_rows;
    if constexpr (EXPERTS) {
        p.pair = block_y();
        if (a.ids) p.expert = min_(static_cast<u32>(a.ids[p.pair]), a.experts - 1u);
    }
    return p;
}

// Writes value `i` (= r * COLS + c) of row group `group`.
template <u32 ROWS, u32 COLS, bool EXPERTS>
RF_INLINE void write_sum(const MatvecArgs& a, const Place& p, u32 group, u32 i, float sum) {
    const u32 row = p.first + group * ROWS + i / COLS, c = i % COLS;
    if (i >= ROWS * COLS || row >= p.part.rows || (!EXPERTS && c >= a.columns)) return;
    if (p.part.bias) sum += p.part.bias[static_cast<u64>(p.expert) * p.part.rows + row];
    p.part.out[static_cast<u64>(EXPERTS ? p.pair : c) * p.part.out_stride + row] = sum;
}

// Folds the sums of all lanes and writes them.
template <u32 ROWS, u32 COLS, bool EXPERTS> RF_INLINE void finish(const MatvecArgs& a, const Place& p, float* acc) {
    constexpr u32 N = power_of_two_from(ROWS * COLS), WAVE_LOG2 = log2_of(WAVE);
    static_assert(N <= 32, "one value for each lane of the smallest group");
    RF_LDS float partial[MATVEC_THREADS];
    u32 span = 5;
    if (WAVE == 64 && a.lanes_log2 >= 6) {
        span = 6;
        fold<WAVE / 2, N>(acc);
    } else {
        fold<16, N>(acc);
    }
    const u32 i = (lane() & ((1u << span) - 1u)) >> (span - log2_of(N));
    const bool holds = (lane() & ((1u << (span - log2_of(N))) - 1u)) == 0;
    if (a.lanes_log2 <= WAVE_LOG2) {
        if (holds) write_sum<ROWS, COLS, EXPERTS>(a, p, thread_id() >> a.lanes_log2, i, acc[0]);
        return;
    }
    if (holds) partial[wave_in_block() * N + i] = acc[0];
    barrier();
    const u32 member = thread_id() & ((1u << a.lanes_log2) - 1u), waves = 1u << (a.lanes_log2 - WAVE_LOG2);
    if (member >= N) return;
    float sum = partial[wave_in_block() * N + member];
    for (u32 w = 1; w < waves; ++w) sum += partial[(wave_in_block() + w) * N + member];
    write_sum<ROWS, COLS, EXPERTS>(a, p, thread_id() >> a.lanes_log2, member, sum);
}

// y = W x + bias for ROWS rows a group of lanes and up to COLS columns (with experts one); `in` is column 0.
template <class U, u32 ROWS, u32 COLS, u32 DEPTH, bool EXPERTS = false, class Input>
RF_INLINE void matvec(const MatvecArgs& a, const Input& in) {
    const u32 log2 = a.lanes_log2, member = thread_id() & ((1u << log2) - 1u), group = thread_id() >> log2;
    const Place p = place_of<EXPERTS>(a, (block_threads() >> log2) * ROWS);
    const u32 units = a.cols / U::WEIGHTS, last = units - 1u, last_row = p.part.rows - p.first - 1u;
    const Planes w = planes_at<Type>(
        p.part.w, (static_cast<u64>(p.expert) * p.part.rows + p.first) * (a.cols / Type::BLOCK));
    const Input x = in.column(EXPERTS ? p.pair / a.outs_per_x : 0u);

    u32 row[ROWS];
    RF_UNROLL for (u32 r = 0; r < ROWS; ++r) row[r] = min_(group * ROWS + r, last_row) * units;
    float acc[power_of_two_from(ROWS * COLS)] = {};
    for (u32 base = member; base - member < units; base += DEPTH << log2) {
        typename U::Raw raw[DEPTH][ROWS];
        RF_UNROLL for (u32 d = 0; d < DEPTH; ++d) {
            const u32 u = min_(base + (d << log2), last);
            RF_UNROLL for (u32 r = 0; r < ROWS; ++r) raw[d][r] = U::load(w, row[r] + u);
        }
        loads_first();
        RF_UNROLL for (u32 d = 0; d < DEPTH; ++d) {
            const u32 at = base + (d << log2), u = min_(at, last);
            typename U::Ready ready[ROWS];
            RF_UNROLL for (u32 r = 0; r < ROWS; ++r) ready[r] = U::ready(raw[d][r], row[r] + u);
            RF_UNROLL for (u32 c = 0; c < COLS; ++c) {
                const auto act = U::act(x.column(min_(c, a.columns - 1u)), u, at < units);
                RF_UNROLL for (u32 r = 0; r < ROWS; ++r) acc[r * COLS + c] = U::dot(ready[r], act, acc[r * COLS + c]);
            }
        }
    }
    finish<ROWS, COLS, EXPERTS>(a, p, acc);
}

}  // namespace rf
