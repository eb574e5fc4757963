//! The flow of the program, waits, barriers, and the mode.

use crate::arith::Mode;
use crate::fault::{Fault, FaultKind};
use crate::isa::macros::{core, wave};
use crate::isa::operand::scalar64;
use crate::isa::row::Semantics;
use crate::isa::{Class, Form, Inst, Kind, Regs, Row, Src};
use crate::run::{Core, Counter};
use crate::wave::{State, Wave, slot};

type Outcome = Result<(), Box<Fault>>;

pub(in crate::isa) const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Control, opcode, name, semantics)
}

/// What has no effect on results: hints, and waits for what is always done.
pub(in crate::isa) const fn hint(opcode: u16, name: &'static str) -> Row {
    row(opcode, name, wave!(Kind::None, [], |_, _| {}))
}

const fn unsupported(opcode: u16, name: &'static str) -> Row {
    row(
        opcode,
        name,
        core!(Kind::None, [], |_, inst| { Err(Fault::new(FaultKind::Unsupported { what: inst.row.name.to_owned() })) }),
    )
}

const fn branch(opcode: u16, name: &'static str, run: crate::isa::row::CoreFn) -> Row {
    row(opcode, name, core!(Kind::None, [], run))
}

fn branch_if(core: &mut Core<'_, '_>, inst: &Inst, condition: bool) -> Outcome {
    if condition {
        if inst.target == u32::MAX {
            let target = inst.address.wrapping_add(4).wrapping_add_signed(4 * i64::from(inst.offset));
            return Err(Fault::new(FaultKind::BadJump { target }));
        }
        core.wave.at = inst.target;
    }
    Ok(())
}

fn vcc(wave: &Wave) -> u64 {
    wave.s64(slot::VCC) & wave.lane_mask()
}

fn jump(core: &mut Core<'_, '_>, target: u64) -> Outcome {
    let index = core.group.env.code.index_of(target);
    core.wave.at = index.ok_or_else(|| Fault::new(FaultKind::BadJump { target }))?;
    Ok(())
}

/// Address of the instruction behind this one.
fn behind(inst: &Inst) -> u64 {
    inst.address + u64::from(inst.bytes)
}

fn end(core: &mut Core<'_, '_>, _: &Inst) -> Outcome {
    core.wave.state = State::Ended;
    Ok(())
}

/// Checks what must hold when a wave comes to a barrier.
pub(in crate::isa) fn arrive(core: &Core<'_, '_>) -> Outcome {
    let track = &core.wave.track;
    if let Some(address) = track.pending_lds() {
        let address = address - core.group.env.code.base();
        return Err(Fault::new(FaultKind::BarrierBeforeWait { what: "access of LDS", address }));
    }
    let all = u64::from(track.lanes[0]) | u64::from(track.lanes[1]) << 32;
    let missing = all & !core.wave.exec64();
    if missing != 0 {
        let reason = format!("lanes {missing:#x} of the wave do not come to it");
        return Err(Fault::new(FaultKind::DivergentBarrier { reason }));
    }
    Ok(())
}

fn barrier(core: &mut Core<'_, '_>, inst: &Inst) -> Outcome {
    arrive(core)?;
    core.wave.state = State::AtBarrier(inst.address);
    Ok(())
}

/// `s_waitcnt` of RDNA3: exports in bits 0 to 2, LDS and scalar in 4 to 9, vector loads in 10 to 15.
fn waitcnt(wave: &mut Wave, inst: &Inst) {
    let counts = inst.offset as u32;
    wave.track.wait_loads((counts >> 10 & 63) as usize);
    wave.track.wait_local((counts >> 4 & 63) as usize);
}

/// The immediate of waits that also name a register: its value is the least of the two, and the null register counts
/// as none.
fn count_of(wave: &Wave, inst: &Inst) -> u32 {
    let immediate = inst.offset as u32 & 63;
    let slot = inst.dst as u8;
    if slot == slot::NULL { immediate } else { (immediate + wave.s(slot)) & 63 }
}

fn trap(_: &mut Core<'_, '_>, inst: &Inst) -> Outcome {
    Err(Fault::new(FaultKind::Trap { number: inst.offset as u32 & 0xff }))
}

/// Messages of compute kernels: giving back registers before the end. Others have a receiver that is not there.
fn message(_: &mut Core<'_, '_>, inst: &Inst) -> Outcome {
    const DEALLOC_VGPRS: i32 = 3;
    if inst.offset & 0xff == DEALLOC_VGPRS {
        return Ok(());
    }
    Err(Fault::new(FaultKind::Unsupported { what: format!("message {:#x}", inst.offset) }))
}

/// Messages that return something: here the clock.
fn message_returning(core: &mut Core<'_, '_>, inst: &Inst, registers: u8) -> Outcome {
    const GET_REALTIME: u64 = 0x83;
    let Src::K(GET_REALTIME) = inst.src[0] else {
        return Err(Fault::new(FaultKind::Unsupported { what: format!("message {:?}", inst.src[0]) }));
    };
    let clock = core.group.clock();
    let slot = inst.dst as u8;
    if registers == 2 {
        core.wave.set_s64(slot, clock)
    } else {
        core.wave.set_s(slot, clock as u32)
    }
    let mut writes = Regs::default();
    writes.add_s(slot, registers);
    core.wave.track.issue(Counter::Scalar, writes, inst.address);
    Ok(())
}

/// SOP1, as far as it changes the program counter or asks others.
pub(super) static SOP1: &[Row] = &[
    row(
        71,
        "s_getpc_b64",
        core!(Kind::S(2), [], |core, inst| {
            core.wave.set_s64(inst.dst as u8, behind(inst));
            Ok(())
        }),
    ),
    row(72, "s_setpc_b64", core!(Kind::None, [Kind::B64], |core, inst| jump(core, scalar64(core.wave, inst, 0)))),
    row(
        73,
        "s_swappc_b64",
        core!(Kind::S(2), [Kind::B64], |core, inst| {
            let target = scalar64(core.wave, inst, 0);
            core.wave.set_s64(inst.dst as u8, behind(inst));
            jump(core, target)
        }),
    ),
    row(76, "s_sendmsg_rtn_b32", core!(Kind::S(1), [Kind::None], |core, inst| message_returning(core, inst, 1))),
    row(77, "s_sendmsg_rtn_b64", core!(Kind::S(2), [Kind::None], |core, inst| message_returning(core, inst, 2))),
];

/// SOPK, as far as it waits, calls, or touches hardware registers.
pub(super) static SOPK: &[Row] = &[
    row(
        17,
        "s_getreg_b32",
        core!(Kind::S(1), [], |core, inst| {
            let value = hardware_register(core, inst.offset as u32)?;
            core.wave.set_s(inst.dst as u8, value);
            Ok(())
        }),
    ),
    row(
        18,
        "s_setreg_b32",
        core!(Kind::None, [Kind::None, Kind::B32], |core, inst| {
            set_hardware_register(core, inst.offset as u32, core.wave.s(inst.dst as u8))
        }),
    ),
    row(
        19,
        "s_setreg_imm32_b32",
        core!(Kind::None, [], |core, inst| {
            let Src::K(value) = inst.src[0] else { return Ok(()) };
            set_hardware_register(core, inst.offset as u32, value as u32)
        }),
    )
    .form(Form::LiteralFactor),
    row(
        20,
        "s_call_b64",
        core!(Kind::S(2), [], |core, inst| {
            core.wave.set_s64(inst.dst as u8, behind(inst));
            branch_if(core, inst, true)
        }),
    ),
    row(
        24,
        "s_waitcnt_vscnt",
        wave!(Kind::None, [Kind::None, Kind::B32], |w, i| {
            let count = count_of(w, i);
            w.track.wait_stores(count);
        }),
    ),
    row(
        25,
        "s_waitcnt_vmcnt",
        wave!(Kind::None, [Kind::None, Kind::B32], |w, i| {
            let count = count_of(w, i);
            w.track.wait_loads(count as usize);
        }),
    ),
    hint(26, "s_waitcnt_expcnt"),
    row(
        27,
        "s_waitcnt_lgkmcnt",
        wave!(Kind::None, [Kind::None, Kind::B32], |w, i| {
            let count = count_of(w, i);
            w.track.wait_local(count as usize);
        }),
    ),
    unsupported(22, "s_subvector_loop_begin"),
    unsupported(23, "s_subvector_loop_end"),
];

/// SOPP.
pub(super) static SOPP: &[Row] = &[
    hint(0, "s_nop"),
    unsupported(1, "s_setkill"),
    unsupported(2, "s_sethalt"),
    row(
        3,
        "s_sleep",
        core!(Kind::None, [], |core, _| {
            core.wave.state = State::Yielding;
            Ok(())
        }),
    ),
    hint(4, "s_set_inst_prefetch_distance"),
    hint(5, "s_clause"),
    hint(7, "s_delay_alu"),
    hint(8, "s_waitcnt_depctr"),
    row(9, "s_waitcnt", wave!(Kind::None, [], waitcnt)),
    row(
        10,
        "s_wait_idle",
        wave!(Kind::None, [], |w, _| {
            w.track.wait_loads(0);
            w.track.wait_local(0);
            w.track.wait_stores(0);
        }),
    ),
    hint(11, "s_wait_event"),
    row(16, "s_trap", core!(Kind::None, [], trap)),
    row(
        17,
        "s_round_mode",
        wave!(Kind::None, [], |w, i| {
            let bits = w.mode.to_bits() & !0xf | i.offset as u32 & 0xf;
            w.set_mode(Mode::from_bits(bits));
        }),
    ),
    row(
        18,
        "s_denorm_mode",
        wave!(Kind::None, [], |w, i| {
            let bits = w.mode.to_bits() & !0xf0 | (i.offset as u32 & 0xf) << 4;
            w.set_mode(Mode::from_bits(bits));
        }),
    ),
    row(
        31,
        "s_code_end",
        core!(Kind::None, [], |_, inst| { Err(Fault::new(FaultKind::BadJump { target: inst.address })) }),
    ),
    branch(32, "s_branch", |core, inst| branch_if(core, inst, true)),
    branch(33, "s_cbranch_scc0", |core, inst| branch_if(core, inst, !core.wave.scc)),
    branch(34, "s_cbranch_scc1", |core, inst| branch_if(core, inst, core.wave.scc)),
    branch(35, "s_cbranch_vccz", |core, inst| branch_if(core, inst, vcc(core.wave) == 0)),
    branch(36, "s_cbranch_vccnz", |core, inst| branch_if(core, inst, vcc(core.wave) != 0)),
    branch(37, "s_cbranch_execz", |core, inst| branch_if(core, inst, core.wave.exec64() == 0)),
    branch(38, "s_cbranch_execnz", |core, inst| branch_if(core, inst, core.wave.exec64() != 0)),
    // No debugger is attached.
    hint(39, "s_cbranch_cdbgsys"),
    hint(40, "s_cbranch_cdbguser"),
    hint(41, "s_cbranch_cdbgsys_or_user"),
    hint(42, "s_cbranch_cdbgsys_and_user"),
    row(48, "s_endpgm", core!(Kind::None, [], end)),
    row(49, "s_endpgm_saved", core!(Kind::None, [], end)),
    unsupported(50, "s_endpgm_ordered_ps_done"),
    hint(52, "s_wakeup"),
    hint(53, "s_setprio"),
    row(54, "s_sendmsg", core!(Kind::None, [], message)),
    unsupported(55, "s_sendmsghalt"),
    hint(56, "s_incperflevel"),
    hint(57, "s_decperflevel"),
    hint(58, "s_ttracedata"),
    hint(59, "s_ttracedata_imm"),
    hint(60, "s_icache_inv"),
    row(61, "s_barrier", core!(Kind::None, [], barrier)),
];

/// A field of a hardware register: its number, first bit and width.
fn field(selector: u32) -> (u32, u32, u32) {
    (selector & 63, selector >> 6 & 31, (selector >> 11 & 31) + 1)
}

const HW_REG_MODE: u32 = 1;
const HW_REG_FLAT_SCR_LO: u32 = 20;
const HW_REG_FLAT_SCR_HI: u32 = 21;
const HW_REG_SHADER_CYCLES: u32 = 29;

fn hardware_register(core: &mut Core<'_, '_>, selector: u32) -> Result<u32, Box<Fault>> {
    let (number, first, width) = field(selector);
    let value = match number {
        HW_REG_MODE => core.wave.mode.to_bits(),
        // Twenty bits, as on the hardware.
        HW_REG_SHADER_CYCLES => core.group.clock() as u32 & 0xf_ffff,
        _ => return Err(Fault::new(FaultKind::Unsupported { what: format!("hardware register {number}") })),
    };
    Ok(value >> first & (u32::MAX >> (32 - width)))
}

fn set_hardware_register(core: &mut Core<'_, '_>, selector: u32, value: u32) -> Outcome {
    let (number, first, width) = field(selector);
    if matches!(number, HW_REG_FLAT_SCR_LO | HW_REG_FLAT_SCR_HI) {
        // Private memory is where it is, whatever RDNA2's kernels say at their beginning.
        return Ok(());
    }
    if number != HW_REG_MODE {
        return Err(Fault::new(FaultKind::Unsupported { what: format!("writing hardware register {number}") }));
    }
    let mask = u32::MAX >> (32 - width) << first;
    let bits = core.wave.mode.to_bits() & !mask | value << first & mask;
    core.wave.set_mode(Mode::from_bits(bits));
    Ok(())
}
