//! What kernels need on each target: docs/kernels.md, and a list for the terminal.

use std::fmt::Write;

use rocmforge_kernels::Module;

use super::Results;
use super::compile::Built;
use super::limits::occupancy;
use super::object::Kernel;
use crate::table;

const HEAD: &str = "\
# What the kernels need

`cargo xtask kernels --report` writes this page from the code objects it has compiled: it says what the compiler made of
the sources, and nothing about a run on a device.

Built with COMPILER.

Waves are those that one SIMD holds at once, by registers and static LDS, with workgroups of the largest size the kernel
allows: lanes a wave are 64 on gfx9 and 32 elsewhere. VGPRs of gfx90a and gfx942 count accumulation registers.

";

const HOT: &str = "\
## Hot modules

Where decoding and attention spend their time. Each cell is *VGPRs / waves*, from the lightest kernel of the module to
the heaviest (one column to eight, say), and then: **m** if the module uses matrix instructions, **d** if it uses dot
products of bytes, **spill** if registers did not suffice (an error of the report). LDS is the largest static amount of
a workgroup.
";

/// Sizes for people.
pub fn bytes(count: usize) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{:.1} KB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

/// The text of docs/kernels.md.
pub fn markdown(compiler: &str, results: &Results) -> String {
    let mut text = HEAD.replace("COMPILER", compiler);
    text += &totals(results);
    text += HOT;
    for family in hot_families(results) {
        text += &hot_table(&family, results);
    }
    text + &scratch(results)
}

fn row(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().collect();
    format!("| {} |\n", cells.join(" | "))
}

fn rule(columns: usize) -> String {
    format!("|---|{}\n", "--:|".repeat(columns - 1))
}

fn totals(results: &Results) -> String {
    let head = ["target", "modules", "kernels", "code", "matrix", "dot", "scratch", "spills"];
    let mut text = "## Totals\n\nKernels that use matrix instructions, that use dot products of bytes, that use \
                    scratch memory,\nand that spill registers.\n\n"
        .to_owned();
    text += &row(head.map(str::to_owned));
    text += &rule(head.len());
    for (arch, built) in results {
        let kernels = || built.iter().flat_map(|(_, built)| &built.kernels);
        let count = |test: fn(&&Kernel) -> bool| kernels().filter(test).count().to_string();
        let code: usize = built.iter().map(|(_, built)| built.object.len()).sum();
        text += &row([
            arch.clone(),
            built.len().to_string(),
            kernels().count().to_string(),
            bytes(code),
            count(|k| k.matrix > 0),
            count(|k| k.dot > 0),
            count(|k| k.scratch > 0),
            count(|k| k.spills()),
        ]);
    }
    text + "\n"
}

/// Families with a hot module, in the order of the table.
fn hot_families(results: &Results) -> Vec<String> {
    let mut families: Vec<String> = Vec::new();
    for (module, _) in results.values().flatten().filter(|(module, _)| module.hot) {
        if !families.iter().any(|family| family == module.family()) {
            families.push(module.family().to_owned());
        }
    }
    families
}

fn hot_table(family: &str, results: &Results) -> String {
    let mut text = format!("\n### {family}\n\n");
    let targets = results.keys().cloned();
    text += &row(["module", "kernels", "LDS"].map(str::to_owned).into_iter().chain(targets));
    text += &rule(3 + results.len());
    let Some(first) = results.values().next() else { return text };
    for (module, _) in first.iter().filter(|(module, _)| module.hot && module.family() == family) {
        let on_targets: Vec<(&str, &Built)> =
            results.iter().filter_map(|(arch, built)| Some((arch.as_str(), find(built, &module.name)?))).collect();
        let lds = on_targets.iter().flat_map(|(_, built)| &built.kernels).map(|k| k.lds).max().unwrap_or(0);
        let cells = on_targets.iter().map(|(arch, built)| cell(arch, built));
        let first = [format!("`{}`", module.name), module.kernels.len().to_string(), lds_text(lds)];
        text += &row(first.into_iter().chain(cells));
    }
    text
}

fn find<'a>(built: &'a [(&'static Module, Built)], name: &str) -> Option<&'a Built> {
    built.iter().find(|(module, _)| module.name == name).map(|(_, built)| built)
}

fn lds_text(lds: u64) -> String {
    if lds == 0 { String::new() } else { bytes(lds as usize) }
}

fn cell(arch: &str, built: &Built) -> String {
    let vgprs = range(built.kernels.iter().map(|k| k.vgprs));
    let waves = range(built.kernels.iter().map(|k| occupancy(arch, k).unwrap_or(0)));
    let mut cell = format!("{vgprs} / {waves}");
    let any = |test: fn(&Kernel) -> bool| built.kernels.iter().any(test);
    let marks = [(" m", any(|k| k.matrix > 0)), (" d", any(|k| k.dot > 0)), (" **spill**", any(Kernel::spills))];
    marks.iter().filter(|(_, holds)| *holds).for_each(|(mark, _)| cell += mark);
    cell
}

/// `16` or `9–16`.
fn range(numbers: impl Iterator<Item = u64> + Clone) -> String {
    match (numbers.clone().min().unwrap_or(0), numbers.max().unwrap_or(0)) {
        (low, high) if low == high => low.to_string(),
        (low, high) => format!("{low}–{high}"),
    }
}

fn scratch(results: &Results) -> String {
    let mut text = "\n## Kernels with scratch memory\n\n".to_owned();
    let mut lines = 0;
    for (arch, built) in results {
        for (module, kernel) in built.iter().flat_map(|(m, b)| b.kernels.iter().map(move |k| (m, k))) {
            if kernel.scratch == 0 && !kernel.spills() {
                continue;
            }
            lines += 1;
            let spilled = kernel.vgpr_spills + kernel.sgpr_spills;
            // Writing into a String cannot fail.
            let _ = writeln!(
                text,
                "- {arch}: `{}` in `{}`, {} a lane, {spilled} registers spilled",
                kernel.name,
                module.name,
                bytes(kernel.scratch as usize)
            );
        }
    }
    if lines == 0 {
        text += "None.\n";
    }
    text
}

/// All numbers of each kernel, for a few modules.
pub fn kernel_list(results: &Results) -> String {
    let head = [
        "kernel",
        "target",
        "VGPRs",
        "AGPRs",
        "SGPRs",
        "LDS",
        "scratch",
        "spills",
        "waves",
        "instructions",
        "matrix",
        "dot",
    ];
    let mut rows = Vec::new();
    for (arch, built) in results {
        for kernel in built.iter().flat_map(|(_, built)| &built.kernels) {
            let numbers = [
                kernel.vgprs,
                kernel.agprs,
                kernel.sgprs,
                kernel.lds,
                kernel.scratch,
                kernel.vgpr_spills + kernel.sgpr_spills,
                occupancy(arch, kernel).unwrap_or(0),
                kernel.instructions,
                kernel.matrix,
                kernel.dot,
            ];
            rows.push([vec![kernel.name.clone(), arch.clone()], numbers.map(|n| n.to_string()).to_vec()].concat());
        }
    }
    table::render(&head, &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(kernels: Vec<Kernel>) -> Built {
        Built { object: vec![0; 20_000], kernels, fresh: true }
    }

    fn kernel(name: &str, vgprs: u64) -> Kernel {
        Kernel { name: name.into(), vgprs, sgprs: 16, threads: 256, wave: 32, ..Kernel::default() }
    }

    #[test]
    fn a_cell_shows_the_lightest_and_the_heaviest_kernel() {
        let with_dot = Kernel { dot: 4, ..kernel("a", 40) };
        assert_eq!(cell("gfx1100", &built(vec![with_dot, kernel("b", 192)])), "40–192 / 8–16 d");
        let spilling = Kernel { vgpr_spills: 1, matrix: 2, ..kernel("c", 256) };
        assert_eq!(cell("gfx1100", &built(vec![spilling])), "256 / 5 m **spill**");
    }

    #[test]
    fn the_page_has_totals_and_names_scratch() {
        let Some(module) = rocmforge_kernels::modules().first() else { return };
        let heavy = Kernel { scratch: 64, sgpr_spills: 2, ..kernel("heavy", 8) };
        let results = Results::from([("gfx1100".to_owned(), vec![(module, built(vec![heavy]))])]);
        let text = markdown("clang 21", &results);
        assert!(text.contains("Built with clang 21."));
        assert!(text.contains("| gfx1100 | 1 | 1 | 20.0 KB | 0 | 0 | 1 | 1 |"), "{text}");
        assert!(text.contains("`heavy` in") && text.contains("64 B a lane, 2 registers spilled"), "{text}");
        assert!(kernel_list(&results).lines().count() == 3);
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!([bytes(512), bytes(48_000), bytes(12_345_678)], ["512 B", "48.0 KB", "12.3 MB"]);
    }
}
