#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod codec;
mod convert;
mod error;
mod fit;
mod float;
mod iq_grids;
mod iquants;
mod kquants;
mod legacy;
mod microscaling;
mod nonlinear;
mod spec;
mod superblock;
mod ternary;
mod types;

/// Codebooks of the IQ1, IQ2 and IQ3 types, for kernels that decode them elsewhere.
pub mod grids {
    pub use crate::iq_grids::{IQ1_GRID, IQ2_S_GRID, IQ2_XS_GRID, IQ2_XXS_GRID, IQ3_S_GRID, IQ3_XXS_GRID, even_signs};
}

pub use convert::{dequantize, quantize};
pub use error::QuantError;
pub use kquants::{q3_k_scales, q4_k_scales_mins};
pub use microscaling::{E2M1_VALUES_X2, e8m0_to_f32, e8m0_to_f32_half, ue4m3_to_f32};
pub use nonlinear::IQ4_NL_VALUES;
pub use spec::{QuantSpec, QuantizeRow};
pub use types::GgmlType;
