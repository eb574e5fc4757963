//! The commands that look at models instead of talking to them.

use std::fs;

use crate::{demo_model, json, path, refused, run, run_with_input, stdout};

#[test]
fn help_teaches() {
    let help = stdout(&["--help"]);
    for command in [
        "generate",
        "chat",
        "inspect",
        "tokenize",
        "logits",
        "perplexity",
        "quantize",
        "bench",
        "devices",
        "doctor",
        "render",
    ] {
        assert!(help.contains(command), "{command}");
        assert!(stdout(&[command, "--help"]).contains("Usage: rocmforge"), "{command}");
    }
    assert!(help.contains("Exit codes") && help.contains("Examples"));
    assert!(stdout(&["--version"]).starts_with("rocmforge "));
}

#[test]
fn inspect_shows_metadata_tensors_memory_and_program() {
    let model = demo_model();
    let text = stdout(&["inspect", path(&model), "--tensors", "--program"]);
    for expected in ["general.architecture = \"llama\"", "token_embd.weight", "KV cache", "attention layer=7", "Q4_K"] {
        let folded = text.replace(" %", " ");
        assert!(
            folded.contains(expected)
                || text.contains(expected)
                || expected.starts_with("attention") && text.contains("layer=7"),
            "{expected}"
        );
    }
    let value = json(&["inspect", path(&model), "--tensors", "--json"]);
    assert_eq!(value["metadata"]["llama.block_count"], 8);
    assert_eq!(value["tensors"].as_array().map(Vec::len), value["tensor_count"].as_u64().map(|n| n as usize));
    assert!(value["kv_cache"][0]["bytes"].as_u64().expect("a size") > 0);
}

#[test]
fn tokenize_gives_ids_and_pieces() {
    let value = json(&["tokenize", "--text", "<|im_start|>user\nWhat is paged attention?<|im_end|>\n", "--json"]);
    assert_eq!(value["ids"], serde_json::json!([1, 316, 203, 345, 273, 1945, 858, 35, 2, 203]));
    assert_eq!(value["pieces"].as_array().map(Vec::len), Some(10));
    let plain = json(&["tokenize", "--text", "<|im_end|>", "--no-parse-special", "--json"]);
    assert!(plain["ids"].as_array().expect("ids").len() > 1);
    let piped = run_with_input(&["tokenize", "--json"], b"user");
    assert_eq!(String::from_utf8_lossy(&piped.stdout).trim(), r#"{"ids":[316],"pieces":["user"]}"#);
}

#[test]
fn logits_of_both_interpreters_agree() {
    let folder = tempfile::tempdir().expect("a folder");
    let tokens = folder.path().join("tokens.json");
    fs::write(&tokens, "[1, 316, 203, 345, 273]").expect("written");
    let logits = |extra: &[&str], name: &str| {
        let out = folder.path().join(name);
        stdout(&[&["logits", "--tokens", path(&tokens), "--output", path(&out)], extra].concat());
        let bytes = fs::read(out).expect("written");
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<_>>()
    };
    let (fast, reference) = (logits(&[], "fast.f32"), logits(&["--reference"], "reference.f32"));
    assert_eq!((fast.len(), reference.len()), (5 * 2048, 5 * 2048));
    let error: f32 = fast.iter().zip(&reference).map(|(a, b)| (a - b) * (a - b)).sum();
    let size: f32 = reference.iter().map(|b| b * b).sum();
    assert!(error / size < 1e-3, "{}", error / size);
    fs::write(&tokens, "{\"a\": 1}").expect("written");
    refused(&run(&["logits", "--tokens", path(&tokens), "--output", "/dev/null"]), 2, "expected a list of token ids");
}

#[test]
fn a_quantized_model_still_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("q8_0.gguf");
    stdout(&["quantize", path(&demo_model()), path(&out), "q8_0"]);
    let value = json(&["inspect", path(&out), "--json"]);
    assert_eq!(value["metadata"]["general.file_type"], 7);
    assert!(value["types"]["Q8_0"]["tensors"].as_u64().expect("a count") > 50, "{}", value["types"]);
    let answer =
        stdout(&["generate", "-m", path(&out), "--prompt", "What is paged attention?", "--temperature", "0", "-q"]);
    assert!(answer.starts_with("Paged attention keeps"), "{answer}");
    refused(&run(&["quantize", path(&demo_model()), path(&out), "q8_0"]), 2, "--force");
    refused(&run(&["quantize", path(&demo_model()), path(&folder.path().join("x")), "q9"]), 2, "no type `q9`");
}

#[test]
fn perplexity_and_bench_print_their_json() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = folder.path().join("text.txt");
    let line = "Paged attention keeps the KV cache in fixed-size blocks that need not be contiguous. ";
    fs::write(&text, line.repeat(40)).expect("written");
    let value = json(&["perplexity", "--file", path(&text), "--window", "128", "--json"]);
    assert!(value["perplexity"].as_f64().expect("a number") > 1.0 && value["windows"].as_u64() > Some(1), "{value}");
    fs::write(&text, "short").expect("written");
    refused(&run(&["perplexity", "--file", path(&text)]), 2, "make no window of 512");

    let value = json(&["bench", "-p", "32", "-n", "8", "--repeat", "2", "--json"]);
    for key in ["prompt_tokens_per_second", "generation_tokens_per_second"] {
        let rate = |which: &str| value[key][which].as_f64().expect("a number");
        assert!(0.0 < rate("min") && rate("min") <= rate("median") && rate("median") <= rate("max"), "{value}");
    }
}

#[test]
fn devices_lists_the_processor() {
    let table = stdout(&["devices"]);
    assert!(table.lines().nth(1).is_some_and(|line| line.starts_with("cpu     CPU, ")), "{table}");
    assert_eq!(json(&["devices", "--json"])[0]["device"], "cpu");
}

#[test]
fn render_shows_what_a_template_makes() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let at = folder.path().join(name);
        fs::write(&at, text).expect("written");
        at
    };
    let messages = file("m.json", r#"[{"role": "user", "content": "Hi"}]"#);
    assert_eq!(
        stdout(&["render", "--messages", path(&messages)]),
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
    let template = file(
        "t.jinja",
        "{{ bos_token }}{% for m in messages %}[{{ m.content }}]{% endfor %}{% if add_generation_prompt %}>{% endif %}",
    );
    let special = file("s.json", r#"{"bos_token": "<s>"}"#);
    let args = ["render", "--messages", path(&messages), "--template", path(&template), "--special", path(&special)];
    assert_eq!(stdout(&args), "<s>[Hi]>");
    assert_eq!(stdout(&[&args[..], &["--no-generation-prompt"]].concat()), "<s>[Hi]");
    let broken = file("b.jinja", "{% for %}");
    refused(&run(&["render", "--messages", path(&messages), "--template", path(&broken)]), 2, "line 1");
}
