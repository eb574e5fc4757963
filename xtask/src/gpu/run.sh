#!/bin/sh
# Tests and measurements of ROCmForge on this machine's GPU, without Rust. It was packed by `cargo xtask pack`.
#
#   run.sh                       all tests
#   run.sh ops golden            some of them; --help lists the parts
#   run.sh kernels -- --only matvec --bandwidth 4800
#   run.sh bench-gpu --model FILE --llama-bench PATH
#
# ROCMFORGE_HIP_LIBRARY names the HIP library; otherwise the system's is used, or bin/libhip_on_cuda.so over CUDA.
# ROCMFORGE_CACHE names the folder in which compiled kernels are kept; otherwise it is `cache` beside this file. Test data
# lies in `data` beside this file, or else in the current folder's `tests/data`.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
needed=@GLIBC@

system=$(uname -s -m)
if [ "$system" != "Linux x86_64" ]; then
  echo "error: these programs are for Linux on x86-64, and this is $system" >&2
  exit 1
fi
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null || echo "another C library")
newest=$(printf '%s\n' "$needed" "${libc#glibc }" | sort -V | tail -n 1)
case $libc in
  glibc\ *) [ "$newest" = "${libc#glibc }" ] || { echo "error: $libc, but glibc $needed is needed" >&2; exit 1; } ;;
  *) echo "error: $libc, but glibc $needed is needed" >&2; exit 1 ;;
esac
echo "$libc (glibc $needed or later is needed), $(nproc) cores"

if [ ! -x "$here/bin/xtask" ] || [ "$here/bin.tar.xz" -nt "$here/bin/xtask" ]; then
  tar -C "$here" -xJmf "$here/bin.tar.xz" || { echo "error: tar and xz are needed to unpack bin.tar.xz" >&2; exit 1; }
fi

ROCMFORGE_CACHE=${ROCMFORGE_CACHE:-$here/cache}
export ROCMFORGE_CACHE
task=test-gpu
if [ "${1:-}" = bench-gpu ]; then
  task=bench-gpu
  shift
fi
exec "$here/bin/xtask" "$task" --packed "$here" "$@"
