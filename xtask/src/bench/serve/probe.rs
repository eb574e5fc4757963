//! How long a running stream stands still while another prompt is computed.

use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use super::ServeArgs;
use super::report::Summary;
use super::stream::Client;
use super::workload::{Range, Workload};

/// Pieces of text after which the stream runs evenly.
const SETTLED: usize = 16;

/// Tokens of the stream's own prompt.
const SHORT: Range = Range { low: 32, high: 32 };

/// Runs one stream, and sends a prompt of `tokens` tokens beside it.
pub fn run(client: &Client, args: &ServeArgs, tokens: usize, seed: u64) -> Result<Summary> {
    let mut workload = Workload::new(seed, 0, args.token_ids);
    let mut stream = workload.request(SHORT, args.max_tokens);
    stream.max_tokens = stream.max_tokens.max(4 * SETTLED);
    let other = workload.request(Range { low: tokens, high: tokens }, Range { low: 1, high: 1 });
    let (settled, on_settled) = mpsc::channel();
    let (running, prompted) = thread::scope(|scope| {
        let running = scope.spawn(|| {
            client.run(&stream, move |piece| {
                if piece == SETTLED {
                    // Nobody listens any more if the prompt has failed.
                    let _ = settled.send(Instant::now());
                }
            })
        });
        // The sender is gone where the stream ended early.
        let sent = on_settled.recv();
        let prompted = sent.map(|_| client.run(&other, |_| {}));
        (running.join(), prompted)
    });
    let running = running.map_err(|_| anyhow!("the stream's thread panicked"))?.context("the running stream")?;
    let prompted = prompted
        .with_context(|| format!("the stream ended before its piece {SETTLED}: try --ignore-eos, --max-tokens"))?
        .context("the prompt beside the stream")?;
    Summary::of_probe(&running, &prompted)
}
