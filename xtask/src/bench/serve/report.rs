//! Numbers of a run, and tables of them.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use super::stream::Record;
use crate::table;

/// Numbers of one run by name, in the order in which they are printed, and how requests failed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// Number and name of each metric.
    #[serde(serialize_with = "as_map")]
    pub metrics: Vec<(String, f64)>,
    /// Requests that failed, by reason.
    pub errors: BTreeMap<String, usize>,
}

fn as_map<S: serde::Serializer>(metrics: &[(String, f64)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(metrics.iter().map(|(name, value)| (name, value)))
}

impl Summary {
    /// Of many requests.
    ///
    /// # Errors
    /// None was answered.
    pub fn of_load(records: &[Result<Record>], took: Duration) -> Result<Self> {
        let mut summary = Self::default();
        let mut good: Vec<&Record> = Vec::new();
        for record in records {
            match record {
                Ok(record) => good.push(record),
                Err(error) => *summary.errors.entry(format!("{error:#}")).or_default() += 1,
            }
        }
        if good.is_empty() {
            return Err(anyhow!("no request was answered: {:?}", summary.errors));
        }
        let seconds = took.as_secs_f64();
        let sum = |of: fn(&Record) -> u64| good.iter().map(|record| of(record)).sum::<u64>() as f64;
        let (prompt, output) = (sum(|r| r.prompt_tokens), sum(|r| r.output_tokens));
        let gaps: Vec<f64> = good.iter().flat_map(|record| record.gaps()).map(ms).collect();
        summary.add("requests/s", good.len() as f64 / seconds);
        summary.add("output tokens/s", output / seconds);
        summary.add("total tokens/s", (prompt + output) / seconds);
        summary.add_times("first token", good.iter().filter_map(|record| record.first()).map(ms).collect());
        summary.add_times("between tokens", gaps.clone());
        summary.add_times("per token", good.iter().filter_map(|record| record.per_token()).map(ms).collect());
        summary.add_times("whole request", good.iter().map(|record| ms(record.end - record.sent)).collect());
        summary.add("longest stall ms", gaps.into_iter().fold(0.0, f64::max));
        summary.add("requests answered", good.len() as f64);
        summary.add("requests failed", (records.len() - good.len()) as f64);
        summary.add("prompt tokens", prompt);
        summary.add("output tokens", output);
        summary.add("seconds", seconds);
        Ok(summary)
    }

    /// Of a stream beside which a prompt was computed.
    ///
    /// # Errors
    /// The stream ended before the prompt was computed.
    pub fn of_probe(stream: &Record, prompt: &Record) -> Result<Self> {
        let during = |pair: &&[std::time::Instant]| pair[1] > prompt.sent && pair[0] < prompt.end;
        let gap = |pair: &[std::time::Instant]| ms(pair[1] - pair[0]);
        let beside: Vec<f64> = stream.pieces.windows(2).filter(during).map(gap).collect();
        let before: Vec<f64> = stream.pieces.windows(2).filter(|pair| pair[1] <= prompt.sent).map(gap).collect();
        ensure!(stream.end >= prompt.end, "the stream ended before the prompt was computed: try more --max-tokens");
        let mut summary = Self::default();
        summary.add("between tokens before p50 ms", percentile(&sorted(before), 0.5));
        let beside = sorted(beside);
        summary.add("between tokens beside p50 ms", percentile(&beside, 0.5));
        summary.add("longest stall ms", percentile(&beside, 1.0));
        summary.add("first token of the prompt ms", prompt.first().map_or(f64::NAN, ms));
        summary.add("prompt tokens", prompt.prompt_tokens as f64);
        Ok(summary)
    }

    fn add(&mut self, name: &str, value: f64) {
        self.metrics.push((name.to_string(), value));
    }

    fn add_times(&mut self, name: &str, times: Vec<f64>) {
        let times = sorted(times);
        for (label, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)] {
            self.add(&format!("{name} {label} ms"), percentile(&times, share));
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn sorted(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers
}

/// The smallest number that at least this share of sorted numbers does not exceed; NaN where there are none.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// The metrics, each server's median over the rounds, and the others' ratios to the first: median, least and largest
/// over the rounds.
pub fn table(names: &[String], found: &[Vec<Summary>]) -> String {
    let mut head = vec!["metric".to_string()];
    head.extend(names.iter().cloned());
    head.extend(names.iter().skip(1).map(|name| format!("{name} / {} (min, max)", names[0])));
    let metrics = found[0].first().map(|summary| summary.metrics.as_slice()).unwrap_or_default();
    let row = |(at, (name, _)): (usize, &(String, f64))| {
        let medians = found.iter().map(|rounds| number(median_of(rounds, at)));
        let ratios = found.iter().skip(1).map(|rounds| ratio(&ratios_of(&found[0], rounds, at)));
        std::iter::once(name.clone()).chain(medians).chain(ratios).collect()
    };
    let rows: Vec<Vec<String>> = metrics.iter().enumerate().map(row).collect();
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut text = table::render(&head, &rows);
    for (name, rounds) in names.iter().zip(found) {
        for (error, count) in rounds.iter().flat_map(|summary| &summary.errors) {
            text += &format!("{name}: {count} failed: {error}\n");
        }
    }
    text
}

/// The ratios of all but the first server to the first, round by round.
pub fn ratios(found: &[Vec<Summary>]) -> Value {
    let of = |rounds: &Vec<Summary>| -> Value {
        let metrics = rounds.first().map(|summary| summary.metrics.as_slice()).unwrap_or_default();
        metrics
            .iter()
            .enumerate()
            .map(|(at, (name, _))| (name.clone(), json!(ratios_of(&found[0], rounds, at))))
            .collect()
    };
    found.iter().skip(1).map(of).collect()
}

fn median_of(rounds: &[Summary], at: usize) -> f64 {
    percentile(&sorted(rounds.iter().map(|summary| summary.metrics[at].1).collect()), 0.5)
}

fn ratios_of(first: &[Summary], other: &[Summary], at: usize) -> Vec<f64> {
    sorted(first.iter().zip(other).map(|(a, b)| b.metrics[at].1 / a.metrics[at].1).collect())
}

/// Median, least and largest of sorted ratios, unless something was divided by nothing.
fn ratio(sorted: &[f64]) -> String {
    if sorted.iter().any(|ratio| !ratio.is_finite()) {
        return "-".into();
    }
    let [median, least, largest] = [0.5, 0.0, 1.0].map(|share| percentile(sorted, share));
    format!("{median:.3} ({least:.3}, {largest:.3})")
}

fn number(x: f64) -> String {
    if x.fract() == 0.0 && x.abs() < 1e15 { format!("{x}") } else { format!("{x:.2}") }
}
