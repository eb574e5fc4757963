//! Bounds on what a template may cost.

/// Bounds on one template and on one rendering of it.
///
/// A template comes with a model file, which nobody vouches for. Each bound
/// turns a runaway into [`ChatError::Limit`](crate::ChatError::Limit).
/// The defaults leave real templates two orders of magnitude of room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of template source. Default 1 MiB; the longest templates in use have 20 KiB.
    pub source_bytes: usize,
    /// Bytes of the rendered text, and of any single string on the way. Default 8 MiB,
    /// which is about two million tokens.
    pub output_bytes: usize,
    /// Bytes made or scanned by all operations of one rendering together; this
    /// bounds both memory and the time spent outside of counted steps. Default 256 MiB.
    pub work_bytes: u64,
    /// Engine steps of one rendering. Default 20 million, below two seconds.
    pub steps: u64,
    /// Elements of one `range()`. Default 100,000, the bound of Jinja's own sandbox.
    pub range_items: usize,
    /// Nesting of blocks, of expressions, and of lists and dicts built by the
    /// template; an `elif` is a level too. Default 64.
    pub nesting: usize,
    /// Nesting of macro calls and recursive loops, in the engine's units: a macro takes
    /// about five, a loop or scope in it one or two. Default 500, which are 70 to 100
    /// macros within each other.
    pub call_depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            source_bytes: 1 << 20,
            output_bytes: 8 << 20,
            work_bytes: 256 << 20,
            steps: 20_000_000,
            range_items: 100_000,
            nesting: 64,
            call_depth: 500,
        }
    }
}

impl Limits {
    /// Nesting and call depth are recursion in this process, so no caller may
    /// raise them above what a stack of 1 MiB holds, without optimisation too.
    pub(crate) fn clamped(self) -> Self {
        Limits { nesting: self.nesting.min(64), call_depth: self.call_depth.min(500), ..self }
    }
}
