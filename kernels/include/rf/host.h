// rf/host.h: the primitives of platform.h on a CPU, where each lane is a fiber (see host_run.h).
//
// g++ -std=c++17 -O2 -ffp-contract=fast -fno-strict-aliasing -march=native -DRF_HOST -DRF_WAVE=32 -I kernels/include
//     -x c++ kernel.hip -shared -fPIC -o kernel.so
//
// RF_EXPORT(k) then gives the object the functions rf_run_k (see below), rf_args_size_k and rf_lanes_k. Static LDS are
// thread-local variables. LDS are filled with NaN when a block begins, and values of lanes that have returned are NaN.
#pragma once

#include "rf/host_run.h"

#define RF_WAVE_SIZE RF_WAVE
#if !defined(__clang__)
#undef RF_UNROLL
#define RF_UNROLL _Pragma("GCC unroll 16")
#endif

// Nothing but exports is seen from outside: two modules in one process may have functions and LDS of the same name.
#pragma GCC visibility push(hidden)

#define RF_HOST_JOIN_(a, b) a##b
#define RF_HOST_JOIN(a, b) RF_HOST_JOIN_(a, b)
#define RF_KERNEL(threads) \
    static const ::rf_host::Bound RF_HOST_JOIN(rf_host_bound_, __COUNTER__){threads}; \
    static
#define RF_LDS alignas(16) static thread_local
#define RF_DYNAMIC_LDS(T, name) T* name = reinterpret_cast<T*>(::rf_host::current->lds)
#define RF_HOST_VISIBLE extern "C" __attribute__((visibility("default"), used))
// The target that the object was compiled for, for whoever loads it.
#if defined(RF_HOST_TARGET)
RF_HOST_VISIBLE __attribute__((weak)) const char* rf_host_target() { return RF_HOST_TARGET; }
#endif
#define RF_EXPORT(kernel)                                                                                            \
    static const ::rf_host::Export rf_host_export_##kernel;                                                          \
    RF_HOST_VISIBLE unsigned rf_args_size_##kernel() { return ::rf_host::Entry<&kernel>::BYTES; }                    \
    RF_HOST_VISIBLE unsigned rf_lanes_##kernel() { return rf_host_export_##kernel.bound; }                           \
    RF_HOST_VISIBLE int rf_run_##kernel(const void* args, unsigned grid_x, unsigned grid_y, unsigned grid_z,         \
                                        unsigned threads, unsigned lds_bytes, const ::rf_host::Options* options) {   \
        return ::rf_host::run(#kernel, ::rf_host::Entry<&kernel>::run, rf_host_export_##kernel.bound, args,          \
                              {grid_x, grid_y, grid_z}, threads, lds_bytes, options);                                \
    }

namespace rf {

constexpr int WAVE = RF_WAVE;

// ---- where am I ----------------------------------------------------------------------------------------------------
RF_INLINE u32 thread_id() { return rf_host::current->lane; }
RF_INLINE u32 block_threads() { return rf_host::current->launch->threads; }
RF_INLINE u32 block_x() { return rf_host::current->block[0]; }
RF_INLINE u32 block_y() { return rf_host::current->block[1]; }
RF_INLINE u32 block_z() { return rf_host::current->block[2]; }
RF_INLINE u32 grid_x() { return rf_host::current->launch->grid[0]; }
RF_INLINE u32 grid_y() { return rf_host::current->launch->grid[1]; }
RF_INLINE u32 grid_z() { return rf_host::current->launch->grid[2]; }
RF_INLINE u32 lane() { return thread_id() % WAVE; }
RF_INLINE u32 wave_in_block() { return thread_id() / WAVE; }

// ---- order ---------------------------------------------------------------------------------------------------------
RF_INLINE void barrier() { rf_host::wait_for(rf_host::BLOCK_BARRIER); }
RF_INLINE void wave_barrier() { rf_host::wait_for(rf_host::WAVE_BARRIER); }
RF_INLINE void device_fence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
RF_INLINE void order_memory() {}

// ---- between lanes -------------------------------------------------------------------------------------------------
// What every lane of the wave published in one exchange; good until this lane's next one but one.
template <class T> struct Published {
    const u8* slots;
    RF_INLINE T from(u32 lane) const {
        T v;
        __builtin_memcpy(&v, slots + (lane % WAVE) * rf_host::SLOT_BYTES, sizeof(T));
        return v;
    }
};
template <class T> RF_INLINE Published<T> host_exchange(const T& v, u32 kind = rf_host::EXCHANGE) {
    static_assert(sizeof(T) <= rf_host::SLOT_BYTES, "too much for one exchange");
    rf_host::Worker* w = rf_host::current;
    rf_host::Wave& wave = w->waves[w->lane / RF_WAVE];
    u8* slots = wave.slots[wave.phase][0];
    __builtin_memcpy(slots + w->lane % RF_WAVE * rf_host::SLOT_BYTES, &v, sizeof(T));
    rf_host::wait_for(kind);
    return {slots};
}
template <class T> RF_INLINE T shfl(T v, u32 from) { return host_exchange(v).from(from); }
template <class T> RF_INLINE T shfl_xor(T v, u32 mask, u32 = WAVE) { return shfl(v, lane() ^ mask); }
template <class T> RF_INLINE T shfl_down(T v, u32 delta, u32 width = WAVE) {
    const u32 me = lane();
    return shfl(v, (me & (width - 1)) + delta < width ? me + delta : me);
}
template <int MASK, class T> RF_INLINE T shfl_xor_const(T v) { return shfl(v, lane() ^ MASK); }
RF_INLINE u64 ballot(bool p) {
    rf_host::Worker* w = rf_host::current;
    const rf_host::Wave& wave = w->waves[w->lane / RF_WAVE];
    const Published<u32> all = host_exchange(static_cast<u32>(p), rf_host::BALLOT);
    u64 mask = 0;
    for (u32 i = 0; i < WAVE; ++i) mask |= static_cast<u64>(all.from(i) == 1) << i;
    return mask & wave.exists;
}
RF_INLINE u32 count_bits(u64 v) { return static_cast<u32>(__builtin_popcountll(v)); }

// ---- dot product of bytes ------------------------------------------------------------------------------------------
RF_INLINE i32 dot4(i32 a, i32 b, i32 c) {
    for (int i = 0; i < 32; i += 8) c += static_cast<i32>(static_cast<i8>(a >> i)) * static_cast<i8>(b >> i);
    return c;
}
#define RF_HAS_DOT4_US
RF_INLINE i32 dot4_us_native(u32 a, i32 b, i32 c) {
    for (int i = 0; i < 32; i += 8) c += static_cast<i32>(a >> i & 0xffu) * static_cast<i8>(b >> i);
    return c;
}

// ---- memory --------------------------------------------------------------------------------------------------------
template <class T> RF_INLINE const T* host_aligned(const void* p) {
    if (reinterpret_cast<uintptr_t>(p) % sizeof(T)) rf_host::fail("%zu bytes at address %p, which is no multiple", sizeof(T), p);
    return static_cast<const T*>(p);
}
RF_INLINE u32 load4_stream(const void* p) { return *host_aligned<u32>(p); }
RF_INLINE u32x2 load8_stream(const void* p) { return *host_aligned<u32x2>(p); }
RF_INLINE u32x4 load16_stream(const void* p) { return *host_aligned<u32x4>(p); }

// In forward order a copy is done at once, in the others only when it is waited for: both may happen on a GPU.
inline void host_finish_copies(u32 pending) {
    rf_host::Copies& c = rf_host::current->copies[thread_id()];
    u32 kept = 0;
    for (u32 i = 0; i < c.count; ++i) {
        if (c.list[i].group + pending < c.committed) {
            *static_cast<u32x4*>(c.list[i].to) = *static_cast<const u32x4*>(c.list[i].from);
        } else {
            c.list[kept++] = c.list[i];
        }
    }
    c.count = kept;
}
inline void async_copy16(void* lds, const void* global) {
    rf_host::Worker* w = rf_host::current;
    rf_host::Copies& c = w->copies[w->lane];
    (void)host_aligned<u32x4>(lds);
    if (w->launch->order == rf_host::FORWARD || c.count == rf_host::MAX_COPIES) {
        *static_cast<u32x4*>(lds) = *host_aligned<u32x4>(global);
    } else {
        c.list[c.count++] = {lds, host_aligned<u32x4>(global), c.committed};
    }
}
RF_INLINE void async_commit() { ++rf_host::current->copies[thread_id()].committed; }
template <int PENDING> RF_INLINE void async_wait() { host_finish_copies(PENDING); }

RF_INLINE u32 atomic_add(u32* p, u32 v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
RF_INLINE u32 atomic_or(u32* p, u32 v) { return __atomic_fetch_or(p, v, __ATOMIC_RELAXED); }
template <class T, class F> RF_INLINE T host_atomic(T* p, F change) {
    T old;
    __atomic_load(p, &old, __ATOMIC_RELAXED);
    T wanted = change(old);
    while (!__atomic_compare_exchange(p, &old, &wanted, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) wanted = change(old);
    return old;
}
RF_INLINE float atomic_add(float* p, float v) {
    return host_atomic(p, [v](float old) { return old + v; });
}
RF_INLINE u32 atomic_max(u32* p, u32 v) {
    return host_atomic(p, [v](u32 old) { return old < v ? v : old; });
}
RF_INLINE u64 atomic_max(u64* p, u64 v) {
    return host_atomic(p, [v](u64 old) { return old < v ? v : old; });
}

// ---- mathematics ---------------------------------------------------------------------------------------------------
RF_INLINE float fma_(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
RF_INLINE float abs_(float x) { return __builtin_fabsf(x); }
RF_INLINE float floor_(float x) { return __builtin_floorf(x); }
RF_INLINE float rint_(float x) { return __builtin_rintf(x); }
RF_INLINE float exp_(float x) { return __builtin_expf(x); }
RF_INLINE float exp2_(float x) { return __builtin_exp2f(x); }
RF_INLINE float log_(float x) { return __builtin_logf(x); }
RF_INLINE float log2_(float x) { return __builtin_log2f(x); }
RF_INLINE float tanh_(float x) { return __builtin_tanhf(x); }
RF_INLINE float erf_(float x) { return __builtin_erff(x); }
RF_INLINE float pow_(float x, float y) { return __builtin_powf(x, y); }
RF_INLINE float sin_(float x) { return __builtin_sinf(x); }
RF_INLINE float cos_(float x) { return __builtin_cosf(x); }
RF_INLINE float sqrt_(float x) { return __builtin_sqrtf(x); }
RF_INLINE float rsqrt_(float x) { return 1.0f / __builtin_sqrtf(x); }
RF_INLINE float rcp_fast(float x) { return 1.0f / x; }
RF_INLINE float exp2_fast(float x) { return __builtin_exp2f(x); }

}  // namespace rf
