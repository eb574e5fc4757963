//! Waits by counter, and barriers in two steps.

use crate::fault::{Fault, FaultKind};
use crate::isa::macros::{core, wave};
use crate::isa::memory::Outcome;
use crate::isa::rdna3::control::{arrive, hint, row};
use crate::isa::{Inst, Kind, Row, Src};
use crate::run::{Core, Counter};
use crate::wave::{State, Wave};

/// The barrier of all waves of the workgroup; others have names.
const WORKGROUP_BARRIER: i64 = -1;

fn unsupported_barrier(number: i64) -> Box<Fault> {
    Fault::new(FaultKind::Unsupported { what: format!("barrier {number}") })
}

fn signal(core: &mut Core<'_, '_>, inst: &Inst) -> Outcome {
    match inst.src[0] {
        Src::K(number) if i64::from(number as i32) == WORKGROUP_BARRIER => {}
        Src::K(number) => return Err(unsupported_barrier(i64::from(number as i32))),
        _ => return Err(Fault::new(FaultKind::Unsupported { what: "a barrier that M0 names".to_owned() })),
    }
    arrive(core)?;
    core.wave.has_signalled = true;
    Ok(())
}

fn wait(core: &mut Core<'_, '_>, inst: &Inst) -> Outcome {
    if i64::from(inst.offset) != WORKGROUP_BARRIER {
        return Err(unsupported_barrier(inst.offset.into()));
    }
    if !std::mem::take(&mut core.wave.has_signalled) {
        let reason = "the wave waits without having signalled".to_owned();
        return Err(Fault::new(FaultKind::DivergentBarrier { reason }));
    }
    core.wave.state = State::AtBarrier(inst.address);
    Ok(())
}

/// The low count of a wait for one or two counters.
fn low(inst: &Inst) -> usize {
    inst.offset as usize & 63
}

/// The high count of a wait for two counters.
fn high(inst: &Inst) -> usize {
    inst.offset as usize >> 8 & 63
}

fn wait_stores(wave: &mut Wave, count: usize) {
    wave.track.wait_stores(count as u32);
}

/// SOP1.
pub(super) static SOP1: &[Row] = &[
    row(78, "s_barrier_signal", core!(Kind::None, [Kind::B32], signal)),
    row(
        88,
        "s_sleep_var",
        core!(Kind::None, [Kind::B32], |core, _| {
            core.wave.state = State::Yielding;
            Ok(())
        }),
    ),
];

/// SOPK.
pub(super) static SOPK: &[Row] = &[hint(1, "s_version")];

/// SOPP. Nothing counts samples, rays or exports.
pub(super) static SOPP: &[Row] = &[
    row(20, "s_barrier_wait", core!(Kind::None, [], wait)),
    row(64, "s_wait_loadcnt", wave!(Kind::None, [], |w, i| w.track.wait_one(Counter::Load, low(i)))),
    row(65, "s_wait_storecnt", wave!(Kind::None, [], |w, i| wait_stores(w, low(i)))),
    hint(66, "s_wait_samplecnt"),
    hint(67, "s_wait_bvhcnt"),
    hint(68, "s_wait_expcnt"),
    row(70, "s_wait_dscnt", wave!(Kind::None, [], |w, i| w.track.wait_one(Counter::Lds, low(i)))),
    row(71, "s_wait_kmcnt", wave!(Kind::None, [], |w, i| w.track.wait_one(Counter::Scalar, low(i)))),
    row(
        72,
        "s_wait_loadcnt_dscnt",
        wave!(Kind::None, [], |w, i| {
            w.track.wait_one(Counter::Load, high(i));
            w.track.wait_one(Counter::Lds, low(i));
        }),
    ),
    row(
        73,
        "s_wait_storecnt_dscnt",
        wave!(Kind::None, [], |w, i| {
            wait_stores(w, high(i));
            w.track.wait_one(Counter::Lds, low(i));
        }),
    ),
];
