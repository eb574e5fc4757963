// Kernels of the tests: right ones, and one for each mistake that is to be found.
#include "rf/platform.h"

namespace rf {

struct AddArgs { const float* x; const float* y; float* out; u32 count; u32 unused; };

RF_KERNEL(256) void add(AddArgs a) {
    const u32 i = block_x() * block_threads() + thread_id();
    if (i < a.count) a.out[i] = a.x[i] + a.y[i];
}
RF_EXPORT(add)

// out[block] = the sum of the block's part of x, by shuffles and LDS.
RF_KERNEL(256) void sum(AddArgs a) {
    RF_LDS float scratch[64];
    const u32 i = block_x() * block_threads() + thread_id();
    const float total = block_sum(i < a.count ? a.x[i] : 0.0f, scratch);
    if (thread_id() == 0) a.out[block_x()] = total;
}
RF_EXPORT(sum)

// Reverses a block; a barrier is missing.
RF_KERNEL(64) void reverse_without_barrier(AddArgs a) {
    RF_LDS float tile[64];
    tile[thread_id()] = a.x[thread_id()];
    const u32 from = thread_id() / 2;
    a.out[thread_id()] = tile[from];
}
RF_EXPORT(reverse_without_barrier)

// Half of the lanes shuffle while the others wait for the workgroup.
RF_KERNEL(64) void diverge(AddArgs a) {
    float v = a.x[thread_id()];
    if (thread_id() % 2 == 0) {
        v = shfl_xor(v, 2);
    } else {
        barrier();
    }
    a.out[thread_id()] = v;
}
RF_EXPORT(diverge)

// Writes one element too many.
RF_KERNEL(64) void write_behind(AddArgs a) {
    if (thread_id() <= a.count) a.out[thread_id()] = 1.0f;
}
RF_EXPORT(write_behind)

// Reads from nowhere.
RF_KERNEL(64) void read_nowhere(AddArgs a) {
    if (thread_id() == 5 && block_x() == 1) a.out[0] = a.x[0];
}
RF_EXPORT(read_nowhere)

RF_KERNEL(64) void wave_size(AddArgs a) {
    if (thread_id() == 0) a.out[0] = float(WAVE) + FRACTION;
}
RF_EXPORT(wave_size)

}  // namespace rf
