//! Ops on a HIP device against the reference interpreter: the cheap cases of `gpu-tests ops`.

use crate::hip::gpu_tests;

#[test]
fn ops_match_the_reference() {
    gpu_tests(&["ops", "--quick"]);
}
