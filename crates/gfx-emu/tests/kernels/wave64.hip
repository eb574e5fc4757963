// What differs in waves of 64, with -mwavefrontsize64, which the headers of HIP refuse.
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))

__device__ unsigned item() { return __builtin_amdgcn_workitem_id_x(); }

template <int CONTROL>
__device__ int by_dpp(int x) {
    return __builtin_amdgcn_update_dpp(0, x, CONTROL, 0xf, 0xf, true);
}

// The sum of 64 lanes, in each lane.
extern "C" __global__ void sum(const int* x, int* out) {
    int sum = x[item()];
    sum += by_dpp<0x161>(sum);
    sum += by_dpp<0x162>(sum);
    sum += by_dpp<0x164>(sum);
    sum += by_dpp<0x168>(sum);
    sum += __builtin_amdgcn_permlanex16(sum, sum, 0x76543210, 0xfedcba98, false, false);
    sum += __builtin_amdgcn_permlane64(sum);
    out[item()] = sum;
}

// Positions of the odd ones of x[0..n], in order; then 64 lanes with branches that only some take.
extern "C" __global__ void compact(const unsigned* x, unsigned* kept, unsigned* count, unsigned n) {
    const unsigned i = item();
    if (i >= n) return;
    const bool odd = x[i] & 1;
    const unsigned long long mask = __builtin_amdgcn_ballot_w64(odd);
    const unsigned before = __builtin_amdgcn_mbcnt_hi(unsigned(mask >> 32), __builtin_amdgcn_mbcnt_lo(unsigned(mask), 0));
    if (odd) kept[before] = i;
    if (i == 0) *count = __builtin_popcountll(mask);
}

// Steps to 1 by halving and tripling: every lane leaves the loop at its own time.
extern "C" __global__ void collatz(const unsigned* x, unsigned* out) {
    unsigned value = x[item()], steps = 0;
    for (; value > 1; ++steps) value = value & 1 ? 3 * value + 1 : value / 2;
    out[item()] = steps;
}
