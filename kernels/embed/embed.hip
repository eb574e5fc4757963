// embed.hip   y[t,:] = scale * W[token[t],:]      W of any type (RF_TYPE)
// in    W planes [rows, cols]; token u32 [T] (numbers of rows and more are read as the last row)
// out   y f32 [T, cols]
// launch grid (ceil(pieces / block), T), block up to 256; a lane makes a piece: 32 values, of a float type one
// needs cols % 32 == 0 and % BLOCK == 0 but for float types                             checked in ops/embed.rs
// cost  reads T rows of W, writes 4 * T * cols bytes; the write decides. A lane stores 128 B in 8 pieces of 16
#include "rf/quant/float.h"
#include "rf/quant/quant.h"

namespace rf {

struct EmbedArgs {
    Planes w;
    const u32* token;
    float* out;
    u32 cols;
    u32 rows;
    float scale;
    u32 pad;
};

template <class T> RF_INLINE void embed_piece(const EmbedArgs& a, u32 piece, u32 row, float* out) {
    if constexpr (T::BLOCK == 1) {
        out[piece] = a.scale * load_float<T>(a.w, static_cast<u64>(row) * a.cols + piece);
    } else {
        const Planes w = planes_at<T>(a.w, static_cast<u64>(row) * (a.cols / T::BLOCK));
        const Chunk c = T::decode(T::load(w, piece), piece);
        RF_UNROLL for (u32 i = 0; i < 8; ++i) {
            const u32 codes = static_cast<u32>(c.q[i]);
            const float d = c.d[i / 4], m = -c.m[i / 4];
            const f32x4 v = {fma_(d, signed_byte(codes, 0), m), fma_(d, signed_byte(codes, 1), m),
                             fma_(d, signed_byte(codes, 2), m), fma_(d, signed_byte(codes, 3), m)};
            store_f32x4(out + piece * 32u + 4u * i,
                        {a.scale * v.x, a.scale * v.y, a.scale * v.z, a.scale * v.w});
        }
    }
}

RF_KERNEL(256) void embed(EmbedArgs a) {
    const u32 piece = block_x() * block_threads() + thread_id();
    if (piece >= a.cols / (TYPE_IS_FLOAT ? 1u : 32u)) return;
    const u32 row = min_(a.token[block_y()], a.rows - 1u);
    embed_piece<Type>(a, piece, row, a.out + static_cast<u64>(block_y()) * a.cols);
}
RF_EXPORT(embed)

}  // namespace rf
