//! What a launch refuses before anything runs.

use gfx_emu::launch::LDS_MAX;
use gfx_emu::{Dispatch, LaunchError, Memory, Options, Program, kernarg_from_args, launch};

/// Runs `scale` over no numbers, with one workgroup.
fn run(block: u32, dynamic_lds: u32, options: &Options) -> Result<(), LaunchError> {
    let program = Program::load(include_bytes!("../kernels/scale.gfx1100.co"), "gfx1100").unwrap();
    let kernel = program.kernel("scale").unwrap();
    let arguments = kernarg_from_args(kernel, &[&[0; 8], &[0; 4], &[0; 4]]).unwrap();
    let grid = Dispatch { grid: [1, 1, 1], block: [block, 1, 1], dynamic_lds };
    launch(&program, kernel, &grid, &arguments, &Memory::new(), options).map(drop)
}

#[test]
fn a_kernel_for_other_waves_than_the_hosts_is_refused() {
    let with = |wave_size| run(64, 0, &Options { wave_size, ..Options::default() });
    assert!(with(None).is_ok() && with(Some(32)).is_ok());
    let error = with(Some(64)).unwrap_err().to_string();
    assert_eq!(error, "kernel `scale` was compiled for waves of 32 lanes, but the host takes them to have 64");
}

#[test]
fn workgroups_and_lds_that_no_compute_unit_has_are_refused() {
    let options = Options::default();
    assert!(run(1024, LDS_MAX as u32, &options).is_ok());
    assert!(matches!(run(1025, 0, &options), Err(LaunchError::Abi(_))));
    assert!(matches!(run(64, LDS_MAX as u32 + 1, &options), Err(LaunchError::Lds { .. })));
}
