// rf/nvidia.h: the primitives of platform.h on NVIDIA GPUs, through NVRTC's builtins and PTX.
#pragma once

#define RF_WAVE_SIZE 32

namespace rf {

constexpr int WAVE = RF_WAVE_SIZE;
constexpr u32 ALL_LANES = 0xffffffffu;

// ---- where am I ----------------------------------------------------------------------------------------------------
RF_INLINE u32 thread_id() { return threadIdx.x; }
RF_INLINE u32 block_threads() { return blockDim.x; }
RF_INLINE u32 block_x() { return blockIdx.x; }
RF_INLINE u32 block_y() { return blockIdx.y; }
RF_INLINE u32 block_z() { return blockIdx.z; }
RF_INLINE u32 grid_x() { return gridDim.x; }
RF_INLINE u32 grid_y() { return gridDim.y; }
RF_INLINE u32 grid_z() { return gridDim.z; }
RF_INLINE u32 lane() { return threadIdx.x & (WAVE - 1); }
RF_INLINE u32 wave_in_block() { return threadIdx.x / WAVE; }

// ---- order ---------------------------------------------------------------------------------------------------------
RF_INLINE void barrier() { __syncthreads(); }
RF_INLINE void wave_barrier() { __syncwarp(); }
RF_INLINE void device_fence() { __threadfence(); }
RF_INLINE void order_memory() {}

// ---- between lanes -------------------------------------------------------------------------------------------------
template <class T> RF_INLINE T shfl(T v, u32 from) { return __shfl_sync(ALL_LANES, v, static_cast<int>(from)); }
template <class T> RF_INLINE T shfl_xor(T v, u32 mask, u32 = WAVE) {
    return __shfl_xor_sync(ALL_LANES, v, static_cast<int>(mask));
}
template <class T> RF_INLINE T shfl_down(T v, u32 delta, u32 width = WAVE) {
    return __shfl_down_sync(ALL_LANES, v, delta, static_cast<int>(width));
}
template <int MASK, class T> RF_INLINE T shfl_xor_const(T v) { return __shfl_xor_sync(ALL_LANES, v, MASK); }
RF_INLINE u64 ballot(bool p) { return __ballot_sync(ALL_LANES, p); }
RF_INLINE u32 count_bits(u64 v) { return static_cast<u32>(__popcll(v)); }

// ---- dot product of bytes ------------------------------------------------------------------------------------------
RF_INLINE i32 dot4(i32 a, i32 b, i32 c) {
    i32 d;
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}
#define RF_HAS_DOT4_US
RF_INLINE i32 dot4_us_native(u32 a, i32 b, i32 c) {
    i32 d;
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

// ---- memory --------------------------------------------------------------------------------------------------------
RF_INLINE u32 load4_stream(const void* p) {
    u32 v;
    asm("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(v) : "l"(p));
    return v;
}
RF_INLINE u32x2 load8_stream(const void* p) {
    u32x2 v;
    asm("ld.global.nc.L1::no_allocate.v2.u32 {%0,%1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(p));
    return v;
}
RF_INLINE u32x4 load16_stream(const void* p) {
    u32x4 v;
    asm("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
        : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
        : "l"(p));
    return v;
}
RF_INLINE u32 lds_address(const void* p) { return static_cast<u32>(__cvta_generic_to_shared(p)); }
// Copies 16 bytes from global memory to LDS; done at the latest when async_wait says so.
RF_INLINE void async_copy16(void* lds, const void* global) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(lds_address(lds)), "l"(global) : "memory");
}
RF_INLINE void async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most PENDING committed groups of this lane are under way; a barrier must follow.
template <int PENDING> RF_INLINE void async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory"); }

RF_INLINE u32 atomic_add(u32* p, u32 v) { return atomicAdd(p, v); }
RF_INLINE float atomic_add(float* p, float v) { return atomicAdd(p, v); }
RF_INLINE u32 atomic_max(u32* p, u32 v) { return atomicMax(p, v); }
RF_INLINE u64 atomic_max(u64* p, u64 v) { return atomicMax(p, v); }
RF_INLINE u32 atomic_or(u32* p, u32 v) { return atomicOr(p, v); }

// ---- mathematics ---------------------------------------------------------------------------------------------------
RF_INLINE float fma_(float a, float b, float c) { return fmaf(a, b, c); }
RF_INLINE float abs_(float x) { return fabsf(x); }
RF_INLINE float floor_(float x) { return floorf(x); }
RF_INLINE float rint_(float x) { return rintf(x); }
RF_INLINE float exp_(float x) { return expf(x); }
RF_INLINE float exp2_(float x) { return exp2f(x); }
RF_INLINE float log_(float x) { return logf(x); }
RF_INLINE float log2_(float x) { return log2f(x); }
RF_INLINE float tanh_(float x) { return tanhf(x); }
RF_INLINE float erf_(float x) { return erff(x); }
RF_INLINE float pow_(float x, float y) { return powf(x, y); }
RF_INLINE float sin_(float x) { return sinf(x); }
RF_INLINE float cos_(float x) { return cosf(x); }
RF_INLINE float sqrt_(float x) { return sqrtf(x); }
RF_INLINE float rsqrt_(float x) { return 1.0f / sqrtf(x); }
RF_INLINE float rcp_fast(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
RF_INLINE float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

}  // namespace rf
