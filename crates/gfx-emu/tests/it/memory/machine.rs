//! A workgroup with chosen registers, which executes chosen instructions.

use gfx_emu::abi::{Dispatch, Pointers};
use gfx_emu::arith::Mode;
use gfx_emu::isa::Isa;
use gfx_emu::launch::Env;
use gfx_emu::memory::Scratch;
use gfx_emu::run::{Code, Core, Group};
use gfx_emu::wave::{State, Wave};
use gfx_emu::{Counts, Fault, FaultKind, Memory, Options, Program};

use super::words::WORDS;

const OBJECT: &[u8] = include_bytes!("../../kernels/several.gfx1100.co");

/// Value of a register by wave and lane.
type Value = Box<dyn Fn(usize, usize) -> u32>;

/// What is set before the first instruction.
pub struct Machine {
    pub memory: Memory,
    pub lds: u32,
    pub private: u32,
    pub wave64: bool,
    pub exec: u64,
    pub counts_lines: bool,
    vgprs: Vec<(u16, Value)>,
    sgprs: Vec<(u8, u32)>,
}

/// What is there behind the last.
pub struct Done {
    pub waves: Vec<Wave>,
    pub counts: Counts,
}

impl Done {
    /// A register of the first wave's first lanes.
    pub fn v(&self, register: u16) -> [u32; 32] {
        *self.waves[0].v(0, register)
    }
}

impl Machine {
    pub fn new() -> Self {
        Self {
            memory: Memory::new(),
            lds: 1024,
            private: 64,
            wave64: false,
            exec: u64::MAX,
            counts_lines: false,
            vgprs: Vec::new(),
            sgprs: Vec::new(),
        }
    }

    pub fn v(&mut self, register: u16, value: impl Fn(usize) -> u32 + 'static) -> &mut Self {
        self.vgprs.push((register, Box::new(move |_, lane| value(lane))));
        self
    }

    /// The same of a register pair.
    pub fn v64(&mut self, register: u16, value: impl Fn(usize) -> u64 + Clone + 'static) -> &mut Self {
        let high = value.clone();
        self.v(register, move |lane| value(lane) as u32).v(register + 1, move |lane| (high(lane) >> 32) as u32)
    }

    pub fn s64(&mut self, register: u8, value: u64) -> &mut Self {
        self.sgprs.extend([(register, value as u32), (register + 1, (value >> 32) as u32)]);
        self
    }

    pub fn s(&mut self, register: u8, value: u32) -> &mut Self {
        self.sgprs.push((register, value));
        self
    }

    /// One wave.
    pub fn run(&self, program: &[&str]) -> Result<Done, Box<Fault>> {
        self.run_waves(&[program])
    }

    pub fn fault(&self, program: &[&str]) -> FaultKind {
        self.fault_of_waves(&[program])
    }

    pub fn fault_of_waves(&self, programs: &[&[&str]]) -> FaultKind {
        match self.run_waves(programs) {
            Ok(_) => panic!("no fault"),
            Err(fault) => fault.kind,
        }
    }

    /// A wave for each program, one after another between barriers.
    pub fn run_waves(&self, programs: &[&[&str]]) -> Result<Done, Box<Fault>> {
        let object = Program::load(OBJECT, "gfx1100").unwrap();
        let kernel = object.kernel("scale").unwrap();
        let base = object.object().image().base();
        let mut code = Code::new(base);
        let mut words = Vec::new();
        let starts: Vec<u64> = programs
            .iter()
            .map(|program| {
                let start = base + 4 * words.len() as u64;
                words.extend(program.iter().chain(&["s_endpgm"]).flat_map(|text| assemble(text)));
                start
            })
            .collect();
        code.add(Isa::gfx11(self.wave64), &words, base, &[]);
        let env = Env {
            kernel,
            program: &object,
            code: &code,
            memory: &self.memory.view(),
            dispatch: &Dispatch { grid: [1; 3], block: [32, 1, 1], dynamic_lds: 0 },
            pointers: Pointers::default(),
            options: &Options { counts_lines: self.counts_lines, ..Options::default() },
        };
        let mut group = Group::new(&env, [0; 3], programs.len(), self.lds);
        let mut waves: Vec<Wave> = starts.iter().enumerate().map(|(n, start)| self.wave(n, &code, *start)).collect();
        while waves.iter().any(|wave| wave.state != State::Ended) {
            for wave in waves.iter_mut().filter(|wave| wave.state != State::Ended) {
                Core { wave, group: &mut group }.turn()?;
            }
            group.epoch += 1;
        }
        let counts = group.counts;
        Ok(Done { waves, counts })
    }

    fn wave(&self, number: usize, code: &Code, start: u64) -> Wave {
        let halves = if self.wave64 { 2 } else { 1 };
        let lanes = if self.wave64 { u64::MAX } else { u64::from(u32::MAX) };
        let mut wave = Wave::new(halves, number as u32, lanes, Mode::from_bits(0x3f0));
        for (register, value) in &self.vgprs {
            for half in 0..halves {
                *wave.v_mut(half, *register) = std::array::from_fn(|lane| value(number, lane + 32 * half));
                wave.track.define(half, *register, u32::MAX, u32::MAX);
            }
        }
        self.sgprs.iter().for_each(|(register, value)| wave.set_s(*register, *value));
        wave.set_exec64(self.exec & lanes);
        wave.scratch = Scratch::new(32 * halves, self.private);
        wave.at = code.index_of(start).unwrap();
        wave
    }
}

/// The words of an instruction, as recorded.
fn assemble(text: &str) -> &'static [u32] {
    WORDS.iter().find(|(known, _)| *known == text).unwrap_or_else(|| panic!("{text} is not recorded")).1
}
