// rf/host_test.h: calls kernels from a C++ program, without any Rust: for trying one out.
//
//   #include "norm/norm.hip"          (the kernel file itself)
//   #include "rf/host_test.h"
//   int main() {
//       NormArgs args = ...;
//       rf_host::launch(rf_run_norm_f32, {rows, 1, 1}, 256, 0, args);
//       // compare; then again in other orders, to find missing barriers:
//       for (const char* order : {"reverse", "1", "2"}) { rf_host::set_order(order); ... }
//   }
// g++ -std=c++17 -O2 -g -ffp-contract=fast -fno-strict-aliasing -march=native -DRF_HOST -DRF_WAVE=32
//     -I kernels/include -I kernels -x c++ test.cpp -o test -pthread
#pragma once

#include "rf/platform.h"

namespace rf_host {

using RunFunction = int (*)(const void*, unsigned, unsigned, unsigned, unsigned, unsigned, const Options*);
struct Grid { unsigned x, y, z; };

// "forward", "reverse", or a number: the seed of a random order.
inline void set_order(const char* order) { setenv("ROCMFORGE_FAKE_HIP_ORDER", order, 1); }

// Runs a kernel; what goes wrong is told on stderr and ends the program.
template <class Args> void launch(RunFunction run, Grid grid, unsigned threads, unsigned lds_bytes, const Args& args) {
    if (run(&args, grid.x, grid.y, grid.z, threads, lds_bytes, nullptr)) exit(1);
}
// The same for a test that expects a failure: its message, or "" without one.
template <class Args>
const char* failure(RunFunction run, Grid grid, unsigned threads, unsigned lds_bytes, const Args& args) {
    static char message[512];
    Options options = options_from_environment();
    options.error = message;
    options.error_bytes = sizeof(message);
    message[0] = 0;
    run(&args, grid.x, grid.y, grid.z, threads, lds_bytes, &options);
    return message;
}

}  // namespace rf_host
