// gemm.hip: y[t, r] = Σ_c w[r, c] x[t, c] + bias[r] on the matrix units, for weights of one type
//
// in    x: halves [tokens, k_pad] with f32 scales [tokens] (bfloat16 and no scales for BF16 weights), zero beyond k;
//       w: planes of RF_TYPE [rows, k], up to four such matrices in one launch, or stacks of experts (rf/gemm/args.h);
//       bias f32 [rows] or null.  out y f32 [tokens, rows]
// launch grid (row_tiles * columns, splits), a workgroup has a wave for each of the tile's pieces; wave32 and wave64
// needs k a multiple of the type's block; k % 8 == 0 for F16 and BF16 (exact.hip takes the others)
// error x and w are rounded to halves (11 bits), products are exact and sums f32: about 4e-4 of sqrt(Σ (w x)²). The
//       scale of a group of weights is rounded to a half too.
// cost  each matrix is read once for every `M` rows of x and decoded once for them: 2 to 4 operations a weight on the
//       vector units, against 2 M on the matrix units
//
// tile (rows of x, rows of w)   for
// gemm_16x64                    up to 16 rows: read the weights at full speed; 128 columns at a time, so that enough
//                               loads are under way
// gemm_32x64, gemm_64x128       some rows
// gemm_128x128                  prefill: a wave computes 64x64, where a product reads the fewest bytes of LDS; on RDNA
//                               half of that with twice the waves, since each of its 32 lanes would need 256 registers
#include "rf/gemm/tile.h"

namespace rf {

#if defined(RF_TYPE_BF16)
using Number = bhalf;
#else
using Number = half;
#endif

template <bool FLOATS, class Shape> struct StageOf { using Type = StageQuant<rf::Type, Shape>; };
template <class Shape> struct StageOf<true, Shape> { using Type = StageFloats<Number, Shape>; };

template <class Shape> RF_INLINE void gemm_of(const GemmArgs& a, GemmLds<Number, Shape>& lds) {
    gemm_tile<Number, typename StageOf<TYPE_IS_FLOAT, Shape>::Type, Shape>(
        a, lds, TYPE_IS_FLOAT ? 1.0f : 1.0f / WEIGHT_SCALE);
}

using Tile16x64 = TileShape<16, 64, 128, 16, 16>;
RF_KERNEL(Tile16x64::THREADS) void gemm_16x64(GemmArgs a) {
    RF_LDS GemmLds<Number, Tile16x64> lds;
    gemm_of<Tile16x64>(a, lds);
}
RF_EXPORT(gemm_16x64)

using Tile32x64 = TileShape<32, 64, 64, 16, 32>;
RF_KERNEL(Tile32x64::THREADS) void gemm_32x64(GemmArgs a) {
    RF_LDS GemmLds<Number, Tile32x64> lds;
    gemm_of<Tile32x64>(a, lds);
}
RF_EXPORT(gemm_32x64)

using Tile64x128 = TileShape<64, 128, 32, 32, 64>;
RF_KERNEL(Tile64x128::THREADS) void gemm_64x128(GemmArgs a) {
    RF_LDS GemmLds<Number, Tile64x128> lds;
    gemm_of<Tile64x128>(a, lds);
}
RF_EXPORT(gemm_64x128)

#if RF_NVIDIA || RF_WAVE_SIZE == 64
using Tile128x128 = TileShape<128, 128, 32, 64, 64>;
#elif RF_AMD && !RF_HAS_MMA
using Tile128x128 = TileShape<128, 128, 32, 32, 64>;
#else
using Tile128x128 = TileShape<128, 128, 64, 64, 32>;
#endif
RF_KERNEL(Tile128x128::THREADS) void gemm_128x128(GemmArgs a) {
    RF_LDS GemmLds<Number, Tile128x128> lds;
    gemm_of<Tile128x128>(a, lds);
}
RF_EXPORT(gemm_128x128)

}  // namespace rf
