//! Against a small server that answers as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use clap::Parser;
use serde_json::{Value, json};

use super::report::{percentile, ratios, table};
use super::workload::{Prompt, Random, Range, Workload};
use super::{Address, ServeArgs, client, measure, one_load, probe};

/// What the server does.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Two tokens an event, in chunks.
    Good,
    /// The same, until the connection ends.
    Unframed,
    /// 503.
    Busy,
    /// An error after the first token.
    Breaks,
    /// No usage.
    Silent,
}

/// Starts a server for the life of the test program; its address.
fn serve(manner: Manner) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = format!("http://{}", listener.local_addr().expect("it is bound"));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream, manner));
        }
    });
    address
}

fn answer(stream: TcpStream, manner: Manner) {
    let mut reader = BufReader::new(&stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        lines.push(line.to_lowercase());
    }
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).expect("a whole body");
    // A client that has gone away is no failure of the server.
    let _ = match serde_json::from_slice(&body) {
        Ok(body) => events(&stream, &body, manner, lines[0].contains("/chat/")),
        Err(_) => plain(&stream, 200, r#"{"data":[{"id":"fake"}]}"#),
    };
}

fn plain(mut stream: &TcpStream, status: u16, body: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn events(mut stream: &TcpStream, body: &Value, manner: Manner, is_chat: bool) -> std::io::Result<()> {
    assert_eq!((&body["model"], &body["stream_options"]["include_usage"]), (&json!("fake"), &json!(true)));
    if matches!(manner, Manner::Busy) {
        return plain(stream, 503, "busy");
    }
    let framing = if matches!(manner, Manner::Unframed) { "" } else { "Transfer-Encoding: chunked\r\n" };
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{framing}\r\n")?;
    let mut send = |data: String| {
        let event = format!("data: {data}\n\n");
        // Chunks and events need not agree.
        let (head, tail) = event.split_at(3);
        match framing {
            "" => write!(stream, "{event}"),
            _ => write!(stream, "3\r\n{head}\r\n{:x}\r\n{tail}\r\n", tail.len()),
        }
    };
    let prompt = match (&body["prompt"], &body["messages"][0]["content"]) {
        (Value::Array(tokens), _) => tokens.len(),
        (Value::String(text), _) | (_, Value::String(text)) => text.split(' ').count(),
        _ => panic!("no prompt in {body}"),
    };
    let tokens = body["max_tokens"].as_u64().expect("a number");
    if is_chat {
        send(json!({ "choices": [{ "delta": { "role": "assistant", "content": "" } }] }).to_string())?;
    }
    for at in 0..tokens.div_ceil(2) {
        thread::sleep(Duration::from_millis(2));
        if matches!(manner, Manner::Breaks) && at == 1 {
            return send(json!({ "error": { "message": "out of luck" } }).to_string());
        }
        let choice = if is_chat { json!({ "delta": { "content": "a b" } }) } else { json!({ "text": "a b" }) };
        send(json!({ "choices": [choice] }).to_string())?;
    }
    if !matches!(manner, Manner::Silent) {
        let usage = json!({ "prompt_tokens": prompt, "completion_tokens": tokens });
        send(json!({ "choices": [], "usage": usage }).to_string())?;
    }
    send("[DONE]".into())?;
    if framing.is_empty() { Ok(()) } else { write!(stream, "0\r\n\r\n") }
}

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: ServeArgs,
}

fn args(urls: &[&str], more: &str) -> ServeArgs {
    let urls = urls.iter().flat_map(|url| ["--url", url]);
    let words = ["bench-serve"].into_iter().chain(urls).chain(more.split_whitespace());
    Command::try_parse_from(words).expect("valid options").args
}

/// The metrics of one load on one server.
fn load(manner: Manner, more: &str) -> anyhow::Result<super::Summary> {
    let url = serve(manner);
    let args = args(&[&url], more);
    one_load(&client(&args, &args.urls[0])?, &args, 7)
}

fn metric(summary: &super::Summary, name: &str) -> f64 {
    summary.metrics.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("no {name}")).1
}

#[test]
fn tokens_are_those_the_server_counts() {
    for manner in [Manner::Good, Manner::Unframed] {
        for more in ["--clients 3", "--rate 500", "--endpoint chat", "--token-ids 5-90 --ignore-eos"] {
            let sizes = "--requests 10 --prompt-tokens 20 --shared-prefix 4 --max-tokens 6";
            let summary = load(manner, &format!("{sizes} {more}")).expect("all are answered");
            assert_eq!(metric(&summary, "requests answered"), 10.0, "{more}");
            // Three events with two tokens each.
            assert_eq!((metric(&summary, "prompt tokens"), metric(&summary, "output tokens")), (200.0, 60.0), "{more}");
            let ratio = metric(&summary, "total tokens/s") / metric(&summary, "output tokens/s");
            assert!((ratio - 260.0 / 60.0).abs() < 1e-9);
            assert!(metric(&summary, "first token p50 ms") >= 2.0);
            assert!(metric(&summary, "per token max ms") <= metric(&summary, "longest stall ms"));
            assert!(metric(&summary, "whole request p50 ms") >= 6.0);
        }
    }
}

#[test]
fn failures_are_counted_with_their_reasons() {
    let told = |manner| load(manner, "--requests 2 --max-tokens 6").expect_err("none is answered").to_string();
    assert!(told(Manner::Busy).contains("status 503: busy\": 2"));
    assert!(told(Manner::Breaks).contains("out of luck"));
    assert!(told(Manner::Silent).contains("does not tell how many tokens"));
}

#[test]
fn servers_take_turns_and_are_compared() {
    let urls = [serve(Manner::Good), serve(Manner::Unframed)];
    let args = args(&[&urls[0], &urls[1]], "--rounds 3 --requests 4 --max-tokens 2-8 --prompt-tokens 3-9");
    let clients: Vec<_> = args.urls.iter().map(|url| client(&args, url).expect("it lists a model")).collect();
    let mut turns = Vec::new();
    let found = measure(&args, &clients, |client, seed| {
        turns.push((client.address.to_string(), seed));
        one_load(client, &args, seed)
    });
    let found = found.expect("all are answered");
    let order: Vec<bool> = turns.iter().map(|(url, _)| *url == urls[0]).collect();
    assert_eq!(order, [true, false, false, true, true, false]);
    assert!(turns[0].1 == turns[1].1 && turns[1].1 != turns[2].1, "a round has one seed: {turns:?}");
    // Both were asked the same.
    let ratios = ratios(&found);
    assert_eq!(ratios[0]["prompt tokens"], json!([1.0, 1.0, 1.0]));
    let text = table(&urls, &found);
    assert!(text.lines().any(|line| line.starts_with("output tokens ") && line.ends_with("1.000 (1.000, 1.000)")));
    assert!(text.lines().any(|line| line.starts_with("requests failed") && line.ends_with(" -")), "{text}");
}

#[test]
fn a_stall_is_the_longest_gap_beside_a_prompt() {
    let url = serve(Manner::Good);
    let long = args(&[&url], "--max-tokens 400");
    let client = client(&long, &long.urls[0]).expect("it lists a model");
    let summary = probe::run(&client, &long, 50, 1).expect("it is answered");
    assert_eq!(metric(&summary, "prompt tokens"), 50.0);
    assert!(metric(&summary, "longest stall ms") >= metric(&summary, "between tokens beside p50 ms"));
    let short = args(&[&url], "--max-tokens 1");
    assert!(probe::run(&client, &short, 50, 1).is_ok(), "the stream is made long enough to settle");
}

#[test]
fn workloads_repeat_and_share_their_prefix() {
    let sizes = (Range { low: 8, high: 12 }, Range { low: 1, high: 5 });
    let jobs = |seed, ids| -> Vec<_> {
        let mut workload = Workload::new(seed, 6, ids);
        (0..50).map(|_| workload.request(sizes.0, sizes.1)).collect()
    };
    assert_eq!(jobs(3, None), jobs(3, None));
    assert_ne!(jobs(3, None), jobs(4, None));
    let jobs = jobs(3, Some(Range { low: 100, high: 200 }));
    let Prompt::Tokens(first) = &jobs[0].prompt else { panic!("token ids") };
    for job in &jobs {
        let Prompt::Tokens(tokens) = &job.prompt else { panic!("token ids") };
        assert!((8..=12).contains(&tokens.len()) && (1..=5).contains(&job.max_tokens));
        assert!(tokens[..6] == first[..6] && tokens.iter().all(|id| (100..=200).contains(id)));
    }
    let mut random = Random::new(1);
    let mean = (0..20_000).map(|_| random.until_next(4.0).as_secs_f64()).sum::<f64>() / 20_000.0;
    assert!((mean - 0.25).abs() < 0.01, "{mean}");
}

#[test]
fn options_and_percentiles() {
    let address = |url: &str| url.parse::<Address>().map(|address| address.to_string());
    assert_eq!(address("http://localhost/v1/").expect("valid"), "http://localhost:80");
    assert_eq!(address("http://[::1]:8080/a").expect("valid"), "http://[::1]:8080/a");
    assert!(address("https://localhost").is_err() && address("http://").is_err());
    assert!("9-3".parse::<Range>().is_err() && "x".parse::<Range>().is_err());
    let numbers: Vec<f64> = (1..=10).map(f64::from).collect();
    assert_eq!([0.0, 0.5, 0.9, 0.99, 1.0].map(|share| percentile(&numbers, share)), [1.0, 5.0, 9.0, 10.0, 10.0]);
    assert!(percentile(&[], 0.5).is_nan());
}
