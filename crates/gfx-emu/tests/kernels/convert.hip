// Conversions among all number types: out[kind][i] has the bits of a result in its low ones.
#include <hip/hip_runtime.h>

typedef _Float16 f16;
typedef unsigned long long u64;

template <typename To, typename From>
__device__ To cast(From from) {
    static_assert(sizeof(To) == sizeof(From), "");
    return __builtin_bit_cast(To, from);
}
__device__ u64 bits(float x) { return cast<unsigned>(x); }
__device__ u64 bits(double x) { return cast<u64>(x); }
__device__ u64 bits(f16 x) { return cast<unsigned short>(x); }
__device__ u64 bits(__bf16 x) { return cast<unsigned short>(x); }

extern "C" __global__ void from_f32(const float* in, u64* out, unsigned n) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const float x = in[i];
    const u64 all[] = {bits(f16(x)),    bits(__bf16(x)),         bits(double(x)),          u64(unsigned(int(x))),
                       unsigned(x),     u64((long long)(x)),     (unsigned char)(unsigned(x)), (unsigned char)(char)(int(x)),
                       unsigned(__float2int_rn(x)), bits(rintf(x)), bits(truncf(x)),        bits(floorf(x)),
                       bits(ceilf(x)),  bits(roundf(x))};
    for (unsigned k = 0; k < sizeof all / 8; ++k) out[k * n + i] = all[k];
}

extern "C" __global__ void from_f64(const double* in, u64* out, unsigned n) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const double x = in[i];
    const u64 all[] = {bits(float(x)),  bits(f16(x)),    unsigned(int(x)), unsigned(x), u64((long long)(x)), u64(x),
                       bits(rint(x)), bits(floor(x)), bits(trunc(x))};
    for (unsigned k = 0; k < sizeof all / 8; ++k) out[k * n + i] = all[k];
}

extern "C" __global__ void from_i64(const u64* in, u64* out, unsigned n) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const u64 x = in[i];
    const long long s = x;
    const u64 all[] = {bits(float(x)),       bits(float(s)),      bits(double(x)),      bits(double(s)),
                       bits(float(int(x))),  bits(float(unsigned(x))), bits(double(int(x))), bits(double(unsigned(x))),
                       bits(float((signed char)x)), bits(float((unsigned char)x)), bits(f16((signed char)x)),
                       bits(f16((unsigned char)x)), bits(f16((short)x)), bits(__bf16((unsigned char)x)), u64((long long)(signed char)x),
                       u64((long long)(short)x)};
    for (unsigned k = 0; k < sizeof all / 8; ++k) out[k * n + i] = all[k];
}

// Of every pattern of 16 bits.
extern "C" __global__ void from_16(const unsigned short* in, u64* out, unsigned n) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const f16 h = cast<f16>(in[i]);
    const __bf16 b = cast<__bf16>(in[i]);
    const u64 all[] = {bits(float(h)), bits(double(h)), bits(float(b)), unsigned(int(h)), bits(f16(float(b)))};
    for (unsigned k = 0; k < sizeof all / 8; ++k) out[k * n + i] = all[k];
}
