//! The page: estimates of all cards, where the time goes, and what was assumed.

use std::fmt::Write;

use anyhow::Result;

use super::card::Card;
use super::estimate::{Assumptions, Bound};
use super::recording::{Recording, StepKind};
use super::shape::Model;
use super::step::{Estimate, Line, estimate};

/// Kernels that take less of a step than this share are told as one.
const LEAST_SHARE: f64 = 0.01;
/// From this share of a step on it is worth to look at a kernel that is not bound by what should bind it.
const WEAK_SHARE: f64 = 0.03;

/// Markdown for some cards.
///
/// # Errors
/// If the recording is of no known model.
pub fn markdown(recording: &Recording, cards: &[&Card], assumed: &Assumptions) -> Result<String> {
    let model = recording.model()?;
    let all: Vec<(&Card, Vec<Estimate>)> = cards
        .iter()
        .map(|card| (*card, recording.steps.iter().map(|step| estimate(card, assumed, &model, step)).collect()))
        .collect();
    let mut text = head(&model);
    text += &summary(&model, &all);
    text += &weak(&all);
    text += &assumptions(recording, cards, assumed);
    for (card, estimates) in &all {
        text += &details(card, estimates);
    }
    Ok(text)
}

fn head(model: &Model) -> String {
    format!(
        "# Estimated performance\n\n\
         **These are estimates, not measurements.** No card of this page was run. `cargo xtask roofline` has executed the\n\
         machine code of the kernels in an emulator, counted what they do, and divided it by what data sheets say of the\n\
         cards. It shows which kernels need work and what to hope for; measured figures will differ, and most will be lower,\n\
         since no stall of a pipeline and no miss of a cache is counted.\n\n\
         The model: {} ({:.2} GB of weights that each token reads, {} KB of keys and values a token of context).\n\n",
        model.name(),
        model.weight_bytes() as f64 / 1e9,
        model.kv_bytes() * model.shape.layers / 1024,
    )
}

/// What a step is called.
fn title(kind: StepKind) -> String {
    match kind {
        kind if kind.is_prefill() => format!("prompt of {}", kind.tokens),
        StepKind { sequences: 1, context, .. } => format!("decode after {context}"),
        StepKind { sequences, context, .. } => format!("decode of {sequences} after {context}"),
    }
}

fn summary(model: &Model, all: &[(&Card, Vec<Estimate>)]) -> String {
    let mut text = String::from(
        "## Tokens a second\n\nIn brackets: what the memory's full bandwidth alone would allow, each weight and the context \
         read once a step.\n\n",
    );
    let Some((_, first)) = all.first() else { return text };
    let titles: Vec<String> = first.iter().map(|estimate| title(estimate.kind)).collect();
    let _ = writeln!(text, "| card | {} |\n|---|{}", titles.join(" | "), "--:|".repeat(titles.len()));
    for (card, estimates) in all {
        let cell = |e: &Estimate| match e.kind.is_prefill() {
            true => rate(e.tokens_per_second()),
            false => format!("{} ({})", rate(e.tokens_per_second()), rate(e.most_tokens_per_second())),
        };
        let cells: Vec<String> = match model.weight_bytes() as f64 > card.memory_gb * 1e9 {
            true => vec!["too large".into(); estimates.len()],
            false => estimates.iter().map(cell).collect(),
        };
        let _ = writeln!(text, "| {} | {} |", card.title, cells.join(" | "));
    }
    text
}

/// Two digits at least.
fn rate(tokens: f64) -> String {
    if tokens < 100.0 { format!("{tokens:.1}") } else { format!("{tokens:.0}") }
}

/// Kernels that take time for other reasons than they should.
fn weak(all: &[(&Card, Vec<Estimate>)]) -> String {
    let mut text = String::from(
        "\n## Where kernels look weak\n\nDecoding should wait for memory, and prompts for the matrix units. These take 3 % of \
         a step or more and wait for something else:\n\n",
    );
    let mut found = false;
    for (card, estimates) in all {
        for estimate in estimates {
            for line in estimate.lines.iter().filter(|line| is_weak(line, estimate)) {
                found = true;
                let share = 100.0 * line.seconds / estimate.seconds;
                let (kernel, module, bound) = (&line.kernel, &line.module, line.bound);
                let step = title(estimate.kind);
                let _ = writeln!(text, "- {}, {step}: `{kernel}` of `{module}`, {share:.0} %: {bound}", card.title);
            }
        }
    }
    if !found {
        text += "(none)\n";
    }
    text
}

fn is_weak(line: &Line, estimate: &Estimate) -> bool {
    let right = if estimate.kind.is_prefill() { Bound::Matrix } else { Bound::Memory };
    line.bound != right && line.seconds >= WEAK_SHARE * estimate.seconds
}

fn assumptions(recording: &Recording, cards: &[&Card], assumed: &Assumptions) -> String {
    let a = assumed;
    let mut text = format!(
        "\n## Assumptions\n\n\
         - Counts are those of {} code, on which the emulator ran each step with one or two layers; the other layers of a\n  \
           kind are taken for the same. Weights are random: nothing that is counted depends on them much.\n\
         - Each matrix is read from memory once a step, and so are keys and values; all else comes from caches. Kernels of\n  \
           one weight type share its bytes by what their lanes load.\n\
         - Memory gives {:.0} % of its bandwidth, answers after {:.0} ns, and a wave has {} loads under way.\n\
         - A SIMD gives out a vector instruction in {:.0} % of its cycles if it has waves enough: a result takes {} cycles,\n  \
           and {} instructions of a wave do not wait for one another. Two instructions in one (VOPD) count as one,\n  \
           transcendental ones as four.\n\
         - A matrix instruction takes as many cycles as the data sheet's rate says (32 of a SIMD on RDNA 3).\n\
         - LDS gives 128 bytes a cycle and compute unit, vector caches 64, or a line of 128 bytes if less of it is wanted.\n\
         - What is slowest of memory, caches, LDS, vector and scalar unit takes all of a kernel's time; the others are\n  \
           hidden behind it. Workgroups are spread evenly and given out whole.\n\
         - From one kernel to the next {} µs pass. Sampling on the host, and its wait for the device, take no time.\n",
        recording.target,
        100.0 * a.memory_share,
        a.memory_ns,
        a.loads_under_way,
        100.0 * a.issue_share,
        a.vector_latency,
        a.independent,
        a.launch_us,
    );
    if cards.iter().any(|card| !card.is_rdna3) {
        let _ = writeln!(
            text,
            "- CDNA executes other code than what was counted: there, only bytes and the operations of matrix and dot products \
             count, at {:.0} %\n  of the matrix rate. That leaves out most of what may be slow.",
            100.0 * a.matrix_share
        );
    }
    text += "\n| card | compute units | clock | memory | matrix units |\n|---|--:|---|--:|--:|\n";
    for card in cards {
        let (ghz, clock, tera) = (card.clock_ghz, card.clock, card.matrix_rate() / 1e12);
        let _ = writeln!(
            text,
            "| {} | {} | {ghz} GHz, {clock} | {} GB/s | {tera:.0} Tflop/s |",
            card.title, card.units, card.memory_gbs
        );
    }
    text
}

fn details(card: &Card, estimates: &[Estimate]) -> String {
    let mut text = format!("\n## {}\n", card.title);
    for estimate in estimates {
        let _ = writeln!(
            text,
            "\n### {}: {}\n\n{:.2} ms.\n\n\
             | kernel | launches | ms | share | bound by | memory ms | instructions ms | LDS ms | cache ms |\n\
             |---|--:|--:|--:|---|--:|--:|--:|--:|",
            card.title,
            title(estimate.kind),
            1e3 * estimate.seconds
        );
        let (told, others): (Vec<_>, Vec<_>) =
            estimate.lines.iter().partition(|line| line.seconds >= LEAST_SHARE * estimate.seconds);
        for line in told {
            let t = &line.time;
            let ms = [t.memory, t.vector, t.lds, t.cache].map(|seconds| format!("{:.2}", 1e3 * seconds)).join(" | ");
            let name = format!("`{}` of `{}`", line.kernel, line.module);
            let _ = writeln!(
                text,
                "| {name} | {} | {ms} |",
                cells(line.launches, line.seconds, estimate, Some(line.bound))
            );
        }
        if !others.is_empty() {
            let sum = |of: fn(&Line) -> f64| others.iter().map(|line| of(line)).sum();
            let cells = cells(sum(|line| line.launches), sum(|line| line.seconds), estimate, None);
            let _ = writeln!(text, "| {} others | {cells} | | | | |", others.len());
        }
    }
    text
}

fn cells(launches: f64, seconds: f64, estimate: &Estimate, bound: Option<Bound>) -> String {
    let share = 100.0 * seconds / estimate.seconds;
    let bound = bound.map(|bound| bound.to_string()).unwrap_or_default();
    format!("{launches:.0} | {:.2} | {share:.1} % | {bound}", 1e3 * seconds)
}

#[cfg(test)]
mod tests {
    use super::super::card::CARDS;
    use super::super::estimate::tests::row;
    use super::super::launches::Figures;
    use super::super::recording::{Part, Step};
    use super::*;

    /// A step whose layers are bound by instructions.
    fn step(kind: StepKind) -> Step {
        let busy = row(960, Figures { vector: 1 << 32, load: 1 << 20, loaded_bytes: 1 << 30, ..Figures::default() });
        let parts = [16, 15, 1].map(|times| Part { times, rows: vec![busy.clone()] });
        Step { kind, parts: parts.into() }
    }

    fn recording() -> Recording {
        let decode = StepKind { sequences: 1, tokens: 1, context: 4096 };
        let prompt = StepKind { tokens: 512, context: 0, ..decode };
        Recording { model: "llama-8b:q4_k_m".into(), target: "gfx1100".into(), steps: vec![step(decode), step(prompt)] }
    }

    #[test]
    fn the_page_is_what_its_recording_gives() {
        let root = crate::process::root();
        let recording = Recording::read(&root.join("xtask/data/llama-8b-q4_k_m.json")).expect("a recording");
        let cards: Vec<&Card> = CARDS.iter().collect();
        let text = markdown(&recording, &cards, &Assumptions::USUAL).expect("a page");
        let page = std::fs::read_to_string(root.join("docs/performance.md")).expect("the page");
        assert!(
            page == text,
            "cargo xtask roofline --gpu all --counts xtask/data/llama-8b-q4_k_m.json --page writes it anew"
        );
    }

    #[test]
    fn the_page_says_what_it_is_and_names_every_card_and_step() {
        let cards: Vec<&Card> = CARDS.iter().collect();
        let text = markdown(&recording(), &cards, &Assumptions::USUAL).unwrap();
        assert!(text.contains("**These are estimates, not measurements.**"));
        for card in cards {
            for step in ["decode after 4096", "prompt of 512"] {
                assert!(text.contains(&format!("### {}: {step}", card.title)), "{} {step}", card.title);
            }
        }
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn kernels_that_wait_for_the_wrong_thing_are_told() {
        let card = Card::named("rx7900xtx").unwrap();
        let text = markdown(&recording(), &[card], &Assumptions::USUAL).unwrap();
        let line = "- Radeon RX 7900 XTX, decode after 4096: `matvec_1` of `matvec/q4_k`, 100 %: instructions\n";
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("CDNA executes"), "only where a card of that kind is told of");
    }

    #[test]
    fn assumptions_are_told_with_their_values() {
        let assumed = Assumptions { memory_share: 0.5, launch_us: 7.0, ..Assumptions::USUAL };
        let text = markdown(&recording(), &[&CARDS[0]], &assumed).unwrap();
        assert!(text.contains("Memory gives 50 % of its bandwidth") && text.contains("next 7 µs pass"), "{text}");
    }
}
