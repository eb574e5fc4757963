// split_planes.hip   plane[f][first + b] = bytes offset[f].. of block b      blocks as a file has them, into planes
// in    src u8 [blocks * block_bytes], at any address
// out   plane[f]: bytes[f] each block, from block `first` on; see rf/quant/chunk.h
// launch grid (ceil(blocks * words / block), 4), block up to 256; words of field y: 4, 2 or 1 bytes, the widest that
//        divides bytes[y]; rows of the grid beyond the last field return at once
// cost  reads and writes each byte once. Far from the device's memory bandwidth (src has no alignment), and far beyond
//       that of the bus the blocks came over
#include "rf/platform.h"

namespace rf {

struct SplitArgs {
    const u8* src;
    u8* plane[4];
    u64 first;
    u32 offset[4];
    u32 bytes[4];  // 0: no such field
    u32 block_bytes;
    u32 blocks;
};

// 4 bytes from anywhere.
RF_INLINE u32 gather4(const u8* p) {
    if ((reinterpret_cast<u64>(p) & 1u) == 0) {
        const u16* halves = reinterpret_cast<const u16*>(p);
        return static_cast<u32>(halves[0]) | static_cast<u32>(halves[1]) << 16;
    }
    return static_cast<u32>(p[0]) | static_cast<u32>(p[1]) << 8 | static_cast<u32>(p[2]) << 16 |
           static_cast<u32>(p[3]) << 24;
}

RF_KERNEL(256) void split_planes(SplitArgs a) {
    const u32 f = block_y(), bytes = a.bytes[f];
    if (bytes == 0) return;
    const u32 word = bytes % 4u == 0 ? 4u : bytes % 2u == 0 ? 2u : 1u, words = bytes / word;
    const u64 i = static_cast<u64>(block_x()) * block_threads() + thread_id();
    const u64 b = i / words;
    if (b >= a.blocks) return;
    const u32 at = static_cast<u32>(i % words) * word;
    const u8* from = a.src + b * a.block_bytes + a.offset[f] + at;
    u8* to = a.plane[f] + (a.first + b) * bytes + at;
    if (word == 4u) {
        *reinterpret_cast<u32*>(to) = gather4(from);
    } else {
        to[0] = from[0];
        if (word == 2u) to[1] = from[1];
    }
}
RF_EXPORT(split_planes)

}  // namespace rf
