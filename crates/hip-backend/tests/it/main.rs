//! Tests against a HIP library: the fake one, or the one that `ROCMFORGE_HIP_LIBRARY` names.

mod attention;
mod device;
mod driver;
mod faults;
mod kv;
mod launch;
mod library;
mod elementwise;
mod forms;
mod norm;
mod paged;
mod rig;
mod route;
mod sample;
mod embed;
mod matrix;
mod matvec;
mod quant;
