// exact.hip: y[t, r] = Σ_c w[r, c] x[t, c] + bias[r] in f32, for weights of one type
//
// in    x f32 [tokens, k]; w, bias, experts and parts as in gemm.hip.  out y f32 [tokens, rows]
// launch grid (row_tiles * columns, splits), block (256); wave32 and wave64
// needs k a multiple of the type's block; any k for F32, F16 and BF16
// error weights as f32, sums f32 in the order of the columns (of a split): what arithmetic without a matrix unit gives
// cost  a multiplication-addition on the vector units for each weight and row; for f32 weights, which are few (routers),
//       for rows of floats that vectors do not divide, and for exact arithmetic
#include "rf/gemm/exact.h"

namespace rf {

template <bool FLOATS, class Shape> struct ExactStage { using Stage = ExactQuant<rf::Type, Shape>; };
template <class Shape> struct ExactStage<true, Shape> { using Stage = ExactFloats<rf::Type, Shape>; };

using Exact16x64 = ExactShape<16, 64>;
RF_KERNEL(EXACT_THREADS) void exact_16x64(GemmArgs a) {
    RF_LDS ExactLds<Exact16x64> lds;
    exact_tile<ExactStage<TYPE_IS_FLOAT, Exact16x64>::Stage>(a, lds);
}
RF_EXPORT(exact_16x64)

using Exact64x64 = ExactShape<64, 64>;
RF_KERNEL(EXACT_THREADS) void exact_64x64(GemmArgs a) {
    RF_LDS ExactLds<Exact64x64> lds;
    exact_tile<ExactStage<TYPE_IS_FLOAT, Exact64x64>::Stage>(a, lds);
}
RF_EXPORT(exact_64x64)

}  // namespace rf
