// copy_blocks.hip   copies whole blocks of a cache over others, in every plane of every layer.
//
// in     cache; planes [planes]: where each begins and the bytes of a block in it, multiples of 2;
//        pairs u32 [pairs][2]: from and to. No block is written twice, nor read and written: the host sees to that
// launch grid (chunks, planes, pairs), block (256): a workgroup takes every chunks-th 4096 bytes; wave32 and wave64
// cost   reads and writes each byte once: memory-bound
#include "rf/platform.h"

namespace rf {

struct CachePlane {
    u64 offset;
    u64 block_bytes;
};

struct CopyBlocksArgs {
    u8* cache;
    const CachePlane* planes;
    const u32* pairs;
};

RF_KERNEL(256) void copy_blocks(CopyBlocksArgs a) {
    const CachePlane plane = a.planes[block_y()];
    const u8* from = a.cache + plane.offset + a.pairs[2 * block_z()] * plane.block_bytes;
    u8* to = a.cache + plane.offset + a.pairs[2 * block_z() + 1] * plane.block_bytes;
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
