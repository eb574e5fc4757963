//! What RDNA3 does not have.

use crate::arith::dot;
use crate::isa::macros::{core, ints, wave};
use crate::isa::memory::Outcome;
use crate::isa::{Class, Form, Inst, Kind, Row};
use crate::run::{Core, Counter};
use crate::wave::Wave;

/// `s_waitcnt`: vector loads in bits 0 to 3 and 14 to 15, exports in 4 to 6, LDS and scalar loads in 8 to 13.
fn waitcnt(wave: &mut Wave, inst: &Inst) {
    let counts = inst.offset as u32;
    wave.track.wait_loads((counts & 15 | counts >> 10 & 0x30) as usize);
    wave.track.wait_local((counts >> 8 & 63) as usize);
}

/// The clock, which comes like a scalar load.
fn time(core: &mut Core<'_, '_>, inst: &Inst) -> Outcome {
    let clock = core.group.clock();
    core.wave.set_s64(inst.dst as u8, clock);
    core.wave.track.issue(Counter::Scalar, inst.writes, inst.address);
    Ok(())
}

/// SOPP.
pub(super) static SOPP: &[Row] = &[Row::new(Class::Control, 12, "s_waitcnt", wave!(Kind::None, [], waitcnt))];

/// SMEM.
pub(super) static SMEM: &[Row] = &[
    Row::new(Class::ScalarMemory, 36, "s_memtime", core!(Kind::S(2), [], time)),
    Row::new(Class::ScalarMemory, 37, "s_memrealtime", core!(Kind::S(2), [], time)),
];

/// VOP2.
pub(super) static VOP2: &[Row] = &[Row::new(
    Class::Dot,
    13,
    "v_dot4c_i32_i8",
    ints!(|i, a: u32, b: u32, c: i32| -> i32 { dot::dot4_i32_iu8(a, b, c, true, true, i.clamp) }),
)
.form(Form::Accumulate)];

/// VOP3P.
pub(super) static VOP3P: &[Row] = &[
    Row::new(
        Class::Dot,
        22,
        "v_dot4_i32_i8",
        ints!(|i, a: u32, b: u32, c: i32| -> i32 { dot::dot4_i32_iu8(a, b, c, true, true, i.clamp) }),
    ),
    Row::new(
        Class::Dot,
        24,
        "v_dot8_i32_i4",
        ints!(|i, a: u32, b: u32, c: i32| -> i32 { dot::dot8_i32_iu4(a, b, c, true, true, i.clamp) }),
    ),
];
