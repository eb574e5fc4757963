// exact.hip   y[t,r] = sum_c W[r,c] x[t,c] + bias[r]      a few rows of x, W of any type (RF_TYPE), x f32
// in    W planes of the type; x f32 [T, cols]; up to four W of one input in a launch
// out   y f32 [T, out_stride] for each W
// form  exact_1, _2, _4, and of floats _8: up to so many rows of x (8 of a block type do not fit the registers).
//       exact_experts: W [experts * rows, cols], y[p] = W[id[p]] x[p / outs_per_x], ids f32 [pairs]; exact_any: the
//       same for floats and rows of any length (ids null: no experts)
// launch grid (row blocks of all parts) or (row blocks, pairs), block up to 128, a multiple of the wave and of `lanes`;
//        a row block is block / lanes * 2 rows, in exact_8 of floats * 4
// needs cols % 32 == 0 and % BLOCK == 0, floats: cols * size % 16 == 0 (exact_any: nothing)  checked in ops/matvec.rs
// exact a column's bits do not depend on the other columns (rf/quant/rows.h)
// cost  reads W once. Floats are bound by memory: a lane has 64 B of W under way, 64 KB at 1024 lanes a multiprocessor.
//       Block types are bound by the loads of x and by arithmetic: this is the form for checking, not for speed
#include "rf/quant/exact.h"
#include "rf/quant/rows.h"

#if defined(RF_TYPE_F32) || defined(RF_TYPE_F16) || defined(RF_TYPE_BF16)
#define RF_TYPE_FLOAT 1
#endif

namespace rf {

#if defined(RF_TYPE_FLOAT)
using Unit = ExactVector<Type>;
#else
using Unit = ExactChunk<Type>;
#endif

template <class U, u32 COLS, bool EXPERTS = false> RF_INLINE void floats(const MatvecArgs& a) {
    constexpr bool MANY = COLS > 4;
    constexpr u32 ROWS = MANY ? U::MANY_ROWS : 2, DEPTH = MANY && U::DEPTH > 1 ? U::DEPTH / 2 : U::DEPTH;
    matvec<U, ROWS, COLS, DEPTH, EXPERTS>(a, FloatInput{static_cast<const float*>(a.x), a.cols});
}

RF_KERNEL(128) void exact_1(MatvecArgs a) { floats<Unit, 1>(a); }
RF_EXPORT(exact_1)
RF_KERNEL(128) void exact_2(MatvecArgs a) { floats<Unit, 2>(a); }
RF_EXPORT(exact_2)
RF_KERNEL(128) void exact_4(MatvecArgs a) { floats<Unit, 4>(a); }
RF_EXPORT(exact_4)
RF_KERNEL(128) void exact_experts(MatvecArgs a) { floats<Unit, 1, true>(a); }
RF_EXPORT(exact_experts)
#if defined(RF_TYPE_FLOAT)
RF_KERNEL(128) void exact_8(MatvecArgs a) { floats<Unit, 8>(a); }
RF_EXPORT(exact_8)
RF_KERNEL(128) void exact_any(MatvecArgs a) { floats<ExactElement<Type>, 1, true>(a); }
RF_EXPORT(exact_any)
#endif

}  // namespace rf
