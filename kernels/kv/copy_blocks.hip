// copy_blocks.hip   copies whole blocks, in every plane of every layer: within a cache, or between a cache and packed
//                   blocks, each of which has its planes one behind the other.
//
// in     from, to: a cache (stride 0) or packed blocks every `stride` bytes; planes [planes]: where each begins in the
//        cache, the bytes of a block in it, multiples of 2, and where it begins in a packed block, a multiple of 16;
//        pairs u32 [pairs][2]: from and to. No block is written twice, nor read and written: the host sees to that
// launch grid (chunks, planes, pairs), block (256): a workgroup takes every chunks-th 4096 bytes; wave32 and wave64
// cost   reads and writes each byte once: memory-bound
#include "rf/platform.h"

namespace rf {

struct CachePlane {
    u64 offset;
    u64 block_bytes;
    u64 packed;
};

struct CopyBlocksArgs {
    const u8* from;
    u8* to;
    const CachePlane* planes;
    const u32* pairs;
    u64 from_stride;
    u64 to_stride;
};

RF_INLINE u64 place(const CachePlane& plane, u64 stride, u64 index) {
    return stride == 0 ? plane.offset + index * plane.block_bytes : plane.packed + index * stride;
}

RF_KERNEL(256) void copy_blocks(CopyBlocksArgs a) {
    const CachePlane plane = a.planes[block_y()];
    const u8* from = a.from + place(plane, a.from_stride, a.pairs[2 * block_z()]);
    u8* to = a.to + place(plane, a.to_stride, a.pairs[2 * block_z() + 1]);
    const u64 step = static_cast<u64>(grid_x()) * block_threads();
    const u64 first = static_cast<u64>(block_x()) * block_threads() + thread_id();
    if (plane.block_bytes % 16 == 0) {
        for (u64 i = first; i < plane.block_bytes / 16; i += step) store16(to + 16 * i, load16(from + 16 * i));
    } else {
        for (u64 i = first; i < plane.block_bytes / 2; i += step) {
            reinterpret_cast<u16*>(to)[i] = reinterpret_cast<const u16*>(from)[i];
        }
    }
}
RF_EXPORT(copy_blocks)

}  // namespace rf
