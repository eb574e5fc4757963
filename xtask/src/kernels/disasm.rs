//! Counts of instructions, from the disassembler's text.

use super::object::Kernel;

/// Adds to each kernel how many instructions it has, and which of them are products of matrices or of bytes.
pub fn count(disassembly: &str, kernels: &mut [Kernel]) {
    let mut current = None;
    for line in disassembly.lines() {
        if let Some(symbol) = label(line) {
            current = kernels.iter().position(|kernel| kernel.name == symbol);
        } else if let (Some(at), Some(name)) = (current, instruction(line)) {
            let kernel = &mut kernels[at];
            kernel.instructions += 1;
            kernel.matrix += u64::from(is_matrix(name));
            kernel.dot += u64::from(name.starts_with("v_dot"));
        }
    }
}

/// `0000000000001800 <norm_f32>:`
fn label(line: &str) -> Option<&str> {
    line.strip_suffix(">:")?.split_once(" <").map(|(_, symbol)| symbol)
}

/// Instructions stand behind a tab; padding behind the end of a kernel is no instruction of it.
fn instruction(line: &str) -> Option<&str> {
    let name = line.strip_prefix('\t')?.split_whitespace().next()?;
    (name.starts_with(char::is_alphabetic) && name != "s_code_end" && name != "s_nop").then_some(name)
}

fn is_matrix(name: &str) -> bool {
    ["v_wmma", "v_swmmac", "v_mfma", "v_smfmac"].iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_count_for_the_kernel_they_stand_in() {
        let text = "x.co:\tfile format elf64-amdgpu\n\n0000000000001800 <first>:\n\
                    \tv_dot4_i32_iu8 v0, v1, v2, v3 // 0000\n\ts_endpgm // 0008\n\ts_code_end\n\
                    0000000000001900 <helper>:\n\ts_endpgm\n\
                    0000000000002000 <second>:\n\tv_wmma_f32_16x16x16_f16 v[0:7], v[8:15] // 1\n";
        let kernel = |name: &str| Kernel { name: name.into(), ..Kernel::default() };
        let mut kernels = [kernel("first"), kernel("second")];
        count(text, &mut kernels);
        let counts = kernels.map(|k| (k.instructions, k.matrix, k.dot));
        assert_eq!(counts, [(2, 0, 1), (1, 1, 0)]);
    }
}
