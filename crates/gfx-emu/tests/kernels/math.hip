// Arithmetic beyond one instruction: divisions, roots, the device library's functions, integers of 64 bits.
#include <hip/hip_runtime.h>

typedef unsigned long long u64;

extern "C" __global__ void doubles(const double* a, const double* b, double* out, unsigned n) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const double x = a[i], y = b[i];
    const double all[] = {x + y, x - y, x * y, x / y, sqrt(fabs(x)), fma(x, y, -x), fmin(x, y), fmax(x, y), 1.0 / y};
    for (unsigned k = 0; k < sizeof all / 8; ++k) out[k * n + i] = all[k];
}

extern "C" __global__ void floats(const float* a, const float* b, float* out, unsigned n) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const float x = a[i], y = b[i];
    const float all[] = {x / y, sqrtf(fabsf(x)), 1.0f / y, fmaf(x, y, -x), fmodf(x, y)};
    for (unsigned k = 0; k < sizeof all / 4; ++k) out[k * n + i] = all[k];
}

// a in -80 to 80, b in 1/16 to 16.
extern "C" __global__ void functions_f32(const float* a, const float* b, float* out, unsigned n) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const float x = a[i], y = b[i];
    const float all[] = {expf(x), logf(y), sinf(x), cosf(x), powf(y, x / 16), erff(x / 16), tanhf(x / 16),
                         exp2f(x), log2f(y), log10f(y), expm1f(x / 64), log1pf(y), rsqrtf(y), sinf(x * 4096)};
    for (unsigned k = 0; k < sizeof all / 4; ++k) out[k * n + i] = all[k];
}

extern "C" __global__ void functions_f64(const double* a, const double* b, double* out, unsigned n) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const double x = a[i], y = b[i];
    const double all[] = {exp(x), log(y), sin(x), cos(x), pow(y, x / 16), tanh(x / 16)};
    for (unsigned k = 0; k < sizeof all / 8; ++k) out[k * n + i] = all[k];
}

extern "C" __global__ void longs(const u64* a, const u64* b, u64* out, unsigned n) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const u64 x = a[i], y = b[i];
    const long long s = x, t = y;
    const u64 all[] = {x * y,        x / y,  x % y,   u64(s / t), u64(s % t), __umul64hi(x, y), u64(__mul64hi(s, t)),
                       x << (y & 63), x >> (y & 63), u64(s >> (y & 63)), unsigned(x) / (unsigned(y) | 1),
                       unsigned(int(x) % (int(y) | 1)), u64(__clzll(s)), u64(__popcll(x)), u64(__ffsll(s)), __brevll(x)};
    for (unsigned k = 0; k < sizeof all / 8; ++k) out[k * n + i] = all[k];
}

// x + y and x * y in the four rounding modes: nearest, up, down, towards zero; out[mode][2][n].
extern "C" __global__ void rounding(const float* a, const float* b, float* out, unsigned n) {
    const unsigned i = threadIdx.x;
    const float x = a[i], y = b[i];
    for (unsigned mode = 0; mode < 4; ++mode) {
        float sum, product;
        // In one piece, for the compiler does not know that the mode matters to them.
        asm volatile("s_setreg_b32 hwreg(HW_REG_MODE, 0, 2), %4\n\t"
                     "v_add_f32 %0, %2, %3\n\t"
                     "v_mul_f32 %1, %2, %3\n\t"
                     "s_setreg_imm32_b32 hwreg(HW_REG_MODE, 0, 2), 0"
                     : "=&v"(sum), "=&v"(product)
                     : "v"(x), "v"(y), "s"(mode));
        out[mode * 2 * n + i] = sum;
        out[(mode * 2 + 1) * n + i] = product;
    }
}
