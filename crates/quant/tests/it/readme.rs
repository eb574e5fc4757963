//! The table of types in the README is the one in the code.

use std::fmt::Write;

use rocmforge_quant::GgmlType;

const HEAD: &str = "| type | number | values | bytes | bits per value | read | write | error | format |\n\
                    |---|--:|--:|--:|--:|---|---|--:|---|\n";

#[test]
fn the_readme_lists_every_type() {
    let mut table = HEAD.to_owned();
    for &ty in GgmlType::ALL {
        let spec = ty.spec();
        let write = if spec.quantize.is_some() { "yes" } else { "no" };
        writeln!(
            table,
            "| {} | {} | {} | {} | {} | yes | {write} | {:e} | {} |",
            spec.name,
            ty.id(),
            spec.block_elems,
            spec.block_bytes,
            spec.bits_per_weight(),
            spec.max_nmse,
            spec.doc
        )
        .expect("a string takes any text");
    }
    assert!(include_str!("../../README.md").contains(&table), "the README should contain:\n\n{table}");
}
