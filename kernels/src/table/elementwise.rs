//! Rows of the family `elementwise`.

use super::Module;

pub(super) fn rows() -> Vec<Module> {
    let gates = ["gate_flat", "gate_rows1", "gate_rows2", "gate_rows4", "gate_long"];
    let maps = ["add_f32", "scale_f32", "softcap_f32", "copy_f32", "select_rows", "expert_sum"];
    vec![
        Module::new("elementwise/gate", "elementwise/gate.hip").kernels(gates).hot(),
        Module::new("elementwise/maps", "elementwise/maps.hip").kernels(maps).hot(),
    ]
}
