//! The architectures: one file each, and one row here.

use crate::source::Source;
use crate::{Built, ModelError};

mod cohere2;
mod ernie4_5;
mod gemma;
mod gemma2;
mod gemma3;
mod glm4;
mod glm4moe;
mod gpt_oss;
mod granite;
mod hunyuan_dense;
mod llama;
mod mistral3;
mod nemotron;
mod olmo2;
mod phi2;
mod phi3;
mod qwen2;
mod qwen2moe;
mod qwen3;
mod qwen3moe;
mod seed_oss;
mod smollm3;
mod stablelm;
mod starcoder2;

/// An architecture.
#[derive(Debug, Clone, Copy)]
pub struct ArchSpec {
    /// `general.architecture` of its files.
    pub name: &'static str,
    /// The models that use it, in one line.
    pub description: &'static str,
    /// From a file to a Program.
    pub build: fn(&Source<'_>) -> Result<Built, ModelError>,
}

/// Every architecture, in the order in which they are listed.
pub static ARCHS: &[ArchSpec] = &[
    llama::SPEC,
    mistral3::SPEC,
    qwen2::SPEC,
    qwen2moe::SPEC,
    qwen3::SPEC,
    qwen3moe::SPEC,
    gemma::SPEC,
    gemma2::SPEC,
    gemma3::SPEC,
    phi2::SPEC,
    phi3::SPEC,
    glm4::SPEC,
    glm4moe::SPEC,
    gpt_oss::SPEC,
    granite::SPEC,
    olmo2::SPEC,
    smollm3::SPEC,
    stablelm::SPEC,
    starcoder2::SPEC,
    cohere2::SPEC,
    seed_oss::SPEC,
    hunyuan_dense::SPEC,
    ernie4_5::SPEC,
    nemotron::SPEC,
];
