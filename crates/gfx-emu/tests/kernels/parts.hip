// Parts of registers, and private memory.
#include <hip/hip_runtime.h>

// y[i] = the sum of the bytes of x[i], with sign, each times its place from 1, as floats; minus its high half.
extern "C" __global__ void bytes(float *y, const unsigned *x) {
    const unsigned i = threadIdx.x, word = x[i];
    float sum = 0.0f;
    for (int place = 0; place < 4; ++place) sum += (place + 1) * (float)(signed char)(word >> (8 * place));
    y[i] = sum - (float)(word >> 16);
}

// y[i] = x[order[i] % 96 % 16] + i, through an array that each lane has for itself.
extern "C" __global__ void permuted(unsigned *y, const unsigned *x, const unsigned *order) {
    unsigned own[96]; // too many for registers
#pragma nounroll
    for (int k = 0; k < 96; ++k) own[k] = x[k % 16] + threadIdx.x;
    y[threadIdx.x] = own[order[threadIdx.x] % 96];
}
