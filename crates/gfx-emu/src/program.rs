//! A code object ready to run: loaded, and its text decoded.

use std::sync::OnceLock;

use crate::isa::Isa;
use crate::object::{CodeObject, Generation, Kernel, ObjectError, SymbolKind};
use crate::run::Code;

/// Why a code object cannot be run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// It cannot be loaded.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Its instructions are not known.
    #[error("code for {target} cannot be executed: there are tables for {known}")]
    Target {
        /// The target.
        target: String,
        /// Targets whose instructions are known.
        known: &'static str,
    },
}

/// Targets whose instructions are known, for messages.
const KNOWN: &str = "gfx10xx, gfx11xx and gfx12xx";

/// Whether code for a target such as `gfx1100` or `gfx1100:xnack-` can be executed.
///
/// # Errors
/// [`ProgramError::Target`] if not.
pub fn check_target(target: &str) -> Result<(), ProgramError> {
    let generation = Generation::of_processor(target.split(':').next().unwrap_or(target));
    let known = generation.and_then(|generation| isa(generation, false));
    known.map(|_| ()).ok_or_else(|| ProgramError::Target { target: target.to_owned(), known: KNOWN })
}

/// A loaded code object with its decoded instructions.
#[derive(Debug)]
pub struct Program {
    object: CodeObject,
    /// For waves of 32 and of 64 lanes.
    code: [OnceLock<Code>; 2],
}

impl Program {
    /// Loads a code object for a target such as `gfx1100`: an ELF file, or a bundle with an entry for it.
    ///
    /// # Errors
    /// If it cannot be loaded, or has no code for this target, or the target's instructions are not known.
    pub fn load(bytes: &[u8], target: &str) -> Result<Self, ProgramError> {
        Self::new(CodeObject::load_for(bytes, target)?)
    }

    /// Of a loaded code object.
    ///
    /// # Errors
    /// If its target's instructions are not known.
    pub fn new(object: CodeObject) -> Result<Self, ProgramError> {
        isa(object.target().generation(), false)
            .ok_or_else(|| ProgramError::Target { target: object.target().id().to_owned(), known: KNOWN })?;
        Ok(Self { object, code: Default::default() })
    }

    /// The code object.
    pub fn object(&self) -> &CodeObject {
        &self.object
    }

    /// A kernel by name.
    pub fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.object.kernel(name)
    }

    /// The decoded text, for the wave size of a kernel.
    pub fn code(&self, kernel: &Kernel) -> &Code {
        let wave64 = kernel.wave_size == 64;
        self.code[usize::from(wave64)].get_or_init(|| self.decode(wave64))
    }

    fn decode(&self, wave64: bool) -> Code {
        let image = self.object.image();
        let functions = self.object.symbols().iter().filter(|symbol| symbol.kind == SymbolKind::Function);
        let entries: Vec<u64> = functions.map(|symbol| symbol.range.start).collect();
        let mut code = Code::new(image.base());
        let Some(isa) = isa(self.object.target().generation(), wave64) else { return code };
        for (address, bytes) in image.text() {
            let words: Vec<u32> = bytes.chunks_exact(4).map(|w| u32::from_le_bytes([w[0], w[1], w[2], w[3]])).collect();
            code.add(isa, &words, address, &entries);
        }
        code
    }

    /// Function and offset of an address, for messages.
    pub fn name_pc(&self, address: u64) -> String {
        match self.object.function_at(address) {
            Some((name, offset)) => format!("{name}+{offset:#x}"),
            None => String::new(),
        }
    }
}

fn isa(generation: Generation, wave64: bool) -> Option<&'static Isa> {
    match generation {
        Generation::Gfx10 => Some(Isa::gfx10(wave64)),
        Generation::Gfx11 => Some(Isa::gfx11(wave64)),
        Generation::Gfx12 => Some(Isa::gfx12(wave64)),
        _ => None,
    }
}
