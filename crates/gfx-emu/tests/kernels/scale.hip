// The example of the README.
extern "C" __attribute__((global)) void scale(float* x, float by, int n) {
    const int i = static_cast<int>(__builtin_amdgcn_workgroup_id_x() * __builtin_amdgcn_workgroup_size_x() +
                                   __builtin_amdgcn_workitem_id_x());
    if (i < n) x[i] *= by;
}
