//! The calling convention, by the layouts of LLVM's "User Guide for AMDGPU Backend".

use gfx_emu::abi::{
    AbiError, Dispatch, Pointers, dispatch_packet, initial_registers, kernarg_block, kernarg_from_args,
};
use gfx_emu::object::{CodeObject, Generation, Kernel};

const DISPATCH: Dispatch = Dispatch { grid: [7, 5, 3], block: [11, 3, 2], dynamic_lds: 96 };
const POINTERS: Pointers = Pointers {
    kernarg: 0x1111_2222_3333_4444,
    dispatch_packet: 0x5555_6666_7777_8888,
    queue: 0x99,
    dispatch_id: 0xaa,
    private_segment_buffer: [1, 2, 3, 4],
    flat_scratch: 0xbb,
    private_segment_size: 0xcc,
    scratch_wave_offset: 0xdd,
};

fn kernel(name: &str) -> Kernel {
    let several = include_bytes!("../kernels/several.gfx1100.co");
    let table = include_bytes!("../kernels/table.gfx1100.co");
    let objects = [&several[..], table].map(|bytes| CodeObject::load(bytes).unwrap());
    objects.iter().find_map(|object| object.kernel(name).cloned()).unwrap()
}

#[test]
fn hidden_arguments_stand_behind_the_explicit_ones() {
    let scale = kernel("scale");
    let parts: [&[u8]; 4] =
        [&[1, 2, 3, 4, 5, 6, 7, 8], &[9, 10, 11, 12, 13, 14, 15, 16], &2.5_f32.to_le_bytes(), &77_u32.to_le_bytes()];
    let explicit = kernarg_from_args(&scale, &parts).unwrap();
    assert_eq!(explicit, parts.concat());
    let block = kernarg_block(&scale, &explicit, &DISPATCH).unwrap();
    let mut expected = vec![0; 280];
    expected[..24].copy_from_slice(&explicit);
    // Workgroups from byte 24 on, sizes from byte 36 on, no remainders, three axes.
    (expected[24], expected[28], expected[32]) = (7, 5, 3);
    (expected[36], expected[38], expected[40]) = (11, 3, 2);
    expected[88] = 3;
    assert_eq!(block, expected);
}

#[test]
fn arguments_with_a_gap_are_packed_at_their_offsets() {
    let mut kernel = kernel("look_up");
    kernel.args[1].offset = 16;
    let packed = kernarg_from_args(&kernel, &[&[0xff; 8], &[0xee; 4]]).unwrap();
    assert_eq!(packed, [&[0xff; 8][..], &[0; 8], &[0xee; 4]].concat());
}

#[test]
fn bases_and_dynamic_lds_are_told_and_all_else_is_null() {
    let mut call = kernel("call");
    let kinds = ["hidden_private_base", "hidden_shared_base", "hidden_dynamic_lds_size", "hidden_queue_ptr"];
    for (at, kind) in kinds.into_iter().enumerate() {
        let arg = &mut call.args[2 + at];
        (arg.offset, arg.size, arg.value_kind) = (16 + 4 * at as u32, 4, kind.to_owned());
    }
    call.args.truncate(6);
    let block = kernarg_block(&call, &[0xff; 12], &DISPATCH).unwrap();
    let words: Vec<_> = block.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect();
    assert_eq!(words[3..9], [0, 0x0200_0000, 0x0100_0000, 96, 0, 0]);
}

#[test]
fn wrong_arguments_are_named() {
    let scale = kernel("scale");
    let message = |result: Result<Vec<u8>, AbiError>| result.unwrap_err().to_string();
    assert_eq!(
        message(kernarg_block(&scale, &[0; 23], &DISPATCH)),
        "kernel `scale`: 23 bytes of arguments, expected 24 to 24"
    );
    assert!(kernarg_block(&scale, &[0; 25], &DISPATCH).is_err());
    assert!(kernarg_block(&kernel("call"), &[0; 16], &DISPATCH).is_ok(), "padding may be passed");
    assert_eq!(message(kernarg_from_args(&scale, &[&[0; 8]])), "kernel `scale`: 1 arguments, expected 4");
    let sizes: [&[u8]; 4] = [&[0; 8], &[0; 4], &[0; 4], &[0; 4]];
    assert_eq!(message(kernarg_from_args(&scale, &sizes)), "kernel `scale`: argument 1 has 4 bytes, expected 8");
    let longer: [&[u8]; 4] = [&[0; 8], &[0; 8], &[0; 4], &[0; 5]];
    assert_eq!(message(kernarg_from_args(&scale, &longer)), "kernel `scale`: argument 3 has 5 bytes, expected 4");
}

#[test]
fn a_launch_must_fit_the_kernel() {
    let reverse = kernel("reverse");
    let check = |grid, block| Dispatch { grid, block, dynamic_lds: 0 }.check(&reverse);
    assert_eq!(check([1; 3], [128, 1, 1]), Ok(()));
    assert!(matches!(check([1; 3], [43, 3, 1]), Err(AbiError::WorkgroupTooLarge { work_items: 129, max: 128, .. })));
    assert!(matches!(check([1; 3], [u32::MAX; 3]), Err(AbiError::WorkgroupTooLarge { .. })));
    assert!(matches!(check([1, 0, 1], [1; 3]), Err(AbiError::Extent { .. })));
    assert!(matches!(check([1; 3], [1, 1, 0]), Err(AbiError::Extent { .. })));
    assert!(matches!(check([u32::MAX, 1, 1], [2, 1, 1]), Err(AbiError::Extent { .. })));
    assert_eq!(DISPATCH.lds_bytes(&reverse), 128 + 96);
}

#[test]
fn the_packet_tells_the_extent_in_work_items() {
    let reverse = kernel("reverse");
    let packet = dispatch_packet(&reverse, &DISPATCH, 0x1234_5678_9abc);
    let half = |at: usize| u16::from_le_bytes(packet[at..at + 2].try_into().unwrap());
    let word = |at: usize| u32::from_le_bytes(packet[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(packet[at..at + 8].try_into().unwrap());
    assert_eq!((half(0) & 0xff, half(2)), (2, 3), "a kernel dispatch with three axes");
    assert_eq!([4, 6, 8].map(half), [11, 3, 2]);
    assert_eq!([12, 16, 20].map(word), [77, 15, 6]);
    assert_eq!([24, 28].map(word), [0, 128 + 96]);
    assert_eq!([32, 40].map(long), [reverse.descriptor_address, 0x1234_5678_9abc]);
    assert!(packet[48..].iter().all(|&byte| byte == 0));
}

#[test]
fn workgroup_ids_stand_behind_the_padded_user_registers() {
    let initial = |name| initial_registers(&kernel(name), Generation::Gfx11, &DISPATCH, [4, 3, 2], 0, &POINTERS);
    let mut expected = vec![0; 16];
    expected[..2].copy_from_slice(&[0x3333_4444, 0x1111_2222]);
    expected[13..].copy_from_slice(&[4, 3, 2]);
    assert_eq!(initial("indices").sgprs, expected);
    expected[13..].copy_from_slice(&[0, 0, 4]);
    assert_eq!(initial("scale").sgprs, expected);
    assert_eq!(initial("indices").ttmp7_9, [0; 3]);
}

#[test]
fn user_registers_come_in_the_order_of_their_enables() {
    let mut kernel = kernel("indices");
    let enabled = &mut kernel.descriptor.user_sgprs;
    (enabled.private_segment_buffer, enabled.dispatch_ptr, enabled.queue_ptr) = (true, true, true);
    (enabled.dispatch_id, enabled.flat_scratch_init, enabled.private_segment_size) = (true, true, true);
    kernel.descriptor.user_sgpr_count = 15;
    kernel.descriptor.workgroup_info = true;
    kernel.descriptor.scratch_enable = true;
    let user = [1, 2, 3, 4, 0x7777_8888, 0x5555_6666, 0x99, 0, 0x3333_4444, 0x1111_2222, 0xaa, 0, 0xbb, 0, 0xcc];
    let sgprs = |generation, wave| initial_registers(&kernel, generation, &DISPATCH, [4, 3, 2], wave, &POINTERS).sgprs;
    // 66 work-items are three waves; bit 31 marks the first.
    assert_eq!(sgprs(Generation::Gfx10, 0), [&user[..], &[4, 3, 2, 0x8000_0003, 0xdd]].concat());
    assert_eq!(sgprs(Generation::Gfx11, 1), [&user[..], &[4, 3, 2, 3]].concat());
    assert_eq!(sgprs(Generation::Gfx12, 0), user);
}

#[test]
fn gfx12_has_workgroup_ids_in_trap_registers() {
    let initial = initial_registers(&kernel("scale"), Generation::Gfx12, &DISPATCH, [0x12345, 3, 2], 1, &POINTERS);
    assert_eq!(initial.ttmp7_9, [0x2_0003, 1 << 25, 0x12345]);
    assert_eq!(initial.sgprs.len(), 15);
}

/// The id of a work-item by division, independent of how waves step through them.
fn id(item: u32) -> [u32; 3] {
    [item % 11, item / 11 % 3, item / 33]
}

#[test]
fn work_item_ids_are_packed_or_apart() {
    let indices = kernel("indices");
    for wave in 0..3 {
        let initial = |generation| initial_registers(&indices, generation, &DISPATCH, [0; 3], wave, &POINTERS);
        let (packed, apart) = (initial(Generation::Gfx11).vgprs, initial(Generation::Gfx10).vgprs);
        assert_eq!((packed.len(), apart.len()), (1, 3));
        let lanes = (0..32).filter(|lane| wave * 32 + lane < 66);
        for lane in lanes {
            let [x, y, z] = id(wave * 32 + lane);
            let at = lane as usize;
            assert_eq!(packed[0][0][at], x | y << 10 | z << 20);
            assert_eq!([0, 1, 2].map(|axis: usize| apart[axis][0][at]), [x, y, z]);
        }
        assert!(packed[0][1].iter().all(|&id| id == 0), "a wave of 32 has no second half");
    }
}

#[test]
fn axes_that_are_not_asked_for_are_zero() {
    let initial = |generation| initial_registers(&kernel("scale"), generation, &DISPATCH, [0; 3], 1, &POINTERS).vgprs;
    let (packed, apart) = (initial(Generation::Gfx11), initial(Generation::Gfx10));
    assert_eq!((packed.len(), apart.len()), (1, 1));
    assert_eq!(packed[0][0][5], 37 % 11);
    assert_eq!(packed, apart);
}

#[test]
fn a_wave_of_64_has_two_halves() {
    let mut kernel = kernel("indices");
    kernel.wave_size = 64;
    let initial = initial_registers(&kernel, Generation::Gfx11, &DISPATCH, [0; 3], 0, &POINTERS);
    let [x, y, z] = id(32 + 9);
    assert_eq!(initial.vgprs[0][1][9], x | y << 10 | z << 20);
    assert_eq!(initial.exec, u64::MAX);
    assert_eq!(DISPATCH.waves(&kernel), 2);
}

#[test]
fn the_last_wave_runs_only_the_lanes_that_are_left() {
    let mut kernel = kernel("indices");
    let exec =
        |kernel: &Kernel, wave| initial_registers(kernel, Generation::Gfx11, &DISPATCH, [0; 3], wave, &POINTERS).exec;
    assert_eq!([0, 1, 2, 3].map(|wave| exec(&kernel, wave)), [0xffff_ffff, 0xffff_ffff, 0b11, 0]);
    kernel.wave_size = 64;
    assert_eq!([0, 1, 2].map(|wave| exec(&kernel, wave)), [u64::MAX, 0b11, 0]);
}
