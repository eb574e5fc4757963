// sample.hip   one token from each row of logits, as the crate rocmforge-sampler chooses it: logit bias, penalties,
//              top-k, top-p, min-p, temperature, draw with Philox; temperature 0 is greedy
// in    logits f32 [rows, vocab], a row every `stride` (a multiple of 4 where vocab is one); SampleRow and SampleEdit
//       (below), a row with row = NO_ROW is skipped. Tokens of the edits have their logits changed in place while the
//       kernels run and get their raw values back at the end
// out   results: token, ln p under the raw logits, status; and tokens[token_slot] = token
// launch, in this order, with R rows to sample:
//   sample_scan   grid (scan_blocks, R), block 256   maxima, Σ e^l, NaN, edits; largest key of each chunk of tokens
//   sample_cut    grid (R), block 1024               all of greedy, and all where 4096 candidates are enough to decide
//   sample_weigh  grid (sum_blocks, R), block 256    the rest: weights of all candidates, summed by 1024 tokens
//   sample_draw   grid (R), block 256                and a token drawn from them
//                 The last two are needed where a row draws without top-k or with top-k > MAX_TOP_K.
// needs vocab <= 2^19
// A selection keeps the keys (see token_key) from a cut on. To find the cut: chunks of 64 or 128 tokens have a largest
// key each; the n-th largest of these bounds the n-th largest key of all from below, so that few chunks are
// read again, and what reaches the bound is sorted in LDS. Distributions so flat that this does not decide are searched
// by bisection over the whole row, with masses in fixed point, so that the order of addition does not matter.
// The same bits on every run and beside any neighbours. Against the CPU: weights and u are equal to the bit; the sums
// that u is compared with are equal up to 1e-15 where LDS decided or where nothing is cut and no logit is -inf, and up
// to 1e-7 elsewhere; the cut of top-p is within 4e-7 of the CPU's mass.
#include "rf/forms.h"
#include "rf/sample.h"

namespace rf {

constexpr u32 SCAN_TOKENS = 4096;  // of a workgroup of sample_scan
constexpr u32 SUM_TOKENS = 1024;   // of a workgroup of sample_weigh
constexpr u32 CAPACITY = 4096;     // keys that LDS holds
constexpr u32 MAX_TOP_K = 1024;    // up to which LDS decides
constexpr u32 USUAL_CHUNKS = 512;  // chunks to look at where no top-k says how many
constexpr u32 NO_ROW = 0xffffffffu;   // of a SampleRow that is padding: nothing is done for it
constexpr u32 NO_SLOT = 0xffffffffu;  // of a SampleRow whose token only the results get; also of no chunk

enum : u32 { OK, BAD_LOGIT, NO_FINITE_LOGIT, NO_CANDIDATE };

struct SampleRow {
    u64 seed;
    u64 position;
    double ln_min_p;  // -inf: off
    u32 row;          // of the logits
    float temperature;
    u32 top_k;  // 0: off
    float top_p;
    float repetition_penalty;
    float presence_penalty;
    float frequency_penalty;
    u32 first_edit;
    u32 edits;
    u32 token_slot;
};

// What happens to the logit of one token; each token at most once a row.
struct SampleEdit {
    u32 token;
    float bias;
    u32 seen;       // 1: in prompt or output, the repetition penalty counts
    u32 generated;  // times in the output
    float raw;      // the kernel's: the raw logit
};

struct SampleResult {
    u32 token;
    float logprob;
    u32 status;
    u32 bad_token;  // the first one with NaN or +inf, when the status says so
};

// Of one workgroup of sample_scan.
struct ScanStats {
    u64 best;        // largest key after edits
    float raw_high;  // largest raw logit
    float raw_sum;   // Σ e^(raw - raw_high)
    float sum;       // Σ e^(logit - the best key's logit), after edits
    u32 bad;         // ~id of the first NaN or +inf; 0: none
};

// What sample_cut leaves for the two after it.
struct RowState {
    u64 cut;
    u64 best;
    double log_z;
    u32 pending;
    u32 unused;
};

struct SampleArgs {
    float* logits;
    const SampleRow* rows;
    SampleEdit* edits;
    SampleResult* results;
    u32* tokens;  // may be null
    ScanStats* stats;   // [R, scan_blocks]
    u64* chunk_keys;    // [R, chunks]
    double* sums;       // [R, sum_blocks]
    RowState* states;   // [R]
    u32 vocab;
    u32 stride;
    u32 scan_blocks;
    u32 sum_blocks;
    u32 chunk_shift;  // chunks of 2^6 or 2^7 tokens, at most CAPACITY of them
    u32 chunks;
};

RF_INLINE float* row_of(const SampleArgs& a, const SampleRow& row) {
    return a.logits + static_cast<u64>(row.row) * a.stride;
}
RF_INLINE bool truncates(const SampleRow& row) {
    return row.top_k > 0 || row.top_p < 1.0f || row.ln_min_p > -1e300;
}

// ---- scan ----------------------------------------------------------------------------------------------------------

// The result of adjusting a finite logit stays finite, so that only a ban bans.
RF_INLINE float finite(float x) { return clamp_(x, -FLOAT_MAX, FLOAT_MAX); }

RF_INLINE float edited(const SampleRow& row, const SampleEdit& edit) {
    float l = edit.raw;
    if (l == -infinity() || edit.bias == -infinity()) return -infinity();
    if (edit.bias != 0.0f) l = finite(l + edit.bias);
    if (!edit.seen) return l;
    l = l > 0.0f ? l / row.repetition_penalty : mul_rn(l, row.repetition_penalty);
    if (edit.generated > 0) {
        l -= mul_rn(row.frequency_penalty, static_cast<float>(edit.generated)) + row.presence_penalty;
    }
    return finite(l);
}

// Applies the edits of the tokens from `first` on that this workgroup looks at.
RF_INLINE void apply_edits(const SampleArgs& a, const SampleRow& row, float* logits, u32 first) {
    for (u32 i = thread_id(); i < row.edits; i += block_threads()) {
        SampleEdit& edit = a.edits[row.first_edit + i];
        const u32 token = edit.token;
        if (token - first >= SCAN_TOKENS || token >= a.vocab) continue;
        edit.raw = logits[token];
        logits[token] = edited(row, edit);
    }
}

struct Vectors {
    f32x4 v[4];
};
RF_INLINE float part_of(const f32x4& v, u32 i) { return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w; }

// Calls f(logit, id) for the lane's tokens that there are.
template <class F> RF_INLINE void each_token(const Vectors& x, u32 first, u32 vocab, F f) {
    RF_UNROLL
    for (u32 i = 0; i < 4; ++i) {
        RF_UNROLL
        for (u32 j = 0; j < 4; ++j) {
            const u32 id = first + vector_col(i) + j;
            if (id < vocab) f(part_of(x.v[i], j), id);
        }
    }
}
RF_INLINE void load_tokens(Vectors& x, const float* logits, u32 first, u32 vocab) {
    RF_UNROLL
    for (u32 i = 0; i < 4; ++i) x.v[i] = load_cols(logits, first + vector_col(i), vocab);
}

RF_INLINE float exp_sum(const Vectors& x, u32 first, u32 vocab, float high, float* scratch) {
    float sum = 0.0f;
    each_token(x, first, vocab, [&](float l, u32) { sum += l == -infinity() ? 0.0f : sampler_exp(l - high); });
    return block_fold_once<Sum>(sum, scratch);
}

// The largest key of each chunk, and of all.
RF_INLINE u64 chunk_maxima(const SampleArgs& a, const Vectors& x, u32 first, u64* out) {
    u64 best = 0;
    RF_UNROLL
    for (u32 i = 0; i < 4; ++i) {
        u64 key = 0;
        RF_UNROLL
        for (u32 j = 0; j < 4; ++j) {
            const u32 id = first + vector_col(i) + j;
            if (id < a.vocab) key = max_(key, token_key(part_of(x.v[i], j), id));
        }
        // 16 lanes have 64 tokens.
        key = group_max<16>(key);
        const u64 other = shfl_xor_const<16>(key);
        const bool wide = a.chunk_shift == 7;
        if (wide) key = max_(key, other);
        const u32 chunk = (first + vector_col(i)) >> a.chunk_shift;
        if ((lane() & (wide ? 31u : 15u)) == 0 && chunk < a.chunks) out[chunk] = key;
        best = max_(best, key);
    }
    return best;
}

RF_KERNEL(256) void sample_scan(SampleArgs a) {
    RF_LDS u32 highs[64];
    RF_LDS u32 bads[64];
    RF_LDS float raw_sums[64];
    RF_LDS float sums[64];
    RF_LDS u64 bests[64];
    const SampleRow row = a.rows[block_y()];
    if (row.row == NO_ROW) return;
    float* logits = row_of(a, row);
    const u32 first = block_x() * SCAN_TOKENS;

    Vectors x;
    load_tokens(x, logits, first, a.vocab);
    u32 high = 0, bad = 0;
    each_token(x, first, a.vocab, [&](float l, u32 id) {
        const bool broken = !(l < infinity());
        if (broken) bad = max_(bad, ~id);
        if (!broken) high = max_(high, value_key(l));
    });
    bad = block_fold_once<Max>(bad, bads);
    high = block_fold_once<Max>(high, highs);
    const float raw_high = high == 0 ? -infinity() : key_value(high);
    const float raw_sum = exp_sum(x, first, a.vocab, raw_high, raw_sums);

    if (row.edits > 0) {
        apply_edits(a, row, logits, first);
        barrier();
        load_tokens(x, logits, first, a.vocab);
    }
    const u64 best = block_fold_once<Max>(
        chunk_maxima(a, x, first, a.chunk_keys + static_cast<u64>(block_y()) * a.chunks), bests);
    float sum = raw_sum;
    if (row.edits > 0) sum = exp_sum(x, first, a.vocab, best == 0 ? -infinity() : key_logit(best), sums);
    if (thread_id() == 0) {
        a.stats[static_cast<u64>(block_y()) * a.scan_blocks + block_x()] = {best, raw_high, raw_sum, sum, bad};
    }
}
RF_EXPORT(sample_scan)

// ---- cut -----------------------------------------------------------------------------------------------------------

// Gives edited tokens their raw logits back and writes the result. All lanes call.
RF_INLINE void finish(const SampleArgs& a, const SampleRow& row, u32 index, u32 token, u32 status, u32 bad,
                      double log_z) {
    float* logits = row_of(a, row);
    for (u32 i = thread_id(); i < row.edits; i += block_threads()) {
        const SampleEdit edit = a.edits[row.first_edit + i];
        if (edit.token < a.vocab) logits[edit.token] = edit.raw;
    }
    barrier();
    if (thread_id() != 0) return;
    const float logprob = status == OK ? static_cast<float>(static_cast<double>(logits[token]) - log_z) : 0.0f;
    a.results[index] = {token, logprob, status, bad};
    if (a.tokens && row.token_slot != NO_SLOT) a.tokens[row.token_slot] = token;
}

// A row as all workgroups of sample_scan saw it.
struct Scan {
    u64 best;
    float raw_high;
    u32 bad;
    double log_z;  // ln Σ e^raw
    double total;  // Σ e^(logit - best logit)
};

RF_INLINE double difference(float a, float b) { return static_cast<double>(a) - static_cast<double>(b); }

RF_INLINE Scan combine(const SampleArgs& a, const ScanStats* stats, u64* scratch, double* sums) {
    Scan s;
    ScanStats mine = {0, -infinity(), 0.0f, 0.0f, 0};
    // One workgroup of 1024 lanes; there are at most 128 of them.
    if (thread_id() < a.scan_blocks) mine = stats[thread_id()];
    s.best = block_max(mine.best, scratch);
    s.raw_high = key_value(block_max(value_key(mine.raw_high), reinterpret_cast<u32*>(scratch)));
    s.bad = block_max(mine.bad, reinterpret_cast<u32*>(scratch));
    const double raw = mine.raw_sum > 0.0f ? mine.raw_sum * exp_f64(difference(mine.raw_high, s.raw_high)) : 0.0;
    const double after =
        mine.best != 0 ? mine.sum * exp_f64(difference(key_logit(mine.best), key_logit(s.best))) : 0.0;
    s.log_z = static_cast<double>(s.raw_high) + log_f64(block_sum_f64(raw, sums));
    s.total = block_sum_f64(after, sums);
    return s;
}

RF_INLINE u32 row_status(const Scan& s) {
    if (s.bad != 0) return BAD_LOGIT;
    if (s.raw_high == -infinity()) return NO_FINITE_LOGIT;
    return s.best == 0 ? NO_CANDIDATE : OK;
}

// The lowest key that min-p keeps; 1 keeps all.
RF_INLINE u64 min_p_key(const SampleRow& row, float high) {
    if (!(row.ln_min_p > -1e300)) return 1;
    const float floor = static_cast<float>(static_cast<double>(high) + row.ln_min_p);
    return static_cast<u64>(value_key(max_(floor, -FLOAT_MAX))) << 32;
}

struct CutLds {
    u64 keys[CAPACITY];
    u32 chunk[MAX_TOP_K];
    u64 fold[64];
    double sums[64];
    u32 count;
};

// The largest keys of the chunks, sorted; notes which chunks the `want` largest are of. Returns the last of them: every
// key from it on lies in one of these chunks. 1: that is all there are.
RF_INLINE u64 bound_keys(const SampleArgs& a, CutLds& lds, const u64* chunk_keys, u32 want) {
    const u32 padded = next_power_of_two(a.chunks);
    for (u32 i = thread_id(); i < padded; i += block_threads()) lds.keys[i] = i < a.chunks ? chunk_keys[i] : 0;
    barrier();
    sort_falling(lds.keys, padded);
    for (u32 i = thread_id(); i < want; i += block_threads()) {
        lds.chunk[i] = i < a.chunks && lds.keys[i] != 0 ? key_token(lds.keys[i]) >> a.chunk_shift : NO_SLOT;
    }
    u64 bound = 1;
    if (want < a.chunks) bound = max_<u64>(lds.keys[want - 1], 1);
    if (thread_id() == 0) lds.count = 0;
    barrier();
    return bound;
}

// Gathers the keys from `bound` on, sorted. Returns how many there are; more than CAPACITY: not gathered.
RF_INLINE u32 gather_keys(const SampleArgs& a, CutLds& lds, const float* logits, u32 want, u64 bound) {
    for (u32 c = wave_in_block(); c < want; c += block_threads() / WAVE) {
        const u32 chunk = lds.chunk[c];
        if (chunk == NO_SLOT) continue;
        for (u32 i = lane(); i < 1u << a.chunk_shift; i += WAVE) {
            const u32 id = (chunk << a.chunk_shift) + i;
            const u64 key = id < a.vocab ? token_key(logits[id], id) : 0;
            if (key < bound) continue;
            const u32 at = atomic_add(&lds.count, 1u);
            if (at < CAPACITY) lds.keys[at] = key;
        }
    }
    barrier();
    const u32 count = lds.count;
    if (count > CAPACITY) return count;
    const u32 padded = next_power_of_two(count);
    for (u32 i = count + thread_id(); i < padded; i += block_threads()) lds.keys[i] = 0;
    barrier();
    sort_falling(lds.keys, padded);
    return count;
}

// How many of the first `count` keys hold `share` of the probability; 0: all together do not. `total` is the mass of
// all candidates; 0: of these.
RF_INLINE u32 count_with_mass(CutLds& lds, u32 count, float high, float share, double total) {
    constexpr u32 PER = CAPACITY / 1024;
    double weights[PER], mine = 0.0;
    RF_UNROLL
    for (u32 i = 0; i < PER; ++i) {
        const u32 at = thread_id() * PER + i;
        weights[i] = at < count ? static_cast<double>(sampler_exp(key_logit(lds.keys[at]) - high)) : 0.0;
        mine += weights[i];
    }
    double all;
    double held = sum_before(mine, lds.sums, all);
    const double wanted = static_cast<double>(share) * (total > 0.0 ? total : all);
    u32 first = 0;
    RF_UNROLL
    for (u32 i = 0; i < PER; ++i) {
        held += weights[i];
        const u32 at = thread_id() * PER + i;
        if (first == 0 && at < count && held >= wanted) first = ~at;
    }
    const u32 found = block_max(first, reinterpret_cast<u32*>(lds.fold));
    return found == 0 ? 0 : ~found + 1;
}

RF_INLINE u32 count_from(CutLds& lds, u32 count, u64 floor) {
    u32 mine = 0;
    for (u32 i = thread_id(); i < count; i += block_threads()) mine += lds.keys[i] >= floor;
    return block_sum(mine, reinterpret_cast<u32*>(lds.fold));
}

// Draws among the first `count` keys.
RF_INLINE u32 draw_from_lds(CutLds& lds, const SampleRow& row, u32 count, float high) {
    if (count <= 1) return key_token(lds.keys[0]);
    // By rising id, with the weight where the logit was.
    const u32 padded = next_power_of_two(count);
    for (u32 i = thread_id(); i < padded; i += block_threads()) {
        const u64 key = lds.keys[i];
        const float weight = draw_weight(key_logit(key), high, row.temperature);
        lds.keys[i] = i < count ? key << 32 | f32_bits(weight) : 0;
    }
    barrier();
    sort_falling(lds.keys, padded);

    constexpr u32 BLOCKS = CAPACITY / SUM_TOKENS;
    const float* weights = reinterpret_cast<const float*>(lds.keys);
    const u32 block = thread_id() / 16, start = block * SUM_TOKENS;
    const u32 here = block < BLOCKS && start < count ? min_(count - start, SUM_TOKENS) : 0;
    float* lanes = reinterpret_cast<float*>(lds.fold);
    double sum = 0.0;
    if (thread_id() < max_<u32>(BLOCKS * 16, WAVE)) {
        sum = ordered_sum(weights + start * 2, 2, here, thread_id() % 16, lanes + thread_id() / 16 * 16);
    }
    if (block < BLOCKS && thread_id() % 16 == 0) lds.sums[block] = sum;
    barrier();
    double total = 0.0;
    for (u32 b = 0; b < BLOCKS; ++b) total += lds.sums[b];
    const double target = philox_uniform(row.seed, row.position) * total;
    double before = 0.0;
    u32 last = 0;
    for (u32 b = 0; b < BLOCKS; ++b) {
        if (lds.sums[b] == 0.0) continue;
        last = b;
        if (before + lds.sums[b] > target) break;
        before += lds.sums[b];
    }
    barrier();

    const u32 at = last * SUM_TOKENS + thread_id();
    const float weight = at < count ? weights[at * 2] : 0.0f;
    double unused;
    const double held = before + (sum_before(weight, lds.sums, unused) + static_cast<double>(weight));
    const u32 passed = block_max(weight > 0.0f && held > target ? ~at : 0u, reinterpret_cast<u32*>(lds.fold));
    // The last one with weight stands in when rounding leaves the target unreached.
    const u32 spare = block_max(weight > 0.0f ? at : 0u, reinterpret_cast<u32*>(lds.fold));
    return key_token(lds.keys[passed ? ~passed : spare] >> 32);
}

// ---- the search over a whole row -----------------------------------------------------------------------------------

// How many keys from a cut on, and their weights as multiples of 2^-44.
struct Held {
    u64 count;
    u64 mass;
};

// For three cuts at once.
RF_INLINE void measure(const float* logits, u32 vocab, float high, const u64 (&cuts)[3], Held (&held)[3], u64* fold) {
    u64 count[3] = {0, 0, 0}, mass[3] = {0, 0, 0};
    for (u32 id = thread_id(); id < vocab; id += block_threads()) {
        const u64 key = token_key(logits[id], id);
        if (key < cuts[0]) continue;
        const u64 weight = static_cast<u64>(sampler_exp(key_logit(key) - high) * 17592186044416.0f);
        RF_UNROLL
        for (int i = 0; i < 3; ++i) {
            count[i] += key >= cuts[i] ? 1 : 0;
            mass[i] += key >= cuts[i] ? weight : 0;
        }
    }
    RF_UNROLL
    for (int i = 0; i < 3; ++i) held[i] = {block_sum(count[i], fold), block_sum(mass[i], fold)};
}

// The highest cut from which on there are at least that many keys and that much mass; `lowest` if there is none.
RF_INLINE u64 highest_cut(const float* logits, u32 vocab, float high, u64 lowest, u64 count, u64 mass, u64* fold) {
    // Ids take few bits: those above them are ones in every key.
    u32 id_bits = 2;
    while (1u << id_bits < vocab) id_bits += 2;
    u64 cut = 0;
    for (i32 bit = 62; bit >= 0; bit -= 2) {
        if (bit < 32 && bit >= static_cast<i32>(id_bits)) {
            cut |= 3ull << bit;
            continue;
        }
        const u64 cuts[3] = {cut | 1ull << bit, cut | 2ull << bit, cut | 3ull << bit};
        Held held[3];
        measure(logits, vocab, high, cuts, held, fold);
        u64 next = cut;
        RF_UNROLL
        for (int i = 0; i < 3; ++i) {
            if (held[i].count >= count && held[i].mass >= mass) next = cuts[i];
        }
        cut = next;
    }
    return max_(cut, lowest);
}

RF_INLINE u64 search_cut(const SampleArgs& a, const SampleRow& row, const float* logits, float high, u64* fold) {
    u64 cut = 1;
    if (row.top_k > 0) cut = highest_cut(logits, a.vocab, high, cut, row.top_k, 0, fold);
    if (row.top_p < 1.0f) {
        const u64 cuts[3] = {cut, cut, cut};
        Held held[3];
        measure(logits, a.vocab, high, cuts, held, fold);
        const double wanted = static_cast<double>(row.top_p) * static_cast<double>(held[0].mass);
        u64 mass = static_cast<u64>(wanted);
        if (static_cast<double>(mass) < wanted) ++mass;
        cut = highest_cut(logits, a.vocab, high, cut, 1, mass, fold);
    }
    return max_(cut, min_p_key(row, high));
}

// Decides in LDS; false: more candidates than it holds may be left.
RF_INLINE bool choose_in_lds(const SampleArgs& a, CutLds& lds, const SampleRow& row, const u64* chunk_keys,
                             const Scan& s, u32& token) {
    if (!truncates(row) || row.top_k > MAX_TOP_K) return false;
    const float high = key_logit(s.best);
    const u64 floor = min_p_key(row, high);
    const u32 want = row.top_k > 0 ? row.top_k : USUAL_CHUNKS;
    const u64 bound = bound_keys(a, lds, chunk_keys, want);
    // What min-p drops need not be gathered, unless it counts in the sum of top-p.
    const bool floor_bounds = floor > bound && !(row.top_k > 0 && row.top_p < 1.0f);
    const u32 found = gather_keys(a, lds, row_of(a, row), want, floor_bounds ? floor : bound);
    if (found > CAPACITY) return false;
    // Whether nothing beyond the gathered keys can be kept.
    bool decided = bound == 1 || floor_bounds || row.top_k > 0;
    u32 count = row.top_k > 0 ? min_(found, row.top_k) : found;
    if (row.top_p < 1.0f) {
        const u32 nucleus = count_with_mass(lds, count, high, row.top_p, row.top_k > 0 ? 0.0 : s.total);
        if (nucleus > 0) {
            decided = true;
            count = nucleus;
        }
    }
    if (!decided) return false;
    if (floor > 1) count = min_(count, count_from(lds, count, floor));
    token = draw_from_lds(lds, row, count, high);
    return true;
}

RF_KERNEL(1024) void sample_cut(SampleArgs a) {
    RF_LDS CutLds lds;
    const u32 index = block_x();
    const SampleRow row = a.rows[index];
    if (row.row == NO_ROW) {
        if (thread_id() == 0) a.states[index] = {0, 0, 0.0, 0, 0};
        return;
    }
    const Scan s = combine(a, a.stats + static_cast<u64>(index) * a.scan_blocks, lds.fold, lds.sums);
    const u32 status = row_status(s);
    u32 token = status == OK ? key_token(s.best) : 0;
    bool done = status != OK || row.temperature == 0.0f;
    if (!done) done = choose_in_lds(a, lds, row, a.chunk_keys + static_cast<u64>(index) * a.chunks, s, token);
    u64 cut = 1;
    if (!done && truncates(row)) cut = search_cut(a, row, row_of(a, row), key_logit(s.best), lds.fold);
    if (thread_id() == 0) a.states[index] = {cut, s.best, s.log_z, done ? 0u : 1u, 0};
    if (done) finish(a, row, index, token, status, s.bad ? ~s.bad : 0, s.log_z);
}
RF_EXPORT(sample_cut)

// ---- weigh and draw ------------------------------------------------------------------------------------------------

RF_INLINE float weight_of(const SampleRow& row, const RowState& state, const float* logits, u32 id, u32 vocab) {
    if (id >= vocab) return 0.0f;
    const u64 key = token_key(logits[id], id);
    return key < state.cut ? 0.0f : draw_weight(key_logit(key), key_logit(state.best), row.temperature);
}

RF_KERNEL(256) void sample_weigh(SampleArgs a) {
    RF_LDS float weights[SUM_TOKENS];
    RF_LDS float lanes[64];
    const RowState state = a.states[block_y()];
    if (!state.pending) return;
    const SampleRow row = a.rows[block_y()];
    const float* logits = row_of(a, row);
    const u32 first = block_x() * SUM_TOKENS;
    for (u32 i = thread_id(); i < SUM_TOKENS; i += block_threads()) {
        weights[i] = weight_of(row, state, logits, first + i, a.vocab);
    }
    barrier();
    if (thread_id() >= WAVE) return;
    const u32 here = thread_id() < 16 ? min_(a.vocab - first, SUM_TOKENS) : 0;
    const double sum = ordered_sum(weights, 1, here, thread_id() % 16, lanes + thread_id() / 16 * 16);
    if (thread_id() == 0) a.sums[static_cast<u64>(block_y()) * a.sum_blocks + block_x()] = sum;
}
RF_EXPORT(sample_weigh)

// The first place at which the running sum of `values` exceeds `target`, or else the last one that is not 0; `before`
// becomes the sum up to it. Lanes have PER neighbouring values each.
template <u32 PER> RF_INLINE u32 place_of(const double (&values)[PER], double target, double& before, double* sums,
                                          u32* fold, double* lds_before) {
    double mine = 0.0, unused;
    RF_UNROLL
    for (u32 i = 0; i < PER; ++i) mine += values[i];
    double held = before + sum_before(mine, sums, unused);
    u32 passed = 0, spare = 0;
    double at_passed = 0.0, at_spare = 0.0;
    RF_UNROLL
    for (u32 i = 0; i < PER; ++i) {
        const u32 at = thread_id() * PER + i;
        if (values[i] > 0.0) {
            spare = at;
            at_spare = held;
            if (passed == 0 && held + values[i] > target) {
                passed = ~at;
                at_passed = held;
            }
        }
        held += values[i];
    }
    const u32 first = block_max(passed, fold), last = block_max(spare, fold);
    if (first != 0 ? passed == first : spare == last && mine > 0.0) *lds_before = first != 0 ? at_passed : at_spare;
    barrier();
    before = *lds_before;
    return first != 0 ? ~first : last;
}

RF_KERNEL(256) void sample_draw(SampleArgs a) {
    RF_LDS double sums[64];
    RF_LDS u32 fold[64];
    RF_LDS double before_place;
    const u32 index = block_x();
    const RowState state = a.states[index];
    if (!state.pending) return;
    const SampleRow row = a.rows[index];
    const float* logits = row_of(a, row);

    double blocks[2], total;
    RF_UNROLL
    for (u32 i = 0; i < 2; ++i) {
        const u32 at = thread_id() * 2 + i;
        blocks[i] = at < a.sum_blocks ? a.sums[static_cast<u64>(index) * a.sum_blocks + at] : 0.0;
    }
    total = block_sum_f64(blocks[0] + blocks[1], sums);
    const double target = philox_uniform(row.seed, row.position) * total;
    double before = 0.0;
    const u32 block = place_of<2>(blocks, target, before, sums, fold, &before_place);

    double weights[4];
    RF_UNROLL
    for (u32 i = 0; i < 4; ++i) {
        weights[i] = weight_of(row, state, logits, block * SUM_TOKENS + thread_id() * 4 + i, a.vocab);
    }
    const u32 token = block * SUM_TOKENS + place_of<4>(weights, target, before, sums, fold, &before_place);
    finish(a, row, index, token, OK, 0, state.log_z);
}
RF_EXPORT(sample_draw)

// ---- guard ---------------------------------------------------------------------------------------------------------

struct GuardArgs {
    const float* x;
    u32* counts;
    u32 cols;
    u32 unused;
};

// counts[row] = how many of the row's numbers are NaN or +inf; -inf is a ban and not counted. Grid (rows), block 1024.
RF_KERNEL(1024) void nan_guard(GuardArgs a) {
    RF_LDS u32 fold[64];
    const float* x = a.x + static_cast<u64>(block_x()) * a.cols;
    u32 count = 0;
    for (u32 i = thread_id(); i < a.cols; i += block_threads()) count += !(x[i] < infinity());
    count = block_sum(count, fold);
    if (thread_id() == 0) a.counts[block_x()] = count;
}
RF_EXPORT(nan_guard)

}  // namespace rf
