//! Loading. The expected numbers are what `llvm-readobj --notes --symbols --relocations` says of the objects.

use gfx_emu::object::{CodeObject, Generation, Kernel, ObjectError, SymbolKind};

const SEVERAL: &[u8] = include_bytes!("../kernels/several.gfx1100.co");
const TABLE: &[u8] = include_bytes!("../kernels/table.gfx1100.co");

/// A kernel's numbers: LDS, private and argument bytes, work-items of a workgroup, SGPRs and VGPRs.
fn numbers(kernel: &Kernel) -> [u32; 6] {
    let descriptor = &kernel.descriptor;
    assert_eq!((kernel.wave_size, descriptor.wavefront_size32), (32, true));
    assert_eq!((kernel.agprs, kernel.sgpr_spills, kernel.vgpr_spills, kernel.kernarg_align), (0, 0, 0, 8));
    assert!(descriptor.wgp_mode && descriptor.mem_ordered && descriptor.dx10_clamp && descriptor.ieee_mode);
    assert_eq!(descriptor.mode_register(), 0x3f0, "to nearest even, with denormals, clamp and IEEE mode");
    [
        descriptor.group_segment_fixed_size,
        descriptor.private_segment_fixed_size,
        descriptor.kernarg_size,
        kernel.max_workgroup_size,
        kernel.sgprs,
        kernel.vgprs,
    ]
}

/// Offset, size and kind of the explicit arguments.
fn explicit(kernel: &Kernel) -> Vec<(u32, u32, &str)> {
    kernel.explicit_args().map(|arg| (arg.offset, arg.size, arg.value_kind.as_str())).collect()
}

fn pointer(object: &CodeObject, address: u64) -> u64 {
    let bytes = object.image().read(address..address + 8).unwrap();
    u64::from_le_bytes(bytes.try_into().unwrap())
}

/// The object with another relocation for the first entry of `powers`, whose address is 0x3080.
fn relocated(kind: u32, symbol: u32, addend: u64) -> Result<CodeObject, ObjectError> {
    const TYPE_RELATIVE64: u64 = 13;
    let first = [0x3080, TYPE_RELATIVE64, 0xcc0].map(u64::to_le_bytes).concat();
    let at = TABLE.windows(24).position(|bytes| bytes == first).unwrap();
    let mut bytes = TABLE.to_vec();
    bytes[at + 8..at + 24]
        .copy_from_slice(&[u64::from(symbol) << 32 | u64::from(kind), addend].map(u64::to_le_bytes).concat());
    CodeObject::load(&bytes)
}

/// A bundle as clang writes it, of one object under several targets.
fn bundle(object: &[u8], targets: &[&str]) -> Vec<u8> {
    const START: usize = 4096;
    let host = ("host-x86_64-unknown-linux-gnu-".to_owned(), 0);
    let device = targets.iter().map(|target| (format!("hipv4-amdgcn-amd-amdhsa--{target}"), object.len()));
    let mut out = b"__CLANG_OFFLOAD_BUNDLE__".to_vec();
    out.extend((1 + targets.len() as u64).to_le_bytes());
    for (id, bytes) in [host].into_iter().chain(device) {
        [START, bytes, id.len()].iter().for_each(|&number| out.extend((number as u64).to_le_bytes()));
        out.extend(id.bytes());
    }
    out.resize(START, 0);
    out.extend(object);
    out
}

#[test]
fn kernels_are_as_the_compiler_describes_them() {
    let object = CodeObject::load(SEVERAL).unwrap();
    assert_eq!((object.target().id(), object.target().generation()), ("gfx1100", Generation::Gfx11));
    let names: Vec<_> = object.kernels().iter().map(|kernel| kernel.name.as_str()).collect();
    assert_eq!(names, ["scale", "indices", "reverse"]);
    assert_eq!(numbers(object.kernel("scale").unwrap()), [0, 0, 280, 1024, 18, 4]);
    assert_eq!(numbers(object.kernel("indices").unwrap()), [0, 0, 264, 1024, 18, 7]);
    assert_eq!(numbers(object.kernel("reverse").unwrap()), [128, 0, 272, 128, 8, 12]);
    let table = CodeObject::load(TABLE).unwrap();
    assert_eq!(numbers(table.kernel("look_up").unwrap()), [0, 0, 12, 1024, 6, 2]);
    assert_eq!(numbers(table.kernel("call").unwrap()), [0, 0, 272, 1024, 38, 41]);
    assert!(table.kernel("call").unwrap().descriptor.uses_dynamic_stack);
    assert!(object.kernel("absent").is_none());
}

#[test]
fn arguments_have_their_places() {
    let object = CodeObject::load(SEVERAL).unwrap();
    let scale = object.kernel("scale").unwrap();
    let pointers = [(0, 8, "global_buffer"), (8, 8, "global_buffer")];
    assert_eq!(explicit(scale), [&pointers[..], &[(16, 4, "by_value"), (20, 4, "by_value")]].concat());
    assert_eq!(scale.explicit_bytes(), 24);
    let hidden = scale.args.iter().filter(|arg| arg.is_hidden());
    let hidden: Vec<_> = hidden.map(|arg| (arg.offset, arg.size, &arg.value_kind[7..])).collect();
    let expected = [
        (24, 4, "block_count_x"),
        (28, 4, "block_count_y"),
        (32, 4, "block_count_z"),
        (36, 2, "group_size_x"),
        (38, 2, "group_size_y"),
        (40, 2, "group_size_z"),
        (42, 2, "remainder_x"),
        (44, 2, "remainder_y"),
        (46, 2, "remainder_z"),
        (64, 8, "global_offset_x"),
        (72, 8, "global_offset_y"),
        (80, 8, "global_offset_z"),
        (88, 2, "grid_dims"),
    ];
    assert_eq!(hidden, expected);
}

#[test]
fn waves_begin_as_the_descriptor_says() {
    let object = CodeObject::load(SEVERAL).unwrap();
    let [scale, indices, reverse] = object.kernels() else { panic!("three kernels") };
    for kernel in [scale, indices, reverse] {
        assert!(kernel.descriptor.user_sgprs.kernarg_segment_ptr);
        assert_eq!(kernel.descriptor.user_sgprs.count(), 2);
    }
    assert_eq!((scale.descriptor.workgroup_id, scale.descriptor.work_item_id), ([true, false, false], 0));
    assert_eq!((indices.descriptor.workgroup_id, indices.descriptor.work_item_id), ([true; 3], 2));
    assert_eq!((scale.descriptor.user_sgpr_count, indices.descriptor.user_sgpr_count), (15, 13));
}

#[test]
fn entries_are_at_the_functions_of_the_kernels() {
    for bytes in [SEVERAL, TABLE] {
        let object = CodeObject::load(bytes).unwrap();
        for kernel in object.kernels() {
            assert_eq!(object.function_at(kernel.entry), Some((kernel.name.as_str(), 0)));
            assert_eq!(object.function_at(kernel.entry + 8), Some((kernel.name.as_str(), 8)));
            assert!(object.image().text().any(|(address, code)| {
                (address..address + code.len() as u64).contains(&kernel.entry) && kernel.entry % 256 == 0
            }));
        }
    }
    let object = CodeObject::load(SEVERAL).unwrap();
    let base = object.image().base();
    assert_eq!(object.kernel("indices").unwrap().entry - base, 0x2400);
    assert_eq!(object.kernel("indices").unwrap().descriptor_address - base, 0x1240);
    assert_eq!(object.function_at(base + 0x2400 + 216), Some(("indices", 216)));
    assert_eq!(object.function_at(base + 0x2400 + 220), None, "padding belongs to no function");
    assert_eq!(object.function_at(0), None);
}

#[test]
fn segments_lie_page_aligned_with_zeroes_behind() {
    let object = CodeObject::load(SEVERAL).unwrap();
    let image = object.image();
    assert_eq!(image.base() % 4096, 0);
    assert_eq!(image.read(image.base()..image.base() + 4), Some(&b"\x7fELF"[..]));
    assert!(image.contains(image.base() + 0x2300) && !image.contains(image.base() + 0x2000));
    assert!(!image.contains(image.range().end) && image.read(image.range().end..image.range().end + 1).is_none());
    let bss = image.base() + 0x48f0;
    assert_eq!(image.read(bss..bss + 1), Some(&[0][..]));
    let rights: Vec<_> = image.segments().iter().map(|segment| (segment.writable, segment.executable)).collect();
    assert_eq!(rights, [(false, false), (false, true), (true, false), (true, false)]);
}

#[test]
fn pointers_in_constant_tables_are_relocated() {
    let object = CodeObject::load(TABLE).unwrap();
    let address = |name: &str| object.symbols().iter().find(|symbol| symbol.name == name).unwrap().range.start;
    let powers = object.variable("_ZL6powers").unwrap();
    assert_eq!((powers.range.start - object.image().base(), powers.kind), (0x3080, SymbolKind::Variable));
    assert_eq!(pointer(&object, powers.range.start), object.image().base() + 0xcc0);
    assert_eq!(pointer(&object, powers.range.start + 8), object.image().base() + 0xce0);
    let cubes = object.image().read(address("cubes")..address("cubes") + 20).unwrap();
    assert_eq!(cubes.as_chunks().0, [0_u32, 1, 8, 27, 64].map(u32::to_le_bytes));
    let steps = address("_ZL5steps");
    let names = [0, 8].map(|at| object.function_at(pointer(&object, steps + at)));
    assert_eq!(names, [Some(("_ZL5twicei", 0)), Some(("_ZL7negatedi", 0))]);
    let calls = object.variable("calls").unwrap().range.clone();
    assert_eq!(object.image().read(calls), Some(&[7, 0, 0, 0][..]));
    assert!(object.variable("twice").is_none());
}

#[test]
fn relocations_by_symbol_follow_their_formulas() {
    const LOOK_UP: u32 = 1;
    let check = |kind, expected: fn(symbol: u64, place: u64) -> u64| {
        let object = relocated(kind, LOOK_UP, 12).unwrap();
        let place = object.variable("_ZL6powers").unwrap().range.start;
        let symbol = object.kernel("look_up").unwrap().entry + 12;
        assert_eq!(pointer(&object, place), expected(symbol, place), "relocation type {kind}");
    };
    check(0, |_, _| 0);
    check(1, |symbol, _| symbol & 0xffff_ffff);
    check(2, |symbol, _| symbol >> 32);
    check(3, |symbol, _| symbol);
    check(4, |symbol, place| symbol.wrapping_sub(place) & 0xffff_ffff);
    check(5, |symbol, place| symbol.wrapping_sub(place));
    check(10, |symbol, place| symbol.wrapping_sub(place) & 0xffff_ffff);
    check(11, |symbol, place| symbol.wrapping_sub(place) >> 32);
}

#[test]
fn two_images_of_an_object_are_apart() {
    let [first, second] = [0, 1].map(|_| CodeObject::load(TABLE).unwrap());
    assert!(!first.image().contains(second.image().base()));
    let powers = second.variable("_ZL6powers").unwrap().range.start;
    assert!(second.image().contains(pointer(&second, powers)));
}

#[test]
fn bytes_need_no_alignment() {
    let shifted = [&[0], TABLE].concat();
    assert_eq!(CodeObject::load(&shifted[1..]).unwrap().kernels().len(), 2);
}

#[test]
fn a_bundle_gives_the_entry_of_the_target() {
    let two = bundle(SEVERAL, &["gfx1030", "gfx1100"]);
    assert_eq!(CodeObject::load_for(&two, "gfx1100").unwrap().kernels().len(), 3);
    let missing = CodeObject::load_for(&two, "gfx1201").unwrap_err();
    assert_eq!(missing.to_string(), "missing code object for the device: none for gfx1201, but for gfx1030, gfx1100");
    assert!(matches!(CodeObject::load(&two), Err(ObjectError::SeveralTargets { .. })));
    assert!(CodeObject::load(&bundle(SEVERAL, &["gfx1100"])).is_ok());
    assert!(matches!(CodeObject::load_for(SEVERAL, "gfx1101"), Err(ObjectError::MissingTarget { .. })));
    assert!(CodeObject::load_for(SEVERAL, "gfx1100").is_ok());
    assert!(matches!(CodeObject::load(b"CCOB\x02\0\x01\0"), Err(ObjectError::Compressed)));
}

#[test]
fn what_is_cut_short_is_an_error() {
    for length in 0..TABLE.len() {
        assert!(CodeObject::load(&TABLE[..length]).is_err(), "{length}");
    }
    let whole = bundle(TABLE, &["gfx1100"]);
    for length in (0..whole.len()).step_by(7) {
        assert!(CodeObject::load(&whole[..length]).is_err(), "{length}");
    }
}

#[test]
fn flipped_bytes_load_or_are_errors() {
    let mut bytes = TABLE.to_vec();
    let mut errors = 0;
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            bytes[at] ^= flip;
            errors += u32::from(CodeObject::load(&bytes).is_err());
            bytes[at] ^= flip;
        }
    }
    assert!(errors > 1000, "{errors}");
}

#[test]
fn flipped_bytes_of_a_bundle_load_or_are_errors() {
    let mut bytes = bundle(SEVERAL, &["gfx1030", "gfx1100"]);
    let table = 24..200;
    let missed = table.filter(|&at| {
        bytes[at] ^= 0xff;
        let outcome = CodeObject::load_for(&bytes, "gfx1100");
        bytes[at] ^= 0xff;
        outcome.is_err()
    });
    assert!(missed.count() > 60);
}

#[test]
fn endless_nesting_is_an_error() {
    let mut bytes = TABLE.to_vec();
    let note = TABLE.windows(8).position(|bytes| bytes == b"AMDGPU\0\0").unwrap() + 8;
    // A map whose unknown key `x` holds a list of a list of a list.
    bytes[note..note + 3].copy_from_slice(b"\x81\xa1x");
    bytes[note + 3..note + 1500].fill(0x91);
    assert!(matches!(CodeObject::load(&bytes), Err(ObjectError::Metadata(_))));
}

#[test]
fn a_descriptor_must_agree_with_the_metadata() {
    let object = CodeObject::load(TABLE).unwrap();
    // The first segment begins at byte 0 of the file, so that the offset in the image is the one in the file.
    let descriptor = (object.kernel("look_up").unwrap().descriptor_address - object.image().base()) as usize;
    let message = |at: usize, value: u8| {
        let mut bytes = TABLE.to_vec();
        bytes[descriptor + at] = value;
        CodeObject::load(&bytes).unwrap_err().to_string()
    };
    let expected = "kernel `look_up`: bytes of arguments: 12 in the metadata, 16 in the descriptor";
    assert_eq!(message(8, 16), expected);
    assert_eq!(message(57, 0), "kernel `look_up`: wave size: 32 in the metadata, 64 in the descriptor");
    assert_eq!(message(16, 1), "kernel `look_up`: its entry lies outside of the code");
    assert_eq!(message(52, 0), "kernel `look_up`: more than its 0 user SGPRs are enabled");
}

#[test]
fn a_stripped_object_names_what_it_exports() {
    const SHT_SYMTAB: [u8; 4] = [2, 0, 0, 0];
    let mut bytes = TABLE.to_vec();
    let sections = u64::from_le_bytes(TABLE[40..48].try_into().unwrap()) as usize;
    let mut kinds = (sections..TABLE.len()).step_by(64).map(|header| header + 4);
    let symtab = kinds.find(|&kind| TABLE[kind..kind + 4] == SHT_SYMTAB).unwrap();
    bytes[symtab] = 0;
    let object = CodeObject::load(&bytes).unwrap();
    assert_eq!(object.function_at(object.kernel("call").unwrap().entry), Some(("call", 0)));
    assert!(object.variable("calls").is_some() && object.variable("_ZL5steps").is_none());
}

#[test]
fn other_files_are_refused_by_name() {
    let changed = |at: usize, value: u8| {
        let mut bytes = TABLE.to_vec();
        bytes[at] = value;
        CodeObject::load(&bytes).unwrap_err()
    };
    assert!(matches!(CodeObject::load(b"hello"), Err(ObjectError::NotElf)));
    assert!(matches!(changed(18, 62), ObjectError::NotAmdgpu { machine: 62 }));
    assert!(matches!(changed(8, 1), ObjectError::Abi { os_abi: 64, version: 1 }));
    assert!(matches!(changed(48, 0x36), ObjectError::UnknownTarget { machine: 0x36, .. }));
    assert!(matches!(relocated(99, 0, 0).unwrap_err(), ObjectError::UnknownRelocation { kind: 99, offset: 0x3080 }));
    assert!(matches!(relocated(3, 1000, 0).unwrap_err(), ObjectError::Relocation { offset: 0x3080, .. }));
}
