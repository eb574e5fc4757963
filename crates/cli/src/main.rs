//! `rocmforge`: run language models from GGUF files, in a terminal and in scripts.

mod args;
mod commands;
mod device;
mod error;
mod output;
mod signals;

use clap::Parser;

use args::{Cli, Command};

fn main() {
    signals::install();
    let cli = Cli::parse_from(rocmforge_server::familiar(std::env::args_os()));
    let is_server = matches!(cli.command, Some(Command::Serve(_)));
    rocmforge_launch::start_logging(&cli.common, if is_server { tracing::Level::INFO } else { tracing::Level::WARN });
    let result = match &cli.command {
        None => commands::chat::or_prompt(&cli),
        Some(Command::Generate(args)) => commands::generate::run(&cli, args),
        Some(Command::Chat(args)) => commands::chat::run(&cli, args),
        Some(Command::Serve(args)) => commands::serve::run(&cli, args),
        Some(Command::Inspect(args)) => commands::inspect::run(args),
        Some(Command::Tokenize(args)) => commands::tokenize::run(&cli, args),
        Some(Command::Logits(args)) => commands::logits::run(&cli, args),
        Some(Command::Perplexity(args)) => commands::perplexity::run(&cli, args),
        Some(Command::Quantize(args)) => commands::quantize::run(&cli, args),
        Some(Command::Bench(args)) => commands::bench::run(&cli, args),
        Some(Command::Devices(args)) => commands::devices::run(&cli, args),
        Some(Command::Doctor(args)) => commands::doctor::run(&cli, args),
        Some(Command::Render(args)) => commands::render::run(&cli, args),
    };
    if let Err(error) = result {
        std::process::exit(error.report());
    }
}
