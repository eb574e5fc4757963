// matvec.hip   y[t,r] = sum_c W[r,c] x[t,c] + bias[r]      1 to 8 rows of x, W in a block type (RF_TYPE), x in q8 form
// in    W planes of the type; x i8 [T, cols] with (d, sum) f32 [T, cols / 32]; up to four W of one input in a launch
// out   y f32 [T, out_stride] for each W
// form  matvec_experts: W [experts * rows, cols], y[p] = W[id[p]] x[p / outs_per_x], ids f32 [pairs]
// launch grid (row blocks of all parts) or (row blocks, pairs), block up to 128, a multiple of the wave and of `lanes`;
//        a row block is block / lanes * ROWS rows. ROWS: 2 up to 4 columns, then MANY_ROWS of the type's unit
// needs cols % 32 == 0 and % BLOCK == 0, planes 16-byte aligned                        checked in ops/matvec.rs
// exact a column's bits do not depend on the other columns (rf/quant/rows.h)
// cost  reads W once: bound by memory. A lane has 2 rows * DEPTH units under way: 64 B of codes (Q4_0, Q4_K), 128 B
//       (Q8_0), 96 B (Q6_K). At 1024 lanes a multiprocessor, what 64 registers leave room for, that is 64 KB, 128 KB
//       and 96 KB; 4.3 TB/s at 800 ns on 132 of them ask for 26 KB, an RX 7900 XTX for 8 KB a compute unit
#include "rf/quant/rows.h"

namespace rf {

using Unit = Type::Unit;

template <u32 COLS, bool EXPERTS = false> RF_INLINE void bytes(const MatvecArgs& a) {
    constexpr bool MANY = COLS > 4;
    constexpr u32 ROWS = MANY ? Unit::MANY_ROWS : 2, DEPTH = MANY && Unit::DEPTH > 1 ? Unit::DEPTH / 2 : Unit::DEPTH;
    matvec<Unit, ROWS, COLS, DEPTH, EXPERTS>(a, ByteInput{static_cast<const i8*>(a.x), a.scales, a.cols});
}

RF_KERNEL(128) void matvec_1(MatvecArgs a) { bytes<1>(a); }
RF_EXPORT(matvec_1)
RF_KERNEL(128) void matvec_2(MatvecArgs a) { bytes<2>(a); }
RF_EXPORT(matvec_2)
RF_KERNEL(128) void matvec_3(MatvecArgs a) { bytes<3>(a); }
RF_EXPORT(matvec_3)
RF_KERNEL(128) void matvec_4(MatvecArgs a) { bytes<4>(a); }
RF_EXPORT(matvec_4)
RF_KERNEL(128) void matvec_5(MatvecArgs a) { bytes<5>(a); }
RF_EXPORT(matvec_5)
RF_KERNEL(128) void matvec_6(MatvecArgs a) { bytes<6>(a); }
RF_EXPORT(matvec_6)
RF_KERNEL(128) void matvec_7(MatvecArgs a) { bytes<7>(a); }
RF_EXPORT(matvec_7)
RF_KERNEL(128) void matvec_8(MatvecArgs a) { bytes<8>(a); }
RF_EXPORT(matvec_8)
RF_KERNEL(128) void matvec_experts(MatvecArgs a) { bytes<1, true>(a); }
RF_EXPORT(matvec_experts)

}  // namespace rf
