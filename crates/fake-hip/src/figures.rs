//! A file with a line for each emulated launch: what was executed.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use gfx_emu::count::Counts;
use gfx_emu::isa::Class;
use serde_json::{Map, Value, json};

use crate::module::LaunchCall;
use crate::say::say;

/// Appends the figures of a launch. A file that cannot be written is told on stderr: the launch itself has worked.
pub(crate) fn append(path: &Path, module: Option<&str>, kernel: &str, call: &LaunchCall, counts: &Counts) {
    let text = format!("{}\n", line(module, kernel, call, counts));
    let file = OpenOptions::new().create(true).append(true).open(path);
    // In one piece, since other processes may write the same file.
    if let Err(error) = file.and_then(|mut file| file.write_all(text.as_bytes())) {
        say(&format!("{}: {error}", path.display()));
    }
}

fn line(module: Option<&str>, kernel: &str, call: &LaunchCall, counts: &Counts) -> Value {
    let classes = Class::ALL.into_iter().map(|class| (name(class), counts.of(class).into()));
    json!({
        "module": module,
        "kernel": kernel,
        "grid": call.grid,
        "block": call.block,
        "dynamic_lds": call.lds_bytes,
        "workgroups": counts.workgroups,
        "waves": counts.waves,
        "instructions": classes.collect::<Map<String, Value>>(),
        "loaded_bytes": counts.loaded_bytes,
        "stored_bytes": counts.stored_bytes,
        "loaded_lines": counts.loaded_lines,
        "stored_lines": counts.stored_lines,
        "scalar_bytes": counts.scalar_bytes,
        "lds_accesses": counts.lds_accesses,
        "lds_conflicts": counts.lds_conflicts,
    })
}

/// A class as a key: `scalar_memory`.
fn name(class: Class) -> String {
    let mut name = String::new();
    for letter in format!("{class:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_launch_and_every_class() {
        let call = LaunchCall { function: 0, grid: [2, 1, 1], block: [64, 1, 1], lds_bytes: 16, args: Vec::new() };
        let mut counts = Counts { loaded_bytes: 512, ..Counts::default() };
        counts.instructions[Class::ScalarMemory as usize] = 7;
        let line = line(Some("norm/norm"), "norm_long", &call, &counts);
        assert_eq!((&line["module"], &line["kernel"]), (&json!("norm/norm"), &json!("norm_long")));
        assert_eq!(
            (&line["grid"], &line["dynamic_lds"], &line["loaded_bytes"]),
            (&json!([2, 1, 1]), &json!(16), &json!(512))
        );
        assert_eq!(line["instructions"]["scalar_memory"], 7);
        assert_eq!(line["instructions"].as_object().unwrap().len(), Class::ALL.len());
    }
}
