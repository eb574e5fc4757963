//! Lists the instructions of code objects as the decoder sees them: `disassemble FILE.co...`.
//!
//! Each line is an address relative to the object and a name. The program fails if there is one that no table has,
//! which is listed as `unknown`.

use std::process::ExitCode;

use gfx_emu::{CodeObject, Program};

fn main() -> ExitCode {
    let mut unknown = 0;
    for path in std::env::args().skip(1) {
        match list(&path) {
            Ok(count) => unknown += count,
            Err(error) => {
                eprintln!("{path}: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    eprintln!("{unknown} unknown instructions");
    if unknown == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a code object's instructions, and counts the unknown ones.
fn list(path: &str) -> Result<usize, Box<dyn std::error::Error>> {
    let object = CodeObject::load(&std::fs::read(path)?)?;
    let program = Program::new(object)?;
    let Some(kernel) = program.object().kernels().first() else { return Ok(0) };
    let code = program.code(kernel);
    for inst in code.insts() {
        println!("{:012X} {}", inst.address - code.base(), inst.mnemonic());
    }
    Ok(code.insts().iter().filter(|inst| inst.row.name == "unknown").count())
}
