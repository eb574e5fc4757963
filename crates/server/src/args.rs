//! The command line of the server.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rocmforge_engine::EngineOptions;
use rocmforge_launch::CommonArgs;

/// How requests are served.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Serving")]
pub struct ServeArgs {
    /// Address or name to listen on
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1", env = "ROCMFORGE_HOST")]
    pub host: String,
    /// Port to listen on; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 8080, env = "ROCMFORGE_PORT")]
    pub port: u16,
    /// Address and port in one, as in 127.0.0.1:8080
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["host", "port"])]
    pub addr: Option<String>,
    /// Key that callers must present; may be repeated
    #[arg(long, value_name = "KEY", env = "ROCMFORGE_API_KEY", hide_env_values = true, value_delimiter = ',')]
    pub api_key: Vec<String>,
    /// File with one key a line
    #[arg(long, value_name = "FILE")]
    pub api_key_file: Option<PathBuf>,
    /// Listen beyond this machine although everybody is let in
    #[arg(long)]
    pub allow_unauthenticated: bool,
    /// Further name under which this server is asked, or `*`; may be repeated
    #[arg(long, value_name = "NAME")]
    pub allowed_host: Vec<String>,
    /// Origin whose web pages may ask, such as `https://chat.example`, or `*`; may be repeated
    #[arg(long, value_name = "ORIGIN", visible_alias = "allowed-origins")]
    pub cors_origin: Vec<String>,
    /// Let /metrics be read without a key
    #[arg(long)]
    pub metrics_open: bool,
    /// Let requests bring chat templates of their own
    #[arg(long)]
    pub allow_request_templates: bool,
    /// Name of the model in the APIs; may be repeated [default: the file's name]
    #[arg(long, value_name = "NAME", visible_alias = "alias", num_args = 1..)]
    pub served_model_name: Vec<String>,
    /// Answers computed at once
    #[arg(long, value_name = "N", default_value_t = 32, alias = "max-batch-size", visible_alias = "max-num-seqs")]
    pub parallel: usize,
    /// Requests that may wait
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub max_queue_size: usize,
    /// Prompt tokens that may wait, over all requests [default: 4 million]
    #[arg(long, value_name = "N")]
    pub max_queue_tokens: Option<usize>,
    /// Milliseconds that an idle engine waits for company after a request
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub batch_timeout_ms: u64,
    /// Prompt tokens computed in one step, over all requests [default: 512, or 2048 on a GPU]
    #[arg(long, value_name = "N", visible_alias = "max-num-batched-tokens", alias = "ubatch-size")]
    pub tokens_per_step: Option<usize>,
    /// Tokens that the KV cache holds, over all requests [default: all at full length, or what fits]
    #[arg(long, value_name = "N")]
    pub cache_tokens: Option<usize>,
    /// Tokens of the KV cache kept in the host's memory when the device has no room for them
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub host_cache_tokens: usize,
    /// Tokens a cache block
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub block_size: usize,
    /// Largest body of a request in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 8 << 20)]
    pub max_body_bytes: usize,
    /// Most connections at once [default: 1024, or what the limit of open files allows]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<usize>,
    /// Seconds after which /health says that a step makes no progress
    #[arg(long, value_name = "S", default_value_t = 60)]
    pub stall_timeout: u64,
    /// Seconds that requests have to end after SIGTERM or Ctrl-C
    #[arg(long, value_name = "S", default_value_t = 30)]
    pub shutdown_timeout: u64,
    /// Publish changes of the cache over ZMQ there, as in tcp://127.0.0.1:5557
    #[arg(long, value_name = "ENDPOINT")]
    pub kv_events_endpoint: Option<String>,
    /// Answer ZMQ requests for missed changes there, as in tcp://127.0.0.1:5558
    #[arg(long, value_name = "ENDPOINT", requires = "kv_events_endpoint")]
    pub kv_events_replay: Option<String>,
    /// Topic of these messages
    #[arg(long, value_name = "TOPIC", default_value = "", hide_default_value = true)]
    pub kv_events_topic: String,
    /// Send traces to this OTLP endpoint, as in http://127.0.0.1:4318/v1/traces
    #[arg(long, value_name = "URL")]
    pub otlp_traces_endpoint: Option<String>,
    /// Taken so that familiar commands work, and without effect: --device says where layers are computed
    #[arg(long, value_name = "N", hide = true, alias = "n-gpu-layers", allow_hyphen_values = true)]
    pub gpu_layers: Option<String>,
}

/// Changes of the cache that are kept while their publisher is busy.
const CACHE_EVENTS: usize = 100_000;

impl ServeArgs {
    /// Where to listen: host and port.
    ///
    /// # Errors
    /// An `--addr` that is not of the form HOST:PORT.
    pub fn address(&self) -> Result<(String, u16), String> {
        let Some(addr) = &self.addr else { return Ok((plain(&self.host), self.port)) };
        let parts = addr.rsplit_once(':').and_then(|(host, port)| Some((plain(host), port.parse().ok()?)));
        parts.filter(|(host, _)| !host.is_empty()).ok_or_else(|| format!("--addr {addr}: expected HOST:PORT"))
    }

    /// Sizes of the engine.
    pub fn engine_options(&self, common: &CommonArgs) -> EngineOptions {
        let usual = common.engine_options();
        EngineOptions {
            max_sequences: self.parallel,
            embeddings: true,
            tokens_per_step: self.tokens_per_step,
            block_size: self.block_size,
            cache_tokens: self.cache_tokens,
            host_cache_tokens: self.host_cache_tokens,
            cache_events: if self.kv_events_endpoint.is_some() { CACHE_EVENTS } else { 0 },
            max_queue_size: self.max_queue_size,
            max_queue_tokens: self.max_queue_tokens.unwrap_or(usual.max_queue_tokens),
            batch_timeout: Duration::from_millis(self.batch_timeout_ms),
            ..usual
        }
    }
}

/// A host without the brackets that separate an IPv6 address from a port.
fn plain(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// Options of two letters that llama.cpp's server has, and ours.
static FAMILIAR: [(&str, &str); 3] = [("-np", "--parallel"), ("-ngl", "--gpu-layers"), ("-ub", "--tokens-per-step")];

/// Arguments with options of two letters written out, so that familiar commands work.
pub fn familiar(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let ours = |arg: &OsString| FAMILIAR.iter().find(|(theirs, _)| arg == theirs).map(|(_, ours)| OsString::from(ours));
    args.into_iter().map(|arg| ours(&arg).unwrap_or(arg)).collect()
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        common: CommonArgs,
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn parse(args: &[&str]) -> Program {
        let args = std::iter::once(&"server").chain(args).map(OsString::from);
        Program::try_parse_from(familiar(args)).expect("good options")
    }

    #[test]
    fn the_command_line_is_consistent() {
        Program::command().debug_assert();
    }

    #[test]
    fn options_of_other_servers_are_understood() {
        let theirs = ["-np", "4", "-ngl", "99", "-c", "128", "--alias", "m", "--max-num-batched-tokens", "64"];
        let Program { common, serve } = parse(&theirs);
        assert_eq!((serve.parallel, common.ctx_size, serve.tokens_per_step), (4, Some(128), Some(64)));
        assert_eq!(serve.served_model_name, ["m"]);
        let Program { common, serve } = parse(&["--max-model-len", "64", "--max-num-seqs", "2"]);
        let options = serve.engine_options(&common);
        assert_eq!((options.max_sequences, options.context_length), (2, Some(64)));
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        let address = |args: &[&str]| parse(args).serve.address();
        assert_eq!(address(&[]), Ok(("127.0.0.1".into(), 8080)));
        assert_eq!(address(&["--addr", "0.0.0.0:1"]), Ok(("0.0.0.0".into(), 1)));
        assert_eq!(address(&["--addr", "[::1]:1"]), Ok(("::1".into(), 1)));
        assert_eq!(address(&["--host", "::1", "--port", "2"]), Ok(("::1".into(), 2)));
        for bad in ["1", "host", ":1", "host:x", "host:70000"] {
            assert!(address(&["--addr", bad]).is_err(), "{bad}");
        }
    }
}
