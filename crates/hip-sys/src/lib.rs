//! Raw bindings to the HIP runtime and hipRTC, opened at run time.
