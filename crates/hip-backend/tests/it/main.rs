//! Tests against a HIP library: the fake one, or the one that `ROCMFORGE_HIP_LIBRARY` names.

mod attention;
mod device;
mod driver;
mod elementwise;
mod embed;
mod faults;
mod forms;
mod gemm;
mod kv;
mod launch;
mod library;
mod matrix;
mod matvec;
mod mma;
mod norm;
mod paged;
mod prefill;
mod quant;
mod rig;
mod route;
mod sample;
