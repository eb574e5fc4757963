//! `cargo xtask bench-serve`: load on servers that speak OpenAI's API, ours and others, in alternation.

mod http;
mod load;
mod probe;
mod report;
mod stream;
#[cfg(test)]
mod tests;
mod workload;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use http::Address;
use load::Arrivals;
use report::Summary;
use stream::Client;
use workload::{Range, Workload};

/// Options of `bench-serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// A server, such as http://127.0.0.1:8080; repeated, the others are compared with the first
    #[arg(long = "url", required = true, value_name = "URL")]
    urls: Vec<Address>,
    /// Rounds, in each of which every server has its turn
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Which API is asked
    #[arg(long, value_enum, default_value = "completions")]
    endpoint: Endpoint,
    /// Name of the model [default: the first that /v1/models lists]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Sent as a bearer token
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Clients of which each sends its next request when the last is answered
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    clients: u32,
    /// Requests a second instead, arriving at random moments (Poisson) whether others are answered or not
    #[arg(long, value_name = "R", conflicts_with = "clients")]
    rate: Option<f64>,
    /// Requests of a round
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// Requests before them that do not count
    #[arg(long, value_name = "N", default_value_t = 1)]
    warmup: u32,
    /// Tokens of a prompt: a number, or A-B for any number between. Text has about one token a word
    #[arg(long, value_name = "N", default_value = "256")]
    prompt_tokens: Range,
    /// Tokens with which all prompts begin, and that a server may compute once
    #[arg(long, value_name = "N", default_value_t = 0)]
    shared_prefix: usize,
    /// Most tokens of an answer: a number, or A-B
    #[arg(long, value_name = "N", default_value = "64")]
    max_tokens: Range,
    /// Prompts are token ids in A-B instead of text (completions only)
    #[arg(long, value_name = "A-B")]
    token_ids: Option<Range>,
    /// Answers go on to their most tokens
    #[arg(long)]
    ignore_eos: bool,
    /// Seed of prompts, sizes and arrivals; each round has its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Seconds without a byte after which a request has failed
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Instead of a load: one stream, and how long it stands still while a prompt of so many tokens is computed
    #[arg(long, value_name = "N")]
    stall_probe: Option<usize>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The API that is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Endpoint {
    /// /v1/completions
    Completions,
    /// /v1/chat/completions
    Chat,
}

/// Puts load on every server in turn and prints what came of it.
pub fn run(args: &ServeArgs) -> Result<()> {
    ensure!(args.token_ids.is_none() || args.endpoint == Endpoint::Completions, "a chat takes no token ids");
    ensure!(args.rate.is_none_or(|rate| rate > 0.0 && rate.is_finite()), "a rate is a number above 0");
    let clients = args.urls.iter().map(|url| client(args, url)).collect::<Result<Vec<_>>>()?;
    match args.stall_probe {
        Some(tokens) => print(args, &measure(args, &clients, |client, seed| probe::run(client, args, tokens, seed))?),
        None => print(args, &measure(args, &clients, |client, seed| one_load(client, args, seed))?),
    }
    Ok(())
}

/// What each server had in each round.
fn measure(
    args: &ServeArgs,
    clients: &[Client],
    mut one: impl FnMut(&Client, u64) -> Result<Summary>,
) -> Result<Vec<Vec<Summary>>> {
    let mut found = vec![Vec::new(); clients.len()];
    for round in 0..args.rounds {
        let mut order: Vec<usize> = (0..clients.len()).collect();
        // A machine's speed drifts: who comes first changes.
        order.rotate_left(round as usize % clients.len());
        for at in order {
            let url = &args.urls[at];
            eprintln!("{url}: round {} of {}", round + 1, args.rounds);
            // Prompts of an earlier round may be in caches; those of this round are the same for every server.
            let seed = args.seed.wrapping_mul(1_000_003).wrapping_add(u64::from(round));
            found[at].push(one(&clients[at], seed).with_context(|| url.to_string())?);
        }
    }
    Ok(found)
}

fn one_load(client: &Client, args: &ServeArgs, seed: u64) -> Result<Summary> {
    let mut workload = Workload::new(seed, args.shared_prefix, args.token_ids);
    let mut requests =
        |count: u32| -> Vec<_> { (0..count).map(|_| workload.request(args.prompt_tokens, args.max_tokens)).collect() };
    let (warmup, requests) = (requests(args.warmup), requests(args.requests));
    let arrivals = match args.rate {
        Some(rate) => Arrivals::Poisson { rate, seed },
        None => Arrivals::Closed { clients: args.clients as usize },
    };
    load::run(client, &warmup, Arrivals::Closed { clients: args.clients as usize });
    let (records, took) = load::run(client, &requests, arrivals);
    Summary::of_load(&records, took)
}

fn client(args: &ServeArgs, url: &Address) -> Result<Client> {
    let mut client = Client {
        address: url.clone(),
        endpoint: args.endpoint,
        model: args.model.clone().unwrap_or_default(),
        api_key: args.api_key.clone(),
        ignore_eos: args.ignore_eos,
        timeout: Duration::from_secs(args.timeout),
    };
    if args.model.is_none() {
        let models =
            client.get("/v1/models").with_context(|| format!("{url}: no list of models; name one by --model"))?;
        let first = models["data"][0]["id"].as_str().with_context(|| format!("{url}: the list of models is empty"))?;
        client.model = first.to_string();
    }
    Ok(client)
}

fn print(args: &ServeArgs, found: &[Vec<Summary>]) {
    let names: Vec<String> = args.urls.iter().map(Address::to_string).collect();
    if !args.json {
        print!("{}", report::table(&names, found));
        return;
    }
    let servers = names.iter().zip(found).map(|(url, rounds)| json!({ "url": url, "rounds": rounds }));
    let servers: Vec<Value> = servers.collect();
    println!("{:#}", json!({ "servers": servers, "ratios": report::ratios(found) }));
}
