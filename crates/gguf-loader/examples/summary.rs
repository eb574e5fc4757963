//! Parses the files named on the command line and prints a line for each, with the time that parsing took.

use std::time::Instant;

use rocmforge_gguf_loader::Gguf;

fn main() {
    for path in std::env::args().skip(1) {
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => {
                println!("{path}: {error}");
                continue;
            }
        };
        let start = Instant::now();
        let parsed = Gguf::parse(bytes);
        let ms = start.elapsed().as_secs_f64() * 1e3;
        match parsed {
            Ok(gguf) => println!(
                "{path}: {} v{}, {} keys, {} tensors, {} warnings, {ms:.1} ms",
                gguf.architecture().unwrap_or("?"),
                gguf.version(),
                gguf.metadata().len(),
                gguf.tensors().len(),
                gguf.warnings().len(),
            ),
            Err(error) => println!("{path}: {error} ({ms:.1} ms)"),
        }
    }
}
