// A product of a matrix of 4-bit blocks with a vector of 8-bit blocks, as inference spends its time in: a wave a row,
// eight values a dot product, partial sums exchanged between lanes.
typedef unsigned int u32;

struct Args {
    const u32* weights;   // rows × blocks × 4 words of 8 nibbles each
    const float* scales;  // rows × blocks
    const u32* vector;    // blocks × 8 words of 4 bytes
    const float* vector_scales;
    float* out;
    int rows, blocks;
};

static __device__ float lane_sum(float v) {
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) {
        v += __builtin_bit_cast(float, __builtin_amdgcn_ds_bpermute(
            static_cast<int>(((__builtin_amdgcn_mbcnt_lo(~0u, 0u)) ^ mask) << 2), __builtin_bit_cast(int, v)));
    }
    return v;
}

extern "C" __attribute__((global, amdgpu_flat_work_group_size(1, 256))) void matvec(Args a) {
    const int lane = __builtin_amdgcn_workitem_id_x() % 32;
    const int row = __builtin_amdgcn_workgroup_id_x() * 8 + __builtin_amdgcn_workitem_id_x() / 32;
    if (row >= a.rows) return;
    float sum = 0.0f;
    for (int block = lane; block < a.blocks; block += 32) {
        const u32* w = a.weights + (static_cast<long>(row) * a.blocks + block) * 4;
        const u32* v = a.vector + static_cast<long>(block) * 8;
        int dot = 0;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            dot = __builtin_amdgcn_sudot4(false, w[i] & 0x0f0f0f0f, true, v[2 * i], dot, false);
            dot = __builtin_amdgcn_sudot4(false, w[i] >> 4 & 0x0f0f0f0f, true, v[2 * i + 1], dot, false);
        }
        sum += static_cast<float>(dot) * (a.scales[static_cast<long>(row) * a.blocks + block] * a.vector_scales[block]);
    }
    sum = lane_sum(sum);
    if (lane == 0) a.out[row] = sum;
}
