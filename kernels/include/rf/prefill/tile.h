// rf/prefill/tile.h: a wave's share of attention: scores of a tile of keys, their softmax as it goes on, and the sums
// of values (arXiv:2205.14135).
//
// A wave has TILES tiles of 16 rows. Weights are 2^(score - largest so far), times 2^BIAS so that small ones stay
// normal halves (the matrix unit of gfx90a takes others for zero); the sum of weights carries the same factor.
// Tiles of keys begin at multiples of their size, and one that a row does not see changes nothing of the row: a
// query's result is the same bits in any tile of queries.
#pragma once

#include "rf/prefill/stage.h"

// Without a matrix unit fragments are whole rows, and registers have room for those of one step.
#if RF_HAS_MMA
#define RF_UNROLL_STEPS RF_UNROLL
#elif RF_AMD
#define RF_UNROLL_STEPS _Pragma("unroll 1")
#else
#define RF_UNROLL_STEPS
#endif

namespace rf {

constexpr float BIAS = 14.0f;
// What a row that has seen nothing yet has as its largest: less than any score, which is a product of at most 256
// columns of Q within 1024 and of K within 65504, and finite, so that it has differences.
constexpr float NOTHING = -1e11f;

template <class Shape> struct PrefillWave {
    static constexpr int TILES = Shape::TILES, KEY_TILES = Shape::KEYS / 16, STEPS = Shape::DIM / 16;
    static constexpr int COLUMN_TILES = Shape::VALUE / 16;
    static constexpr int HELD_STEPS = Shape::HOLDS_Q ? STEPS : 1;

    // Fragments of keys and values on their way during a product. Compilers for AMD load all at once or one by one;
    // ptxas finds an order, and without a matrix unit there are no registers for it. gfx11 has them for one of its
    // large fragments.
    static constexpr int LEAD = RF_AMD && RF_HAS_MMA ? (sizeof(KeyFrag) > 16 ? 1 : 2) : 0;

    FragC out[TILES][COLUMN_TILES];
    float largest[TILES][LANE_QUERIES];
    float sum[TILES][LANE_QUERIES];  // of this lane's keys
    QueryFrag held[TILES][HELD_STEPS];

    RF_INLINE static u32 first_row() { return wave_in_block() * (16 * TILES); }
    // Row of the workgroup.
    RF_INLINE static u32 row_of(int t, int slot) { return first_row() + t * 16 + query_of(first_of(slot)); }

    // Of scores, as powers of two: a weight is 2^(score * unit).
    RF_INLINE static float unit_of(const PrefillLds<Shape>& lds, bool capped, int t, int slot) {
        return capped ? 1.0f : lds.unit[row_of(t, slot)];
    }

    RF_INLINE void begin() {
        RF_UNROLL_TILES for (int t = 0; t < TILES; ++t) {
            RF_UNROLL_TILES for (int n = 0; n < COLUMN_TILES; ++n) out[t][n].zero();
            RF_UNROLL_TILES for (int s = 0; s < LANE_QUERIES; ++s) {
                largest[t][s] = NOTHING;
                sum[t][s] = 0.0f;
            }
        }
    }

    // Columns of Q in LDS, `first` of which are multiplied by now, to registers.
    template <int FIRST> RF_INLINE void hold_queries(const half* queries) {
        RF_UNROLL_TILES for (int step = 0; step < Shape::QUERY_COLUMNS / 16 && FIRST + step < STEPS; ++step) {
            RF_UNROLL_TILES for (int t = 0; t < TILES; ++t) {
                load_query(held[t][FIRST + step], queries + (first_row() + t * 16) * Shape::QUERY_STRIDE + step * 16,
                           Shape::QUERY_STRIDE);
            }
        }
    }

    RF_INLINE void add_scores(FragC (&score)[TILES][KEY_TILES], const half* queries, const half* keys) {
        RF_UNROLL_TILES for (int t = 0; t < TILES; ++t) {
            RF_UNROLL_TILES for (int j = 0; j < KEY_TILES; ++j) score[t][j].zero();
        }
        KeyFrag k[1 + LEAD];
        RF_UNROLL for (int i = 0; i < LEAD; ++i) load_key_tile(k[i], keys, i);
        RF_UNROLL_STEPS for (int step = 0; step < STEPS; ++step) {
            QueryFrag q[TILES];
            RF_UNROLL_TILES for (int t = 0; t < TILES; ++t) {
                if constexpr (Shape::HOLDS_Q) {
                    q[t] = held[t][step];
                } else {
                    load_query(q[t], queries + (first_row() + t * 16) * Shape::QUERY_STRIDE + step * 16,
                               Shape::QUERY_STRIDE);
                }
            }
            RF_UNROLL_TILES for (int j = 0; j < KEY_TILES; ++j) {
                const int now = step * KEY_TILES + j, next = now + LEAD;
                if (next < STEPS * KEY_TILES) load_key_tile(k[next % (1 + LEAD)], keys, next);
                if constexpr (LEAD > 0) order_memory();
                RF_UNROLL_TILES for (int t = 0; t < TILES; ++t) {
                    mma_scores(score[t][j], q[t], k[now % (1 + LEAD)]);
                    score[t][j].settle();
                    finish(score[t][j]);
                }
            }
        }
    }
    RF_INLINE static void load_key_tile(KeyFrag& k, const half* keys, int i) {
        load_key(k, keys + i % KEY_TILES * 16 * Shape::KEY_STRIDE + i / KEY_TILES * 16, Shape::KEY_STRIDE);
    }

    // score = cap * tanh(score / cap), where scores came divided by the cap.
    RF_INLINE void cap(FragC (&score)[TILES][KEY_TILES], const PrefillLds<Shape>& lds, float softcap) {
        RF_UNROLL_TILES for (int t = 0; t < TILES; ++t) {
            RF_UNROLL_TILES for (int i = 0; i < FragC::COUNT; ++i) {
                const float factor = lds.unit[row_of(t, slot_of(i))] * (2.0f * LOG2E);
                RF_UNROLL_TILES for (int j = 0; j < KEY_TILES; ++j) {
                    const float e = exp2_fast(score[t][j].v[i] * factor);
                    score[t][j].v[i] = softcap * LOG2E * fma_(-2.0f, rcp_fast(e + 1.0f), 1.0f);
                }
            }
        }
    }

    RF_INLINE void hide(FragC (&score)[TILES][KEY_TILES], const PrefillLds<Shape>& lds, u32 first) {
        RF_UNROLL_TILES for (int t = 0; t < TILES; ++t) {
            RF_UNROLL_TILES for (int i = 0; i < FragC::COUNT; ++i) {
                const Seen seen = lds.seen[row_of(t, slot_of(i))];
                const u32 key = first + key_of(i);
                RF_UNROLL_TILES for (u32 j = 0; j < KEY_TILES; ++j) {
                    if (key + j * 16 < seen.low || key + j * 16 >= seen.high) score[t][j].v[i] = neg_inf();
                }
            }
        }
    }

    // Turns scores into weights; what was added up so far is brought to the new largest score.
    RF_INLINE void soften(FragC (&score)[TILES][KEY_TILES], Weights (&weights)[TILES][KEY_TILES],
                          const PrefillLds<Shape>& lds, bool capped) {
        float factor[TILES][LANE_QUERIES];
        bool grew = false;
        RF_UNROLL_TILES for (int t = 0; t < TILES; ++t) {
            float most[LANE_QUERIES], unit[LANE_QUERIES];
            RF_UNROLL_TILES for (int s = 0; s < LANE_QUERIES; ++s) most[s] = largest[t][s];
            RF_UNROLL_TILES for (int j = 0; j < KEY_TILES; ++j) {
                RF_UNROLL_TILES for (int i = 0; i < FragC::COUNT; ++i) {
                    most[slot_of(i)] = larger(most[slot_of(i)], score[t][j].v[i]);
                }
            }
            RF_UNROLL_TILES for (int s = 0; s < LANE_QUERIES; ++s) {
                unit[s] = unit_of(lds, capped, t, s);
                most[s] = fold_keys<Larger>(most[s]);
                factor[t][s] = exp2_fast((largest[t][s] - most[s]) * unit[s]);
                grew |= most[s] > largest[t][s];
                largest[t][s] = most[s];
                sum[t][s] *= factor[t][s];
                most[s] = fma_(most[s], -unit[s], BIAS);
            }
            RF_UNROLL_TILES for (int j = 0; j < KEY_TILES; ++j) {
                RF_UNROLL_TILES for (int i = 0; i < FragC::COUNT; ++i) {
                    const float weight = exp2_fast(fma_(score[t][j].v[i], unit[slot_of(i)], most[slot_of(i)]));
                    sum[t][slot_of(i)] += weight;
                    score[t][j].v[i] = weight;
                }
                pack_weights(weights[t][j], score[t][j]);
            }
        }
        if (ballot(grew) == 0) return;
        RF_UNROLL_TILES for (int t = 0; t < TILES; ++t) {
            RF_UNROLL_TILES for (int n = 0; n < COLUMN_TILES; ++n) {
                RF_UNROLL_TILES for (int i = 0; i < FragC::COUNT; ++i) out[t][n].v[i] *= factor[t][slot_of(i)];
            }
        }
    }

    RF_INLINE void add_values(const Weights (&weights)[TILES][KEY_TILES], const half* values, half* lds) {
        ValueFrag v[1 + LEAD];
        RF_UNROLL for (int i = 0; i < LEAD; ++i) load_value_tile(v[i], values, i);
        RF_UNROLL_TILES for (int j = 0; j < KEY_TILES; ++j) {
            WeightFrag w[TILES];
            RF_UNROLL_TILES for (int t = 0; t < TILES; ++t) make_weights(w[t], weights[t][j], lds);
            RF_UNROLL_TILES for (int n = 0; n < COLUMN_TILES; ++n) {
                const int now = j * COLUMN_TILES + n, next = now + LEAD;
                if (next < KEY_TILES * COLUMN_TILES) load_value_tile(v[next % (1 + LEAD)], values, next);
                if constexpr (LEAD > 0) order_memory();
                RF_UNROLL_TILES for (int t = 0; t < TILES; ++t) {
                    mma_values(out[t][n], w[t], v[now % (1 + LEAD)]);
                    out[t][n].settle();
                    finish(out[t][n]);
                }
            }
        }
    }
    RF_INLINE static void load_value_tile(ValueFrag& v, const half* values, int i) {
        const int key = i / COLUMN_TILES * 16, column = i % COLUMN_TILES * 16;
        const int at = KEYS_DOWN ? column * Shape::VALUE_STRIDE + key : key * Shape::VALUE_STRIDE + column;
        load_value(v, values + at, Shape::VALUE_STRIDE);
    }

    // What sums of values are multiplied by: 1 / (sum of weights, the sink's included).
    RF_INLINE float share(const PrefillArgs& a, const PrefillLds<Shape>& lds, int t, int slot, u32 head) const {
        const float total = fold_keys<Sum>(sum[t][slot]);
        if (a.sinks == nullptr) return 1.0f / total;
        const float sink = a.sinks[head] * LOG2E, top = largest[t][slot] * unit_of(lds, a.softcap != 0.0f, t, slot);
        const float most = larger(top, sink);
        const float w = exp2_fast(top - most);
        return w / fma_(total, w, exp2_fast(sink - most + BIAS));
    }

    RF_INLINE void store(const PrefillArgs& a, const PrefillLds<Shape>& lds) {
        RF_UNROLL_TILES for (int t = 0; t < TILES; ++t) {
            RF_UNROLL_TILES for (int s = 0; s < LANE_QUERIES; ++s) {
                const u32 place = lds.place[row_of(t, s)];
                const float factor = share(a, lds, t, s, place == NONE ? 0 : place % a.heads);
                if (place != NONE) store_row(a, t, s, factor, a.out + static_cast<u64>(place) * a.value_dim);
            }
        }
    }

    RF_INLINE void store_row(const PrefillArgs& a, int t, int slot, float factor, float* to) const {
        constexpr u32 GROUPS = Shape::VALUE / 8, ROUNDS = GROUPS / 16;
        RF_UNROLL_TILES for (int i = 0; i < FragC::COUNT; ++i) {
            if (slot_of(i) != slot) continue;
            if constexpr (KEYS_DOWN && GROUPS % 16 == 0) {
                // Columns that follow each other are ROUNDS tiles apart.
                RF_UNROLL_TILES for (u32 n = 0; n < ROUNDS; ++n) {
                    const u32 col = column_of<Shape::VALUE>(n * 16 + key_of(i));
                    if (col >= a.value_dim) continue;
                    RF_UNROLL_TILES for (u32 c = 0; c < 8; c += 4) {
                        const f32x4 v = {out[t][n + c * ROUNDS].v[i], out[t][n + (c + 1) * ROUNDS].v[i],
                                         out[t][n + (c + 2) * ROUNDS].v[i], out[t][n + (c + 3) * ROUNDS].v[i]};
                        store_f32x4(to + col + c, times(v, factor));
                    }
                }
            } else if constexpr (RF_NVIDIA) {
                if (i % 2 != 0) continue;
                RF_UNROLL for (u32 n = 0; n < COLUMN_TILES; ++n) {
                    const u32 col = n * 16 + key_of(i);
                    const f32x2 v = {out[t][n].v[i] * factor, out[t][n].v[i + 1] * factor};
                    if (col < a.value_dim) *reinterpret_cast<f32x2*>(to + col) = v;
                }
            } else {
                RF_UNROLL_TILES for (u32 n = 0; n < COLUMN_TILES; ++n) {
                    const u32 col = column_of<Shape::VALUE>(n * 16 + key_of(i));
                    if (col < a.value_dim) to[col] = out[t][n].v[i] * factor;
                }
            }
        }
    }
};

}  // namespace rf
