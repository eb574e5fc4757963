// route.hip   chooses experts: scores [rows, experts] to ids and weights [rows, chosen], best first, ids as f32
//   probabilities  softmax over all, sigmoid of each, or the scores, with a softmax over the chosen at the end
//   ranks          probability + bias; with groups, only the groups_chosen groups of the largest sums of their two best
//                  ranks take part (arXiv:2412.19437)
//   weights        probability, divided by the sum of the chosen if normalize, times scale
// in    scores f32 [rows, experts]; bias f32 [experts] or null
// out   ids, weights f32 [rows, chosen]; places that no expert takes (groups that are too small) get id 0 and weight 0
// route_{2,8,16}   launch grid (rows / waves of a block), block 128; a wave a row; experts <= 2, 8, 16 * WAVE,
//                  and 512; chosen <= 32; groups <= 64
// In f64, in the order of the CPU's: an expert more or less is a jump in the output. Ties go to the lower id.
#include "rf/f64.h"

namespace rf {

enum : u32 { SOFTMAX, SIGMOID, SOFTMAX_CHOSEN };
constexpr u32 MAX_EXPERTS = 512;

struct RouteArgs {
    const float* scores;
    const float* bias;
    float* ids;
    float* weights;
    u32 rows;
    u32 experts;
    u32 chosen;
    u32 scoring;
    u32 normalize;
    u32 groups;
    u32 groups_chosen;
    float scale;
};

// The highest key among lanes and, of equal ones, the lowest id; takes it away. Keys of what is closed are 0, and a top
// of 0 says that nothing is left.
template <int PER> RF_INLINE u32 take_best(u64 (&keys)[PER], u64& top) {
    u64 best = 0;
    u32 at = 0;
    RF_UNROLL
    for (int i = 0; i < PER; ++i) {
        if (keys[i] > best) {
            best = keys[i];
            at = i * WAVE + lane();
        }
    }
    top = wave_max(best);
    const u32 winner = ~wave_max(best == top ? ~at : 0u);
    RF_UNROLL
    for (int i = 0; i < PER; ++i) {
        if (i * WAVE + lane() == winner) keys[i] = 0;
    }
    return winner;
}

// A bit for each group that takes part. `ranks` are those of the row, in LDS.
RF_INLINE u64 open_groups(const RouteArgs& a, const double* ranks) {
    constexpr int PER = 64 / WAVE;
    const u32 size = a.experts / a.groups;
    u64 keys[PER];
    RF_UNROLL
    for (int j = 0; j < PER; ++j) {
        const u32 group = j * WAVE + lane();
        u64 first = order_key(bits_f64(0xfff0000000000000ull)), second = first;
        for (u32 i = 0; group < a.groups && i < size; ++i) {
            const u64 key = order_key(ranks[group * size + i]);
            if (key > first) {
                second = first;
                first = key;
            } else if (key > second) {
                second = key;
            }
        }
        const double sum = size > 1 ? from_order_key(first) + from_order_key(second) : from_order_key(first);
        keys[j] = group < a.groups ? max_<u64>(order_key(sum), 1) : 0;
    }
    u64 open = 0;
    for (u32 i = 0; i < a.groups_chosen; ++i) {
        u64 top;
        const u32 group = take_best<PER>(keys, top);
        if (top) open |= 1ull << group;
    }
    return open;
}

// Probabilities before the choice, in place of the scores.
template <int PER> RF_INLINE void probabilities(const RouteArgs& a, double (&p)[PER]) {
    if (a.scoring == SIGMOID) {
        RF_UNROLL
        for (int i = 0; i < PER; ++i) p[i] = 1.0 / (1.0 + exp_f64(-p[i]));
    } else if (a.scoring == SOFTMAX) {
        double highest = bits_f64(0xfff0000000000000ull);
        RF_UNROLL
        for (int i = 0; i < PER; ++i) {
            if (i * WAVE + lane() < a.experts && p[i] > highest) highest = p[i];
        }
        highest = from_order_key(wave_max(order_key(highest)));
        double total = 0.0;
        RF_UNROLL
        for (int i = 0; i < PER; ++i) {
            p[i] = i * WAVE + lane() < a.experts ? exp_f64(p[i] - highest) : 0.0;
            total += p[i];
        }
        total = wave_sum_f64(total);
        RF_UNROLL
        for (int i = 0; i < PER; ++i) p[i] /= total;
    }
}

// Σ over the first `count` lanes, in their order.
RF_INLINE double sum_in_order(double v, u32 count) {
    double total = 0.0;
    for (u32 i = 0; i < count; ++i) total += shfl_f64(v, i);
    return total;
}

template <int PER> RF_INLINE void route(const RouteArgs& a) {
    RF_LDS double shared_ranks[128 / WAVE][MAX_EXPERTS];
    double* ranks = shared_ranks[wave_in_block()];
    const u32 row = block_x() * (block_threads() / WAVE) + wave_in_block();
    if (row >= a.rows) return;
    const float* scores = a.scores + static_cast<u64>(row) * a.experts;

    double p[PER];
    u64 keys[PER];
    RF_UNROLL
    for (int i = 0; i < PER; ++i) {
        const u32 expert = i * WAVE + lane();
        p[i] = expert < a.experts ? static_cast<double>(scores[expert]) : 0.0;
    }
    probabilities<PER>(a, p);
    const bool grouped = a.groups_chosen < a.groups;
    RF_UNROLL
    for (int i = 0; i < PER; ++i) {
        const u32 expert = i * WAVE + lane();
        const bool there = expert < a.experts;
        const double rank = p[i] + (there && a.bias ? static_cast<double>(a.bias[expert]) : 0.0);
        keys[i] = there ? max_<u64>(order_key(rank), 1) : 0;
        if (grouped && there) ranks[expert] = rank;
    }
    if (grouped) {
        wave_barrier();
        const u64 open = open_groups(a, ranks);
        const u32 size = a.experts / a.groups;
        RF_UNROLL
        for (int i = 0; i < PER; ++i) {
            const u32 expert = i * WAVE + lane();
            if (expert < a.experts && !(open >> (expert / size) & 1)) keys[i] = 0;
        }
    }

    // Lane i keeps choice i.
    u32 id = 0, found = 0;
    double weight = 0.0;
    for (; found < a.chosen; ++found) {
        u64 top;
        const u32 winner = take_best<PER>(keys, top);
        if (top == 0) break;
        double mine = 0.0;
        RF_UNROLL
        for (int i = 0; i < PER; ++i) {
            if (i * WAVE + lane() == winner) mine = p[i];
        }
        const double chosen = shfl_f64(mine, winner % WAVE);
        if (lane() == found) {
            id = winner;
            weight = chosen;
        }
    }
    if (a.scoring == SOFTMAX_CHOSEN) {
        const double highest = from_order_key(wave_max(lane() < found ? order_key(weight) : 0ull));
        weight = exp_f64(weight - highest);
        weight /= sum_in_order(weight, found);
    }
    const double total = a.normalize ? sum_in_order(weight, found) : 1.0;
    if (lane() >= a.chosen) return;
    const u64 at = static_cast<u64>(row) * a.chosen + lane();
    a.ids[at] = lane() < found ? static_cast<float>(id) : 0.0f;
    a.weights[at] = lane() < found ? static_cast<float>(weight / total * static_cast<double>(a.scale)) : 0.0f;
}

RF_KERNEL(128) void route_2(RouteArgs a) { route<2>(a); }
RF_EXPORT(route_2)
RF_KERNEL(128) void route_8(RouteArgs a) { route<8>(a); }
RF_EXPORT(route_8)
RF_KERNEL(128) void route_16(RouteArgs a) { route<16>(a); }
RF_EXPORT(route_16)

}  // namespace rf
