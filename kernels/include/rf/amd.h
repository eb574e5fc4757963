// rf/amd.h: the primitives of platform.h on AMD GPUs, through clang's builtins and the device library.
#pragma once

#if defined(__GFX9__)
#define RF_WAVE_SIZE 64
#else
#define RF_WAVE_SIZE 32
#endif

#define RF_OCML(name) extern "C" __attribute__((device, const)) float __ocml_##name##_f32(float)
RF_OCML(exp);
RF_OCML(exp2);
RF_OCML(log);
RF_OCML(log2);
RF_OCML(tanh);
RF_OCML(erf);
RF_OCML(sqrt);
extern "C" __attribute__((device, pure)) float __ocml_pow_f32(float, float);
extern "C" __attribute__((device)) float __ocml_sin_f32(float);
extern "C" __attribute__((device)) float __ocml_cos_f32(float);
#undef RF_OCML

namespace rf {

// Lanes of a wave: RDNA 32 (as we compile it), CDNA 64.
constexpr int WAVE = RF_WAVE_SIZE;

// ---- where am I ----------------------------------------------------------------------------------------------------
RF_INLINE u32 thread_id() { return __builtin_amdgcn_workitem_id_x(); }
RF_INLINE u32 block_threads() { return __builtin_amdgcn_workgroup_size_x(); }
RF_INLINE u32 block_x() { return __builtin_amdgcn_workgroup_id_x(); }
RF_INLINE u32 block_y() { return __builtin_amdgcn_workgroup_id_y(); }
RF_INLINE u32 block_z() { return __builtin_amdgcn_workgroup_id_z(); }
// The hidden arguments begin with the number of workgroups in x, y and z (code object version 5).
RF_INLINE u32 grid_dim(int i) {
    return ((const __attribute__((address_space(4))) u32*)__builtin_amdgcn_implicitarg_ptr())[i];
}
RF_INLINE u32 grid_x() { return grid_dim(0); }
RF_INLINE u32 grid_y() { return grid_dim(1); }
RF_INLINE u32 grid_z() { return grid_dim(2); }
RF_INLINE u32 lane() {
    const u32 low = __builtin_amdgcn_mbcnt_lo(~0u, 0u);
    return WAVE == 64 ? __builtin_amdgcn_mbcnt_hi(~0u, low) : low;
}
// The same in all lanes of a wave; said so to the compiler, so that it may live in a scalar register.
RF_INLINE u32 wave_in_block() { return __builtin_amdgcn_readfirstlane(thread_id() / WAVE); }

// ---- order ---------------------------------------------------------------------------------------------------------
RF_INLINE void barrier() {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup");
    __builtin_amdgcn_s_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
}
RF_INLINE void wave_barrier() {
    __builtin_amdgcn_fence(__ATOMIC_RELEASE, "wavefront");
    __builtin_amdgcn_wave_barrier();
    __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "wavefront");
}
// Makes this workgroup's writes visible to the device; used before an atomic that says so.
RF_INLINE void device_fence() { __builtin_amdgcn_fence(__ATOMIC_SEQ_CST, "agent"); }
// Keeps the compiler from moving loads and stores across; no instruction.
RF_INLINE void order_memory() { asm volatile("" ::: "memory"); }

// ---- between lanes -------------------------------------------------------------------------------------------------
RF_INLINE u32 shfl(u32 v, u32 from) {
    return static_cast<u32>(__builtin_amdgcn_ds_bpermute(static_cast<i32>(from << 2), static_cast<i32>(v)));
}
RF_INLINE i32 shfl(i32 v, u32 from) { return static_cast<i32>(shfl(static_cast<u32>(v), from)); }
RF_INLINE float shfl(float v, u32 from) { return bits_f32(shfl(f32_bits(v), from)); }
RF_INLINE u64 shfl(u64 v, u32 from) {
    return static_cast<u64>(shfl(static_cast<u32>(v >> 32), from)) << 32 | shfl(static_cast<u32>(v), from);
}
template <class T> RF_INLINE T shfl_xor(T v, u32 mask, u32 = WAVE) { return shfl(v, lane() ^ mask); }
template <class T> RF_INLINE T shfl_down(T v, u32 delta, u32 width = WAVE) {
    const u32 me = lane(), to = me + delta;
    return shfl(v, (me & (width - 1)) + delta < width ? to : me);
}

// The exchange with a mask known at compile time takes one VALU instruction where the target has one (DPP).
template <int MASK> RF_INLINE u32 xor_bits(u32 v) {
#if defined(__GFX9__)
    if constexpr (MASK < 32) {
        return static_cast<u32>(__builtin_amdgcn_ds_swizzle(static_cast<i32>(v), MASK << 10 | 0x1f));
    }
#else
    if constexpr (MASK < 16) {
        return static_cast<u32>(__builtin_amdgcn_update_dpp(0, static_cast<i32>(v), 0x160 + MASK, 0xf, 0xf, true));
    } else if constexpr (MASK == 16) {
        return __builtin_amdgcn_permlanex16(v, v, 0x76543210u, 0xfedcba98u, false, false);
    }
#endif
    return shfl(v, lane() ^ MASK);
}
template <int MASK> RF_INLINE u32 shfl_xor_const(u32 v) { return xor_bits<MASK>(v); }
template <int MASK> RF_INLINE i32 shfl_xor_const(i32 v) { return static_cast<i32>(xor_bits<MASK>(static_cast<u32>(v))); }
template <int MASK> RF_INLINE float shfl_xor_const(float v) { return bits_f32(xor_bits<MASK>(f32_bits(v))); }
template <int MASK> RF_INLINE u64 shfl_xor_const(u64 v) {
    return static_cast<u64>(xor_bits<MASK>(static_cast<u32>(v >> 32))) << 32 | xor_bits<MASK>(static_cast<u32>(v));
}

RF_INLINE u64 ballot(bool p) {
#if RF_WAVE_SIZE == 64
    return __builtin_amdgcn_ballot_w64(p);
#else
    return __builtin_amdgcn_ballot_w32(p);
#endif
}
RF_INLINE u32 count_bits(u64 v) { return static_cast<u32>(__builtin_popcountll(v)); }

// ---- dot product of bytes ------------------------------------------------------------------------------------------
#if defined(__GFX11__) || defined(__GFX12__)
RF_INLINE i32 dot4(i32 a, i32 b, i32 c) { return __builtin_amdgcn_sudot4(true, a, true, b, c, false); }
#define RF_HAS_DOT4_US
RF_INLINE i32 dot4_us_native(u32 a, i32 b, i32 c) {
    return __builtin_amdgcn_sudot4(false, static_cast<i32>(a), true, b, c, false);
}
#else
RF_INLINE i32 dot4(i32 a, i32 b, i32 c) { return __builtin_amdgcn_sdot4(a, b, c, false); }
#endif

// ---- memory --------------------------------------------------------------------------------------------------------
using u32v2 = u32 __attribute__((ext_vector_type(2)));
using u32v4 = u32 __attribute__((ext_vector_type(4)));
RF_INLINE u32 load4_stream(const void* p) { return __builtin_nontemporal_load(static_cast<const u32*>(p)); }
RF_INLINE u32x2 load8_stream(const void* p) {
    const u32v2 v = __builtin_nontemporal_load(static_cast<const u32v2*>(p));
    return {v.x, v.y};
}
RF_INLINE u32x4 load16_stream(const void* p) {
    const u32v4 v = __builtin_nontemporal_load(static_cast<const u32v4*>(p));
    return {v.x, v.y, v.z, v.w};
}
// Copies 16 bytes from global memory to LDS; done at the latest when async_wait says so. Here it is a plain copy.
RF_INLINE void async_copy16(void* lds, const void* global) {
    *static_cast<u32x4*>(lds) = *static_cast<const u32x4*>(global);
}
RF_INLINE void async_commit() {}
template <int PENDING> RF_INLINE void async_wait() {}

RF_INLINE u32 atomic_add(u32* p, u32 v) {
    return __hip_atomic_fetch_add(p, v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
RF_INLINE float atomic_add(float* p, float v) {
    return __hip_atomic_fetch_add(p, v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
RF_INLINE u32 atomic_max(u32* p, u32 v) {
    return __hip_atomic_fetch_max(p, v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
RF_INLINE u64 atomic_max(u64* p, u64 v) {
    return __hip_atomic_fetch_max(p, v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}
RF_INLINE u32 atomic_or(u32* p, u32 v) {
    return __hip_atomic_fetch_or(p, v, __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
}

// ---- mathematics ---------------------------------------------------------------------------------------------------
RF_INLINE float fma_(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
RF_INLINE float abs_(float x) { return __builtin_fabsf(x); }
RF_INLINE float floor_(float x) { return __builtin_floorf(x); }
RF_INLINE float rint_(float x) { return __builtin_rintf(x); }
RF_INLINE float exp_(float x) { return __ocml_exp_f32(x); }
RF_INLINE float exp2_(float x) { return __ocml_exp2_f32(x); }
RF_INLINE float log_(float x) { return __ocml_log_f32(x); }
RF_INLINE float log2_(float x) { return __ocml_log2_f32(x); }
RF_INLINE float tanh_(float x) { return __ocml_tanh_f32(x); }
RF_INLINE float erf_(float x) { return __ocml_erf_f32(x); }
RF_INLINE float pow_(float x, float y) { return __ocml_pow_f32(x, y); }
RF_INLINE float sin_(float x) { return __ocml_sin_f32(x); }
RF_INLINE float cos_(float x) { return __ocml_cos_f32(x); }
RF_INLINE float sqrt_(float x) { return __ocml_sqrt_f32(x); }
RF_INLINE float rsqrt_(float x) { return 1.0f / __ocml_sqrt_f32(x); }
RF_INLINE float rcp_fast(float x) { return __builtin_amdgcn_rcpf(x); }
RF_INLINE float exp2_fast(float x) { return __builtin_amdgcn_exp2f(x); }

}  // namespace rf
