//! What the engine counts, under the names that vLLM gave these figures and that routers and dashboards read.

use std::sync::atomic::AtomicU64;
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use rocmforge_kv_cache::{BlockPool, CacheCounters};
use rocmforge_scheduler::{SchedulerUsage, StepPlan};

use crate::{FinishReason, Request, Timings, Usage};

type Share = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Finished {
    finished_reason: &'static str,
}

/// Figures of an engine. Reading them takes no lock that the step loop waits for.
#[derive(Debug)]
pub struct Metrics {
    requests_running: Gauge,
    requests_waiting: Gauge,
    cache_usage: Share,
    prefix_queries: Counter,
    prefix_hits: Counter,
    external_queries: Counter,
    external_hits: Counter,
    preemptions: Counter,
    prompt_tokens: Counter,
    prompt_tokens_cached: Counter,
    generation_tokens: Counter,
    corrupted: Counter,
    success: Family<Finished, Counter>,
    engine_restarts: Counter,
    steps: Counter,
    block_copies: Counter,
    iteration_tokens: Histogram,
    first_token: Histogram,
    inter_token: Histogram,
    per_token: Histogram,
    latency: Histogram,
    queue_time: Histogram,
    inference_time: Histogram,
    prefill_time: Histogram,
    decode_time: Histogram,
    prompt_length: Histogram,
    generation_length: Histogram,
    max_tokens: Histogram,
    answers: Histogram,
    prefill_computed: Histogram,
}

const SHORT: [f64; 22] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
];
const LONG: [f64; 21] = [
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
];

/// 1, 2, 5, 10, … up to two million tokens.
fn lengths() -> Vec<f64> {
    (0..7).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power))).take(20).collect()
}

impl Default for Metrics {
    fn default() -> Self {
        let (short, long, lengths) = (|| Histogram::new(SHORT), || Histogram::new(LONG), || Histogram::new(lengths()));
        Self {
            requests_running: Gauge::default(),
            requests_waiting: Gauge::default(),
            cache_usage: Share::default(),
            prefix_queries: Counter::default(),
            prefix_hits: Counter::default(),
            external_queries: Counter::default(),
            external_hits: Counter::default(),
            preemptions: Counter::default(),
            prompt_tokens: Counter::default(),
            prompt_tokens_cached: Counter::default(),
            generation_tokens: Counter::default(),
            corrupted: Counter::default(),
            success: Family::default(),
            engine_restarts: Counter::default(),
            steps: Counter::default(),
            block_copies: Counter::default(),
            iteration_tokens: Histogram::new((0..15).map(|power| f64::from(1u32 << power))),
            first_token: short(),
            inter_token: short(),
            per_token: short(),
            latency: long(),
            queue_time: long(),
            inference_time: long(),
            prefill_time: long(),
            decode_time: long(),
            prompt_length: lengths(),
            generation_length: lengths(),
            max_tokens: lengths(),
            answers: Histogram::new([1.0, 2.0, 5.0, 10.0, 20.0]),
            prefill_computed: lengths(),
        }
    }
}

impl Metrics {
    /// Adds all figures to a registry, whose labels should name the model.
    pub fn register(&self, to: &mut Registry) {
        self.register_state(to);
        self.register_counters(to);
        for (name, help, histogram) in [
            ("vllm:iteration_tokens_total", "Tokens of a step", &self.iteration_tokens),
            ("vllm:time_to_first_token_seconds", "From a request to its first token", &self.first_token),
            ("vllm:inter_token_latency_seconds", "Between two tokens of an answer", &self.inter_token),
            (
                "vllm:request_time_per_output_token_seconds",
                "Mean of an answer's tokens after the first",
                &self.per_token,
            ),
            ("vllm:e2e_request_latency_seconds", "From a request to its end", &self.latency),
            ("vllm:request_queue_time_seconds", "Time in the queue", &self.queue_time),
            ("vllm:request_inference_time_seconds", "From a request's first step to its end", &self.inference_time),
            ("vllm:request_prefill_time_seconds", "From the first step to the first token", &self.prefill_time),
            ("vllm:request_decode_time_seconds", "From the first token to the last", &self.decode_time),
            ("vllm:request_prompt_tokens", "Tokens of a prompt", &self.prompt_length),
            ("vllm:request_generation_tokens", "Tokens of an answer", &self.generation_length),
            ("vllm:request_params_max_tokens", "Most tokens that a request allows", &self.max_tokens),
            ("vllm:request_params_n", "Answers that a request asks for", &self.answers),
            (
                "vllm:request_prefill_kv_computed_tokens",
                "Tokens of a prompt that were not cached",
                &self.prefill_computed,
            ),
        ] {
            to.register(name, help, histogram.clone());
        }
    }

    fn register_state(&self, to: &mut Registry) {
        to.register("vllm:num_requests_running", "Sequences that run", self.requests_running.clone());
        to.register("vllm:num_requests_waiting", "Requests that wait", self.requests_waiting.clone());
        to.register("vllm:kv_cache_usage_perc", "Used share of the cache's blocks, 0 to 1", self.cache_usage.clone());
        // The name before; some routers still read it.
        to.register("vllm:gpu_cache_usage_perc", "Used share of the cache's blocks, 0 to 1", self.cache_usage.clone());
    }

    fn register_counters(&self, to: &mut Registry) {
        for (name, help, counter) in [
            ("vllm:prefix_cache_queries", "Prompt tokens looked up in the cache", &self.prefix_queries),
            ("vllm:prefix_cache_hits", "Prompt tokens found there", &self.prefix_hits),
            ("vllm:gpu_prefix_cache_queries", "Prompt tokens looked up in the cache", &self.prefix_queries),
            ("vllm:gpu_prefix_cache_hits", "Prompt tokens found there", &self.prefix_hits),
            (
                "vllm:external_prefix_cache_queries",
                "Prompt tokens looked up in the second tier",
                &self.external_queries,
            ),
            ("vllm:external_prefix_cache_hits", "Prompt tokens found there", &self.external_hits),
            ("vllm:num_preemptions", "Sequences that made room for others", &self.preemptions),
            ("vllm:prompt_tokens", "Prompt tokens of requests that ended", &self.prompt_tokens),
            ("vllm:prompt_tokens_cached", "Of these, tokens that were cached", &self.prompt_tokens_cached),
            ("vllm:generation_tokens", "Tokens generated", &self.generation_tokens),
            ("vllm:corrupted_requests", "Answers that ended in an error", &self.corrupted),
            (
                "rocmforge:engine_restarts",
                "Times that the engine was loaded again after a failure",
                &self.engine_restarts,
            ),
            ("rocmforge:steps", "Steps computed", &self.steps),
            ("rocmforge:block_copies", "Cache blocks copied because two sequences parted", &self.block_copies),
        ] {
            to.register(name, help, counter.clone());
        }
        to.register("vllm:request_success", "Answers that ended, by reason", self.success.clone());
    }

    pub(crate) fn step(&self, plan: &StepPlan, usage: &SchedulerUsage, pool: &BlockPool) {
        self.steps.inc();
        self.iteration_tokens.observe(plan.tokens() as f64);
        self.preemptions.inc_by(plan.preempted.len() as u64);
        self.state(usage, pool);
        let CacheCounters { queries, hits, host_hits, copies, .. } = *pool.counters();
        raise(&self.prefix_queries, queries);
        raise(&self.prefix_hits, hits);
        if pool.usage().host_slots > 0 {
            raise(&self.external_queries, queries - (hits - host_hits));
            raise(&self.external_hits, host_hits);
        }
        raise(&self.block_copies, copies);
    }

    /// How much waits, runs, and is cached now.
    pub(crate) fn state(&self, usage: &SchedulerUsage, pool: &BlockPool) {
        self.requests_running.set(usage.running as i64);
        self.requests_waiting.set((usage.waiting + usage.preempted) as i64);
        let blocks = pool.usage();
        self.cache_usage.set(blocks.used as f64 / blocks.total() as f64);
    }

    /// A token of a request that was submitted and had its token before this one at these times.
    pub(crate) fn token(&self, submitted: Instant, before: Option<Instant>) {
        self.generation_tokens.inc();
        match before {
            None => self.first_token.observe(submitted.elapsed().as_secs_f64()),
            Some(before) => self.inter_token.observe(before.elapsed().as_secs_f64()),
        }
    }

    /// The end of answer `index` of a request; what all its answers share is counted with the first.
    pub(crate) fn finish(
        &self,
        index: u32,
        request: &Request,
        reason: &FinishReason,
        usage: &Usage,
        times: &Timings,
        most: usize,
    ) {
        if index == 0 {
            self.begin(request, usage, most);
        }
        let finished_reason = match reason {
            FinishReason::Cancelled => "abort",
            reason => reason.name(),
        };
        self.success.get_or_create(&Finished { finished_reason }).inc();
        if matches!(reason, FinishReason::Error(_)) {
            self.corrupted.inc();
        }
        self.generation_length.observe(usage.completion_tokens as f64);
        let Timings { queued, prefill, decode } = *times;
        for (histogram, time) in [
            (&self.queue_time, queued),
            (&self.prefill_time, prefill),
            (&self.decode_time, decode),
            (&self.inference_time, prefill + decode),
            (&self.latency, queued + prefill + decode),
        ] {
            histogram.observe(time.as_secs_f64());
        }
        if usage.completion_tokens > 1 {
            self.per_token.observe(decode.as_secs_f64() / (usage.completion_tokens - 1) as f64);
        }
    }

    fn begin(&self, request: &Request, usage: &Usage, most: usize) {
        self.prompt_tokens.inc_by(usage.prompt_tokens as u64);
        self.prompt_tokens_cached.inc_by(usage.cached_tokens as u64);
        for (histogram, count) in [
            (&self.prompt_length, usage.prompt_tokens),
            (&self.max_tokens, most),
            (&self.answers, request.sequences as usize),
            (&self.prefill_computed, usage.prompt_tokens - usage.cached_tokens),
        ] {
            histogram.observe(count as f64);
        }
    }

    pub(crate) fn restarted(&self) {
        self.engine_restarts.inc();
    }
}

/// Raises a counter to what is counted elsewhere. A count that began anew, with a new pool, adds nothing until it is
/// higher.
fn raise(counter: &Counter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_routers_read() {
        let metrics = Metrics::default();
        metrics.token(Instant::now(), None);
        let mut registry = Registry::default();
        let labels = [("model_name".into(), "demo".into()), ("engine".into(), "0".into())];
        metrics.register(registry.sub_registry_with_labels(labels.into_iter()));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("it is written");
        for line in [
            "vllm:num_requests_running{model_name=\"demo\",engine=\"0\"} 0",
            "vllm:num_requests_waiting{model_name=\"demo\",engine=\"0\"} 0",
            "vllm:kv_cache_usage_perc{model_name=\"demo\",engine=\"0\"} 0.0",
            "vllm:generation_tokens_total{model_name=\"demo\",engine=\"0\"} 1",
            "vllm:time_to_first_token_seconds_count{model_name=\"demo\",engine=\"0\"} 1",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in {text}");
        }
    }
}
