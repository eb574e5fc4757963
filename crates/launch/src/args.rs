//! The options of every program that runs a model.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use rocmforge_engine::{DeviceChoice, EngineOptions, default_threads};
use rocmforge_hip_backend::Precision;
use rocmforge_program::backend::KvType;

/// Which model, on which device, and how it is used.
#[derive(Debug, Clone, Args)]
pub struct CommonArgs {
    /// Model file (GGUF; of a split model, its first part). Without it the bundled 7 M-parameter demo model is used
    #[arg(short, long, global = true, visible_alias = "gguf", value_name = "FILE", env = "ROCMFORGE_MODEL")]
    pub model: Option<PathBuf>,
    /// Threads to compute with
    #[arg(short, long, global = true, value_name = "N", default_value_t = default_threads(), env = "ROCMFORGE_THREADS")]
    pub threads: usize,
    /// Where to compute: auto (a GPU if one works and holds the model, otherwise the processor), cpu, hip, or hip:N
    #[arg(long, global = true, value_name = "DEVICE", default_value_t = DeviceChoice::Auto, env = "ROCMFORGE_DEVICE")]
    pub device: DeviceChoice,
    /// Context in tokens, prompt and answer together [default: the model's, at most 4096]
    #[arg(short, long, global = true, alias = "max-model-len", value_name = "N", env = "ROCMFORGE_CTX_SIZE")]
    pub ctx_size: Option<usize>,
    /// Element type of the KV cache
    #[arg(long, global = true, value_enum, default_value_t = KvArg::F16, env = "ROCMFORGE_KV_TYPE")]
    pub kv_type: KvArg,
    /// Fail where the GPU cannot be used, instead of running on the processor
    #[arg(long, global = true, env = "ROCMFORGE_STRICT_GPU", value_parser = BoolishValueParser::new())]
    pub strict_gpu: bool,
    /// Share of the GPU's free memory that may be used, more than 0 and at most 1
    #[arg(long, global = true, value_name = "SHARE", default_value_t = 0.9, value_parser = parse_share)]
    #[arg(env = "ROCMFORGE_GPU_MEMORY_FRACTION")]
    pub gpu_memory_fraction: f64,
    /// Arithmetic on a GPU
    #[arg(long, global = true, value_enum, default_value_t = PrecisionArg::Fast, env = "ROCMFORGE_GPU_PRECISION")]
    pub gpu_precision: PrecisionArg,
    /// Launch every kernel of a step by itself, instead of replaying a recorded graph
    #[arg(long, global = true, env = "ROCMFORGE_NO_GPU_GRAPHS", value_parser = BoolishValueParser::new())]
    pub no_gpu_graphs: bool,
    /// Least level of log messages on stderr: error, warn, info, debug, trace, or a filter such as `warn,rocmforge_engine=debug` [default: warn; of a server: info]
    #[arg(long, global = true, value_name = "LEVEL", env = "ROCMFORGE_LOG")]
    pub log_level: Option<String>,
    /// Log messages as JSON lines
    #[arg(long, global = true)]
    pub log_json: bool,
}

/// Arithmetic on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrecisionArg {
    /// Products of 8 and 16 bits, sums in f32
    Fast,
    /// Everything in f32: slow, for comparing
    Exact,
}

impl From<PrecisionArg> for Precision {
    fn from(arg: PrecisionArg) -> Self {
        match arg {
            PrecisionArg::Fast => Self::Fast,
            PrecisionArg::Exact => Self::Exact,
        }
    }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|e| format!("{e}"))?;
    if share > 0.0 && share <= 1.0 { Ok(share) } else { Err("expected more than 0 and at most 1".into()) }
}

/// Element type of the KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KvArg {
    /// 4 bytes a number
    F32,
    /// 2 bytes a number
    F16,
    /// 2 bytes a number: the range of f32, less precision than f16
    Bf16,
    /// 34 bytes for 32 numbers
    #[value(name = "q8_0")]
    Q8_0,
    /// 1 byte a number (E4M3, at most ±448)
    F8,
}

impl From<KvArg> for KvType {
    fn from(arg: KvArg) -> Self {
        match arg {
            KvArg::F32 => KvType::F32,
            KvArg::F16 => KvType::F16,
            KvArg::Bf16 => KvType::Bf16,
            KvArg::Q8_0 => KvType::Q8_0,
            KvArg::F8 => KvType::F8E4M3,
        }
    }
}

impl CommonArgs {
    /// Sizes of an engine as the options say.
    pub fn engine_options(&self) -> EngineOptions {
        EngineOptions {
            threads: self.threads,
            context_length: self.ctx_size,
            kv_type: self.kv_type.into(),
            ..EngineOptions::default()
        }
    }

    /// The KV cache's element type as files and flags write it.
    pub fn kv_type_name(&self) -> &'static str {
        KvType::from(self.kv_type).name()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        common: CommonArgs,
    }

    fn parse(args: &[&str]) -> Result<CommonArgs, clap::Error> {
        Program::try_parse_from([&["program"], args].concat()).map(|program| program.common)
    }

    #[test]
    fn options_become_sizes_of_the_engine() {
        let args = parse(&["--threads", "3", "--max-model-len", "64", "--kv-type", "q8_0"]).expect("good options");
        let options = args.engine_options();
        assert_eq!((options.threads, options.context_length, options.kv_type), (3, Some(64), KvType::Q8_0));
        assert_eq!(args.kv_type_name(), "q8_0");
    }

    #[test]
    fn a_share_is_more_than_nothing_and_at_most_all() {
        assert!(parse(&["--gpu-memory-fraction", "1"]).is_ok());
        for share in ["0", "1.01", "NaN", "-1", "x"] {
            assert!(parse(&[&format!("--gpu-memory-fraction={share}")]).is_err(), "{share}");
        }
    }
}
