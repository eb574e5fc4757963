//! Instructions: decoded from words as LLVM knows them, executed on registers, compared with formulas of their own.

mod across;
mod compare;
mod control;
mod lanewise;
mod matrix;
mod modifiers;
mod opcodes;
mod scalar;

use gfx_emu::arith::Mode;
use gfx_emu::isa::decode::{Words, decode};
use gfx_emu::isa::{Inst, Isa, Kind};
use gfx_emu::run::{execute, execute_watched};
use gfx_emu::wave::{Wave, slot};

/// Registers that the operands of tests are in.
const SOURCES: [u16; 3] = [10, 20, 30];
/// Register that results go to.
const RESULT: u16 = 40;

/// Seeded random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.next() as usize % from.len()]
    }

    /// Bits that mean something to an operand of a kind: random ones, numbers of ordinary size, and edges.
    fn operand(&mut self, kind: Kind) -> u64 {
        let random = self.next();
        let small = (random >> 40) as f64 / (1 << 20) as f64 - 8.0;
        let half = u64::from(half::f16::from_f64(small).to_bits());
        let edge16 = self.pick(&[0, 0x8000, 1, 0x3ff, 0x400, 0x3c00, 0xbc00, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e01]);
        let edge32 = self.pick(&[0, 0x8000_0000, 1, 0x80_0000, 0x3f80_0000, 0x7f7f_ffff, 0xff80_0000, 0x7fc0_0001]);
        let edge64 =
            self.pick(&[0, 1 << 63, 1, 1 << 52, 0x3ff << 52, (0x7ff << 52) - 1, 0xfff << 52, 0x7ff8 << 48 | 1]);
        let edge = self.pick(&[
            0,
            1,
            2,
            7,
            15,
            16,
            31,
            32,
            63,
            0x7f,
            0x80,
            0xff,
            0x7fff,
            0x8000,
            0xffff,
            0x7fff_ffff,
            u64::MAX,
        ]);
        match (kind, self.next() % 4) {
            (_, 0) => random,
            (Kind::F64, 1) => small.to_bits(),
            (Kind::F64, _) => edge64,
            (Kind::F16 | Kind::PkF16, 1) => half | half << 16,
            (Kind::F16 | Kind::PkF16, 2) => half | edge16 << 16,
            (Kind::F16 | Kind::PkF16, _) => edge16 | half << 16,
            (_, 1) => u64::from((small as f32).to_bits()) | random << 32,
            (Kind::B32, 2) => edge32,
            _ => edge,
        }
    }
}

/// Decodes words.
fn inst(words: &[u32]) -> Inst {
    inst_of(words, false)
}

fn inst_of(words: &[u32], wave64: bool) -> Inst {
    decode(Isa::gfx11(wave64), Words(words), 0).unwrap_or_else(|| panic!("unknown {words:08x?}"))
}

/// A wave with all registers defined.
fn wave(halves: usize) -> Wave {
    let lanes = if halves == 2 { u64::MAX } else { u64::from(u32::MAX) };
    let mut wave = Wave::new(halves, 0, lanes, Mode::HIP);
    for register in 0..256 {
        (0..halves).for_each(|half| wave.track.define(half, register, u32::MAX, u32::MAX));
    }
    wave
}

fn set64(wave: &mut Wave, half: usize, register: u16, lane: usize, value: u64) {
    wave.v_mut(half, register)[lane] = value as u32;
    wave.v_mut(half, register + 1)[lane] = (value >> 32) as u32;
}

fn get64(wave: &Wave, half: usize, register: u16, lane: usize) -> u64 {
    u64::from(wave.v(half, register)[lane]) | u64::from(wave.v(half, register + 1)[lane]) << 32
}

/// Sets active lanes of a wave of 32.
fn set_exec(wave: &mut Wave, lanes: u32) {
    wave.set_s(slot::EXEC, lanes);
}

/// Words of the long encoding of an opcode, operands in [`SOURCES`], the result in [`RESULT`] and a mask in VCC.
fn vop3(opcode: u32) -> [u32; 2] {
    let [a, b, c] = SOURCES.map(|register| 256 + u32::from(register));
    [0xd400_0000 | opcode << 16 | u32::from(RESULT), a | b << 9 | c << 18]
}

/// The same with packed operands: each half from its half.
fn vop3p(opcode: u32) -> [u32; 2] {
    let [a, b, c] = SOURCES.map(|register| 256 + u32::from(register));
    [0xcc00_4000 | opcode << 16 | u32::from(RESULT), 3 << 27 | a | b << 9 | c << 18]
}

/// The opcode and encoding that LLVM knows a name by: `VOP3` or `VOP3P`.
fn opcode_of(name: &str) -> Option<(&'static str, u32)> {
    opcodes::OPCODES.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (encoding, found) = (fields.next()?, fields.next()?);
        let word = u32::from_str_radix(fields.next()?, 16).ok()?;
        match encoding {
            "VOP3" if found == name => Some((encoding, word >> 16 & 0x3ff)),
            "VOP3P" if found == name => Some((encoding, word >> 16 & 0x7f)),
            _ => None,
        }
    })
}

fn words_of(name: &str) -> [u32; 2] {
    match opcode_of(name) {
        Some(("VOP3P", opcode)) => vop3p(opcode),
        Some((_, opcode)) => vop3(opcode),
        None => panic!("no opcode of {name}"),
    }
}

/// Executes in the plain way and in the watched one, which must be the same where all registers are defined.
fn run(wave: &mut Wave, inst: &Inst) {
    let mut watched = wave.clone();
    execute(wave, inst);
    execute_watched(&mut watched, inst).unwrap();
    for half in 0..wave.halves {
        for register in 0..256 {
            assert_eq!(wave.v(half, register), watched.v(half, register), "{}", inst.row.name);
        }
    }
    assert_eq!(wave.sgpr, watched.sgpr, "{}", inst.row.name);
}
