// mma_check.hip: c[m, n] = Σ_k a[m, k] b[n, k] and row_sums[m] = Σ_n c[m, n], through rf/mma.h: what its tests run
//
// in    a, b of halves (mma_half) or bfloat16 (mma_bhalf) [16, k], k % 16 == 0.  out c f32 [16, 16], row_sums f32 [16]
// launch grid (1), a block of one wave
// The tiles stand in LDS with rows `stride` apart (a multiple of 8, at most 136); what lies between them is NaN.
#include "rf/mma.h"

namespace rf {

struct MmaCheckArgs {
    const u16* a;
    const u16* b;
    float* c;
    float* row_sums;
    u32 k;
    u32 stride;
};

constexpr u32 MAX_STRIDE = 136;

template <class T> RF_INLINE void check(const MmaCheckArgs& args, T* a, T* b) {
    FragC c;
    c.zero();
    for (u32 first = 0; first < args.k; first += 16) {
        barrier();
        for (u32 i = lane(); i < 16 * args.stride; i += WAVE) {
            const u32 row = i / args.stride, column = i % args.stride;
            const u32 from = row * args.k + first + column;
            a[i] = {column < 16 ? args.a[from] : static_cast<u16>(0x7fff)};
            b[i] = {column < 16 ? args.b[from] : static_cast<u16>(0x7fff)};
        }
        barrier();
        FragA<T> tile_a;
        FragB<T> tile_b;
        load_a(tile_a, a, static_cast<int>(args.stride));
        load_b(tile_b, b, static_cast<int>(args.stride));
        mma(c, tile_a, tile_b);
        c.settle();
    }
    c.each([&](int m, int n, float& v) { args.c[m * 16 + n] = v; });
    RF_UNROLL for (int i = 0; i < FragC::COUNT; ++i) {
        float sum = 0.0f;
        RF_UNROLL for (int j = 0; j < FragC::COUNT; ++j) sum += FragC::row(j) == FragC::row(i) ? c.v[j] : 0.0f;
        sum = group_sum<FragC::ROW_LANES>(sum);
        args.row_sums[FragC::row(i)] = sum;
    }
}

RF_KERNEL(WAVE) void mma_half(MmaCheckArgs args) {
    RF_LDS half a[16 * MAX_STRIDE];
    RF_LDS half b[16 * MAX_STRIDE];
    check(args, a, b);
}
RF_EXPORT(mma_half)

RF_KERNEL(WAVE) void mma_bhalf(MmaCheckArgs args) {
    RF_LDS bhalf a[16 * MAX_STRIDE];
    RF_LDS bhalf b[16 * MAX_STRIDE];
    check(args, a, b);
}
RF_EXPORT(mma_bhalf)

}  // namespace rf
