//! `cargo xtask test-gpu`: tests on the device of a HIP library.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Args;

use super::launches::Launches;
use super::output::{Output, OutputArgs};
use super::{Artifact, Library, LibraryArgs, Programs, sanitizer};
use crate::{process, table};

/// Options of `test-gpu`.
#[derive(Debug, Args)]
#[command(after_help = parts_text())]
pub struct TestArgs {
    /// What is run, from the list below; without any, the tests
    #[arg(value_name = "PART")]
    parts: Vec<String>,
    /// The same, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "PART,...")]
    only: Vec<String>,
    /// Fewer and smaller cases, for the fake library
    #[arg(long)]
    quick: bool,
    /// Build with optimisation
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    library: LibraryArgs,
    /// Arguments for the program of each part
    #[arg(last = true, value_name = "ARGUMENT")]
    rest: Vec<String>,
}

/// Something to run.
struct Part {
    name: &'static str,
    about: &'static str,
    program: Artifact,
    args: &'static [&'static str],
    /// Further arguments of `--quick`.
    quick: &'static [&'static str],
    /// Tool of compute-sanitizer that the program runs under, with each of `cases` in turn.
    tool: Option<&'static str>,
    cases: &'static [&'static str],
    /// Whether it is run without being asked for.
    usual: bool,
    /// Further arguments where each instruction of a kernel is emulated; `None` for what takes too long then to be run
    /// without being asked for.
    emulated: Option<&'static [&'static str]>,
}

const fn tests(name: &'static str, about: &'static str, quick: &'static [&'static str]) -> Part {
    let (program, args) = (Artifact::GpuTests, &[] as &[&str]);
    Part { name, about, program, args, quick, tool: None, cases: &[""], usual: true, emulated: None }
}

const QUICK: &[&str] = &["--quick"];

/// A plain model, one with norms of heads and windows, and one with experts.
const FEW_MODELS: &[&str] = &["--exact", "llama", "gemma3", "qwen2moe"];

/// Instead of these where they are emulated: every way of attention and experts.
const EMULATED_MODELS: &[&str] = &["--exact", "llama", "qwen3", "mixtral", "gemma3", "gpt-oss"];

/// Cases that between them use every family of kernels, small enough for a tool that slows kernels a hundredfold.
const SANITIZED: &[&str] = &["embed", "linear", "norm", "gate", "rope", "attention", "route", "experts"];

const PARTS: &[Part] = &[
    Part {
        program: Artifact::UnitTests,
        emulated: Some(&[]),
        ..tests("unit", "each kernel and the driver layer", &[])
    },
    Part { emulated: Some(QUICK), ..tests("ops", "each operation against the reference interpreter", QUICK) },
    Part {
        emulated: Some(EMULATED_MODELS),
        ..tests("golden", "tiny models of all architectures against another implementation", FEW_MODELS)
    },
    Part { emulated: Some(&["--tokens", "20"]), ..tests("demo", "texts of the bundled model", QUICK) },
    tests("decode", "long answers: graphs, batches, and tokens chosen on the device", QUICK),
    tests("memory", "what steps take of a device, and what does not fit", QUICK),
    tests("sampler", "tokens drawn on the device against their probabilities", QUICK),
    tests("perplexity", "the bundled model on a text it has not seen", QUICK),
    Part { usual: false, ..tests("kernels", "how long each kernel takes", &["--tiny"]) },
    Part { usual: false, ..tests("speed", "tokens a second of a file, named behind --", &[]) },
    sanitized("memcheck", "operations under compute-sanitizer: bad memory accesses"),
    sanitized("racecheck", "operations under compute-sanitizer: races in shared memory"),
];

const fn sanitized(tool: &'static str, about: &'static str) -> Part {
    let part = tests(tool, about, &[]);
    Part { args: &["ops", "--quick"], tool: Some(tool), cases: SANITIZED, usual: false, ..part }
}

fn parts_text() -> String {
    let line = |part: &Part| format!("  {:<11} {}{}\n", part.name, part.about, if part.usual { "" } else { " *" });
    format!("Parts:\n{}  * only if it is named", PARTS.iter().map(line).collect::<String>())
}

/// Runs the parts one after the other; a failure does not keep the others from running.
pub fn run(args: &TestArgs) -> Result<()> {
    let parts = chosen(args.parts.iter().chain(&args.only), args.library.is_emulated())?;
    let programs = args.library.programs(if args.release { process::RELEASE } else { "dev" });
    let (mut library, device) = programs.library(&args.library)?;
    let mut output = Output::new(&args.output)?;
    output.say(&device)?;
    let launches = args.library.is_emulated().then(|| Launches::of(&mut library)).transpose()?;
    let mut rows = Vec::new();
    let mut failed = Vec::new();
    for part in parts {
        output.say(&format!("\n== {}: {}", part.name, part.about))?;
        let begun = Instant::now();
        let outcome = run_part(part, args, &programs, &library, &mut output);
        if let Err(error) = &outcome {
            output.say(&format!("{error:#}"))?;
            failed.push(part.name);
        }
        rows.push(row(part.name, outcome.is_ok(), begun.elapsed()));
    }
    let table = table::render(&["part", "outcome", "time"], &rows);
    output.say(&format!("\n{}\n{device}\n{table}", output.failures()))?;
    let coverage = launches.map(|launches| launches.coverage()).transpose()?;
    if let Some(coverage) = &coverage {
        output.say(&coverage.text())?;
    }
    ensure!(failed.is_empty(), "{} of {} parts failed: {}", failed.len(), rows.len(), failed.join(", "));
    let left_out = coverage.map_or(0, |coverage| coverage.left_out());
    ensure!(left_out == 0 || !is_full(args), "{left_out} kernels did not run");
    Ok(())
}

/// Whether all usual parts are run, with all of their cases.
fn is_full(args: &TestArgs) -> bool {
    args.parts.is_empty() && args.only.is_empty() && args.rest.is_empty()
}

fn row(name: &str, passed: bool, time: Duration) -> Vec<String> {
    let outcome = if passed { "passed" } else { "FAILED" };
    vec![name.to_owned(), outcome.to_owned(), format!("{:.1} s", time.as_secs_f64())]
}

/// The parts of these names, or the usual ones.
fn chosen<'a>(names: impl Iterator<Item = &'a String>, emulated: bool) -> Result<Vec<&'static Part>> {
    let mut parts = Vec::new();
    for name in names {
        match PARTS.iter().find(|part| part.name == name) {
            Some(part) => parts.push(part),
            None => bail!("there is no part `{name}`\n{}", parts_text()),
        }
    }
    if parts.is_empty() {
        parts.extend(PARTS.iter().filter(|part| part.usual && (part.emulated.is_some() || !emulated)));
    }
    Ok(parts)
}

fn run_part(part: &Part, args: &TestArgs, programs: &Programs, library: &Library, output: &mut Output) -> Result<()> {
    let program = programs.get(part.program)?;
    let tool = part.tool.map(|tool| Ok::<_, anyhow::Error>((sanitizer()?, tool))).transpose()?;
    let mut failed = Vec::new();
    // A caller's own choice of cases stands in for ours.
    let cases = if part.tool.is_some() && !args.rest.is_empty() { &[""] } else { part.cases };
    for case in cases {
        let mut command = start(&program, tool.as_ref());
        library.name_in(&mut command);
        command.args(arguments(part, args, &programs.data(), case));
        if !output.run(&mut command)?.success() {
            failed.push(if case.is_empty() { part.name } else { case });
        }
    }
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// The program, under a tool or without.
fn start(program: &Path, tool: Option<&(PathBuf, &str)>) -> Command {
    let Some((sanitizer, tool)) = tool else { return Command::new(program) };
    let mut command = Command::new(sanitizer);
    command.args(["--tool", tool, "--error-exitcode", "9", "--report-api-errors", "no"]).arg(program);
    command
}

fn arguments(part: &Part, args: &TestArgs, data: &Path, case: &str) -> Vec<String> {
    let mut list = Vec::new();
    if part.program == Artifact::GpuTests {
        list.extend(["--data".to_owned(), data.display().to_string()]);
        list.extend(if part.args.is_empty() { vec![part.name.to_owned()] } else { owned(part.args) });
    }
    list.extend((!case.is_empty()).then(|| case.to_owned()));
    list.extend(match (args.library.is_emulated(), args.quick) {
        (true, _) => owned(part.emulated.unwrap_or(part.quick)),
        (false, true) => owned(part.quick),
        (false, false) => Vec::new(),
    });
    list.extend(args.rest.iter().cloned());
    list
}

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|&item| item.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: TestArgs,
    }

    fn parse(line: &[&str]) -> TestArgs {
        Line::try_parse_from([&["x"], line].concat()).expect("a good command line").args
    }

    fn names(line: &[&str]) -> Vec<&'static str> {
        let args = parse(line);
        let parts = chosen(args.parts.iter().chain(&args.only), args.library.is_emulated());
        let parts = parts.expect("parts that there are");
        parts.iter().map(|part| part.name).collect()
    }

    #[test]
    fn parts_are_named_in_two_ways() {
        assert_eq!(names(&["golden", "--only", "ops,demo"]), ["golden", "ops", "demo"]);
        assert_eq!(names(&["--emulate", "gfx1100"]), ["unit", "ops", "golden", "demo"]);
        assert!(names(&[]).contains(&"unit") && !names(&[]).contains(&"memcheck"));
        let error = chosen([&"gold".to_owned()].into_iter(), false).err().expect("no such part").to_string();
        assert!(error.contains("`gold`") && error.contains("golden"), "{error}");
    }

    #[test]
    fn a_run_is_full_without_any_choice() {
        assert!(is_full(&parse(&["--emulate", "gfx1100", "--quiet"])));
        for choice in [&["unit"][..], &["--only", "ops"], &["--", "norm"]] {
            assert!(!is_full(&parse(choice)));
        }
    }

    #[test]
    fn arguments_are_those_of_part_case_and_caller() {
        let of = |name: &str, line: &[&str], case: &str| {
            let part = PARTS.iter().find(|part| part.name == name).expect("a part");
            arguments(part, &parse(line), Path::new("d"), case).join(" ")
        };
        assert_eq!(of("ops", &["--quick"], ""), "--data d ops --quick");
        assert_eq!(of("demo", &["--emulate", "gfx1100"], ""), "--data d demo --tokens 20");
        assert_eq!(of("decode", &["--emulate", "gfx1100"], ""), "--data d decode --quick");
        assert_eq!(of("unit", &["--quick", "--", "norm::"], ""), "norm::");
        assert_eq!(of("memcheck", &[], "norm"), "--data d ops --quick norm");
        assert_eq!(of("kernels", &["--", "--types", "q4_0"], ""), "--data d kernels --types q4_0");
    }

    #[test]
    fn a_tool_runs_the_program() {
        let command = start(Path::new("tests"), Some(&(PathBuf::from("/bin/compute-sanitizer"), "racecheck")));
        assert_eq!(command.get_program(), "/bin/compute-sanitizer");
        assert!(command.get_args().any(|arg| arg == "racecheck") && command.get_args().last().unwrap() == "tests");
    }
}
